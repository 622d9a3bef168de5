"""Reasoning models: thoughts are no part of an answer, and no stop text cuts them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mergekit_cycleqd.engines.hf.continuous import continuous_faults
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.engines.hf.stop_texts import StopTextsAfterThoughts
from mergekit_cycleqd.engines.hf.thoughts import after_thoughts
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.engines import open_hf, prompts, questions
from tests.support.families import make_family
from tests.support.plans import plan
from tests.support.recipes import RecipeMaker

TEXTS = prompts(12, seed=4)
LONG = 24
BATCHINGS = ["padded", "continuous"] if not continuous_faults() else ["padded"]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """With heads of their own: tied ones repeat the last word."""
    return make_family(tmp_path_factory.mktemp("thinking"), tied=False)


@pytest.fixture(scope="module")
def whole(family: Family) -> list[str]:
    """All that the model writes, by lm-eval."""
    asked = questions(TEXTS, max_gen_toks=LONG)
    return [str(text) for text in lm_eval_model(family).generate_until(asked)]


def lm_eval_model(family: Family, **settings: Any) -> HFLM:
    return HFLM(pretrained=family.base_model, device="cpu", batch_size=4, **settings)


def opened(family: Family, **settings: Any) -> HFEngine:
    engine = open_hf(family, **settings)
    engine.load(Genome.from_base(family))
    return engine


def usual_word(whole: list[str]) -> str:
    """A word that many answers have in their middle, and few twice."""
    words = [word for text in whole for word in set(text.split()[2:-4])]
    return max(sorted(set(words)), key=words.count)


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize("kind", [str, int])
def test_what_comes_before_the_end_of_thoughts_is_left_out_as_in_lm_eval(
    kind: type, batching: str, family: Family, whole: list[str]
) -> None:
    word = usual_word(whole)
    end = word if kind is str else int(word.removeprefix("w")) + 3
    expected = lm_eval_model(family, think_end_token=end).generate_until(
        questions(TEXTS, max_gen_toks=LONG)
    )
    engine = opened(family, think_end_token=end, batching=batching)
    found = engine.model.generate_until(questions(TEXTS, max_gen_toks=LONG))
    assert found == expected
    assert sum(text != before for text, before in zip(found, whole, strict=True)) > 2


@pytest.mark.parametrize("batching", BATCHINGS)
def test_a_stop_text_in_the_thoughts_does_not_cut_them(
    batching: str, family: Family, whole: list[str]
) -> None:
    end, until, thinking = next(
        (word, text.split()[0], text)
        for text in whole
        for word in text.split()[2:-4]
        if answer_of(text, word, text.split()[0])
    )
    engine = opened(family, think_end_token=end, batching=batching)
    found = engine.model.generate_until(questions(TEXTS, max_gen_toks=LONG, until=[until]))
    assert found == [answer_of(text, end, until) for text in whole]
    assert found[whole.index(thinking)] != ""


def answer_of(text: str, end: str, until: str) -> str:
    """What comes after the thoughts and before the stop text; thoughts may come again."""
    _, *parts = text.split(end)
    for part in parts:
        if until in part:
            return part.lstrip().split(until)[0]
    return (parts[-1] if parts else text).lstrip().split(until)[0]


@pytest.mark.parametrize("batching", BATCHINGS)
def test_an_answer_ends_at_its_stop_text_and_costs_no_more_tokens(
    batching: str, family: Family, whole: list[str]
) -> None:
    end = usual_word(whole)
    longest = max(whole, key=lambda text: len(text.split(end)[-1]) if end in text else 0)
    until = longest.split(end)[1].split()[0]
    engine = opened(family, think_end_token=end, batching=batching)
    asked = questions([TEXTS[whole.index(longest)]], max_gen_toks=LONG, until=[until])
    lengths: list[int] = []
    text_of = engine.model._text
    engine.model._text = lambda tokens, stops: lengths.append(len(tokens)) or text_of(tokens, stops)
    assert engine.model.generate_until(asked) == [""]
    assert lengths[0] < LONG - 2


def test_empty_lines_between_thoughts_and_answer_are_no_stop_text() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    letters.add_special_tokens(["<end>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<end>")
    vocabulary = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    texts = ("\n\n", "!", "<end>")
    stops = StopTextsAfterThoughts(tokenizer, vocabulary, texts, torch.device("cpu"), "</t>")
    rows = {
        "a\n\nb!": False,
        "a</t>\n\n": False,
        "a</t>\n\nb": False,
        "a</t>\n\nb\n\n": True,
        "a</t>b!": True,
        "a</t>b!</t>": False,
        "a<end>": True,
    }
    for text, ends in rows.items():
        row = torch.tensor([tokenizer.encode(text)])
        assert stops.rows(row).tolist() == [ends], text


def test_a_special_token_ends_thoughts_though_it_has_no_text(family: Family) -> None:
    engine = opened(family, think_end_token="<unk>")
    assert engine.model.think_end_token == 0
    decode = engine.model.tok_decode
    assert after_thoughts([5, 0, 6, 0, 7], 0, decode) == "w4"
    assert after_thoughts([5, 6], 0, decode) == "w2 w3"
    assert opened(family, think_end_token="17").model.think_end_token == 17


def test_templates_get_their_arguments_as_in_lm_eval(family: Family) -> None:
    template = "{{ enable_thinking }} {{ effort }} {{ messages[0]['content'] }}"
    settings = {
        "enable_thinking": False,
        "think_end_token": "w9",
        "chat_template_args": {"effort": "low"},
    }
    theirs, mine = lm_eval_model(family, **settings), opened(family, **settings).model
    for model in (theirs, mine):
        model.tokenizer.chat_template = template
    chat = [{"role": "user", "content": "w1"}]
    assert theirs.apply_chat_template(chat) == mine.apply_chat_template(chat)
    assert mine.apply_chat_template(chat) == "False low w1"


@pytest.mark.parametrize("settings", [{"max_length": 21}, {"add_bos_token": True}])
def test_context_and_bos_are_those_of_lm_eval(settings: dict[str, Any], family: Family) -> None:
    mine, theirs = opened(family, **settings).model, lm_eval_model(family, **settings)
    asked = questions(TEXTS)
    assert mine.generate_until(asked) == theirs.generate_until(asked)
    assert mine.generate_until(asked) != opened(family).model.generate_until(asked)
    assert mine.tok_encode("w1 w2") == theirs.tok_encode("w1 w2")


def test_thinking_needs_its_end_and_answers_that_are_written(
    make_recipe: RecipeMaker,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match="enable_thinking: needs think_end_token"):
        Engine(enable_thinking=True)
    with pytest.raises(ValueError, match="think_end_token: is for kind: hf or vllm"):
        Engine(kind="vision", think_end_token="</think>")
    change = {"enable_thinking": True, "think_end_token": "w9"}
    recipe: Path = make_recipe(lambda content: content["engine"].update(change))
    found = plan(recipe, capsys, monkeypatch)
    assert found.code == 1
    for i, (mark, text) in enumerate(found["tasks"]):
        assert mark == "✗" and re.match(rf"tasks\[{i}\]\.task: 'tiny_\w+' scores given", text)
