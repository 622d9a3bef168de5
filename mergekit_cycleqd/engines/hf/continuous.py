"""Generation by transformers' continuous batching: a row that ends makes room for the next."""

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
"""The first version of transformers that this was tried with."""

_CPU_PAGE, _CPU_BATCH_TOKENS = 16, 1024  # elsewhere transformers' own, which suit its kernels


class ContinuousBatching:
    """Greedy answers by paged attention.

    The cache of pages is made for each evaluation and given free after it: it can hold nothing of
    a model whose weights were replaced, and weights are swapped while it takes no memory.
    """

    def __init__(self, model: Any) -> None:
        """Use a model of transformers.

        Args:
            model: On its device.

        Raises:
            CycleQDError: If its architecture or its own generation settings do not allow it.
        """
        self._model = model
        self._config = deepcopy(model.generation_config)
        self._config.update(do_sample=False, temperature=None, top_p=None, top_k=None)
        ends = self._config.eos_token_id
        self._ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)  # errors are ours
        attention = model.config._attn_implementation
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of settings that are refused here
            processing = self._manager(1, 2).logit_processor.do_processing
        if model.config._attn_implementation != attention:  # only a manager that ran puts it back
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
        """Generate, and give each answer as soon as it ends.

        Args:
            prompts: As token ids.
            sampling: Greedy.
            stops: Where to stop besides the model's end tokens.
            rows: The most requests under way at a time.

        Raises:
            RuntimeError: What transformers says where it fails, for want of memory also.
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
        gc.freeze()  # transformers collects garbage at the end, twice: only what comes after this
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
    """What continuous batching lacks here, and how to get it."""
    have = version("transformers")
    if Version(have) >= Version(NEEDS):
        return []
    return [f"needs transformers {NEEDS} or later, got {have}: pip install 'transformers>={NEEDS}'"]


def continuous_is_faster(model: Any) -> bool:
    """Whether it is to be expected that continuous batching beats padded batches.

    It does where rows of different lengths go through one kernel without padding: on CUDA with
    flash attention. Without it attention is masked over all pages, and on a CPU it is slower.
    """
    from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

    return (
        not continuous_faults()
        and model.device.type == "cuda"
        and model.dtype in (torch.bfloat16, torch.float16)
        and (is_flash_attn_2_available() or is_flash_attn_3_available())
    )
