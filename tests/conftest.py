"""A tiny family of real models, made in code: one base, three experts, one tokenizer."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # more only stall tiny models beside other tests

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import settings
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mergekit_cycleqd.genome.family import Family

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

TASKS = Path(__file__).parent / "tasks"
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Factors and logs go to folders of the tests, not to the user's."""
    os.environ["MERGEKIT_CYCLEQD_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["TRACKIO_DIR"] = str(tmp_path_factory.mktemp("trackio"))  # read on its import


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


def save_tokenizer(folder: Path) -> None:
    words = ["<unk>", "<s>", "</s>", *(f"w{i}" for i in range(60))]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        padding_side="left",
    ).save_pretrained(folder)


@torch.no_grad()
def shake(model: Any, by: float) -> None:
    """Move every weight that is trained, as training would."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(by * torch.randn_like(parameter))


def save_versions(
    model: Any,
    folder: Path,
    experts: Sequence[str],
    *,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> Family:
    """Save a model as base, and versions of it with every weight moved as experts."""
    base = {name: value.clone() for name, value in model.state_dict().items()}
    for name in ("base", *experts):
        model.load_state_dict(base)
        if name != "base":
            shake(model, 0.05)
        model.to(dtype).save_pretrained(folder / name, **settings)
        save_tokenizer(folder / name)
        model.float()
    return Family(str(folder / "base"), tuple(str(folder / name) for name in experts))


def make_family(
    folder: Path, *, dtype: torch.dtype = torch.float32, tied: bool = True, **settings: int
) -> Family:
    """Save a Llama of 20,000 parameters and three versions of it with every weight moved."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=63,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        **settings,
    )
    return save_versions(LlamaForCausalLM(config), folder, COLOURS, dtype=dtype)


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tmp_path_factory.mktemp("family"))


Change = Callable[[dict[str, Any]], object]


def write_run_recipe(path: Path, family: Family, change: Change = lambda content: None) -> Path:
    """Write the recipe of a short run over the tiny family, with changes to its content."""
    content: dict[str, Any] = {
        "base_model": family.base_model,
        "experts": [
            {"model": model, "task": colour}
            for model, colour in zip(family.experts, COLOURS, strict=True)
        ],
        "tasks": [
            {
                "name": colour,
                "task": f"tiny_{colour}",
                "include_path": str(TASKS),
                "metric": "acc,none",
                "bins": 5,
                "samples": {"search": "0-23", "holdout": "24-"},
            }
            for colour in COLOURS
        ],
        "evolution": {"children": 12, "seed": 3},
        "engine": {"device": "cpu", "dtype": "float32"},
    }
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


RecipeMaker = Callable[..., Path]


@pytest.fixture
def make_recipe(family: Family, tmp_path: Path) -> RecipeMaker:
    return lambda change=lambda content: None: write_run_recipe(
        tmp_path / "recipe.yaml", family, change
    )
