"""What publishing is made of: choice, names, intervals, licences, lineage, card, verification."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard, parse_eval_result_entries
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub import lineage_file
from mergekit_cycleqd.hub.build import build_model
from mergekit_cycleqd.hub.card.card import model_card
from mergekit_cycleqd.hub.card.figure import archive_figure
from mergekit_cycleqd.hub.card.pipelines import ModelKind
from mergekit_cycleqd.hub.card.results import model_index, result_files
from mergekit_cycleqd.hub.card.score_table import scores_of
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.licence import strictest_licence
from mergekit_cycleqd.hub.pins import Source, local_genome
from mergekit_cycleqd.hub.publications import choose_publications, once, open_run, repo_ids
from mergekit_cycleqd.hub.verify import verify_model
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.publish import Publish
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.score import Score, wilson
from mergekit_cycleqd.system.secrets import without_tokens
from tests.support import published_runs
from tests.support.families import COLOURS
from tests.support.published_runs import (
    LLAMA,
    command,
    made_up_scores,
    make_run,
    publication_of,
    subject,
)
from tests.support.recipes import write_run_recipe

made, local_run, record, models = (
    published_runs.made,
    published_runs.local_run,
    published_runs.record,
    published_runs.models,
)


def test_models_are_chosen_as_the_run_has_them(record: RunView) -> None:
    first, *others = choose_publications(record, ("best",))
    assert first.genome == record.search.best_all_round().genome and first.name == "best"
    elites_of = {colour: record.search.elites(colour)[0] for colour in COLOURS}
    wanted = {e.genome.id for e in elites_of.values()} - {first.genome.id}
    assert [model.genome.id for model in others] == sorted(wanted) and len(wanted) == 1
    assert publication_of(record, "aggregate").genome == record.search.aggregate()
    assert publication_of(record, "aggregate").parents == tuple(
        elite.index for elite in elites_of.values()
    )
    elites = choose_publications(record, ("elites",))
    assert len(elites) == sum(len(record.search.elites(colour)) for colour in COLOURS)
    assert len(set(repo_ids("me/x-{task}", [(m.what, m.name) for m in elites]))) == len(elites)


def test_of_equal_models_the_first_keeps_its_place(record: RunView) -> None:
    blue, best = publication_of(record, "blue"), publication_of(record, "best")
    again = replace(best, name="green")
    assert [model.name for model in once([best, blue, again])] == ["best", "blue"]


def test_repo_ids_that_would_be_equal_are_refused() -> None:
    assert repo_ids("me/{what}-{task}", [("best", "red")]) == ["me/best-red"]
    with pytest.raises(HubError, match="2 models would get the id 'me/x'"):
        repo_ids("me/x", [("best", "red"), ("best", "blue")])


def test_intervals_are_wilsons() -> None:
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert str(Score.of(0.815, 200)) == "0.815 [0.755, 0.863]"
    assert str(Score.of(0.8151, 200)) == "0.815", "no share of 200 samples"
    assert str(Score.of(27.3, 200)) == "27.300" and str(Score.of(0.5, None)) == "0.500"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (("mit", "apache-2.0", "mit"), "apache-2.0"),
        (("mit", "llama3", "apache-2.0"), "llama3"),
        (("gemma", "gemma"), "gemma"),
        (("llama3", "gemma"), "other"),
        (("mit", None), "other"),
        (("mit", "other"), "other"),
    ],
)
def test_the_strictest_licence_holds_and_what_cannot_be_said_is_asked(
    found: tuple[str | None, ...], expected: str
) -> None:
    licence = strictest_licence({f"org/m{i}": each for i, each in enumerate(found)})
    assert licence.id == expected
    assert bool(licence.question) == (expected == "other")


def test_the_lineage_goes_back_to_the_experts_with_every_seed(
    record: RunView, models: tuple[Source, ...]
) -> None:
    model = max(choose_publications(record, ("best", "elites")), key=lambda each: each.index or 0)
    content = lineage_file.lineage_content(record, model, models, {}, [])
    ancestors = {each["index"]: each for each in content["ancestors"]}
    assert model.index in ancestors
    assert all(parent in ancestors for each in ancestors.values() for parent in each["parents"])
    assert [i for i, each in ancestors.items() if not each["parents"]] == [
        i for i in range(3) if i in ancestors
    ]
    seeds = {seed for each in ancestors.values() for seed in each["seeds"]}
    assert {term.seed for term in model.genome.terms} <= seeds
    assert all(len(each["seeds"]) == 1 for each in ancestors.values() if each["parents"])
    again = lineage_file.lineage_content(record, model, models, {}, [])
    assert lineage_file.lineage_text(content) == lineage_file.lineage_text(again)
    assert lineage_file.parse_lineage_file(lineage_file.lineage_text(content).encode()) == content
    assert (
        lineage_file.parse_lineage_file(b'{"version": 9}')
        == lineage_file.parse_lineage_file(b"no json")
        == {}
    )


def test_the_card_holds_the_scores_of_exactly_this_model_and_valid_metadata(
    record: RunView, models: tuple[Source, ...]
) -> None:
    text = model_card(subject(record, models, "aggregate"))
    data = ModelCard(text).data
    assert data.library_name == "transformers" and data.pipeline_tag == "text-generation"
    assert data.license == "mit" and data.tags == ["mergekit", "merge", "cycleqd"]
    expected = made_up_scores(record.search.aggregate(), 16)
    values = {each.dataset_name: each.metric_value for each in data.eval_results}
    assert values == {f"tiny_{c}": pytest.approx(expected[c], abs=1e-6) for c in COLOURS}
    (row, _) = [line for line in text.splitlines() if line.startswith("| **aggregate")]
    assert [float(x) for x in re.findall(r"(\d\.\d{3}) \[", row)] == [
        pytest.approx(expected[c], abs=6e-4) for c in COLOURS
    ]
    assert "arXiv:2410.14735" in text and "(figures/archives.svg)" in text


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (LLAMA, 'print(generate("Hello", max_new_tokens=64)[0]["generated_text"])'),
        (
            ModelKind("LlamaForCausalLM", chats=True),
            'print(generate([{"role": "user", "content": "Hello"}], max_new_tokens=64)[0]'
            '["generated_text"][-1]["content"])',
        ),
    ],
    ids=["text", "chat"],
)
def test_the_card_says_how_to_use_a_model_of_its_kind(
    kind: ModelKind, line: str, record: RunView, models: tuple[Source, ...]
) -> None:
    text = model_card(subject(record, models, "aggregate", kind))
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert line in code and compile(code, "card", "exec")
    assert "vllm serve me/aggregate" in text


def test_a_models_kind_is_read_from_its_files(family: Family, tmp_path: Path) -> None:
    model = Path(shutil.copytree(family.base_model, tmp_path / "model"))
    assert ModelKind.of(Checkpoint.open(str(model))) == LLAMA
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert ModelKind.of(Checkpoint.open(str(model))).chats


def test_where_a_model_was_loaded_from_once_is_not_published(
    family: Family, tmp_path: Path
) -> None:
    family = Family(str(shutil.copytree(family.base_model, tmp_path / "base")), family.experts)
    for name, key in (("config.json", "_name_or_path"), ("tokenizer_config.json", "name_or_path")):
        content = json.loads((tmp_path / "base" / name).read_text())
        content |= {key: "/home/me/base", "tokenizer_file": "/home/me/tokenizer.json"}
        (tmp_path / "base" / name).write_text(json.dumps(content))
    folder = build_model(Genome.uniform(family), tmp_path / "built")
    for path in folder.iterdir():
        assert b"/home/me" not in path.read_bytes(), path.name
    LlamaForCausalLM.from_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder)("w1")["input_ids"]


def test_a_card_without_scores_says_so(record: RunView, models: tuple[Source, ...]) -> None:
    scored = subject(record, models, "aggregate")
    genome = record.search.aggregate()
    unscored = replace(genome, weights=tuple(weight / 2 for weight in genome.weights))
    text = model_card(replace(scored, model=replace(scored.model, genome=unscored)))
    assert (
        "The aggregate of all archives itself was not evaluated." in text
        and "| uniform merge |" not in text
    )
    assert not ModelCard(text).data.eval_results


def test_a_card_without_weights_names_no_library(
    record: RunView, models: tuple[Source, ...]
) -> None:
    data = ModelCard(model_card(subject(record, models, "recipes"))).data
    assert data.library_name is None and data.pipeline_tag is None


def test_results_are_given_for_tasks_whose_dataset_is_known(record: RunView) -> None:
    import yaml

    genome = record.search.aggregate()
    (path, text) = result_files(record, genome, {"red": "org/reds"}).popitem()
    assert path == ".eval_results/red.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    assert (entry.dataset_id, entry.task_id) == ("org/reds", "tiny_red")
    assert entry.value == pytest.approx(made_up_scores(genome, 16)["red"], abs=1e-6)


def test_results_name_the_metric_and_whether_lower_is_better(record: RunView) -> None:
    first, second, *others = record.recipe.tasks
    changed = (
        first.model_copy(update={"maximize": False}),
        second.model_copy(update={"repeats": 4, "pass_at": 2}),
        *others,
    )
    run = replace(record, recipe=record.recipe.model_copy(update={"tasks": changed}))
    lower, passed, plain = model_index(run, record.search.aggregate(), {})
    assert lower.metric_name == "acc,none on holdout samples (n=16, lower is better)"
    assert passed.metric_type == "pass@2"
    assert passed.metric_name == "pass@2 of acc,none on holdout samples (n=16)"
    assert (plain.metric_type, plain.metric_name) == ("acc", "acc,none on holdout samples (n=16)")


def test_tasks_answered_several_times_have_no_intervals_on_a_card(record: RunView) -> None:
    first, *others = record.recipe.tasks
    changed = (first.model_copy(update={"repeats": 4}), *others)
    run = replace(record, recipe=record.recipe.model_copy(update={"tasks": changed}))
    scores = scores_of(run, record.search.aggregate(), "holdout")
    assert scores["red"].interval is None and scores["green"].interval is not None


def test_the_figure_has_a_square_per_cell_and_a_star_in_each_panel(record: RunView) -> None:
    elite = record.search.elites("red")[0]
    root = ET.fromstring(archive_figure(record.search, "best <elite>", elite.scores))
    panels = [child for child in root if child.tag.endswith("}g")]
    for panel, colour in zip(panels, COLOURS, strict=True):
        squares = [each for each in panel if each.tag.endswith("}rect")]
        assert len(squares) == 1 + len(record.search.elites(colour))
        assert len([each for each in panel if each.tag.endswith("}polygon")]) == 1


def test_a_built_model_is_the_recipes_and_another_is_refused(
    record: RunView, models: tuple[Source, ...], tmp_path: Path
) -> None:
    genome = local_genome(publication_of(record, "best").genome, models)
    folder = build_model(genome, tmp_path)
    verify_model(folder, genome)
    other = local_genome(publication_of(record, "aggregate").genome, models)
    with pytest.raises(HubError, match="of the built model is not the recipe's"):
        verify_model(folder, other)
    whole = (folder / "model.safetensors").read_bytes()
    tensors = load_file(folder / "model.safetensors")
    spoilt = tensors | {"model.norm.weight": torch.full((32,), float("nan"))}
    save_file(spoilt, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HubError, match=r"norm\.weight of the built model has NaN"):
        verify_model(folder, genome)
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HubError, match=r"the built model lacks model.norm.weight of its base"):
        verify_model(folder, genome)
    assert build_model(genome, tmp_path) == folder, "what is left of it is built anew"
    assert (folder / "model.safetensors").read_bytes() == whole


def test_a_model_of_noise_or_of_its_own_directions_is_verified_too(
    family: Family, tmp_path: Path
) -> None:
    for mutation in ({"kind": "gaussian", "std": 0.01}, {"kind": "svd", "basis": "child"}):

        def change(content: dict[str, Any], mutation: dict[str, Any] = mutation) -> None:
            content["evolution"] |= {"mutation": mutation, "children": 6}

        record = open_run(make_run(tmp_path / mutation["kind"], family, change))
        last = record.told[max(record.told)].candidate.genome
        assert last.terms or last.lineage
        verify_model(build_model(last, tmp_path / "built"), last)


def test_a_folder_that_is_no_finished_run_is_one_line(
    tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("push", tmp_path, "--repo-id", "me/x-{task}", "--dry-run") == 2
    assert "needs a run, with its journal.jsonl" in capsys.readouterr().err
    shutil.copytree(made, tmp_path / "run")
    lines = (made / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "run" / "journal.jsonl").write_bytes(b"".join(lines[:3]))
    assert command("push", tmp_path / "run", "--repo-id", "me/x-{task}", "--dry-run") == 2
    assert "needs a run whose experts were evaluated, got 2 of 3" in capsys.readouterr().err


def test_tokens_are_struck_out_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-token-of-another-form")
    said = without_tokens("Bearer a-token-of-another-form, or hf_abcdefGHIJ123")
    assert said == "Bearer (token), or (token)"


@pytest.mark.parametrize(
    ("publish", "fault"),
    [
        ({"repo_id": "me"}, "publish.repo_id: must be of the form owner/name"),
        ({"repo_id": "me/{tsk}"}, "publish.repo_id: holds {tsk}; known: {task} and {what}"),
        ({"repo_id": "me/x"}, "publish.repo_id: must hold {task}, for more than one repo"),
        ({"what": ["bests"]}, "publish.what: must name some of aggregate, best, elites"),
        ({"datasets": {"rad": "a/b"}}, "publish.datasets: no task is named 'rad'; known: red"),
    ],
)
def test_faults_of_the_recipes_section_are_found_before_a_run(
    publish: dict[str, Any], fault: str, family: Family, tmp_path: Path
) -> None:
    path = write_run_recipe(
        tmp_path / "recipe.yaml", family, lambda content: content.update(publish=publish)
    )
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert len(error.value.faults) == 1 and fault in error.value.faults[0]


def test_what_is_published_is_no_part_of_what_a_run_is(family: Family, tmp_path: Path) -> None:
    path = write_run_recipe(
        tmp_path / "recipe.yaml",
        family,
        lambda content: content.update(publish={"repo_id": "me/x-{task}", "what": "best,journal"}),
    )
    recipe = load_recipe(path)
    assert recipe.publish == Publish(repo_id="me/x-{task}", what=("best", "journal"))
    assert "publish" not in recipe.model_dump(mode="json")
    assert Genome.from_base(recipe.family).weights == (0.0, 0.0, 0.0)
