"""Boxes by bubblewrap: an overlay on the shared root in memory, namespaces, a control group.

Each box is a mount namespace of its own, so that nothing of it appears in this machine's folders,
and all is gone with its last process, also after `kill -9` of this program. Its root is the host's
root without the capabilities that matter; `inside.seccomp` closes what that leaves open.

Needs root. What a box writes lies in memory, and counts as its memory too.
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
# What lets the machine's root change it, and what tells of it: as Docker covers them.
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
# Each box has device nodes of its own: those of the host would take a chmod from the box's root.
# bwrap is run by a child: its parent outlives it, also when this program was killed, says on stderr
# whether memory ran out, and clears the groups away.
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
mount -n -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts pts
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
    """What this backend lacks here and how to mend it; None if it works."""
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
    """One box: `unshare`, which became a shell, over bwrap, over the agent."""

    def __init__(self, limits: Limits, root: Path, hierarchy: Hierarchy) -> None:
        """Start it and wait for its agent.

        Raises:
            SandboxError: If it does not start, with what bwrap said.
        """
        self._group = Group(hierarchy, limits)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # The last error of the script or of bwrap, and the counters of the group.
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
        """Without its line the agent ends, and all of the box with it; and else by force."""
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
    # bwrap covers only those that its access check calls writable.
    for name in _READ_ONLY:
        options += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for name in _HIDDEN:
        if Path("/proc", name).is_dir():
            options += ["--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}"]
        elif Path("/proc", name).exists():
            options += ["--ro-bind", "/mnt/dev/null", f"/proc/{name}"]
    # The agent, which none may look into: without this `find /` would complain of it.
    options += ["--tmpfs", "/proc/1", "--remount-ro", "/proc/1"]
    options += ["--file", str(agent), AGENT_PATH, "--cap-drop", "ALL"]
    for capability in CAPABILITIES:
        options += ["--cap-add", capability]
    return [*options, *AGENT_ARGV]


class BubblewrapBackend(AgentBackend):
    """Boxes on one root folder."""

    def __init__(self, limits: Limits, root: Path) -> None:
        """Check that boxes can be had.

        Args:
            limits: Of each box.
            root: The folder that `build_root` or `import_root` made; it is only read.

        Raises:
            SandboxError: If something is missing, with what mends it.
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
