"""The card's words on prompts: examples, chat template and generation settings of each task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.units import counted


def prompts_text(run: RunView) -> str:
    """List the settings that the prompts of each task were made with.

    Args:
        run: The run. Journals of earlier versions do not tell the settings.

    Returns:
        The list, with a blank line before it; empty where nothing is known.
    """
    if not run.prompts:
        return ""
    if not run.of_first_rules:
        told = [f"- {task}: {'; '.join(_in_words(made))}." for task, made in run.prompts.items()]
        return "\n\nHow the models were asked:\n\n" + "\n".join(told)
    lines = [
        f"- {task}: {', '.join(_code(f'{key}: {_plain(value)}') for key, value in made.items())}"
        for task, made in run.prompts.items()
    ]
    return "\n\nTheir prompts, in lm-evaluation-harness's terms:\n\n" + "\n".join(lines)


def _in_words(made: Mapping[str, Any]) -> Iterator[str]:
    """What lm-eval's settings of a task's prompts and answers mean."""
    template = made.get("apply_chat_template")
    if isinstance(template, str):
        yield f"through the tokenizer's chat template {_code(template)}"
    else:
        yield "through the tokenizer's chat template" if template else "as plain text"
    shots = made.get("num_fewshot")
    shots = shots if isinstance(shots, int) else 0
    turns = " as turns of the chat" if template and made.get("fewshot_as_multiturn") else ""
    yield f"with {counted(shots, 'solved example')}{turns}" if shots else "without solved examples"
    if made.get("system_instruction"):
        yield f"with the system prompt {_code(_plain(made['system_instruction']))}"
    generation = made.get("generation_kwargs")
    yield _answers(generation) if isinstance(generation, Mapping) else "by likelihoods of answers"
    repeats = made.get("repeats")
    if isinstance(repeats, int) and repeats > 1:
        passes = made.get("pass_at")
        yield f"each {repeats} times" + (f", scored as pass@{passes}" if passes else "")


def _answers(settings: Mapping[str, Any]) -> str:
    """How answers are generated, in words; settings that have no words as they are."""
    rest = dict(settings)
    sampled = rest.pop("do_sample", False)
    limit, ends = rest.pop("max_gen_toks", None), rest.pop("until", None) or ()
    words = "sampled answers" if sampled else "answers of the likeliest tokens"
    words += f", at most {limit} tokens" if limit else ""
    ends = ends if isinstance(ends, list | tuple) else [ends]
    words += f", up to {' or '.join(_code(_plain(end)) for end in ends)}" if ends else ""
    if not sampled and not rest.get("temperature"):
        rest.pop("temperature", None)
    return words + "".join(f", {_code(f'{key}: {_plain(value)}')}" for key, value in rest.items())


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _code(text: str) -> str:
    """Mark text as code, whatever backticks are in it."""
    return f"```` {text} ````" if "`" in text else f"`{text}`"
