"""What the weight file of an adapter holds, by the tensors of the model that it changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]

_FACTOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_EMBEDDING = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_embedding_(?P<side>[AB])")
_BASE = re.compile(r"base_model\.model\.(?P<module>.+)\.base_layer\.weight")
_WHOLE = re.compile(r"base_model\.model\.(?P<name>.+)")
_OTHERS = re.compile("lora_|base_layer|token_adapter|trainable_tokens")


@dataclass
class Change:
    """The keys of what an adapter's file holds for one tensor.

    Attributes:
        factors: Keys of the two factors by `A` and `B`; empty if the tensor is stored whole.
        whole: Key of a whole tensor, to which the product of the factors is added if there are any.
            PEFT stores embeddings and heads whole, also if only the factors were trained.
        transposed: Whether the change of the tensor is the transpose of ``B @ A``.
    """

    factors: dict[str, str] = field(default_factory=dict)
    whole: str | None = None
    transposed: bool = False

    def factor_shape(self, shapes: Mapping[str, Shape]) -> Shape | None:
        """Compute the shape of the factors' product; None if they are no two that fit together.

        Args:
            shapes: Shapes of the file's tensors, by key.
        """
        if len(self.factors) < 2:
            return None
        a, b = shapes[self.factors["A"]], shapes[self.factors["B"]]
        # The second factor of a convolution has a kernel of size 1. Groups have parts of the rank.
        if len(a) < 2 or len(a) != len(b) or a[0] != b[1] or set(b[2:]) > {1}:
            return None
        if not self.transposed:
            return (b[0], *a[1:])
        return (a[1], b[0]) if len(a) == 2 else None


def read_changes(
    keys: Iterable[str], transposed: Callable[[str], bool]
) -> tuple[dict[str, Change], tuple[str, ...]]:
    """Sort the keys of an adapter's file.

    Args:
        keys: The keys.
        transposed: Whether the module of a name stores its weight transposed.

    Returns:
        What the file holds by the tensor's name in a loaded model, and the keys of other things
        than plain LoRA.
    """
    changes: dict[str, Change] = {}
    others: list[str] = []
    for key in keys:
        if match := _FACTOR.fullmatch(key):
            change = changes.setdefault(f"{match['module']}.weight", Change())
            change.factors[match["side"]] = key
            change.transposed = transposed(match["module"])
        elif match := _EMBEDDING.fullmatch(key):  # A embeds, so the table is the transpose of B @ A
            change = changes.setdefault(f"{match['module']}.weight", Change())
            change.factors[match["side"]] = key
            change.transposed = True
        elif match := _BASE.fullmatch(key):
            changes.setdefault(f"{match['module']}.weight", Change()).whole = key
        elif (match := _WHOLE.fullmatch(key)) and not _OTHERS.search(key):
            name = match["name"].replace(".modules_to_save.", ".")
            changes.setdefault(name, Change()).whole = key
        else:
            others.append(key)
    return changes, tuple(others)
