"""lm-eval's scoring without its progress bars, which would bury the run's own."""

from __future__ import annotations

from typing import Any

from lm_eval.api.model import TemplateLM


class QuietScoring(TemplateLM):  # type: ignore[misc]
    """To stand before one of lm-eval's models among the bases of a class."""

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[Any]:
        """Scores of continuations, as in lm-eval."""
        pairs: list[Any] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return pairs

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        """Scores of whole texts, as in lm-eval."""
        values: list[float] = super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
        return values
