"""The file lineage.json: the ancestors of a published model, back to the experts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mergekit_cycleqd.checkpoints.sketch import TensorSketch
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.lineage import in_order
from mergekit_cycleqd.hub.pins import Source
from mergekit_cycleqd.hub.publications import Publication
from mergekit_cycleqd.recipe.sample_ids import SPLITS
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.scores import Scores, mean_scores, scores_by_candidate

FILE = "lineage.json"
VERSION = 1


def lineage_content(
    run: RunView,
    model: Publication,
    models: Sequence[Source],
    files: Mapping[str, Mapping[str, Any]],
    texts: Iterable[str],
) -> dict[str, Any]:
    """Collect the run, the model, its ancestors and its files, as plain data.

    Args:
        run: The run that found the model.
        model: The model.
        models: Base and experts, as published.
        files: Size and hashes of each file that was built from the recipe, by path.
        texts: Paths of the other files that are published with the model.
    """
    evolution = run.recipe.evolution
    return {
        "version": VERSION,
        "run": {
            "id": run.id,
            "seed": evolution.seed,
            "children": run.search.children_told,
            "evolution": evolution.model_dump(mode="json"),
            "versions": dict(run.header["versions"]),
            **({"prompts": run.prompts} if run.prompts else {}),
        },
        "model": {
            "what": model.what,
            "task": model.task,
            "index": model.index,
            "genome": model.genome.id,
            "parents": list(model.parents),
            **_evaluation_count(
                () if model.index is None else _scores_by_candidate(run).get(model.index, ())
            ),
            "scores": {split: run.scores(model.genome, split) for split in SPLITS},
            "samples": {split: run.counts[split] for split in SPLITS},
        },
        "models": describe_models(models),
        "ancestors": ancestors(run, model.index, model.parents),
        "files": {path: dict(files[path]) for path in sorted(files)},
        "published": sorted({FILE, *files, *texts}),
    }


def describe_models(models: Sequence[Source]) -> list[dict[str, Any]]:
    """Describe base and experts, as lineage.json holds them."""
    return [
        {"task": model.task, "model": model.published, "fingerprint": model.made.fingerprint}
        for model in models
    ]


def lineage_text(content: Mapping[str, Any]) -> str:
    """Write content as the text of lineage.json. Equal content gives equal bytes."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def parse_lineage_file(data: bytes) -> dict[str, Any]:
    """Parse a lineage.json; empty if another program or version wrote it."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    ours = isinstance(found, dict) and found.get("version") == VERSION
    return found if ours else {}


def published_weights(lineage: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a lineage.json says of each file of weights; nothing of files outside of the model."""
    files = lineage.get("files")
    return {
        name: file
        for name, file in (files.items() if isinstance(files, dict) else ())
        if re.fullmatch(r"[\w-][\w.-]*\.safetensors", name)
        and isinstance(file, dict)
        and isinstance(file.get("sha256"), str)
    }


def read_sketches(files: Mapping[str, Mapping[str, Any]]) -> dict[str, TensorSketch]:
    """Read the sketches of all tensors, by name; empty if another program or version wrote them.

    Args:
        files: What lineage.json says of the files of weights, by path.
    """
    try:
        return {
            name: TensorSketch.read(text)
            for file in files.values()
            for name, text in file.get("tensors", {}).items()
        }
    except (AttributeError, ValueError):
        return {}


def ancestors(run: RunView, index: int | None, parents: Sequence[int]) -> list[dict[str, Any]]:
    """List a candidate and all its ancestors down to the experts, oldest first.

    `seeds` of a child are the seeds of its own mutation, without those that it inherited.

    Args:
        run: The run.
        index: Number of the candidate; None for a model that is no candidate.
        parents: Numbers of the model's parents.
    """
    waiting = [*parents, *([index] if index is not None else [])]
    known: set[int] = set()
    while waiting:
        number = waiting.pop()
        if number not in known:
            known.add(number)
            waiting += run.told[number].candidate.parents
    evaluated = _scores_by_candidate(run)
    found = []
    for number in sorted(known):
        candidate, scores = run.told[number].candidate, evaluated.get(number)
        inherited = set[int]().union(
            *(_all_seeds(run.told[parent].candidate.genome) for parent in candidate.parents)
        )
        found.append(
            {
                "index": number,
                "task": candidate.task,
                "genome": candidate.genome.id,
                "parents": list(candidate.parents),
                "weights": list(candidate.genome.weights),
                **candidate.genome.groups.written(),
                "seeds": sorted(_all_seeds(candidate.genome) - inherited),
                **_evaluation_count(scores or ()),
                "scores": mean_scores(scores) if scores else None,
            }
        )
    return found


def _scores_by_candidate(run: RunView) -> dict[int, list[Scores]]:
    return scores_by_candidate(
        (told.candidate.index, told.candidate.again, told.scores) for told in run.told.values()
    )


def _evaluation_count(found: Sequence[Scores]) -> dict[str, int]:
    """Count the evaluations behind mean scores; empty for a single evaluation."""
    return {"evaluations": len(found)} if len(found) > 1 else {}


def _all_seeds(genome: Genome) -> set[int]:
    seeds = {term.seed for term in genome.terms}
    return seeds | {mutation.seed for mutation in in_order(genome.lineage)}
