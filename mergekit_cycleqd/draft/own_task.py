"""Make a task of lm-eval from questions and answers: its file, its data, and what a recipe says."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import yaml

from mergekit_cycleqd.draft.examples import Example
from mergekit_cycleqd.errors import RecipeError

Match = Literal["auto", "exact", "contains", "number", "choice"]
FOLDER = "tasks"
"""Where the files of tasks are written, beside the recipe."""

_NUMBER = re.compile(r"[-+]?\$?\d[\d,]*(?:\.\d+)?%?")
_LAST = re.compile(r"####\s*(\S+)\s*$")  # how GSM8K ends an answer with steps
_MOST_LABELS, _LABEL_WORDS, _FEW_WORDS = 8, 3, 5
_MOST_ASKED = 50

_CONTAINS = '''\
"""Score an answer by whether the expected one stands in it, as whole words in any case."""

import re


def contains(doc, results):
    expected, said = (" ".join(text.split()).casefold() for text in (doc["answer"], results[0]))
    found = re.search(rf"(?<!\\w){re.escape(expected)}(?!\\w)", said)
    return {"contains": float(found is not None)}
'''


@dataclass(frozen=True)
class RecipeTask:
    """A task as a recipe names it.

    Attributes:
        spec: What the user wrote.
        task: Its name to lm-eval.
        metric: Metric and filter.
        documents: How many samples it has.
        include_path: Folder of its file; None for lm-eval's own.
        evaluator: What scores it.
        how: How it is scored, in words.
        files: Text of each file to write, by its path beside the recipe.
        settings: Lines that the recipe needs besides.
    """

    spec: str
    task: str
    metric: str
    documents: int
    include_path: str | None = None
    evaluator: str = "lm_eval"
    how: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[str, ...] = ()


def own_task(
    spec: str, name: str, examples: Sequence[Example], match: Match, *, chats: bool
) -> RecipeTask:
    """Make the task of some examples.

    Args:
        spec: The file that they are from.
        name: The task's name.
        examples: Questions and answers.
        match: How answers are compared; ``auto`` looks at them.
        chats: Whether the base's tokenizer has a chat template.

    Raises:
        RecipeError: If answers cannot be compared so.
    """
    kind = kind_of(examples, chats=chats) if match == "auto" else match
    if fault := _fault(examples, kind):
        raise RecipeError([f"--task {spec}: --match {kind} {fault}"])
    rows = [_row(example, kind, examples) for example in examples]
    rows.sort(key=lambda row: hashlib.sha256(str(row["question"]).encode()).digest())
    content, how, metric = _content(name, kind, rows, chats=chats)
    note = f"# Made from {spec} by `mergekit-cycleqd init`: {how}.\n"
    files = {
        f"{FOLDER}/{name}.yaml": note + _yaml(content),
        f"{FOLDER}/{name}.jsonl": "".join(
            json.dumps(row, ensure_ascii=False) + "\n" for row in rows
        ),
    }
    if kind == "contains":
        files[f"{FOLDER}/contains.py"] = _CONTAINS
    return RecipeTask(spec, name, metric, len(rows), FOLDER, how=how, files=files)


def kind_of(examples: Sequence[Example], *, chats: bool) -> Match:
    """How answers are best compared, by their form.

    Args:
        examples: Questions and answers.
        chats: Whether the model chats, so that it may put an answer into a sentence.
    """
    answers = [example.answer for example in examples]
    if all(example.choices for example in examples):
        return "choice"
    if all(_number(answer) is not None for answer in answers):
        return "number"
    words = max(len(answer.split()) for answer in answers)
    labels = len(set(answers))
    if 1 < labels <= _MOST_LABELS and words <= _LABEL_WORDS and len(answers) >= 5 * labels:
        return "choice"
    return "contains" if chats and words <= _FEW_WORDS else "exact"


def _fault(examples: Sequence[Example], kind: Match) -> str:
    """Why answers cannot be compared in a way; empty if they can be."""
    other = next((each.answer for each in examples if _number(each.answer) is None), None)
    if kind == "number" and other is not None:
        return f"needs answers that are or end with numbers, got {other[:60]!r}"
    labels = {example.answer for example in examples}
    if kind == "choice" and not all(e.choices for e in examples) and len(labels) > _MOST_ASKED:
        return f"needs choices, or at most {_MOST_ASKED} different answers, got {len(labels)}"
    return ""


def _number(answer: str) -> str | None:
    """The number that an answer is or ends with, in its plain form; None if it is none."""
    ends = _LAST.search(answer)
    text = ends[1] if ends else answer
    if _NUMBER.fullmatch(text) is None:
        return None
    plain = re.sub(r"[,$%+]", "", text)
    return re.sub(r"\.?0+$", "", plain) if "." in plain else plain


def _row(example: Example, kind: Match, examples: Sequence[Example]) -> dict[str, object]:
    row: dict[str, object] = {"question": example.question, "answer": example.answer}
    if kind == "number":
        row["answer"] = _number(example.answer) or example.answer
    if kind == "choice":
        choices = example.choices or tuple(sorted({each.answer for each in examples}))
        row["choices"] = list(choices)
        row["answer"] = choices.index(example.answer)
    return row


def _yaml(content: Mapping[str, object]) -> str:
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, default_flow_style=None))


class _Function(str):
    """The name of a function in a file beside the task's."""


