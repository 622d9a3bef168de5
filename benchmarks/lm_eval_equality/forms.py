"""Task files of every form that lm-eval knows: output types, data, prompts, filters, metrics."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import yaml

from benchmarks.lm_eval_equality.documents import STOPS, documents

HERE = Path(__file__).parent
DOCUMENTS = 16


@dataclass(frozen=True)
class Form:
    """A task.

    Attributes:
        name: Its name in lm-eval.
        content: Its file.
        searched: Metrics of it that are scored as a search does it.
        sampled: Whether answers are drawn at random.
        parts: Tasks of a group.
    """

    name: str
    content: dict[str, Any]
    searched: tuple[str, ...]
    sampled: bool = False
    parts: tuple[str, ...] = ()


class _Function(str):
    pass


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Function, lambda dumper, name: dumper.represent_scalar("!function", f"functions.{name}")
)


def _metric(metric: str, aggregation: Any = "mean", **more: Any) -> dict[str, Any]:
    return {"metric": metric, "aggregation": aggregation, "higher_is_better": True, **more}


_DIGEST = {"metric": _Function("digest"), "aggregation": "mean", "higher_is_better": True}
_JSON: dict[str, Any] = {
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "test.jsonl", "train": "train.jsonl"}},
    "test_split": "test",
    "metadata": {"version": 1.0},
}
_GENERATE: dict[str, Any] = {
    **_JSON,
    "output_type": "generate_until",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_target": " {{answer}}",
    "generation_kwargs": {"until": ["\n", "。"], "max_gen_toks": 14, "do_sample": False},
    "metric_list": [_metric("exact_match"), _DIGEST],
}
_CHOOSE: dict[str, Any] = {
    **_JSON,
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "metric_list": [_metric("acc"), _metric("acc_norm")],
}
_LIKELY = _CHOOSE | {"process_results": _Function("of_likelihoods")}
_LIKELY["metric_list"] = [_metric("acc"), _metric("first"), _metric("sum")]
_ONE: dict[str, Any] = {
    **_JSON,
    "output_type": "loglikelihood",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_target": "{{answer}}",
    "process_results": _Function("of_one_likelihood"),
    "metric_list": [_metric("likelihood"), _metric("greedy")],
}
_WHOLE: dict[str, Any] = {
    **_JSON,
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{passage}}",
    "process_results": _Function("of_text"),
    "metric_list": [_metric("total"), _metric("per_word")],
}
_TRAIN = {"training_split": "train", "fewshot_split": "train", "num_fewshot": 2}
_PERPLEXITIES = ("word_perplexity", "byte_perplexity", "bits_per_byte")
_PARTS = ("eq_choice", "eq_choice_inputs", "eq_choice_targets")
_TOP = {"until": ["\n"], "max_gen_toks": 14, "do_sample": True, "temperature": 0.7}


def _files(kind: str) -> dict[str, Any]:
    return {"dataset_path": kind, "dataset_kwargs": {"data_files": {"test": f"test.{kind}"}}}


def _filtered(*steps: dict[str, Any], name: str) -> dict[str, Any]:
    return {"name": name, "filter": list(steps)}


_FIRST = {"function": "take_first"}
_REGEX = {"function": "regex", "regex_pattern": r"(\w+)", "fallback": "[none]"}
_FILTERS = [
    _filtered(_REGEX, _FIRST, name="word"),
    _filtered({"function": "lowercase"}, {"function": "majority_vote"}, _FIRST, name="vote"),
    _filtered({"function": "custom", "filter_fn": _Function("upper")}, _FIRST, name="upper"),
]
_SEVERAL = [
    _metric("exact_match", ignore_case=True, ignore_punctuation=True, regexes_to_ignore=["[^a-z]"]),
    _metric("bleu", "bleu"),
    _metric("chrf", "chrf"),
    _DIGEST,
]


def _made() -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    digest, right = ("digest,none",), ("acc,none", "acc_norm,none")
    return {
        "gen": (_GENERATE, digest),
        "gen_several": (_GENERATE | {"metric_list": _SEVERAL}, ("chrf,none", "exact_match,none")),
        "gen_stops": (_GENERATE | {"generation_kwargs": _stopping(*STOPS)}, digest),
        "gen_letters": (_GENERATE | {"generation_kwargs": _stopping("e", "ü", " –")}, digest),
        "gen_no_stop": (_GENERATE | {"generation_kwargs": _stopping()}, digest),
        "gen_whole": (
            _GENERATE
            | {
                "generation_kwargs": _stopping(num_beams=2),
                "process_results": _Function("of_answer"),
                "metric_list": [_metric("digest"), _metric("length")],
            },
            ("digest,none", "length,none"),
        ),
        "gen_filters": (
            _GENERATE | {"repeats": 3, "filter_list": _FILTERS},
            ("digest,word", "digest,vote", "exact_match,upper"),
        ),
        "gen_results": (
            _GENERATE
            | {
                "process_results": _Function("of_answer"),
                "metric_list": [_metric("digest"), _metric("length")],
            },
            ("digest,none", "length,none", "right,none", "seldom,none"),
        ),
        "gen_mapping": (
            _GENERATE
            | {
                "repeats": 2,
                "filter_list": [
                    _filtered({"function": "take_first_k", "k": 2}, name="both"),
                ],
                "metric_list": [
                    {
                        "metric": _Function("digests_at"),
                        "aggregation": "mean",
                        "higher_is_better": True,
                        "k": [1, 2],
                    }
                ],
            },
            ("digest@2,both",),
        ),
        "gen_shots": (_GENERATE | _TRAIN, digest),
        "gen_first_shots": (
            _GENERATE | _TRAIN | {"fewshot_config": {"split": "train", "sampler": "first_n"}},
            digest,
        ),
        "gen_prefix": (_GENERATE | {"gen_prefix": "Well,"}, digest),
        "gen_prefix_shots": (_GENERATE | _TRAIN | {"gen_prefix": "So, {{animal}}:"}, digest),
        "gen_described": (
            _GENERATE
            | _TRAIN
            | {
                "description": "Answer about the {{animal}}。\n",
                "fewshot_delimiter": "\n###\n",
                "target_delimiter": "→",
            },
            digest,
        ),
        "gen_function": (
            _GENERATE | {"doc_to_text": _Function("asked"), "process_docs": _Function("shorter")},
            digest,
        ),
        "gen_data": (
            _GENERATE
            | {"custom_dataset": _Function("rows"), "dataset_path": None, "dataset_kwargs": None},
            digest,
        ),
        "gen_csv": (_GENERATE | _files("csv"), digest),
        "gen_parquet": (_GENERATE | _files("parquet"), digest),
        "gen_targets": (_GENERATE | {"doc_to_target": "answers"}, ("exact_match,none",)),
        "gen_long": (_GENERATE | {"doc_to_text": "{{passage}} {{passage}} {{question}}"}, digest),
        "gen_aggregation": (
            _GENERATE
            | {
                "metric_list": [
                    {
                        "metric": _Function("digest"),
                        "aggregation": _Function("last_but_one"),
                        "higher_is_better": True,
                    }
                ]
            },
            digest,
        ),
        "gen_top": (_GENERATE | {"generation_kwargs": _TOP | {"top_k": 1}}, digest),
        "gen_beams": (_GENERATE | {"generation_kwargs": _stopping("\n", num_beams=2)}, digest),
        "choice": (_CHOOSE, right),
        "choice_several": (
            _CHOOSE
            | {
                "doc_to_choice": ["no", "yes"],
                "doc_to_target": "{{binary}}",
                "metric_list": [
                    _metric("acc"),
                    _metric("f1", "f1"),
                    _metric("mcc", "matthews_corrcoef"),
                    _metric("brier_score", "brier_score") | {"higher_is_better": False},
                ],
            },
            ("acc,none", "f1,none", "mcc,none", "brier_score,none"),
        ),
        "choice_bytes": (
            _CHOOSE | {"metric_list": [_metric("acc_bytes"), _metric("acc_mutual_info")]},
            ("acc_bytes,none", "acc_mutual_info,none"),
        ),
        "choice_numbers": (_LIKELY, ("first,none", "sum,none")),
        "choice_shots": (_LIKELY | _TRAIN, ("sum,none",)),
        "choice_prefix": (_LIKELY | {"gen_prefix": "It is"}, ("sum,none",)),
        "choice_inputs": (
            _CHOOSE
            | {
                "doc_to_text": "{{gold}}",
                "doc_to_choice": "{{choices}}",
                "doc_to_target": " is the colour of the {{animal}}",
            },
            right,
        ),
        "choice_targets": (_CHOOSE | {"doc_to_target": "{{golds}}"}, ("acc,none",)),
        "choice_no_space": (_LIKELY | {"target_delimiter": ""}, ("sum,none",)),
        "choice_long": (_LIKELY | {"doc_to_text": "{{passage}} {{passage}}"}, ("sum,none",)),
        "likelihood": (_ONE, ("likelihood,none",)),
        "likelihood_listed": (
            {key: value for key, value in _ONE.items() if key != "process_results"}
            | {
                "metric_list": [
                    _metric("acc"),
                    _metric("perplexity", "perplexity") | {"higher_is_better": False},
                ]
            },
            ("acc,none", "perplexity,none"),
        ),
        "likelihood_empty": (_ONE | {"doc_to_text": ""}, ("likelihood,none",)),
        "rolling": (_WHOLE, ("total,none", "per_word,none")),
        "rolling_listed": (
            {key: value for key, value in _WHOLE.items() if key != "process_results"}
            | {"metric_list": [{"metric": name} for name in _PERPLEXITIES]},
            tuple(f"{name},none" for name in _PERPLEXITIES),
        ),
        "rolling_long": (_WHOLE | {"doc_to_target": "{{passage}} {{passage}}"}, ("total,none",)),
    }


def _stopping(*until: str, **more: Any) -> dict[str, Any]:
    return {"until": list(until), "max_gen_toks": 14, "do_sample": False, **more}


def forms() -> list[Form]:
    """Make all forms, one whose answers are drawn at random, and two groups."""
    found = [Form(f"eq_{name}", *made) for name, made in _made().items()]
    several = {"metric": _Function("digests_at"), "aggregation": "mean", "higher_is_better": True}
    drawn = _GENERATE | {
        "generation_kwargs": _TOP | {"temperature": 1.0},
        "repeats": 16,
        "filter_list": [_filtered({"function": "take_first_k", "k": 16}, name="all")],
        "metric_list": [several | {"k": [16]}],
    }
    by_size, evenly = (
        Form(f"eq_{name}", _group(f"eq_{name}", by_size), ("acc,none",), parts=_PARTS)
        for name, by_size in (("group", True), ("group_even", False))
    )
    at_random = Form("eq_gen_drawn", drawn, ("digest@16,all",), sampled=True)
    return [*found, at_random, by_size, evenly]


def _group(name: str, by_size: bool) -> dict[str, Any]:
    inner = {"group": f"{name}_inner", "task": list(_PARTS[1:])}
    metric = {"metric": "acc", "aggregation": "mean", "weight_by_size": by_size}
    return {"group": name, "task": [_PARTS[0], inner], "aggregate_metric_list": [metric]}


def write_forms(folder: Path) -> list[Form]:
    """Write the files of all forms with their data, for `include_path`."""
    folder.mkdir(parents=True)
    shutil.copy(HERE / "functions.py", folder)
    test, train = documents(11, DOCUMENTS), documents(12, 40)
    for split, docs in (("test", test), ("train", train)):
        lines = "\n".join(json.dumps(doc, ensure_ascii=False) for doc in docs)
        (folder / f"{split}.jsonl").write_text(lines + "\n", encoding="utf-8")
    flat = [{key: doc[key] for key in ("n", "question", "animal", "answer")} for doc in test]
    table = datasets.Dataset.from_list(flat)
    table.to_csv(folder / "test.csv", index=False)
    table.to_parquet(folder / "test.parquet")
    made = forms()
    for form in made:
        content = form.content if form.parts else {"task": form.name, **form.content}
        file = folder / f"{form.name}.yaml"
        file.write_text(yaml.dump(content, Dumper=_Dumper, allow_unicode=True, sort_keys=False))
    return made
