"""Experts of other vocabularies get the base's: the rows are those that mergekit finds."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.vocabulary.aligned import AlignedCheckpoint
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import FamilyVocabulary, open_family
from mergekit_cycleqd.checkpoints.vocabulary.row_map import REMEDY, RowMap, remedy
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.vocabulary import BaseVocabulary
from mergekit_cycleqd.hub.verify import verify_model
from tests.support.families import make_adapter, make_family, shake
from tests.support.merges import bred, by_command, by_mergekit, in_place
from tests.support.model_matrix import genome_of
from tests.support.planted_faults import edit_json, edit_tensors
from tests.support.runs import run_main
from tests.support.vocabularies import EMBEDDING, HEAD, TOKENS, mixed_family, mixed_ways

pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # peft still uses replaced names
]

WEIGHTS = (0.7, 0.4, -0.2)


def test_rows_are_taken_by_token_and_padding_is_their_mean() -> None:
    rows = RowMap(torch.tensor([2, -1, 0]), own_rows=4, rows=5)
    expert = torch.tensor([[1.0, 2.0], [9.0, 9.0], [3.0, 4.0], [8.0, 8.0]])
    base = torch.tensor([[0.0, 0.0], [5.0, 6.0], [0.0, 0.0], [7.0, 7.0], [7.0, 7.0]])
    assert rows.bring(expert, lambda: base).tolist() == [
        [3.0, 4.0],
        [5.0, 6.0],
        [1.0, 2.0],
        [3.0, 4.0],
        [3.0, 4.0],
    ]
    assert (rows.cut, rows.moved, rows.lacking, rows.padding) == (2, 2, 1, 2)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("rows", [63, 64])
def test_the_model_in_memory_is_mergekits(tied: bool, rows: int, tmp_path: Path) -> None:
    family = mixed_family(tmp_path, tied=tied, rows=rows)
    genome = Genome(family, WEIGHTS)
    found = in_place(genome, tmp_path)
    mergekits = by_mergekit(genome.to_mergekit(stock=True), tmp_path / "mergekit")
    for name, tensor in found.items():
        assert torch.allclose(tensor, mergekits[name], rtol=1e-5, atol=1e-6), name
    assert found[EMBEDDING].shape == (rows, 32)


def test_without_padding_to_a_multiple_mergekit_makes_the_rows_of_tokens(tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    found = in_place(Genome(family, WEIGHTS), tmp_path)
    plain = Genome(replace(family, tokenizer=BaseVocabulary()), WEIGHTS)
    mergekits = by_mergekit(plain.to_mergekit(stock=True), tmp_path / "mergekit")
    for name in (EMBEDDING, HEAD):
        assert mergekits[name].shape == (TOKENS, 32)
        assert torch.allclose(found[name][:TOKENS], mergekits[name], rtol=1e-5, atol=1e-6)


def test_rows_of_a_token_are_those_of_experts_that_were_never_permuted(tmp_path: Path) -> None:
    plain = make_family(tmp_path / "plain", tied=False, vocab_size=64)
    family = mixed_family(tmp_path / "mixed")
    found = in_place(Genome(family, WEIGHTS), tmp_path)
    expected = in_place(Genome(plain, WEIGHTS), tmp_path)
    for name, tensor in found.items():
        rows = TOKENS if name in (EMBEDDING, HEAD) else None
        assert torch.equal(tensor[:rows], expected[name][:rows]), name


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_a_mutated_model_is_merged_to_the_bit(tied: bool, tmp_path: Path) -> None:
    genome = bred(mixed_family(tmp_path, tied=tied))
    merged = by_command(genome, tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.equal(tensor, merged[name]), name
    verify_model(tmp_path / "out", genome)
    same = ("generation_config.json", "tokenizer.json")
    for file in same:
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "base" / file).read_bytes()


@pytest.mark.parametrize("engine_dtype", [None, "bfloat16"])
def test_sixteen_bits_differ_by_their_rounding(engine_dtype: str | None, tmp_path: Path) -> None:
    family = mixed_family(tmp_path, dtype=torch.bfloat16)
    if engine_dtype:
        family = replace(family, dtype="float32", out_dtype=engine_dtype)
    genome = Genome(family, WEIGHTS)
    found = in_place(genome, tmp_path)
    mergekits = by_mergekit(genome.to_mergekit(stock=True), tmp_path / "mergekit")
    merged = by_command(genome, tmp_path)
    for name, tensor in found.items():
        assert tensor.dtype == mergekits[name].dtype == merged[name].dtype == torch.bfloat16
        assert torch.allclose(tensor, mergekits[name], rtol=2**-6, atol=2**-8), name
        assert torch.allclose(tensor, merged[name], rtol=2**-7, atol=2**-10), name
    verify_model(tmp_path / "out", genome)


def test_stored_copies_of_tied_heads_stay_equal_to_the_embedding(tmp_path: Path) -> None:
    family = mixed_family(tmp_path, tied=True)
    for model in (family.base_model, *family.experts[:2]):
        edit_tensors(
            Path(model), lambda tensors: tensors.update({HEAD: tensors[EMBEDDING].clone()})
        )
    genome = bred(family)
    merged = by_command(genome, tmp_path)
    assert torch.equal(merged[HEAD], merged[EMBEDDING])
    assert torch.equal(in_place(genome, tmp_path)[EMBEDDING], merged[EMBEDDING])


def test_a_token_that_an_expert_lacks_has_the_row_of_the_base(tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    edit_json(
        Path(family.experts[2]) / "tokenizer.json",
        lambda content: content["model"]["vocab"].pop("w5"),
    )
    genome = Genome(family, (0.0, 0.0, 1.0))
    found = in_place(genome, tmp_path)
    mergekits = by_mergekit(genome.to_mergekit(stock=True), tmp_path / "mergekit")
    base, expert = (
        load_file(Path(model) / "model.safetensors")[HEAD]
        for model in (family.base_model, family.experts[2])
    )
    place = 3 + 5
    assert torch.equal(found[HEAD][place], base[place])
    assert torch.equal(found[HEAD][place + 1], expert[place + 1])
    assert torch.allclose(found[HEAD], mergekits[HEAD], rtol=1e-5, atol=1e-6)


def test_adapters_keep_the_tokens_of_their_base(tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    base = family.base_model
    whole = make_adapter(base, tmp_path / "whole", modules_to_save=["embed_tokens"])
    model = AutoModelForCausalLM.from_pretrained(base)
    settings = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "lm_head"])
    adapted = get_peft_model(model, settings)
    shake(adapted, 0.2)
    adapted.save_pretrained(tmp_path / "head", save_embedding_layers=False)
    experts = (family.experts[0], f"{base}+{whole}", f"{base}+{tmp_path / 'head'}")
    genome = Genome(replace(family, experts=experts), WEIGHTS)
    merged = by_command(genome, tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, merged[name], rtol=1e-5, atol=1e-6), name
    verify_model(tmp_path / "out", genome)


def test_a_vocabulary_of_the_bases_own_changes_nothing(family: Family, tmp_path: Path) -> None:
    genome = bred(family)
    with_key = bred(replace(family, tokenizer=BaseVocabulary()))
    found = in_place(with_key, tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.equal(tensor, found[name]), name


def test_a_changed_tokenizer_is_another_model(tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    before = [model.fingerprint() for model in open_family(family)[1]]
    edit_json(
        Path(family.experts[2]) / "tokenizer.json",
        lambda content: content["model"]["vocab"].pop("w5"),
    )
    after = [model.fingerprint() for model in open_family(family)[1]]
    assert before[:2] == after[:2] and before[2] != after[2]
    assert Checkpoint.open(family.experts[2]).fingerprint() not in (before[2], after[2])


@pytest.mark.filterwarnings("ignore")  # of transformers, about tiny models
@pytest.mark.parametrize(
    ("name", "by_mergekit"),
    [
        ("GPT-NeoX", False),
        ("BERT, masked LM", False),  # its head has a bias
        ("Gemma 3", False),
        ("Phi", True),
        ("GPT-J", True),
        ("Qwen2.5-VL", True),
    ],
)
def test_the_tensors_of_the_vocabulary_are_found_in(
    name: str, by_mergekit: bool, tmp_path: Path
) -> None:
    ways = mixed_ways(name, tmp_path)
    model, resident = ways.in_memory()
    resident.load(genome_of(ways.family))
    merged, said = ways.merged(genome_of(ways.family))
    found = merged.state_dict()
    assert all(torch.equal(tensor, found[key]) for key, tensor in model.state_dict().items())
    assert bool(said) != by_mergekit


def drop_tokenizer(family: Family) -> None:
    for file in Path(family.experts[1]).glob("tokenizer*"):
        file.unlink()


def break_tokenizer(family: Family) -> None:
    (Path(family.experts[1]) / "tokenizer.json").write_text("{")


def number_beyond_the_rows(family: Family) -> None:
    edit_json(
        Path(family.experts[1]) / "tokenizer.json",
        lambda content: content["model"]["vocab"].update(w5=64),
    )


def gap_in_the_base(family: Family) -> None:
    edit_json(
        Path(family.base_model) / "tokenizer.json",
        lambda content: content["model"]["vocab"].pop("w5"),
    )


def more_tokens_than_rows(family: Family) -> None:
    edit_json(
        Path(family.base_model) / "tokenizer.json",
        lambda content: content["model"]["vocab"].update(more=63, and_more=64),
    )


def head_of_other_rows(family: Family) -> None:
    edit_tensors(
        Path(family.experts[1]), lambda tensors: tensors.update({HEAD: tensors[HEAD][:60].clone()})
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_tokenizer, "no tokenizer in .*green, by which .* copy the tokenizer"),
        (break_tokenizer, "cannot load the tokenizer of .*green .* copy the tokenizer"),
        (number_beyond_the_rows, "green: needs a row for each token .* the id 64 for 'w5'"),
        (gap_in_the_base, "base: needs a tokenizer whose ids have no gaps, got 62 tokens with ids"),
        (more_tokens_than_rows, "base: needs a row for each token, got 64 rows for 65 tokens"),
        (head_of_other_rows, "green: needs an embedding and a head with a row for each token"),
    ],
)
def test_what_mergekit_could_not_merge_is_refused_in_a_line(
    spoil: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    family = mixed_family(tmp_path)
    spoil(family)
    with pytest.raises(ModelError, match=message):
        open_family(family)
    (tmp_path / "model.yaml").write_text(bred(family).to_yaml())
    assert run_main("merge", tmp_path / "model.yaml", tmp_path / "out", "--quiet") == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(message, line) and line.startswith("error: ")


def test_tokens_without_rows_are_taken_out_of_bpe_as_by_mergekit(tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    letters = {f"w{i}": i for i in range(66)}
    for model in (family.base_model, *family.experts):
        tokenizer = Tokenizer(models.BPE(letters, [], unk_token="w0"))
        tokenizer.save(str(Path(model) / "tokenizer.json"))
    family = replace(family, tokenizer=BaseVocabulary())
    genome = Genome(family, WEIGHTS)
    found = in_place(genome, tmp_path)
    mergekits = by_mergekit(genome.to_mergekit(stock=True), tmp_path / "mergekit")
    assert torch.allclose(found[EMBEDDING], mergekits[EMBEDDING], rtol=1e-5, atol=1e-6)


def test_a_recipe_without_the_padding_of_its_base_is_refused(tmp_path: Path) -> None:
    family = replace(mixed_family(tmp_path), tokenizer=BaseVocabulary())
    with pytest.raises(ModelError, match="must give the base's 64 rows for its 63 tokens, got 63"):
        open_family(family)


def test_models_without_tokens_have_no_vocabulary(family: Family, tmp_path: Path) -> None:
    folder = shutil.copytree(family.base_model, tmp_path / "base")
    edit_json(folder / "config.json", lambda content: content.update(model_type="nothing"))
    with pytest.raises(ModelError, match="cannot be laid out to find its vocabulary"):
        FamilyVocabulary(Checkpoint.open(str(folder)), trust=False)


def test_a_tied_expert_of_an_untied_base_must_have_all_tokens(tmp_path: Path) -> None:
    """A token that it lacks would get the row of the base's embedding in its head."""
    family = mixed_family(tmp_path)
    expert = Path(family.experts[1])
    edit_tensors(expert, lambda tensors: tensors.pop(HEAD))
    edit_json(expert / "config.json", lambda content: content.update(tie_word_embeddings=True))
    open_family(family)
    edit_json(expert / "tokenizer.json", lambda content: content["model"]["vocab"].pop("w5"))
    with pytest.raises(
        ModelError, match=r"green: lacks 1 token of the base, and .* lm_head\.weight"
    ):
        open_family(family)


def test_only_shapes_that_differ_by_tokens_are_mended_by_the_key(family: Family) -> None:
    base = Checkpoint.open(family.base_model)
    more = ((66, 32), (TOKENS, 32))
    assert remedy(base, {EMBEDDING: more, HEAD: more}) == REMEDY
    for own, of in (((66, 31), (TOKENS, 32)), ((48, 32), (32, 32)), ((66,), (TOKENS, 32))):
        assert remedy(base, {EMBEDDING: more, "another": (own, of)}) == ""


def test_headers_have_the_rows_of_the_base(tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    _, experts = open_family(family)
    assert isinstance(experts[0], AlignedCheckpoint)
    assert experts[0].stored.headers[HEAD].shape == (72, 32)
    assert {model.headers[HEAD].shape for model in experts} == {(64, 32)}
