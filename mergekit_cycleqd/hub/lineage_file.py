"""lineage.json: where a published model comes from, back to the experts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.lineage import in_order
from mergekit_cycleqd.hub.pins import Source
from mergekit_cycleqd.hub.publications import Publication
from mergekit_cycleqd.recipe.sample_ids import SPLITS
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.scores import Scores, mean_scores, scores_by_candidate

FILE = "lineage.json"
VERSION = 1


def content(
    run: RunView,
    model: Publication,
    models: Sequence[Source],
    files: Mapping[str, Mapping[str, Any]],
    texts: Iterable[str],
) -> dict[str, Any]:
    """What is known of a model's origin, as plain data.

    Args:
        run: The run that found it.
        model: The model.
        models: Base and experts, as published.
        files: Size and hashes of each file that was built from the recipe.
        texts: Paths of the other files that are published with it.
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
        },
        "model": {
            "what": model.what,
            "task": model.task,
            "index": model.index,
            "genome": model.genome.id,
            "parents": list(model.parents),
            **_evaluations(() if model.index is None else _scores(run).get(model.index, ())),
            "scores": {split: run.scores(model.genome, split) for split in SPLITS},
            "samples": {split: run.counts[split] for split in SPLITS},
        },
        "models": described(models),
        "ancestors": ancestors(run, model.index, model.parents),
        "files": {path: dict(files[path]) for path in sorted(files)},
        "published": sorted({FILE, *files, *texts}),
    }


def described(models: Sequence[Source]) -> list[dict[str, Any]]:
    """Base and experts as lineage.json names them."""
    return [
        {"task": each.task, "model": each.published, "fingerprint": each.fingerprint}
        for each in models
    ]


def text(content: Mapping[str, Any]) -> str:
    """The file's text; equal content gives equal bytes."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(data: bytes) -> dict[str, Any]:
    """What a lineage.json holds; empty if it is of another making."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    ours = isinstance(found, dict) and found.get("version") == VERSION
    return found if ours else {}


def ancestors(run: RunView, index: int | None, parents: Sequence[int]) -> list[dict[str, Any]]:
    """The candidate and all that it was bred from, oldest first, down to the experts.

    A child's `seeds` are those of the mutation that it got itself.
    """
    waiting = [*parents, *([index] if index is not None else [])]
    known: set[int] = set()
    while waiting:
        number = waiting.pop()
        if number not in known:
            known.add(number)
            waiting += run.told[number].candidate.parents
    evaluated = _scores(run)
    found = []
    for number in sorted(known):
        candidate, scores = run.told[number].candidate, evaluated.get(number)
        inherited = set[int]().union(
            *(_seeds(run.told[parent].candidate.genome) for parent in candidate.parents)
        )
        found.append(
            {
                "index": number,
                "task": candidate.task,
                "genome": candidate.genome.id,
                "parents": list(candidate.parents),
                "weights": list(candidate.genome.weights),
                "seeds": sorted(_seeds(candidate.genome) - inherited),
                **_evaluations(scores or ()),
                "scores": mean_scores(scores) if scores else None,
            }
        )
    return found


def _scores(run: RunView) -> dict[int, list[Scores]]:
    return scores_by_candidate(
        (told.candidate.index, told.candidate.again, told.scores) for told in run.told.values()
    )


def _evaluations(found: Sequence[Scores]) -> dict[str, int]:
    """How many evaluations scores are the means of, where those are several."""
    return {"evaluations": len(found)} if len(found) > 1 else {}


def _seeds(genome: Genome) -> set[int]:
    seeds = {term.seed for term in genome.terms}
    return seeds | {mutation.seed for mutation in in_order(genome.lineage)}
