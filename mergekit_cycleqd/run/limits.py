"""What ends a run before all children are evaluated: its budget, or the time of one command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mergekit_cycleqd.run_folder.spent import Spent, end_if_spent
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.system.units import duration


@dataclass
class Limits:
    """Looked at before each candidate.

    Attributes:
        search: The search.
        spent: What its evaluations have cost; the journal counts it.
        sizes: Number of search samples of each task.
        seconds: Limit of this command; None without one.
    """

    search: CycleQD
    spent: Spent
    sizes: Mapping[str, int]
    seconds: float | None = None
    _start: float = field(default_factory=time.monotonic)

    def end_if_over(self) -> None:
        """End the search with the candidates that were asked for, if a limit is reached."""
        if self._out_of_time:
            self.search.end_after()
        else:
            end_if_spent(self.search, self.spent, self.sizes)

    @property
    def state(self) -> str:
        """How much of the budget is spent, in a few words; empty without a budget."""
        if self.search.recipe.evolution.budget is None:
            return ""
        return f"budget {self.spent.used(self.search.recipe, self.sizes):.0%} spent"

    @property
    def reached(self) -> str:
        """Which limit ended the search, and how it goes on; empty if none did."""
        search, evolution = self.search, self.search.recipe.evolution
        if search.children_told >= evolution.children:
            return ""
        after = f"after {search.children_told:,} of {evolution.children:,} children"
        if self.spent.used(search.recipe, self.sizes) >= 1:
            return (
                f"the budget of {evolution.budget} is spent {after}; "
                "to go on, raise evolution.budget in the recipe and run it again"
            )
        if self._out_of_time and self.seconds is not None:
            limit = duration(self.seconds)
            return f"the time limit of {limit} is reached {after}; the same command goes on"
        return ""

    @property
    def _out_of_time(self) -> bool:
        return self.seconds is not None and time.monotonic() - self._start >= self.seconds
