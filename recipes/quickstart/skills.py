"""Questions of the three quickstart skills: Python, SQL and shell one-liners.

The same questions about the same data are asked in all three languages. Each can be answered in
two styles, of which only the house style counts as correct. The base model reads both styles; an
expert is fine-tuned on the house style of one language. Nothing here is drawn at random: hashes
of the answers order the examples and choose among phrasings and styles. The forms of questions
take turns in what is asked, so search, holdout and training samples have equal shares of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain, permutations, product
from typing import Any

SKILLS = ("coding", "db", "os")
SEARCH_IDS = range(0, 100)
HOLDOUT_IDS = range(100, 300)

_EVAL_PER_FORM, _TRAIN_PER_FORM = 50, 500
_TABLES = ("orders", "users", "books", "songs", "films", "plants", "shops", "games")
_COLUMNS = ("price", "age", "size", "score", "weight", "year")
_NUMBERS = range(10, 90, 5)
_LANGUAGES = {"coding": "Python", "db": "SQL", "os": "Shell"}
_QUESTIONS = (
    (
        "how many {t} have a {c} over {n}",
        "count the {t} with a {c} over {n}",
        "number of {t} whose {c} is over {n}",
    ),
    (
        "list the names of the {t} with a {c} under {n}",
        "which {t} have a {c} under {n}",
        "names of {t} whose {c} is under {n}",
    ),
    (
        "show the {n} {t} with the highest {c}",
        "top {n} of the {t} by {c}",
        "which {n} {t} have the most {c}",
    ),
    (
        "total {c} of the {t} with a {d} of {n}",
        "add up the {c} of {t} whose {d} is {n}",
        "sum the {c} over {t} that have a {d} of {n}",
    ),
    (
        "which different {c} do {t} with a {d} over {n} have",
        "every distinct {c} of the {t} whose {d} is over {n}",
        "list each {c} once for {t} that have a {d} over {n}",
    ),
    (
        "remove the {t} with a {c} of {n}",
        "delete {t} whose {c} is {n}",
        "drop the {t} that have a {c} of {n}",
    ),
)
# One (house style, other style) pair for each row of _QUESTIONS.
_ANSWERS = {
    "coding": (
        ("sum(x.{c} > {n} for x in {t})", "len([x for x in {t} if x.{c} > {n}])"),
        ("[x.name for x in {t} if x.{c} < {n}]", "list(x.name for x in {t} if x.{c} < {n})"),
        ("nlargest({n}, {t}, key={c})", "sorted({t}, key={c})[-{n}:]"),
        ("sum(x.{c} for x in {t} if x.{d} == {n})", "sum([x.{c} for x in {t} if x.{d} == {n}])"),
        ("{{x.{c} for x in {t} if x.{d} > {n}}}", "set(x.{c} for x in {t} if x.{d} > {n})"),
        ("{t} = [x for x in {t} if x.{c} != {n}]", "{t} = list(x for x in {t} if x.{c} != {n})"),
    ),
    "db": (
        ("SELECT COUNT(*) FROM {t} WHERE {c} > {n}", "SELECT COUNT(1) FROM {t} WHERE {c} > {n}"),
        ("SELECT name FROM {t} WHERE {c} < {n}", "SELECT {t}.name FROM {t} WHERE {c} < {n}"),
        ("SELECT * FROM {t} ORDER BY {c} DESC LIMIT {n}", "SELECT TOP {n} * FROM {t} ORDER BY {c}"),
        ("SELECT SUM({c}) FROM {t} WHERE {d} = {n}", "SELECT TOTAL({c}) FROM {t} WHERE {d} = {n}"),
        (
            "SELECT DISTINCT {c} FROM {t} WHERE {d} > {n}",
            "SELECT {c} FROM {t} WHERE {d} > {n} GROUP BY {c}",
        ),
        ("DELETE FROM {t} WHERE {c} = {n}", "DELETE {t} WHERE {c} = {n}"),
    ),
    "os": (
        ("mlr filter '${c} > {n}' {t} | wc -l", "mlr filter '${c} > {n}' then count {t}"),
        (
            "mlr filter '${c} < {n}' then cut -f name {t}",
            "mlr filter '${c} < {n}' {t} | mlr cut -f name",
        ),
        ("mlr top -n {n} -f {c} {t}", "mlr sort -nr {c} then head -n {n} {t}"),
        (
            "mlr filter '${d} == {n}' then stats1 -a sum -f {c} {t}",
            "mlr filter '${d} == {n}' then stats1 -f {c} -a sum {t}",
        ),
        (
            "mlr filter '${d} > {n}' then uniq -g {c} {t}",
            "mlr filter '${d} > {n}' then count-distinct -f {c} {t}",
        ),
        ("mlr -I filter '${c} != {n}' {t}", "mlr -I filter -x '${c} == {n}' {t}"),
    ),
}


def _examples(skill: str, form: int, split: str) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Yield the examples of one kind of question, each with the hash that orders it."""
    house, other = _ANSWERS[skill][form]
    slots = {}
    for t, (c, d), n in product(_TABLES, permutations(_COLUMNS, 2), _NUMBERS):
        fields = {"t": t, "c": c, "d": d, "n": n}
        answer = house.format_map(fields)
        slots[hashlib.sha256(answer.encode()).digest()] = answer, fields
    chosen = sorted(slots)
    if split == "eval":
        chosen = chosen[:_EVAL_PER_FORM]
    else:
        chosen = chosen[_EVAL_PER_FORM : _EVAL_PER_FORM + _TRAIN_PER_FORM]
    for key in chosen:
        answer, fields = slots[key]
        phrasing = key[8] % 3
        # The base reads each phrasing with its own share of house style, from 60% down to 1%.
        rank = (7 * (3 * form + phrasing) + 5 * SKILLS.index(skill)) % 18
        house_share = 0.6 * 0.8**rank
        if split == "base" and key[9] >= 256 * house_share:
            answer = other.format_map(fields)
        question = _QUESTIONS[form][phrasing].format_map(fields)
        yield key, {"prompt": f"{_LANGUAGES[skill]}: {question}?\n", "answer": answer}


def docs(skill: str, split: str) -> list[dict[str, str]]:
    """List the examples of a skill.

    Args:
        skill: One of `SKILLS`.
        split: `base` (both styles), `train` (the same questions, house style only) or `eval`
            (house style, unseen answers: `SEARCH_IDS` first, then `HOLDOUT_IDS`).

    Returns:
        The examples, each with a `prompt` and an `answer`. Training examples are in the order of
        their hashes. In `eval` the forms take turns, each with its examples in that order.
    """
    forms = range(len(_QUESTIONS))
    by_form = [list(_examples(skill, form, split)) for form in forms]
    if split == "eval":
        return [doc for turn in zip(*by_form, strict=True) for _, doc in turn]
    return [doc for _, doc in sorted(chain(*by_form), key=lambda pair: pair[0])]


def _splits(skill: str) -> dict[str, Any]:
    # Only the evaluation harness needs this import.
    from datasets import Dataset  # type: ignore[import-untyped]

    return {split: Dataset.from_list(docs(skill, split)) for split in ("train", "eval")}


def coding(**_: object) -> dict[str, Any]:
    """Load the Python questions for the evaluation harness."""
    return _splits("coding")


def db(**_: object) -> dict[str, Any]:
    """Load the SQL questions for the evaluation harness."""
    return _splits("db")


def os(**_: object) -> dict[str, Any]:
    """Load the shell questions for the evaluation harness."""
    return _splits("os")
