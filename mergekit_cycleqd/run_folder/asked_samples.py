"""Which samples the models of a run are asked, as the header of its journal has it.

The ids are the same for all evaluations of a split. So a line has the scores alone, in their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.recipe.sample_ids import SPLITS, SampleIds, Split
from mergekit_cycleqd.run_folder.sample_scores import fault

KEY = "samples"

_MOST = 2_000_000  # ids of all tasks together, in a header that anybody may have written


@dataclass(frozen=True)
class AskedSamples:
    """The ids of a run's samples.

    Attributes:
        first: Those of first evaluations by split and task, ascending.
        again: The blocks that repeated evaluations of an elite take in turn, by task.
    """

    first: Mapping[Split, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    again: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)

    def of(self, task: str, split: Split, repeat: int = 0) -> Sequence[int]:
        """The ids of one evaluation; empty for a task without samples there.

        Args:
            task: Name of the task.
            split: Which samples.
            repeat: 0 for a model's first evaluation.
        """
        blocks = self.again.get(task, ())
        if repeat and blocks and split == "search":
            return blocks[(repeat - 1) % len(blocks)]
        return self.first.get(split, {}).get(task, ())

    def written(self) -> dict[str, Any]:
        """The ids as a header has them, in spans such as ``0-99``."""
        found: dict[str, Any] = {
            split: {task: str(SampleIds.of(ids)) for task, ids in self.first[split].items()}
            for split in SPLITS
            if self.first.get(split)
        }
        if self.again:
            found["again"] = {
                task: [str(SampleIds.of(block)) for block in blocks]
                for task, blocks in self.again.items()
            }
        return found

    @classmethod
    def read(cls, header: Mapping[str, Any]) -> AskedSamples | None:
        """Read what `written` wrote; None of a run that keeps no scores of single samples.

        Raises:
            ValueError: If the header's ids are none.
        """
        if KEY not in header:
            return None
        left = _MOST

        def numbers(text: Any) -> list[int]:
            nonlocal left
            ids = SampleIds.parse(text)
            if (count := ids.count) is None or count > left:
                raise ValueError(f"needs at most {left} ids with an end, got {text!r:.60}")
            left -= count
            return ids.resolve(1 + max(last for _, last in ids.spans if last is not None))

        try:
            content = header[KEY]
            first: dict[Split, dict[str, list[int]]] = {
                split: {str(task): numbers(ids) for task, ids in content[split].items()}
                for split in SPLITS
                if split in content
            }
            again = {
                str(task): [numbers(block) for block in blocks]
                for task, blocks in content.get("again", {}).items()
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"its samples are no ids ({error})") from None
        return cls(first, again)

    def check(self, content: Mapping[str, Any]) -> None:
        """See that the scores of samples in a line can be read.

        Args:
            content: The line's fields, which `check_evaluation` has seen.

        Raises:
            JournalError: With the first that cannot.
        """
        for key in (KEY, "finds"):
            if content.get(key) is not None:
                self._check(key, content)

    def _check(self, key: str, content: Mapping[str, Any]) -> None:
        scores, repeat = content[key], content.get("repeat", 0)
        if not isinstance(scores, dict):
            raise JournalError(f"its {key} are {scores!r:.60}")
        for task, packed in scores.items():
            ids = self.of(task, content["split"], repeat)
            if not ids:
                raise JournalError(f"it has scores of samples of {task!r}, which has none")
            if wrong := fault(packed, len(ids)):
                raise JournalError(f"its {key} of {task}: {wrong}")
