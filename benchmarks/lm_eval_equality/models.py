"""A tiny chat model, trained on the spot, with tokenizers of several kinds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.lm_eval_equality.documents import documents, text

CONTEXT = 256
STEPS, ROWS, LENGTH = 160, 8, 64
HEAD_DIM = 12

_TURNS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{% if not loop.last or add_generation_prompt %}</s>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is defined and enable_thinking %}<think>{% endif %}{% endif %}"
)
_SPECIAL = (
    "<s>",
    "</s>",
    "<pad>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<think>",
    "</think>",
)


def _tokenizer(corpus: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=list(_SPECIAL), initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def _saved(tokenizer: Tokenizer, folder: Path, template: str | None, **tokens: str) -> None:
    kept = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)
    kept.chat_template = template
    kept.save_pretrained(folder)


def _chat(tokenizer: Tokenizer, folder: Path) -> None:
    _saved(tokenizer, folder, _TURNS, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def _bare(tokenizer: Tokenizer, folder: Path) -> None:
    _saved(tokenizer, folder, None, eos_token="</s>")


def _bos(tokenizer: Tokenizer, folder: Path) -> None:
    """Begin every text with <s>, and let the template do that too."""
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)]),
        ]
    )
    _saved(tokenizer, folder, "{{ bos_token }}" + _TURNS, bos_token="<s>", eos_token="</s>")


KINDS: dict[str, Callable[[Tokenizer, Path], None]] = {"chat": _chat, "bare": _bare, "bos": _bos}
"""Tokenizers: with a chat template; without pad, bos and template; with bos in text and chat."""


def make_models(folder: Path, steps: int = STEPS, head_dim: int = HEAD_DIM) -> dict[str, list[str]]:
    """Train a model, and save it with each kind of tokenizer.

    Args:
        folder: Where.
        steps: How long it is trained.
        head_dim: Width of an attention head.

    Returns:
        By kind, the folders of the model and of two versions of it with other weights.
    """
    there = {kind: [str(folder / kind / f"model-{k}") for k in range(3)] for kind in KINDS}
    if all(Path(place).is_dir() for places in there.values() for place in places):
        return there
    corpus = [text(doc) for doc in documents(7, 300)]
    tokenizer = _tokenizer(corpus)
    torch.manual_seed(0)
    model = _trained(tokenizer, corpus, steps, head_dim)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    found: dict[str, list[str]] = {}
    for version in range(3):
        for name, value in model.named_parameters():
            moved = 0.02 * version * torch.randn_like(value)
            value.data.copy_(weights[name] + moved)
        for kind, save in KINDS.items():
            place = folder / kind / f"model-{version}"
            model.save_pretrained(place)
            save(Tokenizer.from_str(tokenizer.to_str()), place)
            found.setdefault(kind, []).append(str(place))
    return found


def _trained(
    tokenizer: Tokenizer, corpus: list[str], steps: int, head_dim: int
) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        head_dim=head_dim,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config)
    ids = [i for line in corpus for i in (*tokenizer.encode(line).ids, 1)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        starts = torch.randint(len(ids) - LENGTH, (ROWS,)).tolist()
        batch = torch.tensor([ids[start : start + LENGTH] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def with_settings(model: str, folder: Path, **settings: Any) -> str:
    """Copy a model, with other settings of its tokenizer."""
    shutil.copytree(model, folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return str(folder)
