"""The models that a run compares: in summary.md, in the report's table, and as pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN
from mergekit_cycleqd.run_folder import example_masks
from mergekit_cycleqd.run_folder.compared_models import (
    compared_models,
    distinct,
    more_elites,
    originals,
)
from mergekit_cycleqd.run_folder.comparison import comparison, known_models
from mergekit_cycleqd.run_folder.example_masks import Example, Pictures, draw, png, shown_models
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.summary import summary
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.scored_runs import write_run
from tests.support.searches import finish, recipe

SIZES: dict[Any, dict[str, int]] = {"search": {"a": 10, "b": 20}, "holdout": {"a": 5}}


def searched(children: int = 8, **evolution: Any) -> CycleQD:
    search = CycleQD(recipe(children=children, **evolution))
    finish(search)
    return search


def test_every_run_compares_the_same_models_in_one_order() -> None:
    search = searched()
    names = [name for name, _ in compared_models(search)]
    experts = [f"expert: {task}" for task in "abc"]
    best = [f"best elite: {task}" for task in "abc"]
    assert names == [
        "base",
        *experts,
        "uniform merge",
        *best,
        "best all-round elite",
        "aggregate",
    ]
    models = dict(compared_models(search))
    assert models["best elite: b"] == search.elites("b")[0].genome
    assert models["expert: c"] == Genome.from_expert(search.family, 2)
    assert [name for name, _ in originals(search)] == names[:5]


def test_models_without_a_search_are_of_plain_task_vectors() -> None:
    search = searched(0, task_vectors={"kind": "tsv"}, mutation={"kind": "none"})
    assert {genome.family.task_vectors for _, genome in originals(search)} == {PLAIN}


def test_one_model_of_several_names_gets_them_all() -> None:
    one, other = (Genome.from_expert(recipe().family, k) for k in range(2))
    models = [("first", one), ("second", other), ("third", one)]
    assert distinct(models) == [("first, third", one), ("second", other)]


def test_further_elites_are_named_once_and_never_what_is_compared_anyway() -> None:
    search = searched(40)
    compared = {genome.id for _, genome in compared_models(search)}
    found = more_elites(search, lambda rank, elite: True)
    ids = [genome.id for _, genome in found]
    assert len(ids) == len(set(ids)) > 3 and not set(ids) & compared
    expected = {e.genome.id for task in search.tasks for e in search.elites(task)} - compared
    assert set(ids) == expected
    number, task = found[0][0].removeprefix("elite ").split(" of ")
    elite = next(e for e in search.elites(task) if e.index == int(number))
    assert elite.genome == found[0][1]
    second = more_elites(search, lambda rank, elite: rank == 1)
    wanted = {search.elites(task)[1].genome.id for task in search.tasks} - compared
    assert {genome.id for _, genome in second} == wanted


# ---- summary.md ----


def table(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_summary_has_the_scores_of_both_splits_and_their_means() -> None:
    search = searched()
    found = {"search": {"a": 0.5, "b": 0.25, "c": 0.0}, "holdout": {"a": 0.4, "b": 0.1}}
    base = Genome.from_base(search.family)

    def find(genome: Genome, split: Any) -> dict[str, float] | None:
        return found[split] if genome == base else None

    head, _, *rows = table(summary(search, find, SIZES))
    assert head == [
        "model",
        *("a (search, n=10)", "b (search, n=20)", "c (search, n=0)", "mean (search)"),
        *("a (holdout, n=5)", "b (holdout, n=0)", "c (holdout, n=0)", "mean (holdout)"),
    ]
    assert rows[0] == ["base", "0.500", "0.250", "0.000", "0.250", "0.400", "0.100", "–", "–"]
    assert rows[1] == ["expert: a", *["–"] * 8]
    assert len(rows) == 10


def test_without_holdout_samples_the_summary_has_none() -> None:
    text = summary(searched(), lambda *_: None, {"search": {"a": 10}, "holdout": {}})
    assert "holdout, n" not in text and len(table(text)[0]) == 5


def test_the_summary_says_how_far_the_run_is_and_what_its_archives_hold() -> None:
    search = searched(children=8)
    text = summary(search, lambda *_: None, SIZES)
    assert text.startswith("# Run summary\n\n8 of 8 children evaluated. Elites are chosen")
    assert "only reported.\n\n| model" in text and "means" not in text
    archive = search.archives["b"]
    line = f"- b: {len(archive.elites)} elites, coverage {archive.coverage:.1%}, "
    assert f"{line}QD score {archive.qd_score:.3f}\n" in text


def test_the_summary_says_which_scores_are_means() -> None:
    search = searched(30, reevaluate=2)
    text = summary(search, lambda *_: None, SIZES)
    assert "Search scores of models that were evaluated more than once are means." in text
    for task in search.tasks:
        counts = [e.evaluations for e in search.elites(task) if e.evaluations > 1]
        assert counts
        line = next(one for one in text.splitlines() if one.startswith(f"- {task}: "))
        more = f", {len(counts)} evaluated more than once, up to {max(counts)} times"
        assert line.endswith(more)


# ---- the report's table ----


def test_a_row_has_the_mean_of_its_scores_and_an_interval_where_they_are_shares(
    tmp_path: Path,
) -> None:
    search = write_run(tmp_path / "run", children=20, spoilt="db")
    run = RunView.read(tmp_path / "run")
    found = comparison(run)
    assert list(found) == ["search", "holdout"]
    for split, table in found.items():
        aggregate = next(row for row in table.rows if row.model == "aggregate")
        scores = run.scores(search.aggregate(), split)
        assert scores is not None
        assert {task: score.value for task, score in aggregate.scores.items()} == dict(scores)
        mean = aggregate.cells[-1]
        assert mean is not None and mean.value == pytest.approx(sum(scores.values()) / 3)
        assert mean.interval is None and table.columns[-1].title == "mean"
        assert [column.title for column in table.columns[:-1]] == [
            f"{task} (n=200)" for task in ("coding", "db", "os")
        ]
        for task, score in aggregate.scores.items():
            assert score.samples == 200
            assert (score.interval is None) == (task == "db")
    assert [row.model for row in found["holdout"].rows][-1] == "aggregate"


def test_a_run_without_all_experts_compares_base_and_experts(tmp_path: Path) -> None:
    write_run(tmp_path / "run", children=5)
    journal = tmp_path / "run" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]))
    run = RunView.read(tmp_path / "run")
    assert [name for name, _ in known_models(run)] == [
        "base",
        *(f"expert: {task}" for task in ("coding", "db", "os")),
    ]
    found = comparison(run)
    assert list(found) == ["search"]
    means = [row.cells[-1] is None for row in found["search"].rows]
    assert means == [False, False, True, True]


# ---- pictures ----


def test_a_picture_is_made_small_and_keeps_its_shape() -> None:
    from io import BytesIO

    from PIL import Image

    def opened(pixels: Any) -> Image.Image:
        return Image.open(BytesIO(png(pixels)))

    colours = np.zeros((300, 600, 3), np.uint8)
    colours[..., 0] = 200
    image = opened(colours)
    assert image.format == "PNG" and image.size == (256, 128)
    assert image.convert("RGB").getpixel((10, 10)) == (200, 0, 0)
    shades = opened(np.array([[0.0, 1.0], [0.5, 0.2]]))
    assert shades.size == (2, 2)
    assert [shades.getpixel((x, y)) for y in (0, 1) for x in (0, 1)] == [0, 255, 128, 51]
    mask = opened(np.array([[False, True]]))
    assert [mask.getpixel((x, 0)) for x in (0, 1)] == [0, 255]


def examples(genome: Genome) -> list[Example]:
    found = genome.id.encode()
    return [Example("a", n, b"image%d" % n, b"truth", found, n / 4) for n in (3, 7)]


def test_pictures_of_a_run_are_kept_once_with_an_index(tmp_path: Path) -> None:
    search = searched()
    assert Pictures.read(tmp_path) is None
    draw(tmp_path, search, examples)
    kept = Pictures.read(tmp_path)
    assert kept is not None
    shown = shown_models(search)
    assert [name for name, _ in shown] == [
        "base",
        *(f"expert: {task}" for task in "abc"),
        "best all-round elite",
        "aggregate",
    ]
    assert kept.models == {name: genome.id for name, genome in shown}
    assert [sample["sample"] for sample in kept.samples] == [3, 7]
    first = kept.samples[0]
    assert (kept.folder / first["image"]).read_bytes() == b"image3"
    assert (kept.folder / first["truth"]).read_bytes() == b"truth"
    for name, genome in shown:
        entry = first["found"][name]
        assert (kept.folder / entry["file"]).read_bytes() == genome.id.encode()
        assert entry["score"] == 0.75
    assert not list(kept.folder.glob(".*"))
    index = (kept.folder / example_masks.INDEX).read_text()
    assert index.startswith('{\n "version": 1,\n "models": {\n  "base": ') and index.endswith("}\n")

    def never(genome: Genome) -> Sequence[Example]:
        raise AssertionError("they are there already")

    draw(tmp_path, search, never)  # type: ignore[arg-type]
    other = searched(seed=1)
    draw(tmp_path, other, examples)
    renewed = Pictures.read(tmp_path)
    assert renewed is not None
    assert renewed.models == {name: genome.id for name, genome in shown_models(other)}
    assert renewed.models != kept.models


@pytest.mark.parametrize("spoilt", ["{", "[]", '{"version": 2}', '{"version": 1}', "null"])
def test_an_index_that_cannot_be_read_is_none(spoilt: str, tmp_path: Path) -> None:
    draw(tmp_path, searched(0), examples)
    index = tmp_path / example_masks.FOLDER / example_masks.INDEX
    content = json.loads(index.read_text())
    index.write_text(spoilt)
    assert Pictures.read(tmp_path) is None
    for version in (0, 2):
        index.write_text(json.dumps(content | {"version": version}))
        assert Pictures.read(tmp_path) is None
    index.write_text(json.dumps(content))
    assert Pictures.read(tmp_path) is not None
