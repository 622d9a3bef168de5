"""mergenetic's search, run in its own environment with what was mended.

mergenetic 0.1.1 is a library, so its examples are programs. This one follows that of several
lm-eval tasks: `LmEvalMultiObjectiveProblem`, NSGA-II, `Searcher`. Its parts do all the work. The
merge method is `TaskArithmeticMerger`, a weight from 0 to 1 for each expert.

What was mended, beside its reason:

- It is installed with the versions of `constraints.txt`, which all tools have here. Those that it
  asks for bring vLLM with them, and older releases of lm-eval, mergekit and transformers.
- vLLM is imported even where it is not used (`without_vllm.py`), and is the only engine for
  lm-eval's tasks. `load_model` gives lm-eval's `HFLM` on a CPU.
- The evaluator takes samples of a split named `test`, and breaks on tasks whose split has another
  name. The split is renamed.
- The evaluator indexes all tasks of lm-eval anew, twice for each task of each model. That takes
  6 seconds of the processor each time, and so 38 for each model. The index is kept.

Its search returns a front. The model is that of the highest sum of scores on the search samples.
"""

import json
import logging
import os
import sys
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from benchmarks.peers.without_vllm import stand_in


def mend() -> None:
    """Apply the repairs to mergenetic's evaluator."""
    from mergenetic.evaluation import lm_harness

    index = lm_harness.TaskManager = lru_cache(lm_harness.TaskManager)
    lm_harness.simple_evaluate = partial(lm_harness.simple_evaluate, task_manager=index())
    shipped = lm_harness.LmHarnessEvaluator.get_task

    def get_task(self: Any, name: str) -> Any:
        task = shipped(self, name)
        split = task.config.test_split
        if split != "test":
            task.dataset["test"] = task.dataset.pop(split)
            task.config.test_split = "test"
        return task

    lm_harness.LmHarnessEvaluator.get_task = get_task


def problem_of(settings: dict[str, Any]) -> Any:
    """Mergenetic's problem of several lm-eval tasks, with an engine for a CPU."""
    from lm_eval.models.huggingface import HFLM
    from mergenetic.merging import TaskArithmeticMerger
    from mergenetic.optimization import predefined_problems as problems

    batch = settings["eval_batch_size"]

    class Problem(problems.LmEvalMultiObjectiveProblem):
        """The same problem; a line is written for each evaluation."""

        def load_model(self, path: Any, verbose: bool = True) -> Any:
            return HFLM(str(path), device="cpu", dtype=settings["dtype"], batch_size=batch)

        def metrics_4_genotype(self, model: Any) -> Any:
            found = super().metrics_4_genotype(model)
            with open(os.environ["PEERS_EVALUATIONS"], "a") as file:
                file.write(json.dumps([-float(value) for value in found[0]]) + "\n")
            return found

    merger = TaskArithmeticMerger(
        run_id=settings["run_id"],
        path_to_base_model=settings["base_model"],
        model_paths=settings["models"],
        path_to_store_yaml=settings["path_to_store_config"],
        path_to_store_merged_model=settings["path_to_store_merged_model"],
        dtype=settings["dtype"],
    )
    tasks = settings["tasks"]
    return Problem(
        config=problems.ConfigLmEvalMultiObjectivePE(
            tasks=tasks,
            sample_ids={task: list(range(settings["n_samples"])) for task in tasks},
            correct_metric=settings["metric"],
            additional_templates_folder=settings["additional_templates_folder"],
        ),
        merger=merger,
        n_var=len(settings["models"]),
        n_obj=len(tasks),
        device=settings["device"],
        load_in_4bit=settings["load_in_4bit"],
        eval_batch_size=batch,
    )


def main() -> None:
    """Search with the settings of a file, and merge the best model."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, force=True)
    stand_in()
    mend()
    from mergenetic.searcher import Searcher
    from pymoo.algorithms.moo.nsga2 import NSGA2

    problem = problem_of(settings)
    searcher = Searcher(
        problem,
        NSGA2(pop_size=settings["pop_size"], eliminate_duplicates=True),
        settings["path_to_store_config"],
        settings["n_iter"],
        seed=settings["seed"],
        run_id=settings["run_id"],
        verbose=False,
    )
    searcher.search()
    best = searcher.result_F.sum(axis=1).argmin()
    print("best weights:", searcher.result_X[best])
    problem._from_array_to_genotype(searcher.result_X[best])


if __name__ == "__main__":
    main()
