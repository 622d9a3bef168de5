"""mergekit-evolve's command, run in its own environment with what was mended.

mergekit 0.1.5 is taken as pip gives it. The command gets the options that it documents, and its
search is untouched. These are replaced in memory while it runs:

- lm-eval's module of vLLM, which mergekit names when it starts, whichever engine is asked for. It
  cannot be imported where vLLM is not installed (`without_vllm.py`).
- `mergekit.plan.ReturnTensor`. `--in-memory`, which its guide calls much faster, fails for every
  merge method: this step accepts tasks that always give a tensor, and merges may give none.
- `mergekit.evo.helpers._eval_model`. `--in-memory` makes lm-eval's engine without `--batch-size`,
  so that it answers one question at a time. The size is set before each evaluation, and a line is
  written after it, by which evaluations are counted.
- Ray. Its actors ask for a GPU, so a Ray is started that is told of one.
"""

import json
import os
from typing import Any

from benchmarks.peers.without_vllm import stand_in


def mend() -> None:
    """Apply the repairs; each of Ray's worker processes calls this when it starts."""
    stand_in()
    from mergekit.evo import actors, helpers

    shipped = helpers._eval_model
    if shipped.__module__ == __name__:
        return
    _mend_merges()

    def _eval_model(model: Any, *args: Any, **settings: Any) -> dict[str, Any]:
        if not isinstance(model, str):
            model.batch_size_per_gpu = settings["batch_size"]
        found: dict[str, Any] = shipped(model, *args, **settings)
        with open(os.environ["PEERS_EVALUATIONS"], "a") as file:
            file.write(json.dumps({"score": found["score"]}) + "\n")
        return found

    helpers._eval_model = actors._eval_model = _eval_model


def _mend_merges() -> None:
    from mergekit import plan
    from mergekit.graph import Task

    class ReturnTensor(plan.ReturnTensor, frozen=True):
        """The same step, of merges that may give no tensor too."""

        tensor_task: Task

    plan.ReturnTensor = ReturnTensor


def main() -> None:
    """Start a Ray of its own, and hand over to the command."""
    mend()
    import ray
    from mergekit.scripts.evolve import main as evolve

    hook = {"worker_process_setup_hook": "benchmarks.peers.mended_evolve.mend"}
    ray.init(address="local", num_cpus=1, num_gpus=1, include_dashboard=False, runtime_env=hook)
    evolve()


if __name__ == "__main__":
    main()
