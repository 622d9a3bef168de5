"""Elites evaluated again: noise chooses less, and the search stays a function of its scores."""

from __future__ import annotations

import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from pydantic import ValidationError

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.engines.answer_sampling import with_separate_seeds
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import JournalError, RecipeError, SearchError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.evaluators.open import harness_of, open_harness, repeat_faults
from mergekit_cycleqd.evaluators.task_samples import evaluation_ids, repeat_blocks
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.lineage_file import ancestors
from mergekit_cycleqd.hub.publications import open_run
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Evolution
from mergekit_cycleqd.recipe.tasks import Samples, Task
from mergekit_cycleqd.report.curves import curves
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.candidate import Candidate, Outcome, quality_task
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.reevaluate import Reevaluations
from mergekit_cycleqd.search.scores import Scores
from mergekit_cycleqd.workers.messages import answer_message, job_message
from mergekit_cycleqd.workers.pool import Job
from tests.support.lm_eval_tasks import task
from tests.support.recipes import RecipeMaker, write_run_recipe
from tests.support.runs import derived, lines, main_ok, start, wait_for
from tests.support.searches import TASKS, recipe

Score = Callable[[Candidate], Scores | None]


def truth(genome: Genome) -> dict[str, float]:
    weights = genome.weights
    return {
        task: math.exp(-((weights[k] - 0.8) ** 2) - 0.3 * (sum(weights) - 1.4) ** 2)
        for k, task in enumerate(TASKS)
    }


def noisy(candidate: Candidate, salt: int = 0) -> dict[str, float]:
    """Others in each repeat, and in the same one always the same."""
    shake = random.Random(f"{salt} {candidate.genome.id} {candidate.repeat}")
    return {task: value + shake.gauss(0, 0.1) for task, value in truth(candidate.genome).items()}


def sometimes(candidate: Candidate) -> dict[str, float] | None:
    """Noisy, and some evaluations fail, repeats among them."""
    return None if candidate.index % 11 == 10 else noisy(candidate)


