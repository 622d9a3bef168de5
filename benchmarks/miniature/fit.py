"""Without a search: interference removed, and weights fitted to the experts' own answers.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/fit.py [--family uneven] [--seeds 0 1 2]

`wudi` is the merge with all weights 1 of task vectors without interference, which needs base and
experts alone. A fit has one weight for each expert and tensor. They are found by Adam on the
likelihood of the answers that each expert gives to the first half of its search samples: no label
is used, and no weight of the model is trained. The derivative by a weight is the sum over
``d loss / d W * tau'``, from one ordinary backward pass. What is scored is a genome with weights by
groups of tensors, by the resident model, as in a run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from family import SKILLS, Models, make_models, models, skills
from safetensors.torch import load_file
from saved import Rows
from scoring import SPLITS, Scorer
from tables import arguments, over_seeds, paired, table
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors

KINDS: Mapping[str, TaskVectors] = {"plain": PLAIN, "wudi": TaskVectors("wudi", 0.1)}
START, RATE, STEPS, BATCH = 0.8, 0.1, 40, 48
LONGEST = 40  # tokens of an answer
COLUMNS = {
    **{f"holdout {skill}": skill for skill in SKILLS},
    "holdout": "holdout mean",
    "held back": "search samples that no fit saw",
    "seconds": "seconds",
}


def rows_of(seed: int, _: int, family: str) -> Rows:
    """All models of one seed of a tiny family."""
    torch.set_num_threads(1)
    found = models(seed, family)
    scorer = FittingScorer(found)
    rows: Rows = {}

    def add(name: str, genome: Genome, seconds: float | None = None) -> None:
        holdout = scorer.score(genome, "holdout")
        rows[name] = _row(scorer, holdout) | ({} if seconds is None else {"seconds": seconds})

    add("uniform merge", Genome.uniform(scorer.family))
    for kind, vectors in KINDS.items():
        of_kind = replace(scorer.family, task_vectors=vectors)
        add(f"{kind}, all weights 1", Genome(of_kind, (1.0,) * len(SKILLS)))
    for kind, vectors in KINDS.items():
        start = time.process_time()
        genome = fit(scorer, replace(scorer.family, task_vectors=vectors), seed)
        add(f"{kind}, fitted by tensor", genome, time.process_time() - start)
    joint = load_file(found.joint / "model.safetensors")
    joint.setdefault("lm_head.weight", joint["model.embed_tokens.weight"])
    rows["fine-tuned on all data"] = _row(scorer, scorer.score_weights(joint, "holdout"))
    return rows


def _row(scorer: FittingScorer, holdout: Mapping[str, float]) -> dict[str, float]:
    """Scores of the model that the scorer holds."""
    shares = {f"holdout {skill}": holdout[skill] for skill in SKILLS}
    mean = sum(shares.values()) / len(shares)
    return shares | {"holdout": mean, "held back": scorer.held_back()}


class FittingScorer(Scorer):
    """A scorer whose model also gives the derivatives of a loss.

    Attributes:
        tensors: The model's tensors by the names under which they are merged.
    """

    def __init__(self, found: Models) -> None:
        """Load the models as `Scorer` does."""
        super().__init__(found)
        layout = self._resident.layout
        self.tensors = {
            name: layout.loaded[layout.loaded_name(name) or name] for name in layout.names
        }

    def become(self, genome: Genome) -> None:
        """Load a genome without scoring it."""
        self._resident.load(genome)

    def task_vectors(self, family: Family, k: int) -> dict[str, Tensor]:
        """The task vector of expert k in every tensor, as a genome's weights refer to it."""
        self.become(Genome.from_base(family))
        base = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        self.become(Genome.from_expert(family, k))
        return {name: tensor.detach() - base[name] for name, tensor in self.tensors.items()}

    def held_back(self) -> float:
        """Share of right answers to the second half of the search samples."""
        found = [self.passes("search", skill) for skill in SKILLS]
        return float(torch.cat([right[len(right) // 2 :] for right in found]).float().mean())

    @torch.no_grad()
    def answers(self, skill: str) -> list[tuple[Tensor, Tensor]]:
        """Let the model answer the first half of a skill's search samples: tokens and labels."""
        docs, ids = skills.docs(skill, "eval"), SPLITS["search"]
        prompts = [self._tokenizer.encode(docs[i]["prompt"]) for i in ids[: len(ids) // 2]]
        told = [list(prompt) for prompt in prompts]
        end = self._tokenizer.eos_token_id
        for _ in range(LONGEST):
            # Padding follows the tokens, so causal attention never sees it.
            padded = pad_sequence([torch.tensor(tokens) for tokens in told], batch_first=True)
            hidden = self._model.model(input_ids=padded, use_cache=False).last_hidden_state
            last = torch.tensor([len(tokens) - 1 for tokens in told])
            said = self._model.lm_head(hidden[torch.arange(len(told)), last]).argmax(-1).tolist()
            for tokens, token in zip(told, said, strict=True):
                if tokens[-1] != end:
                    tokens.append(token)
            if all(tokens[-1] == end for tokens in told):
                break
        pairs = []
        for prompt, tokens in zip(prompts, told, strict=True):
            labels = [make_models.IGNORE] * len(prompt) + tokens[len(prompt) :]
            pairs.append((torch.tensor(tokens), torch.tensor(labels)))
        return pairs

    def derivatives(self, batch: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """The derivative of the mean loss of a batch by every tensor of the model."""
        tokens = pad_sequence([tokens for tokens, _ in batch], batch_first=True)
        wanted = pad_sequence(
            [labels for _, labels in batch], batch_first=True, padding_value=make_models.IGNORE
        )[:, 1:]
        asked = wanted != make_models.IGNORE
        hidden = self._model.model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state
        loss = cross_entropy(self._model.lm_head(hidden[asked]), wanted[asked])
        found = torch.autograd.grad(loss, list(self.tensors.values()))
        return dict(zip(self.tensors, found, strict=True))


def fit(scorer: FittingScorer, family: Family, seed: int) -> Genome:
    """Fit a weight for each expert and tensor to the experts' own answers.

    Args:
        scorer: Holds the models.
        family: What the weights refer to.
        seed: Of the order of samples.
    """
    samples = []
    for k, skill in enumerate(SKILLS):
        scorer.become(Genome.from_expert(family.plain, k))
        samples.append(scorer.answers(skill))
    taus = [scorer.task_vectors(family, k) for k in range(len(SKILLS))]
    weights = torch.full((len(scorer.tensors), len(SKILLS)), START)
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    tail, generator = [], torch.Generator().manual_seed(seed)
    for step in range(STEPS):
        scorer.become(_genome(family, scorer, weights))
        drawn = [torch.randint(len(own), (BATCH // 3,), generator=generator) for own in samples]
        batch = [
            own[i] for own, places in zip(samples, drawn, strict=True) for i in places.tolist()
        ]
        slopes = scorer.derivatives(batch)
        slope = torch.tensor(
            [[float((by * tau[name]).sum()) for tau in taus] for name, by in slopes.items()]
        )
        first = 0.9 * first + 0.1 * slope  # Adam, arXiv:1412.6980
        second = 0.999 * second + 0.001 * slope.square()
        scale = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
        rate = RATE * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        weights = weights - rate * first / (1 - 0.9 ** (step + 1)) / scale
        if step >= 0.75 * STEPS:
            tail.append(weights)
    return _genome(family, scorer, torch.stack(tail).mean(0))


def _genome(family: Family, scorer: FittingScorer, weights: Tensor) -> Genome:
    """Make a genome of weights by tensor; longer names first, as one may hold another."""
    rows = dict(zip(scorer.tensors, weights.tolist(), strict=True))
    names = sorted(rows, key=lambda name: (-len(name), name))
    groups = TensorGroups(tuple(names), tuple(tuple(rows[name]) for name in names))
    return Genome(family, (START,) * len(SKILLS), groups=groups)


def main() -> None:
    """Print the table of a tiny family."""
    parser = arguments(__doc__, seeds=(0, 1, 2), jobs=1)
    parser.add_argument("--family", choices=["gentle", "uneven"], default="gentle")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family)
    print(table(results, COLUMNS), end="\n\n")
    for fitted in KINDS:
        print(paired(results, f"{fitted}, fitted by tensor", "wudi, all weights 1", "holdout"))


if __name__ == "__main__":
    main()
