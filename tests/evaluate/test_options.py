"""Options of `eval` that change tasks are read as lm-eval's own command reads them."""

from __future__ import annotations

import pytest
from lm_eval._cli.utils import key_val_to_dict

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluate.options import gen_kwargs


@pytest.mark.parametrize(
    "text",
    [
        "temperature=0.7,top_p=0.9",
        "do_sample=True,max_gen_toks=7",
        "do_sample=false",
        "until=[';', 'a,b'],max_gen_toks=3",
        "stop='x,y'",
        "early_stopping=never",
        "until={'a': 1}",
    ],
)
def test_generation_settings_mean_what_they_mean_to_lm_eval(text: str) -> None:
    assert gen_kwargs(text) == key_val_to_dict(text)


def test_generation_settings_may_be_json_or_nothing() -> None:
    assert gen_kwargs('{"until": ["\\n"], "max_gen_toks": 3}') == {
        "until": ["\n"],
        "max_gen_toks": 3,
    }
    assert gen_kwargs(None) == {}


@pytest.mark.parametrize("text", ["", "hot", "=3", "a=1,b", "{", '{"a": 1', " , "])
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^--gen-kwargs: must be as .* got ") as raised:
        gen_kwargs(text)
    assert len(raised.value.faults) == 1
