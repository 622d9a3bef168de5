"""Task vectors without interference: each keeps what it does to the inputs of its own expert.

The rows of an expert's task vector lie in the span of the inputs that the layer was trained on. So
``G_k = x_k^T x_k`` with ``x_k = tau_k / |tau_k|`` stands in for the second moments of these inputs
(WUDI-Merging, arXiv:2503.08099). The sum of the new task vectors differs least from ``tau_k`` on
the inputs of each expert k, with a penalty of l on the difference from the sum of all task vectors.
That is a linear regression (RegMean, arXiv:2212.09849), with one part for each expert:

    tau'_k = tau_k (G_k + l I) (sum_j G_j + l I)^-1,   l = lambda * trace(sum_j G_j) / n

It depends on base and experts alone, so that every operator of a genome stays linear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mergekit_cycleqd.merging.dense_task_vector import DenseTaskVector
from mergekit_cycleqd.merging.directions import SingularDirections, as_matrix
from mergekit_cycleqd.merging.float64 import in_float64, placed
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vector import ExpertTensor, compute_dtype

_SHORTEST_INPUTS = 16  # of a fused mixture; the last axis of a convolution is its kernel
_EMBEDDINGS = {"wte", "wpe", "shared", "emb"}  # beside all with "embed" in their names
_HEADS = {"embed_out"}


def wudi_task_vectors(
    name: str,
    base: Tensor,
    experts: Sequence[Tensor | LowRank | None],
    strength: float,
    singular_directions: Callable[[Tensor], SingularDirections],
) -> list[ExpertTensor | None]:
    """Remove from the task vectors of one tensor what disturbs other experts' inputs.

    Args:
        name: The tensor's name, which tells embeddings.
        base: The base's tensor.
        experts: Each expert's tensor, its task vector as a `LowRank`, or None if it equals the
            base's.
        strength: The number lambda. The larger, the closer to plain task vectors.
        singular_directions: Not needed.

    Returns:
        The experts. A task vector of a matrix is dense, in float64; a `LowRank` stays thin, in
        float64 where singular values are close. Tensors of fewer than two axes, and those that one
        expert alone changes, stay as they are.
    """
    del singular_directions
    changing = [expert_tensor for expert_tensor in experts if expert_tensor is not None]
    if base.ndim < 2 or len(changing) < 2:
        return list(experts)
    if is_mixture(base.shape):
        found = _of_mixture(base, changing, strength)
    else:
        parts = [_factored(base, expert_tensor) for expert_tensor in changing]
        if is_embedding(name) and base.ndim == 2:
            found = [part.rebuilt(base) for part in _by_shares(parts, strength)]
        else:
            cleaned = _without_interference([part.rows for part in parts], strength)
            found = [
                _Factored(part.frame, rows).rebuilt(base)
                for part, rows in zip(parts, cleaned, strict=True)
            ]
    following = iter(found)
    return [None if expert_tensor is None else next(following) for expert_tensor in experts]


def is_embedding(name: str) -> bool:
    """Whether the rows of a tensor of this name belong to tokens or positions of the input.

    Names are what all ways to a model have in common.
    """
    module = name.removesuffix(".weight").rpartition(".")[2]
    return module not in _HEADS and ("embed" in module or module in _EMBEDDINGS)


def is_mixture(shape: Sequence[int]) -> bool:
    """Whether a tensor holds one matrix for each expert of a mixture.

    A convolution along one axis has three axes too, and the last one is its kernel, which is short.
    """
    return len(shape) == 3 and shape[2] >= _SHORTEST_INPUTS


class _Factored(NamedTuple):
    """A task vector as ``frame @ rows`` in float64.

    Attributes:
        frame: (m, r) columns; None for the unit matrix, so that the rows are the task vector.
        rows: (r, n) rows; r is m without a frame.
    """

    frame: Tensor | None
    rows: Tensor

    def orthonormal(self) -> _Factored:
        """Make the columns of the frame orthonormal, so that the rows have the Gram matrix."""
        if self.frame is None:
            return self
        frame, core = torch.linalg.qr(self.frame)
        return _Factored(frame, core @ self.rows)

    def squares(self, axis: int) -> Tensor:
        """Compute the squared norms of the rows (axis 0) or columns (axis 1) of the task vector."""
        if axis == 1 or self.frame is None:
            return self.rows.square().sum(1 - axis)
        return ((self.frame @ (self.rows @ self.rows.T)) * self.frame).sum(1).clamp(min=0)

    def scaled(self, factors: Tensor, axis: int) -> _Factored:
        """Scale the rows (axis 0) or columns (axis 1) of the task vector."""
        if axis == 1:
            return _Factored(self.frame, self.rows * factors)
        if self.frame is None:
            return _Factored(None, factors[:, None] * self.rows)
        return _Factored(factors[:, None] * self.frame, self.rows).orthonormal()

    def rebuilt(self, base: Tensor) -> ExpertTensor:
        """Make an expert's tensor of it."""
        if self.frame is None:
            return DenseTaskVector(self.rows.reshape(base.shape))
        thin = LowRank(self.frame, self.rows.contiguous(), 1.0)
        close = thin.singular_directions().close
        thin = thin if close else thin.to(compute_dtype(base.dtype))
        return thin.map_tensors(lambda factor: placed(factor, base.device))


