"""Proof that the weights which an engine generates with are those that it was told to load.

Each worker reports two sets of digests: of the tensors that it fed to the engine's own loaders, and
of the parameters as they then stand in the engine, fused and sharded however it likes. Nothing has
to be known of how one became the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mergekit_cycleqd.errors import ModelError

Digests = Mapping[str, str]


@dataclass(frozen=True)
class SwapReport:
    """What one worker says of one swap.

    Attributes:
        fed: Digest of each tensor that was fed, by its name in the checkpoint.
        loaded: Digest of each parameter of the engine's model, by its name there.
    """

    fed: Digests
    loaded: Digests


def check_reach(
    own: Sequence[Digests], filled: Sequence[Digests], base: Sequence[SwapReport]
) -> None:
    """Show, once, that what is fed reaches every parameter, and the right place in it.

    Args:
        own: Per worker, the parameters as the engine itself loaded the base from its folder.
        filled: The same after every tensor was fed with one number in all places.
        base: Reports after the base was fed as any genome is.

    Raises:
        ModelError: If a parameter stayed as it was when others were fed, or the base as we feed it
            is not to the bit what the engine reads from the folder.
    """
    for before, after, report in zip(own, filled, base, strict=True):
        untouched = [name for name in before if before[name] == after.get(name)]
        if untouched:
            raise ModelError(_unfit("weights that are fed do not reach", untouched))
        other = [name for name in before if before[name] != report.loaded.get(name)]
        if other:
            raise ModelError(
                _unfit("the base's weights arrive otherwise than from its folder in", other)
            )


class SwapCheck:
    """Compares each swap with all those before it."""

    def __init__(self, base: Sequence[SwapReport]) -> None:
        """Begin with what is loaded now, in an engine that passed `check_reach`.

        Args:
            base: A report per worker.
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
        """What is wrong with a swap, and None, if nothing is, after which it counts as done.

        All workers must have fed the same. In each, parameters must be those of every earlier time
        when the same was fed, and of no time when something else was. Over all of them, those that
        changed must be all if all tensors did, and for some tensors the same ones each time.

        Args:
            reports: One per worker, in the order of the last time.
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
            return f"{_two_names(sorted(kept))} kept the weights of the last model"
        if also := moved - known:
            return f"{_two_names(sorted(also))} changed, which did not when the same tensors did before"
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
        f"engine.kind: vllm cannot swap the weights of this architecture: {what} {_two_names(names)}; "
        "use kind: hf"
    )


def _two_names(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + rest
