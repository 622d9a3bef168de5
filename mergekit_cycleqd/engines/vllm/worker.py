"""The code in each worker of vLLM: it merges a genome's weights and has vLLM load them.

vLLM makes `GenomeWorker` a base class of its workers (`worker_extension_cls`). Requests and answers
are JSON texts of a few KB, never weights.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.layout.lay_out import meta_model
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout
from mergekit_cycleqd.checkpoints.layout.tensor_readers import whole_reader
from mergekit_cycleqd.checkpoints.vocabulary.aligned import as_stored
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.engines.fingerprint import tensor_digest
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.errors import CycleQDError, ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.vocabulary import BaseVocabulary
from mergekit_cycleqd.merging.direction_cache import DirectionCache

FILL = 0.8125
"""A number that fills no parameter of a real model, and is exact in every dtype."""
_WIDTHS = ("input_size_per_partition", "input_size", "embedding_dim")


class GenomeWorker:
    """Methods that `collective_rpc` of vLLM calls in each worker."""

    model_runner: Any
    device: torch.device
    cycleqd_tensors: GenomeTensors

    def open_family(self, text: str) -> str:
        """Open base and experts on the machine of this worker.

        Args:
            text: JSON with references, tokenizer, fingerprints, dtype and trust_remote_code.

        Returns:
            JSON with digests of the parameters: `loaded` by vLLM, and `filled` with one number. Or
            JSON with a `fault`.
        """
        if (
            multiprocessing.parent_process()
            and threading.current_thread() is threading.main_thread()
        ):
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # Ctrl-C reaches all processes; only the run reacts
        try:
            from_folder = parameter_digests(self.model_runner.get_model())
            self.cycleqd_tensors = GenomeTensors(json.loads(text), self.device)
            self._reload_from(self.cycleqd_tensors.filled())
        except CycleQDError as error:
            return json.dumps({"fault": str(error)})
        return json.dumps(
            {"loaded": from_folder, "filled": parameter_digests(self.model_runner.get_model())}
        )

    def load_genome(self, text: str) -> str:
        """Replace the weights by those of a genome.

        Args:
            text: JSON of the genome's recipe; null for the base as it is stored.

        Returns:
            JSON with digests of the tensors that were `fed` and of the parameters that are
            `loaded`. Or JSON with a `fault`.
        """
        fed: dict[str, str] = {}

        def with_digests(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
            for name, tensor in tensors:
                fed[name] = tensor_digest(tensor)
                yield name, tensor

        try:
            recipe = json.loads(text)
            genome = None if recipe is None else Genome.from_mergekit(recipe)
            self._reload_from(with_digests(self.cycleqd_tensors.tensors(genome)))
        except CycleQDError as error:
            return json.dumps({"fault": str(error)})
        return json.dumps({"fed": fed, "loaded": parameter_digests(self.model_runner.get_model())})

    @torch.no_grad()
    def _reload_from(self, tensors: Iterator[tuple[str, Tensor]]) -> None:
        self.reload_weights(weights_iterator=tensors)  # type: ignore[attr-defined]  # a method of vLLM
        for module in self.model_runner.get_model().modules():
            if hasattr(module, "cpu_linear") and module.weight.numel():
                module.quant_method.process_weights_after_loading(module)  # see `parameter_digests`


class GenomeTensors:
    """Computes the tensors of genomes, on the worker's device as far as vLLM leaves room."""

    def __init__(self, sent: dict[str, Any], device: torch.device) -> None:
        (base_model, *others), trust = sent["models"], sent["trust_remote_code"]
        family = Family(base_model, tuple(others), tokenizer=BaseVocabulary.read(sent))
        base, experts = open_family(family, trust)
        for checkpoint, expected in zip((base, *experts), sent["fingerprints"], strict=True):
            if checkpoint.fingerprint() != expected:
                raise ModelError(
                    f"{checkpoint.name}: a worker of vLLM finds other weights in "
                    f"{checkpoint.folder} than the run began with"
                )
        self._layout = meta_model(base, trust, getattr(torch, sent["dtype"]))
        self._base = base
        self._device = device
        cache = DirectionCache.default()
        self._merged = ResidentModel(self._layout, base, experts, cache, device=device)

    def tensors(self, genome: Genome | None) -> Iterator[tuple[str, Tensor]]:
        """Compute the tensors of a genome's model, named as in a checkpoint.

        Args:
            genome: The model; None for the base as vLLM loads it from its folder.
        """
        tensors = self._merged.tensors(genome) if genome else self._of_folder()
        for name, tensor in tensors:
            yield from self._as_stored(name, tensor)

    def _of_folder(self) -> Iterator[tuple[str, Tensor]]:
        base = as_stored(self._base)
        layout = MergeLayout(base, self._layout)
        read = whole_reader(layout, base)
        for unit in layout.units:
            for name in unit.names:
                yield name, read(name).to(self._device, layout.loaded[unit.loaded[0]].dtype)

    def filled(self) -> Iterator[tuple[str, Tensor]]:
        """Make the same tensors, filled with one number."""
        for name, tensor in self._merged.filled(FILL):
            yield from self._as_stored(name, tensor)

    def _as_stored(self, name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Split a tensor that transformers has fused, as when it saves a model."""
        if name in self._base.headers:
            yield name, tensor
            return
        from transformers.core_model_loading import revert_weight_conversion

        yield from revert_weight_conversion(self._layout, {name: tensor}).items()


def parameter_digests(model: torch.nn.Module) -> dict[str, str]:
    """Compute digests of a model's parameters as vLLM holds them.

    On a CPU vLLM packs the weights of linear layers in a hidden form and empties their parameters.
    There the digest is that of the layer's product with a fixed vector, computed by the kernel that
    generates. A tied head keeps its parameter and must be packed again after each swap. vLLM 0.32
    does not do this, and would keep the first model's head.
    """
    found = {}
    for prefix, module in model.named_modules():
        product = getattr(module, "cpu_linear", None)
        if product is not None:
            width = next(getattr(module, key) for key in _WIDTHS if hasattr(module, key))
            vector = torch.linspace(-1, 1, width, dtype=module.weight.dtype)
            found[f"{prefix}.cpu_linear"] = tensor_digest(
                product(vector[None], module.weight, None)
            )
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.numel() or product is None:
                found[f"{prefix}.{name}"] = tensor_digest(parameter)
    return found
