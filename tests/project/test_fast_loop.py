"""What is costly stays out of `make test-fast` by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from tests.support.costly import takes
from tests.support.families import make_family
from tests.support.recipes import RecipeMaker


def test_what_is_costly_fails_a_test_that_is_not_marked() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"takes a box: mark it with @pytest\.mark"):
        takes("a box")


@pytest.mark.costly
def test_and_no_test_that_is() -> None:
    takes("a box")


def test_so_does_a_model_of_many_weights(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"takes a model of \d+ weights"):
        make_family(tmp_path)


def test_and_no_model_of_a_few_thousand() -> None:
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=8)
    )
    assert 1_000 < model.num_parameters() < 8_000


def test_a_test_is_costly_by_a_fixture_of_a_fixture(
    make_recipe: RecipeMaker, request: pytest.FixtureRequest
) -> None:
    assert request.node.get_closest_marker("costly")


def test_and_by_no_other(make_named_recipe: RecipeMaker, request: pytest.FixtureRequest) -> None:
    assert not request.node.get_closest_marker("costly")
