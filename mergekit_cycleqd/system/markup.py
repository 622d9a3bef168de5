"""Build HTML from elements: text that is not `Markup` is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

_TAG = re.compile(r"<[^>]*>")
_NUMBER = re.compile(r"[-+\u2212]?\d[\d.,]*(?!\w)|[-\u2013+]|$|[<\[(]")


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str) -> Markup:
    """Make an element.

    Args:
        name: Name of the element.
        children: Content of the element; text that is not `Markup` is escaped.
        attributes: Attributes of the element.
            ``data_id="x"`` becomes ``data-id="x"``, and ``class_`` becomes ``class``.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{given}>{inside(children)}</{name}>")


def inside(children: Iterable[str]) -> Markup:
    """Join children into one text, and escape those that are not `Markup`."""
    return Markup("".join(c if isinstance(c, Markup) else escape(c) for c in children))


def with_notes(text: str, *notes: str) -> Markup:
    """Put small notes after a text; empty notes are left out."""
    small = [element("small", note) for note in notes if note]
    return Markup(" ".join([element("span", text), *small]))


def section(name: str, title: str, *children: str) -> Markup:
    """Make a section of the page, with its heading."""
    heading = element("h2", title, id=f"{name}-title")
    return element("section", heading, *children, id=name, aria_labelledby=f"{name}-title")


def _is_words(cell: str) -> bool:
    """Whether a cell begins with a letter or a file's name, and not with a number or a dash."""
    text = _TAG.sub("", cell) if isinstance(cell, Markup) else cell
    return _NUMBER.match(text.strip()) is None


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Make a table that scrolls on a narrow screen; the first column names the rows.

    Columns of words, and their heads, have the class `words`; the others hold numbers.
    """
    listed = [list(row) for row in rows]
    kinds = [
        {"class_": "words"} if k == 0 or any(_is_words(row[k]) for row in listed) else {}
        for k in range(len(head))
    ]
    heads = (
        element("th", cell, scope="col", **kind) for cell, kind in zip(head, kinds, strict=True)
    )
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, **kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)),
        )
        for row in listed
    ]
    head_row = element("tr", *heads)
    whole = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", head_row),
        element("tbody", *body),
    )
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")
