"""The root folder of boxes: a small Debian that is built once, or any image that is unpacked.

It is in the user's cache, and boxes can only read it. It is always complete: it is built under
another name, with a lock, and renamed when it is finished.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from mergekit_cycleqd.sandbox.base import SandboxError
from mergekit_cycleqd.sandbox.debian_mirror import debian_mirror
from mergekit_cycleqd.system.cache_folder import cache_folder

SUITE = "bookworm"
PACKAGES = (
    "python3",
    "python3-pip",
    "git",
    "vim-tiny",
    "curl",
    "wget",
    "unzip",
    "zip",
    "tree",
    "procps",
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VERSION = 1
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

Progress = Callable[[str], None]


def _silent(line: str) -> None:
    """Ignore a line of progress."""


def roots_folder() -> Path:
    """Give the folder of all roots, in the user's cache."""
    return cache_folder() / "sandbox"


def _root_folder() -> Path:
    content = " ".join((str(_VERSION), SUITE, *PACKAGES))
    return roots_folder() / f"{SUITE}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def find_root() -> Path | None:
    """Give the folder that `build_root` made; None if it was not built."""
    place = _root_folder()
    return place if place.is_dir() else None


def missing_to_build() -> str | None:
    """Say what `build_root` lacks here and how to get it; None if it can run."""
    if os.geteuid() != 0:
        return "building a sandbox root needs root; run as root, or name an image for docker"
    if not shutil.which("debootstrap") or not _KEYRING.exists():
        return (
            "building a sandbox root needs debootstrap and Debian's keys; "
            "run `apt-get install debootstrap debian-archive-keyring`"
        )
    return None


def build_root(progress: Progress = _silent) -> Path:
    """Build the root with debootstrap, from the Debian mirror that apt uses here.

    This takes about a minute and 350 MB. A root that exists, or that another process is building,
    is used again. An interrupted build is started anew.

    Args:
        progress: Called with each line that debootstrap prints.

    Returns:
        The root folder.

    Raises:
        SandboxError: If debootstrap is missing or fails, with its last line.
    """
    with _building(_root_folder()) as partial:
        if partial is not None:
            missing = missing_to_build()
            if missing:
                raise SandboxError(missing)
            command = [
                "debootstrap",
                "--variant=minbase",
                "--force-check-gpg",
                f"--keyring={_KEYRING}",
                f"--include={','.join(PACKAGES)}",
                SUITE,
                str(partial),
                debian_mirror(SUITE),
            ]
            _watched(command, progress)
            _finish(partial)
    return _root_folder()


def import_root(tar: Path, progress: Progress = _silent) -> Path:
    """Unpack the file system of an image, as `docker export` writes it.

    Args:
        tar: A tar file of a root folder with bash and python3, in any compression that `tar`
            knows.
        progress: Called with each line that `tar` prints.

    Returns:
        The root folder.

    Raises:
        SandboxError: If the file cannot be unpacked, or lacks bash or python3.
    """
    if os.geteuid() != 0:
        raise SandboxError("unpacking a root keeps its owners and needs root; run as root")
    digest = hashlib.sha256()
    try:
        with tar.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise SandboxError(f"{tar}: {error.strerror}") from error
    place = roots_folder() / f"tar-{digest.hexdigest()[:12]}"
    with _building(place) as partial:
        if partial is not None:
            command = ["tar", "--extract", "--preserve-permissions", "--numeric-owner"]
            command += ["--exclude=dev/*", "--exclude=./dev/*"]
            _watched([*command, f"--directory={partial}", f"--file={tar}"], progress)
            check_root(partial)
            _finish(partial)
    return place


def check_root(root: Path) -> None:
    """Check that a folder can be the root of a box.

    Raises:
        SandboxError: If the folder lacks bash or python3.
    """
    for program in ("bash", "python3"):
        if not any(os.path.lexists(root / folder[1:] / program) for folder in PATH.split(":")):
            raise SandboxError(f"{root}: a sandbox root needs {program}, and it has none")


@contextmanager
def _building(place: Path) -> Iterator[Path | None]:
    """Give an empty folder that becomes `place` at the end; None if `place` exists."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.parent / f".{place.name}.lock"):
        if place.is_dir():
            yield None
            return
        partial = place.parent / f".{place.name}.partial"
        _remove(partial)
        partial.mkdir()
        try:
            yield partial
            partial.chmod(0o755)
            os.sync()
            partial.rename(place)
        except BaseException:
            _remove(partial)
            raise


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)


def _watched(command: list[str], progress: Progress) -> None:
    """Run a program in its own mount and process namespace, so that it leaves nothing behind."""
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
    line = ""
    with subprocess.Popen(  # noqa: S603
        isolated,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                progress(line.rstrip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise SandboxError(f"{command[0]} failed ({process.returncode}): {line.strip()}")


def _finish(root: Path) -> None:
    """Delete caches of the package manager, and what was copied from this host."""
    for folder in ("etc", "var/cache", "var/lib/apt"):
        # Links in an image may lead to folders of this host.
        if (root / folder).resolve() != root.resolve() / folder:
            raise SandboxError(f"{root}: a sandbox root needs the folder /{folder}, not a link")
    for kept in ("var/cache/apt", "var/lib/apt/lists"):
        _remove(root / kept)
        (root / kept).mkdir(parents=True)
    content = {
        "hostname": "box\n",
        "hosts": "127.0.0.1 localhost box\n::1 localhost\n",
        "resolv.conf": "",
    }
    for name, text in content.items():
        file = root / "etc" / name
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text)
    for name in ("dev", "proc", "tmp", "run", "root"):
        (root / name).mkdir(exist_ok=True)
