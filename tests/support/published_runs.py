"""Runs to publish: of tiny real models, with scores made up by a fixed rule."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import CommitOperationAdd

from mergekit_cycleqd.checkpoints.content_digests import content as digests
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.cli.hf import main_hf
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.fitting.loop import WeightFit
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.references import parts
from mergekit_cycleqd.hub.card.pipelines import ModelKind
from mergekit_cycleqd.hub.card.subject import Subject
from mergekit_cycleqd.hub.client import Hub as Client
from mergekit_cycleqd.hub.licence import Licence
from mergekit_cycleqd.hub.pins import Source, pin_sources
from mergekit_cycleqd.hub.publications import Publication, choose_publications, open_run
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.fit_record import FitRecord
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_header
from mergekit_cycleqd.run_folder.model_content import KEY, renamed
from mergekit_cycleqd.run_folder.outputs import write_outputs
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.resume_check import RULES
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.families import COLOURS
from tests.support.hub.server import Hub
from tests.support.recipes import Change, write_run_recipe

SEARCH, HOLDOUT = 24, 16
LLAMA = ModelKind("LlamaForCausalLM")


def made_up_scores(genome: Genome, samples: int) -> dict[str, float]:
    """Shares of the samples that depend on the genome alone, spread over the archives."""
    digits = int(genome.id, 16)
    return {colour: (digits // 97**k % (samples + 1)) / samples for k, colour in enumerate(COLOURS)}


def make_run(folder: Path, family: Family, change: Change = lambda content: None) -> Path:
    """A finished run folder, with the journal that the command would have written."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = load_recipe(write_run_recipe(folder / "recipe.yaml", family, change))
    models = {model: open_expert(model) for model in (family.base_model, *family.experts)}
    content = recipe.written()
    content["evolution"]["lag"] = recipe.lag
    header = {
        "recipe": content,
        "fingerprints": {name: model.fingerprint() for name, model in models.items()},
        "versions": {"mergekit-cycleqd": "0.1.0"},
        "rules": RULES,
        KEY: {
            name: digests(model, texts=name == family.base_model) for name, model in models.items()
        },
    }
    out = folder / "run"
    journal = Journal.open(out, header)
    search = CycleQD(recipe)
    for each in search.to_fit:
        fit = made_up_fit(recipe, each)
        journal.append_fit(fit)
        search.add_fitted(fit.genome)
    while not search.done:
        candidate = search.ask()
        scores = made_up_scores(candidate.genome, SEARCH)
        journal.append(Record(candidate.genome, "search", scores, candidate))
        search.tell(candidate, scores)
    for _, genome in compared_models(search):
        for split, samples in (("search", SEARCH), ("holdout", HOLDOUT)):
            if journal.scores(genome, split) is None:
                journal.append(Record(genome, split, made_up_scores(genome, samples)))
    sizes = {"search": dict.fromkeys(COLOURS, SEARCH), "holdout": dict.fromkeys(COLOURS, HOLDOUT)}
    write_outputs(out, search, journal.scores, sizes)
    journal.close()
    return out


def made_up_fit(recipe: Recipe, family: Family) -> FitRecord:
    """A founder over the tensors of its real models, with weights that nobody fitted."""
    settings = recipe.evolution.fit
    assert settings is not None
    learner = HFEngine(recipe.engine, *open_family(family)).learner()
    fit = WeightFit(learner, family, settings, seed=0)
    drawn = np.random.default_rng(0).uniform(0.2, 1.2, size=fit.state.weights.shape)
    counts = dict.fromkeys(COLOURS, SEARCH)
    return FitRecord(fit.genome(drawn), counts, (2.0, 1.0), {1.0: 1.5}, 1.0, 3.0)


def put_on_hub(hub: Hub, family: Family, licence: str = "apache-2.0") -> Family:
    """Publish base and experts as ordinary models, and give the family with their ids."""
    models = (family.base_model, *family.experts)
    ids = {part: f"lab/{Path(part).name}" for model in models for part in parts(model)}
    for folder, repo in ids.items():
        hub.api().create_repo(repo)
        paths = (path for path in sorted(Path(folder).iterdir()) if path.name != "README.md")
        files = [CommitOperationAdd(path.name, str(path)) for path in paths]
        card = f"---\nlicense: {licence}\n---\n".encode()
        hub.api().create_commit(
            repo, [*files, CommitOperationAdd("README.md", card)], commit_message="a model"
        )
    base, *experts = ("+".join(ids[part] for part in parts(model)) for model in models)
    return Family(base, tuple(experts))


def over(run: Path, family: Family) -> Path:
    """Let the journal of a run name other models of the same content."""
    header = read_header(run)
    rest = (run / FILE).read_bytes().split(b"\n", 1)[1]
    was = [header["recipe"]["base_model"], *(e["model"] for e in header["recipe"]["experts"])]
    names = dict(zip(was, [family.base_model, *family.experts], strict=True))
    header["recipe"]["base_model"] = family.base_model
    for expert, model in zip(header["recipe"]["experts"], family.experts, strict=True):
        expert["model"] = model
    header |= renamed(header, names)
    (run / FILE).write_bytes(encode(header) + rest)
    return run


def command(*args: object) -> int:
    """What `hf cycleqd` exits with."""
    with pytest.raises(SystemExit) as exit:
        main_hf([str(arg) for arg in args])
    assert isinstance(exit.value.code, int)
    return exit.value.code


def push(run: Path, *args: object) -> int:
    return command("push", run, "--repo-id", "me/tiny-{task}", *args)


@pytest.fixture(scope="module")
def made(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made"), family)


@pytest.fixture
def local_run(made: Path, tmp_path: Path) -> Path:
    """A finished run over models in folders, to be spoilt."""
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture
def run(local_run: Path, family: Family, hub: Hub) -> Path:
    """A finished run over models that are on the Hub."""
    return over(local_run, put_on_hub(hub, family))


@pytest.fixture
def record(made: Path) -> RunView:
    return open_run(made)


@pytest.fixture
def models(record: RunView) -> tuple[Source, ...]:
    family = record.search.family
    experts = list(zip(COLOURS, family.experts, strict=True))
    return pin_sources(family.base_model, experts, record.header, Client(), download=True)


def publication_of(record: RunView, name: str) -> Publication:
    (model,) = [
        each
        for each in choose_publications(record, ("aggregate", "best", "elites", "recipes"))
        if each.name == name
    ]
    return model


def subject(
    record: RunView, models: tuple[Source, ...], name: str, kind: ModelKind = LLAMA
) -> Subject:
    model = publication_of(record, name)
    return Subject(
        record,
        model,
        f"me/{name}",
        models,
        Licence("mit"),
        {"red": "org/reds"},
        model.genome.to_yaml(),
        kind,
    )
