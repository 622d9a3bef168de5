"""From a configuration of mergekit-evolve to the recipe of a run, with comments on differences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.references import as_text
from mergekit_cycleqd.recipe.other_files import other_kind
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.recipe.section import NoBooleanNumbers
from mergekit_cycleqd.system.printable import printable

_WIDTH = 98


def _task(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_Model = Annotated[str, Field(min_length=1), BeforeValidator(as_text)]


class _Section(NoBooleanNumbers):
    model_config = ConfigDict(extra="allow", frozen=True)  # as mergekit-evolve has it


class EvolveGenome(_Section):
    """What mergekit-evolve varies."""

    models: list[_Model] = Field(min_length=1)
    merge_method: Literal["linear", "task_arithmetic", "ties", "dare_ties", "slerp"]
    base_model: _Model | None = None
    tokenizer_source: str | None = None
    layer_granularity: int = 0
    normalize: bool | None = None
    allow_negative_weights: bool = False
    filters: list[str] | None = None
    smooth: bool = False


class EvolveTask(_Section):
    """One of the tasks whose weighted sum mergekit-evolve maximises."""

    name: str = Field(min_length=1)
    weight: float = Field(default=1.0, allow_inf_nan=False)
    metric: str = Field(default="acc,none", min_length=1)


class EvolveFile(_Section):
    """The file that mergekit-evolve is given."""

    genome: EvolveGenome
    tasks: list[Annotated[EvolveTask, BeforeValidator(_task)]] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)
    num_fewshot: int | None = Field(default=None, ge=0)
    shuffle: bool = False
    random_init: bool = False
    apply_chat_template: bool = True
    fewshot_as_multiturn: bool = True


def read_evolve(path: Path) -> EvolveFile:
    """Read a configuration of mergekit-evolve.

    Raises:
        RecipeError: With one line per fault, each naming file and key.
    """
    content = read_yaml(path)
    if not isinstance(content, Mapping) or "genome" not in content:
        needed = "needs a configuration of mergekit-evolve, with genome and tasks"
        other = other_kind(content, "evolve")
        raise RecipeError([f"{path}: {needed}{f'; this {other}' if other else ', got no genome'}"])
    try:
        return EvolveFile.model_validate(content)
    except ValidationError as error:
        raise RecipeError([f"{path}: {_fault(e)}" for e in error.errors()]) from None


def _fault(error: ErrorDetails) -> str:
    keys = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in error["loc"]]
    where = "".join(keys).lstrip(".")
    if error["type"] == "missing":
        return f"{where}: is required"
    what = re.sub(r"^\w+ should ", "must ", error["msg"])
    return f"{where}: {what}, got {repr(error['input'])[:60]}"


def convert(evolve: EvolveFile, source: str) -> str:
    """The recipe of a run in YAML, with comments on all that is not the same.

    Args:
        evolve: The configuration.
        source: What it is called in the first comment.

    Raises:
        RecipeError: If it has no model beside the base.
    """
    names = _names([task.name for task in evolve.tasks])
    base, experts = _models(evolve.genome)
    lines = [f"# Made from {printable(source, kept='')}, a configuration of mergekit-evolve."]
    lines += _list("What you may know better:", _guesses(evolve.genome, base, names))
    lines += _list("What is not the same here:", _differences(evolve))
    lines += ["", f"base_model: {_scalar(base)}", "experts:"]
    lines += [f"- model: {_scalar(model)}" for model in experts]
    if evolve.genome.tokenizer_source == "base":
        lines.append("tokenizer: {source: base}")
    lines.append("tasks:")
    for name, task in zip(names, evolve.tasks, strict=True):
        lines += _task_lines(name, task, evolve)
    lines.append("evolution:")
    lines.append("  preset: best  # without this line the paper's settings")
    lines.append("  children: 300  # models to evaluate; mergekit-evolve's --max-fevals is 100")
    return "\n".join(lines) + "\n"


def write_new(text: str, path: Path) -> None:
    """Write a recipe where none is yet.

    Raises:
        RecipeError: If the file exists, or cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise RecipeError([f"{path}: exists already; choose another --out"]) from None
    except OSError as error:
        raise RecipeError([f"{path}: cannot be written: {error.strerror}"]) from None


def _models(genome: EvolveGenome) -> tuple[str, list[str]]:
    """The base, or the first model in its place, and the experts."""
    base = genome.base_model or genome.models[0]
    experts = [model for model in dict.fromkeys(genome.models) if model != base]
    if not experts:
        raise RecipeError([f"genome.models: needs a model beside {base!r}, got no other"])
    return base, experts