def _factored(base: Tensor, expert_tensor: Tensor | LowRank) -> _Factored:
    if isinstance(expert_tensor, LowRank):
        rows = expert_tensor.scaling * in_float64(expert_tensor.down)
        return _Factored(in_float64(expert_tensor.up), rows).orthonormal()
    return _Factored(None, as_matrix(_difference(base, expert_tensor)))


def _by_shares(parts: Sequence[_Factored], strength: float) -> list[_Factored]:
    """Scale the rows of task vectors by each expert's share of all that move them, then columns.

    Of an embedding's inputs one at a time is 1. Then the formula at the head of this module has a
    diagonal matrix on the side of the rows, which holds how often each input is read. The squared
    norms of the rows stand in for these numbers. The same on the side of the columns is worth
    another 0.04 where the head is tied to the embedding (benchmarks/RESULTS.md).
    """
    found = list(parts)
    for axis in (0, 1):
        squares = [part.squares(axis) for part in found]
        shares = {k: each / each.sum() for k, each in enumerate(squares) if each.sum() > 0}
        if len(shares) < 2:
            return found
        total = torch.stack(list(shares.values())).sum(0)
        level = strength * total.mean()
        for k, share in shares.items():
            found[k] = found[k].scaled((share + level) / (total + level), axis)
    return found


def _difference(base: Tensor, expert_tensor: Tensor | LowRank) -> Tensor:
    """Compute a task vector of the base's shape in float64."""
    if isinstance(expert_tensor, LowRank):
        return expert_tensor.product(torch.float64).reshape(base.shape)
    return in_float64(expert_tensor) - in_float64(base)


def _of_mixture(
    base: Tensor, experts: Sequence[Tensor | LowRank], strength: float
) -> list[ExpertTensor]:
    """Treat the matrix of each expert of a mixture by itself."""
    taus = [_difference(base, expert_tensor) for expert_tensor in experts]
    for place in range(base.shape[0]):
        cleaned = _without_interference([tau[place] for tau in taus], strength)
        for tau, rows in zip(taus, cleaned, strict=True):
            tau[place] = rows
    return [DenseTaskVector(tau) for tau in taus]


def _without_interference(taus: Sequence[Tensor], strength: float) -> list[Tensor]:
    """Compute the new rows of each task vector; those that are zero stay zero.

    Where all task vectors together have fewer rows than there are inputs, the identity
    ``F (F^T F + l I)^-1 = (F F^T + l I)^-1 F`` saves the matrices of n x n.

    Args:
        taus: (r_k, n) rows of each task vector, float64.
        strength: The number lambda.
    """
    norms = [torch.linalg.vector_norm(tau) for tau in taus]
    units = {k: taus[k] / norm for k, norm in enumerate(norms) if norm > 0}
    if len(units) < 2:
        return list(taus)
    inputs = taus[0].shape[1]
    level = strength * len(units) / inputs
    few = sum(len(unit) for unit in units.values()) <= inputs
    whiten = _by_rows(units, level) if few else _by_inputs(units, level)
    found = list(taus)
    for k, unit in units.items():
        found[k] = norms[k] * whiten(k, unit)
    return found


def _by_rows(units: dict[int, Tensor], level: float) -> Callable[[int, Tensor], Tensor]:
    """Invert on the side of the rows, all experts' together."""
    joined = torch.cat(list(units.values()))
    solved = torch.cholesky_solve(joined, _factor(joined @ joined.T, level))
    sizes = [len(unit) for unit in units.values()]
    blocks = dict(zip(units, solved.split_with_sizes(sizes), strict=True))
    return lambda k, unit: _add_level(unit @ unit.T, level) @ blocks[k]


def _by_inputs(units: dict[int, Tensor], level: float) -> Callable[[int, Tensor], Tensor]:
    """Invert on the side of the inputs."""
    inputs = next(iter(units.values())).shape[1]
    total = torch.zeros(inputs, inputs, dtype=torch.float64, device=units[min(units)].device)
    for unit in units.values():
        total.addmm_(unit.T, unit)
    factor = _factor(total, level)

    def whiten(_: int, unit: Tensor) -> Tensor:
        if len(unit) > inputs:
            return unit @ torch.cholesky_solve(_add_level(unit.T @ unit, level), factor).T
        return torch.cholesky_solve((_add_level(unit @ unit.T, level) @ unit).T, factor).T

    return whiten


def _factor(gram: Tensor, level: float) -> Tensor:
    factor: Tensor = torch.linalg.cholesky(_add_level(gram, level))
    return factor


def _add_level(gram: Tensor, level: float) -> Tensor:
    """Add a number to the diagonal, in place."""
    gram.diagonal().add_(level)
    return gram
