"""The section of the page that shows the masks that models draw."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from statistics import fmean

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.comparison import Row, comparison
from mergekit_cycleqd.run_folder.example_masks import Pictures
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.scores import Scores
from mergekit_cycleqd.system.markup import Markup, element, inside, table
from mergekit_cycleqd.system.units import number

_PNG = b"\x89PNG\r\n\x1a\n"


def masks(run: RunView) -> list[Markup]:
    """Make tables of pictures and of relative scores; empty for a run without images."""
    pictures = Pictures.read(run.folder)
    if pictures is None:
        return []
    parts = [_relative_scores(run)]
    for task, metric in ((task.name, task.metric) for task in run.recipe.tasks):
        samples = [sample for sample in pictures.samples if sample["task"] == task]
        if not samples:
            continue
        head = ["sample", "image", "truth", *pictures.models]
        rows = []
        for sample in samples:
            described = f"of sample {sample['sample']} of {task}"
            row = [
                str(sample["sample"]),
                _picture(pictures.folder / sample["image"], f"Image {described}"),
                _picture(pictures.folder / sample["truth"], f"True mask {described}"),
            ]
            for model in pictures.models:
                found = sample["found"][model]
                drawn = _picture(pictures.folder / found["file"], f"Mask {described} by {model}")
                row.append(inside([drawn, element("small", f"{found['score']:.3f}")]))
            rows.append(row)
        caption = (
            f"{task}: masks of the first samples, white where a pixel is likely, each with its "
            f"{metric}"
        )
        parts.append(table(caption, head, rows))
    return parts


def _picture(path: Path, alt_text: str) -> Markup:
    try:
        content = b"" if path.is_symlink() else path.read_bytes()
    except OSError:
        content = b""
    if not content.startswith(_PNG):
        return element("span", "–")
    data = base64.b64encode(content).decode()
    return Markup(f'<img src="data:image/png;base64,{data}" alt="{escape(alt_text)}">')


def _relative_scores(run: RunView) -> Markup:
    """Make the table of relative scores, on holdout samples if there are any."""
    found = comparison(run)
    split: Split = "holdout" if "holdout" in found else "search"
    rows = found[split].rows if split in found else ()
    tasks = run.search.tasks
    best = max if not run.recipe.minimised else min
    experts: dict[str, float] = {}
    for expert, name in zip(run.recipe.ordered_experts, run.recipe.expert_names, strict=True):
        task = expert.task or ""
        for row in rows:
            if task in row.scores and row.model == f"expert: {name}":
                score = row.scores[task].value
                experts[task] = best(score, experts.get(task, score))
    body = [[row.model, *_share_cells(row, experts, tasks)] for row in rows]
    caption = f"Share of the experts' scores on {split} samples (each task's expert is 100 %)"
    return table(caption, ["model", *tasks, "mean"], body)


def _share_cells(row: Row, experts: Scores, tasks: tuple[str, ...]) -> list[str]:
    shares = relative({task: score.value for task, score in row.scores.items()}, experts)
    mean = fmean(shares.values()) if len(shares) == len(tasks) else None
    return [number(value, ".1%") for value in (*map(shares.get, tasks), mean)]


def relative(scores: Scores, experts: Scores) -> Mapping[str, float]:
    """Divide scores by those of the experts (paper, section 4.3).

    A task is left out where the model has no score, or its expert no score above 0.

    Args:
        scores: Scores of a model, by task.
        experts: Score of each task's expert on its own task.
    """
    return {
        task: scores[task] / experts[task]
        for task in experts
        if task in scores and experts[task] > 0
    }
