"""The part of the page that shows what models find in images."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from statistics import fmean

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.report.markup import Markup, element, inside, table
from mergekit_cycleqd.run_folder.comparison import Row, comparison
from mergekit_cycleqd.run_folder.example_masks import Pictures
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.scores import Scores
from mergekit_cycleqd.system.units import number


def masks(run: RunView) -> list[Markup]:
    """Tables of pictures, and of scores in units of the experts'; empty for a run of text."""
    pictures = Pictures.read(run.folder)
    if pictures is None:
        return []
    parts = [_relative(run)]
    for task, metric in ((task.name, task.metric) for task in run.recipe.tasks):
        samples = [each for each in pictures.samples if each["task"] == task]
        if not samples:
            continue
        head = ["sample", "image", "truth", *pictures.models]
        rows = []
        for each in samples:
            what = f"of sample {each['sample']} of {task}"
            row = [
                str(each["sample"]),
                _picture(pictures.folder / each["image"], f"Image {what}"),
                _picture(pictures.folder / each["truth"], f"True mask {what}"),
            ]
            for model in pictures.models:
                found = each["found"][model]
                drawn = _picture(pictures.folder / found["file"], f"Mask {what} by {model}")
                row.append(inside([drawn, element("small", f"{found['score']:.3f}")]))
            rows.append(row)
        caption = (
            f"{task}: masks of the first samples, white where a pixel is likely, each with its "
            f"{metric}"
        )
        parts.append(table(caption, head, rows))
    return parts


def _picture(path: Path, words: str) -> Markup:
    try:
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return element("span", "–")
    return Markup(f'<img src="data:image/png;base64,{data}" alt="{escape(words)}">')


def _relative(run: RunView) -> Markup:
    """Scores as shares of each task's own expert's, on holdout samples where there are any."""
    found = comparison(run)
    split: Split = "holdout" if "holdout" in found else "search"
    rows = found[split].rows if split in found else ()
    tasks = run.search.tasks
    experts = {
        task: row.scores[task].value
        for task in tasks
        for row in rows
        if row.model == f"expert: {task}" and task in row.scores
    }
    body = [[row.model, *_shares(row, experts, tasks)] for row in rows]
    caption = f"Share of the experts' scores on {split} samples (each task's expert is 100 %)"
    return table(caption, ["model", *tasks, "mean"], body)


def _shares(row: Row, experts: Scores, tasks: tuple[str, ...]) -> list[str]:
    shares = relative({task: score.value for task, score in row.scores.items()}, experts)
    mean = fmean(shares.values()) if len(shares) == len(tasks) else None
    return [number(value, ".1%") for value in (*map(shares.get, tasks), mean)]


def relative(scores: Scores, experts: Scores) -> Mapping[str, float]:
    """Scores in units of the experts' (paper, section 4.3); tasks without either are left out.

    Args:
        scores: Of a model, by task.
        experts: Each task's expert's on that task.
    """
    return {
        task: scores[task] / experts[task]
        for task in experts
        if task in scores and experts[task] > 0
    }
