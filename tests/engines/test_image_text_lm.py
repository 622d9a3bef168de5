"""Models that see images answer texts as lm-eval has them answer, padded and continuously."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from lm_eval.models.huggingface import HFLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import meta_model
from mergekit_cycleqd.engines.hf.engine import load_lm
from mergekit_cycleqd.engines.hf.image_text_lm import ImageTextLM
from mergekit_cycleqd.errors import CycleQDError, ModelError
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.engines import choices, prompts, questions
from tests.support.families import save_tokenizer
from tests.support.image_models import varied
from tests.support.model_zoo import ZOO

pytestmark = pytest.mark.costly

SEEING = ("Gemma 3", "Qwen2.5-VL", "Mistral 3", "LLaVA", "Idefics 3", "InternVL")


def saved(name: str, folder: Path) -> Checkpoint:
    torch.manual_seed(0)
    varied(ZOO[name]()).save_pretrained(folder)
    save_tokenizer(folder)
    return Checkpoint.open(str(folder))


def lm_of(base: Checkpoint, **settings: Any) -> Any:
    return load_lm(Engine(device="cpu", dtype="float32", batch_size=8, **settings), base)


def lm_eval_of(lm: Any) -> HFLM:
    return HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=8, backend="causal")


@pytest.mark.parametrize("name", SEEING)
def test_texts_score_as_in_lm_eval(name: str, tmp_path: Path) -> None:
    base = saved(name, tmp_path)
    lm = lm_of(base)
    assert isinstance(lm, ImageTextLM)
    assert type(lm.model) is type(meta_model(base, trust=False)) is type(ZOO[name]())
    plain = lm_eval_of(lm)
    asked, given = questions(prompts(12)), choices(prompts(6, seed=1))
    answers = lm.generate_until(asked)
    assert answers == plain.generate_until(asked, disable_tqdm=True) and len(set(answers)) > 5
    found, expected = lm.loglikelihood(given), plain.loglikelihood(given, disable_tqdm=True)
    assert [pair[0] for pair in found] == pytest.approx([pair[0] for pair in expected], abs=1e-6)
    assert [pair[1] for pair in found] == [pair[1] for pair in expected]
    assert lm.generate_until(asked) == answers, "nothing is left of other batches"


@pytest.mark.parametrize("name", SEEING[:4])
def test_texts_are_answered_continuously_too(name: str, tmp_path: Path) -> None:
    base = saved(name, tmp_path)
    asked = questions(prompts(12))
    assert lm_of(base, batching="continuous").generate_until(asked) == lm_of(
        base, batching="padded"
    ).generate_until(asked)


def test_gemma3_scores_as_the_model_of_text_inside_it(tmp_path: Path) -> None:
    lm = lm_of(saved("Gemma 3", tmp_path / "whole"))
    inside = transformers.Gemma3ForCausalLM(lm.model.config.text_config)
    inside.model.load_state_dict(lm.model.model.language_model.state_dict())
    inside.lm_head.load_state_dict(lm.model.lm_head.state_dict())
    inside.save_pretrained(tmp_path / "text")
    save_tokenizer(tmp_path / "text")
    text = lm_of(Checkpoint.open(str(tmp_path / "text")))
    assert type(text.model) is transformers.Gemma3ForCausalLM and not isinstance(text, ImageTextLM)
    asked, given = questions(prompts(12)), choices(prompts(6, seed=1))
    assert lm.generate_until(asked) == text.generate_until(asked)
    assert lm.loglikelihood(given) == [
        (pytest.approx(value, abs=1e-6), greedy) for value, greedy in text.loglikelihood(given)
    ]


def test_a_model_whose_tokens_see_later_ones_writes_answers_and_scores_none(
    tmp_path: Path,
) -> None:
    base = saved("PaliGemma", tmp_path)
    lm, asked = lm_of(base), questions(prompts(12))
    answers = lm.generate_until(asked)
    assert answers == lm_eval_of(lm).generate_until(asked, disable_tqdm=True)
    assert len(set(answers)) > 5
    with pytest.raises(CycleQDError, match="cannot score given answers: its tokens see the ones"):
        lm.loglikelihood(choices(prompts(2)))
    with pytest.raises(ModelError, match="batching: continuous does not go with this model: its"):
        lm_of(base, batching="continuous")
