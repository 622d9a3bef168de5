"""Engine `vision`: a model of transformers that segments images."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL.Image import Image

from mergekit_cycleqd.checkpoints.advice import without_advice
from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.foreign_config import without_adapters
from mergekit_cycleqd.engines.backward.learner import Learner
from mergekit_cycleqd.engines.device import device_map_settings, device_of
from mergekit_cycleqd.engines.image_class import image_class
from mergekit_cycleqd.engines.mask_loss import MaskLoss
from mergekit_cycleqd.engines.out_of_memory import MemoryGuard, halve_batch
from mergekit_cycleqd.engines.resident_engine import ResidentEngine
from mergekit_cycleqd.errors import CycleQDError, ModelError, first_line
from mergekit_cycleqd.recipe.engine import Engine

Prompt = Literal["box", "point"]
BATCH_SIZE = {"cpu": 16, "cuda": 8}
_SIZES = ("original_sizes", "reshaped_input_sizes")
_PROMPT_INPUTS = ("input_boxes", "input_points")


class Segmenter:
    """A model and its processor: they take images and give masks.

    Attributes:
        model: The model of transformers.
        processor: Makes the model's inputs from images.
        device: Device of the model.
        batch_size: How many images are prepared at a time. After memory ran out, fewer go through
            the model at a time.
        prompted: Whether the model needs a box or a point in the image, as SAM does; else it labels
            pixels.
    """

    def __init__(self, engine: Engine, base: Checkpoint) -> None:
        """Load the model of a checkpoint.

        Args:
            engine: The recipe's section.
            base: Checkpoint of the model, with the settings of its processor.

        Raises:
            ModelError: If the model does not segment images, or has no processor.
        """
        kind = image_class(base)
        self.device = device_of(engine)
        with without_adapters():
            self.model = kind.from_pretrained(
                base.folder, dtype=engine.dtype, **device_map_settings(engine)
            ).eval()
        self.prompted = "input_boxes" in inspect.signature(self.model.forward).parameters
        self.processor = _processor(base, prompted=self.prompted)
        size = engine.batch_size
        self.batch_size = BATCH_SIZE.get(self.device.type, 8) if size == "auto" else size
        self._rows = self.batch_size

    def prepared(
        self, images: Sequence[Image], prompt: Prompt, places: Sequence[Sequence[int]]
    ) -> dict[str, Any]:
        """Make the inputs of a batch, on the CPU, for use with any weights.

        Args:
            images: RGB images.
            prompt: Whether places are boxes or points. Only a `prompted` model needs them.
            places: Per image a box (left, top, right, bottom) or a point (x, y), in pixels.
        """
        if not self.prompted:
            inputs = dict(self.processor(images=list(images), return_tensors="pt"))
            return {**inputs, "original_sizes": [image.size[::-1] for image in images]}
        asked: dict[str, Any] = {"input_boxes": [[[float(v) for v in p]] for p in places]}
        if prompt == "point":
            asked = {
                "input_points": [[[[float(v) for v in p]]] for p in places],
                "input_labels": [[[1]] for _ in places],
            }
        return dict(self.processor(images=list(images), return_tensors="pt", **asked))

    def masks(self, inputs: Mapping[str, Any], label: int) -> list[NDArray[np.float64]]:
        """Segment a batch.

        Args:
            inputs: The result of `prepared`.
            label: Label of the object, for a model that labels pixels.

        Returns:
            Per image an array of the original (height, width): the probability, 0 to 1, that each
            pixel belongs to the object. A model that labels pixels gives only 0 and 1.

        Raises:
            CycleQDError: If the model gives NaN.
            OutOfMemory: If one image alone does not fit.
        """
        found: list[NDArray[np.float64]] = []
        while len(found) < len(inputs["original_sizes"]):
            where = slice(len(found), len(found) + self._rows)
            with MemoryGuard() as guard:
                found += self._masks({key: value[where] for key, value in inputs.items()}, label)
            if guard.ran_out is not None:
                self._rows = halve_batch(self._rows, "one image", self.device, guard.ran_out)
        return found

    def logits(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """Compute what masks are made of, in float32, with derivatives.

        Args:
            inputs: The result of `prepared`.

        Returns:
            Logits of the object, of shape (images, 1, height, width), or of all labels, (images,
            labels, height, width), at the size in which the model gives them.

        Raises:
            ModelError: If the model gives masks of another kind.
        """
        on_device = {key: self._moved(key, v) for key, v in inputs.items() if key not in _SIZES}
        if self.prompted:
            found = self.model(**on_device, multimask_output=False).pred_masks[:, 0]
        else:
            found = getattr(self.model(**on_device), "logits", None)
        if found is None:
            raise ModelError(
                f"{type(self.model).__name__} gives no logits of labels for each pixel, which a "
                "fit needs; leave out the founders of kind fit"
            )
        logits: torch.Tensor = found.float()
        return logits

    @torch.no_grad()
    def _masks(self, inputs: Mapping[str, Any], label: int) -> list[NDArray[np.float64]]:
        on_device = {key: self._moved(key, v) for key, v in inputs.items() if key not in _SIZES}
        if not self.prompted:
            output = self.model(**on_device)
            labels = self.processor.post_process_semantic_segmentation(
                output, target_sizes=inputs["original_sizes"]
            )
            return [(labelled == label).double().cpu().numpy() for labelled in labels]
        output = self.model(**on_device, multimask_output=False)
        sizes = [inputs[key] for key in _SIZES if key in inputs]
        found = self.processor.post_process_masks(
            output.pred_masks.float().cpu(), *sizes, binarize=False
        )
        masks = [logits[0, 0].double().sigmoid().numpy() for logits in found]
        if any(np.isnan(mask).any() for mask in masks):
            raise CycleQDError("the model's masks have NaN values")
        return masks

    def _moved(self, key: str, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if not value.is_floating_point():
            return value.to(self.device)
        # Boxes and points stay in float32: in 16 bits they would be wrong by pixels.
        dtype = torch.float32 if key in _PROMPT_INPUTS else self.model.dtype
        return value.to(self.device, dtype)


def _processor(base: Checkpoint, *, prompted: bool) -> Any:
    auto = transformers.AutoProcessor if prompted else transformers.AutoImageProcessor
    wanted = "post_process_masks" if prompted else "post_process_semantic_segmentation"
    try:
        with without_advice():
            processor = auto.from_pretrained(base.folder)
    except (ImportError, OSError, ValueError) as error:
        raise ModelError(
            f"{base.name}: needs the settings of its image processor, preprocessor_config.json, "
            f"beside its weights ({first_line(error, 500)})"
        ) from None
    if not hasattr(processor, wanted):
        raise ModelError(
            f"{base.name}: engine kind vision needs a model that segments images, got "
            f"{base.config.get('architectures', ['none'])[0]}"
        )
    return processor


class VisionEngine(ResidentEngine):
    """An engine with a model that segments images; its `model` is a `Segmenter`."""

    def __init__(self, engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> None:
        """Load the base model and keep the experts' tensors; see `ResidentEngine`."""
        super().__init__(Segmenter, engine, base, experts)

    def learner(self) -> Learner:
        """Give what fits the weights of experts to masks: see `ModelEngine.learner`."""
        return Learner(self._resident, MaskLoss(self.model))
