"""lm-eval logs errors alone, and its warnings can be collected."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


def quieten_lm_eval() -> None:
    """Let lm-eval log errors alone from now on."""
    for name in (
        "lm_eval.tasks",
        "lm_eval.api.group",
        "lm_eval.api.task",
        "lm_eval.evaluator",
        "lm_eval.evaluator_utils",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def heard(name: str) -> Iterator[list[str]]:
    """Collect the warnings of a logger, and print none of them."""
    said: list[str] = []
    log = logging.getLogger(name)
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    level, passes = log.level, log.propagate
    log.setLevel(logging.WARNING)
    log.propagate = False
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = passes
