"""The README's picture: the demo's run, drawn by the code of the report.

    make demo && make picture

It draws `runs/quickstart` once for light and once for dark pages, into `docs/images`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mergekit_cycleqd.report.overview_figure import draw_overview
from mergekit_cycleqd.run_folder.run_view import RunView

ROOT = Path(__file__).parents[1]


def main(run: Path = ROOT / "runs" / "quickstart", out: Path = ROOT / "docs" / "images") -> None:
    """Draw a finished run.

    Args:
        run: The run folder.
        out: Where `quickstart.svg` and `quickstart-dark.svg` go.
    """
    view = RunView.read(run)
    out.mkdir(parents=True, exist_ok=True)
    for name, dark in (("quickstart", False), ("quickstart-dark", True)):
        print(*draw_overview(view, out / name, ["svg"], dark=dark))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
