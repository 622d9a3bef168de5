"""Episodes in lockstep, as lm-eval runs them: the environments here count, in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import lm_eval
import pytest
from lm_eval.api.metrics import mean
from lm_eval.api.model import LM, CachingLM
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.tasks.episode import Episode, EpisodeError, EpisodeOutcome, Prompt
from mergekit_cycleqd.tasks.episode_task import Aggregation, EpisodeTask, evals_folder
from mergekit_cycleqd.tasks.lockstep import install_rollout
from tests.support.oracles import Chat, Oracle, ShortOracle, run_task


class Register:
    """What the environments of a test have in common."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.most_open = 0
        self.closed: list[str] = []
        self.faults: dict[str, list[str]] = {}
        self.lock = threading.Lock()

    def fault(self, name: str, where: str) -> None:
        """Break, if this document is to break here."""
        with self.lock:
            due = self.faults.get(name, [])
            breaks = bool(due) and due[0] == where
            if breaks:
                due.pop(0)
        if breaks:
            raise RuntimeError(f"{where} of {name} broke")


REGISTER = Register()


@pytest.fixture(autouse=True)
def register() -> Iterator[Register]:
    REGISTER.__init__()  # type: ignore[misc]
    yield REGISTER
    assert not REGISTER.open, "an environment was not closed"


class Counting(Episode):
    """The model must say 1, 2, 3, ... up to a number, and then "done"."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.said = 0

    def open(self) -> Prompt:
        with REGISTER.lock:
            REGISTER.open.append(self.name)
            REGISTER.most_open = max(REGISTER.most_open, len(REGISTER.open))
        REGISTER.fault(self.name, "open")
        return first(self.name, self.number)

    def step(self, reply: str) -> str | EpisodeOutcome:
        REGISTER.fault(self.name, "step")
        if reply == "done":
            return EpisodeOutcome("completed", self.said == self.number, {"said": self.said})
        self.said += 1
        return f"{self.name} heard {reply}" if self.said < 40 else EpisodeOutcome("limit", False)

    def stop(self, status: str) -> EpisodeOutcome:
        return EpisodeOutcome(status, False)

    def close(self) -> None:
        with REGISTER.lock:
            REGISTER.open.remove(self.name)
            REGISTER.closed.append(self.name)


def first(name: str, number: int) -> Prompt:
    return [{"role": "user", "content": f"{name}: count to {number}"}]


class CountingTask(EpisodeTask):
    """Document i counts to i % 5 + 1; document 3 cannot be run."""

    size: ClassVar[int] = 12

    def documents(self) -> Sequence[dict[str, Any]]:
        documents: list[dict[str, Any]] = [
            {"id": i, "name": f"{self.config.task} {i}", "number": i % 5 + 1}
            for i in range(self.size)
        ]
        if self.size > 3:
            documents[3]["skip"] = "3 is unlucky"
        return documents

    def prompt(self, doc: dict[str, Any]) -> Prompt:
        return first(doc["name"], doc["number"])

    def episode(self, doc: dict[str, Any]) -> Episode:
        return Counting(doc["name"], doc["number"])

    def metrics(self) -> Mapping[str, Aggregation]:
        return {"acc": mean}


class Telling(Counting):
    """Begins with a plain text."""

    def open(self) -> Prompt:
        super().open()
        return f"Begin: {self.name}"


class PlainTask(CountingTask):
    size = 2

    def prompt(self, doc: dict[str, Any]) -> Prompt:
        return f"Begin: {doc['name']}"

    def episode(self, doc: dict[str, Any]) -> Episode:
        return Telling(doc["name"], 0)


def make(task: type[CountingTask] = CountingTask, name: str = "count", **metadata: Any) -> Any:
    return task({"task": name, "metadata": metadata})


def counts(chat: Chat) -> str:
    """A model that can count."""
    number = int(chat[-1 if len(chat) == 1 else 0]["content"].rpartition(" ")[2])
    said = sum(message["role"] == "assistant" for message in chat)
    return "done" if said == number else str(said + 1)


def counts_to_three(chat: Chat) -> str:
    said = sum(message["role"] == "assistant" for message in chat)
    return "done" if said == 3 else str(said + 1)


def simple_evaluate(lm: LM, task: Any, **settings: Any) -> Any:
    """lm-eval's main function, without an index of its own tasks, which takes seconds."""
    manager = TaskManager(include_defaults=False)
    settings = {"bootstrap_iters": 0, **settings}
    return lm_eval.simple_evaluate(lm, tasks=[task], task_manager=manager, **settings)


