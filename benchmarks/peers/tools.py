"""The tools: what pip installs, what they are given, what is run, and where the model lies."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.peers import family
from benchmarks.peers.environments import CONSTRAINTS

COUNTED = "evaluations.jsonl"
"""A line for each evaluation that a tool has finished."""
CONSTRAINED = ("--constraint", str(CONSTRAINTS))
MERGENETIC_POPULATION = 10


@dataclass(frozen=True)
class Tool:
    """A tool on the quickstart.

    Attributes:
        name: Short, as in options and file names.
        packages: What each call of `pip install` gets; none for this package.
        prepare: Writes what the tool reads into a folder, for a seed and a number of evaluations.
        commands: One after another, given the interpreter and the folder.
        model: Where the found model lies in the folder.
        counted: A file, and what a line of it begins with for each merge that was evaluated.
        seeded: Whether the seed decides what it searches; otherwise its runs are repetitions.
    """

    name: str
    packages: tuple[tuple[str, ...], ...]
    prepare: Callable[[Path, int, int], None]
    commands: Callable[[Path, Path], list[list[str]]]
    model: str
    counted: tuple[str, str] = (COUNTED, "^.")
    seeded: bool = True

    def evaluations(self, folder: Path) -> int:
        """How many merges were evaluated in a folder so far."""
        name, pattern = self.counted
        file = folder / name
        return len(re.findall(pattern, file.read_text(), re.MULTILINE)) if file.is_file() else 0


def evolve_configuration() -> dict[str, Any]:
    """The configuration of mergekit-evolve: a weight for each expert, as its guide advises."""
    return {
        "genome": {
            "models": [family.model(skill) for skill in family.SKILLS],
            "base_model": family.model("base"),
            "merge_method": "task_arithmetic",
            "allow_negative_weights": True,
        },
        "tasks": [
            {"name": family.task(skill), "metric": "exact_match,none"} for skill in family.SKILLS
        ],
        "limit": family.SAMPLES,
        "apply_chat_template": False,
        "fewshot_as_multiturn": False,
    }


def _prepare_evolve(folder: Path, seed: int, evaluations: int) -> None:
    text = yaml.safe_dump(evolve_configuration(), sort_keys=False)
    (folder / "genome.yaml").write_text(text)
    (folder / "evaluations.txt").write_text(str(evaluations))


def _evolve_commands(python: Path, folder: Path) -> list[list[str]]:
    options = [
        "--in-memory",
        "--no-merge-cuda",
        *("--num-gpus", "1"),
        *("--max-fevals", (folder / "evaluations.txt").read_text()),
        *("--batch-size", str(family.BATCH)),
        *("--storage-path", str(folder / "storage")),
        *("--task-search-path", str(family.TASK_FOLDER)),
    ]
    mended = "benchmarks.peers.mended_evolve"
    return [[str(python), "-m", mended, str(folder / "genome.yaml"), *options]]


def mergenetic_configuration(folder: Path, seed: int, evaluations: int) -> dict[str, Any]:
    """The configuration of mergenetic, with the names of its own example of many tasks."""
    return {
        "run_id": "run",
        "base_model": family.model("base"),
        "models": [family.model(skill) for skill in family.SKILLS],
        "tasks": [family.task(skill) for skill in family.SKILLS],
        "metric": "exact_match",
        "n_samples": family.SAMPLES,
        "eval_batch_size": family.BATCH,
        "dtype": "float32",
        "pop_size": min(evaluations, MERGENETIC_POPULATION),
        "n_iter": max(1, evaluations // MERGENETIC_POPULATION),
        "seed": seed,
        "path_to_store_config": str(folder / "config"),
        "path_to_store_merged_model": str(folder / "merged"),
        "additional_templates_folder": str(family.TASK_FOLDER),
        "device": "cpu",
        "load_in_4bit": False,
    }


def _prepare_mergenetic(folder: Path, seed: int, evaluations: int) -> None:
    content = mergenetic_configuration(folder, seed, evaluations)
    (folder / "config.json").write_text(json.dumps(content, indent=1))


def _mergenetic_commands(python: Path, folder: Path) -> list[list[str]]:
    return [[str(python), "-m", "benchmarks.peers.mended_mergenetic", str(folder / "config.json")]]


def our_recipe(preset: str, seed: int, evaluations: int, holdout: bool = False) -> dict[str, Any]:
    """The quickstart's recipe; the holdout is left out of a search, as the others have none."""
    last = family.SAMPLES - 1
    samples = {"search": f"0-{last}"} | ({"holdout": f"{last + 1}-"} if holdout else {})
    return {
        "base_model": family.model("base"),
        "experts": [{"model": family.model(skill), "task": skill} for skill in family.SKILLS],
        "tasks": [
            {
                "name": skill,
                "task": family.task(skill),
                "include_path": str(family.TASK_FOLDER),
                "metric": "exact_match,none",
                "samples": samples,
            }
            for skill in family.SKILLS
        ],
        "evolution": {"preset": preset, "children": evaluations, "seed": seed},
        "engine": {"device": "cpu", "dtype": "float32", "batch_size": family.BATCH},
    }


def _prepare_ours(preset: str) -> Callable[[Path, int, int], None]:
    def prepare(folder: Path, seed: int, evaluations: int) -> None:
        text = yaml.safe_dump(our_recipe(preset, seed, evaluations), sort_keys=False)
        (folder / "recipe.yaml").write_text(text)

    return prepare


def ours(*arguments: str) -> list[str]:
    """A call of this package's command."""
    return [sys.executable, "-c", "from mergekit_cycleqd.cli.main import main; main()", *arguments]


def _our_commands(_: Path, folder: Path) -> list[list[str]]:
    run = folder / "run"
    return [
        ours(str(folder / "recipe.yaml"), "--out", str(run)),
        ours("merge", str(run / "best.yaml"), str(folder / "model"), "--quiet"),
    ]


_JOURNAL = ("run/journal.jsonl", r'^\{"kind":"candidate",.*"parents":\[\d')
"""The base, the experts, their average and the aggregate are evaluated too, and are no children."""
TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("paper", (), _prepare_ours("paper"), _our_commands, "model", _JOURNAL),
        Tool("best", (), _prepare_ours("best"), _our_commands, "model", _JOURNAL),
        Tool(
            "mergekit-evolve",
            (("torch",), ("mergekit[evolve]==0.1.5", "psutil", *CONSTRAINED)),
            _prepare_evolve,
            _evolve_commands,
            "storage/final_model",
            seeded=False,
        ),
        Tool(
            "mergenetic",
            (
                ("torch",),
                (
                    *("mergekit==0.1.5", "lm_eval", "pymoo", "pandas", "matplotlib", "plotly"),
                    *("git-python", "fasttext-numpy2", "bitsandbytes", *CONSTRAINED),
                ),
                ("--no-deps", "mergenetic==0.1.1"),
            ),
            _prepare_mergenetic,
            _mergenetic_commands,
            "merged/run",
        ),
    )
}


def steps(tool: Tool, torch: str) -> Sequence[Sequence[str]]:
    """What pip gets, with the build of torch that this machine takes."""
    return [torch.split() if step == ("torch",) else step for step in tool.packages]
