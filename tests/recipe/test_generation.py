"""Generation settings that name a program are refused, wherever they stand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from mergekit_cycleqd.engines.answer_sampling import AnswerSampling
from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.evaluate.options import gen_kwargs
from mergekit_cycleqd.recipe.generation import NAMING_CODE, NUMBERS
from tests.support.lm_eval_tasks import task


@pytest.mark.parametrize("name", NAMING_CODE)
def test_a_program_is_refused_in_recipe_command_and_task_file(name: str) -> None:
    wanted = f"{name}: is refused, since it names a program"
    with pytest.raises(ValidationError, match=f"gen_kwargs.{wanted}"):
        task("red", "acc,none", gen_kwargs={name: "evil/code"})
    with pytest.raises(RecipeError, match=f"--gen-kwargs: {wanted}"):
        gen_kwargs(f"temperature=0.5,{name}=evil/code")
    with pytest.raises(CycleQDError, match=wanted):
        AnswerSampling.of({"until": ["x"], name: "evil/code"}, "</s>", SimpleNamespace())


@pytest.mark.parametrize("name", NUMBERS)
def test_a_boolean_is_no_number(name: str) -> None:
    with pytest.raises(ValidationError, match=f"gen_kwargs.{name}: must be a number, got True"):
        task("red", "acc,none", gen_kwargs={name: True})
    with pytest.raises(RecipeError, match=f"--gen-kwargs: {name}: must be a number, got False"):
        gen_kwargs(f"{name}=false")


def test_other_settings_are_taken() -> None:
    assert gen_kwargs("temperature=0.5,top_k=3") == {"temperature": 0.5, "top_k": 3}
    assert task("red", "acc,none", gen_kwargs={"do_sample": False}).gen_kwargs