def episodes(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(sample["resps"][0][0]) for sample in results["samples"]]


def test_a_model_that_is_right_scores_1_and_its_transcripts_are_logged() -> None:
    results = run_task(Oracle(counts), make())
    assert results["acc,none"] == 1 and results["sample_len"] == 11
    assert episodes(results)[1] == {
        "status": "completed",
        "correct": True,
        "turns": 3,
        "transcript": [
            {"role": "user", "content": "count 1: count to 2"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "count 1 heard 1"},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "count 1 heard 2"},
            {"role": "assistant", "content": "done"},
        ],
        "details": {"said": 2},
    }


def test_every_round_is_one_batch_of_all_live_episodes() -> None:
    class Many(CountingTask):
        size = 64

    oracle = Oracle(counts)
    run_task(oracle, make(Many))
    longest = 5 + 1  # counts to 5, and says so
    assert len(oracle.batches) == longest
    assert len(oracle.batches[0]) == 63 and len(oracle.batches[-1]) == 12


def test_transcripts_are_the_same_one_at_a_time(register: Register) -> None:
    together = episodes(run_task(Oracle(counts), make()))
    assert register.most_open == 11
    register.most_open = 0
    oracle = Oracle(counts)
    assert episodes(run_task(oracle, make(max_open=1))) == together
    assert register.most_open == 1
    assert {len(batch) for batch in oracle.batches} == {1}


def test_as_one_episode_ends_the_next_is_opened(register: Register) -> None:
    oracle = Oracle(counts)
    run_task(oracle, make(max_open=4))
    assert register.most_open == 4
    sizes = [len(batch) for batch in oracle.batches]
    assert sizes[:-5] == [4] * (len(sizes) - 5), "never fewer before the last ones"


def test_tasks_of_one_evaluation_share_their_batches() -> None:
    oracle = Oracle(counts)
    tasks = {"one": make(name="one"), "two": make(name="two")}
    lm_eval.evaluator.evaluate(oracle, {"tasks": tasks}, bootstrap_iters=0)
    assert len(oracle.batches) == 6 and len(oracle.batches[0]) == 22


def test_a_second_evaluation_of_the_same_task_object_forgets_the_first() -> None:
    task = make()
    assert run_task(Oracle(counts), task)["acc,none"] == 1
    assert run_task(Oracle(counts_to_three), task)["acc,none"] == pytest.approx(2 / 11)
    assert run_task(Oracle(counts), task)["acc,none"] == 1


@pytest.mark.parametrize("where", ["open", "step"])
def test_an_episode_that_breaks_is_run_again_with_the_same_result(
    register: Register, where: str
) -> None:
    expected = episodes(run_task(Oracle(counts), make()))
    register.faults["count 4"] = [where, where]
    broken = episodes(run_task(Oracle(counts), make()))
    assert broken[4].pop("attempts") == 3
    assert broken == expected
    assert register.closed.count("count 4") == 1 + 3


def test_an_episode_that_breaks_three_times_ends_the_evaluation(register: Register) -> None:
    register.faults["count 4"] = ["open", "step", "open"]
    with pytest.raises(EpisodeError, match=r"'count', document 4.*RuntimeError: open of count 4"):
        run_task(Oracle(counts), make())
    assert set(register.closed) == {f"count {i}" for i in range(12) if i != 3}


