"""The kind of a published model: its architecture, and the Hub's tag for what it does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.recipe.tasks import Task

_PROMPTED = re.compile(r"(Sam|EdgeTam)\w*Model")


_LABELLING = ("ForSemanticSegmentation", "ForUniversalSegmentation", "ForInstanceSegmentation")


@dataclass(frozen=True)
class ModelKind:
    """The kind of a model, as far as its files on this machine tell.

    Attributes:
        architecture: Name of its class, such as ``LlamaForCausalLM``; empty if not known.
        chats: Whether its tokenizer has a chat template.
    """

    architecture: str = ""
    chats: bool = False

    @classmethod
    def of(cls, model: Checkpoint) -> ModelKind:
        """Read the kind from a model's files.

        Raises:
            ModelError: If the files cannot be read.
        """
        tokenizer = model.folder / "tokenizer_config.json"
        chats = (model.folder / "chat_template.jinja").is_file() or (
            tokenizer.is_file() and '"chat_template"' in tokenizer.read_text(encoding="utf-8")
        )
        return cls(str((model.config.get("architectures") or [""])[0]), chats)


def pipeline_tag(architecture: str) -> str | None:
    """Give the Hub's tag for what a model does; None if the architecture does not tell."""
    if architecture.endswith("ForCausalLM"):
        return "text-generation"
    if _loads(architecture, "AutoModelForImageTextToText"):
        return "image-text-to-text"
    if architecture.endswith(_LABELLING):
        return "image-segmentation"
    return "mask-generation" if _PROMPTED.fullmatch(architecture) else None


def has_encoder(architecture: str) -> bool:
    """Whether a model of text has an encoder beside its decoder, as T5 has."""
    return _loads(architecture, "AutoModelForSeq2SeqLM")


def _loads(architecture: str, auto: str) -> bool:
    from mergekit_cycleqd.checkpoints.layout.model_class import is_listed  # imports transformers

    return is_listed(architecture, auto)


def public_name(task: Task) -> str:
    """Name a task's data or function without the folders of its publisher's machine."""
    if task.scored_by.task != "name" and PurePath(task.task).is_absolute():
        return PurePath(task.task).name
    return task.task
