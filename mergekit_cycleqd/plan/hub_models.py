"""Read models on the Hub without their weights: file sizes, configuration, tensor headers."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from mergekit_cycleqd.checkpoints.checkpoint import (
    MODEL_FILES,
    Checkpoint,
    TensorHeader,
    read_config,
)
from mergekit_cycleqd.checkpoints.hub_cache import cached_snapshot
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.checkpoints.other_weights import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    adapter_alone,
    instead_of_safetensors,
)
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.references import is_hub_id, parts
from mergekit_cycleqd.hub.errors import is_from_the_hub, one_line, status_of
from mergekit_cycleqd.system.hub_requests import guard_requests

_WEIGHTS = "*.safetensors"
_NO_FOLDER = "no folder of that name beside the recipe or in the working directory"


@dataclass(frozen=True)
class HubRepo:
    """A repo on the Hub that a recipe names.

    Attributes:
        name: The reference in the recipe, with its revision if it has one.
        commit: The commit that the reference means now.
        paths: Paths of all files.
        sizes: Bytes of each file that would be downloaded, by path.
        missing: Bytes of the files that are not in the cache of this machine.
    """

    name: str
    commit: str
    paths: tuple[str, ...]
    sizes: dict[str, int]
    missing: int

    @classmethod
    def find(cls, name: str) -> HubRepo:
        """Ask the Hub about a repo.

        Raises:
            ModelError: If there is no such repo, it is gated, or the Hub does not answer.
        """
        repo, _, revision = name.partition("@")
        guard_requests()
        api = HfApi()
        try:
            info = api.model_info(repo, revision=revision or None, files_metadata=True, timeout=20)
            if info.gated:
                api.auth_check(repo)
        except Exception as error:
            if not is_from_the_hub(error):
                raise
            raise ModelError(_not_found(error, name)) from error
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
        return cls(name, commit, tuple(files), sizes, missing)

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

    def headers(self, file: str) -> dict[str, TensorHeader]:
        """Read the header of a safetensors file, which are its first bytes.

        Args:
            file: Path of the file in the repo.

        Raises:
            ModelError: If the header cannot be read.
        """
        name, _, _ = self.name.partition("@")
        try:
            header = HfApi().parse_safetensors_file_metadata(name, file, revision=self.commit)
        except Exception as error:
            raise ModelError(one_line(error, self.name)) from error
        return {
            tensor: TensorHeader(tuple(info.shape), str(info.dtype), file)
            for tensor, info in header.tensors.items()
        }


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
        files = [path for path in self._repo.sizes if path.endswith(".safetensors")]
        index = self.folder / "model.safetensors.index.json"
        if index.is_file():
            named: dict[str, Any] = read_config(self.name, index).get("weight_map", {})
            files = sorted(set(named.values()))
        elif "model.safetensors" in files:
            files = ["model.safetensors"]
        else:
            fault = adapter_alone(self.name, self.folder) or (
                "needs model.safetensors or model.safetensors.index.json in its repo"
                + instead_of_safetensors(self._repo.paths)
            )
            raise ModelError(f"{self.name}: {fault}")
        found: dict[str, TensorHeader] = {}
        for file in files:
            found |= self._repo.headers(file)
        return found


class RemoteLoRAExpert(LoRAExpert):
    """A base and an adapter, of which at least one is on the Hub without its weights here."""

    def __init__(self, name: str, base: Checkpoint, adapter: HubRepo | Path) -> None:
        """Download the adapter's configuration and tokenizer, and check that it fits the base.

        Args:
            name: The reference that the user wrote, ``base+adapter``.
            base: The base.
            adapter: The adapter's repo, or its folder on this machine.

        Raises:
            ModelError: If files cannot be downloaded, or the adapter is not plain LoRA.
        """
        self._base = base
        self._repo = adapter if isinstance(adapter, HubRepo) else None
        folder = adapter.texts() if isinstance(adapter, HubRepo) else adapter
        super().__init__(name, base.folder, folder)
        self.check()

    @cached_property
    def headers(self) -> dict[str, TensorHeader]:
        """Those of the base.

        Raises:
            ModelError: If they cannot be read.
        """
        return self._base.headers

    def _read_header(self) -> dict[str, TensorHeader]:
        return super()._read_header() if self._repo is None else self._repo.headers(ADAPTER_WEIGHTS)


def adapter_faults(repo: HubRepo | None) -> list[str]:
    """List the files that a repo lacks to be an adapter, one line each. Empty for a folder here."""
    if repo is None:
        return []
    needed = [name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if name not in repo.sizes]
    got = instead_of_safetensors(repo.paths) if needed == [ADAPTER_WEIGHTS] else ""
    return [f"{repo.name}: needs {name} in its repo{got}" for name in needed]


def cached_model(reference: str) -> Checkpoint | None:
    """Open a model from the cache of this machine, without asking the Hub; None if absent."""
    try:
        folders = [_cached_folder(part) for part in parts(reference)]
        if len(folders) == 1:
            found = Checkpoint(reference, *folders)
        else:
            found = LoRAExpert(reference, *folders)
            found.check()
        _ = found.config, found.headers
    except (ModelError, OSError, ValueError, TypeError):
        return None
    return found


def _cached_folder(part: str) -> Path:
    folder = cached_snapshot(part) if is_hub_id(part) else Path(part)
    if folder is None:
        raise ModelError(f"{part}: is not in the cache of this machine")
    return folder


def _not_found(error: BaseException, name: str) -> str:
    """Say that a model is not on the Hub. It may also be a folder whose name is misspelt."""
    line = one_line(error, name)
    if isinstance(error, GatedRepoError):
        return line
    if isinstance(error, RepositoryNotFoundError):
        return f"{line}; and there is {_NO_FOLDER}"
    if status_of(error) is None:
        what = line.removeprefix(f"{name}: ")
        return f"{name}: there is {_NO_FOLDER}, and the Hub cannot be asked: {what}"
    return line
