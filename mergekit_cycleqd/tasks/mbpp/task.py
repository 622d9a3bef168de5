"""MBPP as an lm-eval task: a model writes a program, and its tests run in a box.

An episode has one turn. A program passes if all its tests pass. A wrong answer, a syntax error, an
endless loop and an early exit all count as failures. The tests run in a process of their own, which
the program cannot reach: see `inside/judge.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from lm_eval.api.metrics import mean

from mergekit_cycleqd.sandbox.base import Backend, Limits
from mergekit_cycleqd.tasks.box_task import BoxOptions, BoxTask
from mergekit_cycleqd.tasks.episode import Episode, EpisodeOutcome, Prompt
from mergekit_cycleqd.tasks.episode_task import Aggregation
from mergekit_cycleqd.tasks.mbpp.fences import python_block
from mergekit_cycleqd.tasks.mbpp.judging import run_program
from mergekit_cycleqd.tasks.mbpp.problems import (
    DATASET,
    CodingProblem,
    choose_problems,
    load_dataset,
    load_file,
    read_task_ids,
)

Style = Literal["chat", "magicoder"]

_MAGICODER = """\
You are an exceptionally intelligent coding assistant that consistently delivers accurate and \
reliable responses to user instructions.

@@ Instruction:
{instruction}

@@ Response:
```python
"""

_CHAT = """\
{instruction}

Answer with one Python code block that holds the whole solution, and nothing after it."""

_INSTRUCTION = """\
{text} Your code should satisfy the following assertion:
```python
{test}
```"""

_FENCE = "```"


class CodingOptions(BoxOptions):
    """The options of the task, in addition to those of boxes.

    Attributes:
        data_files: One or more files of problems, such as MBPP's own mbpp.jsonl.
        dataset: Data set on the Hub with the problems, if no file is named.
        task_ids: A file that lists the numbers of the problems to use, such as MBPP+'s 378, as a
            JSON list or one per line. The documents' ids are then positions among these.
        prompt: "chat": the model's chat template. "magicoder": a plain text with Magicoder's
            markers, which ends in an open code block, as in the code that the paper's authors
            released.
    """

    data_files: str | list[str] | None = None
    dataset: str = DATASET
    task_ids: str | None = None
    prompt: Style = "chat"


class CodingTask(BoxTask):
    """The task `mbpp_sandboxed`. Its documents are in the order of the file, which is by number."""

    Options = CodingOptions
    options: CodingOptions
    generation: ClassVar[Mapping[str, Any]] = {
        "until": ["@@ Instruction", "@@ Response"],
        "max_gen_toks": 512,
    }
    limits: ClassVar[Limits] = Limits(
        memory=512 << 20, processes=64, disk=64 << 20, output=64 << 10, seconds=15
    )

    def documents(self) -> Sequence[dict[str, Any]]:
        """Read the problems from the files or the data set that the options name."""
        named = self.options.data_files
        if named:
            files = [named] if isinstance(named, str) else named
            problems = [problem for name in files for problem in load_file(Path(name))]
        else:
            problems = load_dataset(self.options.dataset)
        if self.options.task_ids is not None:
            problems = choose_problems(problems, read_task_ids(Path(self.options.task_ids)))
        self._problems = {problem.task_id: problem for problem in problems}
        return [{"id": problem.task_id, **asdict(problem)} for problem in problems]

    def prompt(self, doc: dict[str, Any]) -> Prompt:
        """Write the problem, with its first test."""
        return make_prompt(self._problems[doc["id"]], self.options.prompt)

    def episode(self, doc: dict[str, Any]) -> Episode:
        """Make an attempt at the document's problem."""
        return CodingEpisode(self._problems[doc["id"]], self.backend(), self.options.prompt)

    def metrics(self) -> Mapping[str, Aggregation]:
        """Name the metric: `pass_at_1`, the share of problems solved by one program each."""
        return {"pass_at_1": mean}


class CodingEpisode(Episode):
    """One attempt at one problem: one reply, one box."""

    def __init__(self, problem: CodingProblem, backend: Backend, style: Style) -> None:
        """Prepare an attempt.

        Args:
            problem: The problem.
            backend: Opens the box.
            style: Style of the prompt.
        """
        self._problem = problem
        self._backend = backend
        self._style = style

    def open(self) -> Prompt:
        """Return the prompt. `step` opens the box."""
        return make_prompt(self._problem, self._style)

    def step(self, reply: str) -> EpisodeOutcome:
        """Run the program in the reply, and its tests."""
        program = find_program(reply, self._style)
        fault = run_program(self._backend, self._problem, program)
        return EpisodeOutcome("completed", fault is None, {} if fault is None else {"fault": fault})

    def stop(self, status: str) -> EpisodeOutcome:
        """End the episode as failed, since there is no program."""
        return EpisodeOutcome(status, False)

    def close(self) -> None:
        """Do nothing: `step` has closed its box."""


def make_prompt(problem: CodingProblem, style: Style) -> Prompt:
    """Write the model's input: the problem and its first test.

    Args:
        problem: The problem.
        style: Style of the prompt.
    """
    text = problem.text.strip()
    if not text.endswith("."):
        text += "."
    instruction = _INSTRUCTION.format(text=text, test=problem.tests[0])
    if style == "magicoder":
        return _MAGICODER.format(instruction=instruction)
    return [{"role": "user", "content": _CHAT.format(instruction=instruction)}]


def find_program(reply: str, style: Style) -> str:
    """Find the program in a reply.

    "magicoder": the text up to the end of the code block that the prompt opened. "chat": the first
    code block that is Python, or the whole reply if it has no block.

    Args:
        reply: The model's reply.
        style: Style of the prompt.
    """
    if style == "magicoder":
        return reply.partition(_FENCE)[0]
    block = python_block(reply)
    return reply if block is None else block
