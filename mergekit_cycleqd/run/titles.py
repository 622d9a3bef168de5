"""What a run calls the models that it evaluates."""

from __future__ import annotations

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.cycleqd import CycleQD


def title(record: Record, search: CycleQD) -> str:
    """Name a candidate by its number, and a model that is only compared by its role."""
    if record.candidate is not None:
        return f"candidate {record.candidate.index}"
    family = search.family
    models = [("base", Genome.from_base(family)), ("uniform merge", Genome.uniform(family))]
    if search.archives_ready:
        models = compared_models(search)
    names = {genome.id: name for name, genome in reversed(models)}
    return f"the model {names.get(record.genome.id, record.genome.id)!r}"
