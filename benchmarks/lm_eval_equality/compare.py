"""Each pair of form and setting, scored in every way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lm_eval_equality import ways
from benchmarks.lm_eval_equality.forms import Form, write_forms
from benchmarks.lm_eval_equality.models import HEAD_DIM, STEPS, make_models
from benchmarks.lm_eval_equality.settings import Setting

BOUND = 1e-6
"""Largest difference, in units of the score where that is above 1."""

DRAWN = 0.1
"""Largest difference of 192 answers that are drawn at random; its standard error is 0.03."""

WAYS = ("eval MODEL", "eval RUN, padded", "eval RUN, continuous", "search, padded", "continuous")


@dataclass(frozen=True)
class Pair:
    """A form under a setting.

    Attributes:
        form: The task.
        setting: The setting's name.
        expected: lm-eval's scores, by metric.
        found: By way and metric; a way that does not apply is left out.
    """

    form: Form
    setting: str
    expected: Mapping[str, float]
    found: Mapping[str, Mapping[str, float]]

    def difference(self, way: str) -> float | None:
        """The largest difference of a way from lm-eval's scores; None if it was not taken.

        A metric that only one of both has makes it infinite.
        """
        if way not in self.found:
            return None
        ours = self.found[way]
        if "search" not in way and way != "continuous" and ours.keys() != self.expected.keys():
            return math.inf
        return max((self._gap(key, value) for key, value in ours.items()), default=math.inf)

    def _gap(self, metric: str, value: float) -> float:
        expected = self.expected.get(metric, math.inf)
        return abs(value - expected) / max(1.0, min(abs(expected), 1e300))

    @property
    def agrees(self) -> bool:
        """Whether all ways agree."""
        bound = DRAWN if self.form.sampled else BOUND
        return all((self.difference(way) or 0.0) <= bound for way in self.found)


class Scene:
    """The models, tasks and runs of a comparison, in a folder of their own."""

    def __init__(
        self,
        folder: Path,
        steps: int = STEPS,
        head_dim: int = HEAD_DIM,
        models: Path | None = None,
    ) -> None:
        """Make models and tasks.

        Args:
            folder: Where; it must not exist.
            steps: How long the model is trained.
            head_dim: Width of an attention head.
            models: The folder of models, which are taken if they are there; None for one inside.
        """
        self._folder = folder
        self.tasks = folder / "tasks"
        self.forms = write_forms(self.tasks)
        self.models = make_models(models or folder / "models", steps, head_dim)
        self._runs: dict[tuple[str, str], Path] = {}

    def chosen(self, setting: Setting) -> list[Form]:
        """The forms that are compared under a setting."""
        return [form for form in self.forms if setting.forms is None or form.name in setting.forms]

    def compare(
        self, setting: Setting, forms: Sequence[Form], batchings: Sequence[str]
    ) -> Iterator[Pair]:
        """Score forms under a setting in every way.

        lm-eval takes no task that is named twice, so a group is scored by itself.
        """
        tasks = [form for form in forms if not form.parts]
        for together in (tasks, *([form] for form in forms if form.parts)):
            if together:
                yield from self._compare(setting, together, batchings)

    def _compare(
        self, setting: Setting, forms: Sequence[Form], batchings: Sequence[str]
    ) -> Iterator[Pair]:
        models = self.models[setting.model]
        expected = ways.by_lm_eval(models[0], self.tasks, setting, forms)
        found = {WAYS[0]: ways.by_model(models[0], self.tasks, setting, forms)}
        for batching, (run, search) in zip(
            ("padded", "continuous"), ((WAYS[1], WAYS[3]), (WAYS[2], WAYS[4])), strict=True
        ):
            if batching in batchings:
                folder = self._run(setting.model, batching)
                found[run] = ways.by_run(folder, self.tasks, setting, forms)
                steady = [form for form in forms if form.searched]
                if steady:
                    found[search] = ways.by_search(models, batching, self.tasks, setting, steady)
        for form in forms:
            of_form = {
                way: by_task[form.name] for way, by_task in found.items() if form.name in by_task
            }
            yield Pair(form, setting.name, expected[form.name], of_form)

    def _run(self, kind: str, batching: str) -> Path:
        key = (kind, batching)
        if key not in self._runs:
            folder = self._folder / f"run-{kind}-{batching}"
            engine = {"device": "cpu", "batching": batching}
            self._runs[key] = ways.make_run(folder, self.models[kind], self.tasks, engine)
        return self._runs[key]
