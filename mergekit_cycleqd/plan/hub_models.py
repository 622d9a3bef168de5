"""Read models on the Hub without their weights: file sizes, configuration, tensor headers."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache

from mergekit_cycleqd.checkpoints.checkpoint import (
    MODEL_FILES,
    Checkpoint,
    TensorHeader,
    read_config,
)
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.hub.errors import is_from_the_hub, one_line

_WEIGHTS = "*.safetensors"


@dataclass(frozen=True)
class HubRepo:
    """A repo on the Hub that a recipe names.

    Attributes:
        name: The reference in the recipe, with its revision if it has one.
        commit: The commit that the reference means now.
        sizes: Bytes of each file that would be downloaded, by path.
        missing: Bytes of the files that are not in the cache of this machine.
    """

    name: str
    commit: str
    sizes: dict[str, int]
    missing: int

    @classmethod
    def find(cls, name: str) -> HubRepo:
        """Ask the Hub about a repo.

        Raises:
            ModelError: If there is no such repo, it is gated, or the Hub does not answer.
        """
        repo, _, revision = name.partition("@")
        api = HfApi()
        try:
            info = api.model_info(repo, revision=revision or None, files_metadata=True, timeout=20)
            if info.gated:
                api.auth_check(repo)
        except Exception as error:
            if not is_from_the_hub(error):
                raise
            raise ModelError(one_line(error, name)) from error
        files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        sizes = {
            path: count
            for path, count in files.items()
            if any(fnmatch(path, pattern) for pattern in MODEL_FILES)
        }
        commit = info.sha or ""
        missing = sum(
            size
            for path, size in sizes.items()
            if not isinstance(try_to_load_from_cache(repo, path, revision=commit), str)
        )
        return cls(name, commit, sizes, missing)

    def texts(self) -> Path:
        """Download configuration and tokenizer, without weights, and return their folder.

        Raises:
            ModelError: If the files cannot be downloaded.
        """
        repo, _, _ = self.name.partition("@")
        try:
            return Path(
                snapshot_download(
                    repo,
                    revision=self.commit,
                    allow_patterns=MODEL_FILES,
                    ignore_patterns=[_WEIGHTS],
                )
            )
        except Exception as error:
            raise ModelError(one_line(error, self.name)) from error


class RemoteCheckpoint(Checkpoint):
    """A model on the Hub with known configuration and tensor headers, but without weights."""

    def __init__(self, repo: HubRepo) -> None:
        """Download the configuration and the tokenizer.

        Raises:
            ModelError: If the files cannot be downloaded.
        """
        super().__init__(repo.name, repo.texts())
        self._repo = repo

    @cached_property
    def headers(self) -> dict[str, TensorHeader]:
        """Shape, dtype and file of each tensor, by name, read from the first bytes of the files.

        Raises:
            ModelError: If the repo has no safetensors weights.
        """
        name, _, _ = self.name.partition("@")
        files = [path for path in self._repo.sizes if path.endswith(".safetensors")]
        index = self.folder / "model.safetensors.index.json"
        if index.is_file():
            named: dict[str, Any] = read_config(self.name, index).get("weight_map", {})
            files = sorted(set(named.values()))
        elif "model.safetensors" in files:
            files = ["model.safetensors"]
        else:
            raise ModelError(
                f"{self.name}: needs model.safetensors or model.safetensors.index.json in its repo"
            )
        found = {}
        try:
            for file in files:
                metadata = HfApi().parse_safetensors_file_metadata(
                    name, file, revision=self._repo.commit
                )
                for tensor, info in metadata.tensors.items():
                    found[tensor] = TensorHeader(tuple(info.shape), str(info.dtype), file)
        except Exception as error:
            raise ModelError(one_line(error, self.name)) from error
        return found


def adapter_faults(repo: HubRepo) -> list[str]:
    """List the files that a repo lacks to be an adapter, one line each."""
    missing = [
        name
        for name in ("adapter_config.json", "adapter_model.safetensors")
        if name not in repo.sizes
    ]
    return [f"{repo.name}: needs {name} in its repo" for name in missing]


def cached_model(reference: str) -> Checkpoint | None:
    """Open a Hub model from the cache of this machine, without asking the Hub; None if absent."""
    repo, _, revision = reference.partition("@")
    try:
        folder = snapshot_download(
            repo, revision=revision or None, allow_patterns=MODEL_FILES, local_files_only=True
        )
        found = Checkpoint(reference, Path(folder))
        _ = found.config, found.headers
    except (ModelError, OSError, ValueError):
        return None
    return found
