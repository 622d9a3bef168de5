"""vLLM for real, on a CPU: its models are those of the other engine, swap after swap."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from lm_eval.api.instance import Instance
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
)

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.engines.base import ModelEngine
from mergekit_cycleqd.engines.open import engine_faults, open_engine
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.tasks import Task
from tests.support import agentbench
from tests.support.agentbench import three_tasks
from tests.support.databases import needs_mariadb
from tests.support.families import COLOURS, adapted_family, make_family, mixture
from tests.support.recipes import TASKS, write_run_recipe
from tests.support.runs import COMMAND, derived, lines

options, smol = agentbench.options, agentbench.smol

pytest_plugins = ("tests.support.boxes", "tests.support.box_fixtures")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None, reason="needs vLLM: run `make test-vllm`"
    ),
    pytest.mark.filterwarnings("ignore"),  # vLLM's own
]

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # else two workers need two sockets

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVW "
EAGER = {"enforce_eager": True}  # compiling takes longer than these tests


def spell(family: Family) -> Family:
    """Give a family a tokenizer of one token per letter.

    The texts of one of whole words begin with a space in vLLM and not in transformers.
    """
    vocabulary = {letter: i for i, letter in enumerate(["<unk>", "<s>", "</s>", *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        padding_side="left",
    )
    for model in (family.base_model, *family.experts):
        if Path(model).is_dir():  # and no adapter
            fast.save_pretrained(model)
    return family


def biased(folder: Path) -> Family:
    return make_family(folder, head_dim=32, attention_bias=True, mlp_bias=True)


def untied(folder: Path) -> Family:
    return make_family(folder, head_dim=32, tied=False)


def in_bfloat16(folder: Path) -> Family:
    return make_family(folder, head_dim=32, dtype=torch.bfloat16)


def with_adapters(folder: Path) -> Family:
    """Experts of which one is whole, and two are adapters of the base."""
    return adapted_family(make_family(folder, head_dim=32), folder)


@contextmanager
def opened(family: Family, **settings: Any) -> Iterator[ModelEngine]:
    experts = [open_expert(expert) for expert in family.experts]
    engine = open_engine(Engine(**settings), Checkpoint.open(family.base_model), experts)
    try:
        yield engine
    finally:
        engine.close()


def genomes(family: Family) -> list[Genome]:
    """Ten swaps: base, experts, merges and mutants, and some of them again."""
    merge = Genome(family, (0.4, -0.2, 0.7))
    mutant = mutate(merge, Term(1, 81723, 0.3))
    noisy = mutate(mutant, Term(None, 5, 0.02))
    first = [Genome.from_base(family), *(Genome.from_expert(family, k) for k in range(3))]
    return [*first, merge, mutant, noisy, first[0], first[2], mutant]


def prompts(count: int = 12) -> list[Instance]:
    said = {"until": ["zz"], "max_gen_toks": 16, "do_sample": False}
    return [
        Instance("generate_until", {}, ("list " + LETTERS[i : i + 3 + 2 * i], dict(said)), i)
        for i in range(count)
    ]


def texts(engine: ModelEngine, models: list[Genome]) -> list[list[str]]:
    found = []
    for genome in models:
        engine.load(genome)
        found.append(engine.model.generate_until(prompts()))
    return found


@pytest.mark.parametrize(
    ("make", "parallel"),
    [(biased, 1), (biased, 2), (untied, 1), (with_adapters, 1)],
)
def test_ten_swaps_give_the_texts_of_transformers(
    make: Callable[[Path], Family], parallel: int, tmp_path: Path
) -> None:
    family = spell(make(tmp_path))
    with opened(family, device="cpu", dtype="float32") as reference:
        expected = texts(reference, genomes(family))
    assert len({tuple(some) for some in expected}) == 7, "or this shows little"
    with opened(
        family, kind="vllm", dtype="float32", tensor_parallel_size=parallel, options=EAGER
    ) as engine:
        assert texts(engine, genomes(family)) == expected


def test_swaps_of_a_model_whose_layers_are_spread_give_the_texts_of_transformers(
    tmp_path: Path,
) -> None:
    family = spell(biased(tmp_path))
    with opened(family, device="cpu", dtype="float32") as reference:
        expected = texts(reference, genomes(family))
    with opened(  # compiled: without it vLLM 0.32 has no room for what stages hand on, on a CPU
        family, kind="vllm", dtype="float32", pipeline_parallel_size=2
    ) as engine:
        assert texts(engine, genomes(family)) == expected


def test_an_architecture_whose_weights_do_not_arrive_is_refused_at_start(tmp_path: Path) -> None:
    """On a CPU, vLLM 0.32 reloads the experts of a mixture otherwise than it loads them."""
    family = spell(mixture(tmp_path))
    with (
        pytest.raises(
            ModelError, match=r"arrive otherwise than .* in model.*experts.*use kind: hf"
        ),
        opened(family, kind="vllm", dtype="float32", options=EAGER),
    ):
        pass


def test_options_that_vllm_lacks_or_the_recipe_has_are_said_at_start() -> None:
    asked = {"max_model_length": 64, "max_num_seqs": 8, "dtype": "half"}
    assert engine_faults(Engine(kind="vllm", options=asked)) == [
        "engine.options: vLLM has no option 'max_model_length'; did you mean 'max_model_len'?",
        "engine.options.dtype: is set by engine.dtype; leave it out",
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return spell(make_family(tmp_path_factory.mktemp("plain"), head_dim=32))


@pytest.fixture(scope="module")
def swapped(plain: Family) -> Iterator[ModelEngine]:
    with opened(plain, kind="vllm", dtype="float32", options=EAGER) as engine:
        yield engine


def test_bfloat16_is_what_auto_means_for_a_base_of_bfloat16(tmp_path: Path) -> None:
    family = spell(in_bfloat16(tmp_path))
    with opened(family, kind="vllm", options=EAGER) as engine:
        assert engine.model.model.llm_engine.model_config.dtype == torch.bfloat16
        found = texts(engine, genomes(family))
    assert found[0] == found[7] and found[2] == found[8] and found[5] == found[9]


def test_auto_keeps_float32(plain: Family) -> None:
    with opened(plain, kind="vllm", options=EAGER) as engine:
        assert engine.model.model.llm_engine.model_config.dtype == torch.float32


def test_a_model_alone_answers_as_in_transformers(plain: Family) -> None:
    """`eval MODEL` opens an engine without experts."""
    alone = Checkpoint.open(plain.base_model)
    with opened(plain, device="cpu", dtype="float32") as reference:
        reference.load(Genome.from_base(plain))
        expected = reference.model.generate_until(prompts())
    engine = open_engine(Engine(kind="vllm", dtype="float32", options=EAGER), alone, ())
    try:
        assert engine.model.generate_until(prompts()) == expected
    finally:
        engine.close()


def test_stale_weights_are_never_generated_with(
    swapped: ModelEngine, plain: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mergekit_cycleqd.engines.vllm.worker import GenomeWorker

    reload_from = GenomeWorker._reload_from
    first, second = genomes(plain)[1:3]
    swapped.load(first)

    def nothing(worker: Any, tensors: Any) -> None:
        list(tensors)

    def not_all(name: str) -> Any:
        return lambda worker, tensors: reload_from(worker, (t for t in tensors if t[0] != name))

    broken = [
        (nothing, "still holds the weights of another model"),
        (
            not_all("model.layers.1.mlp.down_proj.weight"),
            "down_proj.* kept the weights of the last",
        ),
        (not_all("model.norm.weight"), "norm.weight kept the weights of the last model"),
        (not_all("model.embed_tokens.weight"), "lm_head.* and 2 more kept the weights of the last"),
    ]
    for instead, what in broken:
        monkeypatch.setattr(GenomeWorker, "_reload_from", instead)
        with pytest.raises(ModelError, match=f"does not take the weights of model .*{what}"):
            swapped.load(second)
        monkeypatch.setattr(GenomeWorker, "_reload_from", reload_from)
        swapped.load(first)


def test_a_swap_that_breaks_off_is_done_again(
    swapped: ModelEngine, plain: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mergekit_cycleqd.engines.resident_model import ResidentModel

    tensors = ResidentModel.tensors
    first, second = genomes(plain)[1:3]
    (expected,) = texts(swapped, [second])
    swapped.load(first)

    def failing(model: ResidentModel, *args: Any) -> Iterator[Any]:
        for i, each in enumerate(tensors(model, *args)):
            if i == 5:
                raise torch.OutOfMemoryError("injected")
            yield each

    with monkeypatch.context() as patched:
        patched.setattr(ResidentModel, "tensors", failing)
        with pytest.raises(torch.OutOfMemoryError):
            swapped.load(second)
    assert texts(swapped, [second]) == [expected]


def test_the_prefix_of_a_prompt_is_not_remembered_from_another_model(
    swapped: ModelEngine, plain: Family
) -> None:
    """Prompts longer than a block of the cache, so that it would answer."""
    said = {"until": ["zz"], "max_gen_toks": 8, "do_sample": False}
    long = [Instance("generate_until", {}, (LETTERS[:-1] + LETTERS[:40], said), 0)]
    first, second = genomes(plain)[1:3]
    found = []
    for genome in (first, second, first):
        swapped.load(genome)
        found.append([swapped.model.generate_until(long) for _ in range(2)])
    with opened(plain, device="cpu", dtype="float32") as reference:
        for genome, answers in zip((first, second), found, strict=False):
            reference.load(genome)
            assert answers == [reference.model.generate_until(long)] * 2
    assert found[0] == found[2] != found[1]


def tiny_task(task: str, metric: str) -> Task:
    samples = {"search": "0-19"}
    return Task.model_validate(
        {
            "name": task,
            "task": f"tiny_{task}",
            "metric": metric,
            "samples": samples,
            "include_path": str(TASKS),
        }
    )


def test_lm_eval_scores_it_as_it_scores_transformers(swapped: ModelEngine, plain: Family) -> None:
    harness = LMHarness(
        [tiny_task("red", "acc,none"), tiny_task("generate", "exact_match,first-word")]
    )
    with opened(plain, device="cpu", dtype="float32") as reference:
        for genome in genomes(plain)[:6]:
            reference.load(genome)
            swapped.load(genome)
            assert harness.evaluate(swapped.model, "search") == pytest.approx(
                harness.evaluate(reference.model, "search")
            )


def test_the_likelihood_of_whole_texts_is_that_of_transformers(
    swapped: ModelEngine, plain: Family
) -> None:
    asked = [Instance("loglikelihood_rolling", {}, (LETTERS[i:],), i) for i in range(8)]
    with opened(plain, device="cpu", dtype="float32") as reference:
        for genome in genomes(plain)[3:6]:
            reference.load(genome)
            swapped.load(genome)
            expected = reference.model.loglikelihood_rolling(asked)
            assert swapped.model.loglikelihood_rolling(asked) == pytest.approx(expected, rel=1e-4)


def recipe(path: Path, family: Family, engine: dict[str, Any], **sections: Any) -> Path:
    def change(content: dict[str, Any]) -> None:
        content["engine"] = {"dtype": "float32", **engine}
        content["evolution"] |= {"children": 9, "lag": 2}
        content.update(sections)

    return write_run_recipe(path, family, change)


def run(path: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, str(path), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that a signal can be sent to all, as by a terminal
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def finish(path: Path, out: Path) -> str:
    process = run(path, out)
    output, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def by_transformers(plain: Family, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("hf")
    finish(recipe(folder / "recipe.yaml", plain, {"device": "cpu"}), folder / "run")
    return derived(folder / "run")


@pytest.mark.parametrize(
    "workers", [{"count": 1}, {"count": 2}, {"kind": "ray", "count": 1}], ids=str
)
def test_a_whole_run_gives_the_archives_of_transformers(
    workers: dict[str, Any], plain: Family, by_transformers: dict[str, bytes], tmp_path: Path
) -> None:
    engine = {"kind": "vllm", "options": EAGER}
    output = finish(
        recipe(tmp_path / "recipe.yaml", plain, engine, workers=workers), tmp_path / "run"
    )
    assert derived(tmp_path / "run") == by_transformers
    assert "Processed prompts" not in output and "it/s" not in output


def test_an_interrupt_of_a_terminal_ends_a_run_on_two_devices_cleanly_and_it_goes_on(
    plain: Family, by_transformers: dict[str, bytes], tmp_path: Path
) -> None:
    engine = {"kind": "vllm", "options": EAGER, "tensor_parallel_size": 2}
    path, out = recipe(tmp_path / "recipe.yaml", plain, engine), tmp_path / "run"
    process = run(path, out)
    deadline = time.monotonic() + 600
    while lines(out) < 5 and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.01)
    parts = psutil.Process(process.pid).children(recursive=True)
    assert len(parts) >= 2
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "nothing is lost" in output and "Traceback" not in output
    _, left = psutil.wait_procs(parts, timeout=30)
    assert not left
    finish(path, out)
    assert derived(out) == by_transformers


@pytest.fixture(scope="module")
def small(smol: str, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """SmolLM2-135M-Instruct, and three models with every weight moved a little."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    for name in COLOURS:
        model = AutoModelForCausalLM.from_pretrained(smol)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * parameter.std() * torch.randn_like(parameter))
        model.save_pretrained(folder / name)
    return Family(smol, tuple(str(folder / name) for name in COLOURS))


