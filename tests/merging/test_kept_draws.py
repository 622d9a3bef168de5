"""Draws are kept within a number of bytes, and those that are asked for stay."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np
import pytest

from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import kept_draws, random_draws
from mergekit_cycleqd.merging.kept_draws import Draws, KeptDraws

SIZE = 16
BYTES = SIZE * 8
TENSORS = ("a", "b", "c")


class Drawn:
    """Makes draws, and counts how many."""

    def __init__(self, limit: int) -> None:
        self.count = 0
        self.kept = KeptDraws(limit)

    def draw(self, tensor: str) -> Callable[[int], Draws]:
        def made(seed: int) -> Draws:
            self.count += 1
            return np.full(SIZE, seed + len(tensor) / 8)

        return made

    def model(self, seeds: range, tensors: tuple[str, ...] = TENSORS) -> int:
        """Ask for the draws of a model; how many of them had to be made."""
        before = self.count
        for tensor in tensors:
            found = self.kept.take(tensor, SIZE, seeds, self.draw(tensor))
            assert [float(draws[0]) for draws in found] == [s + len(tensor) / 8 for s in seeds]
        assert self.kept.size <= self.kept.limit
        return self.count - before


def test_a_pool_that_fits_is_drawn_once() -> None:
    drawn = Drawn(limit=3 * 10 * BYTES)
    assert [drawn.model(range(10)) for _ in range(3)] == [30, 0, 0]
    assert drawn.kept.size == 3 * 10 * BYTES


def test_of_what_does_not_fit_a_part_stays() -> None:
    drawn = Drawn(limit=15 * BYTES)
    assert [drawn.model(range(10)) for _ in range(4)] == [30, 15, 15, 15]


def test_a_weighted_sum_is_that_of_all_draws_whether_or_not_they_are_kept() -> None:
    for limit in (0, 5 * BYTES, 2**20):
        drawn = Drawn(limit)
        for seeds in (range(4), range(2, 9), range(9)):
            scales = np.array([0.5 ** (seed + 1) for seed in seeds])
            found = drawn.kept.weighted("a", SIZE, seeds, scales, drawn.draw("a"))
            wanted = sum(c * (s + 1 / 8) for s, c in zip(seeds, scales, strict=True))
            assert found == pytest.approx(np.full(SIZE, wanted))


def test_one_mutation_more_is_one_draw_more_for_each_tensor() -> None:
    drawn = Drawn(limit=2**20)
    counts = [drawn.model(range(most)) for most in range(1, 40)]
    assert counts == [3] * 39


def test_what_no_model_asks_for_any_more_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_draws, "_PATIENCE", 3)
    drawn = Drawn(limit=30 * BYTES)
    drawn.model(range(10))
    new = [drawn.model(range(100, 110)) for _ in range(6)]
    assert new[0] == 30 and new[-1] == 0


def test_tensors_of_another_model_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_draws, "_PATIENCE", 3)
    drawn = Drawn(limit=30 * BYTES)
    drawn.model(range(10))
    new = [drawn.model(range(10), ("d", "e")) for _ in range(20)]
    assert new[0] == 20 and new[-1] == 0


def test_draws_larger_than_all_room_are_not_kept() -> None:
    drawn = Drawn(limit=BYTES - 1)
    assert [drawn.model(range(1)) for _ in range(2)] == [3, 3]


@pytest.mark.parametrize("limit", [0, 2**12, 2**28])
def test_a_sum_is_that_of_its_terms_in_their_order_whatever_is_kept(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_draws, "_kept", KeptDraws(limit))
    rng = np.random.Generator(np.random.Philox(3))
    terms = [Term(0, int(seed), float(rng.normal())) for seed in rng.integers(2**32, size=80)]
    for size in (1, 3, 64, 257):
        wanted = sum(
            scale * random_draws._stream(seed, "x", "uniform", size) for _, seed, scale in terms
        )
        for _ in range(2):
            found = random_draws.scaled_sum(terms, "x", size)
            assert found.tobytes() == np.asarray(wanted).tobytes()


def numbers_of(rng: np.random.Generator, count: int) -> list[Term]:
    scales = rng.normal(size=count) * 10.0 ** rng.integers(-9, 2, size=count)
    seeds = rng.choice(2**32, size=count, replace=False)
    return [Term(0, int(s), float(c)) for s, c in zip(seeds, scales, strict=True)]


@pytest.mark.parametrize("limit", [0, 2**14, 2**28])
def test_deviations_in_float32_are_those_of_the_sum_in_its_order_to_the_bit(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_draws, "_kept", KeptDraws(limit))
    rng = np.random.Generator(np.random.Philox(11))
    for count in (1, 2, 3, 20, 200):
        for round in range(20):
            terms, size = numbers_of(rng, count), int(rng.integers(1, 2000))
            mean = math.fsum(term.scale for term in terms) / 2
            wanted = random_draws.scaled_sum(terms, f"x{round % 3}", size) - mean
            for _ in range(2):
                found = random_draws.deviations(terms, f"x{round % 3}", size, mean, single=True)
                assert found.dtype == np.float32
                assert found.tobytes() == wanted.astype(np.float32).tobytes()
                exact = random_draws.deviations(terms, f"x{round % 3}", size, mean, single=False)
                assert exact.tobytes() == wanted.tobytes()


def test_a_number_between_two_float32_is_decided_by_the_sum_in_its_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Draws are chosen so that the sum lies on the edge; another order falls to the other side."""
    edge = 1 + 2.0**-24
    numbers = {1: edge, 2: 2.0**-53, 3: 2.0**-53}
    monkeypatch.setattr(random_draws, "_kept", KeptDraws(2**20))
    monkeypatch.setattr(
        random_draws, "_stream", lambda seed, *_: np.full(2, numbers[seed], dtype=np.float64)
    )
    for order in ((1, 2, 3), (2, 3, 1)):
        terms = [Term(0, seed, 1.0) for seed in order]
        wanted = random_draws.scaled_sum(terms, "x", 2)
        found = random_draws.deviations(terms, "x", 2, 0.0, single=True)
        assert found.astype(np.float32).tobytes() == wanted.astype(np.float32).tobytes()


def test_a_generator_that_starts_anew_draws_as_a_new_one() -> None:
    for seed in (0, 1, 81723, 2**64 - 1):
        content = f"mergekit-cycleqd/1\nuniform\n{seed}\nx".encode()
        key = int.from_bytes(hashlib.sha256(content).digest()[:16], "little")
        raw = np.random.Philox(key=key).random_raw(33)
        wanted = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        random_draws.normal(5, "other", 7)
        assert random_draws.uniform(seed, "x", 33).tobytes() == wanted.tobytes()
