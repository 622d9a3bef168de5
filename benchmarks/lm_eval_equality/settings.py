"""The settings that tasks are compared under, in the words of lm-eval and in ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SYSTEM = "You know animals。 Be brief 🙂"

FEW = (
    "eq_gen_several",
    "eq_gen_filters",
    "eq_gen_prefix",
    "eq_gen_described",
    "eq_gen_long",
    "eq_choice_numbers",
    "eq_choice_inputs",
    "eq_choice_prefix",
    "eq_likelihood",
    "eq_rolling",
)
"""Forms that are compared under every setting."""


@dataclass(frozen=True)
class Setting:
    """A setting of a command.

    Attributes:
        name: For the table.
        model: The kind of tokenizer.
        chat: Whether chats are rendered by the model's template.
        shots: How many examples; None for each task's own number.
        multiturn: Whether these are turns; None for lm-eval's default.
        system: The text of the system's turn.
        gen_kwargs: Generation settings that change the tasks' own.
        engine: Arguments of lm-eval's model, which are keys of our section `engine`.
        forms: Names of the tasks; None for all.
    """

    name: str
    model: str = "chat"
    chat: bool = False
    shots: int | None = None
    multiturn: bool | None = None
    system: str | None = None
    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)
    forms: tuple[str, ...] | None = FEW

    def of_lm_eval(self) -> list[str]:
        """The options of lm-eval's command."""
        return self._options("_")

    def of_ours(self) -> list[str]:
        """The options of our `eval`."""
        given = ["--engine", json.dumps(self.engine)] if self.engine else []
        return [*self._options("-"), *given]

    def of_recipe(self) -> dict[str, Any]:
        """The keys of a task in a recipe."""
        found: dict[str, Any] = {"apply_chat_template": self.chat}
        if self.shots is not None:
            found["num_fewshot"] = self.shots
        if self.multiturn is not None:
            found["fewshot_as_multiturn"] = self.multiturn
        if self.system is not None:
            found["system_instruction"] = self.system
        return found

    def _options(self, dash: str) -> list[str]:
        given = {
            "num fewshot": "" if self.shots is None else str(self.shots),
            "system instruction": self.system or "",
            "gen kwargs": ",".join(f"{key}={value}" for key, value in self.gen_kwargs.items()),
            "fewshot as multiturn": "" if self.multiturn is None else str(self.multiturn).lower(),
        }
        found = [f"--apply{dash}chat{dash}template"] if self.chat else []
        for name, value in given.items():
            found += [f"--{name.replace(' ', dash)}", value] if value else []
        return found


_UNCUT = ("eq_gen_no_stop", "eq_gen_whole")
"""Forms without a stop text that thoughts have: lm-eval's `hf` would end the answer there."""

_GENERATED = tuple(name for name in FEW if "gen" in name)

SETTINGS = (
    Setting("plain", forms=None),
    Setting("2 shots", shots=2),
    Setting("chat", chat=True),
    Setting("chat, 2 shots", chat=True, shots=2),
    Setting("chat, 2 shots in one turn", chat=True, shots=2, multiturn=False),
    Setting("system prompt", system=SYSTEM),
    Setting("chat, system prompt, 1 shot", chat=True, shots=1, system=SYSTEM),
    Setting("no pad token", model="bare"),
    Setting("BOS in texts", model="bos"),
    Setting("BOS in the template, 1 shot", model="bos", chat=True, shots=1),
    Setting(
        "generation settings",
        gen_kwargs={"max_gen_toks": 5, "do_sample": True, "temperature": 0.9, "top_k": 1},
        forms=_GENERATED,
    ),
    Setting("shorter context", engine={"max_length": 90}),
    Setting("add_bos_token", engine={"add_bos_token": True}),
    Setting("no add_bos_token", model="bos", engine={"add_bos_token": False}, forms=_GENERATED),
    Setting("thoughts", engine={"think_end_token": "。"}, forms=_UNCUT),
    Setting(
        "chat, thoughts, template argument",
        chat=True,
        engine={"think_end_token": "a", "enable_thinking": True},
        forms=_UNCUT,
    ),
)
