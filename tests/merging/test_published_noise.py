"""What a published recipe with noise or mutation means: the same numbers for ever."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import random_draws as draws
from mergekit_cycleqd.merging.kernel import merge_into

NAME = "model.layers.0.self_attn.q_proj.weight"
NORMAL = {
    1: [-0.5140285101198302],
    2: [-0.5140285101198302, -0.7702430287248441],
    4: [-0.5051062685963774, 1.0543740377122504, -0.7761232440404536, 1.0121767231717664],
}


@pytest.mark.parametrize("size", NORMAL)
def test_noise_of_an_even_number_of_elements_has_not_changed(size: int) -> None:
    assert draws.normal(81723, NAME, size) == pytest.approx(NORMAL[size], rel=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8])
def test_every_element_gets_one_draw(size: int) -> None:
    assert draws.normal(3, NAME, size).shape == (size,)
    assert draws.uniform(3, NAME, size).shape == (size,)


def test_noise_terms_add_up_element_by_element_in_row_major_order() -> None:
    out = torch.empty(2, 2)
    merge_into(out, NAME, torch.zeros(2, 2), [], [Term(None, 81723, 0.5), Term(None, 5, 0.25)])
    expected = [[-0.2601028978824616, 0.5392393469810486], [-0.3484813272953033, 0.691633403301239]]
    assert out.tolist() == [pytest.approx(row, rel=1e-6) for row in expected]


def test_draws_that_are_kept_for_other_children_cannot_be_changed() -> None:
    drawn = draws.uniform(11, NAME, 5)
    assert np.shares_memory(draws.uniform(11, NAME, 5), drawn)
    with pytest.raises(ValueError, match="read-only"):
        drawn[0] = 0.5
