"""Checkpoints: find or download a model, list its tensors, and read them one by one.

Only `config.json` and the headers of safetensors files are read before a tensor is needed.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from mergekit_cycleqd.checkpoints.file_sizes import MOST_SHARDS, count_fault, text_fault
from mergekit_cycleqd.checkpoints.hub_cache import cached_snapshot
from mergekit_cycleqd.checkpoints.index_file import INDEX, index_fault, is_shard, missing_shards
from mergekit_cycleqd.checkpoints.other_weights import (
    adapter_alone,
    instead_of_safetensors,
    weight_file_fault,
)
from mergekit_cycleqd.errors import ModelError, first_line
from mergekit_cycleqd.genome.references import is_hub_id, is_weight_file

MODEL_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "*.py"]

_SINGLE = "model.safetensors"
_PROBES = 64
_PROBE_BYTES = 4096
_POINTER = b"version https://git-lfs.github.com/spec/"


class TensorHeader(NamedTuple):
    """Shape, dtype (by its name in safetensors, such as ``BF16``) and file of one tensor."""

    shape: tuple[int, ...]
    dtype: str
    file: str


class Checkpoint:
    """A model folder with safetensors weights, in one file or in shards.

    Attributes:
        name: The reference that the user wrote.
        folder: Folder of the files.
    """

    def __init__(self, name: str, folder: Path) -> None:
        """Take a folder, without reading anything in it."""
        self.name = name
        self.folder = folder

    @classmethod
    def open(cls, reference: str) -> Checkpoint:
        """Open a folder, or download a Hub model (``org/name`` or ``org/name@revision``).

        Where the Hub does not give it, as without the network or without a token for a gated model,
        the one in the cache of this machine is taken.

        Raises:
            ModelError: If there is no such folder, and the Hub does not give such a model; or if a
                text in it is too large to be read.
        """
        found = cls._found(reference)
        if fault := text_fault(found.folder):
            raise ModelError(f"{reference}: {fault}")
        return found

    @classmethod
    def _found(cls, reference: str) -> Checkpoint:
        folder = Path(reference)
        if os.path.isdir(reference):  # Path.is_dir fails on a name that is too long
            return cls(reference, folder)
        if is_weight_file(reference):
            raise ModelError(weight_file_fault(reference))
        if not is_hub_id(reference):
            raise ModelError(f"needs a model folder or a Hub id org/name, got {reference!r}")
        from huggingface_hub import snapshot_download

        from mergekit_cycleqd.system.hub_requests import guard_requests

        guard_requests()
        repo, _, revision = reference.partition("@")
        try:
            path = snapshot_download(repo, revision=revision or None, allow_patterns=MODEL_FILES)
        except Exception as error:
            if (cached := cached_snapshot(reference)) is not None:
                return cls(reference, cached)
            raise ModelError(
                f"no folder {reference!r} here, and the Hub does not give it "
                f"({type(error).__name__}: {first_line(error, 160)})"
            ) from error
        return cls(reference, Path(path))

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json.

        Raises:
            ModelError: If the file is missing or is not JSON.
        """
        file = self.folder / "config.json"
        if not file.is_file() and (alone := adapter_alone(self.name, self.folder)):
            raise ModelError(f"{self.name}: {alone}")
        return read_config(self.name, file)

    @cached_property
    def headers(self) -> dict[str, TensorHeader]:
        """Shape, dtype and file of every tensor, by name.

        Raises:
            ModelError: If there are no safetensors files, or one is missing or broken.
        """
        held: dict[str, dict[str, TensorHeader]] = {}
        for file in self._files():
            held[file] = read_header(self.name, self.folder, file)
            if fault := count_fault(sum(map(len, held.values()))):
                raise ModelError(f"{self.name}: {fault}")
        if self._listed is not None and (fault := index_fault(self._listed, held)):
            raise ModelError(f"{self.name}: {fault}")
        return {name: header for file in held.values() for name, header in file.items()}

    @cached_property
    def _listed(self) -> dict[str, str] | None:
        """The file of each tensor, as the index has it; None without an index.

        Raises:
            ModelError: If it names something else than files beside it.
        """
        index = self.folder / INDEX
        if not index.is_file():
            return None
        shards = read_config(self.name, index).get("weight_map")
        if not isinstance(shards, dict) or not all(map(is_shard, shards.values())):
            raise ModelError(
                f"{self.name}: {INDEX} must name safetensors files beside it, tensor by tensor, "
                "under weight_map"
            )
        return shards

    def _files(self) -> list[str]:
        if self._listed is not None:
            found = sorted(set(self._listed.values()))
            if len(found) > MOST_SHARDS:
                text = f"{INDEX} must name at most {MOST_SHARDS:,} files, got {len(found):,}"
                raise ModelError(f"{self.name}: {text}")
            if (self.folder / _SINGLE).is_file() and _SINGLE not in found:
                raise ModelError(
                    f"{self.name}: needs one set of weights, got {_SINGLE}, which transformers "
                    f"reads, beside {INDEX}, which mergekit reads; remove the one that is not "
                    f"meant from {self.folder}"
                )
            if fault := missing_shards(self.folder, found):
                raise ModelError(f"{self.name}: {fault}")
            return found
        if (self.folder / _SINGLE).is_file():
            return [_SINGLE]
        if alone := adapter_alone(self.name, self.folder):
            raise ModelError(f"{self.name}: {alone}")
        needed = "needs model.safetensors or model.safetensors.index.json"
        got = instead_of_safetensors(os.listdir(self.folder))
        raise ModelError(f"{self.name}: {needed} in {self.folder}{got}")

    def tensor(self, name: str) -> Tensor:
        """Read one tensor onto the CPU, in the dtype that it is stored in."""
        with safe_open(self.folder / self.headers[name].file, framework="pt") as shard:
            tensor: Tensor = shard.get_tensor(name)
            return tensor

    def fingerprint(self) -> str:
        """Compute 16 hex digits from config, file sizes and 64 samples of every weight file.

        This takes little time for models of any size, and tells differently trained models apart.
        """
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for file in self._files():
            path = self.folder / file
            size = path.stat().st_size
            digest.update(f"{file} {size} ".encode())
            with path.open("rb") as stream:
                for probe in range(_PROBES):
                    stream.seek(size * probe // _PROBES)
                    digest.update(stream.read(_PROBE_BYTES))
        return digest.hexdigest()[:16]


def read_config(name: str, path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a mapping.

    Args:
        name: The model that needs the file, for messages.
        path: The file.

    Raises:
        ModelError: If the file is missing, or does not hold a mapping.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{name}: has no {path.name} in {path.parent}") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name}: {path.name} is not JSON: {error}") from None
    except OSError as error:
        raise ModelError(f"{name}: cannot read {path}: {error.strerror}") from None
    if not isinstance(content, dict):
        raise ModelError(f"{name}: {path.name} must hold a mapping")
    return content


def read_header(name: str, folder: Path, file: str) -> dict[str, TensorHeader]:
    """Read shape and dtype of every tensor in a safetensors file, by name.

    Args:
        name: The model that needs the file, for messages.
        folder: The folder of the file.
        file: The file's name.

    Raises:
        ModelError: If the file is missing or broken.
    """
    headers = {}
    try:
        with safe_open(folder / file, framework="pt") as shard:
            names = shard.keys()
            if fault := count_fault(len(names)):
                raise ModelError(f"{name}: {fault}")
            for tensor in names:
                view = shard.get_slice(tensor)
                headers[tensor] = TensorHeader(tuple(view.get_shape()), view.get_dtype(), file)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{name}: {_unread(folder / file, error)}") from None
    return headers


def _unread(file: Path, error: Exception) -> str:
    with suppress(OSError), file.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            return f"{file.name} is a pointer of Git LFS without the weights; run git lfs pull"
    return f"cannot read {file.name}: {error}"
