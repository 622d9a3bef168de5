"""Base and experts of a draft: adapters behind their base, and whether the base chats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mergekit_cycleqd.checkpoints.hub_cache import cached_snapshot
from mergekit_cycleqd.checkpoints.other_weights import ADAPTER_CONFIG
from mergekit_cycleqd.checkpoints.vocabulary.tokenizer import has_tokenizer, open_tokenizer
from mergekit_cycleqd.errors import ModelError, RecipeError
from mergekit_cycleqd.genome.references import is_adapted, is_hub_id
from mergekit_cycleqd.plan.hub_models import HubRepo


@dataclass(frozen=True)
class DraftModels:
    """Base and experts as a recipe names them.

    Attributes:
        base: The base.
        experts: The experts; adapters as ``base+adapter``.
        chats: Whether the base's tokenizer has a chat template.
        experts_chat: Whether an expert's own tokenizer has one.
    """

    base: str
    experts: tuple[str, ...]
    chats: bool
    experts_chat: bool


def look_at(base: str, experts: Sequence[str]) -> DraftModels:
    """Find base and experts, in folders or on the Hub, without their weights.

    Raises:
        RecipeError: With one line for each that is not found.
    """
    faults: list[str] = []
    base_folder = _texts("--base", base, faults)
    named, chatting = [], False
    for expert in experts:
        if is_adapted(expert):
            named.append(expert)
            continue
        folder = _texts("--expert", expert, faults)
        adapter = folder is not None and _is_adapter(folder)
        named.append(f"{base}+{expert}" if adapter else expert)
        chatting = chatting or (folder is not None and _chats(expert, folder))
    chats = False
    if base_folder is not None:
        if _is_adapter(base_folder):
            faults.append(f"--base {base}: is an adapter; name the model that it was trained on")
        elif has_tokenizer(base_folder):
            chats = _chats(base, base_folder)
        else:
            faults.append(f"--base {base}: needs a language model with its tokenizer, got none")
    if faults:
        raise RecipeError(faults)
    return DraftModels(base, tuple(named), chats, chatting)


def _texts(option: str, reference: str, faults: list[str]) -> Path | None:
    """The folder of a model's configuration and tokenizer; of a model on the Hub a copy of them."""
    if Path(reference).is_dir():
        return Path(reference)
    if not is_hub_id(reference):
        faults.append(f"{option} {reference}: needs a model's folder or a Hub id org/name")
        return None
    try:
        return HubRepo.find(reference).texts()
    except ModelError as error:
        if (cached := cached_snapshot(reference)) is not None:
            return cached
        faults.append(f"{option} {str(error).replace(' beside the recipe or', '')}")
        return None


def _is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def _chats(name: str, folder: Path) -> bool:
    try:
        return open_tokenizer(name, folder, False).chat_template is not None
    except ModelError:  # `plan` says what is wrong with it
        return False
