"""Runs, recipes and published repos of commit 4fc4715 go on as if nothing had changed since.

What that commit made lies in `made_by_4fc4715`, whose README.md says how. Everything here is done
by the commands and the public names alone, so that it holds wherever the code moves.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mergekit_cycleqd import Genome
from tests.compatibility.made_by_4fc4715 import steps
from tests.compatibility.made_by_4fc4715.steps import HERE, INPUTS, JOURNAL, command
from tests.support.costly import costly

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT's
RUNS = ("paper", "best")
SKETCH = 3e-5
"""What decompositions and rounding of other processors may change of a tensor's two numbers."""

expected: dict[str, Any] = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give these tests a cache of their own, and let the kept functions be imported."""
    folder = tmp_path_factory.mktemp("kept_cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(INPUTS))
        patch.setenv("MERGEKIT_CYCLEQD_CACHE", str(folder))
        patch.setenv("TQDM_DISABLE", "1")
        yield folder


@pytest.fixture(scope="module")
@costly
def hub(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a local Hub that has base and experts, under the commits that kept recipes name."""
    server, client = steps.hub_module("server"), steps.hub_module("client")
    hub = server.Hub()
    thread = server.ServerThread(hub)
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("kept_home")
        client.point_at(patch, hub.endpoint, home, hub.writer, xet=False)
        steps.put_family(hub)
        yield hub
    thread.close()
    assert not hub.crashes


def recipe_of(run: str) -> Path:
    return INPUTS / f"{run}.yaml"


def numbers(text: bytes) -> list[float]:
    """Every number of a similarity.json."""
    content = json.loads(text)
    pairs = [pair[key] for pair in content["pairs"] for key in sorted(pair) if key > "second"]
    return [*content["norms"], *pairs]


