"""The README and the pages of docs/, block by block and sentence by sentence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
AT_THE_ROOT = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")
TEXTS = sorted({*PAGES, *(ROOT / name for name in AT_THE_ROOT)})
_BLOCK = re.compile(
    r"^```(\w*)(?: title=\"([^\"]*)\")?\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A block of code: its page, language, title, and text."""

    page: str
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    name = str(page.relative_to(ROOT))
    text = page.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(_BLOCK.findall(text)), f"{name}: a block is not understood"
    return [Block(name, *found) for found in _BLOCK.findall(text)]


def all_blocks(*languages: str) -> list[Block]:
    return [b for page in PAGES for b in blocks(page) if b.language in languages]


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each command of a console block, or of a bash block that is no script."""
    for line in re.sub(r"\\\n", " ", block.text).splitlines():
        if block.language == "console":
            assert line.startswith("$ "), f"{block.page}: {line}"
            for part in line.removeprefix("$ ").split(" && "):
                yield shlex.split(part, comments=True)
        elif line.strip():
            yield shlex.split(line, comments=True)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a page's prose, without code, tables, headings and formulas.

    Code and formulas within a sentence count as one word each. A colon ends no sentence, except
    before a block of code, a formula on lines of its own, or a list.
    """
    text = re.sub(r"^```.*?^```$", "\n\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^\\\[.*?\\\][ .,]*$", "\n\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->|<[a-z/][^>]*>|^(#|\||:::|\{\{).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]+`|\\\(.*?\\\)", "X", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"[*_]", "", text)
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text):
        words = " ".join(paragraph.split())
        yield from filter(None, re.split(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z0-9])", words))


def words_of(sentence: str) -> int:
    """How many words a sentence has: what is between spaces and holds a letter or a digit."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())
