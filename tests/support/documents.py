"""The README and the pages of docs/, block by block."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
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
