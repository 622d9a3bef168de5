"""Tasks of lm-eval that break: every place where code of a task runs, and every kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

LATE = 7
"""The document at which a task breaks that works for the first ones."""

_MODULE = """
import datasets

def documents(**_):
    rows = [
        {"n": n, "prompt": f"w{n} w{n + 1}", "answer": f"w{n + 2}",
         "choices": ["w1", "w2", "w3"], "gold": n % 3, "broken": n == %(late)d}
        for n in range(40)
    ]
    return {"test": datasets.Dataset.from_list(rows)}

ERRORS = {
    "ValueError": lambda: int("many"),
    "TypeError": lambda: "a" + 1,
    "KeyError": lambda: {}["absent"],
    "AssertionError": lambda: (_ for _ in ()).throw(AssertionError()),
    "ZeroDivisionError": lambda: 1 / 0,
    "SystemExit": lambda: exit("bye"),
}

def _breaking(error, late, otherwise):
    def function(doc, *_):
        if not late or doc["broken"]:
            ERRORS[error]()
        return otherwise(doc)
    return function

for _error in ERRORS:
    for _late in (False, True):
        _name = _error + ("_late" if _late else "")
        for _place, _otherwise in {
            "text": lambda doc: doc["prompt"],
            "target": lambda doc: doc["answer"],
            "choice": lambda doc: doc["choices"],
            "results": lambda doc: {"acc": 1.0},
        }.items():
            globals()[f"{_place}_{_name}"] = _breaking(_error, _late, _otherwise)

def _of_no_document(error):
    return lambda *_, **__: ERRORS[error]()

for _error in ERRORS:
    for _place in ("aggregation", "metric", "filter", "docs", "data"):
        globals()[f"{_place}_{_error}"] = _of_no_document(_error)

def no_text(doc): return None
def half_a_pair(doc): return doc["prompt"] + "\\ud800"
def a_number(doc, results): return 1.0
def words(doc, results): return {"acc": "much"}
def no_choices(doc): return []
"""


@dataclass(frozen=True)
class FaultyTask:
    """A task that cannot be scored.

    Attributes:
        name: Its name in lm-eval.
        metric: A metric of it.
        content: The keys of its file, beside those of a sound task.
        sample: The only document that is at fault; None if it is not one alone.
        words: What the line on it must hold.
    """

    name: str
    metric: str
    content: dict[str, Any]
    sample: int | None
    words: str


class _Function(str):
    """The name of a function of the module, as YAML's tag."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Function, lambda dumper, name: dumper.represent_scalar("!function", f"broken.{name}")
)

_ACC = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]
_EXACT = [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]
_SOUND: dict[str, Any] = {
    "custom_dataset": _Function("documents"),
    "test_split": "test",
    "doc_to_text": "{{prompt}}",
    "metadata": {"version": 1.0},
}
_CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "metric_list": _ACC,
}
_ACCURACY = {"output_type": "loglikelihood", "metric_list": _ACC}
_GENERATE = {
    "output_type": "generate_until",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3, "do_sample": False},
    "metric_list": _EXACT,
}
_ERRORS = (
    "ValueError",
    "TypeError",
    "KeyError",
    "AssertionError",
    "ZeroDivisionError",
    "SystemExit",
)


def faulty_tasks() -> list[FaultyTask]:
    """Make all tasks, each of another name."""
    return [*_of_documents(), *_of_whole_tasks(), *_of_settings()]


def _of_documents() -> Iterator[FaultyTask]:
    """Functions that break at every document, or at one alone."""
    for error in _ERRORS:
        for suffix, sample in (("", None), ("_late", LATE)):
            name = f"{error}{suffix}"
            function = {
                place: _Function(f"{place}_{name}")
                for place in ("text", "target", "choice", "results")
            }
            forms: dict[str, dict[str, Any]] = {
                "text": _GENERATE | {"doc_to_text": function["text"]},
                "target": _GENERATE | {"doc_to_target": function["target"]},
                "choice": _CHOICE | {"doc_to_choice": function["choice"]},
                "results": _CHOICE | {"process_results": function["results"]},
                "shots": _CHOICE | {"doc_to_text": function["text"], "num_fewshot": 2},
            }
            for place, content in forms.items():
                metric = "exact_match,none" if place in ("text", "target") else "acc,none"
                words = error if error != "SystemExit" else "bye"
                # an example may be the broken document, before its turn
                yield FaultyTask(
                    f"{place}_{name}".lower(),
                    metric,
                    content,
                    None if place == "shots" else sample,
                    words,
                )


