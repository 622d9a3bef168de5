"""Models of strangers: weights, configurations, tokenizers, templates and adapters."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from typing import Any

from tests.support.hostile.case import Case, Files, Words

Change = Callable[[Files, Words], None]
TEMPLATE = "{{ cycler.__init__.__globals__.os.popen('%s').read() }}"
CODE = "class Own: pass\ndef own(*a, **k): pass\n"


class _Runs:
    """Unpickled, it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (self.command,)


def _pickle(files: Files, words: Words, name: str = "pytorch_model.bin") -> None:
    files[name] = pickle.dumps(_Runs(words.shell))


def _pickle_alone(files: Files, words: Words) -> None:
    del files["model.safetensors"]
    _pickle(files, words)


def _beside(files: Files, words: Words) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "adapter_model.bin"):
        _pickle(files, words, name)


def _json(name: str, **changes: Any) -> Change:
    def change(files: Files, words: Words) -> None:
        content = json.loads(files.get(name, b"{}"))
        text = json.dumps(content | changes)
        for key in ("home", "secret", "shell", "canary"):
            text = text.replace(f"<{key}>", getattr(words, key))
        files[name] = text.encode()
        files["own.py"] = (words.python + CODE).encode()
        files["custom_generate/generate.py"] = (words.python + CODE).encode()

    return change


def _text(name: str, content: bytes) -> Change:
    def change(files: Files, words: Words) -> None:
        files[name] = content.replace(b"<shell>", words.shell.encode())

    return change


def _index(place: str) -> Change:
    def change(files: Files, words: Words) -> None:
        path = place.replace("<home>", words.home)
        weights = {"model.norm.weight": path}
        files["model.safetensors.index.json"] = json.dumps({"weight_map": weights}).encode()

    return change


def _header(content: Any, size: int | None = None) -> Change:
    def change(files: Files, words: Words) -> None:
        text = json.dumps(content).encode()
        files["model.safetensors"] = struct.pack("<Q", size or len(text)) + text + b"\0" * 64

    return change


def _tensor(name: str, start: int, end: int, shape: list[int]) -> dict[str, Any]:
    return {name: {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}}


def _adapter(**changes: Any) -> Change:
    def change(files: Files, words: Words) -> None:
        _pickle(files, words, "adapter_model.bin")
        config = {
            "peft_type": "LORA",
            "r": 2,
            "lora_alpha": 4,
            "target_modules": ["q_proj"],
            "base_model_name_or_path": "lab/base",
        } | changes
        text = json.dumps(config).replace("<home>", words.home).replace("<secret>", words.secret)
        files["adapter_config.json"] = text.encode()
        files["own.py"] = words.python.encode()
        for name in ("config.json", "model.safetensors"):
            files.pop(name)

    return change


def _tokenizer(pattern: str) -> Change:
    def change(files: Files, words: Words) -> None:
        content = json.loads(files["tokenizer.json"])
        split = {"type": "Split", "behavior": "Isolated", "invert": False}
        content["pre_tokenizer"] = split | {"pattern": {"Regex": pattern}}
        files["tokenizer.json"] = json.dumps(content).encode()

    return change


_AUTO = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own", "AutoModel": "own.Own"}
_ELSEWHERE = {key: f"evil/code--{value}" for key, value in _AUTO.items()}
_DEEP = b"[" * 100_000 + b"]" * 100_000


def _padded(name: str, megabytes: int) -> Change:
    def change(files: Files, words: Words) -> None:
        files[name] = files[name].rstrip() + b" " * (megabytes * 10**6)

    return change


def _many_shards(files: Files, words: Words) -> None:
    del files["model.safetensors"]
    shards = {f"t{i}": f"s{i}.safetensors" for i in range(10**6)}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": shards}).encode()


def _many_tensors(files: Files, words: Words) -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{i}": empty for i in range(600_000)}).encode()
    files["model.safetensors"] = struct.pack("<Q", len(header)) + header


def _licences(files: Files, words: Words) -> None:
    files["README.md"] = b"---\nlicense: [mit, {a: 1}]\n---\n"


