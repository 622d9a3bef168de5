"""Which Debian mirror this machine uses: a machine behind a mirror builds its root from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

DEFAULT_MIRROR = "http://deb.debian.org/debian"


def debian_mirror(suite: str, apt: Path = Path("/etc/apt")) -> str:
    """The first archive of apt's sources that holds a suite, or Debian's own.

    Args:
        suite: Such as ``bookworm``.
        apt: The folder of apt's settings.
    """
    for uri, suites in _sources(apt):
        # Debian's archives hold all suites, whichever the host itself is on.
        if uri.startswith(("http:", "https:")) and (
            suite in suites or uri.rstrip("/").endswith("/debian")
        ):
            return uri
    return DEFAULT_MIRROR


def _sources(apt: Path) -> Iterator[tuple[str, list[str]]]:
    """Pairs of an archive's address and its suites, in both forms of apt's files."""
    parts = apt / "sources.list.d"
    for file in (apt / "sources.list", *sorted(parts.glob("*.list"))):
        for line in _read_or_empty(file).splitlines():
            words = line.split("#")[0].split("]")[-1].split()
            words = words[1:] if words[:1] == ["deb"] else words
            if line.startswith("deb ") and len(words) >= 2:
                yield words[0], [words[1]]
    for file in sorted(parts.glob("*.sources")):
        for stanza in _read_or_empty(file).split("\n\n"):
            fields = dict(
                line.split(":", 1)
                for line in stanza.splitlines()
                if ":" in line and not line.startswith(("#", " "))
            )
            if "deb" in fields.get("Types", "").split():
                for uri in fields.get("URIs", "").split():
                    yield uri, fields.get("Suites", "").split()


def _read_or_empty(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
