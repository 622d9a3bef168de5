"""Derivatives by the weights of experts, against autograd on the weights of the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.func import functional_call
from transformers.modeling_layers import GradientCheckpointingLayer

from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.engines.backward.checkpointed import checkpointed
from mergekit_cycleqd.engines.backward.learner import Learner
from mergekit_cycleqd.engines.hf.answer_loss import AnswerLoss, TextSample
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.families import (
    adapted_family,
    make_family,
)
from tests.support.renamed_models import RENAMED, stored_family

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, about transformers

SAMPLES = [
    TextSample((((5, 6, 7), (8, 9)),)),
    TextSample((((10, 11, 12, 13, 14), (15,)),)),
    TextSample((((20, 21), (22,)), ((20, 21), (23, 24, 25))), (0.75, 0.25)),
]
COUNTS = [0.2, 0.3, 0.5]


def engine_of(family: Family, dtype: str = "float32") -> HFEngine:
    base, experts = open_family(family, trust=False)
    return HFEngine(Engine(device="cpu", dtype=dtype), base, experts)  # type: ignore[arg-type]


def with_groups(family: Family, names: tuple[str, ...]) -> Genome:
    generator = torch.Generator().manual_seed(1)
    filters = tuple(sorted(names, key=lambda name: (-len(name), name)))
    rows = (0.5 + torch.rand(len(filters), len(family.experts), generator=generator)).tolist()
    groups = TensorGroups(filters, tuple(map(tuple, rows)))
    return Genome(family, (0.0,) * len(family.experts), groups=groups)


def tensors(engine: HFEngine, genome: Genome) -> dict[str, torch.Tensor]:
    engine.load(genome)
    return {name: t.detach().double() for name, t in engine.model.model.state_dict().items()}


def by_autograd(engine: HFEngine, genome: Genome) -> dict[str, list[float]]:
    """Merge by hand, in float64, with the weights of the genome as leaves."""
    family, names = genome.family, engine.learner().names
    base = tensors(engine, Genome.from_base(family))
    taus = []
    for k in range(len(family.experts)):
        alone = tensors(engine, Genome.from_expert(family, k))
        taus.append({name: alone[name] - start for name, start in base.items()})
    model = engine.model.model.double()
    weights = {
        name: torch.tensor(genome.weights_of(name), dtype=torch.float64, requires_grad=True)
        for name in names
    }
    merged = {
        name: base[name] + sum(w * tau[name] for w, tau in zip(weights[name], taus, strict=True))
        for name in names
    }
    total = torch.zeros((), dtype=torch.float64)
    for sample, count in zip(SAMPLES, COUNTS, strict=True):
        likely = torch.stack([log_likelihood(model, merged, *row) for row in sample.rows])
        if sample.shares:
            shares = torch.tensor(sample.shares, dtype=torch.float64)
            total = total - count * (shares * likely.log_softmax(0)).sum()
        else:
            total = total - count * likely.sum()
    total.backward()
    return {
        name: weight.grad.tolist() for name, weight in weights.items() if weight.grad is not None
    }


def log_likelihood(
    model: Any, merged: dict[str, torch.Tensor], context: tuple[int, ...], answer: tuple[int, ...]
) -> torch.Tensor:
    """Of one answer, alone and without padding."""
    tokens = torch.tensor([[*context, *answer]])
    logits = functional_call(model, merged, kwargs={"input_ids": tokens, "use_cache": False}).logits
    likely = logits[0, len(context) - 1 : -1].log_softmax(-1)
    return likely.gather(1, torch.tensor(answer)[:, None]).sum()


@pytest.mark.costly
@pytest.mark.parametrize("vectors", [PLAIN, TaskVectors("tsv", 0.5), TaskVectors("wudi", 0.1)])
@pytest.mark.parametrize("form", ["tied", "untied", "adapters"])
def test_slopes_are_those_of_autograd(form: str, vectors: TaskVectors, tmp_path: Path) -> None:
    family = make_family(tmp_path, tied=form != "untied")
    if form == "adapters":
        family = adapted_family(family, tmp_path)
    family = Family(family.base_model, family.experts, task_vectors=vectors)
    engine = engine_of(family)
    learner = engine.learner()
    genome = with_groups(family, learner.names)
    learner.load(genome)
    value, found = learner.slopes(vectors, SAMPLES, COUNTS)
    assert value == pytest.approx(learner.loss(SAMPLES, COUNTS), rel=1e-5)
    expected = by_autograd(engine, genome)
    assert found.keys() == expected.keys()
    scale = max(abs(x) for row in expected.values() for x in row)
    for name, row in expected.items():
        assert found[name] == pytest.approx(row, rel=1e-3, abs=1e-5 * scale), name


def by_differences(learner: Learner, genome: Genome, name: str, k: int) -> float:
    """The derivative by one weight, from two losses."""
    step, found = 0.02, []
    for sign in (1, -1):
        place = genome.groups.filters.index(name)
        rows = [list(row) for row in genome.groups.weights]
        rows[place][k] += sign * step
        groups = TensorGroups(genome.groups.filters, tuple(map(tuple, rows)))
        learner.load(Genome(genome.family, genome.weights, groups=groups))
        found.append(learner.loss(SAMPLES, COUNTS))
    return (found[0] - found[1]) / (2 * step)


@pytest.mark.costly
def test_slopes_reach_the_tensors_of_which_a_fused_one_is_made(tmp_path: Path) -> None:
    _, family = stored_family(RENAMED["deepseek-v3"], tmp_path)
    engine = engine_of(family)
    learner = engine.learner()
    names = [n for n in learner.names if engine._resident.layout.loaded_name(n) is None]
    assert len(names) > 8, "transformers loads the experts of a layer as one tensor"
    genome = with_groups(family, learner.names)
    learner.load(genome)
    _, found = learner.slopes(PLAIN, SAMPLES, COUNTS)
    largest = sorted(names, key=lambda name: -max(map(abs, found[name])))[:4]
    for name in largest:
        for k in range(2):
            expected = by_differences(learner, genome, name, k)
            assert found[name][k] == pytest.approx(expected, rel=0.05, abs=2e-5)


@pytest.mark.costly
@pytest.mark.parametrize(("dtype", "within"), [("bfloat16", 0.05), ("float16", 0.02)])
def test_slopes_of_a_16_bit_model_are_near_those_in_float32(
    dtype: str, within: float, tmp_path: Path
) -> None:
    family, found = make_family(tmp_path), []
    for kind in ("float32", dtype):
        learner = engine_of(family, kind).learner()
        learner.load(with_groups(family, learner.names))
        _, slopes = learner.slopes(PLAIN, SAMPLES, COUNTS)
        found.append(torch.tensor([slopes[name] for name in learner.names]))
    assert torch.linalg.norm(found[1] - found[0]) < within * torch.linalg.norm(found[0])


@pytest.mark.costly
def test_gradients_are_dropped_and_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    engine = engine_of(family)
    model, learner = engine.model.model, engine.learner()
    before = [p.requires_grad for p in model.parameters()]
    learner.load(Genome.uniform(family))
    checksum = engine._resident.checksum()
    learner.slopes(PLAIN, SAMPLES, COUNTS)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [p.requires_grad for p in model.parameters()] == before
    assert engine._resident.checksum() == checksum
    layers = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    assert layers and all("forward" not in vars(layer) for layer in layers)


@pytest.mark.costly
def test_layers_are_computed_again_in_the_backward_pass(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    model = engine_of(family).model.model
    calls: list[int] = []
    hook = model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    with checkpointed(model):
        tokens = torch.tensor([[5, 6, 7]])
        model(input_ids=tokens, use_cache=False).logits.sum().backward()
    hook.remove()
    assert len(calls) == 2


@pytest.mark.costly
def test_small_batches_give_the_same_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = make_family(tmp_path)
    learner = engine_of(family).learner()
    learner.load(Genome.uniform(family))
    whole = learner.slopes(PLAIN, SAMPLES, COUNTS)
    alone = AnswerLoss.losses

    def short_of_memory(self: AnswerLoss, samples: list[TextSample]) -> torch.Tensor:
        if len(samples) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return alone(self, samples)

    monkeypatch.setattr(AnswerLoss, "losses", short_of_memory)
    parts = learner.slopes(PLAIN, SAMPLES, COUNTS)
    assert parts[0] == pytest.approx(whole[0], rel=1e-5)
    for name, row in whole[1].items():
        assert parts[1][name] == pytest.approx(row, rel=1e-3, abs=1e-6)


@pytest.mark.costly
def test_a_loss_that_is_no_number_gives_one_line(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    learner = engine_of(family).learner()
    learner.load(Genome(family, (1e30, 1e30, 1e30)))
    with pytest.raises(ModelError, match=r"no finite derivative; try engine\.dtype"):
        learner.slopes(PLAIN, SAMPLES, COUNTS)
