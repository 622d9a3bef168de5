"""Other libraries of linear algebra in the place of torch's, as other machines have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

_SAME = 1e-12  # of the largest eigenvalue


def by_driver(driver: str, patch: pytest.MonkeyPatch) -> None:
    """Let another function of LAPACK decompose."""

    def eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = scipy.linalg.eigh(matrix.numpy(), driver=driver)
        return torch.from_numpy(values), torch.from_numpy(vectors)

    def svd(matrix: Tensor, full_matrices: bool = True) -> tuple[Tensor, ...]:
        found = scipy.linalg.svd(matrix.numpy(), full_matrices, lapack_driver="gesvd")
        return tuple(map(torch.from_numpy, found))

    patch.setattr(torch.linalg, "eigh", eigh)
    patch.setattr(torch.linalg, "svd", svd)


def by_other_bases(patch: pytest.MonkeyPatch) -> None:
    """Let every basis of equal values be another one: each is as good as torch's."""
    true_eigh, true_svd = torch.linalg.eigh, torch.linalg.svd
    draw = np.random.default_rng(0)

    def turns(values: Tensor) -> Iterator[tuple[slice, Tensor]]:
        ends = (values.diff().abs() > _SAME * values.abs().max()).nonzero().flatten() + 1
        bounds = [0, *ends.tolist(), len(values)]
        for first, last in pairwise(bounds):
            turn = np.linalg.qr(draw.standard_normal((last - first, last - first)))[0]
            yield slice(first, last), torch.from_numpy(turn)

    def eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = true_eigh(matrix)
        for group, turn in turns(values):
            vectors[:, group] = vectors[:, group] @ turn
        return values, vectors

    def svd(matrix: Tensor, full_matrices: bool = True) -> tuple[Tensor, ...]:
        u, s, vt = true_svd(matrix, full_matrices=full_matrices)
        for group, turn in turns(s):
            u[:, group], vt[group] = u[:, group] @ turn, turn.T @ vt[group]
        return u, s, vt

    patch.setattr(torch.linalg, "eigh", eigh)
    patch.setattr(torch.linalg, "svd", svd)


MACHINES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "syev": partial(by_driver, "ev"),
    "syevr": partial(by_driver, "evr"),
    "other bases": by_other_bases,
}
