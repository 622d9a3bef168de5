"""Whole runs over tiny SAMs: the same guarantees as for language models."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import transformers
from huggingface_hub import ModelCard, snapshot_download
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from PIL import Image
from safetensors.torch import load_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import random_draws
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.report import write_report
from mergekit_cycleqd.run_folder.example_masks import FOLDER, Pictures
from mergekit_cycleqd.run_folder.journal_reading import FILE
from tests.support.costly import costly
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.merges import in_float64
from tests.support.published_runs import command, over, put_on_hub
from tests.support.runs import derived, lines, main_ok, wait_for
from tests.support.vision_models import KINDS, make_sams, write_images, write_vision_recipe

hub = server.hub
COMMAND = """
import sys
from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.run_folder.journal import Journal

append = Journal.append

def told(journal, record):
    append(journal, record)
    print("loaded:", [name for name in ("lm_eval",) if name in sys.modules], flush=True)

Journal.append = told
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
@costly
def sams(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_sams(tmp_path_factory.mktemp("sams"))


@pytest.fixture(scope="module")
def recipe(sams: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for kind in KINDS:
        write_images(folder, kind)
    return write_vision_recipe(folder / "recipe.yaml", sams, folder)


@pytest.fixture(scope="module")
def run_once(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("once") / "run"
    main_ok([str(recipe), "--out", str(out)])
    return out


@pytest.fixture
def finished(run_once: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be spoilt."""
    return Path(shutil.copytree(run_once, tmp_path / "run"))


def by_numpy(genome: Genome) -> dict[str, np.ndarray]:
    """The design's section 1 in float64; tensors of more than two axes as ``[shape[0], -1]``."""
    base, experts = in_float64(genome.family)
    merged = {}
    for name, start in base.items():
        total = start.copy()
        for k, expert in enumerate(experts):
            tau = expert[name] - start
            if tau.ndim < 2:
                total += genome.weights[k] * tau
                continue
            u, s, vt = np.linalg.svd(tau.reshape(len(tau), -1), full_matrices=False)
            m = np.full(len(s), genome.weights[k])
            for _, seed, scale in genome.terms_of(k):
                m += scale * random_draws.uniform(seed, name, len(s))
            total += (u @ np.diag(s * m) @ vt).reshape(tau.shape)
        merged[name] = total
    return merged


def test_in_place_mergekit_and_numpy_agree_on_every_tensor_of_a_sam(
    sams: Family, tmp_path: Path
) -> None:
    genome = Genome(sams, (0.6, 0.7), (Term(0, 5, 0.3), Term(1, 7, 0.2), Term(0, 9, 0.1)))
    model = transformers.SamModel.from_pretrained(sams.base_model)
    experts = [Checkpoint.open(expert) for expert in sams.experts]
    base = Checkpoint.open(sams.base_model)
    ResidentModel(model, base, experts, DirectionCache(tmp_path / "factors")).load(genome)
    run_merge(genome.to_mergekit(), str(tmp_path / "out"), MergeOptions(copy_tokenizer=False))
    merged = load_file(tmp_path / "out" / "model.safetensors")
    exact = by_numpy(genome)
    assert exact.keys() == merged.keys()
    kinds = {min(4, value.ndim) for value in exact.values()}
    assert kinds == {1, 2, 3, 4} - {3} and any("rel_pos" in name for name in exact)
    resident = model.state_dict()
    for name, expected in exact.items():
        tolerance = 2e-6 * max(1.0, float(np.abs(expected).max()))
        assert resident[name].numpy() == pytest.approx(expected, abs=tolerance), name
        assert merged[name].numpy() == pytest.approx(expected, abs=tolerance), name


def test_a_run_keeps_pictures_of_what_its_models_find(finished: Path, recipe: Path) -> None:
    pictures = Pictures.read(finished)
    assert pictures is not None
    assert list(pictures.models) == [
        "base",
        *(f"expert: {kind}" for kind in KINDS),
        "best all-round elite",
        "aggregate",
    ]
    assert [each["task"] for each in pictures.samples] == ["discs"] * 4 + ["bars"] * 4
    for sample in pictures.samples:
        assert sample["sample"] >= 6, "holdout"
        for file in (
            sample["image"],
            sample["truth"],
            *(f["file"] for f in sample["found"].values()),
        ):
            with Image.open(pictures.folder / file) as picture:
                assert picture.size == (32, 24)
    before = {path: path.stat().st_mtime_ns for path in (finished / FOLDER).iterdir()}
    main_ok([str(recipe), "--out", str(finished)])
    assert {path: path.stat().st_mtime_ns for path in (finished / FOLDER).iterdir()} == before
    shutil.rmtree(finished / FOLDER)
    main_ok([str(recipe), "--out", str(finished)])
    assert Pictures.read(finished) is not None, "they come again"


def test_the_report_shows_the_masks_and_shares_of_the_experts(finished: Path) -> None:
    (page,) = write_report(finished, formats=["html"])
    text = page.read_text()
    pictures = Pictures.read(finished)
    assert pictures is not None
    shown = len(pictures.samples) * (2 + len(pictures.models))
    assert text.count('<img src="data:image/png;base64,') == shown
    assert 'alt="Mask of sample 6 of discs by aggregate"' in text
    assert "Share of the experts" in text and "100.0%" in text
    shutil.rmtree(finished / FOLDER)
    (page,) = write_report(finished, formats=["html"])
    assert "<img" not in page.read_text()


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_end_and_loads_no_lm_eval(
    recipe: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    start = [sys.executable, "-c", COMMAND, str(recipe), "--out", str(out)]
    process = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(out, 6, process)
    process.kill()
    output, _ = process.communicate()
    assert "loaded: []" in output and "loaded: ['" not in output
    assert 6 <= lines(out) < lines(finished)
    main_ok([str(recipe), "--out", str(out)])
    assert derived(out) == derived(finished)
    assert (out / "summary.md").read_bytes() == (finished / "summary.md").read_bytes()


@pytest.fixture
def on_hub(finished: Path, sams: Family, hub: Hub) -> Iterator[Path]:
    """The finished run over models that are on the Hub."""
    yield over(finished, put_on_hub(hub, sams))


def test_a_pushed_sam_comes_back_with_its_processor_and_a_card_that_works(
    on_hub: Path,
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert command("push", on_hub, "--repo-id", "me/sam-{task}") == 0, capsys.readouterr().err
    model = transformers.SamModel.from_pretrained("me/sam-aggregate")
    assert model.config.vision_config.image_size == 32
    card = ModelCard.load(snapshot_download("me/sam-aggregate") + "/README.md")
    assert card.data.pipeline_tag == "mask-generation"
    assert {entry.task_type for entry in card.data.eval_results or ()} == {"image-segmentation"}
    assert "lm-evaluation-harness" not in card.text and "text-generation" not in card.content
    images = str(Path(on_hub).parent)
    assert images not in card.content and "/images" not in card.content
    assert "| discs | discs | structure | 0-5" in card.text
    (snippet,) = re.findall(r"```python\n(.*?)```", card.text, flags=re.DOTALL)
    Image.new("RGB", (32, 24), "grey").save(tmp_path / "image.png")
    (tmp_path / "snippet.py").write_text(snippet)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    runpy.run_path("snippet.py")
    assert "torch.Size([1, 1, 24, 32])" in capsys.readouterr().out


def test_a_run_on_the_hub_names_no_folder_of_this_machine_and_asks_for_them(
    on_hub: Path, hub: Hub, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("push", on_hub, "--repo-id", "me/the-run", "--what", "journal") == 0
    for content in hub.content("me/the-run", "dataset").values():
        assert str(recipe.parent).encode() not in content
    capsys.readouterr()
    assert command("pull-run", "me/the-run", "--out", tmp_path / "pulled") == 2
    needed = re.findall(r"--path (\S+)=", capsys.readouterr().err)
    assert len(needed) == 2
    given = zip(needed, KINDS, strict=True)
    paths = [part for n, kind in given for part in ("--path", f"{n}={recipe.parent / kind}")]
    assert command("pull-run", "me/the-run", "--out", tmp_path / "pulled", *paths) == 0
    main_ok([str(tmp_path / "pulled" / "recipe.yaml"), "--out", str(tmp_path / "pulled")])
    assert derived(tmp_path / "pulled").keys() == derived(on_hub).keys()
    assert (tmp_path / "pulled" / FILE).read_bytes().count(b"\n") == lines(on_hub)
