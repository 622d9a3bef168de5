"""Models and model recipes from strangers: nothing of theirs is run, and nothing is read around."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.recipes import watched
from benchmarks.faults.scene import Scene


class _Touch:
    """Unpickled, it leaves a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def model_files(scene: Scene, tries: int) -> Outcome:
    """Take experts and bases with pickles, code of their own, and an index that leads elsewhere."""
    outcome = Outcome("models with pickles, code of their own, or files named elsewhere")
    canary = scene.new("canary") / "sang"
    cases = [
        ("a pickle in place of safetensors", _pickled, "needs model.safetensors"),
        ("a pickle beside safetensors", _pickled_beside, None),
        ("code in config.json", _coded, None),
        ("code of the tokenizer", _coded_tokenizer, None),
        ("an index of /etc/passwd", _index("/etc/passwd"), "must name safetensors files beside it"),
        ("an index upwards", _index("../x.safetensors"), "must name safetensors files beside it"),
        ("an index of nothing", _index(None), "must name safetensors files beside it"),
    ]
    for name, spoil, wanted in cases[:tries]:
        for key in ("base_model", "expert"):
            folder = scene.new("model") / "model"
            shutil.copytree(
                scene.family.base_model if key == "base_model" else scene.family.experts[0], folder
            )
            spoil(folder, canary)

            def change(content: dict[str, Any], key: str = key, folder: Path = folder) -> None:
                content["evolution"]["children"] = 1
                if key == "base_model":
                    content["base_model"] = str(folder)
                else:
                    content["experts"][0]["model"] = str(folder)

            code, text = scene.say(scene.changed(change), "--out", scene.new("out") / "run")
            outcome.tried += 1
            outcome.expect("Traceback" not in text, f"{name}: {text[-1500:]}")
            outcome.expect(not canary.exists(), f"{name}: it was run")
            if wanted:
                outcome.expect(code == 2, f"{name}: exit code {code}")
                outcome.tell(text, wanted, scene.folder)
            else:
                outcome.expect(code in (0, 2), f"{name}: exit code {code}")
    return outcome


def _pickled(folder: Path, canary: Path) -> None:
    _pickled_beside(folder, canary)
    (folder / "model.safetensors").unlink()


def _pickled_beside(folder: Path, canary: Path) -> None:
    tensors: dict[str, Any] = dict(load_file(folder / "model.safetensors"))
    torch.save(tensors | {"x": _Touch(canary)}, folder / "pytorch_model.bin")
    for name in ("training_args.bin", "scheduler.pt"):
        (folder / name).write_bytes(pickle.dumps(_Touch(canary)))


def _coded(folder: Path, canary: Path) -> None:
    _own_code(folder, canary)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}
    (folder / "config.json").write_text(json.dumps(config))


def _coded_tokenizer(folder: Path, canary: Path) -> None:
    _own_code(folder, canary)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config |= {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tokenizer_class": "Own"}
    path.write_text(json.dumps(config))


def _own_code(folder: Path, canary: Path) -> None:
    (folder / "own.py").write_text(f"open({str(canary)!r}, 'w')\nclass Own: pass\n")


def _index(name: str | None) -> Any:
    def spoil(folder: Path, canary: Path) -> None:
        weights = None if name is None else {"model.norm.weight": name}
        path = folder / "model.safetensors.index.json"
        path.write_text(json.dumps({"weight_map": weights}))

    return spoil


def merged_recipes(scene: Scene, tries: int) -> Outcome:
    """Merge the recipes of strangers: absurd numbers, texts of 10 MB, names that lead elsewhere."""
    outcome = Outcome(
        "model recipe with absurd numbers, 10 MB of mutation, names that lead elsewhere"
    )
    one = {"weight": 1.0}
    long = " ".join(f"{seed}:0.001" for seed in range(800_000))
    cases: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "an infinite scale": (one | {"mutation": "1:inf"}, {}),
        "a scale that is none": (one | {"mutation": "1:nan"}, {}),
        "a huge seed": (one | {"mutation": f"{2**64}:1"}, {}),
        "an infinite weight": ({"weight": float("inf")}, {}),
        "a weight that is none": ({"weight": float("nan")}, {}),
        "10 MB of words that are none": (one | {"mutation": "x " * 5_000_000}, {}),
        "10 MB of one word": (one | {"mutation": "1" * 10_000_000}, {}),
        "a negative rank": (one, {"parameters": {"rank": -1}}),
        "a huge rank": (one, {"parameters": {"rank": 10**30}}),
        "energy of two": (one, {"parameters": {"energy": 2.0}}),
        "a lineage that refers to nothing": (one, {"parameters": {"lineage": "=;7*1.0"}}),
        "a lineage that is none": (one, {"parameters": {"lineage": "../../x"}}),
        "a base upwards": (one, {"base_model": "org/../../../etc"}),
        "a revision upwards": (one, {"base_model": "org/base@../../../etc"}),
        "a base that is a device": (one, {"base_model": "/dev/zero"}),
        "another method": (one, {"merge_method": "cycle"}),
    }
    for name, (parameters, changed) in list(cases.items())[:tries]:
        place = scene.new("stranger")
        content = {
            "merge_method": "cycleqd",
            "base_model": scene.family.base_model,
            "models": [
                {"model": scene.family.experts[0], "parameters": parameters},
                {"model": scene.family.experts[1], "parameters": one},
            ],
            "dtype": "float32",
        } | changed
        (place / "recipe.yaml").write_text(yaml.safe_dump(content))
        with watched():
            code, text = scene.say("merge", place / "recipe.yaml", place / "model", "--quiet")
        outcome.tried += 1
        outcome.expect(code != 0, f"{name}: exit code {code}")
        outcome.expect("Traceback" not in text, f"{name}: {text[-1500:]}")
        outcome.expect(not (place / "model").exists(), f"{name}: a model was written")
        if "infinite scale" in name:
            outcome.tell(text, "mutation and noise are words", scene.folder)
    if tries >= len(cases):
        outcome.wrong += _long_is_merged(scene, long)
        outcome.tried += 1
    return outcome


def _long_is_merged(scene: Scene, mutation: str) -> list[str]:
    """10 MB of right terms are read, and give back the same text."""
    from mergekit_cycleqd.genome.terms import format_terms, parse_terms

    with watched():
        same = format_terms(parse_terms(mutation, 0)) == mutation
    return [] if same else ["10 MB of terms are read as others"]
