"""Task files of every form that lm-eval knows: output types, data, prompts, filters, metrics."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import yaml

from benchmarks.lm_eval_equality.documents import documents
from benchmarks.lm_eval_equality.generated import drawn, generated
from benchmarks.lm_eval_equality.given import PARTS, given, group
from benchmarks.lm_eval_equality.task_parts import Function

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


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    Function, lambda dumper, name: dumper.represent_scalar("!function", f"functions.{name}")
)


def forms() -> list[Form]:
    """Make all forms, one whose answers are drawn at random, and two groups."""
    found = [Form(f"eq_{name}", *made) for name, made in (generated() | given()).items()]
    by_size, evenly = (
        Form(f"eq_{name}", group(f"eq_{name}", by_size), ("acc,none",), parts=PARTS)
        for name, by_size in (("group", True), ("group_even", False))
    )
    at_random = Form("eq_gen_drawn", drawn(), ("digest@16,all",), sampled=True)
    return [*found, at_random, by_size, evenly]


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
