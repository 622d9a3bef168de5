"""Functions of the compared tasks: data, prompts, filters and metrics. lm-eval reads this file."""

import hashlib

import datasets


def rows(**options):
    """Data of a task from a function, whose options come from the task's file."""
    count = options.get("count", 16)
    found = [
        {"n": n, "question": f"Name colour {n % 5}, please?", "answer": "red" if n % 2 else "白"}
        for n in range(count)
    ]
    return {"test": datasets.Dataset.from_list(found)}


def shorter(data):
    """Leave out and change documents."""
    kept = data.filter(lambda doc: doc["n"] % 7 != 3)
    return kept.map(lambda doc: {"question": doc["question"].replace("What", "Which")})


def asked(doc):
    """A prompt by a function."""
    return f"{doc['question'].lower()}\nAnswer:"


def share(text):
    """A number in 0 to 1 that another text would most probably not have."""
    return int.from_bytes(hashlib.sha256(str(text).encode()).digest()[:4], "big") / 2**32


def digest(references, predictions, **_):
    """A metric that tells any two answers apart."""
    return share(predictions[0])


def digests_at(references, predictions, k=(1,)):
    """A metric that returns a mapping, whose keys no file lists."""
    answers = predictions[0] if isinstance(predictions[0], list) else predictions
    return {f"digest@{n}": sum(map(share, answers[:n])) / n for n in k}


def of_answer(doc, results):
    """Several metrics of an answer; one is not of every document."""
    (answer,) = results
    found = {
        "digest": share(answer),
        "right": float(doc["answer"] in answer),
        "length": len(answer),
    }
    return found | ({"seldom": share(answer)} if doc["n"] % 3 == 0 else {})


def of_likelihoods(doc, results):
    """The numbers themselves, so that any difference shows."""
    lls = [ll for ll, _ in results]
    return {"acc": float(lls.index(max(lls)) == doc["gold"]), "first": lls[0], "sum": sum(lls)}


def of_one_likelihood(doc, results):
    """The number of a single continuation."""
    ((ll, greedy),) = results
    return {"likelihood": ll, "greedy": float(greedy)}


def of_text(doc, results):
    """The number of a whole text."""
    (ll,) = results
    return {"total": ll, "per_word": ll / len(doc["passage"].split())}


def last_but_one(values):
    """An aggregation of one's own."""
    return sorted(values)[-2]


def upper(resps, docs):
    """A filter of one's own."""
    return [[answer.upper() for answer in answers] for answers in resps]
