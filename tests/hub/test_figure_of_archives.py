"""The card's figure of archives: of any kind and number, with what spans them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from mergekit_cycleqd.hub.card.figure import archive_figure
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.recipes import recipe_content
from tests.support.searches import finish


@pytest.mark.parametrize(("tasks", "kind"), [(1, "grid"), (4, "sparse"), (6, "cvt")])
def test_four_archives_stand_in_a_row_each_with_a_star(tasks: int, kind: str) -> None:
    content = recipe_content("abcdef"[:tasks])
    content["evolution"] = {"children": 10, "archive": {"kind": kind}}
    search = CycleQD(Recipe.model_validate(content))

    def score(candidate: Candidate) -> dict[str, float]:
        return dict(zip("abcdef"[:tasks], candidate.genome.weights, strict=True))

    told = finish(search, score)
    best = told[-1].candidate
    scores = {**score(best), **search.measures.of_genome(best.genome)}
    root = ET.fromstring(archive_figure(search, "a model", scores))
    groups = [child for child in root if child.tag.endswith("}g")]
    places = [group.attrib["transform"] for group in groups]
    assert len(set(places)) == tasks
    width, height = (float(root.attrib[key]) for key in ("width", "height"))
    assert width == 318 * min(4, tasks) and height == 332 * -(-tasks // 4) + 20
    assert all(any(each.tag.endswith("}polygon") for each in group) for group in groups)
    axis = "weight of a" if tasks == 1 else "b"
    assert axis in [each.text for each in groups[0] if each.tag.endswith("}text")]
