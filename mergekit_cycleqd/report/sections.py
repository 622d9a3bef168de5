"""The sections of the page, from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import yaml

from mergekit_cycleqd.report.answers import answers, lost_answers
from mergekit_cycleqd.report.curves import BEST_MEAN, Curves
from mergekit_cycleqd.report.many_axes_figures import many_axes
from mergekit_cycleqd.report.masks import masks
from mergekit_cycleqd.report.panels import colour_scale, panels, qualities
from mergekit_cycleqd.report.plots import curve_figures, heatmap, lines
from mergekit_cycleqd.report.result import result, score_cell
from mergekit_cycleqd.report.retention import others, others_table
from mergekit_cycleqd.report.similarity import similarity_parts
from mergekit_cycleqd.report.teams import teams
from mergekit_cycleqd.report.time_spent import Spent, by_part, by_worker, pace
from mergekit_cycleqd.run_folder.comparison import comparison, count_note
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.weak_experts import weak_experts
from mergekit_cycleqd.search.archive import TaskArchive
from mergekit_cycleqd.system.markup import Markup, element, inside, section, table
from mergekit_cycleqd.system.units import duration

FAILURES = 50


Figures = dict[str, dict[str, Any]]


def sections(
    run: RunView, found: Curves | None, figures: Figures, *, with_answers: bool = True
) -> Markup:
    """Make the body of the page.

    Args:
        run: The run.
        found: The run's curves; None before all experts are evaluated.
        figures: Every figure is added here, by the id of its element.
        with_answers: Whether example questions and answers are shown.
    """
    return inside(
        [
            result(run),
            _compared_models(run),
            answers(run) if with_answers else "",
            lost_answers(run) if with_answers else "",
            teams(run, figures),
            _overview(run),
            _archives(run, figures),
            _curves(found, figures),
            _masks(run),
            _retention(run),
            _similarity(run, figures),
            _time(run, figures),
            _failures(run),
            _recipe_and_versions(run.header),
        ]
    )


def _side_by_side(tables: list[Markup]) -> Markup:
    """Put tables side by side where there is room."""
    return element("div", *tables, class_="side")


def _figure(key: str, words: str, content: dict[str, Any], figures: Figures) -> Markup:
    figures[key] = content
    drawn = element("div", id=key, class_="plot", role="img", aria_label=words)
    return element("figure", drawn, element("figcaption", words))


def _overview(run: RunView) -> Markup:
    search = run.search
    planned = run.recipe.evolution.children
    failed = sum(e.status == "failed" for e in run.evaluations)
    stopped = sum(e.status == "stopped" for e in run.evaluations)
    early = f", {stopped:,} stopped early" if stopped else ""
    ended = "ended by its budget" if search.children_told < planned else "finished searching"
    state = ended if run.finished else "in progress or stopped"
    facts = {
        "state": state,
        "children": f"{max(0, search.children_told):,} of {planned:,}",
        "elites": f"{sum(len(archive.elites) for archive in search.archives.values()):,}",
        "evaluations": f"{len(run.evaluations):,}, {failed:,} failed{early}",
        "time of evaluations": duration(math.fsum(e.seconds for e in run.evaluations)),
    }
    items = [element("div", element("dt", k), element("dd", v)) for k, v in facts.items()]
    rows = [
        [
            task + count_note(None, lower=archive.worth.is_lower(task)),
            str(len(archive.elites)),
            f"{archive.coverage:.1%}",
            f"{archive.qd_score:.3f}",
            f"{qualities(archive)[1]:.3f}" if archive.elites else "–",
        ]
        for task, archive in search.archives.items()
    ]
    head = ["archive", "elites", "coverage", "QD score", "best score"]
    return section(
        "overview", "Overview", element("dl", *items, class_="facts"), table("Archives", head, rows)
    )


def _compared_models(run: RunView) -> Markup:
    parts = []
    for split, found in comparison(run).items():
        head = ["model", *(column.title for column in found.columns)]
        rows = [[row.model, *map(score_cell, found.columns, row.cells)] for row in found.rows]
        parts.append(table(f"Scores on {split} samples", head, rows))
    note = (
        "Elites are chosen on search samples, so their scores there are optimistic; holdout "
        "samples are only reported. In brackets: 95 % Wilson intervals, where the metric is a "
        "share of the n samples."
    )
    missing = element("p", "No model was compared yet.")
    weak = weak_experts(run.search, lambda genome: run.scores(genome, "search")).values()
    return section(
        "scores",
        "Models compared",
        *([_side_by_side(parts)] if parts else [missing]),
        *(element("p", f"Warning: {line}.") for line in weak),
        element("p", note),
    )


def _retention(run: RunView) -> Markup:
    found = others(run)
    if not found.columns:
        return Markup("")
    metrics = ", ".join(f"{column.task} {column.metric}" for column in found.columns)
    note = (
        "What the merges kept of the base, as mergekit-cycleqd eval measured it: below each score "
        "its 95 % interval, and the score in units of the base's, where above 1 is better than the "
        "base (turned round where lower is better). The mean is over the tasks on which the base "
        f"scores above 0. Metrics: {metrics}."
    )
    return section("others", "Retention", others_table(found), element("p", note))


def _masks(run: RunView) -> Markup:
    parts = masks(run)
    return section("masks", "Masks", *parts) if parts else Markup("")


def _similarity(run: RunView, figures: Figures) -> Markup:
    parts = similarity_parts(run, partial(_figure, figures=figures))
    return section("similarity", "Expert similarity", *parts)


def _archives(run: RunView, figures: Figures) -> Markup:
    archives = run.search.archives
    if not run.search.archives_ready:
        words = "The archives are laid out when all experts were evaluated."
        return section("archives", "Archives", element("p", words))
    parts = [_archive(number, archive, figures) for number, archive in enumerate(archives.values())]
    words = (
        "One archive per task: its score is the colour, "
        f"{run.search.measures.in_words()} say which cell a "
        "model is in, and each cell keeps the best. Click a cell, or a number in the list below a "
        "picture, to see a model's scores, parents and recipe. What lies beyond an axis is in its "
        "outermost cells."
    )
    # "few" is one picture per archive.
    picture_class = "few" if len(run.search.tasks) <= 3 else "many"
    return section(
        "archives", "Archives", element("p", words), element("div", *parts, class_=picture_class)
    )


def _archive(number: int, archive: TaskArchive, figures: Figures) -> Markup:
    low, high = qualities(archive)
    wide = many_axes(number, archive, partial(_figure, figures=figures))
    scale = colour_scale(archive)
    pictures = []
    for panel_number, panel in enumerate(panels(archive)):
        axes = panel.across.task + (f" and {panel.up.task}" if panel.up else "")
        axes = axes if " of " in axes else f"score on {axes}"
        cells = math.prod((panel.across.bins, panel.up.bins if panel.up else 1))
        words = (
            f"Best score on {archive.task} by {axes}: {len(panel.best)} of {cells} cells "
            f"filled, from {low:.3f} to {high:.3f}"
        )
        key = f"archive-{number}-{panel_number}"
        pictures.append(_figure(key, words, heatmap(panel, scale.dark, scale.bright), figures))
    words = f"{scale.dark:.3f}{' and worse' if scale.clipped else ''}"
    legend = element(
        "p",
        element("span", words),
        element("span", class_="gradient"),
        element("span", f"{scale.bright:.3f}"),
        class_="scale",
        role="img",
        aria_label=f"Colours: dark is {words}, bright is {scale.bright:.3f}",
    )
    count = len(archive.elites)
    listed = element(
        "details",
        element("summary", f"List of the {count} elites of {archive.task}, best first"),
        data_archive=archive.task,
    )
    return element(
        "article",
        element("h3", archive.task + count_note(None, lower=archive.worth.is_lower(archive.task))),
        legend,
        *wide,
        element("div", *pictures, class_="pictures"),
        listed,
    )


def _curves(found: Curves | None, figures: Figures) -> Markup:
    if found is None:
        return Markup("")
    parts = []
    for number, (name, figure) in enumerate(curve_figures(found).items()):
        series = found.measures[name]
        last = ", ".join(
            f"{task} {_measure_text(name, values[-1])}" for task, values in series.items()
        )
        words = f"{name} of each archive over the children; at the end: {last}"
        if name == BEST_MEAN:
            words = f"{name} of any elite, over the children; at the end: {last}"
        parts.append(_figure(f"curve-{number}", words, figure, figures))
    return section("curves", "Over the children", element("div", *parts, class_="pictures wide"))


def _measure_text(name: str, value: float) -> str:
    return f"{value:.1%}" if name == "Coverage" else f"{value:.3f}"


def _time(run: RunView, figures: Figures) -> Markup:
    time_tables = [
        _time_table("Time by part", "part", by_part(run)),
        _time_table("Time by worker", "worker", by_worker(run)),
    ]
    parts = [_side_by_side(time_tables)]
    ends, means = pace(run)
    if ends:
        words = f"Mean seconds per child over the run, at the end {means[-1]:.2f}"
        parts.append(
            _figure("pace", words, lines(ends, {"seconds": means}, "seconds per child"), figures)
        )
    note = "What the journal knows: the wall time of each evaluation, on the worker that did it."
    return section("time", "Time spent", element("p", note), *parts)


def _time_table(caption: str, first: str, found: list[Spent]) -> Markup:
    head = [first, "evaluations", "failed", "time", "mean, s", "median, s"]
    rows = [
        [
            spent.name,
            f"{spent.evaluations:,}",
            f"{spent.failed:,}",
            duration(spent.seconds),
            f"{spent.mean:.2f}",
            f"{spent.middle:.2f}",
        ]
        for spent in found
    ]
    return table(caption, head, rows)


def _failures(run: RunView) -> Markup:
    failed = [e for e in run.evaluations if e.status == "failed"]
    if not failed:
        return Markup("")
    rows = [
        ["compared model" if e.index is None else str(e.index), e.split, e.worker, e.error or "–"]
        for e in failed[:FAILURES]
    ]
    caption = f"The first {FAILURES} of {len(failed)}" if len(failed) > FAILURES else "All of them"
    return section(
        "failures",
        "Failed evaluations",
        table(caption, ["candidate", "samples", "worker", "error"], rows),
    )


def _recipe_and_versions(header: Mapping[str, Any]) -> Markup:
    text = yaml.safe_dump(header["recipe"], sort_keys=False, allow_unicode=True)
    recipe = element(
        "details",
        element("summary", "The recipe of the run, with all its defaults"),
        element("pre", element("code", text), tabindex="0"),
    )
    versions = [[name, str(value)] for name, value in header.get("versions", {}).items()]
    fingerprints = [[name, str(value)] for name, value in header.get("fingerprints", {}).items()]
    return section(
        "recipe",
        "Recipe and versions",
        recipe,
        table("Versions at the start", ["package", "version"], versions),
        table("Models", ["model", "fingerprint"], fingerprints),
    )
