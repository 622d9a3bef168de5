"""Faults planted into a small real family and its recipe, each as a user would have it."""

from __future__ import annotations

import json
import re
import shutil
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.tasks.agentbench_db import mariadb
from tests.support.box_records import write_coding_problems
from tests.support.databases import write_records
from tests.support.families import COLOURS
from tests.support.recipes import write_run_recipe

EXPERT = "experts[1].model"


@dataclass
class Ground:
    """Where a fault is planted: a copy of the family, the recipe's content, the environment."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    changes: dict[str, Any] = field(default_factory=dict)
    edits: list[Callable[[dict[str, Any]], object]] = field(default_factory=list)
    out: Path = Path()

    @property
    def expert(self) -> Path:
        return self.folder / COLOURS[1]

    @property
    def base(self) -> Path:
        return self.folder / "base"

    def recipe(self) -> Path:
        family = Family(str(self.base), tuple(str(self.folder / name) for name in COLOURS))

        def change(content: dict[str, Any]) -> None:
            for edit in self.edits:
                edit(content)

        return write_run_recipe(self.folder / "recipe.yaml", family, change)


def ground(folder: Path, family: Family, monkeypatch: pytest.MonkeyPatch) -> Ground:
    for model in (family.base_model, *family.experts):
        shutil.copytree(model, folder / Path(model).name)
    return Ground(folder, monkeypatch, out=folder / "run")


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_tensors(model: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(model / "model.safetensors")
    change(tensors)
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


def rotate_vocabulary(model: Path) -> None:
    """The same words with other numbers, as of a tokenizer trained apart."""
    content = json.loads((model / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    numbers = [number for word, number in words.items() if word.startswith("w")]
    turned = dict(zip(numbers, numbers[1:] + numbers[:1], strict=True))
    content["model"]["vocab"] = {word: turned.get(n, n) for word, n in words.items()}
    (model / "tokenizer.json").write_text(json.dumps(content))


def add_tokens(model: Path, count: int) -> None:
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.add_tokens([f"<new{i}>" for i in range(count)])
    tokenizer.save(str(model / "tokenizer.json"))


def wrong_tokenizer(at: Ground) -> None:
    rotate_vocabulary(at.expert)


def different_vocabulary(at: Ground) -> None:
    def widen(tensors: dict[str, torch.Tensor]) -> None:
        name = "model.embed_tokens.weight"
        tensors[name] = torch.cat([tensors[name], torch.zeros(7, 32)])

    add_tokens(at.expert, 7)
    edit_tensors(at.expert, widen)


def no_tokenizer(at: Ground) -> None:
    for file in at.base.glob("tokenizer*"):
        file.unlink()


def no_chat_template(at: Ground) -> None:
    at.edits.append(lambda content: content["tasks"][2].update(apply_chat_template=True))


def missing_tensor(at: Ground) -> None:
    edit_tensors(at.expert, lambda tensors: tensors.pop("model.norm.weight"))


def shape_mismatch(at: Ground) -> None:
    edit_tensors(at.expert, lambda tensors: tensors.update({"model.norm.weight": torch.ones(33)}))


def other_architecture(at: Ground) -> None:
    edit_json(
        at.expert / "config.json",
        lambda config: config.update(model_type="mistral", architectures=["MistralForCausalLM"]),
    )


def not_a_number(at: Ground) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = torch.nan

    edit_tensors(at.expert, spoil)


def cut_short(at: Ground) -> None:
    file = at.expert / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def no_such_model(at: Ground) -> None:
    shutil.rmtree(at.expert)


def unknown_task(at: Ground) -> None:
    at.edits.append(lambda content: content["tasks"][0].pop("include_path"))
    task = {"evaluator": "agentbench", "task": "agentbench_bd"}  # lm-eval's own index takes seconds
    at.edits.append(lambda content: content["tasks"][0].update(task))


def unknown_metric(at: Ground) -> None:
    at.edits.append(lambda content: content["tasks"][0].update(metric="accuracy,none"))


def samples_beyond(at: Ground) -> None:
    at.edits.append(lambda content: content["tasks"][0]["samples"].update(holdout="24-99"))


def own_task(at: Ground, name: str, **metadata: Any) -> None:
    def change(content: dict[str, Any]) -> None:
        content["tasks"][0] = {
            "name": "red",
            "evaluator": "agentbench",
            "task": name,
            "metric": "pass_at_1,none" if name == "mbpp_sandboxed" else "success_rate,none",
            "metadata": metadata,
            "samples": {"search": "0-1"},
        }

    at.edits.append(change)


def no_sandbox(at: Ground) -> None:
    file = write_coding_problems(at.folder / "problems.jsonl")
    own_task(at, "mbpp_sandboxed", data_files=str(file), backend="bubblewrap")
    at.monkeypatch.setenv("PATH", str(at.folder))


def no_database(at: Ground) -> None:
    own_task(at, "agentbench_db", data_files=write_records(at.folder / "records.jsonl"))
    at.monkeypatch.setenv("PATH", str(at.folder))
    at.monkeypatch.setattr(mariadb, "_PLACES", ())


def no_device(at: Ground) -> None:
    at.edits.append(lambda content: content["engine"].update(device="cuda:99"))


def huge_family(at: Ground) -> None:
    """Models of 600 GB each by their headers, in files that are holes but for these."""
    config = json.loads((at.base / "config.json").read_text())
    config |= {"hidden_size": 2**14, "intermediate_size": 2**15, "num_hidden_layers": 96}
    with torch.device("meta"):
        tensors = LlamaForCausalLM(LlamaConfig(**config)).state_dict()
    for model in (at.base, *(at.folder / name for name in COLOURS)):
        (model / "model.safetensors").unlink()
        (model / "config.json").write_text(json.dumps(config))
        weight_map = {}
        for number, (name, tensor) in enumerate(tensors.items()):
            if name == "lm_head.weight":  # tied
                continue
            weight_map[name], end = f"model-{number}.safetensors", 4 * tensor.numel()
            header = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [0, end]}
            text = json.dumps({name: header}).encode()
            with (model / weight_map[name]).open("wb") as stream:
                stream.write(struct.pack("<Q", len(text)) + text)
                stream.truncate(8 + len(text) + end)
        index = {"metadata": {}, "weight_map": weight_map}
        (model / "model.safetensors.index.json").write_text(json.dumps(index))


def disk_too_small(at: Ground) -> None:
    at.edits.append(lambda content: content["evolution"].update(children=10**9))


def read_only_folder(at: Ground) -> None:
    at.out = Path("/sys/cycleqd-run")


def out_is_a_file(at: Ground) -> None:
    at.out = at.folder / "recipe.yaml"


def no_ray(at: Ground) -> None:
    at.edits.append(lambda content: content.update(workers={"kind": "ray", "count": 2}))
    at.monkeypatch.setitem(sys.modules, "ray", None)


def no_cluster(at: Ground) -> None:
    workers = {"kind": "ray", "count": 2, "address": "127.0.0.1:1"}
    at.edits.append(lambda content: content.update(workers=workers))


def unknown_key(at: Ground) -> None:
    at.edits.append(lambda content: content["evolution"].update(childern=5))


PLANTED: list[tuple[Callable[[Ground], None], str]] = [
    (wrong_tokenizer, f"{EXPERT}: must have the base's vocabulary, got 60 of 63 tokens"),
    (
        different_vocabulary,
        f"{EXPERT}: must have the base's shapes, got model.embed_tokens.weight [70, 32]",
    ),
    (no_tokenizer, "base_model: no tokenizer in"),
    (no_chat_template, "tasks[2].apply_chat_template: needs a chat template"),
    (missing_tensor, f"{EXPERT}: lacks model.norm.weight of the base"),
    (shape_mismatch, f"{EXPERT}: must have the base's shapes, got model.norm.weight [33]"),
    (other_architecture, f"{EXPERT}: must have the base's model_type llama, got mistral"),
    (not_a_number, "tensor model.layers.1.mlp.up_proj.weight has NaN or infinite values"),
    (cut_short, "cannot read model.safetensors"),
    (no_such_model, f"{EXPERT}: needs a model folder or a Hub id"),
    (unknown_task, "tasks[0].task: no task 'agentbench_bd' for evaluator agentbench; did you mean"),
    (unknown_metric, "tasks[0].metric: the task 'tiny_red' does not report 'accuracy,none'"),
    (samples_beyond, "tasks[0].samples.holdout: reaches beyond the task's 40 documents"),
    (no_sandbox, "tasks[0].task: 'mbpp_sandboxed' cannot be loaded: bubblewrap boxes need"),
    (no_database, "tasks[0].task: 'agentbench_db' cannot be loaded: databases need a server"),
    (no_device, "engine.device: cannot use 'cuda:99' here"),
    (huge_family, "engine.dtype and evolution.mutation: needs 619.1 GB of memory"),
    (disk_too_small, "--out: needs 6.0 TB of disk"),
    (read_only_folder, "--out: the run must be written to /sys/cycleqd-run, and /sys does not"),
    (out_is_a_file, "recipe.yaml is no folder"),
    (no_ray, "workers.kind: ray needs Ray, which is not installed"),
    (no_cluster, "workers.address: no Ray cluster at '127.0.0.1:1'"),
    (unknown_key, "evolution.childern: unknown key; did you mean 'children'?"),
]


def plan(at: Ground, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and output of the command, its lines of one finding joined."""
    with pytest.raises(SystemExit) as exit:
        main(["plan", str(at.recipe()), "--out", str(at.out)])
    return int(exit.value.code or 0), capsys.readouterr().out


def named(out: str) -> list[str]:
    """The faults in a table."""
    return re.findall(r"^│ ✗ │ [\w ]*│ (.*?) *│$", out, re.MULTILINE)
