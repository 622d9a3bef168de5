"""`mergekit-cycleqd report`: a run folder in, a folder of files to look at out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from mergekit_cycleqd.report.curves import Curves, curves
from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.atomic_write import write_atomically

Format = Literal["html", "png", "svg", "csv", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
PAGE = "report.html"
_LIBRARIES: dict[Format, str] = {
    "html": "plotly",
    "png": "matplotlib",
    "svg": "matplotlib",
    "parquet": "pyarrow",
}


def write_report(
    run: Path, out: Path | None = None, formats: Sequence[Format] = FORMATS
) -> list[Path]:
    """Write the report of a run; the run may be going on, and is neither touched nor locked.

    Args:
        run: The run folder.
        out: Where the files go; the folder ``report`` in the run folder if None.
        formats: Which files: the page, still figures as PNG or SVG, tables as CSV or Parquet.

    Returns:
        The files, the page first.

    Raises:
        ReportError: If a library of the optional part `report` is missing.
        JournalError: If there is no run, or its journal is damaged.
    """
    for kind in formats:  # before the first slow step
        if kind in _LIBRARIES:
            load(_LIBRARIES[kind])
    view = RunView.read(run)
    found = curves(view)
    out = out or run / "report"
    out.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    if "html" in formats:
        files.append(_page(view, found, out))
    files += _figures(view, found, out, [kind for kind in ("png", "svg") if kind in formats])
    files += _tables(view, found, out, [kind for kind in ("csv", "parquet") if kind in formats])
    return files


def _page(view: RunView, found: Curves | None, out: Path) -> Path:
    from mergekit_cycleqd.report.page import page

    write_atomically(out / PAGE, page(view, found))
    return out / PAGE


def _figures(view: RunView, found: Curves | None, out: Path, kinds: Sequence[str]) -> list[Path]:
    if not kinds:
        return []
    from mergekit_cycleqd.report.overview_figure import draw_overview
    from mergekit_cycleqd.report.similarity import similarity_of
    from mergekit_cycleqd.report.still_figures import (
        draw_archive,
        draw_curves,
        draw_pace,
        draw_similarity,
    )
    from mergekit_cycleqd.report.time_spent import pace

    alike = similarity_of(view)
    files = draw_similarity(alike, out / "similarity", kinds) if alike else []
    if found is None:
        return files
    files += draw_overview(view, out / "overview", kinds)
    for task, archive in view.search.archives.items():
        files += draw_archive(archive, out / f"archive-{task}", kinds)
    files += draw_curves(found, out / "curves", kinds)
    return files + draw_pace(*pace(view), out / "time", kinds)


def _tables(view: RunView, found: Curves | None, out: Path, kinds: Sequence[str]) -> list[Path]:
    if not kinds:
        return []
    from mergekit_cycleqd.report.tables import tables, write_csv, write_parquet

    writers = {"csv": write_csv, "parquet": write_parquet}
    files = []
    for name, rows in tables(view, found).items():
        for kind in kinds:
            files.append(out / f"{name}.{kind}")
            writers[kind](rows, files[-1])
    return files
