"""Text of strangers does nothing to a terminal."""

from __future__ import annotations

import pytest

from mergekit_cycleqd.system.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("größer, 模型, 👩‍🔬", "größer, 模型, 👩‍🔬"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J", r"\x9b2J"),
        ("a\rb\x08\x07\x00\x7f", r"a\x0db\x08\x07\x00\x7f"),
        ("a\u202eb\u2066", r"a\u202eb\u2066"),
        ("a\u2028b\ud800", r"a\u2028b\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("org/na\u200bme\ufeff\u00ad", r"org/na\u200bme\ufeff\xad"),
        ("نامه\u200cای", "نامه\u200cای"),
    ],
)
def test_what_acts_on_a_terminal_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()
    assert printable(printable(text)) == shown


def test_ends_of_lines_are_shown_where_one_line_is_wanted() -> None:
    assert printable("a\u200db", kept="") == r"a\u200db", "a name is of no joined letters"
    assert printable("a\nnote: all is well", kept="") == r"a\x0anote: all is well"
