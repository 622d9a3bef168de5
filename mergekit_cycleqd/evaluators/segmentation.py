"""Score segmentation models: compare a model's masks with the true masks of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.engines.mask_loss import MaskSample, answered
from mergekit_cycleqd.engines.vision import Prompt, Segmenter
from mergekit_cycleqd.errors import nearest
from mergekit_cycleqd.evaluators.base import OwnAnswers, Positions, Scored
from mergekit_cycleqd.evaluators.mask_data import MaskData, MaskOptions, read_mask_options
from mergekit_cycleqd.evaluators.mask_metrics import (
    METRICS,
    MaskPair,
    missing_library,
    score_each_mask,
    score_masks,
)
from mergekit_cycleqd.evaluators.task_samples import SampledHarness, prepare_all
from mergekit_cycleqd.recipe.measures import reported_name
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.example_masks import Example, png
from mergekit_cycleqd.search.early_stop import EntryThresholds

KEPT_BYTES = 2 * 2**30
"""Bytes of prepared images that stay in memory for later genomes. The first ones are kept."""

EXAMPLES = 4
"""Number of samples per task that the report shows."""


@dataclass(frozen=True)
class _Truth:
    """The true mask of one image, stored as one bit per pixel, and the prompt made from it.

    Attributes:
        bits: The mask, packed.
        shape: (height, width).
        coordinates: Those of the prompt, from `prompt_coordinates`.
    """

    bits: NDArray[np.uint8]
    shape: tuple[int, int]
    coordinates: tuple[int, ...]

    @classmethod
    def of(cls, mask: NDArray[np.bool_], prompt: Prompt) -> _Truth:
        return cls(
            np.packbits(mask), (mask.shape[0], mask.shape[1]), prompt_coordinates(mask, prompt)
        )

    @property
    def mask(self) -> NDArray[np.bool_]:
        height, width = self.shape
        flat = np.unpackbits(self.bits, count=height * width)
        return flat.reshape(self.shape).astype(np.bool_)


class SegmentationHarness(SampledHarness):
    """Tasks of images and masks. Images are scored one by one, and segmented in batches.

    The model's inputs are prepared for the first genome. Up to `KEPT_BYTES` of them are kept.
    """

    illustrated = True

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Find all pairs and read all masks, without any model.

        Args:
            tasks: The recipe's tasks of this evaluator.

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
        for key, metric in [("metric", task.metric), *(("measures", m) for m in task.reports)]:
            if metric not in METRICS:
                yield f"{key}: no metric of masks is named {metric!r}{nearest(metric, METRICS)}"
        options = read_mask_options(task.metadata)
        data = MaskData(task.task, options)
        yield from self._samples.add(task, lambda ids: ids.resolve(len(data)))
        self._data[task.name] = data
        self._options[task.name] = options
        self._truths[task.name] = {
            number: _Truth.of(data.mask(number), options.prompt)
            for number in sorted(self._samples.used(task.name))
        }

    def evaluate(
        self,
        model: Segmenter,
        split: Split,
        thresholds: EntryThresholds | None = None,
        repeat: int = 0,
        only: Positions | None = None,
    ) -> Scored:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        The thresholds are checked after each task.
        """
        scores = Scored()
        for name, ids in self._samples.chosen(split, repeat, only).items():
            task = self._tasks[name]
            pairs = list(self._pairs(model, name, ids)) if task.reports else None
            for key, metric in {
                name: task.metric,
                **{reported_name(name, metric): metric for metric in task.reports},
            }.items():
                every = pairs or self._pairs(model, name, ids)
                scores[key], values = score_each_mask(metric, every)
                if key == name:
                    scores.samples[name] = values
            if thresholds is not None:
                thresholds.check(
                    {task: (scores.get(task, 0.0), scores.get(task, 1.0)) for task in self._tasks}
                )
        return scores

    def examples(self, model: Segmenter) -> list[Example]:
        """Draw the first few samples of each task: of holdout if it has one, else of search."""
        shown = []
        for name, task in self._tasks.items():
            split: Split = "holdout" if task.samples.holdout is not None else "search"
            ids = self._samples.of(name, split)[:EXAMPLES]
            for number, pair in zip(ids, self._pairs(model, name, ids), strict=True):
                image = np.asarray(self._data[name].image(number))
                value = score_masks(task.metric, [pair])
                shown.append(Example(name, number, png(image), png(pair[1]), png(pair[0]), value))
        return shown

    def fit_fault(self, task: str) -> str:
        """Say why founders cannot be fitted to a task: nothing, since every mask will do."""
        return ""

    def own_answers(self, model: Segmenter, task: str, *, fitted: bool) -> OwnAnswers:
        """Let a model segment a task's images: see `Harness.own_answers`."""
        ids = self._samples.fit(task) if fitted else self._samples.of(task, "search")
        found: list[MaskSample] = []
        for start in range(0, len(ids), model.batch_size):
            batch = ids[start : start + model.batch_size]
            found += answered(model, self._prepared(model, task, batch))
        return OwnAnswers(tuple(found), len(ids))

    def _pairs(self, model: Segmenter, task: str, ids: Sequence[int]) -> Iterator[MaskPair]:
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
            [truths[number].coordinates for number in batch],
        )
        size = sum(getattr(value, "nbytes", 0) for value in inputs.values())
        if size <= self._room:
            self._room -= size
            self._inputs[key] = inputs
        return inputs


def prompt_coordinates(mask: NDArray[np.bool_], prompt: Prompt) -> tuple[int, ...]:
    """Compute the coordinates of a prompt from the true mask.

    Args:
        mask: The true mask, (height, width), not empty.
        prompt: ``box``: the box around the mask. ``point``: the mask's pixel that is farthest from
            its edge; of several, the first in reading order.

    Returns:
        The box, (left, top, right, bottom), with both edges inside it; or the point, (x, y).
    """
    if prompt == "box":
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
    from scipy.ndimage import distance_transform_edt  # comes with the metrics

    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), mask.shape)
    return int(column), int(row)
