"""The scores of all models of a run, in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.search.scores import Scores, mean_scores


class Means(Mapping[tuple[str, Split], Scores]):
    """Scores by the genome's id and the split: means where elites were evaluated again.

    A number takes eight bytes, and a model about a hundred more. As dictionaries, the scores of a
    million children would take most of a gigabyte.
    """

    def __init__(self) -> None:
        """None yet."""
        self._rows: dict[Split, dict[int, int]] = {}
        self._tasks: tuple[str, ...] = ()
        self._values = array("d")
        self._odd: dict[tuple[str, Split], Scores] = {}  # of other tasks than the first scores
        self._several: dict[tuple[str, Split], list[Scores]] = {}

    def add(self, id: str, split: Split, scores: Scores | None, *, again: bool = False) -> None:
        """Take the scores of one more evaluation; None changes nothing.

        Args:
            id: The genome's id.
            split: Which samples it was evaluated on.
            scores: A number per task.
            again: Whether they count together with earlier ones, and do not replace them.
        """
        if scores is None:
            return
        key = (id, split)
        if again:
            known = self._several.setdefault(key, [self[key]] if key in self else [])
            known.append(scores)
            scores = mean_scores(known)
        else:
            self._several.pop(key, None)
        self._put(key, scores)

    def _put(self, key: tuple[str, Split], scores: Scores) -> None:
        if not self._tasks:
            self._tasks = tuple(scores)
        if tuple(scores) != self._tasks:
            self._odd[key] = scores
            return
        self._odd.pop(key, None)
        rows = self._rows.setdefault(key[1], {})
        number, size = int(key[0], 16), len(self._tasks)
        row = rows.setdefault(number, len(self._values) // size)
        self._values[row * size : (row + 1) * size] = array("d", scores.values())

    def __getitem__(self, key: tuple[str, Split]) -> Scores:
        """The scores of a genome on a split."""
        if key in self._odd:
            return self._odd[key]
        row, size = self._rows[key[1]][int(key[0], 16)], len(self._tasks)
        values = self._values[row * size : (row + 1) * size]
        return dict(zip(self._tasks, values, strict=True))

    def __iter__(self) -> Iterator[tuple[str, Split]]:
        """All genomes with scores, and the split of each."""
        yield from self._odd
        for split, rows in self._rows.items():
            for number in rows:
                if (key := (f"{number:016x}", split)) not in self._odd:
                    yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)
