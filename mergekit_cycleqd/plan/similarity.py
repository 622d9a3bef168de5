"""Show the similarity of experts as lines of a plan."""

from __future__ import annotations

from collections.abc import Mapping

from mergekit_cycleqd.experts.similarity import PAPER, ExpertPair, Similarity, similarity_warnings
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.system.units import number

_MOST_PAIRS = 10


def similarity_findings(found: Similarity, keys: Mapping[str, str]) -> list[Finding]:
    """Make a line for each pair of experts, and a warning if a merge will add nothing.

    Of many pairs those are shown that are least alike.

    Args:
        found: The measured similarity.
        keys: The recipe's key of the expert, by its name.
    """
    warnings = [Finding("warning", "similarity", text) for text in similarity_warnings(found, keys)]
    if not found.pairs:
        alone = "one expert alone has none to be compared with"
        return [Finding("ok", "similarity", alone), *warnings]
    shown = list(found.pairs)
    if len(shown) > _MOST_PAIRS:
        shown = sorted(shown, key=lambda pair: pair.values or 0.0)[:_MOST_PAIRS]
    lines = [Finding("ok", "similarity", _pair_line(pair)) for pair in shown]
    if rest := len(found.pairs) - len(shown):
        text = f"and {rest} pairs that are more alike; the report of the run has all"
        lines.append(Finding("ok", "similarity", text))
    known = [pair for pair in found.pairs if pair.values is not None]
    if len(known) > 1:
        least = min(known, key=lambda pair: pair.values or 0.0)
        text = f"Least alike are {least.first} and {least.second}. {PAPER}"
    else:
        text = PAPER
    lines.append(Finding("ok", "similarity", text))
    return lines + warnings


def _pair_line(pair: ExpertPair) -> str:
    vectors, overlap, chance = (
        number(value, ".2f") for value in (pair.vectors, pair.overlap, pair.chance)
    )
    return (
        f"{pair.first} and {pair.second}: cosine of singular values {number(pair.values)}, "
        f"of task vectors {vectors}; overlap of leading directions {overlap} (by chance {chance})"
    )
