"""The lockstep loop: run many episodes at a time, with the next turn of all of them in one batch.

A request of lm-eval asks a model once. Here a request is a whole episode. `install_rollout` makes
"rollout" a request type of lm-eval's models, beside its own "generate_until".
"""

from __future__ import annotations

import copy
import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, CachingLM
from lm_eval.models.utils import normalize_gen_kwargs

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.tasks.episode import (
    Episode,
    EpisodeError,
    EpisodeOutcome,
    EpisodeRequest,
    Message,
    Prompt,
)

ATTEMPTS = 3
"""Number of attempts at an episode whose environment breaks, before the evaluation ends."""

_THREADS = 32  # more than cores: environments mostly wait for servers and boxes

_log = logging.getLogger(__name__)


def install_rollout() -> None:
    """Make "rollout" a request type of lm-eval's models. Calling it again changes nothing.

    The caching model gets the method too, so that `--use_cache` caches single turns.
    """
    LM.rollout = rollout
    CachingLM.rollout = rollout


def rollout(lm: Any, requests: Sequence[EpisodeRequest]) -> list[str]:
    """Run the episodes of all requests to their ends, with all turns of a round in one batch.

    An episode whose environment breaks is closed, and run again from its start.

    Args:
        lm: An lm-eval model, with `generate_until`, and with `apply_chat_template` for chats.
        requests: The episodes. When one ends, the next episode of its task is opened.

    Returns:
        One JSON text per request, in their order: `status`, `correct`, `turns` (number of replies),
        `transcript` (messages), `details`, and `attempts` if there were several.

    Raises:
        EpisodeError: If an episode's environment broke `ATTEMPTS` times.
        CycleQDError: If the model has no chat template, or no room for a reply.
    """
    texts: dict[int, str] = {}
    waiting = [_Run(number, request) for number, request in enumerate(requests)]
    live: list[_Run] = []
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="episode")

    def settle() -> None:
        """Remove ended episodes from `live`. Results are kept, broken episodes wait again."""
        for run in [run for run in live if run.over]:
            live.remove(run)
            if run.fault is not None:
                waiting.insert(0, run.again())
            else:
                texts[run.number] = run.result()

    try:
        while waiting or live:
            while opened := _next_to_open(waiting, live):
                live += opened
                _run_in_threads(pool, _Run.open, opened)
                settle()
            live.sort(key=lambda run: run.number)
            turns = [_Turn(lm, run) for run in live]
            _run_in_threads(pool, _Run.stop, [turn.run for turn in turns if turn.too_long])
            settle()
            turns = [turn for turn in turns if not turn.too_long]
            if turns:
                replies = lm.generate_until([turn.request for turn in turns])
                _run_in_threads(pool, _Run.step, [turn.run for turn in turns], replies)
                settle()
    finally:
        pool.shutdown(cancel_futures=True)
        for run in live:
            run.close()
    return [texts[number] for number in range(len(requests))]


def _run_in_threads(
    pool: ThreadPoolExecutor, action: Callable[..., None], *lists: Iterable[Any]
) -> None:
    for _ in pool.map(action, *lists):
        pass


def _next_to_open(waiting: list[_Run], live: Sequence[_Run]) -> list[_Run]:
    """Take from `waiting` as many episodes of each task as may be opened in addition to `live`."""
    held = Counter(run.request.task_name for run in live)
    opened: list[_Run] = []
    for run in list(waiting):
        if held[run.request.task_name] < run.request.max_open:
            held[run.request.task_name] += 1
            waiting.remove(run)
            opened.append(run)
    return opened


