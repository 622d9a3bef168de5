"""Models with an encoder and a decoder answer as in lm-eval, whatever the batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.answer_loss import AnswerLoss, TextSample
from mergekit_cycleqd.engines.hf.engine import load_lm
from mergekit_cycleqd.engines.hf.seq2seq_lm import Seq2SeqLM
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.engines import choices, prompts, questions
from tests.support.families import save_tokenizer
from tests.support.image_models import varied
from tests.support.model_zoo import ZOO

pytestmark = pytest.mark.costly


@pytest.fixture(scope="module", params=["T5", "BART"])
def base(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    varied(ZOO[request.param]()).save_pretrained(folder)
    save_tokenizer(folder)
    return Checkpoint.open(str(folder))


@pytest.fixture(scope="module")
def lm(base: Checkpoint) -> Any:
    return load_lm(Engine(device="cpu", dtype="float32", batch_size=8), base)


@pytest.fixture(scope="module")
def plain(base: Checkpoint) -> HFLM:
    """lm-eval with batches of one, in which it pads nothing."""
    return HFLM(pretrained=base.name, device="cpu", dtype="float32", batch_size=1)


def test_answers_are_those_of_lm_eval_up_to_the_length_asked_for(lm: Any, plain: HFLM) -> None:
    assert isinstance(lm, Seq2SeqLM) and plain.backend == "seq2seq"
    asked = questions(prompts(12), max_gen_toks=5)
    # lm-eval adds the prompt's length to the largest length of an answer.
    longer = plain.generate_until(asked, disable_tqdm=True)
    found = lm.generate_until(asked)
    assert all(text.startswith(mine) for mine, text in zip(found, longer, strict=True))
    assert len(set(found)) > 3 and all(len(text.split()) <= 5 for text in found)


def test_an_answer_ends_at_a_stop_text(lm: Any) -> None:
    (whole,) = lm.generate_until(questions(prompts(1)))
    stop = whole.split()[2]
    (cut,) = lm.generate_until(questions(prompts(1), until=[stop]))
    assert cut.split() == whole.split(stop)[0].split()


def test_given_answers_score_as_in_lm_eval(lm: Any, plain: HFLM) -> None:
    given = choices(prompts(8))
    found, expected = lm.loglikelihood(given), plain.loglikelihood(given, disable_tqdm=True)
    assert [pair[0] for pair in found] == pytest.approx([pair[0] for pair in expected], rel=1e-6)
    assert [pair[1] for pair in found] == [pair[1] for pair in expected]


def test_a_prompt_and_an_answer_of_the_same_tokens_are_not_one_row(lm: Any, plain: HFLM) -> None:
    pairs = [("w1 w2", " w3 w4"), ("w1", " w2 w3 w4"), ("w1 w2 w3", " w4")]
    given = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    found, expected = lm.loglikelihood(given), plain.loglikelihood(given, disable_tqdm=True)
    assert [pair[0] for pair in found] == pytest.approx([pair[0] for pair in expected], rel=1e-6)


def test_the_loss_of_fits_is_what_lm_eval_scores_and_least_for_written_answers(lm: Any) -> None:
    loss = AnswerLoss(lm)
    with lm.recording() as given:
        lm.loglikelihood(choices(prompts(4)))
    samples = [TextSample(((each.context, each.answer),)) for each in given]
    expected = [-(each.loglikelihood or 0.0) for each in given]
    assert loss.losses(samples).tolist() == pytest.approx(expected, rel=1e-4)
    with lm.recording() as written:
        lm.generate_until(questions(prompts(4), max_gen_toks=4))
    for each in written:
        begun = each.answer[: max(1, min(2, len(each.answer) - 1))]  # BART must end an answer
        other = (*begun[:-1], (begun[-1] + 7) % 60)
        two = [TextSample(((each.context, answer),)) for answer in (begun, other)]
        best, worse = loss.losses(two).tolist()
        assert best < worse


def test_they_cannot_be_batched_continuously(base: Checkpoint) -> None:
    engine = Engine(device="cpu", dtype="float32", batching="continuous")
    with pytest.raises(ModelError, match=r"has an encoder; try padded$"):
        load_lm(engine, base)