def state(search: CycleQD) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that an archive shows, to the last bit."""
    return {
        task: [
            *((e.index, e.genome.id, tuple(e.scores.items()), e.evaluations) for e in found),
            (search.archives[task].qd_score, search.archives[task].coverage),
        ]
        for task in search.tasks
        for found in [search.elites(task)]
    }


def finish(search: CycleQD, score: Score = noisy, workers: int = 1, seed: int = 0) -> list[Outcome]:
    """Evaluate all, so many at a time, which end in any order."""
    rng, under_way, told = random.Random(seed), list[Candidate](), list[Outcome]()
    while not search.done:
        while search.ready and len(under_way) < workers:
            under_way.append(search.ask())
        candidate = under_way.pop(rng.randrange(len(under_way)))
        told.append(Outcome(candidate, score(candidate)))
        search.tell(candidate, told[-1].scores)
    return told


@pytest.mark.slow
def test_what_the_archives_promise_comes_nearer_to_the_truth() -> None:
    def promised(salt: int, **evolution: Any) -> float:
        """By how much the elites score more than they are worth."""
        search = CycleQD(recipe(children=250, **evolution))
        finish(search, lambda candidate: noisy(candidate, salt))
        elites = [(task, elite) for task in TASKS for elite in search.elites(task)]
        return fmean(elite.scores[task] - truth(elite.genome)[task] for task, elite in elites)

    for salt in range(3):
        once, again = promised(salt), promised(salt, reevaluate=3)
        assert once > 0.03, "chance chose them"
        assert abs(again) < 0.75 * once


@pytest.mark.parametrize("lag", [1, 5])
def test_archives_are_those_of_offering_everything_in_order_with_mean_scores(lag: int) -> None:
    search = CycleQD(recipe(children=120, lag=lag, reevaluate=3))
    told = sorted(finish(search, sometimes, workers=lag), key=lambda item: item.candidate.index)
    found: dict[int, list[Scores]] = {}
    for item in told:
        if item.scores is not None:
            again = item.candidate.again
            found.setdefault(item.candidate.index if again is None else again, []).append(
                item.scores
            )
    for name, archive in search.archives.items():
        fresh = TaskArchive(name, archive.axes, archive.bins, archive.ranges)
        for item in told:
            candidate = item.candidate
            if candidate.again is None and (all_scores := found.get(candidate.index)):
                mean = {t: math.fsum(s[t] for s in all_scores) / len(all_scores) for t in TASKS}
                fresh.add(Elite(candidate.index, candidate.genome, mean, candidate.parents))
        shown = [(e.index, dict(e.scores)) for e in archive.elites]
        assert shown == [(e.index, dict(e.scores)) for e in fresh.elites]
        assert archive.qd_score == pytest.approx(fresh.qd_score)
        assert archive.best == fresh.best == fresh.elites[0].scores[name]
    assert max(len(scores) for scores in found.values()) > 1
    elites = [elite for name in TASKS for elite in search.elites(name)]
    assert all(elite.evaluations == len(found[elite.index]) for elite in elites)
    assert any(item.scores is None and item.candidate.again is not None for item in told)


grid = st.integers(0, 6).map(lambda n: n / 6)


@given(st.lists(st.fixed_dictionaries({task: grid for task in TASKS}), min_size=1, max_size=30))
def test_offering_many_at_once_is_offering_them_one_by_one(found: list[dict[str, float]]) -> None:
    genome = Genome.from_base(Family("base", ("a", "b", "c")))
    elites = [Elite(i, genome, scores, ()) for i, scores in enumerate(found)]
    one, other = (TaskArchive("a", ["b", "c"], [2, 3], [(0.0, 1.0), (0.2, 0.9)]) for _ in range(2))
    one.add(Elite(99, genome, dict.fromkeys(TASKS, 2.0), ()))
    one.refill(elites)
    for elite in elites:
        other.add(elite)
    assert [e.index for e in one.elites] == [e.index for e in other.elites]
    assert one.best == other.best


def test_ranges_stay_those_of_the_experts_first_evaluation() -> None:
    search = CycleQD(recipe(children=60, reevaluate=2))
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, noisy(candidate))
    ranges = {name: archive.ranges for name, archive in search.archives.items()}
    told = finish(search)
    assert {item.candidate.again for item in told} & {0, 1, 2}, "experts are elites too"
    assert {name: archive.ranges for name, archive in search.archives.items()} == ranges


def test_the_elite_with_the_fewest_evaluations_comes_first_then_the_best_then_the_oldest() -> None:
    search = CycleQD(recipe(children=90, lag=6, reevaluate=2))
    asked: Counter[int] = Counter()
    under_way: list[Candidate] = []
    chosen = 0
    while not search.done:
        while search.ready:
            archives = {name: search.elites(name) for name in TASKS}
            candidate = search.ask()
            under_way.append(candidate)
            if candidate.again is None:
                continue
            elites = archives[candidate.task]
            chosen += 1
            expected = min(
                elites, key=lambda e: (asked[e.index], -e.scores[candidate.task], e.index)
            )
            assert candidate.again == expected.index
            assert candidate.genome == expected.genome and candidate.parents == (expected.index,)
            asked[candidate.again] += 1
            assert candidate.repeat == asked[candidate.again], "those under way count"
        candidate = under_way.pop(len(under_way) // 2)
        search.tell(candidate, sometimes(candidate))
    assert chosen == 45 and search.told_count == 93 and search.children_told == 90
    assert max(asked.values()) > 1


@pytest.mark.parametrize("every", [2, 3, 4, 5, 6, 12])
@pytest.mark.parametrize("cycle", [1, 2])
def test_every_task_gives_up_the_same_share_of_its_children(every: int, cycle: int) -> None:
    run = recipe(cycle=cycle, reevaluate=every, founders=[0.3, 0.5])
    repeats = Reevaluations(run)
    taken = [i for i in range(5 + 36 * every * cycle) if repeats.is_due(i)]
    assert min(taken) >= 5, "neither experts nor founders"
    assert [(i - 5) // every for i in taken] == list(range(36 * cycle)), "one of every so many"
    counts = Counter(quality_task(run, index) for index in taken)
    assert set(counts.values()) == {12 * cycle}
    fixed = Reevaluations(recipe(quality="b", reevaluate=every))
    assert [i for i in range(40) if fixed.is_due(i)] == list(range(2 + every, 40, every))
    never = Reevaluations(recipe())
    assert not any(never.is_due(i) for i in range(40))


@pytest.mark.parametrize(
    ("lag", "bins", "quality"),
    [(1, 15, "cyclic"), (4, 15, "cyclic"), (12, 1, "a")],  # one cell: all repeats are of its elite
)
def test_a_search_goes_on_from_any_part_of_its_journal(lag: int, bins: int, quality: str) -> None:
    run = recipe(children=30, lag=lag, reevaluate=2, quality=quality)
    tasks = tuple(each.model_copy(update={"bins": bins}) for each in run.tasks)
    run = run.model_copy(update={"tasks": tasks})
    whole = CycleQD(run)
    told = finish(whole, sometimes, workers=lag)
    expected = state(whole)
    asked = {item.candidate.index: item.candidate for item in told}
    for count in range(len(told) + 1):
        search = CycleQD(run, told[:count])
        again = finish(search, sometimes)
        assert all(item.candidate == asked[item.candidate.index] for item in again)
        assert state(search) == expected


def test_any_number_of_workers_finds_the_same_at_equal_lag() -> None:
    run = recipe(children=90, lag=6, reevaluate=2)
    searches = [CycleQD(run) for _ in range(5)]
    for seed, (search, workers) in enumerate(zip(searches, (1, 3, 3, 6, 6), strict=True)):
        finish(search, sometimes, workers=workers, seed=seed)
    assert all(state(search) == state(searches[0]) for search in searches)


def test_a_failed_reevaluation_changes_nothing() -> None:
    search = CycleQD(recipe(children=40, reevaluate=4))
    while not search.done:
        candidate = search.ask()
        before = state(search)
        search.tell(candidate, None if candidate.again is not None else noisy(candidate))
        if candidate.again is not None and not search.done:
            assert state(search) == before
    plain = [e.evaluations for name in TASKS for e in search.elites(name)]
    assert set(plain) == {1}


def test_a_journal_that_cannot_be_is_refused() -> None:
    told = finish(CycleQD(recipe(children=12, reevaluate=3)))
    with pytest.raises(
        SearchError, match=r"candidate 5 evaluates candidate \d+ once more, which has no scores"
    ):
        CycleQD(recipe(children=12), told)


def test_lines_say_what_is_evaluated_again_and_others_are_as_before() -> None:
    told = finish(CycleQD(recipe(children=12, reevaluate=3)))
    family = recipe().family
    for item in told:
        record = Record(item.candidate.genome, "search", item.scores, item.candidate)
        content = json.loads(json.dumps(record.to_json()))
        assert ("again" in content) == ("repeat" in content) == (item.candidate.again is not None)
        assert Record.from_json(content, family) == record
        assert Record.from_json(content | {"scores": None}, family).told is not None or (
            item.candidate.index < 3
        ), "a failed one is not tried again when the run goes on"
        if "again" not in content:
            continue
        for spoilt in (
            {"again": content["index"]},
            {"again": True},
            {"repeat": 0},
            {"repeat": None},
            {"again": None},
            {"parents": [0, 1]},
        ):
            with pytest.raises(JournalError, match="it is repeat"):
                Record.from_json(content | spoilt, family)


def test_repeats_take_blocks_that_share_no_sample() -> None:
    found = repeat_blocks(list(range(100, 175)), 20)
    assert [(block[0], block[-1], len(block)) for block in found] == [
        (100, 119, 20),
        (120, 139, 20),
        (140, 159, 20),
    ]
    first = list(range(20))
    assert evaluation_ids(first, found, 0) == first
    assert [evaluation_ids(first, found, repeat)[0] for repeat in range(1, 6)] == [
        100,
        120,
        140,
        100,
        120,
    ]
    assert evaluation_ids(first, [], 3) == first
    with pytest.raises(ValueError, match=r"as many ids as search has \(20\), got 19"):
        repeat_blocks(list(range(19)), 20)


# ---- with real models ----


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    experts = [Checkpoint.open(expert) for expert in family.experts]
    settings = Engine(device="cpu", dtype="float32", batch_size=4)
    return HFEngine(settings, Checkpoint.open(family.base_model), experts)


SAMPLES = {"search": "0-7", "again": "8-29", "holdout": "30-"}


def test_a_repeat_scores_its_own_block_whatever_was_scored_before(
    engine: HFEngine, family: Family
) -> None:
    def tasks(samples: dict[str, str]) -> list[Any]:
        shots = {"num_fewshot": 2, "samples": samples}
        return [task("red", "acc,none", **shots), task("generate", "exact_match,whole", **shots)]

    def seen(harness: LMHarness, repeat: int) -> tuple[dict[str, float], list[Any]]:
        """The scores, and what the model was asked."""
        found = harness.evaluate(engine.model, "search", repeat=repeat)
        first = (0, 8, 16, 8)[repeat]
        objects = [harness._by_samples[name, "search", first] for name in ("red", "generate")]
        return found, [request.args for loaded in objects for request in loaded.first.instances]

    engine.load(Genome.from_expert(family, 0))
    expected = []
    for ids in ("0-7", "8-15", "16-23", "8-15"):
        alone = LMHarness(tasks({"search": ids}))
        found = alone.evaluate(engine.model, "search")
        objects = [loaded.first for loaded in alone._objects["search"].values()]
        asked = [request.args for loaded in objects for request in loaded.instances]
        expected.append((found, asked))
    for order in ((0, 1, 2, 3), (3, 2, 0, 1, 2, 0)):
        harness = LMHarness(tasks(SAMPLES))
        assert harness.steady == {"red", "generate"}
        for repeat in order:
            assert seen(harness, repeat) == expected[repeat]


def test_a_function_gets_the_samples_of_each_repeat(tmp_path: Path) -> None:
    code = "def length(model, samples): return {'length': sum(samples)}\n"
    (tmp_path / "mine.py").write_text(code)
    one = Task.model_validate(
        {
            "name": "own",
            "evaluator": "python",
            "task": f"{tmp_path}/mine.py:length",
            "metric": "length",
            "samples": {"search": "0-2", "again": "10-16"},
            "confirm_run_unsafe_code": True,
        }
    )
    harness = harness_of([one, task("red", "acc,none")])
    assert harness.steady == {"red"}, "of a function nothing is known"
    alone = harness_of([one])
    scores = [alone.evaluate(None, "search", repeat=repeat)["own"] for repeat in range(4)]
    assert scores == [0 + 1 + 2, 10 + 11 + 12, 13 + 14 + 15, 10 + 11 + 12]
    with pytest.raises(RecipeError, match=r"samples.again: needs at least as many ids as search"):
        harness_of([one.model_copy(update={"samples": Samples(search="0-9", again="10-16")})])


def answers(harness: LMHarness, model: Any, repeat: int) -> list[str]:
    harness.evaluate(model, "search", repeat=repeat)
    return [request.resps[0] for request in harness._objects["search"]["drawn"].first.instances]


def test_sampled_answers_differ_between_repeats_and_are_the_same_in_each(
    engine: HFEngine, family: Family
) -> None:
    def drawn(**more: Any) -> LMHarness:
        settings = {"do_sample": True, "temperature": 1.0, **more}
        return LMHarness(
            [task("drawn", "exact_match,whole", task="tiny_generate", gen_kwargs=settings)]
        )

    engine.load(Genome.from_expert(family, 1))
    harness = drawn()
    assert not harness.steady
    found = [answers(harness, engine.model, repeat) for repeat in (0, 1, 2, 1, 0)]
    assert len({tuple(texts) for texts in found}) == 3
    assert found[3] == found[1] and found[4] == found[0]
    assert answers(drawn(), engine.model, 2) == found[2], "in another process too"
    assert answers(drawn(seed=1), engine.model, 0) == found[1], "the user's seed is where it begins"
    settings = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 5, "seed": 3}
    equal = [Instance("generate_until", {}, ("w1 w2 w3", settings), i) for i in range(8)]
    state_before = torch.random.get_rng_state()
    texts = engine.model.generate_until(equal)
    assert torch.equal(torch.random.get_rng_state(), state_before)
    assert texts[:4] != texts[4:], "batches of four draw each for themselves"
    assert engine.model.generate_until(equal) == texts


def test_an_engine_that_draws_each_answer_by_itself_gets_a_seed_for_each() -> None:
    def request(prompt: str, **settings: Any) -> Instance:
        return Instance("generate_until", {}, (prompt, settings), 0)

    asked = [request("p", seed=3), request("p", seed=3), request("q", seed=3), request("q")]
    own = with_separate_seeds(asked)
    seeds = [each.args[1].get("seed") for each in own]
    assert len(set(seeds)) == 4 and seeds[3] is None
    assert seeds == [each.args[1].get("seed") for each in with_separate_seeds(asked)]
    assert asked[0].args[1] == {"seed": 3}, "the request itself is used again for the next model"
    assert seeds[0] == 7760384588591606715, "a run goes on with the same ones in years"


def repeating(content: dict[str, Any]) -> None:
    for each in content["tasks"]:
        each |= {"bins": 4, "samples": SAMPLES}
    content["evolution"] |= {"children": 16, "reevaluate": 2, "lag": 4}


@pytest.fixture(scope="module")
def run_once(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("again")
    main_ok(
        [
            str(write_run_recipe(folder / "recipe.yaml", family, repeating)),
            "--out",
            str(folder / "run"),
        ]
    )
    return folder / "run"


def test_a_run_shows_what_was_evaluated_again(
    run_once: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunView.read(run_once)
    again = [e for e in run.evaluations if e.again is not None]
    assert len(again) == 8 and run.finished
    capsys.readouterr()
    main_ok(["journal", "check", str(run_once)])
    assert "16 of 16 children told, 8 of them elites evaluated again, 0 eval" in (
        capsys.readouterr().out
    )
    archives = json.loads((run_once / "archives.json").read_text())["archives"]
    several = {
        elite["index"]: elite
        for archive in archives.values()
        for elite in archive["elites"]
        if "evaluations" in elite
    }
    assert several
    for index, elite in several.items():
        scores = [e.scores for e in run.evaluations if index in (e.index, e.again) and e.scores]
        assert elite["evaluations"] == len(scores) > 1
        for name, value in elite["scores"].items():
            assert value == math.fsum(each[name] for each in scores) / len(scores)
    summary = (run_once / "summary.md").read_text()
    assert "evaluated more than once, up to" in summary
    for name in run.search.tasks:
        best = run.search.elites(name)[0]
        assert run.scores(best.genome, "search") == best.scores
        (row,) = [line for line in summary.splitlines() if line.startswith(f"| best elite: {name}")]
        assert [f"{value:.3f}" for value in best.scores.values()] == row.split(" | ")[1:4]
        notes = (run_once / "elites" / name / f"{best.index:06d}.yaml").read_text()
        assert (f"means of {best.evaluations} evaluations" in notes) == (best.evaluations > 1)


def test_report_and_lineage_show_means(run_once: Path, tmp_path: Path) -> None:
    main_ok(["report", str(run_once), "--out", str(tmp_path / "report")])
    run = RunView.read(run_once)
    found = curves(run)
    assert found is not None
    for name, archive in run.search.archives.items():
        assert found.qd_score[name][-1] == archive.qd_score
        assert found.best[name][-1] == archive.best
    record = open_run(run_once)
    elites = {e.index: e for name in run.search.tasks for e in run.search.elites(name)}
    assert any(elite.evaluations > 1 for elite in elites.values())
    for index, elite in elites.items():
        *_, own = ancestors(record, index, elite.parents)
        assert own["index"] == index and own["scores"] == elite.scores == run.told_scores[index]
        assert own.get("evaluations", 1) == elite.evaluations


@pytest.mark.parametrize("whole", [5, 9, 14, 20])
def test_what_a_crash_leaves_goes_on_to_the_same_bytes(
    run_once: Path, family: Family, tmp_path: Path, whole: int
) -> None:
    recipe, out = write_run_recipe(tmp_path / "recipe.yaml", family, repeating), tmp_path / "torn"
    kept = (run_once / FILE).read_bytes().splitlines(keepends=True)
    out.mkdir()
    (out / FILE).write_bytes(b"".join(kept[:whole]) + kept[whole][:-20])
    main_ok([str(recipe), "--out", str(out)])
    assert derived(out) == derived(run_once)
    assert (out / "summary.md").read_bytes() == (run_once / "summary.md").read_bytes()


@pytest.mark.slow
def test_a_run_that_is_killed_and_goes_on_ends_with_the_same_bytes(
    run_once: Path, family: Family, tmp_path: Path
) -> None:
    recipe, out = write_run_recipe(tmp_path / "recipe.yaml", family, repeating), tmp_path / "killed"
    process = start(recipe, out)
    wait_for(out, 12, process)
    time.sleep(0.01)
    process.kill()
    process.communicate()
    assert lines(out) < lines(run_once)
    main_ok([str(recipe), "--out", str(out)])
    assert derived(out) == derived(run_once)
    assert (out / "summary.md").read_bytes() == (run_once / "summary.md").read_bytes()
    assert lines(out) == lines(run_once)
    before = (out / FILE).read_bytes()
    main_ok([str(recipe), "--out", str(out)])
    assert (out / FILE).read_bytes() == before and derived(out) == derived(run_once)


def test_what_a_worker_is_sent_says_which_repeat_it_is() -> None:
    search = CycleQD(recipe(children=12, reevaluate=3))
    candidates = [item.candidate for item in finish(search)]
    for candidate in candidates:
        jobs: list[Job] = []

        def evaluate(job: Job, jobs: list[Job] = jobs) -> Record:
            jobs.append(job)
            return Record(job.genome, job.split, dict.fromkeys(TASKS, 0.5), job.candidate)

        sent = job_message(Job(candidate.genome, "search", candidate))
        back = json.loads(answer_message(evaluate, search.family, sent))
        assert jobs[0].repeat == candidate.repeat
        assert Record.from_json(back, search.family).candidate == candidate
    assert Job(candidates[0].genome, "search").repeat == 0


@pytest.mark.slow
def test_processes_find_what_one_worker_finds(
    run_once: Path, family: Family, tmp_path: Path
) -> None:
    def apart(content: dict[str, Any]) -> None:
        repeating(content)
        content["workers"] = {"count": 2}

    recipe = write_run_recipe(tmp_path / "recipe.yaml", family, apart)
    main_ok([str(recipe), "--out", str(tmp_path / "run")])
    assert derived(tmp_path / "run") == derived(run_once)


def test_a_journal_from_before_is_read_and_gone_on_with(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = write_run_recipe(tmp_path / "recipe.yaml", family), tmp_path / "run"
    main_ok([str(recipe), "--out", str(out)])
    expected = derived(out)
    header, *rest = (out / FILE).read_bytes().splitlines(keepends=True)
    content = json.loads(header)
    content.pop("crc32")
    assert content["recipe"]["evolution"].pop("reevaluate") is None
    for each in content["recipe"]["tasks"]:
        assert each["samples"].pop("again") is None
    (out / FILE).write_bytes(encode(content) + b"".join(rest[:9]))
    main_ok([str(recipe), "--out", str(out)])
    assert derived(out) == expected
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main([str(write_run_recipe(recipe, family, repeating)), "--out", str(out)])
    assert exit.value.code == 2
    assert "recipe.evolution.reevaluate: was None, is 2" in capsys.readouterr().err


# ---- what is refused ----


def faults_of(path: Path) -> list[str]:
    try:
        run = load_recipe(path)
        return repeat_faults(run, open_harness(run))
    except RecipeError as error:
        return error.faults


def test_what_makes_no_sense_is_refused(make_named_recipe: RecipeMaker) -> None:
    def lines_of(evolution: dict[str, Any], samples: dict[str, str]) -> Sequence[str]:
        def change(content: dict[str, Any]) -> None:
            content["evolution"] |= evolution
            content["tasks"][1]["samples"] = samples
            for each in (content["tasks"][0], content["tasks"][2]):
                each["samples"] = SAMPLES if "reevaluate" in evolution else {"search": "0-7"}

        return faults_of(make_named_recipe(change))

    (line,) = lines_of({"reevaluate": 3}, {"search": "0-7"})
    assert line.startswith("tasks[1].samples: needs again with evolution.reevaluate, since 'green'")
    (line,) = lines_of({"reevaluate": 3}, {"search": "0-7", "again": "10-15"})
    assert line == "tasks[1].samples.again: needs at least as many ids as search has (8), got 6"
    (line,) = lines_of({"reevaluate": 3}, {"search": "0-7", "again": "10-99"})
    assert "tasks[1].samples.again: reaches beyond the task's 40 documents" in line
    (line,) = lines_of({"reevaluate": 3, "early_stop": True}, SAMPLES)
    assert "evolution: early_stop and reevaluate do not go together" in line
    (line,) = lines_of({"reevaluate": 1}, SAMPLES)
    assert "evolution.reevaluate: must be greater than or equal to 2, got 1" in line
    (line,) = lines_of({}, SAMPLES)
    assert "tasks[1].samples.again: is for evolution.reevaluate, which is not set" in line
    assert not lines_of({"reevaluate": 3}, SAMPLES)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"again": "5-30"}, r"search \(0-9\) and again \(5-30\) must be disjoint, .* sample 5"),
        ({"again": "15-30"}, r"holdout \(20-\) and again \(15-30\) must be .* sample 20"),
    ],
)
def test_fresh_samples_are_no_other_ones(samples: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Samples.model_validate({"search": "0-9", "holdout": "20-", **samples})
    assert Evolution().reevaluate is None


def test_the_command_says_it_in_one_line(
    make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["evolution"]["reevaluate"] = 4

    path = make_recipe(change)
    with pytest.raises(SystemExit) as exit:
        main([str(path), "--out", str(tmp_path / "run")])
    assert exit.value.code == 2 and not (tmp_path / "run").exists()
    told = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in told if "needs again with evolution.reevaluate" in line]) == 3


def test_answers_that_are_sampled_need_no_fresh_samples(make_named_recipe: RecipeMaker) -> None:
    def change(content: dict[str, Any]) -> None:
        content["evolution"]["reevaluate"] = 4
        for each in content["tasks"]:
            each |= {
                "task": "tiny_generate",
                "metric": "exact_match,whole",
                "gen_kwargs": {"temperature": 0.7, "do_sample": True},
            }

    assert not faults_of(make_named_recipe(change))
