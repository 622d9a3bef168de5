"""Read pairs of an image and the true mask of its object, through the library `datasets`."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, ValidationError

from mergekit_cycleqd.errors import first_line, nearest
from mergekit_cycleqd.evaluators.task_samples import TaskFault
from mergekit_cycleqd.recipe.section import Strict

IMAGES, MASKS = "images", "masks"
_OF_LABELS = ("L", "P", "I", "I;16")  # Pillow's modes
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


class MaskOptions(Strict):
    """The keys that `metadata` of a segmentation task may hold.

    Attributes:
        prompt: The prompt taken from the true mask: ``box`` around it, or the ``point`` in it that
            is farthest from its edge. Models that label pixels take no prompt.
        label: The object's number in masks with several labels, and among the model's labels. None:
            pixels brighter than half of the mask's brightest, and the model's label 1.
        split: Split of the dataset.
        revision: Revision of a dataset on the Hub.
        image_column: Column of the dataset with the images.
        mask_column: Column of the dataset with the masks.
    """

    prompt: Literal["box", "point"] = "box"
    label: int | None = Field(default=None, ge=0)
    split: str = "train"
    revision: str | None = None
    image_column: str = "image"
    mask_column: str = "mask"


def read_mask_options(metadata: Mapping[str, Any] | None) -> MaskOptions:
    """Read the options of a segmentation task from its `metadata`.

    Raises:
        TaskFault: If a key is unknown, or a value is not valid.
    """
    try:
        return MaskOptions.model_validate(metadata or {})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            near = nearest(key, list(MaskOptions.model_fields))
            raise TaskFault(f"metadata.{key}: unknown key{near}") from None
        message = first["msg"].replace("Input should", "must")
        raise TaskFault(f"metadata.{key}: {message}, got {first['input']!r}") from None


class MaskData:
    """The pairs of one task, numbered from 0. Each is read from disk when it is asked for."""

    def __init__(self, source: str, options: MaskOptions) -> None:
        """Find the pairs.

        Args:
            source: A folder with `images` and `masks`, whose files have the same names up to the
                ending; or another source that `datasets` loads: a folder with a metadata file, or a
                Hub id.
            options: Options of the task.

        Raises:
            TaskFault: If there is no such data, or an image has no mask.
        """
        self._label = options.label
        folder = Path(source)
        if (folder / IMAGES).is_dir() or (folder / MASKS).is_dir():
            self._rows = _pair_files(folder)
            self._columns = (IMAGES, MASKS)
        elif folder.is_dir() and not any((folder / name).is_file() for name in _METADATA):
            raise TaskFault(
                f"task: {source} must hold the folders {IMAGES} and {MASKS}, or a dataset with one "
                f"of {', '.join(_METADATA)}"
            )
        else:
            self._rows = _load_rows(source, options)
            self._columns = (options.image_column, options.mask_column)

    def __len__(self) -> int:
        """Count the pairs of image and mask."""
        return len(self._rows)

    def image(self, number: int) -> Image.Image:
        """Read an image, in RGB.

        Raises:
            TaskFault: If the image cannot be read.
        """
        with self._opened(number, self._columns[0]) as stored:
            return stored.convert("RGB")

    def mask(self, number: int) -> NDArray[np.bool_]:
        """Read the true mask of an image.

        Returns:
            The mask, (height, width), of the image's size.

        Raises:
            TaskFault: If the mask cannot be read, differs from the image in size, or is empty.
        """
        with self._opened(number, self._columns[0]) as image:
            size = image.size
        with self._opened(number, self._columns[1]) as stored:
            if stored.size != size:
                raise TaskFault(
                    f"task: the mask of sample {number} must be of its image's size "
                    f"{size[0]}x{size[1]}, got {stored.size[0]}x{stored.size[1]}"
                )
            if self._label is None or stored.mode not in _OF_LABELS:
                values = np.asarray(stored.convert("L"))
            else:
                values = np.asarray(stored)
        if self._label is None:
            mask = values * 2.0 > values.max()
        else:
            mask = values == self._label
        if not mask.any():
            what = "all black" if self._label is None else f"without the label {self._label}"
            raise TaskFault(
                f"task: the mask of sample {number} is {what}, so that there is nothing to find; "
                "leave it out of samples"
            )
        return np.asarray(mask)

    @contextmanager
    def _opened(self, number: int, column: str) -> Iterator[Image.Image]:
        stored = self._rows[number][column]
        content = stored["bytes"]
        try:
            with Image.open(stored["path"] if content is None else io.BytesIO(content)) as image:
                yield image
        except OSError as error:  # includes Pillow's errors, also those while pixels are read
            raise TaskFault(
                f"task: the {column} file of sample {number} cannot be read: {error}"
            ) from None


def _pair_files(folder: Path) -> Any:
    """Pair the images of a folder with their masks, by name."""
    from datasets import Dataset  # seconds to import
    from datasets import Image as ImageFeature

    found: list[dict[str, Path]] = []
    for part in (IMAGES, MASKS):
        if not (folder / part).is_dir():
            raise TaskFault(f"task: {folder} has no folder {part}; images need masks beside them")
        files: dict[str, Path] = {}
        for path in sorted((folder / part).iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            if path.stem in files:
                raise TaskFault(f"task: {folder / part} has two files named {path.stem}")
            files[path.stem] = path
        found.append(files)
    images, masks = found
    if lone := sorted(images.keys() - masks.keys()):
        raise TaskFault(
            f"task: {folder / IMAGES}: {images[lone[0]].name} has no mask of its name in "
            f"{folder / MASKS}{_and_more(lone)}"
        )
    if lone := sorted(masks.keys() - images.keys()):
        raise TaskFault(
            f"task: {folder / MASKS}: {masks[lone[0]].name} has no image of its name in "
            f"{folder / IMAGES}{_and_more(lone)}"
        )
    if not images:
        raise TaskFault(f"task: {folder / IMAGES} is empty")
    columns = {IMAGES: images, MASKS: masks}
    rows = Dataset.from_dict(
        {
            name: [os.fspath(files[stem]) for stem in sorted(images)]
            for name, files in columns.items()
        }
    )
    for name in columns:
        rows = rows.cast_column(name, ImageFeature(decode=False))
    return rows


def _and_more(names: list[str]) -> str:
    return f", nor have {len(names) - 1} more" if len(names) > 1 else ""


def _load_rows(source: str, options: MaskOptions) -> Any:
    from datasets import Image as ImageFeature
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    try:
        rows = load_dataset(source, split=options.split, revision=options.revision)
    except Exception as error:
        raise TaskFault(
            f"task: no dataset {source!r} to be had ({type(error).__name__}: {first_line(error)}); "
            "name a folder with images and masks, or a Hub id"
        ) from None
    for key in ("image_column", "mask_column"):
        name = getattr(options, key)
        if name not in rows.column_names:
            raise TaskFault(f"metadata.{key}: no column {name!r}{nearest(name, rows.column_names)}")
        if not isinstance(rows.features[name], ImageFeature):
            raise TaskFault(f"metadata.{key}: the column {name!r} does not hold images")
        rows = rows.cast_column(name, ImageFeature(decode=False))
    return rows
