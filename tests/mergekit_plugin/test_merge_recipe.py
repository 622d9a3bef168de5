"""What can be scored can be merged, or is refused: names of folders, classes and numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from tests.support.families import COLOURS, make_adapter, make_family
from tests.support.merges import by_command, in_place
from tests.support.runs import run_main

pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of peft, about transformers' names
]


def moved(family: Family, folder: Path) -> Family:
    """The family in folders of other names, with an adapter of the base as its last expert."""
    base = shutil.copytree(family.base_model, folder / "base@v2")
    expert = shutil.copytree(family.experts[0], folder / "red+blue")
    adapter = make_adapter(str(base), folder / "adapter@v1")
    return Family(str(base), (str(expert), family.experts[1], f"{base}+{adapter}"))


def test_folders_may_have_marks_of_references_in_their_names(tmp_path: Path) -> None:
    family = moved(make_family(tmp_path / "plain"), tmp_path)
    genome = Genome(family, (0.5, 0.3, 0.4), (Term(0, 7, 0.2), Term(2, 9, 0.3)))
    scored, merged = in_place(genome, tmp_path), by_command(genome, tmp_path)
    for name, tensor in scored.items():
        assert torch.allclose(tensor, merged[name], rtol=1e-5, atol=3e-6), name


@pytest.mark.parametrize("classes", [None, ["LlamaForCausalLM", "LlamaModel"]])
def test_a_model_is_merged_whose_config_names_no_single_class(
    classes: list[str] | None, tmp_path: Path
) -> None:
    family = make_family(tmp_path)
    for model in ("base", *COLOURS):
        file = tmp_path / model / "config.json"
        config = json.loads(file.read_text()) | {"architectures": classes}
        file.write_text(json.dumps(config))
    genome = Genome(family, (0.5, 0.3, 0.4), (Term(0, 7, 0.2),))
    scored, merged = in_place(genome, tmp_path), by_command(genome, tmp_path)
    for name, tensor in scored.items():
        assert torch.allclose(tensor, merged[name], rtol=1e-5, atol=3e-6), name


def test_a_base_with_a_number_that_is_not_finite_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    family = make_family(tmp_path)
    file = Path(family.base_model, "model.safetensors")
    weights = load_file(file)
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    (tmp_path / "model.yaml").write_text(Genome(family, (0.5, 0.3, 0.4)).to_yaml())
    assert run_main("merge", tmp_path / "model.yaml", tmp_path / "out", "--quiet") == 2
    assert f"{family.base_model}: tensor model.norm.weight has NaN" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_two_sets_of_weights_in_a_folder_are_refused(tmp_path: Path) -> None:
    """transformers reads the single file, and mergekit the shards of the index."""
    family = make_family(tmp_path)
    folder = Path(family.experts[0])
    shutil.copy(folder / "model.safetensors", folder / "model-00001-of-00001.safetensors")
    names = load_file(folder / "model.safetensors").keys()
    index = {"weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"needs one set of weights, got model\.safetensors"):
        _ = Checkpoint.open(str(folder)).headers
    (folder / "model.safetensors").unlink()
    assert Checkpoint.open(str(folder)).headers.keys() == names
