"""HTML of parts: whatever is not markup already is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Markup(str):
    """Text that is HTML."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str) -> Markup:
    """An element.

    Args:
        name: Of the element.
        children: What is inside; text that is no `Markup` is escaped.
        attributes: ``data_id="x"`` becomes ``data-id="x"``, and ``class_`` becomes ``class``.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{given}>{inside(children)}</{name}>")


def inside(children: Iterable[str]) -> Markup:
    """Children side by side, escaped where they are no `Markup`."""
    return Markup("".join(c if isinstance(c, Markup) else escape(c) for c in children))


def with_notes(text: str, *notes: str) -> Markup:
    """A text with small notes after it; empty notes are left out."""
    small = [element("small", note) for note in notes if note]
    return Markup(" ".join([element("span", text), *small]))


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """A table that scrolls by itself where the screen is narrow; the first column names rows."""
    heads = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = [
        element(
            "tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])
        )
        for row in rows
    ]
    whole = element(
        "table", element("caption", caption), element("thead", heads), element("tbody", *body)
    )
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")
