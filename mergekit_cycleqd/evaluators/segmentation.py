"""Scoring by masks: how well a model of images finds what is marked in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.engines.vision import Prompt, Segmenter
from mergekit_cycleqd.errors import nearest
from mergekit_cycleqd.evaluators.mask_data import MaskData, MaskOptions, read_options
from mergekit_cycleqd.evaluators.mask_metrics import METRICS, Pair, missing_library, score
from mergekit_cycleqd.evaluators.task_samples import SampledHarness, prepare_all
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.example_masks import Example, png
from mergekit_cycleqd.search.early_stop import EntryThresholds

KEPT_BYTES = 2 * 2**30
"""How much of the prepared images stays in memory for the next genome: the search's first ones."""

EXAMPLES = 4
"""How many samples of a task the report shows."""


@dataclass(frozen=True)
class _Truth:
    """What is to be found in one image; the mask takes a bit per pixel."""

    bits: NDArray[np.uint8]
    shape: tuple[int, int]
    place: tuple[int, ...]

    @classmethod
    def of(cls, mask: NDArray[np.bool_], prompt: Prompt) -> _Truth:
        return cls(np.packbits(mask), (mask.shape[0], mask.shape[1]), place(mask, prompt))

    @property
    def mask(self) -> NDArray[np.bool_]:
        height, width = self.shape
        flat = np.unpackbits(self.bits, count=height * width)
        return flat.reshape(self.shape).astype(np.bool_)


class SegmentationHarness(SampledHarness):
    """Tasks of images and masks; every image is evaluated by itself, in batches of the model's.

    Inputs are made of images for the first genome, and kept for the others as far as there is room.
    """

    illustrated = True

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Find all pairs and read all masks, without any model.

        Args:
            tasks: Those of a recipe that are evaluated so.

        Raises:
            RecipeError: With one line per fault, each with the path to its key.
        """
        super().__init__(tasks)
        self._data: dict[str, MaskData] = {}
        self._options: dict[str, MaskOptions] = {}
        self.steady = frozenset(self._tasks)
        self._truths: dict[str, dict[int, _Truth]] = {}
        self._inputs: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._room = KEPT_BYTES
        missing = missing_library()
        prepare_all(tasks, self._prepare, [f"tasks: {missing}"] if missing else [])

    def _prepare(self, task: Task) -> Iterator[str]:
        if task.metric not in METRICS:
            known = nearest(task.metric, METRICS)
            yield f"metric: no metric of masks is named {task.metric!r}{known}"
        options = read_options(task.metadata)
        data = MaskData(task.task, options)
        yield from self._samples.add(task, lambda ids: ids.resolve(len(data)))
        self._data[task.name] = data
        self._options[task.name] = options
        self._truths[task.name] = {
            number: _Truth.of(data.mask(number), options.prompt)
            for number in sorted(self._samples.used(task.name))
        }

    def evaluate(
        self, model: Segmenter, split: Split, floors: EntryThresholds | None = None, repeat: int = 0
    ) -> dict[str, float]:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        EntryThresholds are looked at after each task.
        """
        scores: dict[str, float] = {}
        for name in self._samples.tasks(split):
            ids = self._samples.of(name, split, repeat)
            scores[name] = score(self._tasks[name].metric, self._pairs(model, name, ids))
            if floors is not None:
                floors.check(
                    {task: (scores.get(task, 0.0), scores.get(task, 1.0)) for task in self._tasks}
                )
        return scores

    def examples(self, model: Segmenter) -> list[Example]:
        """The first few samples of each task, of its holdout where it has one."""
        shown = []
        for name, task in self._tasks.items():
            split: Split = "holdout" if task.samples.holdout is not None else "search"
            ids = self._samples.of(name, split)[:EXAMPLES]
            for number, pair in zip(ids, self._pairs(model, name, ids), strict=True):
                image = np.asarray(self._data[name].image(number))
                value = score(task.metric, [pair])
                shown.append(Example(name, number, png(image), png(pair[1]), png(pair[0]), value))
        return shown

    def _pairs(self, model: Segmenter, task: str, ids: Sequence[int]) -> Iterator[Pair]:
        label = self._options[task].label
        for start in range(0, len(ids), model.batch_size):
            batch = ids[start : start + model.batch_size]
            inputs = self._prepared(model, task, batch)
            for number, mask in zip(
                batch, model.masks(inputs, 1 if label is None else label), strict=True
            ):
                yield mask, self._truths[task][number].mask

    def _prepared(self, model: Segmenter, task: str, batch: Sequence[int]) -> Any:
        key = (task, tuple(batch))
        if key in self._inputs:
            return self._inputs[key]
        data, truths = self._data[task], self._truths[task]
        inputs = model.prepared(
            [data.image(number) for number in batch],
            self._options[task].prompt,
            [truths[number].place for number in batch],
        )
        size = sum(getattr(value, "nbytes", 0) for value in inputs.values())
        if size <= self._room:
            self._room -= size
            self._inputs[key] = inputs
        return inputs


def place(mask: NDArray[np.bool_], prompt: Prompt) -> tuple[int, ...]:
    """Where a model is asked to look.

    Args:
        mask: (height, width), not empty.
        prompt: ``box``: around all of the mask; ``point``: its pixel that is farthest from its
            edge, the first of them in reading order.

    Returns:
        (left, top, right, bottom), all within the mask's rows and columns; or (x, y).
    """
    if prompt == "box":
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
    from scipy.ndimage import distance_transform_edt  # comes with the metrics

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), mask.shape)
    return int(column), int(row)
