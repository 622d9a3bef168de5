"""The code on a model's card runs, for models of text that are more than a decoder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.hub.card.pipelines import ModelKind, pipeline_tag
from mergekit_cycleqd.hub.card.usage import model_usage
from tests.support.families import save_tokenizer
from tests.support.image_models import CHAT_OF_PARTS, save_image_family, varied
from tests.support.model_zoo import ZOO

pytestmark = pytest.mark.costly


def printed(model: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the card's code prints."""
    kind = ModelKind.of(Checkpoint.open(model))
    (code,) = re.findall(r"```python\n(.*?)```", model_usage(kind, model), flags=re.DOTALL)
    capsys.readouterr()
    exec(code.replace("max_new_tokens=64", "max_new_tokens=4"), {})
    return capsys.readouterr().out


def test_of_a_model_that_sees_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_image_family("LLaVA", tmp_path, "a").base_model
    assert pipeline_tag("LlavaForConditionalGeneration") == "image-text-to-text"
    assert printed(model, capsys).strip()
    (Path(model) / "chat_template.jinja").write_text(CHAT_OF_PARTS)
    assert "[-1]" in model_usage(ModelKind.of(Checkpoint.open(model)), model)
    assert printed(model, capsys).strip()


def test_of_a_model_with_encoder_and_decoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    varied(ZOO["T5"]()).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    assert re.search(r"w\d+", printed(str(tmp_path), capsys))
