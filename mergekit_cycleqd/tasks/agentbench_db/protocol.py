"""DBBench's prompt, its actions and observations, and the judging of answers (AgentBench v0.2)."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from mergekit_cycleqd.tasks.agentbench_db.model_statements import Reply
from mergekit_cycleqd.tasks.episode import Message

Protocol = Literal["v0.2", "released", "lenient"]

MAX_ROUNDS: dict[str, int] = {"v0.2": 15, "released": 5, "lenient": 15}
"""Largest number of statements that a model may run, by protocol."""

CHANGES = frozenset({"INSERT", "UPDATE", "DELETE"})
"""The types of records that are judged by the table's content, not by the answer."""

# The benchmark's own words (AgentBench, Apache-2.0), so that scores can be compared.
INSTRUCTIONS = """
I will ask you a question, then you should help me operate a MySQL database with SQL to answer the \
question.
You have to explain the problem and your solution to me and write down your thoughts.
After thinking and explaining thoroughly, every round you can choose to operate or to answer.
your operation should be like this:
Action: Operation
```sql
SELECT * FROM table WHERE condition;
```
You MUST put SQL in markdown format without any other comments. Your SQL should be in one line.
Every time you can only execute one SQL statement. I will only execute the statement in the first \
SQL code block. Every time you write a SQL, I will execute it for you and give you the output.
If you are done operating, and you want to commit your final answer, then write down:
Action: Answer
Final Answer: ["ANSWER1", "ANSWER2", ...]
DO NOT write this pattern unless you are sure about your answer. I expect an accurate and correct \
answer.
Your answer should be accurate. Your answer must be exactly the same as the correct answer.
If the question is about modifying the database, then after done operation, your answer field can \
be anything.
If your response cannot match any pattern I mentioned earlier, you will be judged as FAIL \
immediately.
Your input will be raw MySQL response, you have to deal with it by yourself.
"""

_ACTION = re.compile(r"Action: (.*?)\n")
_SQL = re.compile(r"```sql\n([\s\S]*?)\n```")
_ANSWER = re.compile(r"\nFinal Answer:(.*)")
_SHOWN = 800  # longest observation, in characters
_LITERAL = 20_000  # longest answer to parse, in characters; real answers are far shorter


def first_messages(description: str, add_description: str) -> list[Message]:
    """Write the chat that an episode starts with.

    Args:
        description: The question.
        add_description: The table's name and columns.
    """
    return [
        {"role": "user", "content": INSTRUCTIONS},
        {"role": "assistant", "content": "Ok."},
        {"role": "user", "content": f"{description}\n{add_description}"},
    ]


def is_operation(reply: str) -> bool:
    """Whether a model's reply asks to run a statement."""
    action = _ACTION.search(reply)
    return action is not None and action[1] == "Operation"


def sql_of(reply: str) -> str | None:
    """Find the statement in a reply, as one line; None if the reply has no block of SQL."""
    block = _SQL.search(reply)
    return block[1].strip().replace("\n", " ") if block else None


def answer_of(reply: str) -> str | None:
    """Find the final answer in a reply, as it is written; None if it has none."""
    answer = _ANSWER.search(reply)
    return answer[1] if answer else None


def sql_observation(reply: Reply) -> str:
    """Write the result of a statement for the model: rows or error, cut if too long."""
    text = reply.error or str(list(reply.rows))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}[TRUNCATED]"


def is_right(protocol: Protocol, answer: str, label: Sequence[str]) -> bool:
    """Compare an answer with the record's label.

    Args:
        protocol: The rules of comparison.
        answer: The answer as the model wrote it.
        label: The right values.
    """
    compare: Callable[[list[Any], Sequence[str]], bool] = (
        _equal_leniently if protocol == "lenient" else _equal
    )
    return compare(_parse_values(answer), label)


def _parse_values(answer: str) -> list[Any]:
    """Parse an answer as a list: of a Python literal, or with the text as its only element."""
    if len(answer) > _LITERAL:
        return [answer]
    try:
        return list(ast.literal_eval(answer.strip()))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return [answer]


def _equal(values: list[Any], label: Sequence[str]) -> bool:
    if len(values) == len(label) == 1:
        try:
            return float(values[0]) == float(label[0])
        except (ValueError, TypeError, OverflowError):
            return bool(values[0] == label[0])
    try:
        return set(values) == set(label)
    except TypeError:  # a list within the list cannot be hashed
        return False


def _equal_leniently(values: list[Any], label: Sequence[str]) -> bool:
    """Compare as multisets, numbers to a hundredth (AgentBench's function-calling branch)."""
    numbers, texts = _split_numbers(values)
    label_numbers, label_texts = _split_numbers(label)
    return (
        texts == label_texts
        and len(numbers) == len(label_numbers)
        and all(
            abs(a - b) <= 1e-2 for a, b in zip(sorted(numbers), sorted(label_numbers), strict=True)
        )
    )


def _split_numbers(values: Sequence[Any]) -> tuple[list[float], Counter[str]]:
    """Split the elements of an answer into numbers and other texts."""
    numbers: list[float] = []
    texts: Counter[str] = Counter()
    for value in values:
        text = str(value).strip().replace(",", "").removesuffix("%").strip()
        if text.lower() in ("none", "null"):
            text = "0"
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            numbers.append(number)
        else:
            texts[text] += 1
    return numbers, texts
