"""The surrogate has the numbers of scikit-learn's Gaussian process, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from mergekit_cycleqd.search.screening import LENGTHS, NOISES
from mergekit_cycleqd.search.surrogate import fit


@pytest.mark.parametrize(
    ("elites", "coordinates", "tasks"),
    [(2, 3, 2), (7, 4, 3), (20, 3, 1), (60, 4, 3), (250, 9, 8), (300, 3, 2)],
)
@pytest.mark.parametrize("wiggly", [0.3, 3.0])
def test_predictions_are_those_of_scikit_learn(
    elites: int, coordinates: int, tasks: int, wiggly: float
) -> None:
    rng = np.random.Generator(np.random.Philox(elites))
    places, proposed = rng.normal(size=(elites, coordinates)), rng.normal(size=(64, coordinates))
    places[-1] = places[0]
    places[:, -1] = 0.0
    values = np.sin(wiggly * places @ rng.normal(size=(coordinates, tasks)))
    values[:, 0] = 0.25
    kernels = (
        Matern(length, nu=1.5) + WhiteKernel(noise) for length in LENGTHS for noise in NOISES
    )
    fitted = [
        GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(places, values)
        for kernel in kernels
    ]
    best = max(fitted, key=lambda each: each.log_marginal_likelihood_value_)
    means, deviations = (  # of one task they come as (proposals,)
        of.reshape(64, tasks) for of in best.predict(proposed, return_std=True)
    )
    found = fit(places, values, LENGTHS, NOISES)
    assert found.likelihood == best.log_marginal_likelihood_value_
    ours, spread = found.predict(proposed)
    np.testing.assert_array_equal(ours, means)
    np.testing.assert_array_equal(spread, deviations)


def test_the_last_fit_is_kept_and_another_one_is_not_taken_for_it() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    places, values = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    first = fit(places, values, LENGTHS, NOISES)
    assert fit(places.copy(), values.copy(), LENGTHS, NOISES) is first
    other = fit(places, values + np.array([1e-9, 0.0]), LENGTHS, NOISES)
    assert other is not first and other.coefficients.tobytes() != first.coefficients.tobytes()
    assert fit(places.T.copy().T, values, LENGTHS, NOISES).factor.tobytes() == (
        first.factor.tobytes()
    )


def test_what_is_left_out_is_predicted_by_the_others() -> None:
    rng = np.random.Generator(np.random.Philox(2))
    places, values = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    values[:, 1] = 0.25
    whole = fit(places, values, (1.0,), (0.03,))
    left_out = whole.left_out(values)
    unit = (values - whole.mean) / whole.deviation
    kernel = Matern(1.0, nu=1.5) + WhiteKernel(0.03)
    for i in range(12):
        others = np.arange(12) != i
        part = GaussianProcessRegressor(kernel, optimizer=None).fit(places[others], unit[others])
        found = whole.mean + whole.deviation * part.predict(places[i : i + 1])[0]
        np.testing.assert_allclose(left_out[i], found, atol=1e-9)
