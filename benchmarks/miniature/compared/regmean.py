"""RegMean (arXiv:2212.09849): each linear layer answers its experts' inputs as these do.

The merge minimises ``sum_k |X_k W^T - X_k W_k^T|^2``, where X_k has the inputs of the layer in
expert k:

    W = (sum_k W_k G_k) (sum_k G_k)^-1,   G_k = X_k^T X_k

Elements of G_k off the diagonal are scaled by a number below 1, which the paper calls alpha.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mergekit_cycleqd.engines.hf.answer_loss import TextSample

SCALES = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


def regmean(weights: Tensor, grams: Tensor, scale: float) -> Tensor:
    """Merge the weights of one linear layer.

    Args:
        weights: (experts, m, n) weights, or task vectors.
        grams: (experts, n, n) second moments of the experts' inputs.
        scale: What elements off the diagonal are multiplied by.
    """
    diagonals = torch.diag_embed(grams.diagonal(dim1=1, dim2=2))
    scaled = scale * grams.double() + (1 - scale) * diagonals.double()
    wanted = (weights.double() @ scaled).sum(0)
    return torch.linalg.lstsq(scaled.sum(0), wanted.T).solution.T.to(weights.dtype)


def by_counts(taus: Tensor, counts: Tensor) -> Tensor:
    """Merge embeddings by the same formula: inputs are tokens, so that Grams are diagonal.

    Args:
        taus: (experts, tokens, n) task vectors.
        counts: (experts, tokens) how often each token is read. One that no expert reads gets the
            mean of the task vectors.
    """
    shares = counts / counts.sum(1, keepdim=True)
    shares = torch.where(shares.sum(0) > 0, shares, 1.0)
    return (taus * (shares / shares.sum(0))[..., None]).sum(0)


@torch.no_grad()
def grams_of(
    model: nn.Module, samples: Iterable[TextSample], names: Iterable[str]
) -> tuple[Mapping[str, Tensor], Tensor]:
    """Let an expert read prompts and its own answers.

    Args:
        model: The expert.
        samples: Prompts with its answers.
        names: Names of the weights of the linear layers.

    Returns:
        For each layer the (n, n) mean over tokens of its inputs' outer products, and (vocabulary,)
        how often each token is read. By the mean, every expert counts alike.
    """
    grams: dict[str, Tensor] = {}
    modules = {name: model.get_submodule(name.removesuffix(".weight")) for name in names}
    hooks = [
        module.register_forward_pre_hook(_adding(grams, name)) for name, module in modules.items()
    ]
    counts = torch.zeros(model.get_input_embeddings().num_embeddings)  # type: ignore[operator]
    for sample in samples:
        for context, answer in sample.rows:
            tokens = torch.tensor((*context, *answer)[:-1])
            model(input_ids=tokens[None], use_cache=False)
            counts += tokens.bincount(minlength=len(counts))
    for hook in hooks:
        hook.remove()
    return {name: gram / counts.sum() for name, gram in grams.items()}, counts


def _adding(grams: dict[str, Tensor], name: str):  # type: ignore[no-untyped-def]
    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows = inputs[0].flatten(0, 1).double()
        grams[name] = grams.get(name, 0) + rows.T @ rows

    return hook
