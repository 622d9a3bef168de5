"""Continuous batching of transformers: a finished answer makes room for the next prompt."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib.metadata import version
from typing import Any

import torch
from packaging.version import Version

from mergekit_cycleqd.engines.answer_sampling import Answers, AnswerSampling, Prompts
from mergekit_cycleqd.engines.hf.stop_texts import StopTexts
from mergekit_cycleqd.errors import CycleQDError

NEEDS = "5.20"
"""The oldest version of transformers that this was tested with."""

_CPU_PAGE, _CPU_BATCH_TOKENS = 16, 1024  # on GPUs transformers' defaults suit its kernels


class ContinuousBatching:
    """Generates greedy answers by paged attention.

    The paged cache is made for each evaluation and released after it. So it never holds values of
    earlier weights, and it takes no memory while weights are swapped.
    """

    def __init__(self, model: Any) -> None:
        """Check that a model can be batched continuously.

        Args:
            model: A model of transformers, on its device.

        Raises:
            CycleQDError: If its architecture or its generation settings do not allow it.
        """
        self._model = model
        self._config = deepcopy(model.generation_config)
        self._config.update(do_sample=False, temperature=None, top_p=None, top_k=None)
        ends = self._config.eos_token_id
        self._ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        logging.getLogger("ContinuousBatchingLogger").setLevel(
            logging.CRITICAL
        )  # this class reports errors itself
        attention = model.config._attn_implementation
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about settings that are refused below
            processing = self._manager(1, 2).logit_processor.do_processing
        if (
            model.config._attn_implementation != attention
        ):  # transformers restores it only after a run
            model.set_attn_implementation(attention)
        if processing:
            raise CycleQDError("the model's generation settings change its probabilities")

    def _manager(self, rows: int, length: int) -> Any:
        from transformers import ContinuousBatchingConfig

        settings: dict[str, Any] = {}
        if self._model.device.type == "cpu":
            settings = {"page_size": _CPU_PAGE, "max_batch_tokens": max(rows, _CPU_BATCH_TOKENS)}
        config = ContinuousBatchingConfig(
            max_requests_per_batch=rows, drop_unsupported_processors=False, **settings
        )
        config.num_blocks = rows * -(-length // config.page_size)
        try:
            return self._model.init_continuous_batching(self._config, config)
        except (AttributeError, ValueError) as error:
            raise CycleQDError(f"transformers refuses it: {error}") from error

    def answers(
        self, prompts: Prompts, sampling: AnswerSampling, stops: StopTexts, rows: int
    ) -> Answers:
        """Generate answers, and yield each as soon as it is finished.

        Args:
            prompts: Prompts as token ids.
            sampling: Settings, which must be greedy.
            stops: Texts that end an answer, in addition to the model's end tokens.
            rows: Largest number of requests at a time.

        Raises:
            RuntimeError: If transformers fails, also for lack of memory.
        """
        length = max(map(len, prompts)) + sampling.new_tokens
        ending = frozenset(stops.ending)
        with self._running(rows, length) as manager:
            places = {
                manager.add_request(
                    list(prompt),
                    max_new_tokens=sampling.new_tokens,
                    eos_token_id=[*self._ends, *stops.alone],
                    streaming=bool(stops.ending),
                ): place
                for place, prompt in enumerate(prompts)
            }
            while places:
                found = manager.get_result(timeout=1)
                if found is None:
                    if not manager.is_running():
                        raise RuntimeError("continuous batching ended before all answers")
                elif found.error is not None:
                    raise RuntimeError(found.error)
                elif found.request_id in places:
                    tokens = found.generated_tokens
                    stopped = bool(tokens) and tokens[-1] in ending and stops.within(tokens)
                    if stopped and not found.is_finished():
                        manager.cancel_request(found.request_id)
                    if stopped or found.is_finished():
                        yield places.pop(found.request_id), tokens

    @contextmanager
    def _running(self, rows: int, length: int) -> Iterator[Any]:
        gc.freeze()  # transformers collects garbage twice at the end: spare older objects
        try:
            manager = self._manager(rows, length)
            manager.start()
            try:
                yield manager
            finally:
                manager.stop(hard_stop=True)
                manager.destroy()
        finally:
            gc.unfreeze()


def continuous_faults() -> list[str]:
    """Say what continuous batching lacks here and how to get it, one line each."""
    have = version("transformers")
    if Version(have) >= Version(NEEDS):
        return []
    return [f"needs transformers {NEEDS} or later, got {have}: pip install 'transformers>={NEEDS}'"]


def continuous_is_faster(model: Any) -> bool:
    """Whether continuous batching is expected to be faster than padded batches.

    On CUDA with flash attention, rows of different lengths go through one kernel without padding.
    Without flash attention the mask covers all pages. On a CPU it is slower.
    """
    from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

    return (
        not continuous_faults()
        and model.device.type == "cuda"
        and model.dtype in (torch.bfloat16, torch.float16)
        and (is_flash_attn_2_available() or is_flash_attn_3_available())
    )
