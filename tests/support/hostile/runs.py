"""Runs of strangers, as `pull-run` takes them from the Hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from mergekit_cycleqd.run_folder.journal_lines import encode
from tests.support.hostile.case import Case, Files, Words
from tests.support.hostile.models import TEMPLATE
from tests.support.hostile.recipes import ESCAPES

TASK = "tasks/0/tiny_red.yaml"
JOURNAL = "journal.jsonl"
Recipe = dict[str, Any]
Change = Callable[[Recipe, Words], None]
TRUST = "brings code; look at it, and add --trust"


def _filled(text: str, words: Words) -> str:
    for key in ("home", "secret", "shell", "canary"):
        text = text.replace(f"<{key}>", getattr(words, key))
    return text


def _task(**changes: Any) -> Callable[[Files, Words], None]:
    """Change the first task's file, as YAML text whose values may be tags."""

    def change(files: Files, words: Words) -> None:
        lines = [line for line in files[TASK].decode().splitlines() if line]
        kept = [line for line in lines if line.partition(":")[0] not in changes]
        told = [f"{key}: {_filled(str(value), words)}" for key, value in changes.items()]
        files[TASK] = "\n".join([*kept, *told, ""]).encode()
        files["tasks/0/own.py"] = words.python.encode()

    return change


def _add(path: str, text: str | bytes) -> Callable[[Files, Words], None]:
    def change(files: Files, words: Words) -> None:
        files[path] = text if isinstance(text, bytes) else _filled(text, words).encode()

    return change


def _put(place: str, value: Any) -> Change:
    """Set a key of the recipe, such as ``tasks[0].metadata``."""

    def change(recipe: Recipe, words: Words) -> None:
        filled = json.loads(_filled(json.dumps(value), words))
        *folders, last = place.replace("[", ".").replace("]", "").split(".")
        inner: Any = recipe
        for name in folders:
            inner = inner[int(name)] if name.isdigit() else inner.setdefault(name, {})
        inner[int(last) if last.isdigit() else last] = filled

    return change


def _line(content: Mapping[str, Any] | bytes) -> Callable[[Files, Words], None]:
    """Add a line to the journal, with its checksum right."""

    def change(files: Files, words: Words) -> None:
        added = content if isinstance(content, bytes) else encode(dict(content))
        files[JOURNAL] = files[JOURNAL] + added

    return change


def _records(change: Callable[[dict[str, Any]], object]) -> Callable[[Files, Words], None]:
    """Change every record of the journal."""

    def changed(files: Files, words: Words) -> None:
        first, *lines = files[JOURNAL].splitlines(keepends=True)
        records = [json.loads(line) for line in lines]
        for record in records:
            record.pop("crc32", None)
            change(record)
        files[JOURNAL] = first + b"".join(encode(record) for record in records)

    return changed


_OTHER_RUN = yaml.safe_dump({"publish": {"what": ["journal"]}})
_PULLED = json.dumps({"from": "nobody", "trusted": "0" * 20})

