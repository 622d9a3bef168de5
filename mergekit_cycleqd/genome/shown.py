"""A genome in one line, and as a table in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mergekit_cycleqd.system.markup import table
from mergekit_cycleqd.system.units import counted

if TYPE_CHECKING:
    from mergekit_cycleqd.genome.genome import Genome

_MOST = 4  # experts in a line


def line_of(genome: Genome) -> str:
    """Such as ``<Genome 0a1b2c3d4e5f6071: 0.61 coding + 0.44 db, 12 terms>``.

    Of many experts those with the largest weights are named.
    """
    named = sorted(_weights(genome).items(), key=lambda each: -abs(each[1]))
    parts = [f"{weight:.3g} {name}" for name, weight in named[:_MOST] if weight]
    words = " + ".join(parts).replace("+ -", "- ") or "the base"
    if len(named) > _MOST:
        words += f" and {len(named) - _MOST} more"
    return f"<Genome {genome.id}: {', '.join([words, *_more(genome)])}>"


def html_of(genome: Genome) -> str:
    """A table with a row for each expert."""
    rows = [
        [name, f"{weight:.4g}", str(len(genome.terms_of(place)))]
        for place, (name, weight) in enumerate(_weights(genome).items())
    ]
    caption = ", ".join([f"Genome {genome.id}", *_more(genome)])
    return table(caption, ["expert", "weight", "terms"], rows)


def _weights(genome: Genome) -> dict[str, float]:
    """The weight of each expert, by the last part of its path; by all of it if two are the same."""
    experts = genome.family.experts
    names = [Path(expert.rpartition("+")[2]).name or expert for expert in experts]
    if len(set(names)) < len(names):
        names = list(experts)
    return dict(zip(names, genome.weights, strict=True))


def _more(genome: Genome) -> list[str]:
    """What a genome has beside weights, in words."""
    found = [counted(len(genome.terms), "term")] if genome.terms else []
    if genome.lineage:
        found.append("mutations of its lineage")
    if genome.groups:
        found.append(f"other weights in {counted(len(genome.groups.filters), 'group')} of tensors")
    vectors = genome.family.task_vectors
    return [*found, *(f"{kind} {number:.3g}" for kind, number in vectors.written().items())]
