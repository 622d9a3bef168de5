"""The similarity of the experts, as matrices and a table of all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from mergekit_cycleqd.experts.similarity import (
    FILE,
    PAPER,
    Similarity,
    read_similarity,
    similarity_file,
    similarity_verdict,
    similarity_warnings,
)
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.markup import Markup, element, table
from mergekit_cycleqd.system.units import number

Draw = Callable[[str, str, dict[str, Any]], Markup]
MEASURES = {
    "values": "Cosine of singular values, mean over matrices (the paper's measure)",
    "vectors": "Cosine of task vectors",
    "overlap": "Overlap of leading singular directions, mean over matrices",
}


def similarity_of(run: RunView) -> Similarity | None:
    """Read the similarity from the run folder, or else from this machine's cache of plans."""
    names = run.recipe.expert_names
    found = read_similarity(run.folder / FILE, names)
    fingerprints = run.header.get("fingerprints", {})
    family = run.search.family
    models = (family.base_model, *family.experts)
    if found is None and all(model in fingerprints for model in models):
        found = read_similarity(
            similarity_file([str(fingerprints[model]) for model in models]), names
        )
    return found


def similarity_parts(run: RunView, draw: Draw) -> list[Markup]:
    """Make the section of the page about the experts' similarity.

    Args:
        run: The run.
        draw: Makes a figure from an id, a caption and the content.
    """
    found = similarity_of(run)
    if found is None:
        command = element("code", "mergekit-cycleqd plan RECIPE")
        words = "Not measured: ", command, " measures it, and then another report shows it."
        return [element("p", *words)]
    pictures = [
        draw(f"similarity-{key}", _caption(found, key), _heatmap(found, key)) for key in MEASURES
    ]
    names = {
        e: f"the expert of {e}" if e in run.search.tasks else f"the expert {e}" for e in found.tasks
    }
    warnings = [element("li", line) for line in similarity_warnings(found, names)]
    return [
        element("p", similarity_verdict(found), class_="lead"),
        element("p", PAPER),
        element("div", *pictures, class_="pictures"),
        *([element("ul", *warnings)] if warnings else []),
        _pair_table(found),
    ]


def similarity_rows(run: RunView) -> list[dict[str, Any]]:
    """Make one row per pair of experts, for CSV and Parquet."""
    found = similarity_of(run)
    return [asdict(pair) for pair in found.pairs] if found else []


def matrix(found: Similarity, key: str) -> list[list[float | None]]:
    """Make the matrix of a measure, shape (K, K), in the order of the tasks.

    An unknown value is None.

    Args:
        found: The measures of K experts.
        key: A key of `MEASURES`.
    """
    count = len(found.tasks)
    index_of = {task: k for k, task in enumerate(found.tasks)}
    cells: list[list[float | None]] = [[None] * count for _ in range(count)]
    for k in range(count):
        cells[k][k] = 1.0
    for first, second, value in _values_of_pairs(found, key):
        a, b = index_of[first], index_of[second]
        cells[a][b] = cells[b][a] = None if value is None else round(value, 4)
    return cells


def signed(key: str) -> bool:
    """Whether a measure can be below 0."""
    return key == "vectors"


def _heatmap(found: Similarity, key: str) -> dict[str, Any]:
    cells = {
        "type": "heatmap",
        "x": list(found.tasks),
        "y": list(found.tasks),
        "z": matrix(found, key),
        "zmin": -1 if signed(key) else 0,
        "zmax": 1,
        "colorscale": "RdBu" if signed(key) else "Viridis",
        "reversescale": signed(key),
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "texttemplate": "%{z:.2f}",
        "hovertemplate": "%{y} and %{x}: %{z:.4f}<extra></extra>",
    }
    axis = {"type": "category", "fixedrange": True, "automargin": True, "showgrid": False}
    layout = {
        "height": 320,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "dragmode": False,
        "xaxis": axis,
        "yaxis": {**axis, "autorange": "reversed"},
    }
    return {"data": [cells], "layout": layout}


def _caption(found: Similarity, key: str) -> str:
    known = [(a, b, value) for a, b, value in _values_of_pairs(found, key) if value is not None]
    if not known:
        return f"{MEASURES[key]}: unknown of all pairs"
    least, most = (order(known, key=lambda value_of_pair: value_of_pair[2]) for order in (min, max))
    text = f"{MEASURES[key]}: from {least[2]:.2f} ({least[0]} and {least[1]})"
    return f"{text} to {most[2]:.2f} ({most[0]} and {most[1]})"


def _values_of_pairs(found: Similarity, key: str) -> Iterator[tuple[str, str, float | None]]:
    for pair in found.pairs:
        fields: Mapping[str, float | None] = {
            "values": pair.values,
            "vectors": pair.vectors,
            "overlap": pair.overlap,
        }
        yield pair.first, pair.second, fields[key]


def _pair_table(found: Similarity) -> Markup:
    head = ["experts", "singular values", "task vectors", "directions", "by chance"]
    rows = [
        [
            f"{pair.first} and {pair.second}",
            *map(number, (pair.values, pair.vectors, pair.overlap, pair.chance)),
        ]
        for pair in found.pairs
    ]
    return table("All pairs of experts", head, rows)
