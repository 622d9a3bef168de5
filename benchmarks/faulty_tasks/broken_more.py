"""Functions of tasks that break. lm-eval reads this file."""

import datasets
from lm_eval.api.task import ConfigurableTask


class OwnError(Exception):
    pass


def _deep(n=0):
    return _deep(n + 1)


def _raise(error):
    raise error


ERRORS = {
    "attribute": lambda: None.absent,
    "index": lambda: [][3],
    "os": lambda: open("/absent/file"),
    "runtime": lambda: _raise(RuntimeError("generator raised\nin two lines")),
    "no_words": lambda: _raise(NotImplementedError()),
    "unicode": lambda: b"\xff".decode(),
    "deep": _deep,
    "stop": lambda: next(iter([])),
    "memory": lambda: _raise(MemoryError()),
    "own": lambda: _raise(OwnError("mine \x1b[31mred\x1b[0m")),
    "timeout": lambda: _raise(TimeoutError("took too long")),
    "connection": lambda: _raise(ConnectionError("no route")),
    "generator": lambda: _raise(GeneratorExit()),
}


def rows():
    return [
        {
            "n": n,
            "prompt": f"w{n} w{n + 1}",
            "answer": f"w{n + 2}",
            "choices": ["w1", "w2"],
            "gold": n % 2,
        }
        for n in range(24)
    ]


def documents(**_):
    return {"test": datasets.Dataset.from_list(rows())}


def no_documents(**_):
    return {"test": datasets.Dataset.from_list([])}


def a_list(**_):
    return rows()


def wrong_rows(**_):
    return {"test": datasets.Dataset.from_dict({"n": list(range(24))})}


for _name, _error in ERRORS.items():

    def _function(*_, _error=_error, **__):
        return _error()

    for _place in (
        "text",
        "target",
        "choice",
        "results",
        "aggregation",
        "metric",
        "filter",
        "data",
    ):
        globals()[f"{_place}_{_name}"] = _function


def giving(value):
    return lambda *_, **__: value


number, nothing, a_dict, some_bytes = giving(3), giving(None), giving({"a": 1}), giving(b"w1")
half, words, nested = giving([0.5]), giving("much"), giving({"acc": {"deep": 1.0}})
no_number, endless, a_set = giving(float("nan")), giving(float("inf")), giving({1.0})
empty, blank, results_nan = giving(""), giving("   "), giving({"acc": float("nan")})
results_sound = giving({"acc": 1.0})
results_none, results_text = giving({"acc": None}), giving({"acc": "right"})


def fewer(resps, docs):
    return resps[:-1]


class Breaking(ConfigurableTask):
    def __init__(self, config=None):
        super().__init__(config=config)
        raise OwnError("no data here")


class NoTask:
    def __init__(self, config=None):
        pass
