"""DBBench as a task of lm-eval, on a real server, with models that know, guess or attack."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from lm_eval.models.huggingface import HFLM
from transformers import AutoTokenizer

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.tasks.agentbench_db.mariadb import shared_server
from mergekit_cycleqd.tasks.agentbench_db.model_statements import Reply
from mergekit_cycleqd.tasks.agentbench_db.protocol import is_right, sql_observation
from mergekit_cycleqd.tasks.agentbench_db.task import DBBench
from mergekit_cycleqd.tasks.episode import EpisodeError
from mergekit_cycleqd.tasks.episode_task import evals_folder
from tests.support.databases import (
    CITIES,
    RECORDS,
    UNSCORED,
    final,
    needs_mariadb,
    operation,
    question,
    record,
    write_records,
)
from tests.support.families import CHAT_TEMPLATE
from tests.support.oracles import Chat, Oracle, run_task

Answers = Callable[[Chat], str]


@pytest.fixture
def files(tmp_path: Path) -> str:
    return write_records(tmp_path / "records.jsonl")


def make(files: str, **metadata: Any) -> DBBench:
    return DBBench({"task": "agentbench_db", "metadata": {"data_files": files, **metadata}})


def knows(records: list[dict[str, Any]]) -> Answers:
    """A model that runs the right statement, or says the label."""
    labels = {r["description"]: (r["type"][0], r["label"]) for r in records}

    def answer(chat: Chat) -> str:
        kind, label = labels[question(chat)]
        if kind in ("INSERT", "UPDATE", "DELETE"):
            return operation(label[0]) if len(chat) == 3 else final("done")
        return operation("SELECT * FROM t") if len(chat) == 3 else final(label)

    return answer


def episodes(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(sample["resps"][0][0]) for sample in results["samples"]]


def correct(results: Mapping[str, Any]) -> list[bool]:
    return [episode["correct"] for episode in episodes(results)]


@needs_mariadb
class TestScores:
    def test_a_model_that_knows_is_right_everywhere(self, files: str) -> None:
        results = run_task(Oracle(knows(RECORDS)), make(files), bootstrap_iters=10)
        assert correct(results) == [i != UNSCORED for i in range(len(RECORDS))]
        assert results["sample_len"] == len(RECORDS) - 1
        for metric in ("acc", "acc_macro", "acc_SELECT", "acc_INSERT", "acc_DELETE", "acc_ranking"):
            assert results[f"{metric},none"] == 1
        assert results["acc_stderr,none"] == 0 and results["acc_macro_stderr,none"] == "N/A"

    @pytest.mark.parametrize("reply", ["", "I do not know.", final("'?'"), "Action: Operation\n"])
    def test_a_model_without_an_answer_is_wrong_everywhere(self, files: str, reply: str) -> None:
        results = run_task(Oracle(lambda chat: reply), make(files))
        assert not any(correct(results)) and results["acc,none"] == 0

    def test_a_model_that_answers_the_question_before_is_wrong(self, files: str) -> None:
        shifted = [
            {**r, "label": RECORDS[i - 1]["label"], "type": RECORDS[i - 1]["type"]}
            for i, r in enumerate(RECORDS)
        ]
        assert not any(correct(run_task(Oracle(knows(shifted)), make(files))))

    def test_accuracies_are_those_of_types_and_categories(self, files: str) -> None:
        right = {"How many live in Bern?", "Which are there?", "Add Ulm."}
        knowing = knows(RECORDS)
        oracle = Oracle(lambda chat: knowing(chat) if question(chat) in right else "hm")
        results = run_task(oracle, make(files))
        expected = {
            "acc": 3 / 10,
            "acc_SELECT": 2 / 6,
            "acc_INSERT": 1,
            "acc_UPDATE": 0,
            "acc_other": 1 / 2,
            "acc_macro": (2 / 6 + 1 + 0) / 3,
        }
        for metric, value in expected.items():
            assert results[f"{metric},none"] == pytest.approx(value), metric

    def test_the_table_is_judged_also_without_an_answer(self, files: str) -> None:
        knowing = knows(RECORDS)

        def forgets(chat: Chat) -> str:
            return knowing(chat) if len(chat) == 3 else "That should be it."

        results = run_task(Oracle(forgets), make(files))
        assert results["acc_INSERT,none"] == results["acc_UPDATE,none"] == 1
        assert results["acc_SELECT,none"] == 0
        assert {e["status"] for e in episodes(results)} == {"invalid action", "skipped"}

    @pytest.mark.parametrize(
        ("metadata", "rounds"),
        [({}, 15), ({"protocol": "released"}, 5), ({"protocol": "released", "max_rounds": 2}, 2)],
    )
    def test_a_model_may_run_so_many_statements_and_speak_once_more(
        self, files: str, metadata: dict[str, Any], rounds: int
    ) -> None:
        insert = "INSERT INTO t VALUES ('x', 'y')"
        oracle = Oracle(lambda chat: operation(insert))
        results = run_task(oracle, make(files, **metadata), samples={"agentbench_db": [0]})
        (episode,) = episodes(results)
        assert episode["status"] == "limit" and episode["turns"] == rounds + 1
        assert len(oracle.batches) == rounds + 1

    def test_the_chat_is_that_of_agentbench(self, files: str) -> None:
        long = "SELECT REPEAT('ab', 500)"
        turns = [operation(f"SELECT City\nFROM t;\n```\n```sql\n{long}"), operation("SELEC")]
        turns += [operation(long), final(["134000"])]
        oracle = Oracle(lambda chat: turns[len(chat) // 2 - 1])
        results = run_task(oracle, make(files), samples={"agentbench_db": [0]})
        (episode,) = episodes(results)
        roles = [message["role"] for message in episode["transcript"]]
        assert roles == ["user", "assistant"] * 5 and episode["correct"]
        texts = [message["content"] for message in episode["transcript"]]
        assert texts[0].lstrip().startswith("I will ask you a question")
        assert texts[1] == "Ok."
        assert texts[2] == "How many live in Bern?\nThe table is t, its headers are City,People."
        assert texts[4] == "[('Bern',), ('Åre',), ('名古屋 🏯',)]"
        assert texts[6].startswith("1064 (42000): You have an error in your SQL syntax")
        assert texts[8] == f"[('{'ab' * 398}a[TRUNCATED]"


@needs_mariadb
class TestMachinery:
    def test_transcripts_are_the_same_one_at_a_time(self, files: str) -> None:
        together, apart = Oracle(knows(RECORDS)), Oracle(knows(RECORDS))
        expected = episodes(run_task(together, make(files)))
        assert episodes(run_task(apart, make(files, max_open=1))) == expected
        assert len(together.batches) == 2 and len(apart.batches) == 20

    def test_a_server_killed_in_the_middle_changes_no_score(self, files: str) -> None:
        knowing = knows(RECORDS)
        expected = run_task(Oracle(knowing), make(files))
        killed: list[int] = []

        def kills(chat: Chat) -> str:
            if not killed and len(chat) == 5:
                killed.append(_kill_server())
            return knowing(chat)

        results = run_task(Oracle(kills), make(files))
        assert results["acc,none"] == expected["acc,none"] == 1
        again = episodes(results)
        assert {episode.pop("attempts", 1) for episode in again} == {1, 2}
        assert again == episodes(expected)

    def test_a_server_that_dies_every_time_ends_the_evaluation(self, files: str) -> None:
        def kills(chat: Chat) -> str:
            _kill_server()
            return operation("SELECT 1")

        with pytest.raises(EpisodeError, match=r"'agentbench_db', document 0: .*3 times"):
            run_task(Oracle(kills), make(files), samples={"agentbench_db": [0]})

    def test_nothing_is_left_on_the_server(self, files: str) -> None:
        run_task(Oracle(knows(RECORDS)), make(files))
        folder = Path(shared_server().admin.socket or "").parent / "data"
        assert not list(folder.glob("episode*"))

    def test_two_models_in_a_row_have_their_own_scores(self, files: str, tmp_path: Path) -> None:
        harness = LMHarness([Task.model_validate(_recipe_task(files, tmp_path))])
        for _ in range(2):
            assert harness.evaluate(Oracle(knows(RECORDS)), "search") == {"db": 1.0}
            assert harness.evaluate(Oracle(lambda chat: "hm"), "search") == {"db": 0.0}


def _kill_server() -> int:
    guard = shared_server()._guard
    children = Path(f"/proc/{guard.pid}/task/{guard.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    guard.wait()
    return guard.pid


def _recipe_task(files: str, folder: Path, **settings: Any) -> dict[str, Any]:
    (folder / "db.yaml").write_text(
        "task: db\nclass: !function mergekit_cycleqd.tasks.agentbench_db.task.DBBench\n"
        f"metadata: {{data_files: {files}}}\n"
    )
    return {
        "name": "db",
        "task": "db",
        "include_path": str(folder),
        "metric": "acc,none",
        "samples": {"search": "0-5", "holdout": "6-"},
        **settings,
    }


DENIED = r"^1(044|142|227|410|045|143|698) "

ATTACKS = {
    "SELECT * FROM mysql.user": DENIED,
    "DROP DATABASE mysql": DENIED,
    "CREATE DATABASE mine": DENIED,
    "CREATE USER me": DENIED,
    "GRANT ALL ON *.* TO CURRENT_USER()": DENIED,
    "SET GLOBAL max_statement_time = 0": DENIED,
    "SHUTDOWN": DENIED,
    "FLUSH TABLES WITH READ LOCK": DENIED,
    "SELECT LOAD_FILE('/etc/passwd')": r"^\[\(None,\)\]$",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE t": DENIED,
    "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t": r"^(4166|1148|3948|2000) ",
    "SELECT 1 INTO OUTFILE '/tmp/dbbench-attack'": DENIED,
    "INSTALL SONAME 'ha_connect'": DENIED,
    "CREATE TABLE l (a INT) DATA DIRECTORY = '/tmp'": r".",
    "SELECT SLEEP(1000000)": r"^1969 \(70100\)",
    "SET STATEMENT max_statement_time = 0 FOR SELECT SLEEP(1000000)": r"^3024 \(HY000\)",
    "SELECT BENCHMARK(1000000000000, SHA2('a', 512))": r".",
    "SELECT GET_LOCK('all', 1000000), SLEEP(1000000)": r"^1969 ",
    "BEGIN NOT ATOMIC WHILE 1 DO SELECT REPEAT('a', 1000); END WHILE; END": r"^\[\('aaa",
    "SELECT REPEAT('a', 1000000000)": r"^\[\(None,\)\]$",
    "SELECT REPEAT('ab', 400000) FROM information_schema.columns a, information_schema.columns b": (
        r"^\[\('abab"
    ),
    "SELECT " + ", ".join(["REPEAT('a', 1000000)"] * 50): r"^(1153|1[0-9]{3}) ",
    "SELECT * FROM information_schema.columns a, information_schema.columns b": r"TRUNCATED\]$",
    "CREATE TABLE big AS SELECT a.City, REPEAT('a', 60000) FROM t a"
    + "".join(f", t t{i}" for i in range(12)): r"^1[0-9]{3} ",
    "SELECT GROUP_CONCAT(a.City, b.City) FROM t a" + "".join(f", t b{i}" for i in range(20)): r".",
    "KILL CONNECTION_ID()": r"^(1927|1317|2013) ",
    "KILL USER root": r".",
    "DROP TABLE t": r"^\[\]$",
    "CREATE OR REPLACE VIEW t AS SELECT SLEEP(1000000)": r".",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000: r".",
}


@needs_mariadb
def test_attacks_are_contained_and_wrong_while_others_are_right(tmp_path: Path) -> None:
    attacked = [
        record(f"Attack {i}?", "other", ["?"], ["City", "People"], CITIES)
        for i in range(len(ATTACKS))
    ]
    statements = list(ATTACKS)
    knowing = knows(RECORDS)

    def answer(chat: Chat) -> str:
        attack = re.fullmatch(r"Attack (\d+)\?", question(chat))
        if attack is None:
            return knowing(chat)
        return operation(statements[int(attack[1])]) if len(chat) == 3 else final("none")

    server = shared_server()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = write_records(tmp_path / "records.jsonl", [*attacked, *RECORDS])
    results = run_task(Oracle(answer), make(files))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    found = dict(zip(statements, episodes(results), strict=False))
    for statement, expected in ATTACKS.items():
        shown = found[statement]["transcript"][4]["content"]
        assert re.search(expected, shown), f"{statement[:100]}: {shown[:300]}"
        assert not found[statement]["correct"] and found[statement]["turns"] == 2
    assert correct(results)[len(ATTACKS) :] == [i != UNSCORED for i in range(len(RECORDS))]
    assert not any("attempts" in episode for episode in episodes(results))
    assert shared_server() is server, "it never died"
    assert grown < 300_000, "kilobytes"
    assert not Path("/tmp/dbbench-attack").exists()


@needs_mariadb
def test_a_table_made_unreadable_is_a_wrong_answer(tmp_path: Path) -> None:
    changes = [
        "DROP TABLE t",
        "ALTER TABLE t DROP COLUMN People",
        "CREATE VIEW v AS SELECT SLEEP(1000000) AS City, 1 AS People",
        "DROP DATABASE t",
        "SET PASSWORD = PASSWORD('mine')",
    ]
    records = [
        record(f"Change {i}", "UPDATE", [""], ["City", "People"], CITIES, then=CITIES[:1])
        for i in range(len(changes))
    ]

    def answer(chat: Chat) -> str:
        change = changes[int(question(chat).split()[1])]
        if len(chat) == 3:
            return operation(change)
        if len(chat) == 5 and change.startswith("CREATE VIEW"):
            return operation("DROP TABLE t")
        if len(chat) == 7 and change.startswith("CREATE VIEW"):
            return operation("RENAME TABLE v TO t")
        return final("done")

    results = run_task(Oracle(answer), make(write_records(tmp_path / "r.jsonl", records)))
    hashes = [episode["details"]["table_hash"] for episode in episodes(results)]
    assert not any(correct(results))
    for found, code in zip(hashes, ("1146", "1054", "1969", "1049", "1045"), strict=True):
        assert found.startswith(f"{code} ")


@pytest.mark.parametrize(
    ("answer", "label", "right"),
    [
        (' ["134000"]', ["134000"], True),
        (" ['134000.0']", ["134000"], True),
        (" [134000]", ["134000"], True),
        (" 134000", ["134000"], True),
        (" Bern", [" Bern"], True),
        (" Bern", ["Bern"], False),  # the text of what is no literal keeps its blanks
        (" ['Bern']", ["bern"], False),
        (" ['b', 'a', 'a']", ["a", "b"], True),
        (" ['a']", ["a", "b"], False),
        (" ['1', '2']", ["1.0", "2"], False),
        (" [['a'], 'b']", ["a", "b"], False),
        (" [1, 2]", ["1", "2"], False),
        (" 'F'", ["F"], True),
        (" ['1_0']", ["10"], True),
        (" ['nan']", ["nan"], False),
        ("", ["x"], False),
        (" __import__('os').abort()", ["x"], False),
    ],
)
def test_answers_are_compared_as_by_the_benchmark(
    answer: str, label: list[str], right: bool
) -> None:
    assert is_right("v0.2", answer, label) is right
    assert is_right("released", answer, label) is right


@pytest.mark.parametrize(
    ("answer", "label", "right"),
    [
        (" ['1,234 ']", ["1234"], True),
        (" ['12.5%']", ["12.505"], True),
        (" ['12.5']", ["12.52"], False),
        (" [None]", ["0"], True),
        (" ['null']", ["none"], True),
        (" ['b', 'a']", ["a", "b"], True),
        (" ['a', 'a', 'b']", ["a", "b"], False),
        (" ['2', 'a', '1']", ["1.0", "2.0", "a"], True),
        (" ['a']", ["b"], False),
        (" ['inf']", ["1e999"], False),
    ],
)
def test_answers_are_compared_leniently_where_asked(
    answer: str, label: list[str], right: bool
) -> None:
    assert is_right("lenient", answer, label) is right


@pytest.mark.parametrize(
    "answer",
    [
        "[" * 5000,
        "[" * 90 + "]" * 90,
        "-" * 15_000 + "1",
        "9" * 19_000,
        "[1" + "0" * 4000 + "]",
        "{}" * 9000,
        "(" * 99 + "1" + ",)" * 99,
        "'" + "\\" * 999,
        "\x00",
        "\ud800",
        "1+" * 9000 + "1",
        "[" + "'x'," * 4900 + "]",
        "not " * 4000 + "1",
        "x" * 10**7,
    ],
    ids=lambda answer: f"{answer[:5]!a}",
)
def test_no_answer_breaks_the_comparison(answer: str) -> None:
    for protocol in ("v0.2", "lenient"):
        assert is_right(protocol, answer, ["1"]) is False  # type: ignore[arg-type]


def test_an_observation_is_a_list_of_tuples_of_at_most_800_characters() -> None:
    assert sql_observation(Reply([("a", 1, None)])) == "[('a', 1, None)]"
    assert sql_observation(Reply([])) == "[]"
    assert sql_observation(Reply(error="1146 (42S02): no")) == "1146 (42S02): no"
    exact = Reply([("a" * (800 - 7),)])
    assert sql_observation(exact) == str(list(exact.rows))
    assert sql_observation(Reply([("a" * 794,)])) == str([("a" * 794,)])[:800] + "[TRUNCATED]"


@needs_mariadb  # a task looks for its server when it is made
class TestRecords:
    def test_ids_are_places_and_what_cannot_run_keeps_its_own(
        self, files: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        more = write_records(tmp_path / "more.jsonl", RECORDS[:2])
        documents = make([files, more]).eval_docs  # type: ignore[arg-type]
        assert [doc["id"] for doc in documents] == list(range(13))
        assert [doc["id"] for doc in documents if "skip" in doc] == [UNSCORED]
        assert "document 10 is never scored: its table cannot be made" in caplog.text

    @pytest.mark.parametrize("inside", ["data/dbbench", "dbbench"])
    def test_a_clone_and_its_data_folder_are_found(self, tmp_path: Path, inside: str) -> None:
        folder = tmp_path / inside
        folder.mkdir(parents=True)
        write_records(folder / "dev.jsonl", RECORDS[3:5])
        write_records(folder / "standard.jsonl", RECORDS[:3])
        metadata = {"agentbench_root": str(tmp_path)}
        task = DBBench({"task": "agentbench_db", "metadata": metadata})
        assert [doc["description"] for doc in task.eval_docs] == [
            r["description"] for r in RECORDS[:5]
        ]

    @pytest.mark.parametrize(
        ("columns", "row"),
        [([""], ["1"]), (["a", "A"], ["1", "2"]), (["a" * 65], ["1"]), ([], []), (["a"], [])],
    )
    def test_tables_that_no_server_can_make_are_not_scored(
        self, tmp_path: Path, columns: list[str], row: list[str]
    ) -> None:
        records = [record("?", "other", ["1"], columns, [row]), RECORDS[0]]
        documents = make(write_records(tmp_path / "r.jsonl", records)).eval_docs
        assert ["skip" in doc for doc in documents] == [True, False]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"label": "x"}, r"line 1: is no record of DBBench: label"),
            ({"type": []}, r"line 1: is no record of DBBench: type"),
            ({"table": {"table_name": "t"}}, r"table\.table_info: Field required"),
            ({"type": ["INSERT"]}, r"a record of type INSERT needs answer_md5"),
        ],
    )
    def test_what_is_no_record_is_one_line_with_its_place(
        self, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        files = write_records(tmp_path / "r.jsonl", [{**RECORDS[0], **change}])
        with pytest.raises(CycleQDError, match=message) as caught:
            make(files)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            ({}, "needs agentbench_root, a clone of AgentBench, or data_files"),
            ({"agentbench_root": "/nowhere"}, "agentbench_root: no data/dbbench/"),
            ({"data_files": "/nowhere"}, "/nowhere cannot be read"),
            ({"data_files": "x", "protocol": "FC"}, "option protocol must be 'v0.2', 'released'"),
            ({"agentbench_rot": "x"}, "did you mean 'agentbench_root'"),
            ({"data_files": "x", "dsn": 3}, "option dsn must be a valid string$"),
        ],
    )
    def test_a_wrong_option_is_one_line(self, metadata: dict[str, Any], message: str) -> None:
        with pytest.raises(CycleQDError, match=message) as caught:
            DBBench({"task": "agentbench_db", "metadata": metadata})
        assert "\n" not in str(caught.value)

    def test_a_dsn_that_leads_nowhere_is_refused_without_its_password(self, files: str) -> None:
        with pytest.raises(CycleQDError, match=r"no database server at 127\.0\.0\.1:1: ") as caught:
            make(files, dsn="mysql://me:secret@127.0.0.1:1/")
        assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def chat_model(family: Family, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny base model, with a chat template."""
    folder = tmp_path_factory.mktemp("chat")
    for path in Path(family.base_model).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return str(folder)


