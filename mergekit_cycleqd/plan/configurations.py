"""Warn of experts whose config.json computes otherwise than the one that merged models have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.known_config import known_config
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.checkpoints.recipe_models import BASE
from mergekit_cycleqd.genome.references import has_form_of_hub_id
from mergekit_cycleqd.plan.findings import Finding

_MOST = 4
_FREE = re.compile(
    r"(^|\.)(_.*|architectures|auto_map|model_type|transformers_version|(torch_)?dtype|vocab_size"
    r"|tie_word_embeddings|use_cache|output_.*|return_dict|.*_token_ids?|tokenizer_class"
    r"|.*(dropout|pdrop|drop_rate).*|initializer_.*|.*_loss_.*|gradient_checkpointing.*"
    r"|pretraining_tp|unsloth_.*|id2label.*|label2id.*|num_labels|problem_type|task_specific_params.*"
    r"|quantization_config.*|chunk_size_feed_forward|is_decoder|finetuning_task)$"
)
"""Keys that change no output, or that other checks are about."""


def configuration_findings(described: Mapping[str, Checkpoint]) -> list[Finding]:
    """Compare the configurations of experts with the base's, key by key.

    Args:
        described: Models with known configurations, by the recipe's key.
    """
    base = described.get(BASE)
    if base is None:
        return []
    expected = _completed(base.config)
    found = []
    for key, expert in described.items():
        if isinstance(expert, LoRAExpert):
            named = expert.settings.get("base_model_name_or_path")
            if _is_another(named, base.name):
                text = f"{key}: the adapter was trained on {named}, and the base is {base.name}"
                found.append(Finding("warning", "configuration", text))
        elif key != BASE and (others := list(_differences(expected, _completed(expert.config)))):
            more = f" and {len(others) - _MOST} more" if len(others) > _MOST else ""
            text = (
                f"{key}: config.json differs from the base's, which merged models have: "
                f"{', '.join(others[:_MOST])}{more}"
            )
            found.append(Finding("warning", "configuration", text))
    return found


def _is_another(named: Any, base: str) -> bool:
    """Whether both are ids of the Hub, and not the same. Folders of other machines say nothing."""
    repo = base.partition("@")[0]
    ids = isinstance(named, str) and has_form_of_hub_id(named) and has_form_of_hub_id(repo)
    return ids and "/" in named and "/" in repo and named.lower() != repo.lower()


def _completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """All settings by dotted key, with the defaults of the class where transformers knows it."""
    known = known_config(config)
    return dict(_flat(config if known is None else known.to_dict()))


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differences(base: Mapping[str, Any], expert: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(base.keys() | expert.keys()):
        here, there = base.get(key), expert.get(key)
        if here != there and not _FREE.search(key):
            yield f"{key} is {there!r}, the base has {here!r}"
