"""The comparison for vLLM on a CPU: ``python -m benchmarks.lm_eval_equality.vllm``.

lm-eval's own `hf` and `vllm`, and our `eval` with engine `vllm`, score the same samples.
`make test-vllm` makes an environment in which it runs.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.lm_eval_equality import ways
from benchmarks.lm_eval_equality.compare import DRAWN, Pair, Scene
from benchmarks.lm_eval_equality.forms import Form
from benchmarks.lm_eval_equality.settings import SETTINGS, Setting
from benchmarks.lm_eval_equality.ties import gap_at_first_difference

WAYS = ("lm-eval, vllm", "eval MODEL", "eval RUN")
OPTIONS = {"enforce_eager": True, "gpu_memory_utilization": 0.15}
"""vLLM's: compiling takes longer than the comparison, and memory is shared."""

HEAD_DIM = 32
"""The narrowest attention heads that vLLM has kernels for, on a CPU."""

CLOSE = 1e-4
"""Largest difference of a likelihood, and of the likelihoods of two tokens that are a tie."""

_ENGINE = {"kind": "vllm", "options": OPTIONS}
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
Answers = dict[tuple[str, int], list[Any]]
"""What the model answered, by task and document."""


@dataclass(frozen=True)
class Scored:
    """What one way gives: scores, and answers where they are written."""

    scores: ways.Found
    answers: Answers


def missing() -> str:
    """Why the comparison cannot run here; empty if it can."""
    if importlib.util.find_spec("vllm") is None:
        return "skipped: vLLM is not installed; `make test-vllm` makes an environment with it"
    return ""


def taken(form: Form) -> bool:
    """Whether lm-eval's `vllm` takes a form: it refuses beams."""
    return "num_beams" not in form.content.get("generation_kwargs", {})


def compare(scene: Scene, setting: Setting, forms: Sequence[Form]) -> Iterator[tuple[Pair, str]]:
    """Score forms under a setting in every way.

    Yields:
        The pair, and its answers that lm-eval's `vllm`, or ours, gave otherwise than its `hf`.
    """
    model = scene.models[setting.model][0]
    vllm = replace(setting, engine={**setting.engine, **_ENGINE})
    expected = by_lm_eval("hf", model, scene.tasks, setting, forms, device="cpu", batch_size="8")
    settled = {"batch_size": "auto"}
    theirs = by_lm_eval("vllm", model, scene.tasks, setting, forms, **settled, **OPTIONS)
    written = ways.evaluated(model, scene.tasks, *ways.ours(scene.tasks, vllm, forms))
    ours = Scored(ways.numbers(written["results"]), _answers(written["samples"]))
    gc.collect()
    by_run = ways.by_run(_run(scene, setting.model), scene.tasks, setting, forms, "auto")
    gc.collect()
    for form in forms:
        names = form.parts or (form.name,)
        scored = (theirs.scores, ours.scores, by_run)
        found = {way: each[form.name] for way, each in zip(WAYS, scored, strict=True)}
        others = [
            f"{way} {named}"
            for way, scored in zip(WAYS, (theirs, ours), strict=False)
            if not form.sampled
            for named in _other_answers(model, names, expected.answers, scored.answers)
        ]
        yield Pair(form, setting.name, expected.scores[form.name], found), ", ".join(others)


def _run(scene: Scene, kind: str) -> Path:
    folder = scene.tasks.parent / f"run-{kind}-vllm"
    if not folder.exists():
        ways.make_run(folder, scene.models[kind], scene.tasks, _ENGINE)
        gc.collect()
    return folder / "run"


