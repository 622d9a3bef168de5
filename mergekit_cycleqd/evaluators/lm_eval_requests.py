"""The requests of lm-eval's tasks: built once, told as plain settings, and asked in part."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.system.replaced import replaced


def prompt_settings(task: Task, loaded: Any) -> dict[str, Any]:
    """Tell the settings of a loaded task, as plain data."""
    found = {
        "num_fewshot": loaded.get_config("num_fewshot"),
        "apply_chat_template": task.apply_chat_template,
        "fewshot_as_multiturn": task.multiturn,
    }
    if task.system_instruction is not None:
        found["system_instruction"] = task.system_instruction
    if task.repeats > 1:
        found |= {"repeats": task.repeats, "pass_at": task.pass_at}
    if loaded.get_config("output_type") == "generate_until":
        found["generation_kwargs"] = loaded.get_config("generation_kwargs")
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def build_requests(loaded: Any, task: Task, ids: Sequence[int], model: Any) -> None:
    """Build the requests of a task as lm-eval's `evaluate` does, which then does not build them."""
    chat = bool(task.apply_chat_template)
    loaded.build_all_requests(
        samples=list(ids),
        rank=model.rank,
        world_size=model.world_size,
        system_instruction=task.system_instruction,
        apply_chat_template=chat,
        fewshot_as_multiturn=task.multiturn,
        chat_template=model.apply_chat_template if chat else None,
        tokenizer_name=model.tokenizer_name if chat else "",
    )
    documents = list(
        loaded.doc_iterator(rank=model.rank, world_size=model.world_size, samples=list(ids))
    )
    loaded.build_all_requests = lambda **_: None
    loaded.doc_iterator = lambda **_: ((i, copy(doc)) for i, doc in documents)


@contextmanager
def only_some(loaded: Any, built: Sequence[int], asked: Collection[int]) -> Iterator[None]:
    """Let lm-eval see some samples of a task alone, whose requests were built for more.

    Args:
        loaded: The task object.
        built: Numbers of the documents that requests were built for, ascending.
        asked: Those that lm-eval sees.
    """
    wanted = set(asked)
    chosen = {place for place, number in enumerate(built) if number in wanted}
    whole = loaded.doc_iterator
    instances = [request for request in loaded.instances if request.doc_id in chosen]
    with (
        replaced(loaded, "_instances", instances),
        replaced(
            loaded,
            "doc_iterator",
            lambda **asked: (pair for pair in whole(**asked) if pair[0] in chosen),
        ),
    ):
        yield
