"""Keep progress bars and advice of other packages out of the output of a merge."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
from mergekit.options import MergeOptions
from transformers.utils import logging

from mergekit_cycleqd.checkpoints.advice import without_advice


@contextmanager
def quietly(options: MergeOptions) -> Iterator[MergeOptions]:
    """Let mergekit, transformers and PEFT print errors alone, unless the options are verbose.

    Transformers warns of what mergekit and PEFT call, which no user can change.

    Args:
        options: mergekit's options.

    Yields:
        The options to merge with.
    """
    if options.verbosity:
        yield options
        return
    shows_bars, hub_shows_none = logging.is_progress_bar_enabled(), are_progress_bars_disabled()
    logging.disable_progress_bar()
    try:
        with without_advice(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", module="transformers|peft|mergekit|torch|accelerate")
            yield options.model_copy(update={"quiet": True})
    finally:
        if shows_bars:
            logging.enable_progress_bar()  # and the Hub's too
        if hub_shows_none:
            disable_progress_bars()
