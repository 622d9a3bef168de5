"""Archives as pictures that a notebook shows."""

from __future__ import annotations

import io
import math
import os
from typing import Any

from mergekit_cycleqd.report.overview_figure import mark_best_merge
from mergekit_cycleqd.report.panels import colour_scale, panels
from mergekit_cycleqd.report.still_figures import archive_figure, beyond, draw_panel, new_figure
from mergekit_cycleqd.search.archive import TaskArchive
from mergekit_cycleqd.search.cycleqd import CycleQD

_COLUMNS = 3


class Picture:
    """A figure that a notebook shows, and that can be saved.

    Attributes:
        figure: The figure of matplotlib, to change or to add to.
    """

    def __init__(self, figure: Any) -> None:
        """Show a figure."""
        self.figure = figure

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture; the ending of the path says in which form, such as `.png`."""
        self.figure.savefig(path, dpi=150)

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.figure.savefig(stream, format="png", dpi=100, metadata={"Software": None})
        return stream.getvalue()


def picture_of_archive(archive: TaskArchive) -> Picture:
    """All pairs of axes of an archive."""
    return Picture(archive_figure(archive))


def picture_of_run(search: CycleQD) -> Picture:
    """The first pair of axes of every archive, with a star at the best all-round elite."""
    archives = list(search.archives.values())
    columns = min(_COLUMNS, len(archives))
    rows = math.ceil(len(archives) / columns)
    flat = all(len(archive.axes) == 1 for archive in archives)
    figure, all_axes = new_figure(rows, columns, (4.6 * columns, (2.0 if flat else 3.6) * rows))
    best = search.best_all_round()
    for axes, archive in zip(all_axes, archives, strict=False):
        scale, panel = colour_scale(archive), panels(archive)[0]
        image = draw_panel(axes, panel, scale.dark, scale.bright)
        mark_best_merge(axes, panel, best)
        axes.set_title(f"{archive.task}: {len(archive.elites)} elites", fontsize="medium")
        figure.colorbar(image, ax=axes, label=f"score on {archive.task}", extend=beyond(scale))
    for axes in all_axes[len(archives) :]:
        axes.set_visible(False)
    return Picture(figure)
