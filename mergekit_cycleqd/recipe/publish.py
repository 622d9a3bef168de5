"""The `publish:` section of a recipe: what of a run goes to the Hub, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

What = Literal["aggregate", "best", "elites", "recipes", "journal", "report"]
_FIELD = re.compile(r"\{([^{}]*)\}")
WHATS: tuple[What, ...] = get_args(What)


class Publish(BaseModel):
    """What is pushed; `mergekit-cycleqd push` has the same as options.

    Attributes beside the obvious: `repo_id` may hold `{task}` and `{what}`; `collection` is the
    title of a collection; `license` overrides what the cards of base and experts say; `datasets`
    maps a task to its dataset on the Hub, which makes its score a result of that benchmark. Cards
    show a question of each task with the model's answer, unless `examples` is false.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    repo_id: str | None = None
    what: tuple[What, ...] = ("aggregate", "best")
    private: bool = False
    collection: str | None = None
    license: str | None = None
    revision: str = "main"
    datasets: dict[str, str] = Field(default_factory=dict)
    examples: bool = True

    def command(self, folder: Path) -> list[str]:
        """The words of the command that publishes a run folder so."""
        words = ["mergekit-cycleqd", "push", str(folder), "--what", ",".join(self.what)]
        given = {
            "--repo-id": self.repo_id,
            "--collection": self.collection,
            "--license": self.license,
            "--revision": self.revision,
        }
        words += [word for option, value in given.items() if value for word in (option, value)]
        for task, dataset in self.datasets.items():
            words += ["--dataset", f"{task}={dataset}"]
        words += [] if self.examples else ["--no-examples"]
        return [*words, "--private"] if self.private else words

    @field_validator("repo_id")
    @classmethod
    def _template(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if unknown := [field for field in _FIELD.findall(value) if field not in ("task", "what")]:
            raise ValueError(f"holds {{{unknown[0]}}}; known: {{task}} and {{what}}, got {value!r}")
        if re.fullmatch(r"[\w.-]+/[\w.{}-]+", value) is None:
            raise ValueError(f"must be of the form owner/name, got {value!r}")
        return value

    @field_validator("what", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not words:
            raise ValueError(f"must name some of {', '.join(WHATS)}, got {value!r}")
        words = [str(word).strip() for word in words]
        if unknown := [word for word in words if word not in WHATS]:
            raise ValueError(f"must name some of {', '.join(WHATS)}, got {unknown[0]!r}")
        return tuple(what for what in WHATS if what in words)


def publish_faults(publish: Publish, tasks: Sequence[str]) -> Iterator[str]:
    """Faults that show only beside the tasks of the recipe, each as ``path.to.key: fault``."""
    for task in publish.datasets:
        if task not in tasks:
            known = ", ".join(tasks)
            yield f"publish.datasets: no task is named {task!r}; known: {known}"
    template = publish.repo_id or "{task}"
    several = {"best", "elites"} & set(publish.what)
    if "{task}" not in template and (several or ("{what}" not in template and publish.what[1:])):
        yield f"publish.repo_id: must hold {{task}}, for more than one repo, got {template!r}"
