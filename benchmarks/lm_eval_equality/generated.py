"""Tasks in which models write answers: stop texts, filters, repeats, prompts, data files."""

from __future__ import annotations

from typing import Any

from benchmarks.lm_eval_equality.documents import STOPS
from benchmarks.lm_eval_equality.task_parts import DIGEST, JSON, TRAIN, Function, metric

_GENERATE: dict[str, Any] = {
    **JSON,
    "output_type": "generate_until",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_target": " {{answer}}",
    "generation_kwargs": {"until": ["\n", "。"], "max_gen_toks": 14, "do_sample": False},
    "metric_list": [metric("exact_match"), DIGEST],
}
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
    _filtered({"function": "custom", "filter_fn": Function("upper")}, _FIRST, name="upper"),
]
_SEVERAL = [
    metric("exact_match", ignore_case=True, ignore_punctuation=True, regexes_to_ignore=["[^a-z]"]),
    metric("bleu", "bleu"),
    metric("chrf", "chrf"),
    DIGEST,
]


def generated() -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    """Make the tasks, by name, each with the metrics of it that a search scores."""
    digest = ("digest,none",)
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
                "process_results": Function("of_answer"),
                "metric_list": [metric("digest"), metric("length")],
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
                "process_results": Function("of_answer"),
                "metric_list": [metric("digest"), metric("length")],
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
                        "metric": Function("digests_at"),
                        "aggregation": "mean",
                        "higher_is_better": True,
                        "k": [1, 2],
                    }
                ],
            },
            ("digest@2,both",),
        ),
        "gen_shots": (_GENERATE | TRAIN, digest),
        "gen_first_shots": (
            _GENERATE | TRAIN | {"fewshot_config": {"split": "train", "sampler": "first_n"}},
            digest,
        ),
        "gen_prefix": (_GENERATE | {"gen_prefix": "Well,"}, digest),
        "gen_prefix_shots": (_GENERATE | TRAIN | {"gen_prefix": "So, {{animal}}:"}, digest),
        "gen_described": (
            _GENERATE
            | TRAIN
            | {
                "description": "Answer about the {{animal}}。\n",
                "fewshot_delimiter": "\n###\n",
                "target_delimiter": "→",
            },
            digest,
        ),
        "gen_function": (
            _GENERATE | {"doc_to_text": Function("asked"), "process_docs": Function("shorter")},
            digest,
        ),
        "gen_data": (
            _GENERATE
            | {"custom_dataset": Function("rows"), "dataset_path": None, "dataset_kwargs": None},
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
                        "metric": Function("digest"),
                        "aggregation": Function("last_but_one"),
                        "higher_is_better": True,
                    }
                ]
            },
            digest,
        ),
        "gen_top": (_GENERATE | {"generation_kwargs": _TOP | {"top_k": 1}}, digest),
        "gen_beams": (_GENERATE | {"generation_kwargs": _stopping("\n", num_beams=2)}, digest),
    }


def drawn() -> dict[str, Any]:
    """Make a task whose answers are drawn at random."""
    several = {"metric": Function("digests_at"), "aggregation": "mean", "higher_is_better": True}
    return _GENERATE | {
        "generation_kwargs": _TOP | {"temperature": 1.0},
        "repeats": 16,
        "filter_list": [_filtered({"function": "take_first_k", "k": 16}, name="all")],
        "metric_list": [several | {"k": [16]}],
    }


def _stopping(*until: str, **more: Any) -> dict[str, Any]:
    return {"until": list(until), "max_gen_toks": 14, "do_sample": False, **more}
