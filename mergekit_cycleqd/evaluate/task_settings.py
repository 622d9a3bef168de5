"""Settings of the command `eval` that change lm-eval's tasks, as in lm-eval's own command."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

from mergekit_cycleqd.evaluate.options import TaskOptions


def change_tasks(tasks: Mapping[str, Any], options: TaskOptions) -> None:
    """Give loaded tasks the examples and the generation settings that the command asks for.

    A task that fixes 0 examples keeps them, and is named on stderr. Generation settings are for
    tasks that generate text.

    Args:
        tasks: lm-eval's objects of the tasks, by name.
        options: What the command says.
    """
    for name, task in tasks.items():
        if options.gen_kwargs and task.get_config("output_type") == "generate_until":
            changes = dict(options.gen_kwargs)
            task.set_config(key="generation_kwargs", value=changes, update=True)
        if options.num_fewshot is None:
            continue
        if task.get_config("num_fewshot") != 0:
            task.set_config(key="num_fewshot", value=options.num_fewshot)
        elif options.num_fewshot:
            print(
                f"warning: --num-fewshot: {options.num_fewshot} is passed over, as lm-eval does: "
                f"the task {name!r} fixes 0",
                file=sys.stderr,
            )


def prompt_settings(options: TaskOptions, has_shots: bool) -> dict[str, Any]:
    """Tell the settings of prompts that are kept with a score.

    A setting that is not used is left out, as it is in older records.

    Args:
        options: What the command says.
        has_shots: Whether any prompt has examples.
    """
    found: dict[str, Any] = {"chat_template": options.apply_chat_template}
    if options.multiturn and has_shots:
        found["fewshot_as_multiturn"] = True  # records without it had them in one turn
    if options.system_instruction:
        found["system_instruction"] = options.system_instruction
    if options.gen_kwargs:
        found["gen_kwargs"] = dict(options.gen_kwargs)
    return found


@contextmanager
def seeded() -> Iterator[None]:
    """Seed Python, NumPy and torch as lm-eval's command does, while this context lasts.

    So answers that are sampled do not depend on what was evaluated before.
    """
    before = random.getstate(), np.random.get_state()  # noqa: NPY002 - code of tasks may use it
    with torch.random.fork_rng():
        random.seed(DEFAULT_RANDOM_SEED)
        np.random.seed(DEFAULT_OTHER_SEED)  # noqa: NPY002
        torch.manual_seed(DEFAULT_OTHER_SEED)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
