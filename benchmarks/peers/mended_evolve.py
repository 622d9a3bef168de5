"""mergekit-evolve's command, run in its own environment with what was mended.

mergekit 0.1.5 is taken as pip gives it, and its command gets the options that it documents. What
was mended, each beside its reason:

- vLLM is imported even where it is not used, since current versions of lm-eval load their engines
  when they are first named (`without_vllm.py`).
- `--in-memory`, which its guide calls much faster, fails for every merge method. A merge may give
  no tensor for optional weights, and the step that returns tensors refuses such a merge.
- `--in-memory` loses `--batch-size`, so that lm-eval's engine answers one question at a time.
- Merging to disk asks torch to empty the cache of a CPU, which has none.
- Its actors ask Ray for a GPU. Ray is told that this machine has one.

`PEERS_SHIPPED_BATCH=1` leaves the batch size as it is shipped.
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
        batch = settings.get("batch_size")
        if batch and not isinstance(model, str) and not os.environ.get("PEERS_SHIPPED_BATCH"):
            model.batch_size_per_gpu = batch
        found: dict[str, Any] = shipped(model, *args, **settings)
        with open(os.environ["PEERS_EVALUATIONS"], "a") as file:
            file.write(json.dumps({"score": found["score"]}) + "\n")
        return found

    helpers._eval_model = actors._eval_model = _eval_model


def _mend_merges() -> None:
    import torch
    from mergekit import plan
    from mergekit.graph import Task

    class ReturnTensor(plan.ReturnTensor, frozen=True):
        """The same step, of any merge."""

        tensor_task: Task

    plan.ReturnTensor = ReturnTensor
    torch.cpu.empty_cache = lambda: None


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
