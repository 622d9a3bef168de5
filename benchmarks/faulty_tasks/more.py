"""More tasks that break, beside those of the tests: other errors, data, types and settings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.faulty_tasks.broken_more import ERRORS

HERE = Path(__file__).parent


class _Function(str):
    pass


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar("!function", name))


def _mine(name: str) -> _Function:
    return _Function(f"broken_more.{name}")


_SOUND: dict[str, Any] = {
    "custom_dataset": _mine("documents"),
    "test_split": "test",
    "doc_to_text": "{{prompt}}",
    "metadata": {"version": 1.0},
}
_CHOOSE = _SOUND | {
    "output_type": "multiple_choice",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
_GENERATE = _SOUND | {
    "output_type": "generate_until",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
_FILE = {"custom_dataset": None, "dataset_path": "json"}


def _metric(**changes: Any) -> dict[str, Any]:
    return {"metric": "acc", "aggregation": "mean", "higher_is_better": True, **changes}


def _generating(**changes: Any) -> dict[str, Any]:
    return _GENERATE | {"generation_kwargs": {"until": ["\n"], "max_gen_toks": 3, **changes}}


def _data(**files: str) -> dict[str, Any]:
    return _CHOOSE | _FILE | {"dataset_kwargs": {"data_files": files}}


def _filtered(**step: Any) -> dict[str, Any]:
    return _GENERATE | {"filter_list": [{"name": "none", "filter": [step]}]}


def _of_errors() -> Iterator[tuple[str, dict[str, Any]]]:
    for error in ERRORS:
        acc = _metric(aggregation=_mine(f"aggregation_{error}"))
        yield f"text_{error}", _CHOOSE | {"doc_to_text": _mine(f"text_{error}")}
        yield f"results_{error}", _CHOOSE | {"process_results": _mine(f"results_{error}")}
        yield f"aggregation_{error}", _CHOOSE | {"metric_list": [acc]}
        yield f"data_{error}", _CHOOSE | {"custom_dataset": _mine(f"data_{error}")}


def _of_values() -> Iterator[tuple[str, dict[str, Any]]]:
    for value in ("number", "nothing", "a_dict", "some_bytes", "half"):
        yield f"text_gives_{value}", _GENERATE | {"doc_to_text": _mine(value)}
        yield f"target_gives_{value}", _CHOOSE | {"doc_to_target": _mine(value)}
        yield f"choice_gives_{value}", _CHOOSE | {"doc_to_choice": _mine(value)}
    for value in (
        "nothing",
        "half",
        "words",
        "nested",
        "results_nan",
        "results_none",
        "results_text",
    ):
        yield f"results_give_{value}", _CHOOSE | {"process_results": _mine(value)}
    for value in ("nothing", "words", "half", "no_number", "endless", "a_set", "a_dict"):
        listed = [_metric(aggregation=_mine(value))]
        yield f"aggregation_gives_{value}", _CHOOSE | {"metric_list": listed}
    for value in ("no_documents", "a_list", "wrong_rows", "nothing", "number"):
        yield f"data_gives_{value}", _CHOOSE | {"custom_dataset": _mine(value)}
    for value in ("empty", "blank"):
        yield f"prompt_{value}", _GENERATE | {"doc_to_text": _mine(value)}


def _of_settings() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "file_absent", _data(test="absent.jsonl")
    yield "file_empty", _data(test="empty.jsonl")
    yield "file_malformed", _data(test="malformed.jsonl")
    yield "file_of_words", _data(test="words.jsonl")
    yield "file_column", _data(test="columns.jsonl")
    yield "file_csv", _data(test="malformed.jsonl") | {"dataset_path": "csv"}
    yield "file_parquet", _data(test="malformed.jsonl") | {"dataset_path": "parquet"}
    yield "hub_absent", _CHOOSE | {"custom_dataset": None, "dataset_path": "nobody/absent-data"}
    yield "function_absent", _CHOOSE | {"doc_to_text": _mine("absent")}
    yield "module_absent", _CHOOSE | {"doc_to_text": _Function("absent_module.text")}
    yield "module_broken", _CHOOSE | {"doc_to_text": _Function("module_broken.text")}
    yield "module_breaks", _CHOOSE | {"doc_to_text": _Function("module_breaks.text")}
    yield "include_absent", {"include": "absent.yaml"}
    yield "class_breaks", _CHOOSE | {"class": _mine("Breaking")}
    yield "class_no_task", _CHOOSE | {"class": _mine("NoTask")}
    yield "gold_beyond", _CHOOSE | {"doc_to_target": "9"}
    yield "gold_words", _CHOOSE | {"doc_to_target": "{{prompt}}"}
    yield "no_choice", {k: v for k, v in _CHOOSE.items() if k != "doc_to_choice"}
    yield "no_target", {k: v for k, v in _GENERATE.items() if k != "doc_to_target"}
    yield "no_text", {k: v for k, v in _GENERATE.items() if k != "doc_to_text"}
    yield "no_split", {k: v for k, v in _CHOOSE.items() if k != "test_split"}
    yield "no_form", {k: v for k, v in _CHOOSE.items() if k != "output_type"}
    yield "metric_unknown", _CHOOSE | {"metric_list": [_metric(metric="truth")]}
    yield "aggregation_unknown", _CHOOSE | {"metric_list": [_metric(aggregation="sum_of_all")]}
    yield "metrics_no_list", _CHOOSE | {"metric_list": "acc"}
    yield "shots_split", _CHOOSE | {"num_fewshot": 2, "fewshot_split": "absent"}
    yield "shots_words", _CHOOSE | {"num_fewshot": "two"}
    yield "shots_negative", _CHOOSE | {"num_fewshot": -2}
    yield "shots_samples", _CHOOSE | {"num_fewshot": 1, "fewshot_config": {"samples": [{"n": 1}]}}
    yield "shots_sampler", _CHOOSE | {"num_fewshot": 1, "fewshot_config": {"sampler": "best"}}
    yield "prefix_undefined", _GENERATE | {"gen_prefix": "{{absent.part}}"}
    yield "description_undefined", _GENERATE | {"description": "{{absent.part}}"}
    yield "jinja_filter", _GENERATE | {"doc_to_text": "{{prompt|absent}}"}
    yield "jinja_call", _GENERATE | {"doc_to_text": "{{prompt.absent()}}"}
    yield "jinja_division", _GENERATE | {"doc_to_text": "{{1 / (n - n)}}"}
    yield "filter_fewer", _filtered(function="custom", filter_fn=_mine("fewer"))
    yield "filter_nothing", _filtered(function="custom", filter_fn=_mine("nothing"))
    yield "filter_words", _filtered(function="custom", filter_fn=_mine("words"))
    yield "filter_setting", _filtered(function="regex", colour="red")
    yield "filter_group", _filtered(function="regex", regex_pattern="(w)", group_select=5)
    yield "filter_k", _filtered(function="take_first_k", k=9)
    yield "tokens_negative", _generating(max_gen_toks=-3)
    yield "tokens_none", _generating(max_gen_toks=0)
    yield "tokens_words", _generating(max_gen_toks="many")
    yield "tokens_context", _generating(max_gen_toks=128)
    yield "until_mapping", _generating(until={"a": 1})
    yield "until_numbers", _generating(until=[1, 2])
    yield "temperature", _generating(do_sample=True, temperature=-1.0)
    yield "top_p", _generating(do_sample=True, temperature=1.0, top_p=3.0)
    yield "beams", _generating(num_beams=0)
    yield "generation_list", _GENERATE | {"generation_kwargs": ["\n"]}
    yield "repeats_negative", _GENERATE | {"repeats": -1}
    yield "repeats_words", _GENERATE | {"repeats": "three"}
    yield "images", _GENERATE | {"doc_to_image": ["prompt"]}
    yield "sounds", _GENERATE | {"doc_to_audio": ["prompt"]}
    yield "not_a_mapping", {}


def _sound() -> Iterator[tuple[str, dict[str, Any]]]:
    """Tasks with no fault of their own, for tokenizers that lack something."""
    whole = {"output_type": "loglikelihood_rolling", "doc_to_target": "{{prompt}}"}
    yield "writes", _GENERATE
    yield "writes_from_nothing", _GENERATE | {"doc_to_text": ""}
    yield "chooses", _CHOOSE
    yield "chooses_from_nothing", _CHOOSE | {"doc_to_text": ""}
    yield (
        "whole_texts",
        _CHOOSE | whole | {"doc_to_text": "", "process_results": _mine("results_sound")},
    )


def write_more(folder: Path) -> list[tuple[str, str]]:
    """Write the tasks, and give name and metric of each."""
    shutil.copy(HERE / "broken_more.py", folder)
    (folder / "module_broken.py").write_text("def text(doc:\n")
    (folder / "module_breaks.py").write_text("1 / 0\n")
    (folder / "empty.jsonl").write_text("")
    (folder / "malformed.jsonl").write_text('{"prompt": "w1", \n[3\n')
    (folder / "words.jsonl").write_text("w1 w2\nw3\n")
    (folder / "columns.jsonl").write_text('{"colour": "red"}\n' * 24)
    made = []
    for name, content in (*_of_errors(), *_of_values(), *_of_settings(), *_sound()):
        named = f"more_{name}"
        text = yaml.dump({"task": named, **content}, Dumper=_Dumper)
        if name == "not_a_mapping":
            text = f"task: {named}\ndoc_to_text: [}}\n"
        (folder / f"{named}.yaml").write_text(text)
        generates = content.get("output_type") == "generate_until"
        made.append((named, "exact_match,none" if generates else "acc,none"))
    return made
