"""What tasks of strangers, and answers of models, may not reach through lm-eval."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jinja2.sandbox import SandboxedEnvironment

from mergekit_cycleqd.system.growth_limit import growth_limit
from mergekit_cycleqd.system.hub_requests import guard_requests
from mergekit_cycleqd.system.replaced import replaced

_LONGEST = 10**7
"""Letters or items of what a template may make by one multiplication."""

_RUN_ANSWERS = ("score/math",)
"""Folders of lm-eval's tasks that evaluate answers as Python, without saying so in their files.

sympy's `parse_expr` calls `eval`.
"""


class _Templates(SandboxedEnvironment):
    """Fills templates as lm-eval does, but shows them no attribute of Python's own."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Multiply, unless the result is of any size."""
        if operator == "**" and not (abs(left) < _LONGEST and abs(right) < 100):
            raise OverflowError("a power in a template is too large")
        for text, times in ((left, right), (right, left)):
            sized = isinstance(text, str | list | tuple | bytes) and isinstance(times, int)
            if sized and len(text) * times > _LONGEST:
                raise OverflowError("a text in a template is too long")
        return super().call_binop(context, operator, left, right)


def guard_templates() -> None:
    """Let lm-eval fill templates in jinja's sandbox from now on.

    In lm-eval's own environment, a template reads this process's variables with their tokens.
    """
    from lm_eval import utils

    if isinstance(utils.env, _Templates):
        return
    env = utils.env
    guarded = _Templates(
        loader=env.loader,
        undefined=env.undefined,
        keep_trailing_newline=env.keep_trailing_newline,
    )
    guarded.filters.update(env.filters)
    utils.env = guarded


@contextmanager
def guarded_loading(file: Path | None, *, trusted: bool) -> Iterator[None]:
    """Keep a task that is loaded from files of this machine and from code of a tokenizer.

    Its data may unpack to any size, and get half of the free memory.

    A dataset of the Hub lists its files itself; a stranger may list yours. Some of lm-eval's own
    tasks load a tokenizer that the options name, with its code.

    Args:
        file: The task's file; None if it has none.
        trusted: Whether the user accepts that code of others runs.
    """
    import datasets.data_files
    from transformers import AutoTokenizer

    guard_requests()
    resolve, load = datasets.data_files.resolve_pattern, AutoTokenizer.from_pretrained

    def resolve_there(pattern: str, base_path: str, *args: Any, **settings: Any) -> Any:
        if base_path.startswith("hf://") and _leads_elsewhere(pattern):
            raise ValueError(f"{base_path} lists a file that is not in it: {pattern!r}")
        return resolve(pattern, base_path, *args, **settings)

    def load_plainly(*args: Any, **settings: Any) -> Any:
        return load(*args, **settings | {"trust_remote_code": False})

    cache = Path(datasets.config.HF_DATASETS_CACHE)
    with growth_limit(cache), replaced(datasets.data_files, "resolve_pattern", resolve_there):
        if trusted or not _is_lm_evals(file):
            yield
            return
        with replaced(AutoTokenizer, "from_pretrained", load_plainly):
            yield


def runs_answers(task: Any) -> bool:
    """Whether a task runs what models write, on this machine.

    Args:
        task: lm-eval's task object.
    """
    if getattr(task, "UNSAFE_CODE", False):
        return True
    config = getattr(task, "get_config", None)
    code = getattr(config("process_results") if config else None, "__code__", None)
    path = Path(code.co_filename).as_posix() if code is not None else ""
    return any(f"lm_eval/tasks/{folder}/" in path for folder in _RUN_ANSWERS)


def _leads_elsewhere(pattern: str) -> bool:
    apart = "://" in pattern or "::" in pattern
    return (apart and not pattern.startswith("hf://")) or pattern.startswith(("/", "~", ".."))


def _is_lm_evals(file: Path | None) -> bool:
    import lm_eval

    return file is not None and file.resolve().is_relative_to(Path(lm_eval.__file__).parent)
