"""Recipes of models by strangers, as `merge` and `verify` take them from the Hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.hostile.case import Case, Files, Words
from tests.support.hostile.models import TEMPLATE

RECIPE = "mergekit_config.yml"
LINEAGE = "lineage.json"
REFUSED = "which its publisher did not put on the Hub"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e"


def _text(content: str) -> Callable[[Files, Words], None]:
    def change(files: Files, words: Words) -> None:
        files[RECIPE] = content.replace("<shell>", words.shell).encode()

    return change


def _keys(**changes: Any) -> Callable[[dict[str, Any], Words], None]:
    def change(recipe: dict[str, Any], words: Words) -> None:
        text = json.dumps(changes)
        for key in ("home", "secret", "shell"):
            text = text.replace(f"<{key}>", getattr(words, key))
        recipe.update(json.loads(text))

    return change


def _expert(model: Any) -> Callable[[dict[str, Any], Words], None]:
    def change(recipe: dict[str, Any], words: Words) -> None:
        text = json.dumps(model).replace("<secret>", words.secret)
        recipe["models"][0]["model"] = json.loads(text)

    return change


def _lineage(files: dict[str, Any] | None = None, **more: Any) -> Callable[[Files, Words], None]:
    def change(given: Files, words: Words) -> None:
        told = json.loads(given.get(LINEAGE, b"{}"))
        if files is not None:
            told["files"] = {
                path.replace("<home>", words.home): entry for path, entry in files.items()
            }
        given[LINEAGE] = json.dumps(told | more).encode()

    return change


def _named(name: str) -> Callable[[Files, Words], None]:
    def change(files: Files, words: Words) -> None:
        files[name] = files[RECIPE]
        files["own.py"] = words.python.encode()

    return change


_HASHED = {"size": 3, "sha256": "0" * 64, "blob": "0" * 40}
_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

RECIPES = (
    Case("base: a folder of this machine", REFUSED, recipe=_keys(base_model="<secret>")),
    Case("base: upwards", REFUSED, recipe=_keys(base_model="../../home/secret")),
    Case("base: in the home folder", REFUSED, recipe=_keys(base_model="~/secret")),
    Case("base: a file's address", "", recipe=_keys(base_model="file://<secret>")),
    Case("base: an http address", "", recipe=_keys(base_model="http://127.0.0.1:9/evil/model")),
    Case("base: a revision upwards", "", recipe=_keys(base_model="lab/base@../../../../secret")),
    Case(
        "expert: a folder in mergekit's long form",
        REFUSED,
        recipe=_expert({"model": {"path": "<secret>"}}),
    ),
    Case("expert: an adapter of this machine", REFUSED, recipe=_expert("lab/red+<secret>")),
    Case("tokenizer_source: /etc/passwd", REFUSED, recipe=_keys(tokenizer_source="/etc/passwd")),
    Case(
        "tokenizer: a token's source of this machine",
        REFUSED,
        recipe=_keys(
            tokenizer={
                "source": "base",
                "tokens": {"a": {"source": {"kind": "model_token", "model": "<secret>"}}},
            }
        ),
    ),
    Case(
        "chat_template: a file",
        "may name no file",
        recipe=_keys(chat_template="../../../etc/passwd"),
    ),
    Case("chat_template: code", "", recipe=_keys(chat_template=TEMPLATE % "<shell>")),
    Case(
        "out_path and other keys of mergekit's",
        "",
        recipe=_keys(out_path="/etc/x", lora_merge_cache="<home>", trust_remote_code=True),
    ),
    Case("merge_method: unknown, with escape sequences", "", recipe=_keys(merge_method=ESCAPES)),
    Case("dtype: with escape sequences", "", recipe=_keys(dtype=ESCAPES)),
    Case(
        "base: a proposal to an honest repo",
        "is a proposal to that repo",
        recipe=_keys(base_model="lab/base@refs/pr/1"),
    ),
    Case(
        "slices of 10^9 layers",
        "layers must be at most 10000",
        recipe=lambda recipe, words: (
            recipe.pop("models"),
            recipe.update(
                merge_method="passthrough",
                slices=[{"sources": [{"model": "lab/red", "layer_range": [0, 10**9]}]}],
            ),
        ),
    ),
    Case(
        "padding of a vocabulary to 10^12",
        "pad_to_multiple_of: must be at most",
        recipe=_keys(tokenizer={"source": "base", "pad_to_multiple_of": 10**12}),
    ),
    Case(
        "a weight of 10,000 digits",
        "Exceeds the limit",
        lambda files, words: files.update(
            {RECIPE: files[RECIPE].replace(b"weight: ", b"weight: " + b"9" * 10_000 + b" # ", 1)}
        ),
    ),
    Case("a tag that runs Python", "", _text("!!python/object/apply:os.system ['<shell>']\n")),
    Case(
        "a tag of its own",
        "",
        _text("merge_method: !function os.system\nbase_model: !!python/name:os.system\n"),
    ),
    Case("a YAML bomb", "", _text(_BOMB)),
    Case("100,000 brackets", "", _text("[" * 100_000)),
    Case("keys that stand twice", "", _text("base_model: lab/base\nbase_model: lab/red\n")),
    Case("no text", "", lambda files, words: files.update({RECIPE: b"\xff\xfe\0\1" * 50})),
    Case(
        "a lineage with files outside of the model",
        "",
        _lineage({"<home>/secret/model.safetensors": _HASHED}),
    ),
    Case(
        "a lineage with files upwards",
        "",
        _lineage({"../../../home/secret/model.safetensors": _HASHED}),
    ),
    Case("a lineage of escape sequences", "", _lineage({f"{ESCAPES}.safetensors": _HASHED})),
    Case(
        "a lineage with absurd sketches",
        "",
        _lineage(
            {
                "model.safetensors": _HASHED
                | {"sketches": {ESCAPES: [1e308] * 9}, "tensors": {ESCAPES: {"shape": [-1]}}}
            }
        ),
    ),
    Case(
        "a lineage of 200,000 brackets",
        "",
        lambda files, words: files.update({LINEAGE: b"[" * 200_000}),
    ),
    Case("files named upwards and with escape sequences", "", _named(f"{ESCAPES}.py")),
    Case(
        "a million keys",
        "more than 200,000 keys and values",
        lambda files, words: files.update(
            {RECIPE: files[RECIPE] + b"".join(b"k%d: 1\n" % i for i in range(10**6))}
        ),
    ),
)
"""Each is merged, and verified."""
