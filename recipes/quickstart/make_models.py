"""Train the quickstart family: a tiny base model and one expert for each skill.

Less than two minutes on a CPU. The base learns all three skills in a mixture of two styles of
answer; each expert is then fully fine-tuned on the house style of its own skill (see skills.py).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import time
from pathlib import Path

import skills
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

HERE = Path(__file__).resolve().parent
STAMP = "made-by.txt"
PAD, EOS = "<pad>", "<eos>"
IGNORE = -100
THREADS = 1  # with models this small, two threads gain little and stall on a busy machine
BATCH = 32
BASE_STEPS, BASE_RATE = 800, 3e-3
EXPERT_STEPS, EXPERT_RATE = 60, 2.5e-4


def fingerprint(seed: int) -> str:
    """Identify what a family is made from: the two scripts and the seed."""
    digest = hashlib.sha256()
    for name in ("make_models.py", "skills.py"):
        digest.update((HERE / name).read_bytes())
    return f"{digest.hexdigest()} seed {seed}\n"


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, large enough to keep the words of `texts` whole."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=768,
        special_tokens=[PAD, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, eos_token=EOS, padding_side="left"
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Create an untrained model of 0.8 million parameters."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def encode(
    tokenizer: PreTrainedTokenizerFast, docs: list[dict[str, str]]
) -> list[tuple[Tensor, Tensor]]:
    """Turn examples into pairs of tokens and labels, with labels on the answer only."""
    pairs = []
    for doc in docs:
        prompt = tokenizer.encode(doc["prompt"])
        answer = [*tokenizer.encode(doc["answer"]), tokenizer.eos_token_id]
        labels = [IGNORE] * len(prompt) + answer
        pairs.append((torch.tensor(prompt + answer), torch.tensor(labels)))
    return pairs


def train(
    model: LlamaForCausalLM,
    pairs: list[tuple[Tensor, Tensor]],
    steps: int,
    rate: float,
    generator: torch.Generator,
) -> float:
    """Train a model in place on random batches.

    Args:
        model: The model to train.
        pairs: Tokens and labels of each example.
        steps: The number of batches.
        rate: The peak learning rate.
        generator: Draws the batches.

    Returns:
        The mean loss of the last ten steps.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    pad = torch.nn.utils.rnn.pad_sequence
    losses = []
    for _ in range(steps):
        batch = [pairs[i] for i in torch.randint(len(pairs), (BATCH,), generator=generator)]
        # Padding follows the tokens, so causal attention never sees it and needs no mask.
        tokens = pad([tokens for tokens, _ in batch], batch_first=True)
        labels = pad([labels for _, labels in batch], batch_first=True, padding_value=IGNORE)
        hidden = model.model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state
        answered = labels[:, 1:] != IGNORE
        loss = cross_entropy(model.lm_head(hidden[answered]), labels[:, 1:][answered])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses[-10:]) / len(losses[-10:])


def make_family(folder: Path, seed: int) -> None:
    """Train the base and the experts, and save each in a folder of its own."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    mixture = [doc for skill in skills.SKILLS for doc in skills.docs(skill, "base")]
    tokenizer = make_tokenizer([doc["prompt"] + doc["answer"] for doc in mixture])
    model = make_model(tokenizer)

    def stage(name: str, docs: list[dict[str, str]], steps: int, rate: float) -> None:
        start = time.perf_counter()
        loss = train(model, encode(tokenizer, docs), steps, rate, generator)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        print(f"{name}: {time.perf_counter() - start:.0f} s, loss {loss:.3f}", flush=True)

    stage("base", mixture, BASE_STEPS, BASE_RATE)
    base = {name: weight.clone() for name, weight in model.state_dict().items()}
    for skill in skills.SKILLS:
        model.load_state_dict(base)
        stage(skill, skills.docs(skill, "train"), EXPERT_STEPS, EXPERT_RATE)


def main() -> None:
    """Make the family, unless the folder holds it already."""
    parser = argparse.ArgumentParser(description="Train the tiny models of the quickstart.")
    parser.add_argument("--out", type=Path, default=HERE / "models", help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and batches")
    args = parser.parse_args()
    out: Path = args.out
    stamp = out / STAMP
    made_by = fingerprint(args.seed)
    if stamp.is_file() and stamp.read_text() == made_by:
        print(f"{out} is up to date")
        return
    if out.exists() and not stamp.is_file():
        parser.error(f"{out} exists and is not a family made by this script")
    disable_progress_bar()
    torch.set_num_threads(THREADS)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        family = Path(temporary) / "family"
        family.mkdir()
        make_family(family, args.seed)
        (family / STAMP).write_text(made_by)
        if out.exists():
            shutil.rmtree(out)
        family.rename(out)
    print(f"{out} is ready")


if __name__ == "__main__":
    main()
