"""Tasks that score given answers or texts: choices, likelihoods, and groups of such tasks."""

from __future__ import annotations

from typing import Any

from benchmarks.lm_eval_equality.task_parts import JSON, TRAIN, Function, metric

PARTS = ("eq_choice", "eq_choice_inputs", "eq_choice_targets")
"""Tasks of a group."""

_CHOOSE: dict[str, Any] = {
    **JSON,
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "metric_list": [metric("acc"), metric("acc_norm")],
}
_LIKELY = _CHOOSE | {"process_results": Function("of_likelihoods")}
_LIKELY["metric_list"] = [metric("acc"), metric("first"), metric("sum")]
_ONE: dict[str, Any] = {
    **JSON,
    "output_type": "loglikelihood",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_target": "{{answer}}",
    "process_results": Function("of_one_likelihood"),
    "metric_list": [metric("likelihood"), metric("greedy")],
}
_WHOLE: dict[str, Any] = {
    **JSON,
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{passage}}",
    "process_results": Function("of_text"),
    "metric_list": [metric("total"), metric("per_word")],
}
_PERPLEXITIES = ("word_perplexity", "byte_perplexity", "bits_per_byte")


def given() -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    """Make the tasks, by name, each with the metrics of it that a search scores."""
    right = ("acc,none", "acc_norm,none")
    return {
        "choice": (_CHOOSE, right),
        "choice_several": (
            _CHOOSE
            | {
                "doc_to_choice": ["no", "yes"],
                "doc_to_target": "{{binary}}",
                "metric_list": [
                    metric("acc"),
                    metric("f1", "f1"),
                    metric("mcc", "matthews_corrcoef"),
                    metric("brier_score", "brier_score") | {"higher_is_better": False},
                ],
            },
            ("acc,none", "f1,none", "mcc,none", "brier_score,none"),
        ),
        "choice_bytes": (
            _CHOOSE | {"metric_list": [metric("acc_bytes"), metric("acc_mutual_info")]},
            ("acc_bytes,none", "acc_mutual_info,none"),
        ),
        "choice_numbers": (_LIKELY, ("first,none", "sum,none")),
        "choice_shots": (_LIKELY | TRAIN, ("sum,none",)),
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
                    metric("acc"),
                    metric("perplexity", "perplexity") | {"higher_is_better": False},
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


def group(name: str, by_size: bool) -> dict[str, Any]:
    """Make a group of tasks, with a group in it.

    Args:
        name: Its name.
        by_size: Whether its score is weighted by the sizes of the tasks.
    """
    inner = {"group": f"{name}_inner", "task": list(PARTS[1:])}
    metric = {"metric": "acc", "aggregation": "mean", "weight_by_size": by_size}
    return {"group": name, "task": [PARTS[0], inner], "aggregate_metric_list": [metric]}
