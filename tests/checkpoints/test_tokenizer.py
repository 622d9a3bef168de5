"""A chat template is found where older repositories of models that see images keep it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mergekit_cycleqd.checkpoints.vocabulary.tokenizer import load_tokenizer
from tests.support.families import save_tokenizer


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json"])
def test_the_template_of_a_processor_is_taken(name: str, tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    assert load_tokenizer(tmp_path, trust=False).chat_template is None
    (tmp_path / name).write_text(json.dumps({"chat_template": "w1"}))
    tokenizer = load_tokenizer(tmp_path, trust=False)
    message = {"role": "user", "content": "w3"}
    assert tokenizer.apply_chat_template([message], tokenize=False) == "w1"
    (tmp_path / "chat_template.jinja").write_text("w2")
    assert load_tokenizer(tmp_path, trust=False).chat_template == "w2", "its own goes first"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"chat_template": 3}', "{"])
def test_a_file_without_one_is_no_fault(content: str, tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    (tmp_path / "processor_config.json").write_text(content)
    assert load_tokenizer(tmp_path, trust=False).chat_template is None
