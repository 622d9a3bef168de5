"""A card begins with the result, and shows one answer of the model for each skill."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mergekit_cycleqd.hub.card.card import model_card
from mergekit_cycleqd.hub.card.headline import examples, headline
from mergekit_cycleqd.hub.card.prompts import prompts_text
from mergekit_cycleqd.hub.card.subject import Subject
from mergekit_cycleqd.hub.pins import Source
from mergekit_cycleqd.run_folder.example_answers import FILE
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support import published_runs
from tests.support.families import COLOURS
from tests.support.published_runs import subject
from tests.support.sampled_runs import write_sampled_run

made, local_run, models = published_runs.made, published_runs.local_run, published_runs.models
record = published_runs.record


@pytest.fixture
def best(record: RunView, models: Sequence[Source]) -> Subject:
    return subject(record, tuple(models), "best")


def with_answers(best: Subject, local_run: RunView, said: str = "an ```answer```") -> Subject:
    run = replace(best.run, folder=local_run)
    answers = [
        {
            "task": colour,
            "split": "holdout",
            "sample": number,
            "question": f"question {number} of {colour}",
            "target": "right `one`",
            "said": said,
            "score": float(number == 24),
        }
        for colour in COLOURS
        for number in (24, 25)
    ]
    name = "the model to take"
    content = {"version": 1, "models": {name: best.model.genome.id}, "answers": {name: answers}}
    (run.folder / FILE).write_text(json.dumps(content))
    return replace(best, run=run)


def test_the_first_sentence_has_the_scores_and_what_they_are_compared_with(best: Subject) -> None:
    scores = best.run.scores(best.model.genome, "holdout")
    assert scores is not None
    told = headline(best)
    assert all(f"{score:.3f} on {colour}" in told for colour, score in scores.items())
    assert "(holdout samples, which the search never saw): a mean of" in told
    assert "the best single expert (" in told and "the base has " in told
    text = model_card(best).split("---\n", 2)[2].split("\n\n")
    assert text[1] == told and text[2].endswith(f"candidate {best.model.index}.")


def test_it_is_compared_with_the_best_expert_on_the_same_samples(
    models: Sequence[Source], tmp_path: Path
) -> None:
    told = headline(subject(write_sampled_run(tmp_path / "run"), tuple(models), "best"))
    assert re.search(r"it is better than the base by 0\.\d{3} \[0\.", told)
    assert re.search(r"than the best single expert by 0\.\d{3} \[", told)
    bare = write_sampled_run(tmp_path / "bare", kept=False)
    plain = headline(subject(bare, tuple(models), "best"))
    assert told.startswith(plain) and "same holdout samples" not in plain


def test_cards_of_the_first_rules_keep_their_bytes(best: Subject) -> None:
    old = replace(best, run=replace(best.run, header={**best.run.header, "rules": 1}))
    assert headline(old) == "" and examples(old) == ""
    assert f"candidate {best.model.index}" not in model_card(old).split("## Use")[0]


def test_a_repo_of_recipes_has_no_headline(record: RunView, models: Sequence[Source]) -> None:
    assert headline(subject(record, tuple(models), "recipes")) == ""


def test_one_answer_for_each_skill_is_shown_right_or_wrong(
    best: Subject, local_run: RunView
) -> None:
    shown = with_answers(best, local_run)
    told = examples(shown)
    for colour in COLOURS:
        assert f"question 24 of {colour}" in told and f"question 25 of {colour}" not in told
    assert told.count("Answer (right):") == 3 and "````text\nan ```answer```\n````" in told
    assert told in model_card(shown)
    assert examples(replace(shown, examples=False)) == ""
    assert examples(best) == "", "the run kept no answers"
    other = replace(shown, model=replace(shown.model, genome=best.run.search.aggregate()))
    assert examples(other) == ""


def test_how_models_were_asked_is_told_in_plain_words(record: RunView) -> None:
    prompts = {
        "red": {
            "num_fewshot": 0,
            "apply_chat_template": False,
            "fewshot_as_multiturn": False,
            "generation_kwargs": {"until": ["\n"], "do_sample": False, "max_gen_toks": 24},
        },
        "green": {
            "num_fewshot": 5,
            "apply_chat_template": True,
            "fewshot_as_multiturn": True,
            "system_instruction": "Be brief.",
            "repeats": 4,
            "pass_at": 2,
            "generation_kwargs": {"do_sample": True, "temperature": 0.8},
        },
        "blue": {
            "num_fewshot": 1,
            "apply_chat_template": "tool_use",
            "fewshot_as_multiturn": False,
        },
    }
    told = prompts_text(replace(record, header={**record.header, "prompts": prompts}))
    assert told.splitlines()[2:] == [
        "How the models were asked:",
        "",
        "- red: as plain text; without solved examples; answers of the likeliest tokens, at most "
        '24 tokens, up to `"\\n"`.',
        "- green: through the tokenizer's chat template; with 5 solved examples as turns of the "
        'chat; with the system prompt `"Be brief."`; sampled answers, `temperature: 0.8`; each 4 '
        "times, scored as pass@2.",
        "- blue: through the tokenizer's chat template `tool_use`; with 1 solved example; by "
        "likelihoods of answers.",
    ]
