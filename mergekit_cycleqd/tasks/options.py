"""The options of tasks of several turns, told from what else lm-eval hands over."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from lm_eval.models.huggingface import HFLM
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mergekit_cycleqd.errors import CycleQDError, nearest
from mergekit_cycleqd.recipe.sample_ids import SampleIds

OPTION_NAMES = (
    "agentbench_root",
    "backend",
    "data_files",
    "dataset",
    "dsn",
    "image",
    "max_open",
    "max_rounds",
    "prompt",
    "protocol",
    "repeats",
    "samples",
    "task_ids",
)
"""The options of all our tasks. lm-eval hands one `--metadata` to every task of a run, so that an
option of another task is no mistake."""


class EpisodeOptions(BaseModel):
    """The options that every task of episodes has.

    Attributes:
        repeats: How often each document is run; a document's score is the mean.
        max_open: How many episodes may be open at a time.
        samples: Which documents, as recipes write them: "0-199", "200-" or a list of ids. lm-eval's
            own `--samples` and `--limit` then count within these.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    repeats: int = Field(1, ge=1)
    max_open: int = Field(64, ge=1)
    samples: str | list[int] | None = None

    @field_validator("samples")
    @classmethod
    def _are_ids(cls, value: str | list[int] | None) -> str | list[int] | None:
        if value is not None:
            SampleIds.parse(value)
        return value


def read_options(kind: type[EpisodeOptions], task: str, metadata: Mapping[str, Any]) -> Any:
    """The options of one task among all that lm-eval hands over.

    Args:
        kind: Which options it has.
        task: Its name, for the messages.
        metadata: The names and values.

    Raises:
        CycleQDError: With one line per fault.
    """
    mine = kind.model_fields
    faults = [
        f"{task}: unknown option {name!r}{nearest(name, list(mine))}"
        for name in metadata
        if name not in mine and _is_mistaken(name, metadata)
    ]
    try:
        options = kind(**{name: value for name, value in metadata.items() if name in mine})
    except ValidationError as error:
        for fault in error.errors():
            name = str(fault["loc"][0])
            message = fault["msg"].replace("Input should", "must").removeprefix("Value error, ")
            got = "" if name == "dsn" else f", got {metadata[name]!r:.80}"
            faults.append(f"{task}: option {name} {message}{got}")
    if faults:
        raise CycleQDError("\n".join(dict.fromkeys(faults)))
    return options


_LM_EVAL_NAMES = frozenset({"version", "config_source", "num_fewshot", "description", "_metadata"})
_MODEL_NAMES = frozenset({"pretrained", "model", "base_url"})


def _is_mistaken(name: str, metadata: Mapping[str, Any]) -> bool:
    """Whether a name in the metadata can only be an option that was spelled wrongly.

    lm-eval's command puts the model's arguments, which may have any name, in the same mapping:
    among these only a name close to an option's is held for a mistake.
    """
    if name in OPTION_NAMES or name in _LM_EVAL_NAMES:
        return False
    if not _MODEL_NAMES & set(metadata):
        return True
    return name not in inspect.signature(HFLM).parameters and bool(
        difflib.get_close_matches(name, OPTION_NAMES, cutoff=0.75)
    )
