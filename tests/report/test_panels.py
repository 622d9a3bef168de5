"""Which scores the colours of an archive stand for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.report.panels import ColourScale, colour_scale, panels
from mergekit_cycleqd.report.plots import heatmap
from mergekit_cycleqd.report.still_figures import beyond
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.worth import Worth

GENOME = Genome.from_base(Family("base", ("a", "b")))


def archive(scores: Sequence[float], *, lower: bool = False) -> TaskArchive:
    worth = Worth({"a": (0.0, 100.0)}) if lower else Worth()
    made = TaskArchive("a", ["b"], [50], [(0.0, 1.0)], worth)
    for i, score in enumerate(scores):
        made.add(Elite(i, GENOME, {"a": score, "b": (i + 0.5) / 50}, ()))
    return made


@pytest.mark.parametrize(
    ("scores", "lower", "scale"),
    [
        ([1.0] * 9, False, ColourScale(0.0, 1.0)),
        ([1.0], False, ColourScale(0.0, 1.0)),
        ([0.0] * 3, False, ColourScale(0.0, 1.0)),
        ([-2.0, -2.0], False, ColourScale(-2.0, -1.0)),
        ([5.0, 5.0], True, ColourScale(10.0, 5.0)),
        ([0.2, 0.5], False, ColourScale(0.2, 0.5)),
        ([], False, ColourScale(0.0, 1.0)),
        ([0.0, 0.7, 0.72, 0.74, 0.76, 0.78, 0.8, 0.82], False, ColourScale(0.7, 0.82, True)),
        ([90.0, 7.0, 7.2, 7.4, 7.6, 7.8, 8.0, 8.2], True, ColourScale(8.2, 7.0, True)),
        ([0.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9], False, ColourScale(0.0, 0.9)),
    ],
)
def test_the_best_is_bright_and_an_outlier_takes_no_colours(
    scores: list[float], lower: bool, scale: ColourScale
) -> None:
    assert colour_scale(archive(scores, lower=lower)) == scale


def test_a_perfect_archive_is_drawn_bright() -> None:
    perfect = archive([1.0] * 9)
    scale = colour_scale(perfect)
    (cells,) = heatmap(panels(perfect)[0], scale.dark, scale.bright)["data"]
    assert (cells["zmin"], cells["zmax"]) == (0.0, 1.0) and "reversescale" not in cells


def test_a_colour_bar_points_to_what_is_beyond_it() -> None:
    assert beyond(ColourScale(0.7, 0.8, True)) == "min"
    assert beyond(ColourScale(8.2, 7.0, True)) == "max"
    assert beyond(ColourScale(0.0, 1.0)) == "neither"
