"""Compare an expert with its base, by their configurations and headers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import own_copies
from mergekit_cycleqd.checkpoints.layout.tensor_readers import (
    Layout,
    missing_tensors,
    stored_shapes,
    tensor_reader,
)
from mergekit_cycleqd.checkpoints.layout.tied_head import untie
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.checkpoints.vocabulary.row_map import remedy
from mergekit_cycleqd.errors import ModelError, first_names

_RECOMPUTED = re.compile(r".*rotary_emb\.inv_freq")  # stored by old versions of transformers

CLASS_KEYS = ("model_type", "architectures")
"""What of config.json says of which class a model is."""

Shapes = dict[str, tuple[tuple[int, ...], tuple[int, ...]]]


def base_faults(layout: Layout) -> list[str]:
    """List the reasons why a base is not the model that its config.json describes.

    transformers would make up the weights that are missing.

    Args:
        layout: The tensors of the base.
    """
    kind = (layout.base.config.get("architectures") or ["its class"])[0]
    if absent := missing_tensors(layout, layout.base):
        return [f"must hold all tensors of {kind}, lacks {first_names(absent)}"]
    if shapes := _other_shapes(layout, layout.base):
        return [f"must have the shapes that its config.json describes, got {_told(shapes)}"]
    return []


def mismatches(layout: Layout, expert: Checkpoint) -> list[str]:
    """List the reasons why an expert does not fit the base, one line each.

    Args:
        layout: The tensors of the base.
        expert: The expert.

    Raises:
        ModelError: If the expert cannot be read.
    """
    base = layout.base
    for key in CLASS_KEYS:
        ours, theirs = base.config.get(key), expert.config.get(key)
        if ours != theirs:
            return [f"must have the base's {key} {ours}, got {theirs} in {expert.name}"]
    if isinstance(expert, LoRAExpert):
        try:
            tensor_reader(layout, expert)
        except ModelError as error:
            return [str(error).removeprefix(f"{expert.name}: ")]
        return []
    return list(_of_whole_model(layout, expert))


def _of_whole_model(layout: Layout, expert: Checkpoint) -> Iterator[str]:
    name = layout.base.name
    own = own_copies(layout, expert)
    if own:
        yield (
            f"has a {own[0]} of its own, which the base {name} ties to its embedding: save the "
            f"base with {untie(own[0])}, and name that folder"
        )
    if missing := sorted(missing_tensors(layout, expert)):
        yield f"lacks {first_names(missing)} of the base {name}"
    read = {
        source.name
        for loaded, sources in layout.sources(expert).items()
        if loaded not in layout.unstored
        for source in sources
    }
    extra = sorted(expert.headers.keys() - layout.base.headers.keys() - read)
    if extra := [tensor for tensor in extra if not _RECOMPUTED.fullmatch(tensor)]:
        yield f"has {first_names(extra)} that the base {name} lacks"
    if shapes := _other_shapes(layout, expert):
        mend = remedy(layout.base, shapes)
        yield f"must have the base's shapes, got {_told(shapes)}{mend}"


def _other_shapes(layout: Layout, model: Checkpoint) -> Shapes:
    return {
        tensor: (shape, layout.shapes[tensor])
        for tensor, shape in stored_shapes(layout, model).items()
        if shape != layout.shapes[tensor]
    }


def _told(shapes: Shapes) -> str:
    return first_names(
        [f"{name} {list(own)} against {list(of)}" for name, (own, of) in shapes.items()]
    )
