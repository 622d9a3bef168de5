"""Boxes by bubblewrap: a shared root with an overlay in memory, namespaces, a control group.

Each box has its own mount namespace. So it leaves nothing in this machine's folders, and everything
is gone with its last process, even after `kill -9` of this program. The box's root user is the
host's, without the capabilities that matter. `inside.seccomp` closes what is left open.

This backend needs root. What a box writes is kept in memory, and counts as the box's memory.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from mergekit_cycleqd.sandbox.agent_box import (
    AGENT_ARGV,
    AGENT_PATH,
    CAPABILITIES,
    AgentBackend,
    AgentBox,
    agent_archive,
)
from mergekit_cycleqd.sandbox.base import Limits, SandboxError
from mergekit_cycleqd.sandbox.cgroups import Group, Hierarchy, find_hierarchy
from mergekit_cycleqd.sandbox.lines import SocketLine
from mergekit_cycleqd.sandbox.root import PATH, check_root

_END_SECONDS = 5.0
_BYTES_PER_INODE = 4096
# Docker covers the same folders: the first ones change the machine, the others describe it.
_READ_ONLY = ("bus", "irq", "sys", "sysrq-trigger")
_HIDDEN = (
    "acpi",
    "asound",
    "driver",
    "fs",
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
)
_PROGRAMS = {
    "bwrap": "bubblewrap",
    "unshare": "util-linux",
    "mount": "mount",
    "mknod": "coreutils",
}
# Each box has its own device nodes, since its root could change the mode of the host's. bwrap runs
# in a child process. The parent outlives it, even if this program was killed. It reports on stderr
# whether memory ran out, and removes the control groups.
_SCRIPT = """\
set -e
lower=$1 size=$2 inodes=$3 groups=$4
shift 4
cd "$lower"
mount -n -t tmpfs -o "size=$size,nr_inodes=$inodes,mode=755" cycleqd-box /mnt
mkdir /mnt/lower /mnt/upper /mnt/work /mnt/root /mnt/dev
mount -n --bind . /mnt/lower
cd /mnt
mount -n -t overlay -o lowerdir=lower,upperdir=upper,workdir=work cycleqd-box root
cd dev
mknod -m 666 null c 1 3
mknod -m 666 zero c 1 5
mknod -m 666 full c 1 7
mknod -m 666 random c 1 8
mknod -m 666 urandom c 1 9
mknod -m 666 tty c 5 0
mkdir pts shm
chmod 1777 shm
mount -n -t devpts -o newinstance,ptmxmode=0666,mode=620,max=64 devpts pts
ln -s pts/ptmx ptmx
ln -s /proc/self/fd fd
ln -s fd/0 stdin
ln -s fd/1 stdout
ln -s fd/2 stderr
set +e
(
    for group in $groups; do echo 0 >"$group/cgroup.procs" || exit 1; done
    exec bwrap "$@"
)
status=$?
for group in $groups; do
    cat "$group/memory.events" "$group/memory.oom_control" 2>/dev/null >&3
    tries=0
    until rmdir "$group" || [ ! -d "$group" ] || [ $tries = 50 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done 2>/dev/null
done 3>&2
exit $status
"""


def bubblewrap_fault() -> str | None:
    """Say what bubblewrap boxes lack here and how to get it; None if they work."""
    if os.geteuid() != 0:
        return "bubblewrap boxes need root (useradd and su do): run as root, or use docker"
    for program, package in _PROGRAMS.items():
        if not shutil.which(program):
            return f"bubblewrap boxes need {program}: run `apt-get install {package}`"
    if find_hierarchy() is None:
        return (
            "bubblewrap boxes need control groups that limit memory and processes, and this "
            "machine lets none be made (a container without --privileged?): use docker"
        )
    return None


class BubblewrapBox(AgentBox):
    """One box. Its processes are `unshare` (then a shell), below it bwrap, below it the agent."""

    def __init__(self, limits: Limits, root: Path, hierarchy: Hierarchy) -> None:
        """Start the box and wait for its agent.

        Args:
            limits: Limits of the box.
            root: The root folder that boxes share.
            hierarchy: Where its control group is made.

        Raises:
            SandboxError: If the box does not start, with the message of bwrap.
        """
        self._group = Group(hierarchy, limits)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # The last error of the script or of bwrap, and the counters of the control group.
        self._said: dict[str, str] = {}
        self._ending = threading.Lock()
        ours, theirs = socket.socketpair()
        super().__init__(SocketLine(ours), limits)
        with theirs, tempfile.TemporaryFile() as agent:
            agent.write(agent_archive())
            agent.seek(0)
            command = ["unshare", "--mount", "sh", "-c", _SCRIPT, "box", str(root)]
            command += [str(limits.disk), str(limits.disk // _BYTES_PER_INODE)]
            command += [" ".join(map(str, self._group.folders))]
            command += _bwrap_options(agent.fileno())
            try:
                self._process = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._log,
                    pass_fds=(agent.fileno(),),
                    start_new_session=True,
                )
            except OSError as error:
                self._log.close()
                self._line.close()
                self._group.remove()
                raise SandboxError(f"a box did not start: {error}") from error
        try:
            self.wait_ready()
        except BaseException:
            self.close()
            raise

    def _cause_of_end(self) -> str | None:
        self._end_processes()
        return "out of memory" if self._said.get("oom_kill", "0") != "0" else None

    def _last_error(self) -> str:
        self._end_processes()
        return self._said.get("error", f"exit status {self._process.returncode}")

    def _end_processes(self) -> None:
        """Close the line, which ends the agent and the box; kill them if this takes too long."""
        self._line.close()
        with self._ending:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            if self._log.closed:
                return
            self._log.seek(0)
            for line in self._log.read().decode("utf-8", "replace").splitlines():
                counter = re.fullmatch(r"(\w+) (\d+)", line)
                self._said |= {counter[1]: counter[2]} if counter else {"error": line.strip()}
            self._log.close()

    def _destroy(self) -> None:
        self._end_processes()
        self._group.remove()


def _bwrap_options(agent: int) -> list[str]:
    options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--as-pid-1"]
    options += ["--hostname", "box", "--clearenv", "--setenv", "PATH", PATH]
    options += ["--bind", "/mnt/root", "/", "--dev-bind", "/mnt/dev", "/dev", "--proc", "/proc"]
    # bwrap itself covers only those that its access check calls writable.
    for name in _READ_ONLY:
        options += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for name in _HIDDEN:
        if Path("/proc", name).is_dir():
            options += ["--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}"]
        elif Path("/proc", name).exists():
            options += ["--ro-bind", "/mnt/dev/null", f"/proc/{name}"]
    # Nobody may look into the agent; without this line `find /` would report errors there.
    options += ["--tmpfs", "/proc/1", "--remount-ro", "/proc/1"]
    options += ["--file", str(agent), AGENT_PATH, "--cap-drop", "ALL"]
    for capability in CAPABILITIES:
        options += ["--cap-add", capability]
    return [*options, *AGENT_ARGV]


class BubblewrapBackend(AgentBackend):
    """Makes boxes that share one root folder."""

    def __init__(self, limits: Limits, root: Path) -> None:
        """Check that boxes work here.

        Args:
            limits: Limits of each box.
            root: A folder that `build_root` or `import_root` made; it is only read.

        Raises:
            SandboxError: If something is missing, with advice on how to get it.
        """
        lacking = bubblewrap_fault()
        hierarchy = find_hierarchy()
        if lacking or hierarchy is None:
            raise SandboxError(lacking or "bubblewrap boxes need control groups")
        check_root(root)
        super().__init__(limits)
        self._root = root.resolve()
        self._hierarchy = hierarchy

    def _new(self) -> AgentBox:
        return BubblewrapBox(self.limits, self._root, self._hierarchy)