def test_an_interrupt_closes_every_environment_once(register: Register) -> None:
    def interrupted(chat: Chat) -> str:
        if len(chat) == 5:
            raise KeyboardInterrupt
        return counts(chat)

    with pytest.raises(KeyboardInterrupt):
        run_task(Oracle(interrupted), make())
    assert len(register.closed) == len(set(register.closed)) == 11


def test_an_episode_that_outgrows_the_context_ends_and_the_others_go_on() -> None:
    expected = run_task(Oracle(counts), make())
    longest = max(len(json.dumps(e["transcript"][:-1])) for e in episodes(expected))
    results = run_task(ShortOracle(counts, max_length=512 + longest - 1), make())
    for before, after in zip(episodes(expected), episodes(results), strict=True):
        if len(json.dumps(before["transcript"][:-1])) < longest:
            assert after == before
        else:
            assert (after["status"], after["correct"]) == ("context exceeded", False)
            assert after["transcript"] == before["transcript"][:-1]
    assert 0 < results["acc,none"] < 1


def test_a_context_without_room_for_a_reply_is_an_error() -> None:
    with pytest.raises(CycleQDError, match=r"512 tokens .* context of 500: set max_gen_toks"):
        run_task(ShortOracle(counts, max_length=500), make())


def test_a_model_without_a_chat_template_is_an_error(family: Family) -> None:
    lm = HFLM(pretrained=family.base_model, device="cpu", batch_size=4)
    with pytest.raises(CycleQDError, match="give its tokenizer a chat_template"):
        run_task(lm, make())


def test_a_plain_text_is_sent_as_it_is_and_has_one_turn() -> None:
    oracle = Oracle(lambda chat: "done")
    assert run_task(oracle, make(PlainTask))["acc,none"] == 1
    assert oracle.batches[0][0] == [{"role": "user", "content": "Begin: count 0"}]
    with pytest.raises(EpisodeError, match="one turn only"):
        run_task(Oracle(lambda chat: "not done"), make(PlainTask))
    with pytest.raises(CycleQDError, match="plain text"):
        run_task(oracle, make(PlainTask), system_instruction="Be brief.")


def test_a_system_instruction_stands_before_the_chat() -> None:
    oracle = Oracle(counts_to_three)
    results = run_task(oracle, make(), system_instruction="Be brief.")
    assert oracle.batches[0][0][0] == {"role": "system", "content": "Be brief."}
    assert episodes(results)[0]["transcript"][0]["role"] == "system"


def test_the_score_of_repeats_is_their_mean() -> None:
    replies = iter(["1", "1", "done", "2", "done"])  # right, and one too many
    results = run_task(Oracle(lambda chat: next(replies)), make(repeats=2), samples={"count": [0]})
    assert len(results["samples"][0]["resps"][0]) == 2
    assert results["acc,none"] == 0.5 and results["sample_len"] == 1


def test_generation_settings_reach_every_turn() -> None:
    oracle = Oracle(counts)
    simple_evaluate(oracle, make(), gen_kwargs={"max_gen_toks": 99}, limit=2)
    assert len(oracle.settings) == 5
    assert {s["max_gen_toks"] for s in oracle.settings} == {99}
    assert oracle.settings[0]["do_sample"] is False and oracle.settings[0]["until"] == []


def test_limit_and_samples_choose_documents_and_keep_their_ids() -> None:
    limited = run_task(Oracle(counts), make(), limit=3)
    assert [sample["doc_id"] for sample in limited["samples"]] == [0, 1, 2]
    chosen = run_task(Oracle(counts), make(), samples={"count": [3, 7]})
    assert [sample["doc_id"] for sample in chosen["samples"]] == [3, 7]
    assert episodes(chosen)[0]["status"] == "skipped" and chosen["sample_len"] == 1
    option = run_task(Oracle(counts), make(samples="5-6,9"))
    assert [sample["doc"]["id"] for sample in option["samples"]] == [5, 6, 9]


