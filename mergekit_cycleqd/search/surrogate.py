"""A Gaussian process that predicts scores at places, fitted to those of the elites.

The arithmetic is that of scikit-learn's `GaussianProcessRegressor` with a fixed kernel
``Matern(length, nu=1.5) + WhiteKernel(noise)`` and `normalize_y`, step by step: the numbers are the
same to the bit. Distances are computed once for each length, and each matrix is decomposed once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_JITTER = 1e-10  # scikit-learn's `alpha`
MANY = 700  # elites: three tasks with 15 bins have 675 cells
FEW = 400


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A fitted process.

    Attributes:
        places: (n, coordinates) of the elites.
        length: Length scale of the kernel.
        noise: Variance of the noise, in units of the variance of the values.
        factor: (n, n) lower Cholesky factor of the kernel's matrix.
        coefficients: (n, tasks) of the kernel's columns in the mean.
        mean: (tasks,) mean of the values.
        deviation: (tasks,) standard deviation of the values.
        likelihood: Logarithm of the marginal likelihood of the values.
    """

    places: Array
    length: float
    noise: float
    factor: Array
    coefficients: Array
    mean: Array
    deviation: Array
    likelihood: float

    def predict(self, proposed: Array) -> tuple[Array, Array]:
        """Predict the values at (m, coordinates) places: means and deviations, both (m, tasks)."""
        from scipy.linalg import solve_triangular
        from scipy.spatial.distance import cdist

        across = _matern(cdist(proposed / self.length, self.places / self.length))
        means = self.deviation * (across @ self.coefficients) + self.mean
        solved = solve_triangular(self.factor, across.T, lower=True, check_finite=False)
        variances = np.full(len(proposed), 1.0 + self.noise)
        variances -= np.einsum("ij,ji->i", solved.T, solved)
        variances[variances < 0] = 0.0
        return means, np.sqrt(np.outer(variances, self.deviation**2))

    def left_out(self, values: Array) -> Array:
        """Predict the value at each place from all others, (n, tasks).

        Args:
            values: (n, tasks) that the process was fitted to.
        """
        from scipy.linalg import cho_solve

        inverse = cho_solve((self.factor, True), np.eye(len(values)), check_finite=False)
        missed = self.coefficients / np.diag(inverse)[:, None]
        found: Array = values - missed * self.deviation
        return found


def fit(
    places: Array, values: Array, lengths: Sequence[float], noises: Sequence[float]
) -> Surrogate:
    """Fit the process whose length and noise make the values most likely; the first of equals.

    With more than `MANY` elites the last `FEW` of them choose length and noise, since the cost of
    each try grows with the cube of their number. The last fit is kept: the next child is often
    screened by the same elites.

    Args:
        places: (n, coordinates) of the elites.
        values: (n, tasks) of the elites.
        lengths: Length scales to try, in the unit of the coordinates.
        noises: Variances of the noise to try.
    """
    if len(places) > MANY:
        chosen = fit(places[-FEW:], values[-FEW:], lengths, noises)
        lengths, noises = (chosen.length,), (chosen.noise,)
    shapes = (places.shape, values.shape)
    return _fit(places.tobytes(), values.tobytes(), *shapes, tuple(lengths), tuple(noises))


@lru_cache(maxsize=2)  # one of few elites, and one of all
def _fit(
    places_bytes: bytes,
    values_bytes: bytes,
    shape: tuple[int, ...],
    values_shape: tuple[int, ...],
    lengths: tuple[float, ...],
    noises: tuple[float, ...],
) -> Surrogate:
    from scipy.spatial.distance import pdist, squareform

    places = np.frombuffer(places_bytes).reshape(shape)
    values = np.frombuffer(values_bytes).reshape(values_shape)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    deviation = np.where(deviation < 10 * np.finfo(np.float64).eps, 1.0, deviation)
    normal = (values - mean) / deviation
    best: Surrogate | None = None
    for length in map(_as_kept, lengths):
        kernel = squareform(_matern(pdist(places / length)))
        for noise in map(_as_kept, noises):
            np.fill_diagonal(kernel, (1.0 + noise) + _JITTER)
            factor, coefficients, likelihood = _decomposed(kernel, normal)
            if best is None or likelihood > best.likelihood:
                about = (factor, coefficients, mean, deviation, likelihood)
                best = Surrogate(places, length, noise, *about)
    assert best is not None
    return best


def _decomposed(kernel: Array, values: Array) -> tuple[Array, Array, float]:
    """Cholesky factor, coefficients of the kernel's columns, and logarithm of the likelihood."""
    from scipy.linalg import cho_solve, cholesky

    factor = cholesky(kernel, lower=True, check_finite=False)
    coefficients = cho_solve((factor, True), values, check_finite=False)
    each = -0.5 * np.einsum("ik,ik->k", values, coefficients)
    each -= np.log(np.diag(factor)).sum()
    each -= len(kernel) / 2 * np.log(2 * np.pi)
    return factor, coefficients, float(each.sum(axis=-1))


def _as_kept(number: float) -> float:
    """A parameter as scikit-learn keeps it: by its logarithm, which may change its last bit."""
    return float(np.exp(np.log(number)))


def _matern(distances: Array) -> Array:
    scaled = distances * math.sqrt(3)
    found: Array = (1.0 + scaled) * np.exp(-scaled)
    return found
