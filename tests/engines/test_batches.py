"""The `hf` engine answers as lm-eval's own model does, and does nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from tests.support.engines import children, choices, open_hf, prompts, questions
from tests.support.families import make_family
from tests.support.lm_eval_tasks import task


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """With heads of their own: tied ones repeat the last word, whatever the weights are."""
    return make_family(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    return open_hf(family, batch_size=5)


@pytest.fixture(scope="module")
def plain(engine: HFEngine) -> HFLM:
    """lm-eval's own model around the same weights."""
    return HFLM(
        pretrained=engine.model.model,
        tokenizer=engine.model.tokenizer,
        batch_size=1,
        backend="causal",
    )


STOPS: list[list[str]] = [
    [],
    ["w7"],  # also in w7 alone, not in w17
    ["w4"],  # in w40 to w49 too
    [" w2"],  # no token holds the space
    ["w1 w", "9 "],  # over more than one token, and with a space at the end
    ["</s>", "w5 w5"],
]


@pytest.mark.parametrize("until", STOPS, ids=str)
def test_answers_are_lm_evals_whatever_they_stop_at(
    engine: HFEngine, plain: HFLM, family: Family, until: list[str]
) -> None:
    engine.load(children(family)[1])
    asked = questions(prompts(23), until=until, max_gen_toks=24)
    expected = plain.generate_until(asked, disable_tqdm=True)
    assert engine.model.generate_until(asked) == expected
    if until:
        whole = engine.model.generate_until(questions(prompts(23), max_gen_toks=24))
        assert whole != expected, "or nothing was stopped"


@pytest.mark.parametrize("words", [1, 2])
def test_a_row_stops_on_its_own(engine: HFEngine, family: Family, words: int) -> None:
    engine.load(children(family)[1])
    texts = prompts(5)
    (first,) = engine.model.generate_until(questions(texts[:1], max_gen_toks=24))
    stop = " ".join(first.split()[3 : 3 + words])
    lengths: list[int] = []
    generate = engine.model.model.generate

    def spy(**settings: Any) -> torch.Tensor:
        found: torch.Tensor = generate(**settings)
        kept = found[:, settings["input_ids"].shape[1] :] != settings["pad_token_id"]
        lengths.extend(kept.sum(1).tolist())
        return found

    engine.model.model.generate = spy
    try:
        engine.model.generate_until(questions(texts, until=[stop], max_gen_toks=24))
    finally:
        del engine.model.model.generate
    assert min(lengths) <= 3 + words < max(lengths) == 24


def test_scores_of_continuations_are_lm_evals(
    engine: HFEngine, plain: HFLM, family: Family
) -> None:
    for genome in children(family)[:2]:
        engine.load(genome)
        asked = choices(prompts(7))
        for (mine, greedy), (theirs, their_greedy) in zip(
            engine.model.loglikelihood(asked),
            plain.loglikelihood(asked, disable_tqdm=True),
            strict=True,
        ):
            assert mine == pytest.approx(theirs, abs=1e-4) and greedy == their_greedy
        whole = [
            Instance("loglikelihood_rolling", {}, (text * 9,), i)
            for i, text in enumerate(prompts(6))
        ]
        assert engine.model.loglikelihood_rolling(whole) == pytest.approx(
            plain.loglikelihood_rolling(whole, disable_tqdm=True), abs=1e-3
        )


def test_choices_of_one_token_share_a_row(engine: HFEngine) -> None:
    rows: list[int] = []
    handle = engine.model.model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        engine.model.loglikelihood(choices(prompts(7)))
    finally:
        handle.remove()
    assert sum(rows) == 7 * 3, "of four choices two have one token"
    assert max(rows) == 5


def test_batches_are_sorted_by_length(engine: HFEngine) -> None:
    widths: list[int] = []
    generate = engine.model.model.generate

    def spy(**settings: Any) -> torch.Tensor:
        widths.append(settings["input_ids"].shape[1])
        return generate(**settings)  # type: ignore[no-any-return]

    texts = prompts(17)
    engine.model.model.generate = spy
    try:
        engine.model.generate_until(questions(texts))
    finally:
        del engine.model.model.generate
    lengths = sorted((len(text.split()) for text in texts), reverse=True)
    assert widths == lengths[::5]


def test_a_long_prompt_keeps_its_end_as_in_lm_eval(
    engine: HFEngine, plain: HFLM, caplog: pytest.LogCaptureFixture
) -> None:
    asked = questions([" ".join(prompts(20)), "w1 w2"], max_gen_toks=20)
    expected = plain.generate_until(asked, disable_tqdm=True)
    caplog.clear()
    for _ in range(2):
        assert engine.model.generate_until(asked) == expected
    said = [record for record in caplog.records if record.name.startswith("mergekit_cycleqd")]
    assert [record.getMessage() for record in said] == [
        "1 of 2 prompts are cut at their start, to the 108 tokens that the model's context of 128 "
        "leaves for them"
    ]


def test_nothing_is_tokenised_or_rendered_twice(engine: HFEngine, family: Family) -> None:
    harness = LMHarness([task("generate", "exact_match,whole"), task("red", "acc,none")])
    engine.load(Genome.from_base(family))
    harness.evaluate(engine.model, "search")
    rendered = [harness._objects["search"][name].first.instances for name in ("generate", "red")]

    class Refuses(type(engine.model.tokenizer)):  # type: ignore[misc]
        def _encode_plus(self, *_: Any, **__: Any) -> None:
            raise AssertionError("tokenised again")

    kind = type(engine.model.tokenizer)
    engine.model.tokenizer.__class__ = Refuses
    try:
        with pytest.raises(AssertionError, match="tokenised again"):
            engine.model.tok_encode("w1 something new")
        for genome in children(family):
            engine.load(genome)
            harness.evaluate(engine.model, "search")
    finally:
        engine.model.tokenizer.__class__ = kind
    again = [harness._objects["search"][name].first.instances for name in ("generate", "red")]
    assert all(mine is theirs for mine, theirs in zip(rendered, again, strict=True))


def test_tasks_of_other_settings_share_batches(family: Family) -> None:
    engine = open_hf(family, batch_size=64)
    sizes: list[int] = []
    handle = engine.model.model.register_forward_pre_hook(
        lambda _, args, inputs: sizes.append(len(inputs["input_ids"])), with_kwargs=True
    )
    plain = task("generate", "exact_match,whole")
    told = task("told", "exact_match,whole", task="tiny_generate", num_fewshot=1)
    briefed = task("briefed", "exact_match,whole", task="tiny_generate", system_instruction="w9")
    short = task("short", "exact_match,whole", task="tiny_generate", gen_kwargs={"max_gen_toks": 2})
    together, alone = LMHarness([plain, told, briefed, short]), LMHarness([briefed])
    try:
        engine.load(children(family)[1])
        found = together.evaluate(engine.model, "search")
        assert set(sizes) == {3 * 18, 18}, "what generates otherwise has a batch of its own"
        assert alone.evaluate(engine.model, "search")["briefed"] == found["briefed"]
    finally:
        handle.remove()
    texts = {
        name: loaded.first.instances[0].args[0]
        for name, loaded in together._objects["search"].items()
    }
    assert texts["briefed"] == "w9" + texts["generate"]
    assert len(texts["told"]) > len(texts["generate"]) == len(texts["short"])