def test_a_second_use_of_the_cache_asks_the_model_nothing(tmp_path: Path) -> None:
    def evaluate(answer: Any) -> tuple[Oracle, dict[str, Any]]:
        oracle = Oracle(answer)
        results = simple_evaluate(oracle, make(), use_cache=str(tmp_path / "cache"))
        return oracle, results["results"]["count"]

    asked, first_results = evaluate(counts)
    silent, second_results = evaluate(lambda chat: pytest.fail("it was asked"))
    assert asked.batches and not silent.batches
    assert first_results == second_results and first_results["acc,none"] == 1


def test_installing_again_changes_nothing() -> None:
    make()
    before = (LM.rollout, CachingLM.rollout)
    install_rollout()
    assert (LM.rollout, CachingLM.rollout) == before


YAML = """
task: {name}
class: !function tests.tasks.test_episodes.CountingTask
metadata: {{max_open: 2}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("count_a", "count_b"):
        (tmp_path / f"{name}.yaml").write_text(YAML.format(name=name))
    (tmp_path / "both.yaml").write_text(
        "group: both\ntask: [count_a, count_b]\n"
        "aggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"
    )
    return tmp_path


def test_a_group_of_tasks_has_a_score(folder: Path) -> None:
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    results = lm_eval.simple_evaluate(
        Oracle(counts_to_three), tasks=["both"], task_manager=manager, bootstrap_iters=10
    )
    assert results["results"]["both"]["acc,none"] == pytest.approx(2 / 11)
    assert results["results"]["count_a"]["acc_stderr,none"] > 0


def test_scores_through_our_harness_are_those_of_each_model_in_turn(folder: Path) -> None:
    content = {
        "name": "count",
        "task": "count_a",
        "include_path": str(folder),
        "metric": "acc,none",
        "samples": {"search": "0-5", "holdout": "6-"},
        "gen_kwargs": {"max_gen_toks": 7},
    }
    harness = LMHarness([Task.model_validate(content)])
    right, wrong = Oracle(counts), Oracle(counts_to_three)
    for _ in range(2):
        assert harness.evaluate(right, "search") == {"count": 1.0}
        assert harness.evaluate(wrong, "search") == {"count": pytest.approx(1 / 5)}
        assert harness.evaluate(wrong, "holdout") == {"count": pytest.approx(1 / 6)}
    assert {settings["max_gen_toks"] for settings in right.settings} == {7}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"max_opne": 3}, "count: unknown option 'max_opne'; did you mean 'max_open'?"),
        ({"repeats": "5"}, "count: option repeats must be a valid integer, got '5'"),
        ({"repeats": 0}, "count: option repeats must be greater than or equal to 1, got 0"),
        ({"samples": "9-3"}, "count: option samples is empty: 9-3 runs backwards, got '9-3'"),
        ({"samples": "0-99"}, "count: option samples reaches beyond the task's 12 documents"),
        ({"pretrained": "m", "repeat": 2}, "count: unknown option 'repeat'; did you mean"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_model(
    metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(CycleQDError) as caught:
        make(**metadata)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_options_of_other_tasks_and_arguments_of_models_are_no_mistakes() -> None:
    task = make(backend="docker", pretrained="m", max_length=99, dtype="auto", version=2)
    assert task.options.max_open == 64


def test_the_password_of_a_server_is_not_in_the_results() -> None:
    results = simple_evaluate(Oracle(counts), make(dsn="mysql://me:secret@host/"), limit=1)
    assert "secret" not in str(results)


def test_examples_are_refused() -> None:
    task = make()
    task.set_config("num_fewshot", 2)
    with pytest.raises(CycleQDError, match="num_fewshot must be 0, got 2"):
        run_task(Oracle(counts), task)


def test_the_folder_of_task_files_has_ours() -> None:
    assert (evals_folder() / "agentbench_db.yaml").is_file()