class _Run:
    """One attempt at the episode of a request, while it is run."""

    def __init__(self, number: int, request: EpisodeRequest, attempt: int = 1) -> None:
        self.number = number
        self.request = request
        self.fault: Exception | None = None
        self._attempt = attempt
        self._outcome: EpisodeOutcome | None = None
        self._episode: Episode | None = None
        self._messages: list[Message] = []
        self._turns = 0
        self.text: str | None = None  # a prompt that is sent without a chat template

    @property
    def over(self) -> bool:
        return self.fault is not None or self._outcome is not None

    @property
    def name(self) -> str:
        return f"task {self.request.task_name!r}, document {self.request.doc_id}"

    @property
    def messages(self) -> list[dict[str, str]]:
        return [dict(message) for message in self._messages]

    def open(self) -> None:
        if self.request.make is None:
            self._outcome = EpisodeOutcome("skipped", False)
            return
        try:
            self._episode = self.request.make()
            self._start(self._episode.open())
        except Exception as error:
            self._end(fault=error)

    def _start(self, prompt: Prompt) -> None:
        system = self.request.system_instruction
        if isinstance(prompt, str):
            self.text = prompt
            self._messages = [{"role": "user", "content": prompt}]
            return
        self._messages = list(prompt)
        if system is not None:
            if self._messages and self._messages[0]["role"] == "system":
                system = f"{system}\n\n{self._messages.pop(0)['content']}"
            self._messages.insert(0, {"role": "system", "content": system})

    def step(self, reply: str) -> None:
        assert self._episode is not None
        self._messages.append({"role": "assistant", "content": reply})
        self._turns += 1
        try:
            answer = self._episode.step(reply)
            if isinstance(answer, str) and self.text is not None:
                raise CycleQDError("an episode that began with a plain text has one turn only")
        except Exception as error:
            self._end(fault=error)
            return
        if isinstance(answer, EpisodeOutcome):
            self._end(outcome=answer)
        else:
            self._messages.append({"role": "user", "content": answer})

    def stop(self) -> None:
        assert self._episode is not None
        try:
            self._end(outcome=self._episode.stop("context exceeded"))
        except Exception as error:
            self._end(fault=error)

    def _end(self, outcome: EpisodeOutcome | None = None, fault: Exception | None = None) -> None:
        self._outcome, self.fault = outcome, fault
        self.close()

    def close(self) -> None:
        episode, self._episode = self._episode, None
        if episode is None:
            return
        try:
            episode.close()
        except Exception as error:  # the result is known already, and stays
            _log.warning("%s: closing its environment failed: %s", self.name, error)

    def again(self) -> _Run:
        """Make the next attempt, which starts from the beginning."""
        reason = f"{type(self.fault).__name__}: {self.fault}"
        if isinstance(self.fault, CycleQDError):
            reason = str(self.fault)
        if self._attempt == ATTEMPTS:
            raise EpisodeError(
                f"{self.name}: its environment broke {ATTEMPTS} times, so there is no score; "
                f"the last time: {reason}"
            ) from self.fault
        _log.warning("%s: its environment broke and is made again: %s", self.name, reason)
        return _Run(self.number, self.request, self._attempt + 1)

    def result(self) -> str:
        assert self._outcome is not None
        content: dict[str, Any] = {
            "status": self._outcome.status,
            "correct": self._outcome.correct,
            "turns": self._turns,
            "transcript": self.messages,
            "details": dict(self._outcome.details),
        }
        if self._attempt > 1:
            content["attempts"] = self._attempt
        return json.dumps(content)


class _Turn:
    """The request to the model for one episode in one round.

    lm-eval's models silently cut the beginning of a prompt that is too long. An episode that is
    longer than the context must therefore be ended.
    """

    def __init__(self, lm: Any, run: _Run) -> None:
        self.run = run
        settings: dict[str, Any] = copy.deepcopy(run.request.arguments[1])
        prompt = run.text if run.text is not None else _render_chat(lm, run)
        self.too_long = _count_tokens(lm, prompt) > _prompt_limit(lm, settings)
        self.request = Instance(
            request_type="generate_until",
            doc=run.request.doc,
            arguments=(prompt, settings),
            idx=0,
            metadata=(run.request.task_name, run.request.doc_id, 1),
        )


def _render_chat(lm: Any, run: _Run) -> Any:
    try:
        return lm.apply_chat_template(run.messages, add_generation_prompt=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CycleQDError(
            f"{run.name}: it is a conversation, and this model renders none ({reason}); "
            "give its tokenizer a chat_template, or choose a model that was tuned for chat"
        ) from error


def _count_tokens(lm: Any, prompt: Any) -> int:
    """Count the tokens of a prompt; 0 if the model has no tokenizer to ask."""
    if not isinstance(prompt, str) or not hasattr(lm, "tok_encode"):
        return 0
    return len(lm.tok_encode(prompt))


def _prompt_limit(lm: Any, settings: dict[str, Any]) -> float:
    """Compute the largest number of tokens that a prompt may have."""
    context = getattr(lm, "max_length", None)
    if not isinstance(context, int):
        return math.inf
    reply = normalize_gen_kwargs(settings, getattr(lm, "max_gen_toks", 256))["max_gen_toks"]
    if reply >= context:
        raise CycleQDError(
            f"a reply of {reply} tokens leaves no room for a prompt in this model's context of "
            f"{context}: set max_gen_toks in gen_kwargs to less"
        )
    return float(context - reply)
