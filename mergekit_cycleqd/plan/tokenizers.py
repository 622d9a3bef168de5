"""Tokenizers and chat templates of the experts against those of the base, which a run uses."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.recipe_models import BASE
from mergekit_cycleqd.errors import first_line
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.recipe.recipe import Recipe

_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
_PROBE = (
    "The quick brown fox, isn't it?  Don't!\n\n    def f(x: int) -> str:\n\treturn f'{x:>8}'\n"
    "SELECT name, SUM(price) FROM t WHERE id = 12345 AND x <> 'a';  ls -la | grep \"foo\" > 1.txt\n"
    "Größe, naïveté, 東京, привет, 🙂 3.14159e-10"
)


def compare_tokenizers(recipe: Recipe, models: Mapping[str, Checkpoint]) -> list[Finding]:
    """Look at every tokenizer that is there.

    A token that has another number in an expert makes a merge of the two meaningless: a fault. Of
    what else may differ (more tokens, another splitting of text, special tokens, templates) a merge
    can be made, which takes the base's; so these are warnings.

    Args:
        recipe: The run.
        models: Whatever is known of base and experts, by key.
    """
    if recipe.engine.of_images:
        return []
    base = models.get(BASE)
    if base is None:
        return [Finding("skipped", "tokenizers", "need the base")]
    trust = recipe.engine.trust_remote_code
    try:
        ours = _load(base, trust)
    except _UnreadableError as error:
        return [Finding("fault", "tokenizers", f"{BASE}: {error}")]
    found: list[Finding] = []
    compared = 0
    for key, expert in models.items():
        if expert.folder.resolve() == base.folder.resolve():
            continue
        try:
            theirs = _load(expert, trust)
        except _UnreadableError as error:
            found.append(Finding("warning", "tokenizers", f"{key}: not compared: {error}"))
            continue
        compared += 1
        found += [Finding(f.level, f.part, f"{key}: {f.text}") for f in _differences(ours, theirs)]
    if not any(each.part == "tokenizers" for each in found):
        same = f"{len(ours)} tokens, the same in {compared} of {len(recipe.experts)} experts"
        found.insert(0, Finding("ok", "tokenizers", same))
    found.sort(key=lambda each: each.part, reverse=True)
    return found + _templates(recipe, ours, any(each.part == "chat template" for each in found))


class _UnreadableError(Exception):
    """Why there is no tokenizer, in a line."""


def _load(model: Checkpoint, trust: bool) -> Any:
    if not any((model.folder / name).is_file() for name in _FILES):
        raise _UnreadableError(f"no tokenizer in {model.name}")
    from transformers import AutoTokenizer

    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return AutoTokenizer.from_pretrained(model.folder, trust_remote_code=trust)
    except Exception as error:  # whatever a broken file makes of the libraries below
        raise _UnreadableError(
            f"transformers cannot load the tokenizer of {model.name} "
            f"({type(error).__name__}: {first_line(error, 160)})"
        ) from error
    finally:
        log.setLevel(level)


def _differences(ours: Any, theirs: Any) -> Iterator[Finding]:
    base, expert = ours.get_vocab(), theirs.get_vocab()
    if fault := _other_numbers(base, expert):
        yield Finding("fault", "tokenizers", fault)
        return
    yield from _other_tokens(base, expert)
    split = [each.encode(_PROBE, add_special_tokens=False) for each in (ours, theirs)]
    if base.keys() == expert.keys() and split[0] != split[1]:
        yield Finding(
            "warning",
            "tokenizers",
            "splits text otherwise than the base with the same tokens (normalizer, merges or "
            "pre-tokenizer); a run uses the base's tokenizer",
        )
    for name in ("bos_token", "eos_token", "pad_token"):
        a, b = getattr(ours, name), getattr(theirs, name)
        if a != b:
            yield Finding("warning", "tokenizers", f"has the {name} {b!r}, the base {a!r}")
    if theirs.chat_template != ours.chat_template:
        yield Finding(
            "warning", "chat template", f"{_templates_apart(ours, theirs)}; a run uses the base's"
        )


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
        f"tokens with other numbers, such as {first!r}: {expert[first]}, {was}; take an "
        "expert that was fine-tuned from this base, or mergekit-tokensurgeon"
    )


def _other_tokens(base: Mapping[str, int], expert: Mapping[str, int]) -> Iterator[Finding]:
    """Tokens that only one of the two has."""
    if more := sorted(expert.keys() - base.keys()):
        yield Finding(
            "warning",
            "tokenizers",
            f"has {len(more)} tokens that the base lacks, such as {more[0]!r}; a run uses the "
            "base's tokenizer, which never writes them",
        )
    if fewer := sorted(base.keys() - expert.keys()):
        yield Finding(
            "warning",
            "tokenizers",
            f"lacks {len(fewer)} tokens of the base, such as {fewer[0]!r}: it never learned them",
        )


def _templates_apart(ours: Any, theirs: Any) -> str:
    if theirs.chat_template is None:
        return "has no chat template, and the base has one"
    if ours.chat_template is None:
        return "has a chat template, and the base none"
    return "has another chat template than the base"


def _templates(recipe: Recipe, ours: Any, differ: bool) -> list[Finding]:
    """Whether tasks that ask for a chat template get one."""
    if ours.chat_template is None:
        faults = [
            Finding(
                "fault",
                "chat template",
                f"tasks[{i}].apply_chat_template: needs a chat template, and the tokenizer of "
                f"{recipe.base_model} has none; set it to false, or take an instruct model as base",
            )
            for i, task in enumerate(recipe.tasks)
            if task.apply_chat_template
        ]
        return faults or ([] if differ else [Finding("ok", "chat template", "none has any")])
    return [] if differ else [Finding("ok", "chat template", "the base's in all experts")]