def test_a_real_model_gives_the_texts_of_transformers(small: Family) -> None:
    plain = Genome(small, (0.4, -0.2, 0.3))
    models = [Genome.from_base(small), *(Genome.from_expert(small, k) for k in range(3)), plain]
    models += [Genome(small, (0.0, 0.9, 0.4)), *models[:4]]
    with opened(small, device="cpu", dtype="float32") as reference:
        expected = texts(reference, models)
    with opened(small, kind="vllm", dtype="float32", options=EAGER) as engine:
        assert texts(engine, models) == expected


@needs_mariadb
def test_our_tasks_run_on_it(
    small: Family,
    options: dict[str, dict[str, Any]],
) -> None:
    """Databases, operating systems and coding: episodes of many turns."""
    harness = LMHarness(three_tasks(options))
    scores = []
    for settings in ({"device": "cpu"}, {"kind": "vllm", "options": EAGER}):
        with opened(small, dtype="float32", **settings) as engine:
            engine.load(Genome.from_base(small))
            scores.append(harness.evaluate(engine.model, "search"))
    assert scores[1] == pytest.approx(scores[0])
    assert sum(scores[1].values()) > 0, "or this shows nothing"


def test_thoughts_are_left_out_and_not_cut_as_with_transformers(plain: Family) -> None:
    said = {"until": ["zz"], "max_gen_toks": 24, "do_sample": False}
    asked = [
        Instance("generate_until", {}, ("list " + LETTERS[i : i + 5], dict(said)), i)
        for i in range(12)
    ]
    with opened(plain, device="cpu", dtype="float32") as whole:
        (texts_of_all,) = texts(whole, [Genome.from_base(plain)])
    end = max(LETTERS, key=lambda letter: sum(letter in text[:-2] for text in texts_of_all))
    for marked in (end, 3 + LETTERS.index(end)):
        found = []
        for kind in ({"kind": "vllm", "options": EAGER}, {"kind": "hf", "device": "cpu"}):
            with opened(plain, dtype="float32", think_end_token=marked, **kind) as engine:
                engine.load(Genome.from_base(plain))
                found.append(engine.model.generate_until(asked))
        assert found[0] == found[1]
        assert any(found[0])