@needs_mariadb
@pytest.mark.slow
def test_a_real_model_has_the_same_scores_by_the_command_and_by_our_harness(
    chat_model: str, files: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu"]
    command += ["--model_args", f"pretrained={chat_model}", "--tasks", "agentbench_db"]
    command += ["--include_path", str(evals_folder()), "--apply_chat_template", "--log_samples"]
    command += ["--metadata", json.dumps({"data_files": files}), "--gen_kwargs", "max_gen_toks=8"]
    command += ["--output_path", str(tmp_path / "out"), "--limit", "6"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]
    (path,) = (tmp_path / "out").rglob("results_*.json")
    by_command = json.loads(path.read_text())["results"]["agentbench_db"]
    (path,) = (tmp_path / "out").rglob("samples_*.jsonl")
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(samples) == 6 and "transcript" in samples[0]["resps"][0][0]

    task = Task.model_validate(_recipe_task(files, tmp_path, gen_kwargs={"max_gen_toks": 8}))
    lm = HFLM(pretrained=chat_model, device="cpu", batch_size=4)
    ours = LMHarness([task]).evaluate(lm, "search")
    assert ours == {"db": by_command["acc,none"]}

    task_object = make(files)
    task_object.set_config("generation_kwargs", {"max_gen_toks": 8}, update=True)
    texts = [episode["transcript"] for episode in episodes(run_task(lm, task_object, limit=6))]
    assert texts == [json.loads(s["resps"][0][0])["transcript"] for s in samples]


@needs_mariadb
@pytest.mark.slow
@pytest.mark.skipif("AGENTBENCH_ROOT" not in os.environ, reason="AGENTBENCH_ROOT is not set")
class TestBenchmark:
    """The records of AgentBench itself."""

    @pytest.fixture(scope="class")
    def results(self) -> dict[str, Any]:
        metadata = {"agentbench_root": os.environ["AGENTBENCH_ROOT"]}
        task = DBBench({"task": "agentbench_db", "metadata": metadata})
        labels = {doc["description"] + doc["add_description"]: doc for doc in task.eval_docs}

        def answer(chat: Chat) -> str:
            doc = labels[chat[2]["content"].replace("\n", "", 1)]
            if doc["type"] in ("INSERT", "UPDATE") and len(chat) == 3:
                return operation(doc["label"][0])
            return final(doc["label"])

        return run_task(Oracle(answer), task)

    def test_its_statements_give_its_hashes_but_for_one(self, results: dict[str, Any]) -> None:
        changes = [i for i, right in enumerate(correct(results)) if not right]
        assert changes == [225, 305], "305 has a column without a name and is not run"

    def test_its_labels_are_right(self, results: dict[str, Any]) -> None:
        assert results["acc_SELECT,none"] == 1 and results["sample_len"] == 359
