"""List or fetch the wheels that a GPU machine without a network lacks for this package.

    python -m benchmarks.gpu.wheels --there FILE                # list
    python -m benchmarks.gpu.wheels --there FILE --out FOLDER   # fetch them, and build our own

FILE names what the machine has, a line each, as `pip freeze` does there. A name without a version
is taken to suffice. Versions come from `constraints.txt`. The needs of each package are read from
the one that is installed here, so run this where the tests run. The machine is x86-64 with Linux.

vLLM does not travel: with what it needs, it takes gigabytes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OURS = "mergekit-cycleqd"
ALSO = ("hypothesis", "PyMySQL", "pytest")  # for the tests marked gpu
NEWEST = ("transformers",)
"""Packages whose pinned version is fetched in any case: continuous batching needs a new one."""

LIMIT = 64 * 2**20
"""Bytes that may travel."""

_GLIBC = ("2_28", "2_27", "2_17", "2_34", "2_31", "2_24", "2_5")
_NAMES = ("manylinux2014_x86_64", "manylinux1_x86_64")

Versions = Mapping[str, str]


def read_versions(lines: Iterable[str], python: str) -> dict[str, str]:
    """Read pinned versions by name; the version is empty for a name alone."""
    found = {}
    for line in lines:
        text = line.partition("#")[0].strip()
        if not text or text.startswith("-"):
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            versions = [each.version for each in requirement.specifier]
            found[canonicalize_name(requirement.name)] = versions[0] if versions else ""
    return found


def lacking(
    roots: Iterable[Requirement], pinned: Versions, there: Versions, python: str
) -> dict[str, str]:
    """Walk through the needs of packages, and give those that a machine lacks.

    Args:
        roots: What to begin with, such as ``lm-eval[hf]>=0.4``.
        pinned: Versions to fetch.
        there: What the machine has.
        python: Version of its Python, such as ``3.12``.

    Returns:
        Versions to fetch, by name.

    Raises:
        LookupError: If a package that is needed has no pinned version.
    """
    found: dict[str, str] = {}
    left, seen = list(roots), set()
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        key = (name, *sorted(requirement.extras))
        if _suffices(requirement, there.get(name)) or key in seen:
            continue
        seen.add(key)
        if name not in pinned:
            raise LookupError(f"constraints.txt has no version of {name}")
        found[name] = pinned[name]
        left += needs(requirement, python)
    return found


def _suffices(requirement: Requirement, version: str | None) -> bool:
    if version is None or canonicalize_name(requirement.name) in NEWEST:
        return False
    return not version or requirement.specifier.contains(version, prereleases=True)


def needs(requirement: Requirement, python: str) -> list[Requirement]:
    """List what a package needs, with its extras."""
    named = [Requirement(text) for text in requires(requirement.name) or ()]
    environments = [
        {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
        for extra in ("", *requirement.extras)
    ]
    return [
        need
        for need in named
        if need.marker is None or any(map(need.marker.evaluate, environments))
    ]


def fetch(wanted: Versions, python: str, out: Path) -> None:
    """Fetch wheels, building those that are published as source alone, and build our own."""
    out.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    platforms = [*(f"manylinux_{glibc}_x86_64" for glibc in _GLIBC), *_NAMES]
    target = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    for platform in platforms:
        target += ["--platform", platform]
    for name, version in sorted(wanted.items()):
        pin = f"{name}=={version}"
        download = [*pip, "download", "--no-deps", *target, "-d", str(out), pin]
        if subprocess.run(download, stderr=subprocess.DEVNULL).returncode:
            _build(pip, pin, out)
    _build(pip, str(ROOT), out)


def _build(pip: list[str], what: str, out: Path) -> None:
    """Build a wheel from source.

    Raises:
        RuntimeError: If it is not for every machine.
    """
    before = set(out.glob("*.whl"))
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(out), what], check=True)
    built = sorted(set(out.glob("*.whl")) - before)
    if any(not wheel.name.endswith("-none-any.whl") for wheel in built):
        raise RuntimeError(f"{what} has no wheel for that machine, and was built for this one")


def main() -> int:
    """List what is lacking, or fetch it and see that it is small enough. Returns 1 if not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--there", type=Path, required=True)
    parser.add_argument("--python", default="3.12", help="version of the machine's Python")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pinned = read_versions((ROOT / "constraints.txt").read_text().splitlines(), options.python)
    there = read_versions(options.there.read_text().splitlines(), options.python)
    roots = [*needs(Requirement(OURS), options.python), *map(Requirement, ALSO)]
    wanted = lacking(roots, pinned, there, options.python)
    if options.out is None:
        print("\n".join(f"{name}=={version}" for name, version in sorted(wanted.items())))
        return 0
    fetch(wanted, options.python, options.out)
    total = 0
    for wheel in sorted(options.out.glob("*.whl")):
        total += wheel.stat().st_size
        print(f"{wheel.stat().st_size / 1e6:8.2f} MB  {wheel.name}")
    print(f"{total / 2**20:8.1f} MiB in all, of {LIMIT / 2**20:.0f}")
    return int(total > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
