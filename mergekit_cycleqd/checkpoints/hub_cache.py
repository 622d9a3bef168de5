"""Models of the Hub that are in the cache of this machine, found without asking the Hub.

A model may be used without the Hub's consent to a download: offline, without a token for a gated
repo, or after the repo has gone. A snapshot counts as whole by the files that the model needs; of
other files of its repo, such as a licence, nothing is asked.
"""

from __future__ import annotations

import json
from pathlib import Path

from mergekit_cycleqd.checkpoints.other_weights import ADAPTER_CONFIG, ADAPTER_WEIGHTS

_WHOLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def cached_snapshot(reference: str) -> Path | None:
    """Find the snapshot of a model or an adapter in the cache; None unless it is whole.

    Args:
        reference: A Hub id, ``org/name`` or ``org/name@revision``.
    """
    from huggingface_hub import snapshot_download

    repo, _, revision = reference.partition("@")
    try:
        folder = Path(snapshot_download(repo, revision=revision or None, local_files_only=True))
    except (OSError, ValueError) as error:
        # huggingface_hub knows a listing of the repo, of which a file lacks, and says what is here
        partial = getattr(error, "snapshot_path", None)
        if partial is None:
            return None
        folder = Path(partial)
    return folder if _is_whole(folder) else None


def is_given(repo: str) -> bool:
    """Ask the Hub whether it gives the files of a repo to this token.

    Args:
        repo: A Hub id without a revision.
    """
    from huggingface_hub import HfApi

    from mergekit_cycleqd.system.hub_requests import guard_requests

    guard_requests()
    try:
        HfApi().auth_check(repo)
    except Exception:  # whatever the reason: offline, no answer, gated, private, gone
        return False
    return True


def _is_whole(folder: Path) -> bool:
    if (folder / ADAPTER_CONFIG).is_file() and (folder / ADAPTER_WEIGHTS).is_file():
        return True
    if not (folder / "config.json").is_file():
        return False
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        shards = set(index["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return (folder / _WHOLE).is_file()
    return all(isinstance(shard, str) and (folder / shard).is_file() for shard in shards)
