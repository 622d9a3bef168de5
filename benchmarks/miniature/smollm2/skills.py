"""Questions of three skills whose answers are run: SQL, bash one-liners, small Python functions.

Every answer is one line. Slots of a template make many questions of it; hashes of the right answers
order them, the first are for evaluation and the next for training, so that no answer, and hence no
question, is in both. In what is asked the forms take turns, so that search and holdout questions
have equal shares of each. Nothing is drawn at random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

SKILLS = ("coding", "db", "os")
SEARCH = 32
HOLDOUT = 100
SPLITS = ("search", "holdout", "train")

_EVAL_PER_FORM, _TRAIN_PER_FORM = 24, 250
_PROMPTS = {
    "coding": "Python function {f}: {question}\n",
    "db": "Table {t}(name, city, age, size, price). SQL: {question}\n",
    "os": "Bash, {f} holds name,city,age,size,price: {question}\n",
}
NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ida", "Jon", "Kim", "Leo")
CITIES = ("Oslo", "Rome", "Lima", "Cairo", "Delhi", "Paris")
COLUMNS = ("age", "size", "price")
TABLES = ("users", "shops", "books", "films", "plants", "games")
FILES = ("users.csv", "shops.csv", "sales.txt", "data.txt", "stock.log", "list.csv")
_SLOTS: dict[str, Sequence[Any]] = {
    "t": TABLES,
    "f": FILES,
    "c": COLUMNS,
    "d": COLUMNS,
    "city": CITIES,
    "k": range(2, 6),
    "q": range(3, 6),
    "n": range(5, 60, 5),
    "m": range(2, 10),
    "i": range(2, 8),
    "j": range(8, 16),
    "a": tuple("aeinorst"),
    "b": tuple("xyzqk"),
}
_FUNCTIONS = ("solve", "run", "pick", "work", "calc", "check", "make", "apply", "find", "get")


@dataclass(frozen=True)
class _Form:
    """One kind of question: which slots it has, two ways to ask, and the answer."""

    slots: str
    questions: tuple[str, str]
    answer: str


_FORMS = {
    "coding": (
        _Form(
            "f n m",
            (
                "sum of the items of xs over {n}, times {m}",
                "add up items above {n}, then times {m}",
            ),
            "def {f}(xs): return {m} * sum(x for x in xs if x > {n})",
        ),
        _Form(
            "f m n",
            ("items of xs divisible by {m}, plus {n}", "add {n} to each item that {m} divides"),
            "def {f}(xs): return [x + {n} for x in xs if x % {m} == 0]",
        ),
        _Form(
            "f m n",
            ("the {m} largest items of xs under {n}, falling", "largest {m} of those under {n}"),
            "def {f}(xs): return sorted([x for x in xs if x < {n}])[::-1][:{m}]",
        ),
        _Form(
            "f a m",
            (
                "how many words of s have {a} and over {m} letters",
                "count long words with {a}, > {m}",
            ),
            "def {f}(s): return sum('{a}' in w and len(w) > {m} for w in s.split())",
        ),
        _Form(
            "f a b",
            ("s backwards with {a} replaced by {b}", "reverse s and change each {a} to {b}"),
            "def {f}(s): return s[::-1].replace('{a}', '{b}')",
        ),
        _Form(
            "f a m",
            ("length of each word of s without {a}, times {m}", "word to {m} x length, no {a}"),
            "def {f}(s): return {{w: {m} * len(w) for w in s.split() if '{a}' not in w}}",
        ),
    ),
    "db": (
        _Form(
            "t city c n",
            ("how many {t} in {city} have {c} over {n}", "count {t} of {city} with {c} above {n}"),
            "SELECT COUNT(*) FROM {t} WHERE city = '{city}' AND {c} > {n}",
        ),
        _Form(
            "t c d n",
            ("average {c} by city, {d} under {n}", "mean {c} of {t} per city where {d} below {n}"),
            "SELECT city, AVG({c}) FROM {t} WHERE {d} < {n} GROUP BY city",
        ),
        _Form(
            "t c d m n",
            ("names of the {m} {t} with most {c}, {d} over {n}", "top {m} by {c} with {d} > {n}"),
            "SELECT name FROM {t} WHERE {d} > {n} ORDER BY {c} DESC LIMIT {m}",
        ),
        _Form(
            "t city c d",
            ("{d} of the {t} in {city} with least {c}", "in {city}, {d} where {c} is lowest"),
            "SELECT {d} FROM {t} WHERE city = '{city}' ORDER BY {c} LIMIT 1",
        ),
        _Form(
            "t c d n",
            ("sum of {c} where {d} is at most {n}", "total {c} of {t} with {d} up to {n}"),
            "SELECT SUM({c}) FROM {t} WHERE {d} <= {n}",
        ),
        _Form(
            "t c m",
            ("cities with over {m} {t} and their highest {c}", "max {c} per city of > {m} {t}"),
            "SELECT city, MAX({c}) FROM {t} GROUP BY city HAVING COUNT(*) > {m}",
        ),
    ),
    "os": (
        _Form(
            "f i j",
            ("lines {i} to {j}", "show it from line {i} up to line {j}"),
            "sed -n '{i},{j}p' {f}",
        ),
        _Form(
            "f city k",
            ("field {k} of lines with {city}, sorted, each once", "distinct field {k} for {city}"),
            "grep {city} {f} | cut -d, -f{k} | sort -u",
        ),
        _Form(
            "f city q",
            ("sum of field {q} for {city}", "add up field {q} over lines with {city}"),
            "awk -F, '/{city}/ {{s+=${q}}} END {{print s}}' {f}",
        ),
        _Form(
            "f j a b",
            ("last {j} lines with {a} changed to {b}", "tail of {j}, each {a} replaced by {b}"),
            "tail -n {j} {f} | sed 's/{a}/{b}/g'",
        ),
        _Form(
            "f k m",
            ("the {m} commonest values of field {k}", "count values of field {k}, top {m}"),
            "cut -d, -f{k} {f} | sort | uniq -c | sort -rn | head -n {m}",
        ),
        _Form(
            "f q n",
            ("names where field {q} is over {n}", "field 1 of lines whose field {q} exceeds {n}"),
            "awk -F, '${q} > {n} {{print $1}}' {f}",
        ),
    ),
}


@dataclass(frozen=True)
class Question:
    """What a model is asked.

    Attributes:
        skill: One of `SKILLS`.
        prompt: What it reads, a newline at its end.
        answer: A right answer, of one line; others that do the same are as right.
    """

    skill: str
    prompt: str
    answer: str


def questions(skill: str, split: str) -> list[Question]:
    """The questions of a skill and a split, in an order fixed by their forms and hashes.

    Args:
        skill: One of `SKILLS`.
        split: One of `SPLITS`.
    """
    first, last = _EVAL_PER_FORM, _EVAL_PER_FORM + _TRAIN_PER_FORM
    by_form = [sorted(_of_form(skill, form), key=lambda pair: pair[0]) for form in _FORMS[skill]]
    if split == "train":
        keyed = chain(*(found[first:last] for found in by_form))
        return [question for _, question in sorted(keyed, key=lambda pair: pair[0])]
    turns = zip(*(found[:first] for found in by_form), strict=True)
    ordered = [question for _, question in chain(*turns)]
    return ordered[:SEARCH] if split == "search" else ordered[SEARCH : SEARCH + HOLDOUT]


def _of_form(skill: str, form: _Form) -> Iterator[tuple[bytes, Question]]:
    names = form.slots.split()
    slots = _SLOTS | {"f": _FUNCTIONS} if skill == "coding" else _SLOTS
    for values in product(*(slots[name] for name in names)):
        fields = dict(zip(names, values, strict=True))
        if fields.get("c") == fields.get("d", ""):
            continue
        answer = form.answer.format_map(fields)
        key = hashlib.sha256(answer.encode()).digest()
        asked = form.questions[key[8] % 2].format_map(fields)
        prompt = _PROMPTS[skill].format_map(fields | {"question": asked})
        yield key, Question(skill, prompt, answer)
