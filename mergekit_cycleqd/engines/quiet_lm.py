"""lm-eval's scoring without progress bars, which would hide the display of the run."""

from __future__ import annotations

from typing import Any

from lm_eval.api.model import TemplateLM


class QuietScoring(TemplateLM):  # type: ignore[misc]
    """A mixin that comes before one of lm-eval's models among the bases of a class."""

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[Any]:
        """Score continuations as lm-eval does."""
        pairs: list[Any] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return pairs

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        """Score whole texts as lm-eval does."""
        values: list[float] = super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
        return values