def by_lm_eval(
    kind: str, model: str, tasks: Path, setting: Setting, forms: Sequence[Form], **more: Any
) -> Scored:
    """Score by lm-eval's own command, in this process.

    Args:
        kind: lm-eval's name of what runs the model.
        model: The model's folder.
        tasks: The folder of task files.
        setting: The setting.
        forms: The tasks.
        more: Options of the command, and arguments of the model.
    """
    from lm_eval.__main__ import cli_evaluate

    out = tasks.parent / f"lm-eval-{kind}"
    shutil.rmtree(out, ignore_errors=True)
    options = {key: more.pop(key) for key in ("device", "batch_size") if key in more}
    parts = {name for form in forms for name in form.parts or (form.name,)}
    documents = list(range(ways.FIRST, ways.LAST + 1))
    options |= {
        "model": kind,
        "model_args": ways.pairs(
            {"pretrained": model, "dtype": "float32", **setting.engine, **more}
        ),
        "tasks": ",".join(form.name for form in forms),
        "include_path": str(tasks),
        "samples": json.dumps({name: documents for name in sorted(parts)}),
        "output_path": str(out),
    }
    written = [part for key, value in options.items() for part in (f"--{key}", value)]
    command = ["lm-eval", "run", *written, "--log_samples", *setting.of_lm_eval()]
    said = StringIO()
    plain = patch("lm_eval.evaluator_utils.stderr_for_metric", lambda *_, **__: None)
    argv = patch.object(sys, "argv", command)
    with _inside(tasks), redirect_stdout(said), redirect_stderr(said), plain, argv:
        cli_evaluate()
    gc.collect()
    (results,) = (json.loads(file.read_text())["results"] for file in out.rglob("results_*.json"))
    samples: dict[str, list[Any]] = {}
    for file in out.rglob("samples_*.jsonl"):
        name = file.name.removeprefix("samples_").rpartition("_")[0]
        samples[name] = [json.loads(line) for line in file.read_text().splitlines()]
    return Scored(ways.numbers(results), _answers(samples))


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Work in a folder: lm-eval looks for data files in the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _answers(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> Answers:
    return {
        (task, sample["doc_id"]): [sample["resps"], sample["arguments"]]
        for task, listed in samples.items()
        for sample in listed
    }


def _other_answers(
    model: str, names: Sequence[str], expected: Answers, found: Answers
) -> Iterator[str]:
    """Name the samples whose answers are others, with the gap between the two tokens."""
    for key, (responses, arguments) in expected.items():
        if key[0] not in names:
            continue
        other = found.get(key, [[], None])[0]
        pairs = list(zip(_flat(responses), _flat(other), strict=False))
        if len(_flat(responses)) != len(_flat(other)):
            yield f"{key[0][3:]} {key[1]} (lacks answers)"
        for one, another in pairs:
            if not _close(one, another):
                gap = gap_at_first_difference(model, _context(arguments), str(one), str(another))
                yield f"{key[0][3:]} {key[1]} ({gap:.0e})"


def _flat(content: Any) -> list[Any]:
    if isinstance(content, list | tuple):
        return [inner for item in content for inner in _flat(item)]
    return [content]


def _close(one: Any, another: Any) -> bool:
    if str(one) == str(another):
        return True
    try:
        return math.isclose(float(one), float(another), rel_tol=CLOSE, abs_tol=CLOSE)
    except ValueError:
        return False


def _context(arguments: Any) -> str:
    """The first prompt of a sample, as lm-eval writes it."""
    if isinstance(arguments, Mapping):
        arguments = [list(arguments["gen_args_0"].values())]
    return str(arguments[0][0])


def main() -> None:
    """Compare, and end with 1 if any pair disagrees by more than a tie."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", help="Names of some settings, with semicolons between.")
    parser.add_argument("--models", type=Path, help="Where trained models are kept, or are made.")
    chosen = parser.parse_args()
    if reason := missing():
        print(reason)
        return
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    name_the_package()

    began, pairs, wrong = time.monotonic(), 0, 0
    print(f"| task | setting | lm-eval, hf | {' | '.join(WAYS)} | other answers |")
    print(f"| --- | --- | --- {'| ---: ' * len(WAYS)}| --- |")
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder) / "scene", head_dim=HEAD_DIM, models=chosen.models)
        for setting in SETTINGS:
            if chosen.settings and setting.name not in chosen.settings.split(";"):
                continue
            forms = [form for form in scene.chosen(setting) if taken(form)]
            tasks = [form for form in forms if not form.parts]
            for together in (tasks, *([form] for form in forms if form.parts)):
                for pair, others in compare(scene, setting, together):
                    pairs += 1
                    wrong += not agrees(pair, others)
                    print(row(pair, others), flush=True)
    print(f"\n{pairs} pairs, {wrong} differ, {time.monotonic() - began:.0f} s")
    raise SystemExit(bool(wrong))


def agrees(pair: Pair, others: str) -> bool:
    """Whether all ways give lm-eval's scores, but for ties in rounding."""
    gaps = [float(gap) for gap in re.findall(r"\(([\d.e+-]+|inf)\)", others)]
    if "lacks answers" in others or any(gap > CLOSE for gap in gaps):
        return False
    bound = DRAWN if pair.form.sampled else CLOSE
    return bool(gaps) or all((pair.difference(way) or 0.0) <= bound for way in WAYS)


def name_the_package() -> None:
    """Let lm-eval find vLLM, whose package has another name on a CPU."""
    import vllm

    importlib.import_module("mergekit_cycleqd.engines.vllm.lm")  # mends vLLM's import on a CPU
    version = importlib.metadata.version
    built = str(vllm.__version__)
    importlib.metadata.version = lambda name: built if name == "vllm" else version(name)


def row(pair: Pair, others: str) -> str:
    """A line of the table."""
    scores = ", ".join(f"{key} {value:.4f}" for key, value in sorted(pair.expected.items()))
    gaps = [pair.difference(way) or 0.0 for way in WAYS]
    cells = " | ".join("0" if gap == 0 else f"{gap:.0e}" for gap in gaps)
    return f"| {pair.form.name[3:]} | {pair.setting} | {scores} | {cells} | {others or 'none'} |"


if __name__ == "__main__":
    main()
