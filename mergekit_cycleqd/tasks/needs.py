"""Check what the agentic and coding tasks need on this machine, for the command `tasks`."""

from __future__ import annotations

from rich.table import Table

from mergekit_cycleqd.errors import CycleQDError

_DATA = {
    "agentbench_db": "agentbench_root: your clone of AgentBench",
    "agentbench_os": "agentbench_root: your clone of AgentBench",
    "mbpp_sandboxed": "data_files: mbpp.jsonl, or the Hub",
}


def needs_table() -> Table:
    """Make a table with a row per task: its data, its environment, and what is missing."""
    server, box = _missing_database(), _box_backend()
    found = Table("task", "data (metadata)", "runs in", "here", box=None, padding=(0, 2))
    for task, data in _DATA.items():
        name, missing = ("a MariaDB server", server) if task == "agentbench_db" else box
        found.add_row(task, data, name, "yes" if missing is None else f"no: {missing}")
    return found


def _missing_database() -> str | None:
    """Say why a private database server cannot be started; None if it can."""
    try:
        from mergekit_cycleqd.tasks.agentbench_db.mariadb import find_programs

        find_programs()
    except CycleQDError as error:
        return str(error)
    return None


def _box_backend() -> tuple[str, str | None]:
    """Name the sandbox backend that "auto" chooses, or say what each backend misses."""
    from mergekit_cycleqd.sandbox.open import backends

    found = backends()
    for backend in found:
        if backend.available:
            return f"boxes of {backend.name}", None
    return "boxes", "; or ".join(f"{backend.name}: {backend.missing}" for backend in found)
