"""What a published model is for, on the Hub and in code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.recipe.tasks import Task

_PROMPTED = re.compile(r"(Sam|EdgeTam)\w*Model")


_LABELLING = ("ForSemanticSegmentation", "ForUniversalSegmentation", "ForInstanceSegmentation")


@dataclass(frozen=True)
class Kind:
    """What a model is, as far as it is known here.

    Attributes:
        architecture: Such as ``LlamaForCausalLM``; empty if not known.
        chats: Whether its tokenizer has a chat template.
    """

    architecture: str = ""
    chats: bool = False

    @classmethod
    def of(cls, model: Checkpoint) -> Kind:
        """What a model's own files say.

        Raises:
            ModelError: If they cannot be read.
        """
        tokenizer = model.folder / "tokenizer_config.json"
        chats = (model.folder / "chat_template.jinja").is_file() or (
            tokenizer.is_file() and '"chat_template"' in tokenizer.read_text(encoding="utf-8")
        )
        return cls(str((model.config.get("architectures") or [""])[0]), chats)


def pipeline_tag(architecture: str) -> str | None:
    """The Hub's name for what a model does; None where the architecture does not tell."""
    if architecture.endswith("ForCausalLM"):
        return "text-generation"
    if architecture.endswith(_LABELLING):
        return "image-segmentation"
    return "mask-generation" if _PROMPTED.fullmatch(architecture) else None


def public_name(task: Task) -> str:
    """A task's data or function without the folders that it lies in on its publisher's machine."""
    if task.scored_by.task != "name" and PurePath(task.task).is_absolute():
        return PurePath(task.task).name
    return task.task
