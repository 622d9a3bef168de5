"""Tokenizers and chat templates of the experts against those of the base, which a run uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.checkpoints.recipe_models import BASE, references
from mergekit_cycleqd.checkpoints.vocabulary.aligned import AlignedCheckpoint
from mergekit_cycleqd.checkpoints.vocabulary.row_map import REMEDY
from mergekit_cycleqd.checkpoints.vocabulary.tokenizer import has_tokenizer, open_tokenizer
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.plan.task_warnings import prompt_findings
from mergekit_cycleqd.plan.tokenizer_differences import differences
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.units import counted

_TEMPLATE = "chat_template.jinja"
_OTHER_ADAPTER = "; take one that was trained on this base with its tokenizer"


def compare_tokenizers(recipe: Recipe, models: Mapping[str, Checkpoint]) -> list[Finding]:
    """Look at every tokenizer that is there.

    A token that has another number in an expert makes a merge of the two meaningless: a fault. Of
    what else may differ (more tokens, another splitting of text, special tokens, templates) a merge
    can be made, which takes the base's; so these are warnings. An adapter may have a tokenizer or
    a template of its own.

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
        ours = open_tokenizer(base.name, base.folder, trust)
    except ModelError as error:
        return [Finding("fault", "tokenizers", f"{BASE}: {error}")]
    seen = _Seen()
    for key in references(recipe):
        if key != BASE:
            _look_at(key, models.get(key), ours, trust, seen)
    found = [*_tokenizer_findings(seen, len(ours)), *_template_findings(recipe, ours, seen)]
    return [*found, *prompt_findings(recipe, ours)]


@dataclass
class _Seen:
    """What was looked at. Each expert is in one of the five lists of keys.

    Attributes:
        compared: Experts whose own tokenizer was compared with the base's.
        by_token: The same, of experts whose tokens may have other numbers.
        of_base: Adapters without a tokenizer of their own.
        unreadable: Experts without a tokenizer that can be loaded.
        missing: Experts that cannot be opened.
        own_templates: Number of experts whose own template was compared with the base's.
        differences: The findings about what differs.
    """

    compared: list[str] = field(default_factory=list)
    by_token: list[str] = field(default_factory=list)
    of_base: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    own_templates: int = 0
    differences: list[Finding] = field(default_factory=list)

    @property
    def experts(self) -> int:
        """Number of experts."""
        own = len(self.compared) + len(self.by_token)
        return own + sum(map(len, (self.of_base, self.unreadable, self.missing)))

    def of(self, part: str) -> list[Finding]:
        """The differences of one part."""
        return [finding for finding in self.differences if finding.part == part]


def _look_at(key: str, expert: Checkpoint | None, ours: Any, trust: bool, seen: _Seen) -> None:
    """Compare the tokenizer and the template of one expert with the base's."""
    if expert is None:
        seen.missing.append(key)
        return
    adapter = expert.adapter if isinstance(expert, LoRAExpert) else None
    if adapter is not None and not has_tokenizer(adapter):
        seen.of_base.append(key)
        if (adapter / _TEMPLATE).is_file():
            template = (adapter / _TEMPLATE).read_text(encoding="utf-8", errors="replace")
            _compare_templates(key, ours.chat_template, template, seen)
        return
    try:
        theirs = open_tokenizer(expert.name, adapter or expert.folder, trust)
    except ModelError as error:
        seen.unreadable.append(key)
        text = f"{key}: not compared: {error}"
        seen.differences.append(Finding("warning", "tokenizers", text))
        return
    aligned = isinstance(expert, AlignedCheckpoint)
    (seen.by_token if aligned else seen.compared).append(key)
    remedy = REMEDY if adapter is None else _OTHER_ADAPTER
    for level, text in differences(ours, theirs, None if aligned else remedy):
        seen.differences.append(Finding(level, "tokenizers", f"{key}: {text}"))
    _compare_templates(key, ours.chat_template, theirs.chat_template, seen)


def _compare_templates(key: str, ours: Any, theirs: Any, seen: _Seen) -> None:
    seen.own_templates += 1
    if theirs != ours:
        text = f"{key}: {_templates_apart(ours, theirs)}; a run uses the base's"
        seen.differences.append(Finding("warning", "chat template", text))


def _tokenizer_findings(seen: _Seen, tokens: int) -> Iterator[Finding]:
    compared, adapters = len(seen.compared) + len(seen.by_token), len(seen.of_base)
    if (compared or adapters) and not seen.of("tokenizers"):
        how = "found by token" if seen.by_token else "the same"
        own = f", {how} in {compared} of {seen.experts} experts" if compared else " of the base"
        without = f"; {counted(adapters, 'adapter')} without one of their own" if adapters else ""
        yield Finding("ok", "tokenizers", f"{tokens} tokens{own}{without}")
    yield from seen.of("tokenizers")
    if seen.missing:
        yield Finding("skipped", "tokenizers", f"not compared: {', '.join(seen.missing)}")


def _templates_apart(ours: Any, theirs: Any) -> str:
    if theirs is None:
        return "has no chat template, and the base has one"
    if ours is None:
        return "has a chat template, and the base none"
    return "has another chat template than the base"


def _template_findings(recipe: Recipe, ours: Any, seen: _Seen) -> Iterator[Finding]:
    """Whether tasks that ask for a chat template get one, and which experts have another."""
    lacking = [
        f"tasks[{i}].apply_chat_template: needs a chat template, and the tokenizer of "
        f"{recipe.base_model} has none; set it to false, or take an instruct model as base"
        for i, task in enumerate(recipe.tasks)
        if task.apply_chat_template and ours.chat_template is None
    ]
    yield from (Finding("fault", "chat template", text) for text in lacking)
    yield from seen.of("chat template")
    looked_at = len(seen.compared) + len(seen.by_token) + len(seen.of_base)
    if looked_at and not lacking and not seen.of("chat template"):
        among = "" if looked_at == seen.experts else f" of {seen.experts}"
        if ours.chat_template is None:
            text = f"none in the base and in {looked_at}{among} experts"
        elif seen.own_templates:
            text = f"the base's in {looked_at}{among} experts"
        else:
            text = f"the base's; {counted(looked_at, 'adapter')} without one of their own"
        yield Finding("ok", "chat template", text)
    if unseen := [*seen.unreadable, *seen.missing]:
        yield Finding("skipped", "chat template", f"not compared: {', '.join(unseen)}")
