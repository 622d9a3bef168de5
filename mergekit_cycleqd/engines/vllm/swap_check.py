"""Check that an engine generates with the weights that it was told to load.

Each worker reports two sets of digests: of the tensors that it fed to the engine's loaders, and of
the engine's parameters after that. The engine may fuse and shard tensors in any way: the check does
not need to know how.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mergekit_cycleqd.errors import ModelError, first_names

Digests = Mapping[str, str]


@dataclass(frozen=True)
class SwapReport:
    """The report of one worker about one swap.

    Attributes:
        fed: Digest of each tensor that was fed, by its name in the checkpoint.
        loaded: Digest of each parameter of the engine's model, by its name there.
    """

    fed: Digests
    loaded: Digests


def check_reach(
    from_folder: Sequence[Digests], filled: Sequence[Digests], base: Sequence[SwapReport]
) -> None:
    """Check once that fed tensors reach every parameter, and the right place in it.

    Args:
        from_folder: Digests per worker after the engine loaded the base from its folder.
        filled: Digests per worker after tensors full of one number were fed.
        base: Reports after the base was fed like a genome.

    Raises:
        ModelError: If a parameter did not change when other tensors were fed, or if the fed base
            differs from the base as the engine loads it.
    """
    for before, after, report in zip(from_folder, filled, base, strict=True):
        untouched = [name for name in before if before[name] == after.get(name)]
        if untouched:
            raise ModelError(_unfit("weights that are fed do not reach", untouched))
        other = [name for name in before if before[name] != report.loaded.get(name)]
        if other:
            raise ModelError(
                _unfit("the base's weights arrive otherwise than from its folder in", other)
            )


class SwapCheck:
    """Compares each swap with all earlier ones."""

    def __init__(self, base: Sequence[SwapReport]) -> None:
        """Start with the present weights, in an engine that passed `check_reach`.

        Args:
            base: The report of each worker about the base.
        """
        self._last = list(base)
        self._loaded_of: list[dict[str, str]] = [
            {_joint_digest(r.fed): _joint_digest(r.loaded)} for r in base
        ]
        self._fed_of: list[dict[str, str]] = [
            {_joint_digest(r.loaded): _joint_digest(r.fed)} for r in base
        ]
        self._moved_by = {frozenset(base[0].fed): {name for r in base for name in r.loaded}}

    def fault(self, reports: Sequence[SwapReport]) -> str | None:
        """Say what is wrong with a swap. If nothing is, remember it and give None.

        All workers must have fed the same tensors. In each worker, equal tensors must always give
        equal parameters, and different tensors different ones. Over all workers, a change of the
        same tensors must always change the same parameters, and a change of all tensors all.

        Args:
            reports: One report per worker, always in the same order.
        """
        if len({_joint_digest(report.fed) for report in reports}) > 1:
            return "the workers merged different weights"
        moved: set[str] = set()
        for rank, (last, report) in enumerate(zip(self._last, reports, strict=True)):
            if report.fed.keys() != last.fed.keys():
                return f"worker {rank} was not fed all tensors"
            fed, loaded = _joint_digest(report.fed), _joint_digest(report.loaded)
            if self._loaded_of[rank].get(fed, loaded) != loaded:
                return f"worker {rank} holds other weights than when the same were fed before"
            if self._fed_of[rank].get(loaded, fed) != fed:
                return f"worker {rank} still holds the weights of another model"
            moved |= _changed(last.loaded, report.loaded)
        changed = frozenset(_changed(self._last[0].fed, reports[0].fed))
        known = self._moved_by.get(changed, moved)
        if kept := known - moved:
            return f"{first_names(sorted(kept))} kept the weights of the last model"
        if also := moved - known:
            return (
                f"{first_names(sorted(also))} changed, "
                "which did not when the same tensors did before"
            )
        self._moved_by[changed] = moved
        for rank, report in enumerate(reports):
            self._loaded_of[rank][_joint_digest(report.fed)] = _joint_digest(report.loaded)
            self._fed_of[rank][_joint_digest(report.loaded)] = _joint_digest(report.fed)
        self._last = list(reports)
        return None


def _changed(before: Digests, after: Digests) -> set[str]:
    return {name for name, digest in after.items() if before.get(name) != digest}


def _joint_digest(digests: Digests) -> str:
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(digests.items()))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _unfit(what: str, names: Sequence[str]) -> str:
    return (
        f"engine.kind: vllm cannot swap the weights of this architecture: {what} "
        f"{first_names(names)}; use kind: hf"
    )
