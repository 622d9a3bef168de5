"""What a run writes, and what the package's own code may hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import COMMAND, REPOSITORY, Scene, derived, differences

_SECRET = "hf_" + "q" * 34
_CHANGES = re.compile(
    r"\b(?:openat?|creat|mkdir(?:at)?|unlink(?:at)?|rename(?:at2?)?|rmdir|link(?:at)?|symlink(?:at)?|"
    r'truncate|chmod|chown)\([^"]*"(?P<path>[^"]+)"(?P<rest>.*)'
)
_OPENED = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
_ALLOWED = ("/dev/null", "/dev/tty", "/proc/")

PLANTED = {
    "eval": "eval(text)",
    "exec": "exec(text)",
    "pickle.load": "import pickle\npickle.load(text)",
    "pickle.loads": "import pickle\npickle.loads(text)",
    "yaml.load": "import yaml\nyaml.load(text, Loader=yaml.Loader)",
    "shell=True": "import subprocess\nsubprocess.run(text, shell=True)",
    "os.system": "import os\nos.system(text)",
    "marshal.loads": "import marshal\nmarshal.loads(text)",
    "mktemp": "import tempfile\ntempfile.mktemp()",
    "md5": "import hashlib\nhashlib.md5(text)",
}


def writes(scene: Scene, tries: int) -> Outcome:
    """Trace a run (strace): every file that it makes, changes or removes is its own or the cache's.

    A token in the environment must be in none of them, nor in what is shown.
    """
    outcome = Outcome("writing outside the run folder and the cache, by system calls of a run")
    if not shutil.which("strace"):
        outcome.told = "(not tried: needs strace)"
        return outcome
    for _ in range(tries):
        place = scene.new("traced")
        out, cache, home, log = (place / name for name in ("run", "cache", "home", "log"))
        home.mkdir()
        trace = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=%file", "-o", str(log)]
        done = subprocess.run(
            [*trace, *COMMAND, str(scene.recipe), "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home,
            env=os.environ
            | {
                "PYTHONPATH": str(REPOSITORY),
                "PYTHONDONTWRITEBYTECODE": "1",
                "HOME": str(home),
                "HF_TOKEN": _SECRET,
                "MERGEKIT_CYCLEQD_CACHE": str(cache),
            },
        )
        outcome.expect(done.returncode == 0, done.stdout[-500:])
        outcome.wrong += differences(scene.wanted, derived(out))
        outcome.expect(_SECRET not in done.stdout, "a token is shown")
        own = (str(out), str(cache), str(home / ".cache"), *_ALLOWED)
        shared, temporary = tempfile.gettempdir(), set[str]()
        for line in log.read_text(errors="replace").splitlines():
            found = _CHANGES.search(line)
            if found is None or "= -1 " in line or "O_TMPFILE" in line:
                continue  # a file without a name, to see whether a folder takes files
            path = os.path.normpath(home / found["path"])
            if "open" in line.partition("(")[0] and not _OPENED.search(found["rest"]):
                continue
            outcome.tried += 1
            if path.startswith((shared, "/dev/shm/")) and not path.startswith(str(scene.folder)):
                temporary.add(path)
            elif not path.startswith(own):
                outcome.wrong.append(f"{line[:300]}")
        left = sorted(path for path in temporary if os.path.exists(path) and path != shared)
        outcome.expect(not left, f"left behind: {left}")
        for file in [*out.rglob("*"), *cache.rglob("*")]:
            if file.is_file():
                outcome.expect(_SECRET.encode() not in file.read_bytes(), f"{file} holds a token")
    return outcome


def planted_code(scene: Scene, tries: int) -> Outcome:
    """Plant what must not be in the package: the ruff that `make check` runs finds it."""
    outcome = Outcome("eval, exec, pickle, yaml.load, shell=True and others planted in the package")
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise"]
    for name, code in list(PLANTED.items())[:tries]:
        found = subprocess.run(
            [*ruff, "--stdin-filename", "mergekit_cycleqd/planted.py", "-"],
            input=f"{code}\n",
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        outcome.tried += 1
        outcome.expect(" S" in found.stdout, f"{name} passes")
        outcome.tell(found.stdout, " S", scene.folder)
    return outcome


def wall_clock(package: Path) -> list[str]:
    """Lines of the package that ask for the time of day, which no decision may rest on."""
    asking = re.compile(r"\btime\.time\(|\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(")
    return [
        f"{file.relative_to(package)}: {line.strip()}"
        for file in sorted(package.rglob("*.py"))
        for line in file.read_text().splitlines()
        if asking.search(line)
    ]
