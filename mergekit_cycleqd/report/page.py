"""The page: one HTML file with its style, its script and plotly.js, that opens from disk."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from mergekit_cycleqd.report.curves import Curves
from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.report.markup import element
from mergekit_cycleqd.report.sections import Figures, sections
from mergekit_cycleqd.run_folder.run_view import Evaluation, RunView

_SCRIPTS = ("start.js", "plots.js", "panel.js")


def page(run: RunView, found: Curves | None) -> str:
    """The report as HTML.

    Whatever the run says is text, never markup: elements are made by `markup.element`, and the
    script sets text alone. A policy lets nothing be fetched, and no script run but the two whose
    digests it names.

    Args:
        run: The run.
        found: Its curves.

    Raises:
        ReportError: If plotly is not installed.
    """
    figures: Figures = {}
    body = sections(run, found, figures)
    plotly = _plotly()
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    title = f"CycleQD run: {', '.join(run.search.tasks)}"
    return Template(_asset("page.html")).substitute(
        policy=_policy([script, plotly]),
        title=element("title", title),
        heading=element("h1", title),
        made_by=element("p", f"mergekit-cycleqd {version('mergekit-cycleqd')}"),
        style=_asset("page.css"),
        body=body,
        data=script_json({**_population(run), "figures": figures}),
        recipes=_packed(json.dumps(_recipes(run), ensure_ascii=False)),
        plotly=_packed(plotly),
        script=script,
    )


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


def _population(run: RunView) -> dict[str, Any]:
    """The elites, and every candidate that is one or an ancestor of one."""
    told: Mapping[int | None, Evaluation] = {e.index: e for e in run.candidates}
    tasks, means = run.search.tasks, run.told_scores
    elites = {task: [elite.index for elite in run.search.elites(task)] for task in tasks}
    candidates: dict[int, Any] = {}
    waiting = [index for found in elites.values() for index in found]
    while waiting:
        index = waiting.pop()
        if index not in candidates:
            each = told[index]
            values = [round(means[index][task], 6) for task in tasks]
            candidates[index] = [tasks.index(each.task), each.parents, values]
            waiting += each.parents
    return {"tasks": tasks, "elites": elites, "candidates": dict(sorted(candidates.items()))}


def _recipes(run: RunView) -> dict[int, str]:
    """The recipe of each elite; near ones, which share parents, side by side."""
    elites = {e.index: e for archive in run.search.archives.values() for e in archive.elites}
    return {index: elites[index].genome.to_yaml() for index in sorted(elites)}


def script_json(content: Any) -> str:
    """JSON that ends no script element, whatever its strings hold."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _packed(text: str) -> str:
    """Compressed, since thousands of recipes and plotly.js are most of the file."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
