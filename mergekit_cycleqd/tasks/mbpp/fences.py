"""Find the Python program among the code blocks of a reply."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

_OPENING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<label>[^\n`]*)\n")
_PYTHON = re.compile(r"\W*(i?python|py)[\d.]*\b", re.IGNORECASE)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block of a reply.

    Attributes:
        label: What stands after the opening fence, such as ``python``.
        code: The lines between the fences; up to the reply's end if no fence closes the block.
    """

    label: str
    code: str

    @property
    def says_python(self) -> bool:
        """Whether the label names Python, in any spelling and version."""
        return _PYTHON.match(self.label) is not None

    @property
    def compiles(self) -> bool:
        """Whether the code is Python by its syntax."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of strange escapes in what models write
                ast.parse(self.code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        return True


def python_block(reply: str) -> str | None:
    """Take the program out of a reply: the first block that is Python.

    That is the first one whose label says so. Without such a label it is the first one that
    compiles, of those without a label if there are any, and else the first one.

    Args:
        reply: The reply, with any line ends.

    Returns:
        The program; None if the reply has no block.
    """
    blocks = code_blocks(reply)
    ranked = [
        *(block for block in blocks if block.says_python),
        *(block for block in blocks if not block.label and block.compiles),
        *(block for block in blocks if block.compiles),
        *blocks,
    ]
    return ranked[0].code if ranked else None


def code_blocks(reply: str) -> list[CodeBlock]:
    """Find all fenced blocks of a reply, in their order.

    A block ends at a line that ends with a fence of the same kind, at least as long as the one that
    opened it. Without such a line it ends at the next fence, or at the reply's end.

    Args:
        reply: The reply, with any line ends.
    """
    text = reply.replace("\r\n", "\n").replace("\r", "\n")
    blocks = []
    at = 0
    while opening := _OPENING.search(text, at):
        fence, start = opening["fence"], opening.end()
        whole = re.compile(rf"(^[ \t]*)?{fence[0]}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
        closing = whole.search(text, start) or re.compile(fence).search(text, start)
        end, at = (closing.start(), closing.end()) if closing else (len(text), len(text))
        code = text[start:end]
        if indent := opening["indent"]:
            code = re.sub(rf"^{re.escape(indent)}", "", code, flags=re.MULTILINE)
        blocks.append(CodeBlock(opening["label"].strip(), code))
    return blocks
