"""Write a report: read a run folder, and write the page, figures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from mergekit_cycleqd.report.curves import Curves, curves
from mergekit_cycleqd.report.libraries import load, plain_figures
from mergekit_cycleqd.run_folder.links import refuse_links
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
    """Write the report of a run. The run may be in progress; its files are only read.

    Args:
        run: The run folder.
        out: Folder of the report; ``report`` in the run folder if None.
        formats: Kinds of files: the page, still figures as PNG or SVG, tables as CSV or Parquet.

    Returns:
        Paths of the files, the page first.

    Raises:
        ReportError: If a library of the extra `report` is missing.
        JournalError: If the folder holds no run, or the journal is damaged.
    """
    for kind in formats:  # fails before the first slow step
        if kind in _LIBRARIES:
            load(_LIBRARIES[kind])
    view = RunView.read(run)
    found = curves(view)
    if out is None:
        refuse_links(run, for_report=True)
        out = run / "report"
    out.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    if "html" in formats:
        files.append(_write_page(view, found, out))
    files += _write_figures(view, found, out, [kind for kind in ("png", "svg") if kind in formats])
    files += _write_tables(
        view, found, out, [kind for kind in ("csv", "parquet") if kind in formats]
    )
    return files


def _write_page(view: RunView, found: Curves | None, out: Path) -> Path:
    from mergekit_cycleqd.report.page import page

    write_atomically(out / PAGE, page(view, found))
    return out / PAGE


def _write_figures(
    view: RunView, found: Curves | None, out: Path, kinds: Sequence[str]
) -> list[Path]:
    if not kinds:
        return []
    with plain_figures():
        return _drawn(view, found, out, kinds)


def _drawn(view: RunView, found: Curves | None, out: Path, kinds: Sequence[str]) -> list[Path]:
    from mergekit_cycleqd.report.many_axes import MANY
    from mergekit_cycleqd.report.many_axes_figures import draw_many_axes
    from mergekit_cycleqd.report.overview_figure import draw_overview
    from mergekit_cycleqd.report.similarity import similarity_of
    from mergekit_cycleqd.report.still_figures import (
        draw_archive,
        draw_curves,
        draw_pace,
        draw_similarity,
    )
    from mergekit_cycleqd.report.time_spent import pace

    similarity = similarity_of(view)
    similar = draw_similarity(similarity, out / "similarity", kinds) if similarity else []
    if found is None:
        return similar
    files = draw_overview(view, out / "overview", kinds)
    for task, archive in view.search.archives.items():
        files += draw_archive(archive, out / f"archive-{task}", kinds)
        if len(archive.axes) >= MANY:
            files += draw_many_axes(archive, out / f"archive-{task}-all-axes", kinds)
    files += draw_curves(found, out / "curves", kinds)
    return [*files, *draw_pace(*pace(view), out / "time", kinds), *similar]


def _write_tables(
    view: RunView, found: Curves | None, out: Path, kinds: Sequence[str]
) -> list[Path]:
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
