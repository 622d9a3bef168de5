"""Text of strangers for a terminal: what would move, colour, hide or turn is shown instead."""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"
_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")  # controls, halves of pairs, separators of lines
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = frozenset(
    "\u00ad\u115f\u1160\u180e\u200b\u2060\u2061\u2062\u2063\u2064\u3164\ufeff\uffa0"
)
"""Letters and marks without a shape: with one, a name looks like another name.

Those that join letters or emojis (U+200C, U+200D) belong to ordinary texts, and not to names.
"""
_JOINING = "\u200c\u200d"
_TAGS = range(0xE0000, 0xE0080)


def printable(text: str, kept: str = _KEPT) -> str:
    r"""A text in which no character does anything to a terminal, such as ``\x1b`` for an escape.

    Args:
        text: A text that may hold what strangers wrote.
        kept: Control characters that stay: the ends of lines and tabs; none for a name.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = _UNSEEN if kept else _UNSEEN.union(_JOINING)
    return "".join(
        _shown(char) if char not in kept and (char in shown or _acts(char)) else char
        for char in text
    )


def _acts(char: str) -> bool:
    turns = char in _TURNING or ord(char) in _TAGS
    return turns or unicodedata.category(char) in _CATEGORIES


def _shown(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
