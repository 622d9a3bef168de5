"""Prompts with images are answered as lm-eval's own model for them answers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.hf_vlms import HFMultimodalLM
from PIL.Image import Image

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import CycleQDError, ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.engines import prompts, questions, room_for
from tests.support.image_models import (
    CHAT_OF_PARTS,
    MADE_OF,
    image_tokenizer,
    pictures,
    save_image_family,
)

pytestmark = pytest.mark.costly

TEXTS = [" ".join(text.split()[:8]) for text in prompts(9)]


@pytest.fixture(scope="module")
def family(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Family:
    name = getattr(request, "param", "Gemma 3")
    return save_image_family(name, tmp_path_factory.mktemp("family"), "a")


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    return open_engine(family)


def open_engine(family: Family) -> HFEngine:
    base, *experts = map(Checkpoint.open, (family.base_model, *family.experts))
    return HFEngine(Engine(device="cpu", dtype="float32", batch_size=4), base, experts)


def shown(texts: Sequence[str], images: Sequence[Sequence[Image]], **settings: Any) -> list[Any]:
    asked = {"until": [], "max_gen_toks": 7, "do_sample": False} | settings
    return [
        Instance("generate_until", {}, (text, asked, {"visual": list(seen)}), i)
        for i, (text, seen) in enumerate(zip(texts, images, strict=True))
    ]


def one_and_two_images() -> list[Any]:
    pics = pictures(12)
    texts = [*(f"w1 <image> {text}" for text in TEXTS), "<image> w2 <image> w3", "<image><image>"]
    return shown(texts, [*([pic] for pic in pics[:9]), pics[9:11], pics[10:12]])


def lm_eval_of(engine: HFEngine, model: str) -> HFMultimodalLM:
    """lm-eval's own model; Gemma's processor wants its token for the beginning of an image."""
    token = {"image_string": "<boi>"} if "gemma" in engine.model.config.model_type else {}
    return HFMultimodalLM(pretrained=model, device="cpu", dtype="float32", batch_size=3, **token)


@pytest.mark.parametrize("family", MADE_OF, indirect=True)
def test_answers_are_those_of_lm_eval_and_depend_on_the_images(
    engine: HFEngine, family: Family
) -> None:
    asked = one_and_two_images()
    engine.load(Genome.from_expert(family, 0))
    answers = engine.model.generate_until(asked)
    plain = lm_eval_of(engine, family.experts[0])
    assert answers == plain.generate_until(asked, disable_tqdm=True)
    others = shown([r.args[0] for r in asked], [r.args[2]["visual"] for r in asked])
    for request, image in zip(others, pictures(11, seed=1), strict=True):
        request.args[2]["visual"][0] = image
    found = engine.model.generate_until(others)
    assert sum(a != b for a, b in zip(found, answers, strict=True)) > 3


def test_requests_with_and_without_images_stand_in_one_list(engine: HFEngine) -> None:
    seeing, plain = one_and_two_images(), questions(TEXTS)
    mixed = [request for pair in zip(plain, seeing, strict=False) for request in pair]
    alone = zip(
        engine.model.generate_until(plain), engine.model.generate_until(seeing), strict=False
    )
    assert engine.model.generate_until(mixed) == [answer for pair in alone for answer in pair]


@pytest.mark.parametrize("family", MADE_OF, indirect=True)
def test_a_chat_has_its_images_in_their_places(engine: HFEngine, family: Family) -> None:
    lm, image = engine.model, engine.model._image_text
    lm.tokenizer.chat_template = CHAT_OF_PARTS.replace("{{ image }}", image)
    history = [
        {"role": "system", "content": "w5"},
        {"role": "user", "content": "w1 <image> w2<image>"},
    ]
    text = lm.apply_chat_template(history)
    assert text == f" w5 w1 w1 {image}  w2{image} w2 w54"
    assert history[1]["content"] == "w1 <image> w2<image>"
    asked = shown([text], [pictures(2)])
    plain = lm_eval_of(engine, family.base_model)
    plain.processor.chat_template = lm.tokenizer.chat_template
    assert plain.apply_chat_template(history) == text
    engine.load(Genome.from_base(family))
    assert lm.generate_until(asked) == plain.generate_until(asked, disable_tqdm=True)


def test_sampled_answers_come_from_their_seed(engine: HFEngine) -> None:
    asked = [
        shown(
            [f"w1 <image> {text}" for text in TEXTS],
            [[pic] for pic in pictures(9)],
            do_sample=True,
            temperature=1.5,
            seed=seed,
        )
        for seed in (1, 1, 2)
    ]
    first, again, other = map(engine.model.generate_until, asked)
    assert first == again and first != other


def test_a_batch_of_images_that_does_not_fit_is_halved(engine: HFEngine) -> None:
    asked = one_and_two_images()
    expected = engine.model.generate_until(asked)
    with room_for(engine, lambda: 1) as failed:
        assert engine.model.generate_until(asked) == expected
    assert failed == [4, 2] and engine.model.rows["see"] == 1
    assert engine.model.rows["generate"] == 4
    engine.model.rows["see"] = 4


def test_a_prompt_with_images_that_is_too_long_is_one_line(engine: HFEngine) -> None:
    asked = shown([f"<image> {' '.join(['w1'] * 60)}"], [pictures(1)])
    with pytest.raises(CycleQDError, match="context of 64 leaves 57 beside an answer of 7: take"):
        engine.model.generate_until(asked)


def test_without_a_processor_texts_are_answered_and_images_are_not(
    family: Family, tmp_path: Path
) -> None:
    shutil.copytree(family.base_model, tmp_path / "bare")
    for file in (tmp_path / "bare").glob("*processor*"):
        file.unlink()
    image_tokenizer().save_pretrained(tmp_path / "bare")
    bare = open_engine(Family(str(tmp_path / "bare"), family.experts))
    assert bare.model.generate_until(questions(TEXTS))
    with pytest.raises(ModelError, match="tasks with images need"):
        bare.model.generate_until(one_and_two_images())
