"""What in a stranger's recipe and task files could run code, found without running any of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from mergekit_cycleqd.errors import RecipeError, first_line
from mergekit_cycleqd.recipe.foreign_data import data_source, is_address
from mergekit_cycleqd.recipe.foreign_templates import template_code
from mergekit_cycleqd.recipe.generation import NAMING_CODE
from mergekit_cycleqd.recipe.safe_yaml import compose_yaml, read_yaml
from mergekit_cycleqd.recipe.task_defaults import with_defaults
from mergekit_cycleqd.system.printable import printable

_PLAIN = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in (
        *("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "binary"),
        *("set", "omap", "pairs", "merge", "value"),
    )
)
"""Tags of YAML's own types; a directive of a file can give any other tag a name like theirs."""
_KEY = " (a key)"
_METRICS = (
    *("acc", "acc_norm", "acc_mutual_info", "acc_bytes", "acc_all", "exact_match", "f1", "mcc"),
    *("bleu", "chrf", "ter", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"),
    *("likelihood", "brier_score", "bypass", "chrf++"),
)
"""Metrics that lm-eval has itself. It downloads any other one as a program, and runs it."""


@dataclass(frozen=True)
class ForeignCode:
    """The code of a stranger that a run would use.

    Attributes:
        items: A line each, with its file first; empty where there is none.
        digest: Of these lines and of all task files: another one as soon as a byte differs.
    """

    items: tuple[str, ...]
    digest: str


def foreign_code(folder: Path, recipe: Path, tasks: Path) -> ForeignCode:
    """List what could run code, or reach beyond the folder. Nothing is imported or resolved.

    Args:
        folder: What the files are named from.
        recipe: The recipe of the run.
        tasks: The folder with task files; need not exist.
    """
    items = list(_of_recipe(recipe))
    digest = hashlib.sha256()
    for file in sorted(path for path in tasks.rglob("*") if path.is_file()):
        if file.suffix == ".pyc":  # which Python writes itself, and pull-run does not take
            continue
        path = file.relative_to(folder).as_posix()
        name = printable(path, kept="")
        content = file.read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode(errors="surrogateescape") + content)
        if file.suffix == ".py":
            items.append(f"{name}: Python code, {content.count(10)} lines")
        else:
            items += [f"{name}: {what}" for what in dict.fromkeys(_of_task_file(file))]
    digest.update("\n".join(items).encode(errors="surrogateescape"))
    return ForeignCode(tuple(items), digest.hexdigest()[:20])


def _of_recipe(path: Path) -> Iterator[str]:
    """Options by which a run recipe names code, programs or other machines."""
    try:
        content = read_yaml(path)
    except RecipeError:
        return  # such a recipe is not run either
    if not isinstance(content, Mapping):
        return
    engine, tasks = content.get("engine"), with_defaults(content).get("tasks")
    if isinstance(engine, Mapping) and engine.get("options"):
        yield f"{path.name}: engine.options: {engine['options']!r}, which may name code"
    for number, task in enumerate(tasks if isinstance(tasks, list) else []):
        if not isinstance(task, Mapping):
            continue
        options, settings = task.get("metadata"), task.get("gen_kwargs")
        for key in NAMING_CODE:
            if isinstance(settings, Mapping) and key in settings:
                yield f"{path.name}: tasks[{number}].gen_kwargs.{key}: {settings[key]!r}"
        for key, text in _texts(options, f"tasks[{number}].metadata"):
            if re.search(r"\.(dsn|image)\b", key) or is_address(text):
                yield f"{path.name}: {key}: {text!r}, which is run or connected to"


def _of_task_file(path: Path) -> Iterator[str]:
    try:
        node = compose_yaml(path.read_bytes().decode())
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        yield f"cannot be looked into: {first_line(error)}"
        return
    if node is not None:
        yield from _of_node(node, "", set())


def _of_node(node: yaml.Node, key: str, seen: set[int]) -> Iterator[str]:
    if id(node) in seen:
        return
    seen.add(id(node))
    where = printable(key.lstrip("."), kept="") or "the file"
    if node.tag not in _PLAIN:
        named = f" {printable(node.value, kept='')}" if isinstance(node, yaml.ScalarNode) else ""
        yield f"{where}: {printable(node.tag, kept='')}{named}"
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from _of_node(name, f"{key}{_KEY}", seen)
            inner = name.value if isinstance(name, yaml.ScalarNode) else "?"
            yield from _of_node(value, f"{key}.{inner}", seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _of_node(value, f"{key}[{number}]", seen)
    elif isinstance(node, yaml.ScalarNode) and (what := _of_text(node.value, where)):
        yield f"{where}: {what}"


def _of_text(text: str, where: str) -> str | None:
    """Why one text of a task file is code, or reaches beyond the run's folder."""
    last = where.rpartition(".")[2]
    if last in NAMING_CODE and last != "trust_remote_code":
        return f"{text!r}, which names a program or another model"
    if last in ("trust_remote_code", "hf_evaluate"):
        if text.lower() not in ("false", "no", "off"):
            return f"{text}, which lets code run"
    elif last == "metric" and text not in _METRICS:
        return f"{text!r}, a metric that lm-eval downloads as a program"
    elif "{" in text and (reason := template_code(text)):
        return f"a template that {reason}: {text!r}"
    elif is_address(text):
        return f"{text!r}, an address"
    elif _leads_out(text) or (last == "include" and _leads_out(re.sub(r"\s", "_", text))):
        return f"{text!r}, a path outside of the run"
    return None if where.endswith(_KEY) else data_source(where, text)


def _leads_out(text: str) -> bool:
    if not text or "\n" in text or len(text) > 1000:
        return False
    pure = PureWindowsPath(text) if PureWindowsPath(text).drive else PurePosixPath(text)
    outside = pure.is_absolute() or text.startswith(("~/", "file:")) or ".." in pure.parts
    return outside and len(pure.parts) > 1 and not re.search(r"\s", text)


def _texts(content: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _texts(value, f"{key}.{name}")
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from _texts(value, f"{key}[{number}]")
    elif isinstance(content, str):
        yield key, content
