"""Metrics of masks by hand, data that is not what it should be, and what an engine makes of it."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version
from PIL import Image
from transformers.utils import is_torchvision_available

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.out_of_memory import OutOfMemory
from mergekit_cycleqd.engines.vision import Segmenter, VisionEngine
from mergekit_cycleqd.errors import ModelError, RecipeError
from mergekit_cycleqd.evaluators.mask_metrics import METRICS, score_each_mask, score_masks
from mergekit_cycleqd.evaluators.segmentation import SegmentationHarness, prompt_coordinates
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run.prepare import prepare
from tests.support.costly import costly
from tests.support.vision_models import (
    HOLDOUT,
    KINDS,
    SEARCH,
    drawn,
    make_sams,
    save_versions,
    write_images,
    write_vision_recipe,
)

CPU = Engine(kind="vision", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
@costly
def sams(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_sams(tmp_path_factory.mktemp("sams"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for kind in KINDS:
        write_images(folder, kind)
    return folder


@pytest.fixture
def spoilt(images: Path, tmp_path: Path) -> Path:
    """A copy of the images, to be spoilt."""
    return Path(shutil.copytree(images, tmp_path / "data"))


def pair(found: list[list[float]], truth: list[list[int]]) -> Any:
    return np.array(found, np.float32), np.array(truth, bool)


TRUTH = [[1, 1, 0, 0], [1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("metric", "found", "expected"),
    [
        ("iou", [[0.9, 0.9, 0.9, 0], [0.9, 0.2, 0, 0]], 3 / 5),
        ("dice", [[0.9, 0.9, 0.9, 0], [0.9, 0.2, 0, 0]], 6 / 8),
        ("iou", [[0.5, 0, 0, 0], [0, 0, 0, 0]], 0.0),  # half is not likelier than not
        ("1-mae", [[1, 1, 0, 0], [1, 0.5, 0.25, 0]], 1 - 0.75 / 8),
        ("structure", [[1, 1, 0, 0], [1, 1, 0, 0]], 1.0),
        # Nothing found: of the object half is background, found whole; of the region the two single
        # pixels of the left column are even, so that they count as alike.
        ("structure", [[0, 0, 0, 0], [0, 0, 0, 0]], 0.5 * 0.5 + 0.5 * 2 / 8),
        ("weighted_f", [[1, 1, 0, 0], [1, 1, 0, 0]], 1.0),
        # One pixel too many, beside the object: an error of 2 - 0.5 ** (1 / 5), at precision P and
        # recall 1.
        ("weighted_f", [[1, 1, 1, 0], [1, 1, 0, 0]], 2 * (P := 4 / (6 - 0.5**0.2)) / (1 + P)),
    ],
)
def test_metrics_are_what_hand_and_paper_say(
    metric: str, found: list[list[float]], expected: float
) -> None:
    assert score_masks(metric, [pair(found, TRUTH)]) == pytest.approx(expected, abs=1e-6)


def test_the_structure_measure_of_a_half_found_object_by_hand() -> None:
    # Fan et al. (2017): half of object and half of region. The object is four of eight pixels, two
    # of them found. Object part: foreground mean 1/2, deviation 1/sqrt(3): 2m / (m^2 + 1 + s);
    # background found whole: 2 / (1 + 1 + 0) = 1; each weighs 1/2.
    foreground = 2 * 0.5 / (0.25 + 1 + 1 / np.sqrt(3))
    objects = 0.5 * foreground + 0.5 * 1
    # Region part: PySODMetrics cuts at the centre of the object, row 0.5 -> 0 and column 0.5 -> 0,
    # and one further: blocks of 1, 3, 1 and 3 pixels around (1, 1).
    found = [[1, 1, 0, 0], [0, 0, 0, 0]]

    def ssim(x: list[float], y: list[float]) -> float:
        a, b = np.array(x), np.array(y)
        if not a.any() and not b.any():
            return 1.0
        n = max(len(a) - 1, np.spacing(1))
        da, db = a - a.mean(), b - b.mean()
        above = 4 * a.mean() * b.mean() * (da @ db) / n
        below = (a.mean() ** 2 + b.mean() ** 2) * (da @ da + db @ db) / n
        return above / below if above else (1.0 if below == 0 else 0.0)

    blocks = [([1], [1]), ([1, 0, 0], [1, 0, 0]), ([0], [1]), ([0, 0, 0], [1, 0, 0])]
    region = sum(ssim(x, y) * len(x) / 8 for x, y in blocks)
    expected = 0.5 * objects + 0.5 * region
    assert score_masks("structure", [pair(found, TRUTH)]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_score_is_the_mean_over_images_and_a_perfect_mask_is_best(metric: str) -> None:
    _, truth = drawn("discs", 0)
    perfect = (truth.astype(np.float32), truth)
    wrong = (np.roll(truth, 6, axis=1).astype(np.float32), truth)
    assert score_masks(metric, [perfect]) == pytest.approx(1.0, abs=0.01)
    assert score_masks(metric, [wrong]) < 0.9
    both = score_masks(metric, [perfect, wrong])
    assert both == pytest.approx(
        (score_masks(metric, [perfect]) + score_masks(metric, [wrong])) / 2
    )
    mean, values = score_each_mask(metric, [perfect, wrong])
    alone = [score_masks(metric, [perfect]), score_masks(metric, [wrong])]
    assert mean == both and values.tolist() == pytest.approx(alone)


def test_a_box_holds_the_whole_mask_and_a_point_lies_deep_inside() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:7, 3:8] = True
    mask[4, 10] = True
    assert prompt_coordinates(mask, "box") == (3, 2, 10, 6)
    assert prompt_coordinates(mask, "point") == (5, 4)
    edge = np.zeros((5, 5), bool)
    edge[:, 2:] = True
    assert prompt_coordinates(edge, "point") == (3, 1), "the image's own border is an edge too"


def harness(recipe: Path) -> SegmentationHarness:
    found = prepare(recipe).harness
    assert isinstance(found, SegmentationHarness)
    return found


def test_sizes_and_scores_are_of_the_named_samples(
    sams: Family, images: Path, tmp_path: Path
) -> None:
    tasks = harness(write_vision_recipe(tmp_path / "recipe.yaml", sams, images))
    assert tasks.sizes("search") == dict.fromkeys(KINDS, SEARCH)
    assert tasks.sizes("holdout") == dict.fromkeys(KINDS, HOLDOUT)

    class Perfect:
        """Finds exactly what is drawn in the discs, and nothing in the bars."""

        batch_size = 3

        def prepared(self, pictures: Any, prompt: str, places: Any) -> Any:
            return {"images": [np.asarray(picture) for picture in pictures]}

        def masks(self, inputs: Any, label: int) -> Any:
            assert len(inputs["images"]) <= self.batch_size
            known = {drawn("discs", i)[0].tobytes(): drawn("discs", i)[1] for i in range(10)}
            empty = np.zeros((24, 32), np.float32)
            return [known.get(i.tobytes(), empty).astype(np.float32) for i in inputs["images"]]

    for split in ("search", "holdout"):
        scores = tasks.evaluate(Perfect(), split)  # type: ignore[arg-type]
        assert scores["discs"] == pytest.approx(1.0) and scores["bars"] == 0.0


def test_repeats_are_on_images_of_their_own(sams: Family, images: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["evolution"]["reevaluate"] = 2
        for task in content["tasks"]:
            task["samples"] = {"search": "0-2", "again": "3-9"}

    tasks = harness(write_vision_recipe(tmp_path / "recipe.yaml", sams, images, change))
    assert tasks.steady == set(KINDS)
    seen: list[Any] = []

    class Blind:
        batch_size = 10

        def prepared(self, pictures: Any, prompt: str, places: Any) -> Any:
            return {"images": [np.asarray(picture) for picture in pictures]}

        def masks(self, inputs: Any, label: int) -> Any:
            seen.extend(image.tobytes() for image in inputs["images"])
            return [np.zeros((24, 32), np.float32) for _ in inputs["images"]]

    for repeat in range(4):
        tasks.evaluate(Blind(), "search", repeat=repeat)  # type: ignore[arg-type]
    discs = [drawn("discs", number)[0].tobytes() for number in range(10)]
    found = [discs.index(image) for image in seen if image in discs]
    assert found == [0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 4, 5]


@pytest.mark.parametrize("prompt", ["box", "point"])
def test_batches_change_no_mask_and_inputs_are_made_once(
    prompt: str, sams: Family, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(content: dict[str, Any]) -> None:
        for task in content["tasks"]:
            task["metadata"] = {"prompt": prompt}
            task["metric"] = "1-mae"

    recipe = write_vision_recipe(tmp_path / "recipe.yaml", sams, images, change)
    base = Checkpoint.open(sams.base_model)
    experts = [Checkpoint.open(expert) for expert in sams.experts]
    scores = []
    for batch_size in (1, 4):
        engine = VisionEngine(CPU.model_copy(update={"batch_size": batch_size}), base, experts)
        tasks = harness(recipe)
        engine.load(Genome.uniform(sams))
        scores.append(tasks.evaluate(engine.model, "search"))
        monkeypatch.setattr(Segmenter, "prepared", None)
        assert tasks.evaluate(engine.model, "search") == scores[-1]
        engine.load(Genome.from_expert(sams, 0))
        assert tasks.evaluate(engine.model, "search") != scores[-1]
        monkeypatch.undo()
    for kind in KINDS:
        assert scores[0][kind] == pytest.approx(scores[1][kind], abs=1e-5)


def test_where_memory_runs_out_fewer_images_go_through_at_a_time(
    sams: Family, images: Path, tmp_path: Path
) -> None:
    recipe = write_vision_recipe(tmp_path / "recipe.yaml", sams, images)
    segmenter = Segmenter(
        CPU.model_copy(update={"batch_size": 4}), Checkpoint.open(sams.base_model)
    )
    room, sizes = 9, []

    def check(_: Any, args: Any, given: dict[str, Any]) -> None:
        sizes.append(len(given["pixel_values"]))
        if sizes[-1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    segmenter.model.register_forward_pre_hook(check, with_kwargs=True)
    tasks = harness(recipe)
    whole = tasks.evaluate(segmenter, "search")
    assert max(sizes) == 4
    room = 1
    short = tasks.evaluate(segmenter, "search")
    assert {kind: short[kind] for kind in KINDS} == pytest.approx(whole, abs=1e-5)
    sizes.clear()
    tasks.evaluate(segmenter, "search")
    assert set(sizes) == {1}, "the size is remembered"
    room = 0
    with pytest.raises(OutOfMemory, match=r"^one image does not fit in memory on cpu \(CUDA out"):
        tasks.evaluate(segmenter, "search")


def test_a_sam_gives_the_masks_that_its_processor_gives(sams: Family, images: Path) -> None:
    segmenter = Segmenter(CPU, Checkpoint.open(sams.base_model))
    picture = Image.open(images / "discs" / "images" / "00.png")
    _, truth = drawn("discs", 0)
    (mask,) = segmenter.masks(
        segmenter.prepared([picture], "box", [prompt_coordinates(truth, "box")]), 1
    )
    model = transformers.SamModel.from_pretrained(sams.base_model)
    processor = segmenter.processor
    box = [[[float(side) for side in prompt_coordinates(truth, "box")]]]
    inputs = processor(images=picture, input_boxes=box, return_tensors="pt")
    inputs["input_boxes"] = inputs["input_boxes"].float()
    with torch.no_grad():
        found = model(**inputs, multimask_output=False).pred_masks
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    (expected,) = processor.post_process_masks(found, *sizes)
    assert mask.shape == (24, 32) and expected.any() and not expected.all()
    assert np.array_equal(mask > 0.5, expected[0, 0].numpy())


def need_torchvision_before(version: str) -> None:
    if Version(transformers.__version__) < Version(version) and not is_torchvision_available():
        pytest.skip(f"transformers before {version} reads these settings with torchvision only")


def segformer() -> tuple[Any, Any]:
    from transformers.models.segformer.image_processing_pil_segformer import (
        SegformerImageProcessorPil,
    )

    need_torchvision_before("5.22")
    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=8,
        num_labels=3,
    )
    torch.manual_seed(1)
    model = transformers.SegformerForSemanticSegmentation(config)
    return model, SegformerImageProcessorPil(size={"height": 32, "width": 32})


def mask2former() -> tuple[Any, Any]:
    from transformers.models.mask2former.image_processing_pil_mask2former import (
        Mask2FormerImageProcessorPil,
    )

    need_torchvision_before("5.20")
    backbone = transformers.SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        image_size=32,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        num_queries=5,
        num_labels=3,
    )
    torch.manual_seed(1)
    model = transformers.Mask2FormerForUniversalSegmentation(config)
    return model, Mask2FormerImageProcessorPil(size={"height": 32, "width": 32})


@pytest.mark.parametrize("make", [segformer, pytest.param(mask2former, marks=pytest.mark.costly)])
def test_models_that_label_pixels_are_scored_by_one_label(
    make: Callable[[], tuple[Any, Any]], images: Path, tmp_path: Path
) -> None:
    model, processor = make()
    family = save_versions(model, processor, tmp_path, KINDS)
    base = Checkpoint.open(family.base_model)
    engine = VisionEngine(CPU, base, [Checkpoint.open(expert) for expert in family.experts])
    segmenter = engine.model
    assert not segmenter.prompted
    picture = Image.open(images / "discs" / "images" / "00.png")
    inputs = segmenter.prepared([picture, picture], "box", [(0, 0, 1, 1)] * 2)
    parts = [segmenter.masks(inputs, label)[0] for label in range(3)]
    assert parts[0].shape == (24, 32)
    assert np.array_equal(np.sum(parts, axis=0), np.ones((24, 32))), "each pixel has one label"
    engine.load(Genome.from_expert(family, 1))
    expert = Segmenter(CPU, Checkpoint.open(family.experts[1]))
    for name, tensor in expert.model.state_dict().items():
        assert torch.allclose(segmenter.model.state_dict()[name], tensor, atol=1e-6), name
    for label in range(3):
        ours, theirs = (each.masks(inputs, label)[0] for each in (segmenter, expert))
        assert np.array_equal(ours, theirs)


def test_masks_of_many_labels_and_datasets_with_columns_are_read(
    sams: Family, images: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    lines = []
    for number in range(4):
        image, mask = drawn("discs", number)
        Image.fromarray(image).save(folder / f"{number}.png")
        labels = np.where(mask, 7, np.arange(32)[None] % 5).astype(np.uint8)
        Image.fromarray(labels).save(folder / f"{number}-labels.png")
        lines.append(
            f'{{"file_name": "{number}.png", "labels_file_name": "{number}-labels.png"}}\n'
        )
    (folder / "metadata.jsonl").write_text("".join(lines))

    def change(content: dict[str, Any]) -> None:
        content["tasks"][0]["task"] = str(folder)
        content["tasks"][0]["metadata"] = {"label": 7, "mask_column": "labels"}
        content["tasks"][0]["samples"] = {"search": "0-1", "holdout": "2-"}

    tasks = harness(write_vision_recipe(tmp_path / "recipe.yaml", sams, images, change))
    data = tasks._data["discs"]
    assert len(data) == 4
    assert np.array_equal(data.mask(3), drawn("discs", 3)[1])
    assert np.array_equal(np.asarray(data.image(2)), drawn("discs", 2)[0])


def one_fault(recipe: Path) -> str:
    with pytest.raises(RecipeError) as error:
        prepare(recipe)
    (line,) = error.value.faults
    assert "\n" not in line and str(recipe) in line
    return line


def lose(folder: Path) -> None:
    (folder / "bars" / "masks" / "03.png").unlink()


def lose_image(folder: Path) -> None:
    (folder / "bars" / "images" / "03.png").unlink()


def lose_all(folder: Path) -> None:
    shutil.rmtree(folder / "bars" / "masks")


def shrink(folder: Path) -> None:
    path = folder / "bars" / "masks" / "03.png"
    Image.open(path).resize((16, 12)).save(path)


def blacken(folder: Path) -> None:
    path = folder / "bars" / "masks" / "03.png"
    Image.new("L", (32, 24)).save(path)


def cut(folder: Path) -> None:
    path = folder / "bars" / "masks" / "03.png"
    path.write_bytes(b"no picture at all")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lose, "03.png has no mask of its name in"),
        (lose_image, "03.png has no image of its name in"),
        (lose_all, "has no folder masks"),
        (shrink, "the mask of sample 3 must be of its image's size 32x24, got 16x12"),
        (blacken, "the mask of sample 3 is all black"),
        (cut, "the masks file of sample 3 cannot be read"),
        (lambda folder: shutil.rmtree(folder / "bars"), "no dataset"),
    ],
    ids=["mask missing", "image missing", "no masks", "sizes", "empty", "no image", "no folder"],
)
def test_data_that_is_not_as_it_should_be_is_one_line(
    spoil: Callable[[Path], object],
    message: str,
    sams: Family,
    spoilt: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    spoil(spoilt)
    line = one_fault(write_vision_recipe(tmp_path / "recipe.yaml", sams, spoilt))
    assert "tasks[1].task: " in line and message in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "iuo"}, "tasks[0].metric: no metric of masks is named 'iuo'; did you mean"),
        ({"metadata": {"promt": "box"}}, "tasks[0].metadata.promt: unknown key; did you mean"),
        ({"metadata": {"prompt": "mask"}}, "tasks[0].metadata.prompt: must be 'box' or 'point'"),
        ({"samples": {"search": "0-99"}}, "samples.search: reaches beyond the task's 10"),
        ({"num_fewshot": 3}, "num_fewshot: is a setting of lm-eval; leave it out"),
        ({"evaluator": "lm_eval"}, "tasks[0].evaluator: lm_eval needs an engine of language"),
    ],
)
def test_a_recipe_that_cannot_work_is_one_line(
    change: dict[str, Any], message: str, sams: Family, images: Path, tmp_path: Path
) -> None:
    recipe = write_vision_recipe(
        tmp_path / "recipe.yaml", sams, images, lambda content: content["tasks"][0].update(change)
    )
    assert message in one_fault(recipe)


def test_masks_need_an_engine_of_images(sams: Family, images: Path, tmp_path: Path) -> None:
    recipe = write_vision_recipe(
        tmp_path / "recipe.yaml", sams, images, lambda content: content.update(engine={})
    )
    with pytest.raises(RecipeError) as error:
        prepare(recipe)
    assert len(error.value.faults) == 2
    assert "tasks[1].evaluator: segmentation needs an engine of images: engine kind vision" in str(
        error.value
    )


def test_models_that_are_not_of_images_are_refused(family: Family, sams: Family) -> None:
    with pytest.raises(ModelError, match="needs a model of images, got LlamaForCausalLM"):
        Segmenter(CPU, Checkpoint.open(family.base_model))


def test_a_model_without_its_processor_is_refused(sams: Family, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(sams.base_model, tmp_path / "bare"))
    (bare / "processor_config.json").unlink()
    with pytest.raises(ModelError, match=r"preprocessor_config\.json"):
        Segmenter(CPU, Checkpoint.open(str(bare)))


RECIPES = Path(__file__).parents[2] / "recipes"


def test_images_of_the_quickstart_are_drawn_by_seed_and_none_stands_in_two_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(RECIPES / "segmentation-quickstart"))
    kinds = importlib.import_module("kinds")
    seen = set()
    for kind in kinds.KINDS:
        for split in ("base", "train", "search", "holdout"):
            for number in range(8):
                image, mask = kinds.sample(kind, split, number)
                again, _ = kinds.sample(kind, split, number)
                assert np.array_equal(image, again)
                assert image.shape == (48, 48, 3) and 40 <= mask.sum() < 48 * 48
                seen.add(image.tobytes())
    assert len(seen) == len(kinds.KINDS) * 4 * 8


@pytest.mark.parametrize("name", ["segmentation", "segmentation-quickstart", "python-evaluator"])
def test_the_recipes_beside_it_can_be_read(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    assert {task.evaluator for task in recipe.tasks} & {"segmentation", "python"}
