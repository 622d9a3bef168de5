"""The card's words on prompts: examples, chat template and generation settings of each task."""

from __future__ import annotations

import json
from typing import Any

from mergekit_cycleqd.run_folder.run_view import RunView


def prompts_text(run: RunView) -> str:
    """List the settings that the prompts of each task were made with.

    Args:
        run: The run. Journals of earlier versions do not tell the settings.

    Returns:
        The list, with a blank line before it; empty where nothing is known.
    """
    if not run.prompts:
        return ""
    lines = [
        f"- {task}: {', '.join(_code(f'{key}: {_plain(value)}') for key, value in made.items())}"
        for task, made in run.prompts.items()
    ]
    return "\n\nTheir prompts, in lm-evaluation-harness's terms:\n\n" + "\n".join(lines)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _code(text: str) -> str:
    """Mark text as code, whatever backticks are in it."""
    return f"```` {text} ````" if "`" in text else f"`{text}`"
