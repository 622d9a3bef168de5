"""The ways to a score: lm-eval's command, `eval` of a model and of a run, and a search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from benchmarks.lm_eval_equality.forms import Form
from benchmarks.lm_eval_equality.settings import Setting
from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.evaluators.open import harness_of
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.journal_reading import read_recipe
from mergekit_cycleqd.run_folder.retention import FILE, read

Found = dict[str, dict[str, float]]
"""By task and metric."""

FIRST, LAST = 2, 13
ROWS = 8

# lm-eval's command, without the bootstraps for standard errors, which take minutes.
_LM_EVAL = (
    "import lm_eval.evaluator_utils as u; u.stderr_for_metric = lambda *_, **__: None; "
    "from lm_eval.__main__ import cli_evaluate; cli_evaluate()"
)


def numbers(results: Mapping[str, Any]) -> Found:
    """The scores among lm-eval's results of each task."""
    return {
        task: {
            key: float(value)
            for key, value in found.items()
            if "," in key and "_stderr," not in key and isinstance(value, int | float)
        }
        for task, found in results.items()
    }


def by_lm_eval(model: str, tasks: Path, setting: Setting, forms: Sequence[Form]) -> Found:
    """Score by lm-eval's own command, in a process of its own."""
    out = tasks.parent / f"lm-eval-{abs(hash((model, setting.name, forms[0].name)))}"
    names = [form.name for form in forms]
    parts = {name for form in forms for name in form.parts or (form.name,)}
    options = {
        "model": "hf",
        "model_args": pairs({"pretrained": model, "dtype": "float32", **setting.engine}),
        "tasks": ",".join(names),
        "include_path": str(tasks),
        "samples": json.dumps({name: list(range(FIRST, LAST + 1)) for name in sorted(parts)}),
        "device": "cpu",
        "batch_size": str(ROWS),
        "output_path": str(out),
    }
    written = [part for key, value in options.items() for part in (f"--{key}", value)]
    ran = subprocess.run(
        [sys.executable, "-c", _LM_EVAL, "run", *written, *setting.of_lm_eval()],
        cwd=tasks,  # where it looks for data files
        env=os.environ | {"TQDM_DISABLE": "1", "DISABLE_MULTIPROC": "1"},
        capture_output=True,
        text=True,
    )
    files = list(out.rglob("results_*.json"))
    if ran.returncode or not files:
        raise RuntimeError(f"lm-eval on {setting.name}: {ran.stderr[-2000:]}")
    return numbers(json.loads(files[0].read_text())["results"])


def pairs(arguments: Mapping[str, Any]) -> str:
    """Write arguments as lm-eval's command takes them."""
    return ",".join(f"{key}={value}" for key, value in arguments.items())


def command(*args: object) -> None:
    """Run our command in this process, quietly, and without bootstraps as lm-eval's."""
    said = StringIO()
    without = patch("lm_eval.evaluator_utils.stderr_for_metric", lambda *_, **__: None)
    with redirect_stdout(said), redirect_stderr(said), without:
        try:
            main([str(arg) for arg in args])
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"{args}: {said.getvalue()[-2000:]}") from None


def ours(tasks: Path, setting: Setting, forms: Sequence[Form]) -> list[str]:
    """The options of our `eval`, without the device."""
    names = ",".join(form.name for form in forms)
    chosen = ["--tasks", names, "--include-path", str(tasks), "--samples", f"{FIRST}-{LAST}"]
    return [*chosen, "--batch-size", str(ROWS), *setting.of_ours()]


def by_model(model: str, tasks: Path, setting: Setting, forms: Sequence[Form]) -> Found:
    """Score by `eval MODEL`."""
    options = ("--device", "cpu", *ours(tasks, setting, forms))
    return numbers(evaluated(model, tasks, *options)["results"])


def evaluated(model: str, tasks: Path, *options: str) -> dict[str, Any]:
    """All that `eval MODEL` writes by `--out`."""
    out = tasks.parent / "eval.json"
    command("eval", model, *options, "--dtype", "float32", "--out", out)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def by_run(
    run: Path, tasks: Path, setting: Setting, forms: Sequence[Form], device: str = "cpu"
) -> Found:
    """Score by `eval RUN`; the scores of the run's base."""
    (run / FILE).unlink(missing_ok=True)  # what was scored before would not be scored again
    command("eval", run, *ours(tasks, setting, forms), "--device", device)
    base = Genome.from_base(read_recipe(run).family).id
    return {
        record.task: {metric: value for metric, (value, _) in record.scores.items()}
        for record in read(run)
        if record.genome == base
    }


def by_search(
    models: Sequence[str], batching: str, tasks: Path, setting: Setting, forms: Sequence[Form]
) -> Found:
    """Score the base as a worker of a search does: in the engine, by the recipe's tasks."""
    asked = [(form, metric) for form in forms for metric in form.searched]
    recipe = [
        Task.model_validate(
            {
                "name": f"task{number}",
                "task": form.name,
                "metric": metric,
                "include_path": str(tasks),
                "samples": {"search": _numbers(form)},
                **setting.of_recipe(),
                **_generation(setting, form),
            }
        )
        for number, (form, metric) in enumerate(asked)
    ]
    with _opened(models, batching, setting) as engine:
        scores = harness_of(recipe).evaluate(engine.model, "search")
    found: Found = {}
    for task, (form, metric) in zip(recipe, asked, strict=True):
        found.setdefault(form.name, {})[metric] = scores[task.name]
    return found


def _numbers(form: Form) -> str:
    """Numbers of the documents; those of a group are numbered through, one of each task in turn."""
    tasks = len(form.parts) or 1
    return f"{FIRST * tasks}-{LAST * tasks + tasks - 1}"


def _generation(setting: Setting, form: Form) -> dict[str, Any]:
    generates = form.content.get("output_type") == "generate_until"
    return {"gen_kwargs": dict(setting.gen_kwargs)} if setting.gen_kwargs and generates else {}


@contextmanager
def _opened(models: Sequence[str], batching: str, setting: Setting) -> Iterator[HFEngine]:
    chosen = {"batch_size": ROWS, "batching": batching, **setting.engine}
    settings = Engine(device="cpu", dtype="float32", **chosen)
    base, *experts = (Checkpoint.open(model) for model in models)
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        engine = HFEngine(settings, base, experts)
    try:
        engine.load(Genome.from_base(Family(models[0], tuple(models[1:]))))
        yield engine
    finally:
        engine.close()


def make_run(folder: Path, models: Sequence[str], tasks: Path, engine: Mapping[str, Any]) -> Path:
    """Make a short run over a model and its versions.

    Args:
        folder: Where; it must not exist.
        models: The base, and the experts.
        tasks: The folder of task files.
        engine: What the section `engine` has besides the dtype and the size of batches.
    """
    folder.mkdir(parents=True)
    names = ("eq_choice", "eq_gen")[: len(models) - 1]
    content = {
        "base_model": models[0],
        "experts": [{"model": m, "task": n} for m, n in zip(models[1:], names, strict=True)],
        "tasks": [
            {
                "name": name,
                "task": name,
                "metric": metric,
                "include_path": str(tasks),
                "samples": {"search": "0-3"},
                "bins": 2,
            }
            for name, metric in zip(names, ("acc,none", "digest,none"), strict=True)
        ],
        "evolution": {"children": 1, "mutation": {"kind": "none"}},
        "engine": {"dtype": "float32", "batch_size": ROWS, **engine},
    }
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(content))
    command(recipe, "--out", folder / "run")
    return folder / "run"