def _names(tasks: Sequence[str]) -> list[str]:
    """A name for each task that can be a folder's, and is no other's."""
    names: dict[str, None] = {}
    numbers: dict[str, int] = {}
    for task in tasks:
        plain = name = re.sub(r"[^A-Za-z0-9_.-]+", "-", task).strip("-._") or "task"
        while name in names:
            numbers[plain] = numbers.get(plain, 1) + 1
            name = f"{plain}-{numbers[plain]}"
        names[name] = None
    return list(names)


def _task_lines(name: str, task: EvolveTask, evolve: EvolveFile) -> Iterator[str]:
    yield f"- name: {_scalar(name)}"
    yield f"  task: {_scalar(task.name)}"
    yield f"  metric: {_scalar(task.metric)}"
    if evolve.limit is None:
        yield "  samples: {search: 0-}  # all choose; {search: 0-99, holdout: 100-} keeps some"
    else:
        yield f"  samples: {{search: 0-{evolve.limit - 1}, holdout: {evolve.limit}-}}"
    if evolve.num_fewshot is not None:
        yield f"  num_fewshot: {evolve.num_fewshot}"
    if evolve.apply_chat_template:
        yield "  apply_chat_template: true"
        yield f"  fewshot_as_multiturn: {str(evolve.fewshot_as_multiturn).lower()}"


def _guesses(genome: EvolveGenome, base: str, names: Sequence[str]) -> Iterator[str]:
    if genome.base_model is None:
        yield (
            f"base_model: the file names none, so {base} stands there, and experts count by their "
            "difference from it: the same merges as linear with weights that sum to 1. Better is "
            "the model that all were fine-tuned from"
        )
    yield (
        f"task: {' or '.join(names)} under an expert that was fine-tuned for it; with a mutation, "
        "its directions are then scaled in that task's turn"
    )
    if len(names) == 1:
        yield (
            "one task, one archive: its cells are the experts' weights; measures under the task "
            "names others, such as output_length"
        )


def _differences(evolve: EvolveFile) -> Iterator[str]:
    genome = evolve.genome
    yield from _differences_of_models(genome)
    if weighted := [f"{task.name} {task.weight:g}" for task in evolve.tasks if task.weight != 1]:
        yield f"weights of tasks ({', '.join(weighted)}): each task has an archive of its own"
    if evolve.shuffle:
        yield "shuffle: samples are ids, the same for every model"
    if evolve.random_init:
        yield "random_init: the search begins with the experts themselves"
    for section in (evolve, genome, *evolve.tasks):
        for key in section.model_extra or ():
            yield f"{key}: no key that mergekit-evolve knows"


def _differences_of_models(genome: EvolveGenome) -> Iterator[str]:
    if genome.merge_method == "task_arithmetic":
        yield (
            "merge_method task_arithmetic: as here, with task singular vectors in the place of the "
            "experts' task vectors in some of the models"
        )
    else:
        yield (
            f"merge_method {genome.merge_method}: here models are the base and weighted task "
            "vectors of the experts, or task singular vectors"
        )
    if genome.layer_granularity > 0:
        yield (
            f"layer_granularity {genome.layer_granularity}: a weight is of the whole expert; "
            "evolution.mutation scales its singular directions one by one, layer by layer"
        )
    if genome.smooth:
        yield "smooth: there are no weights per layer to be interpolated"
    if genome.filters:
        yield f"filters {', '.join(genome.filters)}: a weight is of all of an expert's tensors"
    if genome.normalize is not None:
        yield (
            f"normalize {str(genome.normalize).lower()}: what experts' weights sum to is searched "
            "for as well"
        )
    if not genome.allow_negative_weights:
        yield "weights kept from being negative: here they may become so"
    if genome.tokenizer_source not in (None, "base"):
        yield f"tokenizer_source {genome.tokenizer_source}: models keep the base's tokenizer"
    if genome.base_model in genome.models:
        yield f"{genome.base_model} among the models: the base is no expert"


def _list(title: str, items: Iterator[str]) -> Iterator[str]:
    yield f"# {title}"
    for item in items:
        line = "# -"
        for word in item.split():
            if len(line) + 1 + len(word) > _WIDTH:
                yield line
                line = "#  "
            line += f" {word}"
        yield line


def _scalar(text: str) -> str:
    """A text as YAML writes it, quoted where need be."""
    return yaml.safe_dump(text, width=2**31, allow_unicode=True).removesuffix("...\n").strip()
