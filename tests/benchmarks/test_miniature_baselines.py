"""The table of baselines, rehearsed whole on models that know nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "miniature"))
import baselines
from compared.candidates import Settings
from family import SKILLS, Models, make_models, skills
from fit import FittingScorer

from mergekit_cycleqd.genome.family import Family

SMALL = Settings(
    coefficients=(0.5, 1.0),
    densities=(0.5,),
    ties_coefficients=(1.0,),
    scales=(0.5,),
    ada_stops=(1, 2),
    wudi_rates=(1e-3,),
    wudi_steps=2,
    stock_coefficients=(0.3,),
    direction_steps=2,
)


def random_models(folder: Path) -> Models:
    docs = [doc for skill in SKILLS for doc in skills.docs(skill, "eval")]
    tokenizer = make_models.make_tokenizer([doc["prompt"] + doc["answer"] for doc in docs])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    base = LlamaForCausalLM(config)
    start = {name: weight.clone() for name, weight in base.state_dict().items()}
    for name in ("base", *SKILLS, "joint"):
        base.load_state_dict(start)
        if name != "base":
            with torch.no_grad():
                for parameter in base.parameters():
                    parameter.add_(0.05 * torch.randn_like(parameter))
        base.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    experts = tuple(str(folder / skill) for skill in SKILLS)
    return Models(folder, Family(str(folder / "base"), experts), folder / "joint")


@pytest.mark.slow
def test_all_rows_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(baselines, "GROUPS", {"all": "one weight each", "kind": "by kind"})
    fits: list[int] = []

    class Short(FittingScorer):
        def fit_to(self, fitted, others, *more):  # type: ignore[no-untyped-def]
            fits.append(sum(map(len, fitted)))
            return super().fit_to([own[:2] for own in fitted], [own[:2] for own in others], *more)

    found = random_models(tmp_path / "models")
    rows = baselines.rows_over(found, Short(found), 0, SMALL)
    assert list(rows)[-1] == baselines.JOINT
    assert len(fits) == 6 and set(fits) == {150}
    assert [row for row in rows if row.startswith("RegMean")]
    for name, row in rows.items():
        assert {"holdout", "search", "share"} <= set(row), name
    assert rows["Iso-C, best coefficient"]["evaluations"] == 4
    assert baselines.table([rows], baselines.COLUMNS).count("\n") == len(rows) + 1
