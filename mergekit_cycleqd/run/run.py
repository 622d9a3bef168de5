"""The run of a checked recipe: search, evaluation, journal, derived files, summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.experts.directions import compute_directions_ahead
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run.display import Display
from mergekit_cycleqd.run.ending import show_ending
from mergekit_cycleqd.run.fidelity import Fidelity
from mergekit_cycleqd.run.fit_founders import fit_founders, forget_states
from mergekit_cycleqd.run.header import header
from mergekit_cycleqd.run.keep_answers import keep_answers
from mergekit_cycleqd.run.limits import Limits
from mergekit_cycleqd.run.prepare import Prepared
from mergekit_cycleqd.run.titles import title
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.example_masks import draw
from mergekit_cycleqd.run_folder.fit_record import searched
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.outputs import write_outputs
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.summary import summary
from mergekit_cycleqd.run_folder.weak_experts import weak_experts
from mergekit_cycleqd.system.interrupts import Interrupts
from mergekit_cycleqd.trackers.open import NONE
from mergekit_cycleqd.trackers.tracker import Tracker
from mergekit_cycleqd.workers.in_process import InProcess
from mergekit_cycleqd.workers.open import alone, open_pool
from mergekit_cycleqd.workers.pool import Job, Pool
from mergekit_cycleqd.workers.worker import Evaluator

OUTPUT_SECONDS = 120.0


class Run:
    """One run in one folder. If it is stopped at any moment, the next `Run` of the folder resumes.

    Attributes:
        folder: The run folder.
        search: The search, with all evaluations of the journal.
    """

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        console: Console,
        tracker: str = NONE,
        time_limit: float | None = None,
    ) -> None:
        """Open the run folder.

        Args:
            prepared: The checked recipe.
            folder: The run folder; made if it does not exist.
            console: Console that shows the progress.
            tracker: Tracker that the run is also logged to.
            time_limit: Seconds after which no further candidate is begun; None without a limit.

        Raises:
            JournalError: If the folder holds another run, or is in use.
            SearchError: If the journal does not fit the recipe.
        """
        recipe = prepared.recipe
        self.folder = folder
        self._console = console
        self._tracked_by = tracker
        self._interrupts = Interrupts()
        self._written = time.monotonic()
        self._comparing = [0, 0]  # models that were compared, and are to be
        self._sizes: dict[Split, dict[str, int]] = {
            "search": prepared.harness.sizes("search"),
            "holdout": prepared.harness.sizes("holdout"),
        }
        self._prepared = prepared
        self._journal = Journal.open(folder, header(prepared))
        try:
            told = self._journal.replay(recipe.family)
            self.search = searched(recipe, told, self._journal.fits)
            sizes = self._sizes["search"]
            self._fidelity = Fidelity(self.search, self._journal, self._say)
            self._limits = Limits(self.search, self._journal.spent, sizes, time_limit)
        except BaseException:
            self._journal.close()
            raise

    def __enter__(self) -> Run:
        """Return the run itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the journal, so that another process may use the folder."""
        self._journal.close()

    def go(self) -> None:
        """Search until all children are evaluated, then compare models and write the summary.

        The derived files are written at the end, also after an error.

        Raises:
            SearchError: If an expert cannot be evaluated.
            ModelError: If the models cannot be loaded.
            KeyboardInterrupt: On SIGINT or SIGTERM, which interrupt evaluations only.
        """
        with self._interrupts:
            try:
                self._say(self._greeting())
                self._make_directions()
                evaluator = self._fit_founders()
                with (
                    Tracker(self._tracked_by, self.search, self.folder, self._say) as self._tracker,
                    Display(self.search, self._console) as display,
                ):
                    pool = self._open_pool(display, evaluator)
                    try:
                        self._go(pool, display)
                    finally:
                        pool.close()
                    self._draw(pool, display)
                self._compare_experts()
            finally:
                if self.search.archives_ready:
                    self._write()
        if not self._console.is_terminal:
            self._say(self.summary())
        journal = self._journal
        parts = self._sizes, self.folder, self._console, journal.samples
        show_ending(self.search, journal.scores, *parts)

    def _make_directions(self) -> None:
        """Compute the missing singular directions. A resumed run has them already."""
        if not self.search.told_count:
            prepared = self._prepared
            with self._interrupts.welcome():
                compute_directions_ahead(
                    prepared.recipe, prepared.base, prepared.experts, self._console, self._say
                )

    def _fit_founders(self) -> Evaluator | None:
        """Fit the founders that are missing. Returns the evaluator if the run may use it too."""
        forget_states(self.folder, (fit.genome.family for fit in self._journal.fits))
        if not (families := self.search.to_fit):
            return None
        evaluator = self._evaluator()
        records = fit_founders(
            self._prepared.recipe, families, evaluator, self.folder, self._console, self._say
        )
        while True:
            with self._interrupts.welcome():
                record = next(records, None)
            if record is None:
                break
            self._journal.append_fit(record)
            self.search.add_fitted(record.genome)
        if alone(self._prepared.recipe):
            return evaluator
        evaluator.unload()
        return None

    def _evaluator(self) -> Evaluator:
        """Make an evaluator in this process."""
        prepared = self._prepared
        return Evaluator(prepared.recipe, prepared.base, prepared.experts, prepared.harness)

    def _say(self, message: str) -> None:
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def _go(self, pool: Pool, display: Display) -> None:
        family = self.search.family
        self._compare(pool, display, [Genome.from_base(family), Genome.uniform(family)], "search")
        self._work(pool, display, self._next_candidate)
        if reached := self._limits.reached:
            display.say(reached)
        display.say("comparing models on search and holdout samples")
        models = [genome for _, genome in compared_models(self.search)]
        for split, sizes in self._sizes.items():
            if sizes:
                self._compare(pool, display, models, split)
        self._tracker.models(self._journal.scores)
        journal, shown = self._journal, (self._prepared.harness, self._interrupts, display.say)
        keep_answers(self.folder, self.search, journal.scores, pool, *shown, journal.samples)

    def _open_pool(self, display: Display, evaluator: Evaluator | None) -> Pool:
        prepared = self._prepared
        models = prepared.base, prepared.experts
        return open_pool(prepared.recipe, *models, prepared.harness, display.say, evaluator)

    def _draw(self, pool: Pool, display: Display) -> None:
        """Write example masks for the report, if the run's tasks are of images."""
        prepared = self._prepared
        if not prepared.harness.illustrated:
            return
        if prepared.recipe.workers.cluster is not None:
            display.say(
                "no example masks for the report: with workers.kind ray, the models may not be on "
                "this machine; run the recipe with workers.kind local to get them"
            )
            return
        evaluator = pool.evaluator if isinstance(pool, InProcess) else self._evaluator()
        with self._interrupts.welcome():
            draw(self.folder, self.search, evaluator.examples)

    def _compare_experts(self) -> None:
        """Write the similarity of the experts into the run folder, for the report."""
        from mergekit_cycleqd.experts.measure_similarity import keep_for_run

        prepared = self._prepared
        with self._interrupts.welcome():
            keep_for_run(
                self.folder,
                prepared.base,
                prepared.experts,
                prepared.recipe.expert_names,
                trust=prepared.recipe.engine.trust_remote_code,
            )

    def summary(self) -> str:
        """Make the summary table of the run as it is now."""
        return summary(self.search, self._journal.scores, self._sizes, self._journal.samples)

    def _next_candidate(self) -> Job | None:
        self._limits.end_if_over()
        if not self.search.ready:
            return None
        chosen = self._fidelity.next()
        candidate = self.search.ask()
        stops = self.search.recipe.evolution.early_stop and self.search.archives_ready
        thresholds = self.search.thresholds_for(candidate.genome) if stops else None
        asking, likely = chosen(candidate), self._fidelity.shows(candidate)
        return Job(candidate.genome, "search", candidate, thresholds, asking, likely)

    def _compare(
        self, pool: Pool, display: Display, models: Sequence[Genome], split: Split
    ) -> None:
        """Evaluate once each model that has no scores on a split yet."""
        new = [genome for genome in models if self._journal.scores(genome, split) is None]
        missing = {genome.id: Job(genome, split) for genome in new}
        jobs = iter(missing.values())
        self._comparing = [0, len(missing)]
        if missing:
            display.stage(f"comparing models on {split} samples", *self._comparing)
        self._work(pool, display, lambda: next(jobs, None))
        display.stage("")

    def _work(self, pool: Pool, display: Display, feed: Callable[[], Job | None]) -> None:
        """Give jobs to all free workers until `feed` has no more and all results are in."""
        under_way = 0
        while True:
            while pool.free and (job := feed()) is not None:
                pool.submit(job)
                under_way += 1
            if not under_way and pool.free:
                return
            with self._interrupts.welcome():
                records = pool.wait()
            for record in records:
                under_way -= 1
                self._take(record, display)
            display.workers = "  ".join(filter(None, (pool.state, self._limits.state)))

    def _take(self, record: Record, display: Display) -> None:
        self._journal.append(record)
        candidate = record.candidate
        if record.error is not None:
            reason = " ".join(record.error.split())
            if candidate is not None and not candidate.parents:
                expert = self.search.family.experts[candidate.index]
                raise SearchError(f"the expert {expert} could not be evaluated: {reason}")
            display.say(f"{title(record, self.search)} failed: {reason}")
        if candidate is None:
            self._comparing[0] += 1
            display.stage(f"comparing models on {record.split} samples", *self._comparing)
            return
        self.search.tell(candidate, record.scores)
        if not candidate.parents:
            found = weak_experts(self.search, lambda genome: self._journal.scores(genome, "search"))
            if (line := found.get(candidate.index)) is not None:
                display.say(f"warning: {line}")
        display.update(candidate.task)
        self._tracker.candidate(record)
        if time.monotonic() - self._written > OUTPUT_SECONDS and self.search.archives_ready:
            self._write()

    def _write(self) -> None:
        found = self._journal.scores, self._sizes, self._journal.samples
        write_outputs(self.folder, self.search, *found)
        self._written = time.monotonic()

    def _greeting(self) -> str:
        known = self.search.told_count
        what = f"going on after {known} of {self.search.total} candidates" if known else "starting"
        return f"run folder {self.folder}: {what}"
