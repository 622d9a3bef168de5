"""AdaMerging, layer-wise (arXiv:2310.02575): coefficients that make the merged model certain.

Each tensor of each expert has a coefficient c: ``W = W_0 + sum_k c_k tau_k``. Adam minimises the
sum over the tasks of the mean entropy of the merged model's predictions on unlabelled samples, from
0.3 for all coefficients, in steps of 16 samples of each task. "Layer" is each tensor here.

The paper is about classifiers, which predict once for each sample. Here a prediction is that of the
next token, at each token of the answer that the task's expert gave to a search prompt. The loss
does not know these tokens, it only reads on after them. The paper makes 500 steps. Here search
samples choose among fewer, since the entropy can fall while models get worse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from compared.differentiable import Differentiable, Samples, drawn, entropy
from compared.tensors import Tensors

START, RATE, EACH = 0.3, 1e-3, 16
STOPS = (50, 100, 300)


def adamerging(
    tensors: Tensors,
    model: Differentiable,
    samples: Samples,
    seed: int,
    start: float = START,
    stops: Sequence[int] = STOPS,
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Fit the coefficients.

    Args:
        tensors: Base and task vectors.
        model: Of their shape.
        samples: Of each expert prompts with its answers.
        seed: Of the order of samples.
        start: All coefficients at the start.
        stops: After how many steps a model is given.

    Yields:
        The number of steps, and the state dict.
    """
    experts = len(samples)
    coefficients = {n: torch.full((experts,), start, requires_grad=True) for n in tensors.base}
    adam = torch.optim.Adam(list(coefficients.values()), lr=RATE)
    for step in range(max(stops)):
        changes = merged(tensors.taus, coefficients)
        weights = {name: tensors.base[name] + change for name, change in changes.items()}
        batch = drawn(samples, EACH, seed, step)
        loss = torch.stack([entropy(model.told(weights, own)[0]) for own in batch]).sum()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        if step + 1 in stops:
            with torch.no_grad():
                changes = merged(tensors.taus, coefficients)
            yield step + 1, tensors.model(changes)


def merged(taus: Mapping[str, Tensor], coefficients: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Merge the task vectors of each tensor by the experts' coefficients, (experts,)."""
    return {name: torch.tensordot(coefficients[name], taus[name], dims=1) for name in taus}
