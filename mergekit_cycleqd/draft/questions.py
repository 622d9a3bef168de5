"""Find question, choices and answer in a row of data, by the names that data sets use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

TURNS = ("messages", "conversations", "conversation")
_QUESTIONS = ("question", "prompt", "instruction", "query", "problem", "input", "text", "sentence")
_ANSWERS = (
    "answer",
    "answerkey",
    "response",
    "output",
    "completion",
    "target",
    "solution",
    "label",
    "expected",
    "reference",
)
_CHOICES = ("choices", "options")
_ONE_CHOICE = re.compile(r"(?:choice|option)?[ _]?([a-j]|\d)")
_ASKS, _ANSWERED = ("user", "human"), ("assistant", "gpt")


def question_in(row: Mapping[str, Any]) -> str:
    """The question of a row, with the white space that a model may have been trained with.

    Args:
        row: Its values by column, with names in lower case.

    Raises:
        ValueError: If there is none.
    """
    if turns := _turns(row):
        return "\n\n".join(text for _, text in turns[:-1])
    name = _column(row, _QUESTIONS)
    if name is None:
        raise ValueError(_lacks("question", _QUESTIONS, row))
    question = row[name] if isinstance(row[name], str) else _text(row[name])
    more = _text(row.get("input")) if name == "instruction" else ""
    return f"{question}\n\n{more}" if more else question


def choices_in(row: Mapping[str, Any]) -> dict[str, str]:
    """What can be chosen, by the label that an answer may name it by; empty without choices.

    Raises:
        ValueError: If there is but one choice, or no list of them.
    """
    name = _column(row, _CHOICES)
    if name is not None:
        held = row[name]
        if isinstance(held, Mapping):  # as ARC has them
            return _labelled(_list(held.get("text", ())), _list(held.get("label", ())))
        if isinstance(held, str):
            held = [part for part in re.split(r"\s*[|;]\s*", held) if part]
        return _labelled(_list(held))
    found = {}
    for column, value in row.items():
        match = _ONE_CHOICE.fullmatch(column)
        if match and _text(value):
            found[match[1].upper()] = _text(value)
    return found if len(found) > 1 else {}


def _list(held: Any) -> list[Any]:
    if not isinstance(held, list | tuple):
        raise ValueError(f"needs a list of choices, got {held!r:.60}")
    return list(held)


def _labelled(texts: Sequence[Any], labels: Sequence[Any] = ()) -> dict[str, str]:
    if len(texts) < 2:
        raise ValueError(f"needs two or more choices, got {len(texts)}")
    names = labels if len(labels) == len(texts) else [chr(ord("A") + i) for i in range(len(texts))]
    return {str(name): _text(text) for name, text in zip(names, texts, strict=True)}


def answer_in(row: Mapping[str, Any], choices: Mapping[str, str]) -> str:
    """The right answer of a row; one of the choices if there are any.

    Args:
        row: Its values by column, with names in lower case.
        choices: By label. An answer may be a label, a number from 0, or a choice itself.

    Raises:
        ValueError: If there is none, or it is no choice.
    """
    if turns := _turns(row):
        return turns[-1][1]
    name = _column(row, _ANSWERS)
    if name is None:
        raise ValueError(_lacks("answer", _ANSWERS, row))
    answer = _text(row[name])
    if not choices:
        return answer
    texts = list(choices.values())
    if answer in texts:
        return answer
    if answer.upper() in choices or answer in choices:
        return choices.get(answer) or choices[answer.upper()]
    if answer.isdigit() and int(answer) < len(texts):
        return texts[int(answer)]
    raise ValueError(f"needs an answer that is one of {', '.join(texts)}, got {answer!r}")


def _turns(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Question and answer of a row that holds a chat, with a system's text before; else empty.

    Raises:
        ValueError: If it is no single question with its answer.
    """
    name = next((name for name in TURNS if isinstance(row.get(name), list)), None)
    if name is None:
        return []
    said = []
    for turn in row[name]:
        if not isinstance(turn, Mapping):
            raise ValueError(f"{name}: must hold turns of a role and a content, got {turn!r:.60}")
        role = str(turn.get("role", turn.get("from", "")))
        said.append((role, _text(turn.get("content", turn.get("value")))))
    roles = [role for role, _ in said if role != "system"]
    if len(roles) != 2 or roles[0] not in _ASKS or roles[1] not in _ANSWERED or not said[-1][1]:
        got = ", ".join(roles) or "none"
        raise ValueError(f"{name}: needs one turn of a user and one of an assistant, got {got}")
    return said


def _column(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of some columns that has a value in a row."""
    return next((name for name in names if _text(row.get(name))), None)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and value and not isinstance(value[0], Mapping):
        return _text(value[0])  # of several right answers the first
    if isinstance(value, Mapping | list | tuple) and not value:
        return ""
    return "" if value is None else str(value).strip()


def _lacks(what: str, names: Sequence[str], row: Mapping[str, Any]) -> str:
    has = ", ".join(name for name in row if _text(row[name])) or "none"
    return f"needs a column of the {what}, such as {', '.join(names[:4])}; it has {has}"
