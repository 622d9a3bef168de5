"""What the command `eval` was told."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from mergekit_cycleqd.errors import RecipeError, nearest
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.generation import boolean_for_number, code_named
from mergekit_cycleqd.recipe.load import in_plain_words
from mergekit_cycleqd.recipe.sample_ids import SampleIds


@dataclass(frozen=True)
class TaskOptions:
    """What the command says about tasks.

    Attributes:
        metadata: Options of the tasks.
        include_path: Folder with more task files.
        samples: Which documents of every task; None for all.
        apply_chat_template: Whether lm-eval renders its own tasks by the model's chat template;
            episodes always are.
        run_unsafe_code: Whether tasks may run what models write on this machine.
        num_fewshot: How many examples prompts have; None for each task's own number.
        gen_kwargs: Generation settings that change each task's own.
        system_instruction: The text of the system's turn, before the task's description.
        fewshot_as_multiturn: Whether examples are turns of a chat; None for lm-eval's default.
    """

    metadata: Mapping[str, Any]
    include_path: str | None = None
    samples: SampleIds | None = None
    apply_chat_template: bool = False
    run_unsafe_code: bool = False
    num_fewshot: int | None = None
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    system_instruction: str | None = None
    fewshot_as_multiturn: bool | None = None

    @property
    def multiturn(self) -> bool:
        """Whether examples are turns of a chat: with a chat template, as lm-eval has it."""
        said = self.fewshot_as_multiturn
        return self.apply_chat_template if said is None else said


@dataclass(frozen=True)
class RunOptions:
    """What the command says about a run.

    Attributes:
        holdout: Whether to evaluate on the holdout samples of the run's own tasks.
        tasks: Names of lm-eval's tasks, ours among them.
        elites: How many of the best elites per task.
        team: Number of members of a team of elites; 0 for none.
        engine: Keys of the recipe's section `engine` that the user changed.
        about: What it says about `tasks`.
    """

    holdout: bool
    tasks: tuple[str, ...]
    elites: int
    team: int
    engine: Mapping[str, Any]
    about: TaskOptions


def engine(settings: Mapping[str, Any], of: Engine | None = None) -> Engine:
    """The options of the command as a recipe's section.

    Args:
        settings: By the section's keys; what the user did not give is not there.
        of: The section that they change; the defaults if None.

    Raises:
        RecipeError: If one is wrong.
    """
    given = dict(settings)
    if str(given.get("batch_size", "")).isdecimal():
        given["batch_size"] = int(given["batch_size"])
    try:
        return Engine.model_validate({**(of or Engine()).model_dump(), **given})
    except ValidationError as error:
        faults: dict[str, list[str]] = {}
        for fault in error.errors():
            key = str(*fault["loc"][:1])
            words = in_plain_words(fault)
            if fault["type"] == "extra_forbidden":
                words = f"unknown key{nearest(key, list(Engine.model_fields))}"
            faults.setdefault(_option(key), []).append(words)
        raise RecipeError(
            [f"{key}: {'; or: '.join(words)}" for key, words in faults.items()]
        ) from None


def _option(key: str) -> str:
    """The option that sets a key of the section `engine`."""
    if key in ("device", "dtype", "batch_size"):
        return f"--{key.replace('_', '-')}"
    return f"--engine: {key}" if key else "--engine"


def mapping(option: str, text: str) -> dict[str, Any]:
    """The mapping that an option holds.

    Args:
        option: Its name, for messages.
        text: What it was given.

    Raises:
        RecipeError: If it is no JSON mapping.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise RecipeError([f"{option}: must be a JSON mapping, got {text!r}: {error}"]) from None
    if not isinstance(content, dict):
        raise RecipeError([f"{option}: must be a JSON mapping, got {text!r}"])
    return content


def sample_ids(text: str | None) -> SampleIds | None:
    """The ids that `--samples` names.

    Raises:
        RecipeError: If it names none.
    """
    try:
        return None if text is None else SampleIds.parse(text)
    except ValueError as error:
        raise RecipeError([f"--samples: {error}"]) from None


def gen_kwargs(text: str | None) -> dict[str, Any]:
    """The generation settings that `--gen-kwargs` holds, written as in lm-eval's command.

    Args:
        text: A JSON mapping, or ``key=value`` with commas between; None if it was not given.

    Raises:
        RecipeError: If it is neither, or names a program.
    """
    found = {} if text is None else _settings(text)
    if fault := code_named(found) or boolean_for_number(found):
        raise RecipeError([f"--gen-kwargs: {fault}"])
    return found


def _settings(text: str) -> dict[str, Any]:
    fault = f'--gen-kwargs: must be as "temperature=0.7,top_p=0.9" or a JSON mapping, got {text!r}'
    if text.lstrip().startswith("{"):
        try:
            content: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise RecipeError([f"{fault}: {error}"]) from None
        return content
    pairs = [part.partition("=") for part in _parts(text)]
    if not pairs or not all(key.strip() and sign for key, sign, _ in pairs):
        raise RecipeError([fault])
    return {key.strip(): _value(value) for key, _, value in pairs}


def _parts(text: str) -> Iterator[str]:
    """Split at the commas that are in no quotes and no brackets."""
    inside = re.compile(r"""("[^"]*"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|[^,])+""")
    for found in inside.finditer(text):
        if found[0].strip():
            yield found[0]


def _value(text: str) -> Any:
    """Read a value as lm-eval's command does: what is no Python value is a text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
