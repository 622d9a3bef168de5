"""Merge each pair of a recipe's experts, and see which pairs keep the skills of both.

The paper's question of section 4.3: how much of either expert's score a merge of two keeps, and
whether experts that are alike merge better. Runs go on where they were, so that this can be
interrupted, and prints the table again at once when all is done.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
import yaml
from rich.console import Console
from scipy.stats import pearsonr

from mergekit_cycleqd.experts.similarity import FILE, read_similarity
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.report import write_report
from mergekit_cycleqd.report.masks import relative
from mergekit_cycleqd.run.prepare import prepare
from mergekit_cycleqd.run.run import Run
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.atomic_write import write_atomically

HERE = Path(__file__).resolve().parent
KEPT = 0.9  # the paper's threshold
MODELS = ("base", "uniform merge", "aggregate", "best all-round elite")
THREADS = 1  # with models this small, two threads gain little and stall on a busy machine


def write_pair(whole: Recipe, pair: tuple[str, ...], out: Path) -> Path:
    """Write the recipe of a run over two of a recipe's experts."""
    content = whole.model_dump(mode="json")
    content["experts"] = [each for each in content["experts"] if each["task"] in pair]
    content["tasks"] = [each for each in content["tasks"] if each["name"] in pair]
    path = out / f"{'-'.join(pair)}.yaml"
    write_atomically(path, yaml.safe_dump(content, sort_keys=False))
    return path


def shares(folder: Path) -> dict[str, dict[str, float]]:
    """Holdout scores of a finished run's models, in units of each task's expert's, by model."""
    run = RunView.read(folder)
    scores = {
        name: run.scores(genome, "holdout") or {} for name, genome in compared_models(run.search)
    }
    experts = {task: scores[f"expert: {task}"][task] for task in run.search.tasks}
    return {name: dict(relative(scores[name], experts)) for name in scores}


def similarity(folder: Path, tasks: Sequence[str]) -> float:
    """The mean cosine of two experts' singular values (paper, section 4.3), as the run keeps it."""
    found = read_similarity(folder / FILE, tasks)
    assert found is not None
    (pair,) = found.pairs
    assert pair.values is not None
    return pair.values


def merge_pair(path: Path, folder: Path) -> tuple[dict[str, dict[str, float]], float]:
    """Run one pair in a process of its own, and write its report.

    Returns:
        `shares` of the run, and the experts' `similarity`.
    """
    torch.set_num_threads(THREADS)
    prepared = prepare(path, folder)
    with Run(prepared, folder, Console(quiet=True)) as run:
        run.go()
    write_report(folder, formats=["html"])
    return shares(folder), similarity(folder, prepared.recipe.task_names)


def main() -> None:
    """Run every pair and print the table."""
    parser = argparse.ArgumentParser(description="Merge every pair of a recipe's experts.")
    parser.add_argument("--recipe", type=Path, default=HERE.parent / "segmentation-quickstart.yaml")
    parser.add_argument("--out", type=Path, default=Path("runs/segmentation-pairs"))
    parser.add_argument("--processes", type=int, default=2, help="pairs that run at a time")
    args = parser.parse_args()
    os.environ.setdefault("TQDM_DISABLE", "1")  # a bar for each model that is loaded
    whole = load_recipe(args.recipe)
    pairs = list(itertools.combinations(whole.task_names, 2))
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, mp_context=fresh) as pool:
        folders = [args.out / "-".join(pair) for pair in pairs]
        jobs = [
            pool.submit(merge_pair, write_pair(whole, pair, args.out), folder)
            for pair, folder in zip(pairs, folders, strict=True)
        ]
        results = []
        for pair, folder, job in zip(pairs, folders, jobs, strict=True):
            results.append(job.result())
            print(f"{' + '.join(pair)}: {folder / 'report' / 'report.html'}", flush=True)
    print(table(pairs, results))


def table(
    pairs: Sequence[tuple[str, ...]],
    results: Sequence[tuple[Mapping[str, Mapping[str, float]], float]],
) -> str:
    """The pairs as Markdown, and how their scores go with their similarity."""
    lines = [
        "\nHoldout scores as shares of each task's own expert's:\n",
        f"| pair | {' | '.join(MODELS)} | similarity |",
        f"| --- |{' ---: |' * (len(MODELS) + 1)}",
    ]
    kept = dict.fromkeys(MODELS, 0)
    means: dict[str, list[float]] = {model: [] for model in MODELS}
    for pair, (found, alike) in zip(pairs, results, strict=True):
        cells = []
        for model in MODELS:
            of_experts = [found[model][task] for task in pair]
            kept[model] += all(share > KEPT for share in of_experts)
            means[model].append(sum(of_experts) / 2)
            cells.append(" / ".join(f"{share:.1%}" for share in of_experts))
        lines.append(f"| {' + '.join(pair)} | {' | '.join(cells)} | {alike:.3f} |")
    counts = " | ".join(f"{kept[model]} of {len(pairs)}" for model in MODELS)
    lines.append(f"| pairs over {KEPT:.0%} of both | {counts} | |")
    lines.append("\nPearson correlation of the pairs' similarity with their mean share:\n")
    alike_all = [alike for _, alike in results]
    lines += [
        f"- {model}: {pearsonr(alike_all, means[model]).statistic:.2f}" for model in MODELS[1:]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
