"""lm-eval's model around a model of transformers whose prompts may have images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from lm_eval.models.hf_vlms import DEFAULT_IMAGE_PLACEHOLDER as PLACEHOLDER
from lm_eval.models.utils import configure_pad_token, flatten_image_list

from mergekit_cycleqd.engines.answer_sampling import Answers, AnswerSampling, group_by_settings
from mergekit_cycleqd.engines.hf.causal_lm import CausalLM
from mergekit_cycleqd.engines.hf.continuous import ContinuousBatching
from mergekit_cycleqd.errors import CycleQDError

_WITH_IMAGES = 3
"""How many arguments a request with images has; the last of them is a mapping with `visual`."""


class ImageTextLM(CausalLM):
    """A `CausalLM` that also answers prompts with images, as lm-eval's `hf-multimodal` does.

    Requests without images are handled as those of a `CausalLM`. So they can be scored and batched
    continuously, and they need no image processor.
    """

    MULTIMODAL = True  # lm-eval asks for it before a task with images

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        rows: int,
        continuous: ContinuousBatching | None,
        load_processor: Callable[[], Any],
        **prompts: Any,
    ) -> None:
        """Wrap a model for lm-eval.

        Args:
            model: A model of transformers, on its device.
            tokenizer: The model's tokenizer.
            rows: Largest size of a batch.
            continuous: Generates greedy answers to prompts without images.
            load_processor: Loads the processor of images and texts when it is needed.
            prompts: Settings of prompts and answers; see `CausalLM`.
        """
        super().__init__(model, tokenizer, rows, continuous, **prompts)
        self.rows["see"] = rows
        self._load_processor = load_processor

    @cached_property
    def processor(self) -> Any:
        """The processor of images and texts, which pads at the start."""
        processor = self._load_processor()
        processor.tokenizer = configure_pad_token(processor.tokenizer, model_config=self.config)
        processor.tokenizer.padding_side = "left"
        return processor

    def apply_chat_template(
        self, chat_history: list[dict[str, Any]], add_generation_prompt: bool = True
    ) -> str:
        """Render a chat as lm-eval's `hf-multimodal` does, with each image in its place.

        Args:
            chat_history: Messages, in whose texts a placeholder stands for each image.
            add_generation_prompt: Whether the model's turn begins at the end.
        """
        history = [{**message, "content": _parts(message["content"])} for message in chat_history]
        text: str = super().apply_chat_template(history, add_generation_prompt)
        return text

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Answer prompts with and without images.

        Args:
            requests: Requests of lm-eval.
            disable_tqdm: Has no effect: there is no progress bar.

        Returns:
            The answers, cut at the first stop text.

        Raises:
            OutOfMemory: If one request alone does not fit.
            CycleQDError: If a prompt with images is too long.
        """
        seeing = [i for i, request in enumerate(requests) if len(request.args) == _WITH_IMAGES]
        plain = sorted({*range(len(requests))}.difference(seeing))
        texts = dict(zip(plain, super().generate_until([requests[i] for i in plain]), strict=True))
        for asked, places in group_by_settings([requests[i] for i in seeing]):
            sampling = AnswerSampling.of(asked, self.tok_decode(self.eot_token_id, False), self)
            group = [seeing[place] for place in places]
            for place, tokens in self._answers_to([requests[i] for i in group], sampling):
                i = group[place]
                texts[i] = self._text(tuple(tokens), sampling.until)
                self.cache_hook.add_partial("generate_until", requests[i].args, texts[i])
        return [texts[i] for i in range(len(requests))]

    def _answers_to(self, requests: Sequence[Any], sampling: AnswerSampling) -> Answers:
        """Answer requests with images, those with the most images first."""
        order = sorted(range(len(requests)), key=lambda k: _size(requests[k]), reverse=True)
        for places, answers in self._in_batches(
            "see", order, lambda batch: self._see(requests, batch, sampling)
        ):
            yield from zip(places, answers, strict=True)

    def _see(
        self, requests: Sequence[Any], batch: Sequence[int], sampling: AnswerSampling
    ) -> list[list[int]]:
        """Answer one batch of prompts with images. The answers are padded."""
        texts = [requests[k].args[0].replace(PLACEHOLDER, self._image_text) for k in batch]
        images: Any = [_images(requests[k]) for k in batch]
        if self.config.model_type == "llava":  # as in lm-eval
            images = flatten_image_list(images)
        inputs = self.processor(images=images, text=texts, padding=True, return_tensors="pt")
        inputs = inputs.to(self.device, self.model.dtype)
        width = inputs["input_ids"].shape[1]
        if width > (room := self._room(sampling)):
            raise CycleQDError(
                f"a prompt with images has {width} tokens, and the model's context of "
                f"{self.max_length} leaves {room} beside an answer of {sampling.new_tokens}: take "
                "fewer examples (num_fewshot) or shorter answers (gen_kwargs.max_gen_toks)"
            )
        with sampling.drawn_for([[k, requests[k].args[0]] for k in batch], self.device):
            return self._write(inputs, width, self.processor.tokenizer.pad_token_id, sampling)

    @cached_property
    def _image_text(self) -> str:
        """What stands for an image in a prompt of this model."""
        token = getattr(self.processor, "image_token", None)
        if token is None:
            config = self.config
            number = getattr(config, "image_token_id", getattr(config, "image_token_index", None))
            token = PLACEHOLDER if number is None else self.tok_decode([number], False)
        return str(token)


def _size(request: Any) -> tuple[int, int]:
    """Estimate how much memory a prompt takes: by its images, then by its text."""
    return len(_images(request)), len(request.args[0])


def _images(request: Any) -> list[Any]:
    """List the images of a prompt. A task may give one alone."""
    shown = request.args[2]["visual"]
    return list(shown) if isinstance(shown, list | tuple) else [shown]


def _parts(text: str) -> list[dict[str, str]]:
    """Split a text at its placeholders into the parts that a chat template takes."""
    first, *others = text.split(PLACEHOLDER)
    parts = [{"type": "text", "text": first}] if first else []
    for part in others:
        parts.append({"type": "image"})
        parts += [{"type": "text", "text": part}] if part else []
    return parts
