"""How embeddings are treated by task vectors without interference: forms that were compared.

    python benchmarks/miniature/embeddings.py [--family uneven] [--seeds 0 1 2]

All weights are 1, lambda is 0.1, and matrices but the embedding are treated as `wudi` does. The
head is tied to the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from family import SKILLS, models
from safetensors.torch import load_file
from saved import Rows
from scoring import Scorer
from tables import arguments, over_seeds, table
from torch import Tensor

STRENGTH = 0.1
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
Taus = Sequence[Tensor]


def plain(taus: Taus) -> Taus:
    """Leave it alone."""
    return taus


def matrix(taus: Taus) -> Taus:
    """Treat it as any other matrix."""
    grams = [(tau / tau.norm()).T @ (tau / tau.norm()) for tau in taus]
    total = torch.stack(grams).sum(0)
    level = STRENGTH * total.trace() / len(total) * torch.eye(len(total), dtype=total.dtype)
    inverse = torch.linalg.inv(total + level)
    return [tau @ (gram + level) @ inverse for tau, gram in zip(taus, grams, strict=True)]


def shares(taus: Taus, axis: int) -> Taus:
    """Scale rows (axis 0) or columns (axis 1) by the experts' shares of their squared norms."""
    found = [(tau / tau.norm()).square().sum(1 - axis, keepdim=True) for tau in taus]
    total = torch.stack(found).sum(0)
    level = STRENGTH * total.mean()
    pairs = zip(taus, found, strict=True)
    return [tau * (share + level) / (total + level) for tau, share in pairs]


FORMS: Mapping[str, Callable[[Taus], Taus]] = {
    "plain": plain,
    "as a matrix": matrix,
    "rows by shares": lambda taus: shares(taus, 0),
    "rows by shares, then as a matrix": lambda taus: matrix(shares(taus, 0)),
    "rows and columns by shares": lambda taus: shares(shares(taus, 0), 1),
}


def rows_of(seed: int, _: int, family: str) -> Rows:
    """The merges of one seed."""
    torch.set_num_threads(1)
    found = models(seed, family)
    scorer = Scorer(found)
    base, *experts = (
        load_file(f"{model}/model.safetensors")
        for model in (found.genomes.base_model, *found.genomes.experts)
    )
    rows: Rows = {}
    for form, change in FORMS.items():
        weights = {}
        for name, start in base.items():
            taus: Taus = [expert[name].double() - start.double() for expert in experts]
            if start.ndim > 1 and name != HEAD:
                taus = (change if name == EMBEDDING else matrix)(taus)
            weights[name] = (start.double() + torch.stack(list(taus)).sum(0)).float()
        weights[HEAD] = weights[EMBEDDING]
        scored = {split: scorer.score_weights(weights, split) for split in ("holdout", "search")}
        rows[form] = {f"holdout {skill}": scored["holdout"][skill] for skill in SKILLS} | {
            split: sum(scores.values()) / len(SKILLS) for split, scores in scored.items()
        }
    return rows


def main() -> None:
    """Print the table of a tiny family."""
    parser = arguments(__doc__, seeds=(0, 1, 2), jobs=1)
    parser.add_argument("--family", choices=["gentle", "uneven"], default="gentle")
    args = parser.parse_args()
    columns = {f"holdout {skill}": skill for skill in SKILLS}
    columns |= {"holdout": "holdout mean", "search": "search mean"}
    print(table(over_seeds(rows_of, args, args.family), columns))


if __name__ == "__main__":
    main()