@pytest.fixture(scope="module")
def resumed(hub: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both runs that were killed half-way, gone on with to their ends."""
    folders = {}
    for run in RUNS:
        folder = tmp_path_factory.mktemp("resumed") / run
        shutil.copytree(HERE / run / "half-way", folder)
        command(recipe_of(run), "--out", folder)
        folders[run] = folder
    return folders


@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_was_killed_goes_on_to_the_same_end(run: str, resumed: dict[str, Path]) -> None:
    folder, finished = resumed[run], HERE / run / "finished"
    torn = (HERE / run / "half-way" / JOURNAL).read_bytes()
    whole = torn[: torn.rindex(b"\n") + 1]
    assert len(whole) < len(torn), "the fixture has a torn last line"
    journal = (folder / JOURNAL).read_bytes()
    assert journal.startswith(whole)
    assert steps.timeless(journal) == steps.timeless((finished / JOURNAL).read_bytes())
    ours, theirs = steps.folder_texts(folder), steps.folder_texts(finished)
    theirs.pop("retention.jsonl", None)  # another command's
    ours.pop("best.yaml")  # which they had not
    assert ours.keys() == theirs.keys()
    similar, was = numbers(ours.pop("similarity.json")), numbers(theirs.pop("similarity.json"))
    assert similar == pytest.approx(was, abs=1e-5)
    assert ours == theirs


@pytest.mark.parametrize("run", RUNS)
def test_a_finished_run_evaluates_nothing_and_its_files_come_again_from_the_journal(
    run: str, hub: Any, tmp_path: Path
) -> None:
    finished, folder = HERE / run / "finished", tmp_path / "run"
    folder.mkdir()
    for name in (JOURNAL, "similarity.json", "retention.jsonl"):
        if (finished / name).exists():
            shutil.copy(finished / name, folder / name)
    command(recipe_of(run), "--out", folder)
    assert (folder / JOURNAL).read_bytes() == (finished / JOURNAL).read_bytes()
    ours = steps.folder_texts(folder)
    assert b"# best all-round elite: candidate " in ours.pop("best.yaml")  # which they had not
    assert ours == steps.folder_texts(finished)


@pytest.mark.parametrize("folder", list(expected["journal check"]))
def test_journal_check_says_the_same(folder: str) -> None:
    said = command("journal", "check", HERE / folder)
    assert said.replace(str(HERE / folder), "{run}") == expected["journal check"][folder]


@pytest.mark.parametrize("run", RUNS)
def test_the_report_has_the_same_tables(run: str, tmp_path: Path) -> None:
    folder = shutil.copytree(HERE / run / "finished", tmp_path / "run")
    texts = steps.report_texts(folder, tmp_path / "report")
    kept = steps.folder_texts(HERE / run / "report")
    # The page has two tables more, of the result, and the others in another order.
    ours, theirs = (each.pop("tables-of-the-page.txt").split(b"\n\n") for each in (texts, kept))
    more = sorted(set(ours) - set(theirs))
    assert sorted({*theirs, *more}) == sorted(set(ours)) and len(more) == 2
    assert all(b".yaml" in table for table in more)
    assert texts == kept


@pytest.mark.parametrize("run", RUNS)
def test_recipes_of_elites_and_aggregate_are_the_genomes_that_the_archives_name(run: str) -> None:
    finished = HERE / run / "finished"
    archives = json.loads((finished / "archives.json").read_text())["archives"]
    found = 0
    for task, archive in archives.items():
        for elite in archive["elites"]:
            text = (finished / "elites" / task / f"{elite['index']:06d}.yaml").read_text()
            genome = Genome.from_mergekit(yaml.safe_load(text))
            assert genome.id == elite["id"] and genome.family.experts[2] == "lab/base+lab/shell"
            assert Genome.from_mergekit(genome.to_mergekit()) == genome
            found += 1
    assert found > 20
    aggregate = Genome.from_mergekit(yaml.safe_load((finished / "aggregate.yaml").read_text()))
    assert f'"id":"{aggregate.id}"'.encode() in (finished / JOURNAL).read_bytes()


@pytest.mark.parametrize("name", list(expected["merged"]))
def test_a_model_recipe_merges_to_the_same_weights(name: str, hub: Any, tmp_path: Path) -> None:
    found = steps.merged(HERE / name, tmp_path / "model")
    assert_sketched(found, expected["merged"][name])
    if name.endswith("exact.yaml"):  # of dyadic numbers, which no processor rounds
        assert steps.digest(found) == expected["exact"]


def assert_sketched(found: dict[str, Any], was: dict[str, list[float]]) -> None:
    sketch = steps.sketch(found)
    assert sketch.keys() == was.keys()
    for tensor, pair in sketch.items():
        assert pair == pytest.approx(was[tensor], abs=SKETCH, rel=SKETCH), tensor


def test_random_draws_are_the_same(hub: Any, tmp_path: Path) -> None:
    uniform = steps.merged(INPUTS / "recipes" / "uniform.yaml", tmp_path / "uniform")
    assert steps.uniform_draws(uniform) == pytest.approx(expected["uniform draws"], abs=5e-5)
    normal = steps.normal_draws(steps.merged(INPUTS / "recipes" / "noise.yaml", tmp_path / "noise"))
    for tensor, draws in expected["normal draws"].items():
        assert normal[tensor] == pytest.approx(draws, abs=5e-6), tensor


def test_the_cache_of_directions_has_the_same_files(resumed: Any, cache: Path) -> None:
    assert steps.cache_files(cache) == expected["directions"]


def test_a_file_of_the_cache_of_directions_is_used_as_it_is(
    hub: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the kept form, whose directions are in the wrong order, turns the draws round."""
    import kept_family

    vector = kept_family.task_vector("db", kept_family.DIAGONAL)
    order = np.argsort(vector.sum(axis=1))  # ascending, where descending would be right
    vectors = np.eye(len(vector))[:, order].astype("<f4").tobytes()
    values = np.sort(vector.sum(axis=1))[::-1].astype("<f8").tobytes()
    side, end = len(vector), len(values)
    header = {
        "values": {"dtype": "F64", "shape": [side], "data_offsets": [0, end]},
        "vectors": {
            "dtype": "F32",
            "shape": [side, side],
            "data_offsets": [end, end + len(vectors)],
        },
    }
    name = steps.cache_path(vector)
    assert expected["directions"][name] == f"values F64 [{side}], vectors F32 [{side}, {side}]"
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content = len(text).to_bytes(8, "little") + text + values + vectors
    planted = tmp_path / "cache" / name
    planted.parent.mkdir(parents=True)
    planted.write_bytes(content)
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    found = steps.merged(INPUTS / "recipes" / "uniform.yaml", tmp_path / "model")
    turned = expected["uniform draws"][::-1]
    assert steps.uniform_draws(found) == pytest.approx(turned, abs=5e-5)
    assert planted.read_bytes() == content


def test_pushing_a_run_writes_the_same_texts_and_then_nothing_more(
    hub: Any, tmp_path: Path
) -> None:
    finished, folder = HERE / "paper" / "finished", tmp_path / "run"
    shutil.copytree(finished, folder)
    push = (steps.PUSHED[0], folder, *steps.PUSHED[1:])
    command(*push)
    for repo, files in steps.KEPT.items():
        texts, kept = steps.published(hub, repo), HERE / "published" / repo
        for path in files:
            if path == "lineage.json":
                ours, theirs = texts[path], (kept / path).read_bytes()
                assert steps.without_built(ours) == steps.without_built(theirs)
            else:
                assert texts[path].decode() == (kept / path).read_text(encoding="utf-8"), path
        if repo == "recipes":
            elites = {path: each.read_text() for path, each in elites_of(finished).items()}
            assert {p: t.decode() for p, t in texts.items() if p.startswith("elites/")} == {
                path: steps.pinned(text) for path, text in elites.items()
            }
        if repo == "journal":
            header = texts["header.jsonl"]
            rest = (finished / JOURNAL).read_bytes().split(b"\n", 1)[1]
            assert texts[JOURNAL] == header + rest
            assert texts["summary.md"] == (finished / "summary.md").read_bytes()
    again = command(*push)
    # Six repos of that version, and one of the best all-round elite.
    assert again.count("is up to date") == 7, again


def elites_of(run: Path) -> dict[str, Path]:
    return {str(path.relative_to(run)): path for path in sorted(run.glob("elites/*/*.yaml"))}


def test_a_published_recipe_is_rebuilt(hub: Any, tmp_path: Path) -> None:
    kept = HERE / "published" / "aggregate"
    files = {
        path: (kept / path).read_bytes().replace(b"{hub}", hub.endpoint.encode())
        for path in steps.KEPT["aggregate"]
    }
    steps.put(hub, "lab/published", files)
    found = steps.merged("hf://lab/published", tmp_path / "model")
    assert_sketched(found, expected["merged"]["paper/finished/aggregate.yaml"])
    recipe = (tmp_path / "model" / "mergekit_config.yml").read_bytes()
    assert recipe == files["mergekit_config.yml"]


def test_a_published_run_is_pulled_and_gone_on_with(hub: Any, tmp_path: Path) -> None:
    kept, finished = HERE / "published" / "journal", HERE / "paper" / "finished"
    header = (kept / "header.jsonl").read_bytes()
    journal = header + (finished / JOURNAL).read_bytes().split(b"\n", 1)[1]
    recipe = (kept / "recipe.yaml").read_bytes()
    steps.put(hub, "lab/journal", {JOURNAL: journal, "recipe.yaml": recipe}, "dataset")
    command("pull-run", "lab/journal", "--out", tmp_path / "run")
    pulled = tmp_path / "run" / "recipe.yaml"
    pulled.write_text(pulled.read_text().replace("code: false", "code: true"))  # the user's yes
    command(tmp_path / "run" / "recipe.yaml", "--out", tmp_path / "run")
    assert (tmp_path / "run" / JOURNAL).read_bytes() == journal
    for path in ("archives.json", "summary.md"):
        assert (tmp_path / "run" / path).read_bytes() == (finished / path).read_bytes()
    note, _, aggregate = (tmp_path / "run" / "aggregate.yaml").read_text().partition("\n")
    assert aggregate == steps.pinned((finished / "aggregate.yaml").read_text())
    assert note == "# aggregate: the best elite of each archive, weighted by softmax"
