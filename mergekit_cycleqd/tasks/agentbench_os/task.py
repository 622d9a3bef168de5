"""AgentBench's OS interaction as an lm-eval task: a model works in the shell of a Linux box.

Init and check scripts are processes of their own. `start` and the model's commands share one login
shell, so that directory, variables and `su` persist. There is no network. Some init scripts fail
because they install packages: the failure is noted in the details, and the episode continues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from lm_eval.api.metrics import mean
from pydantic import Field

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.sandbox.base import Backend, Box, Result
from mergekit_cycleqd.tasks.agentbench_os.problems import Problem, load_problems, standard_files
from mergekit_cycleqd.tasks.agentbench_os.protocol import (
    first_chat,
    parse_action,
    shell_observation,
)
from mergekit_cycleqd.tasks.box_task import BoxOptions, BoxTask
from mergekit_cycleqd.tasks.episode import Episode, EpisodeOutcome, Prompt
from mergekit_cycleqd.tasks.episode_task import Aggregation

_ARGUMENT_BYTES = 128 << 10  # Linux's limit for one argument, with its final NUL

Protocol = Literal["v0.2", "released"]

ROUNDS: Mapping[Protocol, int] = {"v0.2": 8, "released": 5}
"""Number of replies that a model has, by protocol, if `max_rounds` is not set."""


class OSOptions(BoxOptions):
    """The options of the task, in addition to those of boxes.

    Attributes:
        agentbench_root: A clone of AgentBench, or its data folder.
        data_files: Problem files, in order; used without `agentbench_root`.
        protocol: "v0.2": an invalid action or the last round ends with a wrong answer. "released":
            both are judged like an empty answer, as in the code that the paper's authors released.
        max_rounds: Number of replies that a model has; None for the protocol's number.
    """

    agentbench_root: str | None = None
    data_files: str | list[str] | None = None
    protocol: Protocol = "v0.2"
    max_rounds: int | None = Field(None, ge=1)


class AgentBenchOS(BoxTask):
    """The task `agentbench_os`.

    With `agentbench_root`, the documents 0 to 143 are the standard set, folder by folder, and 144
    to 169 are those of dev.json; see `standard_files`.
    """

    Options = OSOptions
    options: OSOptions

    def documents(self) -> Sequence[dict[str, Any]]:
        """Read the problems from the files that the options name."""
        named = self.options.data_files
        if self.options.agentbench_root is not None:
            files = standard_files(Path(self.options.agentbench_root))
        elif named:
            files = [Path(name) for name in ([named] if isinstance(named, str) else named)]
        else:
            raise CycleQDError(
                f"{self.config.task}: needs the option agentbench_root, a clone of AgentBench, or "
                "data_files, a list of problem files"
            )
        problems = load_problems(files)
        self._problems = {problem.name: problem for problem in problems}
        return [{"id": problem.name, **asdict(problem)} for problem in problems]

    def prompt(self, doc: dict[str, Any]) -> Prompt:
        """Write the instructions, one solved problem, and the document's problem."""
        return first_chat(doc["description"])

    def episode(self, doc: dict[str, Any]) -> Episode:
        """Make an episode with a new box for the document's problem."""
        return OSEpisode(
            self._problems[doc["id"]],
            self.backend(),
            self.options.protocol,
            self.options.max_rounds or ROUNDS[self.options.protocol],
        )

    def metrics(self) -> Mapping[str, Aggregation]:
        """Name the metric: `acc`, the share of solved problems."""
        return {"acc": mean}


class OSEpisode(Episode):
    """One attempt at one problem, in a box of its own."""

    def __init__(self, problem: Problem, backend: Backend, protocol: Protocol, rounds: int) -> None:
        """Prepare an attempt.

        Args:
            problem: The problem.
            backend: Opens the box.
            protocol: The rule for attempts without an answer.
            rounds: Number of replies that the model has.
        """
        self._problem = problem
        self._backend = backend
        self._protocol = protocol
        self._rounds = rounds
        self._box: Box | None = None
        self._init: list[str] = []

    def open(self) -> Prompt:
        """Open the box, run the scripts that prepare it, and return the prompt."""
        self._box = self._backend.open()
        for i, script in enumerate(self._problem.init):
            result = self._box.run(script.argv())
            if result.returncode != 0:
                self._init.append(f"script {i} {_ending(result)}")
        if self._problem.start is not None:
            self._box.shell().run(self._problem.start)
        return first_chat(self._problem.description)

    def step(self, reply: str) -> str | EpisodeOutcome:
        """Carry out the model's action: run its bash code, or judge its answer."""
        assert self._box is not None
        action = parse_action(reply.encode(errors="replace").decode())  # no lone surrogates
        if action is None:
            return self._unanswered("invalid action")
        if action.kind != "bash":
            return self._judged("completed", action.text if action.kind == "answer" else None)
        result = self._box.shell().run(action.text)
        self._rounds -= 1
        if self._rounds == 0:
            return self._unanswered("limit")
        note = "[stopped: it did not end in time]" if result.timed_out else ""
        return shell_observation(result.output, note)

    def stop(self, status: str) -> EpisodeOutcome:
        """End the episode without an answer."""
        return self._unanswered(status)

    def close(self) -> None:
        """Close the box, if `open` opened it."""
        if self._box is not None:
            self._box.close()

    def _unanswered(self, status: str) -> EpisodeOutcome:
        if self._protocol == "released":
            return self._judged(status, "")
        return EpisodeOutcome(status, False, self._details())

    def _judged(self, status: str, answer: str | None) -> EpisodeOutcome:
        assert self._box is not None
        fault = judge_answer(self._problem, self._box, answer)
        details = {"answer": answer} | ({} if fault is None else {"judge": fault})
        return EpisodeOutcome(status, fault is None, details | self._details())

    def _details(self) -> dict[str, Any]:
        return {"init": self._init} if self._init else {}


def judge_answer(problem: Problem, box: Box, answer: str | None) -> str | None:
    """Judge an answer, and the state of the box.

    Args:
        problem: The problem.
        box: The box in which the model worked.
        answer: The answer; None after `Act: finish`. As in AgentBench, it then matches nothing, and
            check scripts get the word "None".

    Returns:
        What is wrong; None if the problem is solved.

    Raises:
        SandboxError: If the box broke.
    """
    if problem.match is not None:
        right = answer is not None and problem.match.accepts(answer)
        return None if right else "the answer does not match"
    parameters = [str(answer)]
    for i, script in enumerate(problem.check):
        if not all(_is_argument(parameter) for parameter in parameters):
            return f"check {i} cannot be given the answer and the outputs so far as its arguments"
        # as in AgentBench, errors are part of a script's output
        result = box.run(["sh", "-c", 'exec "$@" 2>&1', "sh", *script.argv(parameters)])
        if result.returncode != 0:
            return f"check {i} {_ending(result)}"
        parameters.append(result.output)
    return None


def _is_argument(text: str) -> bool:
    """Whether Linux takes a text as one argument of a program."""
    return "\0" not in text and len(text.encode(errors="replace")) < _ARGUMENT_BYTES


def _ending(result: Result) -> str:
    how = "ran out of time" if result.timed_out else f"exited with {result.returncode}"
    errors = (result.errors or result.output).strip()
    return f"{how}: {errors[-200:]}" if errors else how
