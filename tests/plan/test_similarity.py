"""What a plan says of the experts' similarity, for one expert and for many."""

from __future__ import annotations

from itertools import combinations

from mergekit_cycleqd.experts.similarity import ExpertPair, Similarity
from mergekit_cycleqd.plan.similarity import similarity_findings


def similarity(count: int, norm: float = 1.0) -> Similarity:
    names = tuple(f"e{k}" for k in range(count))
    pairs = tuple(
        ExpertPair(a, b, 1 - number / 100, 0.1, 0.2, 0.1)
        for number, (a, b) in enumerate(combinations(names, 2))
    )
    return Similarity(names, (norm,) * count, pairs)


def lines(found: Similarity) -> list[tuple[str, str]]:
    keys = {name: f"experts[{k}].model" for k, name in enumerate(found.tasks)}
    return [(finding.level, finding.text) for finding in similarity_findings(found, keys)]


def test_one_expert_has_none_to_be_compared_with() -> None:
    assert lines(similarity(1)) == [("ok", "one expert alone has none to be compared with")]
    warned = lines(similarity(1, norm=0.0))[1]
    assert warned == (
        "warning",
        "experts[0].model: does not differ from the base, so it adds nothing",
    )


def test_of_many_pairs_the_ten_that_are_least_alike_are_shown() -> None:
    few = lines(similarity(5))
    assert len(few) == 11 and few[0][1].startswith("e0 and e1: cosine")
    many = lines(similarity(12))
    assert len(many) == 12
    assert many[0][1].startswith("e10 and e11: cosine of singular values 0.350")
    assert many[10] == ("ok", "and 56 pairs that are more alike; the report of the run has all")
    assert many[11][1].startswith("Least alike are e10 and e11.")
