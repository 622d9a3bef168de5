"""An archive of many axes is shown along all of them, as a map, and by a few pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.report.many_axes import (
    MOST,
    along_axes,
    map_of,
    pictured_axes,
    short_name,
)
from mergekit_cycleqd.report.many_axes_figures import (
    draw_many_axes,
    many_axes,
    parallel_coordinates,
    scatter_map,
)
from mergekit_cycleqd.report.panels import panels
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.system.markup import Markup

GENOME = Genome.uniform(Family("base", ("a", "b")))
AXES = ("a", "b", "c", "d", "e", "f", "g")


def archive(count: int, *, axes: int = 7, bins: int = 5, kind: str = "cvt") -> TaskArchive:
    """Elites that vary most along b, then along f, d and a."""
    made = TaskArchive("q", AXES[:axes], [bins] * axes, [(0.0, 2.0)] * axes, kind=kind, cells=500)
    rng = np.random.default_rng(7)
    spread = np.array([0.3, 0.9, 0.01, 0.4, 0.02, 0.6, 0.0])
    for index in range(count):
        values = 1 + spread * rng.uniform(-1, 1, 7)
        scores = dict(zip(AXES, values.tolist(), strict=True)) | {"q": index / max(1, count)}
        made.add(Elite(index, GENOME, scores, ()))
    return made


def test_the_axes_that_vary_most_are_pictured_in_their_order() -> None:
    made = archive(80)
    assert pictured_axes(made, 4) == [0, 1, 3, 5]
    pairs = [(panel.across.task, panel.up.task if panel.up else "") for panel in panels(made)]
    assert pairs == [("a", "b"), ("a", "d"), ("a", "f"), ("b", "d"), ("b", "f"), ("d", "f")]
    assert len(panels(archive(20, axes=5))) == 10, "of a few axes all pairs"
    assert len(panels(archive(0))) == 6, "an empty archive too"


def test_long_names_fit_at_their_axes() -> None:
    assert short_name("tool-use") == "tool-use" and short_name("a" * 18) == "a" * 18
    assert short_name("long-division-of-large-numbers") == "long-divisi…umbers"


def test_the_titles_of_a_map_stand_on_three_lines() -> None:
    made = archive(80)
    found = map_of(made)
    assert found is not None
    layout = scatter_map(found, made.task, 0.0, 1.0)["layout"]
    for axis, title in zip(("xaxis", "yaxis"), found.titles, strict=True):
        lines = layout[axis]["title"]["text"].split("<br>")
        assert len(lines) == 3 and " ".join(lines) == title


def test_elites_lie_along_the_axes_between_their_ends() -> None:
    made = archive(80)
    best, worst = made.elites[0], made.elites[-1]
    found = along_axes(made, worst.scores["q"], best.scores["q"])
    assert found.titles[0] == "a<br>0 to 2" and found.titles[-1].startswith("q<br>")
    assert found.heights.shape == (len(made.elites), 8)
    assert found.heights[0] == pytest.approx([best.scores[a] / 2 for a in AXES] + [1.0])
    assert found.heights[-1, -1] == 0
    assert along_axes(made, 0.3, 0.3).heights[:, -1].tolist() == [1.0] * len(made.elites)
    lower = along_axes(made, best.scores["q"], worst.scores["q"])
    assert lower.heights[0, -1] == 0, "where lower is better, the lowest is at the top"
    many = archive(MOST + 100, bins=100, kind="sparse")
    assert len(many.elites) > MOST
    assert along_axes(many, 0.0, 1.0).elites == tuple(many.elites[:MOST])


def test_every_elite_is_one_line_of_the_figure_and_can_be_clicked() -> None:
    made = archive(60)
    figure = parallel_coordinates(along_axes(made, 0.0, 1.0))
    shown = [i for trace in figure["data"] for i in trace["customdata"] if i is not None]
    assert sorted(shown) == sorted([elite.index for elite in made.elites] * 8)
    for trace in figure["data"]:
        assert len(trace["x"]) == len(trace["y"]) == len(trace["customdata"])
        assert trace["x"][:9] == [*range(8), None]
    colours = [trace["line"]["color"] for trace in figure["data"]]
    assert len(set(colours)) == len(colours) > 3


def test_a_map_keeps_distances_as_far_as_two_axes_can() -> None:
    made = archive(80)
    found = map_of(made)
    assert found is not None and found.elites == tuple(made.elites)
    values = np.array([[elite.scores[a] / 2 for a in AXES] for elite in made.elites])
    total = ((values - values.mean(axis=0)) ** 2).sum()
    kept = (found.places**2).sum() / total
    first, second = (int(title.split(",")[1].strip().split("%")[0]) for title in found.titles)
    assert kept == pytest.approx((first + second) / 100, abs=0.011)
    assert "principal axis 1, " in found.titles[0] and ": b +" in found.titles[0]
    assert map_of(archive(1)) is None and map_of(archive(0)) is None


def test_few_axes_need_no_more_figures_and_many_get_two() -> None:
    drawn: list[str] = []

    def draw(key: str, words: str, content: dict[str, object]) -> Markup:
        drawn.append(key)
        return Markup("")

    assert many_axes(0, archive(20, axes=3), draw) == []
    assert many_axes(0, archive(0), draw) == [] and not drawn
    parts = many_axes(2, archive(20), draw)
    assert drawn == ["along-2", "map-2"]
    assert "6 of 21 pairs" in parts[-1]


def test_the_figures_are_written_as_files_with_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = draw_many_axes(archive(30), tmp_path / "one", ["svg"])
    again = draw_many_axes(archive(30), tmp_path / "two", ["svg"])
    assert [file.name for file in files] == ["one.svg"]
    assert files[0].read_bytes() == again[0].read_bytes()
    assert draw_many_axes(archive(0), tmp_path / "none", ["svg"]) == []
    assert draw_many_axes(archive(1), tmp_path / "single", ["svg"])
