"""Print the table of the comparison, as docs/lm-eval.md has it."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.lm_eval_equality.compare import WAYS, Pair, Scene
from benchmarks.lm_eval_equality.settings import SETTINGS


def row(pair: Pair) -> str:
    """A line of the table: lm-eval's scores, and the largest difference of each way."""
    scores = ", ".join(f"{key} {value:.4f}" for key, value in sorted(pair.expected.items()))
    gaps = (pair.difference(way) for way in WAYS)
    cells = ("–" if gap is None else "0" if gap == 0 else f"{gap:.0e}" for gap in gaps)
    return f"| {pair.form.name[3:]} | {pair.setting} | {scores} | {' | '.join(cells)} |"


def main() -> None:
    """Compare, and end with 1 if any pair disagrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", help="Names of some settings, with semicolons between.")
    parser.add_argument("--forms", help="Names of some forms, with commas between.")
    parser.add_argument("--padded", action="store_true", help="Leave continuous batching out.")
    chosen = parser.parse_args()
    began = time.monotonic()
    pairs: list[Pair] = []
    print(f"| task | setting | lm-eval | {' | '.join(WAYS)} |")
    print(f"| --- | --- | --- {'| ---: ' * len(WAYS)}|")
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder) / "scene")
        for setting in SETTINGS:
            if chosen.settings and setting.name not in chosen.settings.split(";"):
                continue
            forms = scene.chosen(setting)
            if chosen.forms:
                forms = [form for form in forms if form.name[3:] in chosen.forms.split(",")]
            batchings = ["padded"] if chosen.padded else ["padded", "continuous"]
            for pair in scene.compare(setting, forms, batchings) if forms else ():
                pairs.append(pair)
                print(row(pair), flush=True)
    wrong = [pair for pair in pairs if not pair.agrees]
    print(f"\n{len(pairs)} pairs, {len(wrong)} differ, {time.monotonic() - began:.0f} s")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
