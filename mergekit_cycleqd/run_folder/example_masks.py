"""Example masks of a run's models, kept in the run folder for the report."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.system.atomic_write import write_atomically

FOLDER = "pictures"
INDEX = "index.json"
_SHOWN = ("base", "expert: ", "best all-round elite", "aggregate")
_VERSION = 1


LONGEST_SIDE = 256
"""In pixels; a report holds all of its pictures."""


@dataclass(frozen=True)
class Example:
    """One sample and one model.

    Attributes:
        task: The sample's task.
        sample: Its number.
        image: PNG of the sample.
        truth: PNG of what is to be found.
        found: PNG of what the model finds.
        score: Of this sample alone, by the task's metric.
    """

    task: str
    sample: int
    image: bytes
    truth: bytes
    found: bytes
    score: float


def png(pixels: NDArray[np.generic]) -> bytes:
    """A small picture.

    Args:
        pixels: (height, width, 3) bytes of an image; or (height, width), from 0 or False (black)
            to 1 or True (white).
    """
    from PIL import Image

    if pixels.ndim == 2:
        pixels = np.round(255 * pixels.astype(np.float32)).astype(np.uint8)
    picture = Image.fromarray(np.asarray(pixels, np.uint8))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def shown_models(search: CycleQD) -> list[tuple[str, Genome]]:
    """The models of which a report has pictures, each with its name."""
    models = compared_models(search)
    return [(name, genome) for name, genome in models if name.startswith(_SHOWN)]


def draw(folder: Path, search: CycleQD, examples: Callable[[Genome], list[Example]]) -> None:
    """Keep what the models make of a few samples; nothing is done where that is there already.

    The index is written last, so that one that is there tells of whole files.

    Args:
        folder: The run folder.
        search: The finished search.
        examples: Evaluates one model.
    """
    models = shown_models(search)
    wanted = {name: genome.id for name, genome in models}
    known = Pictures.read(folder)
    if known is not None and known.models == wanted:
        return
    place = folder / FOLDER
    samples: dict[str, Any] = {}
    for number, (name, genome) in enumerate(models):
        for example in examples(genome):
            stem = f"{example.task}-{example.sample}"
            files = {"image": f"{stem}-image.png", "truth": f"{stem}-truth.png"}
            entry = samples.setdefault(
                stem, {"task": example.task, "sample": example.sample, **files, "found": {}}
            )
            found = f"{stem}-{number}.png"
            entry["found"][name] = {"file": found, "score": example.score}
            write_atomically(place / found, example.found)
            write_atomically(place / files["image"], example.image)
            write_atomically(place / files["truth"], example.truth)
    content = {"version": _VERSION, "models": wanted, "samples": list(samples.values())}
    write_atomically(place / INDEX, json.dumps(content, indent=1) + "\n")


@dataclass(frozen=True)
class Pictures:
    """What `draw` kept.

    Attributes:
        models: Genome id of each shown model, by its name.
        samples: A mapping per sample: `task`, `sample`, files `image` and `truth`, and `found` by
            model with `file` and `score`.
        folder: Where the files are.
    """

    models: Mapping[str, str]
    samples: tuple[Mapping[str, Any], ...]
    folder: Path

    @classmethod
    def read(cls, folder: Path) -> Pictures | None:
        """The pictures of a run folder; None where there are none, or they are not readable."""
        place = folder / FOLDER
        try:
            content = json.loads((place / INDEX).read_text(encoding="utf-8"))
            if content["version"] != _VERSION:
                return None
            models = {str(name): str(genome) for name, genome in content["models"].items()}
            return cls(models, tuple(_entry(each, models) for each in content["samples"]), place)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


def _entry(told: Mapping[str, Any], models: Mapping[str, str]) -> dict[str, Any]:
    """One sample of an index, whose files can only be pictures beside it."""
    found = {
        name: {
            "file": _picture(told["found"][name]["file"]),
            "score": float(told["found"][name]["score"]),
        }
        for name in models
    }
    files = {key: _picture(told[key]) for key in ("image", "truth")}
    return {"task": str(told["task"]), "sample": int(told["sample"]), **files, "found": found}


def _picture(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*\.png", name) is None:
        raise ValueError(f"{name!r} is no picture beside the index")
    return name
