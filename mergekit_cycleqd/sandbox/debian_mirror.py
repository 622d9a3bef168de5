"""Find the Debian mirror that this machine uses, from which a root is built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

DEFAULT_MIRROR = "http://deb.debian.org/debian"


def debian_mirror(suite: str, apt: Path = Path("/etc/apt")) -> str:
    """Find the first archive of apt's sources that has a suite; else Debian's main archive.

    Args:
        suite: Name of the suite, such as ``bookworm``.
        apt: Folder of apt's settings.
    """
    for uri, suites in _sources(apt):
        # Debian's archives hold all suites, not only that of this machine.
        if uri.startswith(("http:", "https:")) and (
            suite in suites or uri.rstrip("/").endswith("/debian")
        ):
            return uri
    return DEFAULT_MIRROR


def _sources(apt: Path) -> Iterator[tuple[str, list[str]]]:
    """List the address and the suites of each archive, from both forms of apt's files."""
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