def _of_whole_tasks() -> Iterator[FaultyTask]:
    """Functions that see no document, or all at once."""
    for error in _ERRORS:
        words = error if error != "SystemExit" else "bye"

        def made(place: str, error: str = error) -> _Function:
            return _Function(f"{place}_{error}")

        acc = {"metric": "acc", "aggregation": made("aggregation"), "higher_is_better": True}
        mine = {"metric": made("metric"), "aggregation": "mean", "higher_is_better": True}
        step = {"function": "custom", "filter_fn": made("filter")}
        forms: dict[str, tuple[str, dict[str, Any]]] = {
            "aggregation": ("acc,none", _CHOICE | {"metric_list": [acc]}),
            "metric": ("<lambda>,none", _GENERATE | {"metric_list": [mine]}),
            "filter": (
                "exact_match,mine",
                _GENERATE | {"filter_list": [{"name": "mine", "filter": [step]}]},
            ),
            "docs": ("acc,none", _CHOICE | {"process_docs": made("docs")}),
            "data": ("acc,none", _CHOICE | {"custom_dataset": made("data")}),
        }
        for place, (metric, content) in forms.items():
            yield FaultyTask(f"{place}_{error}".lower(), metric, content, None, words)


def _of_settings() -> Iterator[FaultyTask]:
    """Keys that do not fit the documents, the model or lm-eval."""
    late = "{{ prompt if not broken else %s }}"
    regex = {"function": "regex", "regex_pattern": "(w"}
    long = {"until": ["\n"], "max_gen_toks": 200}
    changes: dict[str, tuple[dict[str, Any], int | None, str]] = {
        "undefined": (_CHOICE | {"doc_to_text": "{{absent.part}}"}, None, "absent"),
        "undefined_late": (_CHOICE | {"doc_to_text": late % "absent.part"}, LATE, "absent"),
        "syntax": (_CHOICE | {"doc_to_text": "{{prompt"}, None, "TemplateSyntaxError"),
        "no_text": (_CHOICE | {"doc_to_text": _Function("no_text")}, 0, "Context is not a string"),
        "half_a_pair": (_CHOICE | {"doc_to_text": _Function("half_a_pair")}, 0, "TextEncodeInput"),
        "a_number": (
            _CHOICE | {"process_results": _Function("a_number")},
            0,
            "a mapping of metrics",
        ),
        "words": (_CHOICE | {"process_results": _Function("words")}, None, "TypeError"),
        "no_choices": (_CHOICE | {"doc_to_choice": _Function("no_choices")}, None, "no_choices"),
        "empty_target": (
            _ACCURACY | {"doc_to_target": "{{ '' if broken else ' w3' }}"},
            LATE,
            "AssertionError",
        ),
        "choices_no_list": (_CHOICE | {"doc_to_choice": "{{prompt}}"}, None, "choices_no_list"),
        "too_many_shots": (_CHOICE | {"num_fewshot": 60}, 0, "ample"),
        "no_split": (_CHOICE | {"test_split": "train"}, None, "train"),
        "no_data": (_CHOICE | {"custom_dataset": None, "dataset_path": "json"}, None, "no_data"),
        "long_answers": (_GENERATE | {"generation_kwargs": long}, None, "context of 128"),
        "strange_setting": (
            _GENERATE | {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 3, "colour": 3}},
            0,
            "colour",
        ),
        "hot": (_GENERATE | {"generation_kwargs": {"temperature": "hot"}}, None, "hot"),
        "until": (_GENERATE | {"generation_kwargs": {"until": 3, "max_gen_toks": 3}}, 0, "until"),
        "regex": (
            _GENERATE | {"filter_list": [{"name": "none", "filter": [regex]}]},
            None,
            "re.error|PatternError|unterminated|missing \\)",
        ),
        "no_filter": (
            _GENERATE | {"filter_list": [{"name": "none", "filter": [{"function": "absent"}]}]},
            None,
            "absent",
        ),
        "form": (_CHOICE | {"output_type": "poem"}, None, "poem"),
        "no_repeats": (_GENERATE | {"repeats": 0}, None, ""),
        "no_metric": (_GENERATE | {"metric_list": [{"aggregation": "mean"}]}, None, "metric"),
        "unknown_key": (_CHOICE | {"colour": "red"}, None, "colour"),
    }
    for name, (content, sample, words) in changes.items():
        metric = "exact_match,none" if content["output_type"] == "generate_until" else "acc,none"
        yield FaultyTask(name, metric, content, sample, words)


def write_faulty_tasks(folder: Path) -> list[FaultyTask]:
    """Write the files of all tasks, for `include_path`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "broken.py").write_text(_MODULE.replace("%(late)d", str(LATE)))
    tasks = faulty_tasks()
    for task in tasks:
        content = {"task": task.name, **_SOUND, **task.content}
        (folder / f"{task.name}.yaml").write_text(yaml.dump(content, Dumper=_Dumper))
    return tasks
