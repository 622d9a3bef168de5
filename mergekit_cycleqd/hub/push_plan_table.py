"""Show a push plan as a table, for `push --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.hub.client import Hub
from mergekit_cycleqd.hub.lineage_file import FILE as LINEAGE
from mergekit_cycleqd.hub.pins import Source
from mergekit_cycleqd.hub.push_plan import Plan
from mergekit_cycleqd.hub.remote_files import Content, RepoState, Target, size_of
from mergekit_cycleqd.system.units import size


def plan_table(plan: Plan, hub: Hub) -> str:
    """Show a plan as text: repos, their files with sizes, and whether the Hub has them.

    Raises:
        HubError: If the Hub does not say how large the base is.
    """
    blocks = []
    for repo in plan.models:
        files: dict[str, Content] = dict(repo.texts)
        lines = []
        if repo.must_build:
            lines.append(
                ("weights, config, tokenizer", _estimate_size(plan.sources[0], hub), "to build")
            )
            lines.append((LINEAGE, "", "to write"))
        else:
            files[LINEAGE] = repo.lineage(repo.reusable_files or {})
            lines += [
                (path, size(e["size"]), "is there")
                for path, e in (repo.reusable_files or {}).items()
            ]
        blocks.append(_repo_block(repo.target, repo.state, files, lines))
    for each in (plan.journal, plan.report):
        if each is not None:
            blocks.append(_repo_block(each.target, each.state, dict(each.texts), []))
    notes = "\n".join(f"note: {line}" for line in plan.warnings)
    return "\n\n".join(filter(None, [*blocks, notes]))


def _repo_block(
    target: Target,
    state: RepoState,
    files: Mapping[str, Content],
    lines: Sequence[tuple[str, str, str]],
) -> str:
    exists = f"exists, at {state.head[:8]}" if state.head else "new"
    rows = [
        (path, size(size_of(content)), _file_fate(path, content, state))
        for path, content in files.items()
    ]
    rows = [*rows, *lines]
    width = max(len(path) for path, _, _ in rows)
    listed = "\n".join(f"  {path:{width}}  {size:>12}  {fate}" for path, size, fate in rows)
    return f"{target.repo_id} ({target.repo_type}, {target.branch}): {exists}\n{listed}"


def _file_fate(path: str, content: Content, state: RepoState) -> str:
    if path not in state.files:
        return "new"
    return "is there" if state.files[path].holds(content) else "changed"


def _estimate_size(base: Source, hub: Hub) -> str:
    """Estimate the size of a merge: that of the base's weights."""
    if base.folders:
        sizes = [
            path.stat().st_size
            for path in Checkpoint.open(base.reference).folder.glob("*.safetensors")
        ]
    else:
        repo, _, commit = base.published.partition("@")
        state = hub.state(Target(repo, "model", commit))
        sizes = [file.size for path, file in state.files.items() if path.endswith(".safetensors")]
    return f"about {size(sum(sizes))}"
