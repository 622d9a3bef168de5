"""Tables of a report: numbers and their heads stand right, words left."""

from __future__ import annotations

import re

import pytest

from mergekit_cycleqd.system.markup import element, table, with_notes


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["1.000", "-0.5", "+0.120 [+0.071, +0.169]", "<0.001", "–", ""], False),
        (["14 min", "53.3%", "140, 260", "1,024"], False),
        ([with_notes("0.890", "[0.814, 0.937]")], False),
        (["best.yaml", "elites/sql/000001.yaml"], True),
        (["1.000", "not comparable"], True),
        ([element("div", "grep -c error", class_="said")], True),
        (["9bdea4ff"], True),
    ],
)
def test_a_column_is_of_words_if_one_of_its_cells_is(cells: list[str], words: bool) -> None:
    made = table("caption", ["model", "what"], [["base", cell] for cell in cells])
    kind = ' class="words"' if words else ""
    assert f'<th scope="col"{kind}>what</th>' in made
    assert len(re.findall(f"<td{kind}>", made)) == len(cells)
    assert '<th scope="col" class="words">model</th>' in made