class _Dumper(yaml.SafeDumper):
    """Writes names of functions as lm-eval reads them."""


_Dumper.add_representer(
    _Function, lambda dumper, name: dumper.represent_scalar("!function", str(name))
)
_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if "\n" in text else None
    ),
)


def _content(
    name: str, kind: Match, rows: Sequence[Mapping[str, object]], *, chats: bool
) -> tuple[dict[str, object], str, str]:
    """The task's file as data, how it scores in words, and the metric that a recipe names."""
    content: dict[str, object] = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice" if kind == "choice" else "generate_until",
        "doc_to_text": "{{question}}",
    }
    mean: dict[str, object] = {"aggregation": "mean", "higher_is_better": True}
    if kind == "choice":
        content |= {"doc_to_choice": "choices", "doc_to_target": "answer"}
        content["metric_list"] = [{"metric": m, **mean} for m in ("acc", "acc_norm")]
        return (
            content,
            "the choice that the model finds likeliest must be the right one",
            "acc,none",
        )
    content["doc_to_target"] = "{{answer}}"
    answers = [str(row["answer"]) for row in rows]
    content["generation_kwargs"] = {
        "until": _ends(kind, answers, chats=chats),
        "do_sample": False,
        "max_gen_toks": _room(kind, answers, chats=chats),
    }
    if kind == "contains":
        content["process_results"] = _Function("contains.contains")
        content["metric_list"] = [{"metric": "contains", **mean}]
        return content, "the answer must stand in what the model says", "contains,none"
    if kind == "number":
        last = {"function": "regex", "group_select": -1, "regex_pattern": r"(-?\d[\d,]*\.?\d*)"}
        content["filter_list"] = [{"name": "number", "filter": [last, {"function": "take_first"}]}]
        ignored = [",", r"(?<=\.\d)0+$", r"\.0*$"]
        content["metric_list"] = [{"metric": "exact_match", **mean, "regexes_to_ignore": ignored}]
        return (
            content,
            "the last number that the model says must be the answer",
            ("exact_match,number"),
        )
    ignored = [r"^\s+|\s+$"]
    content["metric_list"] = [{"metric": "exact_match", **mean, "regexes_to_ignore": ignored}]
    return content, "the model must say the answer to the letter", "exact_match,none"


def _ends(kind: Match, answers: Sequence[str], *, chats: bool) -> list[str]:
    """Texts that end what a model says."""
    if kind == "exact" and not any("\n" in answer for answer in answers):
        return ["\n"]
    return ["</s>", "<|im_end|>"] if chats else ["\n\n"]


def _room(kind: Match, answers: Sequence[str], *, chats: bool) -> int:
    """How many tokens a model may say, in steps of 16."""
    longest = max(len(answer) for answer in answers)  # and no token is shorter than a character
    steps = -(-min(longest, 2048) // 16) + 1
    if kind == "exact":
        return 16 * steps
    return max(256 if kind == "number" else 64, 16 * steps) if chats else max(64, 16 * steps)