MODELS = (
    Case("a pickle in place of safetensors", "safetensors", _pickle_alone),
    Case("pickles beside safetensors", "", _beside),
    Case("code in auto_map of config.json", "", _json("config.json", auto_map=_AUTO)),
    Case(
        "an unknown model_type with code",
        "model",
        _json("config.json", auto_map=_AUTO, model_type="own", architectures=["Own"]),
    ),
    Case("code of another repo in auto_map", "", _json("config.json", auto_map=_ELSEWHERE)),
    Case(
        "code of the tokenizer",
        "",
        _json(
            "tokenizer_config.json",
            auto_map={"AutoTokenizer": ["own.Own", "own.Own"]},
            tokenizer_class="Own",
        ),
    ),
    Case(
        "code of the processor",
        "",
        _json("preprocessor_config.json", auto_map={"AutoProcessor": "own.Own"}),
    ),
    Case(
        "code of generation",
        "",
        _json("generation_config.json", custom_generate="evil/code", trust_remote_code=True),
    ),
    Case(
        "trust_remote_code in the model's own files",
        "",
        _json("config.json", trust_remote_code=True, auto_map=_AUTO),
    ),
    Case(
        "attention kernels of another repo",
        "code of another repository",
        _json(
            "config.json",
            _attn_implementation="evil/kernel",
            attn_implementation="evil/kernel",
            use_kernels=True,
        ),
    ),
    Case("an index of /etc/passwd", "must name safetensors files beside it", _index("/etc/passwd")),
    Case(
        "an index upwards",
        "must name safetensors files beside it",
        _index("../../../../../upwards.safetensors"),
    ),
    Case(
        "an index of the user's secrets",
        "must name safetensors files beside it",
        _index("<home>/secret/model.safetensors"),
    ),
    Case("an index that is deep", "", _text("model.safetensors.index.json", _DEEP)),
    Case(
        "an LFS pointer in place of weights",
        "is a pointer of Git LFS",
        _text(
            "model.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:"
            + b"0" * 64
            + b"\nsize 134217728\n",
        ),
    ),
    Case(
        "a symbolic link in place of weights",
        "model.safetensors",
        _text("model.safetensors", b"../../../../../upwards.safetensors"),
    ),
    Case("safetensors with a header of 2^63 bytes", "model", _header({}, 1 << 63)),
    Case(
        "safetensors with offsets outside of the file",
        "model",
        _header(_tensor("model.norm.weight", 0, 1 << 40, [1 << 38])),
    ),
    Case(
        "tensors named with escape sequences",
        "",
        _header(_tensor("\x1b]0;owned\x07\x1b[2J../../x", 0, 64, [16])),
    ),
    Case("config.json of 200,000 brackets", "config.json", _text("config.json", _DEEP)),
    Case(
        "absurd sizes in config.json",
        "",
        _json("config.json", hidden_size=10**15, num_hidden_layers=10**9, vocab_size=-1),
    ),
    Case(
        "classes and dtypes by wrong names",
        "",
        _json(
            "config.json",
            architectures=["../../own", "os.system", "\x1b[2J"],
            torch_dtype="save",
            dtype="hub.load",
            _name_or_path="<secret>",
        ),
    ),
    Case("tokenizer.json of 200,000 brackets", "tokenizer", _text("tokenizer.json", _DEEP)),
    Case(
        "a tokenizer that names files of this machine",
        "",
        _json(
            "tokenizer_config.json",
            vocab_file="<home>/secret/notes.jsonl",
            merges_file="/etc/passwd",
            tokenizer_file="<home>/.ssh/id_rsa",
            name_or_path="<secret>",
            chat_template_file="/etc/passwd",
        ),
    ),
    Case(
        "a chat template with code",
        "",
        _text("chat_template.jinja", TEMPLATE.replace("%s", "<shell>").encode()),
    ),
    Case(
        "a chat template with code in tokenizer_config.json",
        "",
        _json("tokenizer_config.json", chat_template=TEMPLATE % "<shell>"),
    ),
    Case(
        "a chat template that includes a file",
        "",
        _text("chat_template.jinja", b"{% include '/etc/passwd' %}{% import 'os' as os %}"),
    ),
    Case("an adapter with a pickle", "safetensors", _adapter()),
    Case(
        "weights of its own in config.json",
        "config.json names weights of its own",
        _json("config.json", transformers_weights="other.safetensors"),
    ),
    Case(
        "a million layers",
        "must have at most 10000 layers",
        _json("config.json", num_hidden_layers=10**6),
    ),
    Case(
        "an adapter's files beside a whole model",
        "",
        lambda files, words: files.update(
            {"adapter_model.bin": pickle.dumps(_Runs(words.shell)), "adapter_config.json": b"{}"}
        ),
    ),
    Case(
        "a pattern of the tokenizer without end",
        "cannot split a text",
        _tokenizer(pattern="(.*)*(.*)*(.*)*$x"),
    ),
    Case(
        "a chat template of 10 GB",
        "its prompt cannot be made",
        _text("chat_template.jinja", b"{{ 'a' * 10000000000 }}"),
    ),
    Case(
        "an adapter of a base on this machine",
        "",
        _adapter(base_model_name_or_path="<secret>"),
    ),
    Case(
        "an adapter that names a library",
        "",
        _adapter(
            base_model_name_or_path="evil/code",
            auto_mapping={"base_model_class": "Own", "parent_library": "own"},
            peft_type="OWN",
            custom_module="own.py",
        ),
    ),
    Case("config.json of 70 MB", "config.json must have at most", _padded("config.json", 70)),
    Case("tokenizer.json of 300 MB", "tokenizer.json must have", _padded("tokenizer.json", 300)),
    Case("an index of a million files", "must name at most 10,000 files", _many_shards),
    Case("a header of 600,000 tensors", "must have at most 524,288 tensors", _many_tensors),
    Case("a licence that is a list", "", _licences),
)
