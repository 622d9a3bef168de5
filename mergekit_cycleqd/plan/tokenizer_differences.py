"""What differs between the tokenizers of the base and of an expert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mergekit_cycleqd.errors import reason, without_panics
from mergekit_cycleqd.plan.findings import Level

_PROBE = (
    "The quick brown fox, isn't it?  Don't!\n\n    def f(x: int) -> str:\n\treturn f'{x:>8}'\n"
    "SELECT name, SUM(price) FROM t WHERE id = 12345 AND x <> 'a';  ls -la | grep \"foo\" > 1.txt\n"
    "Größe, naïveté, 東京, привет, 🙂 3.14159e-10"
)


def differences(ours: Any, theirs: Any, remedy: str | None) -> Iterator[tuple[Level, str]]:
    """Compare two tokenizers, without their templates.

    Args:
        ours: The base's tokenizer.
        theirs: An expert's.
        remedy: The end of a message about tokens with other numbers; None if rows are matched by
            token. Then tokens and their numbers may differ.

    Yields:
        How bad a difference is, and what it is. After a fault nothing more is compared.
    """
    base, expert = ours.get_vocab(), theirs.get_vocab()
    if remedy is not None:
        if fault := _other_numbers(base, expert):
            yield "fault", f"{fault}{remedy}"
            return
        yield from _other_tokens(base, expert)
    try:
        with without_panics():
            split = [each.encode(_PROBE, add_special_tokens=False) for each in (ours, theirs)]
    except Exception as error:  # of a stranger's tokenizer, whatever its pattern leads to
        yield "warning", f"cannot split a text ({reason(error)}); a run uses the base's tokenizer"
        return
    if base.keys() == expert.keys() and split[0] != split[1]:
        yield (
            "warning",
            "splits text otherwise than the base with the same tokens (normalizer, merges or "
            "pre-tokenizer); a run uses the base's tokenizer",
        )
    for name in ("bos_token", "eos_token", "pad_token"):
        a, b = getattr(ours, name), getattr(theirs, name)
        if a != b:
            yield ("warning", f"has the {name} {b!r}, the base {a!r}")


def _other_numbers(base: Mapping[str, int], expert: Mapping[str, int]) -> str:
    """Why a merge of the two is meaningless; empty if all shared tokens have the same numbers."""
    moved = sorted(token for token in base.keys() & expert.keys() if base[token] != expert[token])
    numbers = {number: token for token, number in base.items()}
    other = [t for t, n in expert.items() if t not in base and n in numbers]
    if not moved and not other:
        return ""
    first = moved[0] if moved else other[0]
    was = f"{base[first]} in the base" if moved else f"{numbers[expert[first]]!r} in the base"
    return (
        f"must have the base's vocabulary, got {len(moved) + len(other)} of {len(expert)} "
        f"tokens with other numbers, such as {first!r}: {expert[first]}, {was}"
    )


def _other_tokens(
    base: Mapping[str, int], expert: Mapping[str, int]
) -> Iterator[tuple[Level, str]]:
    """Tokens that only one of the two has."""
    if more := sorted(expert.keys() - base.keys()):
        yield (
            "warning",
            f"has {len(more)} tokens that the base lacks, such as {more[0]!r}; a run uses the "
            "base's tokenizer, which never writes them",
        )
    if fewer := sorted(base.keys() - expert.keys()):
        yield (
            "warning",
            f"lacks {len(fewer)} tokens of the base, such as {fewer[0]!r}: it never learned them",
        )
