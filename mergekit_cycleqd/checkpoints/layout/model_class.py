"""The class of transformers that loads a checkpoint, found from its config.json alone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

from mergekit_cycleqd.checkpoints.layout.foreign_config import (
    kernel_fault,
    size_fault,
    weights_fault,
)

CAUSAL, IMAGES, SEQ2SEQ = AUTO_CLASSES = (
    "AutoModelForCausalLM",
    "AutoModelForImageTextToText",
    "AutoModelForSeq2SeqLM",
)
"""transformers' automatic classes for models that generate text."""

_TABLES: Mapping[str, Mapping[str, Any]] = {
    CAUSAL: modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    IMAGES: modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    SEQ2SEQ: modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
}


@dataclass(frozen=True)
class ModelClass:
    """A class that loads a checkpoint.

    Attributes:
        name: Its name.
        kind: The class. For code of the model's repository it is one of `AUTO_CLASSES`.
        of_repository: Whether the code is the repository's.
    """

    name: str
    kind: Any
    of_repository: bool = False

    @property
    def settings(self) -> dict[str, bool]:
        """What its `from_pretrained` needs besides the folder."""
        return {"trust_remote_code": True} if self.of_repository else {}

    def lay_out(self, config: Any, dtype: torch.dtype | None) -> Any:
        """Make a model with random weights.

        Args:
            config: The configuration, as transformers reads it.
            dtype: Dtype of the weights; None for torch's default.
        """
        told = {} if dtype is None else {"dtype": dtype}
        if self.of_repository:
            return self.kind.from_config(config, **self.settings, **told)
        return self.kind._from_config(config, **told) if told else self.kind(config)


def model_class(config: Mapping[str, Any], trust: bool) -> ModelClass:
    """Find the class that config.json names: by `auto_map`, `architectures` or `model_type`.

    A class that is named in `architectures` goes before the one of the model type. So a checkpoint
    with a tower for images is loaded with it, although transformers also has a class for its text.

    Args:
        config: The content of config.json.
        trust: transformers' `trust_remote_code`.

    Raises:
        ValueError: If transformers knows neither the class nor the model type, or config.json names
            code of another repository that is not trusted.
    """
    name, code = named_class(config), config.get("auto_map")
    if not trust and (fault := kernel_fault(config)):
        raise ValueError(f"{fault}, or set trust_remote_code if you accept that")
    if fault := weights_fault(config) or size_fault(config):
        raise ValueError(fault)
    if trust and isinstance(code, Mapping):
        for auto in AUTO_CLASSES:
            if auto in code:
                return ModelClass(name, getattr(transformers, auto), of_repository=True)
    of_type = (other for auto in AUTO_CLASSES for other in _listed(auto, config.get("model_type")))
    for known in (name, *of_type):
        kind = getattr(transformers, known, None)
        if inspect.isclass(kind) and issubclass(kind, PreTrainedModel):
            return ModelClass(known, kind)
    mend = "a newer transformers may have it"
    if code and not trust:
        mend = "set trust_remote_code to run the code of its repository, if you accept that"
    raise ValueError(
        "needs architectures or a model_type in config.json that transformers "
        f"{transformers.__version__} knows, got {config.get('architectures')!r} and "
        f"{config.get('model_type')!r}; {mend}"
    )


def named_class(config: Mapping[str, Any]) -> str:
    """Give the name of a checkpoint's class, as its config.json has it, or ``none``.

    Args:
        config: The content of config.json.
    """
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else "none"


def is_listed(name: str, auto: str) -> bool:
    """Whether an automatic class gives a class.

    Args:
        name: Name of the class.
        auto: Name of the automatic class.
    """
    return any(name in _listed(auto, model_type) for model_type in _TABLES[auto])


def _listed(auto: str, model_type: Any) -> tuple[str, ...]:
    names = _TABLES[auto].get(str(model_type), ())
    return (names,) if isinstance(names, str) else tuple(names)
