"""The page of a report: one HTML file that opens from disk and fetches nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from mergekit_cycleqd.report.curves import Curves
from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.report.sections import Figures, sections
from mergekit_cycleqd.run_folder.run_view import Evaluation, RunView
from mergekit_cycleqd.system.markup import Markup, element

_HEADING = re.compile(r'<h2 id="([a-z]+)-title">([^<]*)</h2>')
_SCRIPTS = ("start.js", "plots.js", "panel.js")


def page(
    run: RunView,
    found: Curves | None,
    *,
    public: Callable[[str], str] = str,
    with_answers: bool = True,
) -> str:
    """Make the page of a report as HTML.

    Texts of the run never become markup: `markup.element` escapes them, and the script only sets
    text. The page's policy forbids all fetching. It allows only the two scripts whose digests it
    names.

    Args:
        run: The run.
        found: The run's curves; None before all experts are evaluated.
        public: Takes out of a text of the run what others should not read.
        with_answers: Whether example questions and answers are shown.

    Raises:
        ReportError: If plotly is not installed.
    """
    figures: Figures = {}
    body = Markup(public(sections(run, found, figures, with_answers=with_answers)))
    plotly = _plotly()
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    title = f"CycleQD run: {', '.join(run.search.tasks)}"
    return Template(_asset("page.html")).substitute(
        policy=_policy([script, plotly]),
        title=element("title", title),
        heading=element("h1", title),
        made_by=element("p", f"mergekit-cycleqd {version('mergekit-cycleqd')}"),
        style=_asset("page.css"),
        parts=_links(body),
        body=body,
        folder=escape(public(str(run.folder))),
        data=public(script_json({**_elites_and_ancestors(run), "figures": figures})),
        recipes=_compressed(public(json.dumps(_recipes(run), ensure_ascii=False))),
        plotly=_compressed(plotly),
        script=script,
    )


def _links(body: Markup) -> str:
    """A link to each section, by its heading; texts of the run cannot look like one."""
    return "\n".join(f'<a href="#{name}">{title}</a>' for name, title in _HEADING.findall(body))


def _plotly() -> str:
    load("plotly")
    return files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")


def _asset(name: str) -> str:
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
    )


def _elites_and_ancestors(run: RunView) -> dict[str, Any]:
    """Collect the elites and all their ancestors, with scores and parents."""
    evaluations: Mapping[int | None, Evaluation] = {e.index: e for e in run.candidates}
    tasks, means = run.search.tasks, run.told_scores
    elites = {task: [elite.index for elite in run.search.elites(task)] for task in tasks}
    candidates: dict[int, Any] = {}
    waiting = [index for found in elites.values() for index in found]
    while waiting:
        index = waiting.pop()
        if index not in candidates:
            evaluation = evaluations[index]
            values = [round(means[index][task], 6) for task in tasks]
            role = run.recipe.expert_names[index] if index < run.search.experts else evaluation.task
            candidates[index] = [role, evaluation.parents, values]
            waiting += evaluation.parents
    return {"tasks": tasks, "elites": elites, "candidates": dict(sorted(candidates.items()))}


def _recipes(run: RunView) -> dict[int, str]:
    """Collect each elite's recipe, by index: neighbours share parents and compress well."""
    elites = {e.index: e for archive in run.search.archives.values() for e in archive.elites}
    return {index: elites[index].genome.to_yaml() for index in sorted(elites)}


def script_json(content: Any) -> str:
    """Encode as JSON in which no string can end the script element around it."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _compressed(text: str) -> str:
    """Compress a text: thousands of recipes and plotly.js are most of the file."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
