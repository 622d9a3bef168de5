"""Tables in Markdown, for summary.md and for cards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table whose numbers stand at the right.

    Args:
        head: A title for each column.
        rows: The cells of each row.
        texts: How many columns, from the left, are no numbers.
    """
    sides = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, sides, *rows))