RUNS = (
    # Code in task files.
    Case("!function of a file beside it", TRUST, _task(process_docs="!function own.go")),
    Case("!function of any library", TRUST, _task(custom_dataset="!function os.system")),
    Case(
        "!function of transformers, with trust_remote_code",
        TRUST,
        _task(
            custom_dataset="!function transformers.pipeline",
            metadata="{task: text-generation, model: evil/code, trust_remote_code: true}",
        ),
    ),
    Case(
        "a tag that builds Python objects",
        TRUST,
        _task(description="!!python/object/apply:os.system ['<shell>']"),
    ),
    Case("a Python file alone", TRUST, _add("tasks/1/conftest.py", "open('<canary>', 'w')\n")),
    Case("a template with code", TRUST, _task(doc_to_text=json.dumps(TEMPLATE % "<shell>"))),
    Case(
        "a template that reaches into objects",
        TRUST,
        _task(doc_to_text="\"{{ prompt['__class__']['__mro__'] }}\""),
    ),
    Case(
        "a template that puts together a name",
        "by a name that it puts together",
        _task(doc_to_text=json.dumps("{{ cycler['_' ~ '_init_' ~ '_'] }}")),
    ),
    Case(
        "a template of the loop",
        "the template engine, loop",
        _task(doc_to_text=json.dumps("{% for a in [1] %}{{ [loop] }}{% endfor %}")),
    ),
    Case(
        "data files by a chain of file systems",
        "'simplecache::http://127.0.0.1:9/x.jsonl', an address",
        _task(
            dataset_path="json",
            dataset_kwargs="{data_files: 'simplecache::http://127.0.0.1:9/x.jsonl'}",
        ),
    ),
    Case(
        "data files below the root",
        "'/', a file that is looked for here",
        _task(dataset_path="json", dataset_kwargs="{data_dir: /, data_files: etc/passwd}"),
    ),
    Case(
        "data written elsewhere, by many processes",
        "by which loading data reaches further",
        _task(dataset_path="json", dataset_kwargs="{cache_dir: evil, num_proc: 64}"),
    ),
    Case("a dataset of pickles", "'pandas', which is no dataset", _task(dataset_path="pandas")),
    Case("a dataset of this folder", "'.', which is no dataset", _task(dataset_path=".")),
    Case(
        "a metric that is a program",
        TRUST,
        _task(metric_list="[{metric: evil/metric, hf_evaluate: true}]"),
    ),
    Case("a dataset that is a script", TRUST, _task(custom_dataset="null", dataset_path="own.py")),
    Case(
        "a dataset of trusted code",
        TRUST,
        _task(dataset_path="evil/data", dataset_kwargs="{trust_remote_code: true}"),
    ),
    Case(
        "data files by http",
        TRUST,
        _task(dataset_path="json", dataset_kwargs="{data_files: 'http://127.0.0.1:9/x.jsonl'}"),
    ),
    Case(
        "data files of this machine",
        TRUST,
        _task(dataset_path="json", dataset_kwargs="{data_files: <secret>/notes.jsonl}"),
    ),
    Case(
        "data files upwards",
        TRUST,
        _task(
            dataset_path="json", dataset_kwargs="{data_files: ../../../../home/secret/notes.jsonl}"
        ),
    ),
    Case(
        "a task that includes a file of this machine", TRUST, _task(include="<secret>/notes.jsonl")
    ),
    Case(
        "a task that includes a file upwards",
        TRUST,
        _task(include="../../../../home/secret/notes.jsonl"),
    ),
    Case("a class of the task", TRUST, _task(**{"class": "!function own.Task"})),
    Case(
        "a task file that is a YAML bomb",
        TRUST,
        _add(
            TASK,
            "a: &a [x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
                for a, b in zip("abcdefgh", "bcdefghi", strict=True)
            ),
        ),
    ),
    Case("a task file of 100,000 brackets", TRUST, _add(TASK, "[" * 100_000)),
    Case(
        "a task file that is a symbolic link",
        TRUST,
        _add("tasks/0/more.yaml", "../../../../home/secret/notes.jsonl"),
    ),
    Case(
        "names of files with escape sequences",
        TRUST,
        _add(f"tasks/0/{ESCAPES}.py", "open('<canary>', 'w')\n"),
    ),
    # Files that lead elsewhere, or are none of a run's.
    Case(
        "a file named upwards",
        "names a file outside of the run",
        _add("tasks/../../upwards.yaml", "a: 1\n"),
    ),
    Case(
        "a file named with backslashes",
        "names a file outside of the run",
        _add("tasks/..\\..\\up.py", "a: 1\n"),
    ),
    Case(
        "pickles, programs and data among the task files",
        TRUST,
        lambda files, words: files.update(
            {
                f"tasks/0/{name}": b"\x80\x04"
                for name in ("x.pkl", "x.so", "x.sh", "x.pth", "x.bin", "data.json")
            }
        ),
    ),
    Case("pulled.json with a yes", TRUST, _add("pulled.json", _PULLED)),
    Case(
        "a second recipe, a report and elites",
        TRUST,
        lambda files, words: files.update(
            {
                "tasks/recipe.yaml": _OTHER_RUN.encode(),
                "report/index.html": b"<script>1</script>",
                "elites/red/0.yaml": b"a: 1\n",
                "sitecustomize.py": words.python.encode(),
                ".git/config": b"[core]\nfsmonitor=x\n",
            }
        ),
    ),
    # The recipe.
    Case(
        "include_path: a folder of this machine",
        "outside of tasks/",
        recipe=_put("tasks[0].include_path", "<secret>"),
    ),
    Case(
        "include_path: upwards",
        "outside of tasks/",
        recipe=_put("tasks[0].include_path", "tasks/0/../../.."),
    ),
    Case(
        "publish: to the user's account",
        "publish: was in the stranger's recipe, and is dropped",
        recipe=_put("publish", {"what": ["journal"]}),
        trust=True,
    ),
    Case(
        "workers: a cluster of the stranger's",
        "workers: was in the stranger's recipe, and is dropped",
        recipe=_put("workers", {"kind": "ray", "count": 2, "address": "10.6.6.6:6379"}),
        trust=True,
    ),
    Case(
        "consent: trust_remote_code",
        "engine.trust_remote_code: was true",
        recipe=_put("engine.trust_remote_code", True),
        trust=True,
    ),
    Case(
        "consent: confirm_run_unsafe_code",
        "confirm_run_unsafe_code: was true",
        recipe=_put("tasks[1].confirm_run_unsafe_code", True),
        trust=True,
    ),
    Case(
        "gen_kwargs that name a program",
        "gen_kwargs.custom_generate: is refused",
        recipe=_put(
            "tasks[1].gen_kwargs", {"custom_generate": "evil/code", "trust_remote_code": True}
        ),
    ),
    Case(
        "engine.options that name code",
        "engine.options",
        recipe=_put("engine", {"kind": "vllm", "options": {"worker_cls": "own.Own"}}),
    ),
    Case(
        "base: a folder of this machine",
        "needs a model of the Hub",
        recipe=_put("base_model", "<secret>"),
    ),
    Case(
        "expert: upwards",
        "needs a model of the Hub",
        recipe=_put("experts[0].model", "../../home/secret"),
    ),
    Case(
        "a placeholder for a path",
        "--path",
        recipe=_put("tasks[0].metadata", {"agentbench_root": "<path: root>"}),
    ),
    Case(
        "an option that is a path of this machine",
        "--path",
        recipe=_put("tasks[0].metadata", {"data_files": "<secret>/notes.jsonl"}),
    ),
    Case(
        "a database of the stranger's",
        "dsn",
        recipe=_put("tasks[0].metadata", {"dsn": "mysql://me:x@127.0.0.1:9/"}),
    ),
    Case(
        "an image of the stranger's",
        "image",
        recipe=_put("tasks[0].metadata", {"image": "evil/image:latest"}),
    ),
    Case(
        "evaluator: python, of any library",
        "",
        recipe=_put(
            "tasks[0]",
            {
                "name": "red",
                "evaluator": "python",
                "task": "os:system",
                "metric": "x",
                "samples": {"search": "0-3"},
                "confirm_run_unsafe_code": True,
            },
        ),
    ),
    Case(
        "evaluator: segmentation, of a folder of this machine",
        "segmentation needs an engine of images",
        recipe=_put(
            "tasks[0]",
            {
                "name": "red",
                "evaluator": "segmentation",
                "task": "<secret>",
                "metric": "mdice",
                "samples": {"search": "0-3"},
            },
        ),
    ),
    Case("a task named upwards", "", recipe=_put("tasks[0].name", "../../../home/x")),
    Case("a task named with escape sequences", "", recipe=_put("tasks[0].name", ESCAPES)),
    Case(
        "a prompt with escape sequences and tokens",
        "",
        recipe=_put("tasks[1].system_instruction", f"{ESCAPES} $HF_TOKEN {{{{ token }}}}"),
        trust=True,
    ),
    Case(
        "a task that is a dataset's address",
        "",
        recipe=_put("tasks[0].task", "http://127.0.0.1:9/x"),
        trust=True,
    ),
    Case(
        "a YAML bomb in the recipe",
        "",
        _add(
            "recipe.yaml",
            "a: &a [x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
                for a, b in zip("abcdefgh", "bcdefghi", strict=True)
            ),
        ),
    ),
    Case(
        "a tag in the recipe",
        "",
        _add("recipe.yaml", "a: !!python/object/apply:os.system ['<shell>']\n"),
    ),
    Case(
        "a recipe that is not the journal's",
        "is not the recipe of its journal",
        recipe=_put("tasks[0].task", "other"),
        header=lambda recipe, words: None,
    ),
    # The journal, and scores on other tasks.
    Case("a journal of 200,000 brackets", "", _line(b"[" * 200_000 + b"\n")),
    Case(
        "a journal with a line of code",
        "",
        _line({"genome": {"__reduce__": "os.system"}, "split": "search"}),
        trust=True,
    ),
    Case(
        "scores that are no numbers",
        "",
        _records(lambda record: record.update(scores={"red": ESCAPES})),
        trust=True,
    ),
    Case(
        "text of escape sequences in every record",
        "",
        _records(lambda record: record.update(error=ESCAPES, note=ESCAPES)),
        trust=True,
    ),
    Case(
        "weights of 10^308 and seeds of 10^30",
        "",
        _records(lambda record: record.update(weights=[1e308] * 3, terms=[[0, 10**30, 1e308]])),
        trust=True,
    ),
    Case(
        "scores on other tasks, with escape sequences and markup",
        "",
        _add(
            "retention.jsonl",
            json.dumps({"task": f"{ESCAPES}<script>alert(1)</script>", "genome": "0"}) + "\n",
        ),
        trust=True,
    ),
)
"""Each is pulled; then plan, run, report, eval, verify and push are tried on it."""
