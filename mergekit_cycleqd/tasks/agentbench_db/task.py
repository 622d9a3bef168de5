"""AgentBench's DBBench as an lm-eval task: a model answers questions about a table in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from lm_eval.api.metrics import mean
from pydantic import Field

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.tasks.agentbench_db.database import EpisodeDatabase
from mergekit_cycleqd.tasks.agentbench_db.mariadb import Server, find_programs, shared_server
from mergekit_cycleqd.tasks.agentbench_db.mysql_client import Endpoint
from mergekit_cycleqd.tasks.agentbench_db.protocol import (
    CHANGES,
    MAX_ROUNDS,
    Protocol,
    answer_of,
    first_messages,
    is_operation,
    is_right,
    sql_observation,
    sql_of,
)
from mergekit_cycleqd.tasks.agentbench_db.records import (
    benchmark_files,
    read_dbbench_records,
    table_of,
)
from mergekit_cycleqd.tasks.episode import Episode, EpisodeOutcome, Prompt
from mergekit_cycleqd.tasks.episode_task import Aggregation, EpisodeTask
from mergekit_cycleqd.tasks.options import EpisodeOptions

SELECT = "SELECT"
"""The category of all records that ask a question, of several types."""


class DBBenchOptions(EpisodeOptions):
    """Options of the task `agentbench_db`.

    Attributes:
        agentbench_root: A clone of AgentBench, or its data folder.
        data_files: Files of records, numbered in this order; used without `agentbench_root`.
        protocol: "v0.2"; "released", with 5 statements instead of 15; or "lenient", which is v0.2
            with the comparison of answers of AgentBench's function-calling branch.
        max_rounds: Number of statements that a model may run; None for the protocol's number.
        dsn: ``mysql://user:password@host:port/`` of a server to use instead of a private one. Its
            account must be allowed to make databases and accounts.
    """

    agentbench_root: str | None = None
    data_files: str | list[str] | None = None
    protocol: Protocol = "v0.2"
    max_rounds: int | None = Field(None, ge=1)
    dsn: str | None = None


class DBBench(EpisodeTask):
    """The task `agentbench_db`. The ids of its documents are the positions of the records.

    `acc` is the share of right records. `acc_SELECT`, `acc_INSERT` and `acc_UPDATE` are the shares
    by category, `acc_macro` is their mean, and each other type of record has a metric too.
    """

    Options = DBBenchOptions
    options: DBBenchOptions
    CATEGORIES: ClassVar[tuple[str, ...]] = (SELECT, "INSERT", "UPDATE")

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Read options and records, and check that there is a server.

        Raises:
            CycleQDError: If an option, a record or the server is wrong or missing.
        """
        super().__init__(config)
        self._server: Server | None = None
        if self.options.dsn is None:
            find_programs()  # reports a missing program before any model is loaded
        else:
            self._server = Server(Endpoint.parse(self.options.dsn))
            self._server.check()

    def documents(self) -> list[dict[str, Any]]:
        """Read the benchmark's standard and dev records, or those of `data_files`.

        Raises:
            CycleQDError: If no file is named, or a file cannot be read.
        """
        root, named = self.options.agentbench_root, self.options.data_files
        if root is not None:
            return read_dbbench_records(benchmark_files(root))
        if named is not None:
            return read_dbbench_records([Path(name) for name in _as_list(named)])
        raise CycleQDError(
            f"{self.config.task}: needs agentbench_root, a clone of AgentBench, or data_files; "
            'with lm_eval: --metadata \'{"agentbench_root": "AgentBench"}\''
        )

    def prompt(self, doc: dict[str, Any]) -> Prompt:
        """Write the instructions, and the question with the table's name and columns."""
        return first_messages(doc["description"], doc["add_description"])

    def episode(self, doc: dict[str, Any]) -> Episode:
        """Make an episode with a new database for the document's table."""
        return DBEpisode(self._server or shared_server(), doc, self.prompt(doc), self.options)

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        """Give the record's label: the right answer, or the statement that changes the table."""
        return str(doc["label"])

    def metrics(self) -> dict[str, Aggregation]:
        """List the metrics that the class names, with the aggregation of each."""
        types = dict.fromkeys([*self.CATEGORIES, *(doc["type"] for doc in self.eval_docs)])
        return {
            "acc": mean,
            "acc_macro": self._macro,
            **{f"acc_{name}": partial(_accuracy, name) for name in types},
        }

    def score(self, doc: dict[str, Any], accuracy: float) -> dict[str, Any]:
        """Give the accuracy for `acc`, and (type, accuracy) for the other metrics."""
        return dict.fromkeys(self.metrics(), (doc["type"], accuracy)) | {"acc": accuracy}

    def _macro(self, items: Sequence[tuple[str, float]]) -> float:
        found = [name for name in self.CATEGORIES if any(_is_of(name, kind) for kind, _ in items)]
        return float(mean([_accuracy(name, items) for name in found])) if found else float("nan")


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _is_of(name: str, kind: str) -> bool:
    return kind == name or (name == SELECT and kind not in CHANGES)


def _accuracy(name: str, items: Sequence[tuple[str, float]]) -> float:
    """Compute the mean of one type or category; NaN if no record of it was run."""
    values = [accuracy for kind, accuracy in items if _is_of(name, kind)]
    return sum(values) / len(values) if values else float("nan")


class DBEpisode(Episode):
    """One attempt at one record, with a database of its own."""

    def __init__(
        self, server: Server, doc: dict[str, Any], prompt: Prompt, options: DBBenchOptions
    ) -> None:
        """Prepare an attempt; `open` makes the database.

        Args:
            server: The database server.
            doc: The record.
            prompt: The first messages.
            options: Options of the task.
        """
        self._server = server
        self._doc = doc
        self._prompt = prompt
        self._protocol: Protocol = options.protocol
        self._left = options.max_rounds or MAX_ROUNDS[options.protocol]
        self._database: EpisodeDatabase | None = None

    def open(self) -> Prompt:
        """Make the database, and return the prompt."""
        self._database = EpisodeDatabase(self._server, table_of(self._doc))
        return self._prompt

    def step(self, reply: str) -> str | EpisodeOutcome:
        """Run the statement of the reply, or judge its answer.

        Raises:
            ServerError: If the server broke.
        """
        assert self._database is not None
        if is_operation(reply) and self._left:
            sql = sql_of(reply)
            if sql is None:
                return self.stop("invalid action")
            self._left -= 1
            return sql_observation(self._database.execute(sql))
        answer = answer_of(reply)
        if answer is None:
            return self.stop("limit" if is_operation(reply) else "invalid action")
        return self._judge("completed", answer)

    def stop(self, status: str) -> EpisodeOutcome:
        """Judge the table, which may be right, and an empty answer."""
        return self._judge(status, "")

    def _judge(self, status: str, answer: str) -> EpisodeOutcome:
        assert self._database is not None
        if self._doc["type"] in CHANGES:
            found = self._database.table_hash()
            return EpisodeOutcome(status, found == self._doc["answer_md5"], {"table_hash": found})
        correct = is_right(self._protocol, answer, self._doc["label"])
        return EpisodeOutcome(status, correct, {"answer": answer})

    def close(self) -> None:
        """Drop the database, if `open` made it."""
        if self._database is not None:
            self._database.close()
