"""Stand-ins for models: they answer a chat by a function of its messages, and count their batches.

Everything around them is real: lm-eval, the tasks, the environments.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lm_eval.api.model import LM

Chat = list[dict[str, str]]
Answer = Callable[[Chat], str]


class Oracle(LM):
    """An lm-eval model whose reply to a chat is `answer(messages)`.

    A prompt that is sent without a template arrives as one message of the user. `batches` holds
    the chats of every call, in order; `settings` the generation settings of every request.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.batches: list[list[Chat]] = []
        self.settings: list[dict[str, Any]] = []

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        chats = [_chat(request.args[0]) for request in requests]
        self.batches.append(chats)
        self.settings += [request.args[1] for request in requests]
        replies = [self.answer(chat) for chat in chats]
        for request, reply in zip(requests, replies, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, reply)
        return replies

    def apply_chat_template(self, chat_history: Chat, add_generation_prompt: bool = True) -> str:
        assert add_generation_prompt
        return json.dumps(chat_history)

    @property
    def tokenizer_name(self) -> str:
        return "oracle"

    def loglikelihood(self, requests: list[Any]) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Any]) -> Any:
        raise NotImplementedError


class ShortOracle(Oracle):
    """One with a context of `max_length` tokens, of which every character is one."""

    def __init__(self, answer: Answer, max_length: int) -> None:
        super().__init__(answer)
        self.max_length = max_length
        self.max_gen_toks = 256

    def tok_encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]


def _chat(prompt: str) -> Chat:
    try:
        chat = json.loads(prompt)
    except ValueError:
        chat = None
    if isinstance(chat, list) and all(isinstance(m, dict) and "role" in m for m in chat):
        return chat
    return [{"role": "user", "content": prompt}]


def run_task(lm: LM, task: Any, **settings: Any) -> dict[str, Any]:
    """Evaluate one task object as `lm_eval` does; its results, and its samples under "samples"."""
    from lm_eval.evaluator import evaluate

    name = task.task_name
    settings = {"bootstrap_iters": 0, "apply_chat_template": True, **settings}
    results = evaluate(lm, {"tasks": {name: task}}, **settings)
    return {**results["results"][name], "samples": results.get("samples", {}).get(name)}
