"""Run commands as a user with secrets, with a token and with strace, and tell what they reached."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.hub.client import UNSET

REPOSITORY = Path(__file__).parents[3]
SECRET = "the victim's secret"
_CALLS = "trace=%process,%network,%file"
_ATTACH_SECONDS = 30.0
_OPENED = re.compile(r"\bopen(?:at2?)?(?:\(| resumed>).* = \d+<(?P<path>/.*?)(?:\(deleted\))?>$")
_CHANGED = re.compile(
    r"\b(?:creat|mkdir(?:at)?|unlink(?:at)?|rename(?:at2?)?|rmdir|link(?:at)?|symlink(?:at)?|"
    r"truncate|chmod|fchmodat2?|chown|lchown|fchownat|mknod(?:at)?|utimensat|setxattr)\("
    r"(?P<arguments>.*)\)\s+= 0"
)
_PATH = re.compile(r'(?:AT_FDCWD<(?P<cwd>[^>]*)>, |\d+<(?P<folder>[^>]*)>, )?"(?P<path>[^"]*)"')
_ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')
# What Python, torch and the C library read of the machine itself, none of which is the user's.
_SYSTEM = (
    *(str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix)),
    *(path for path in sys.path if path.endswith("site-packages")),
    *("/proc/", "/sys/", "/usr/lib", "/lib", "/usr/share/locale", "/usr/share/zoneinfo"),
    *("/dev/null", "/dev/urandom", "/dev/random", "/etc/ld.so.cache", "/etc/localtime"),
    *("/etc/mime.types", "/etc/magic", "/etc/ssl/", "/dev/shm/sem."),
)


@dataclass
class Seen:
    """What a command did.

    Attributes:
        code: The exit code.
        said: All that it printed.
        wrong: A line for each thing that no stranger may cause.
    """

    code: int
    said: str
    wrong: list[str] = field(default_factory=list)


class Victim:
    """A user with secrets in a home folder, who runs commands on the Hub of the tests.

    Attributes:
        folder: Where all is; `folder / "work"` is for the files of runs.
    """

    def __init__(self, folder: Path, endpoint: str, token: str) -> None:
        """Make the user's folders, and start a process that has all imports."""
        self.folder = folder.resolve()
        self.work = self.folder / "work"
        self.canary = self.folder / "canary"
        self._own = [self.folder / name for name in ("work", "hf", "cache", "tmp")]
        home = self.folder / "home"
        for path in (*self._own, home / ".ssh", home / "secret"):
            path.mkdir(parents=True)
        for name in (".ssh/id_rsa", "secret/model.safetensors", "secret/notes.jsonl"):
            (home / name).write_text(SECRET)
        (self.folder / "upwards.safetensors").write_text(SECRET)
        self._endpoint, self._token = endpoint, token
        env = {key: value for key, value in os.environ.items() if key not in UNSET}
        env |= {
            "HOME": str(home),
            "HF_HOME": str(self.folder / "hf"),
            "HF_ENDPOINT": endpoint,
            "HF_TOKEN": token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "MERGEKIT_CYCLEQD_CACHE": str(self.folder / "cache"),
            "MPLCONFIGDIR": str(self.folder / "cache"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "TQDM_DISABLE": "1",
        }
        env.pop("MERGEKIT_CYCLEQD_TEST_ROOT", None)
        self._env = env
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "tests.support.hostile.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=REPOSITORY,
        )
        ready = self._hear()
        assert ready.startswith("ready"), ready

    def close(self) -> None:
        """End the process."""
        assert self._warm.stdin is not None and self._warm.stdout is not None
        self._warm.stdin.close()
        self._warm.wait(60)
        self._warm.stdout.close()

    def _hear(self) -> str:
        assert self._warm.stdout is not None
        return self._warm.stdout.readline().strip()

    def _tell(self, text: str) -> None:
        assert self._warm.stdin is not None
        self._warm.stdin.write(f"{text}\n")
        self._warm.stdin.flush()

    def run(self, *words: object, folder: Path) -> Seen:
        """Run a command in a folder of its own, and look at its system calls.

        Args:
            words: The command line.
            folder: The working directory, below `work`.
        """
        with tempfile.TemporaryDirectory() as scratch:
            said, log, attached = (Path(scratch, name) for name in ("said", "log", "attached"))
            job: dict[str, Any] = {"args": list(map(str, words)), "cwd": str(folder)}
            self._tell(json.dumps(job | {"said": str(said)}))
            pid = int(self._hear())
            with attached.open("wb") as errors:
                watching = subprocess.Popen(
                    ["strace", "-f", "-y", "-s", "4096", "-e", _CALLS, "-o", log, "-p", str(pid)],
                    stderr=errors,
                )
            deadline = time.monotonic() + _ATTACH_SECONDS
            while "attached" not in attached.read_text() and time.monotonic() < deadline:
                time.sleep(0.005)
            self._tell("")
            code = int(self._hear())
            watching.wait(_ATTACH_SECONDS)
            text = said.read_text(errors="replace")
            assert "attached" in attached.read_text(), attached.read_text()
            lines = log.read_text(errors="replace").splitlines()
            wrong = list(self._looked_at(lines, folder.resolve(), str(scratch)))
        wrong += self._of_output(text)
        if code < 0 or code == 70:
            wrong.append(f"ended by {code}, for it took too long or too much memory")
        return Seen(code, text, list(dict.fromkeys(wrong)))

    def cold(self, *words: object, folder: Path) -> Seen:
        """Run a program with its own imports; only what it prints and the canary are looked at.

        Args:
            words: The words of the command line, the program first.
            folder: The working directory, below `work`.
        """
        done = subprocess.run(
            list(map(str, words)),
            cwd=folder,
            env=self._env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return Seen(done.returncode, done.stdout, list(self._of_output(done.stdout)))

    def _of_output(self, text: str) -> Iterator[str]:
        if self.canary.exists():
            self.canary.unlink()
            yield "code of the stranger ran"
        for what, is_there in {
            "an escape sequence is sent": re.search("[\x1b\x07\x9b\u202e]", text),
            "a traceback": "Traceback (most recent call last)" in text,
            "a token is shown": self._token in text,
            "a secret is shown": SECRET in text,
        }.items():
            if is_there:
                yield f"{what}: {text[-1500:]!r}"

    def _looked_at(self, lines: Sequence[str], folder: Path, said: str) -> Iterator[str]:
        own = tuple(map(str, self._own))
        code = tuple(str(REPOSITORY / name) for name in ("mergekit_cycleqd", "tests", "evals"))
        for line in lines:
            call = line.partition(" ")[2].lstrip()
            if re.match(r"(execve|execveat|fork|vfork)\(", call) or (
                re.match(r"clone3?\(", call) and "CLONE_THREAD" not in call
            ):
                yield f"a process: {call[:200]}"
            elif re.match(r"(connect|sendto|sendmsg|bind)\(", call) and "sa_family=AF_" in call:
                found = _ADDRESS.search(call)
                if found is None and ("AF_UNIX" not in call or "= -1" in call):
                    continue
                if found is None or f"http://{found[2]}:{found[1]}" != self._endpoint:
                    yield f"a request: {call[:200]}"
            elif found := _OPENED.search(call):
                path = found["path"]
                if not path.startswith((*own, *code, said, *_SYSTEM)) and path != str(REPOSITORY):
                    yield f"a file is opened: {path}"
            elif found := _CHANGED.search(call):
                paths = list(_PATH.finditer(found["arguments"]))
                for each in paths[1:] if call.startswith("symlink") else paths:
                    place = each["folder"] or each["cwd"] or folder
                    path = os.path.normpath(os.path.join(place, each["path"]))
                    if not path.startswith((*own, "/dev/shm/sem.")):
                        yield f"a file is changed: {call[:200]}"
