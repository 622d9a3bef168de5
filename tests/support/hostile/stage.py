"""A Hub with honest models and an honest run, and repositories of strangers made from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub.utils import close_session

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.pulled import FILE, code_of
from tests.support.families import make_family
from tests.support.hostile.attack import Attack
from tests.support.hostile.case import Case, Files, Words
from tests.support.hostile.recipes import RECIPE
from tests.support.hostile.runs import JOURNAL
from tests.support.hostile.watch import Seen, Victim
from tests.support.hub.client import point_at
from tests.support.hub.server import Hub, ServerThread
from tests.support.published_runs import make_run, over, push, put_on_hub
from tests.support.recipes import TASKS, write_run_recipe

_REPORTS = 5
"""A report opens no task file. It takes long, and so is made of every fifth run whose code is not
trusted, and of all others."""


class Stage:
    """Where strangers publish, and a victim takes.

    Attributes:
        hub: The Hub.
        victim: Who runs commands.
    """

    def __init__(self, folder: Path, hub: Hub) -> None:
        """Publish an honest run over models that are on the Hub."""
        self.hub = hub
        models = folder / "models"
        models.mkdir()
        family = make_family(models)
        self._made = folder / "victim" / "work" / "honest"
        self._there = put_on_hub(hub, family)
        run = over(make_run(folder / "made", family), self._there)
        assert push(run, "--what", "journal,aggregate") == 0
        self._run = hub.content("me/tiny-journal", "dataset")
        self._recipe = hub.content("me/tiny-aggregate")
        self._model = hub.content(self._there.experts[0])
        evil = hub.add_token("hf_writer_of_evil", "evil")
        hub.api(evil).create_repo("evil/code")
        self._evil = evil
        self._count = 0
        self.victim = Victim(folder / "victim", hub.endpoint, hub.writer)
        words = {"canary": self.victim.canary, "home": self.victim.folder / "home"}
        words["secret"] = words["home"] / "secret"
        self._made.mkdir()
        self._words = Words(**{key: str(path) for key, path in words.items()})
        self.publish("evil/code", "model", {"own.py": self._words.python.encode()})

    @cached_property
    def honest_run(self) -> Path:
        """A folder of an honest run over models of the Hub, as `pull-run` makes it."""
        seen = self.victim.run("pull-run", "me/tiny-journal", "--out", "run", folder=self._made)
        assert seen.code == 0 and not seen.wrong, seen
        return self._made / "run"

    @property
    def family(self) -> Family:
        """Honest models on the Hub."""
        return self._there

    @property
    def model_files(self) -> Files:
        """The files of an honest expert."""
        return dict(self._model)

    def publish(self, repo_id: str, kind: str, files: Files) -> None:
        """Commit in the store itself: the client would refuse some names."""
        self.hub.api(self._evil).create_repo(repo_id, repo_type=kind, exist_ok=True)
        repo = self.hub.repo(repo_id, kind)
        stored = {path: self.hub.store.add_blob(content) for path, content in files.items()}
        repo.add_commit("main", stored, "x", "", "evil")

    def _commands(self, kind: str, case: Case | Attack, folder: Path) -> Iterator[Seen]:
        """Publish a case, and let the victim try each command on it."""
        if isinstance(case, Attack):
            yield from case.take(self, folder)
            return
        name = f"evil/{kind}-{self._count}"
        run = {"model": self._take_model, "recipe": self._take_recipe, "run": self._take_run}
        yield from run[kind](name, case, folder)

    def _take_model(self, repo: str, case: Case, folder: Path) -> Iterator[Seen]:
        files = dict(self._model)
        case.files(files, self._words)
        self.publish(repo, "model", files)
        expert = f"lab/base+{repo}" if "adapter_config.json" in files else repo
        experts = [expert, *self._there.experts[1:]]
        recipe = yaml.safe_load(self._recipe[RECIPE])
        recipe["models"][0]["model"] = expert
        self.publish(f"{repo}-merged", "model", {RECIPE: yaml.safe_dump(recipe).encode()})
        family = Family(self._there.base_model, tuple(experts))
        write_run_recipe(folder / "mine.yaml", family)
        watched = self.victim.run
        yield watched("merge", f"hf://{repo}-merged", "merged", "--quiet", folder=folder)
        yield watched("plan", "mine.yaml", "--download", folder=folder)
        tasks = ["--tasks", "tiny_red", "--include-path", TASKS, "--samples", "0-3"]
        if "chat_template.jinja" in files or b'"chat_template"' in files["tokenizer_config.json"]:
            tasks.append("--apply-chat-template")
        yield watched("eval", repo, *tasks, folder=folder)

    def _take_recipe(self, repo: str, case: Case, folder: Path) -> Iterator[Seen]:
        recipe = yaml.safe_load(self._recipe[RECIPE])
        case.recipe(recipe, self._words)
        files = self._recipe | {RECIPE: yaml.safe_dump(recipe, sort_keys=False).encode()}
        case.files(files, self._words)
        self.publish(repo, "model", files)
        yield self.victim.run("merge", f"hf://{repo}", "merged", "--quiet", folder=folder)
        yield self.victim.run("verify", repo, folder=folder)

    def _take_run(self, repo: str, case: Case, folder: Path) -> Iterator[Seen]:
        files = dict(self._run)
        recipe = yaml.safe_load(files["recipe.yaml"])
        case.recipe(recipe, self._words)
        files["recipe.yaml"] = yaml.safe_dump(recipe, sort_keys=False).encode()
        first, _, rest = files[JOURNAL].partition(b"\n")
        header = yaml.safe_load(first)
        (case.header or case.recipe)(header["recipe"], self._words)
        header.pop("crc32", None)
        files[JOURNAL] = encode(header) + rest
        case.files(files, self._words)
        self.publish(repo, "dataset", files)
        watched = self.victim.run
        yield watched("pull-run", repo, "--out", "run", folder=folder)
        run = folder / "run"
        if not (run / FILE).exists():
            return
        code = code_of(run)
        trust = ("--trust", code.digest) if case.trust else ()
        if case.trust or not code.items or self._count % _REPORTS == 0:
            yield watched("report", "run", folder=folder)
            yield watched("pick", "run", "--front", folder=folder)
        yield watched("plan", "run/recipe.yaml", "--out", "run", *trust, folder=folder)
        yield watched("run", "run/recipe.yaml", "--out", "run", *trust, folder=folder)
        yield watched("eval", "run", "--holdout", *trust, folder=folder)
        yield watched("verify", "run", *trust, folder=folder)
        again = ("--what", "journal", "--repo-id", f"me/again-{self._count}")
        yield watched("push", "run", *again, folder=folder)

    def attempt(self, kind: str, case: Case | Attack) -> tuple[int, list[str], str]:
        """Let the victim take one repository.

        Args:
            kind: Its kind, of `kinds`.
            case: What is evil about it.

        Returns:
            The number of commands, what got through, and the line that the user was told.
        """
        self._count += 1
        folder = self.victim.work / f"{kind}-{self._count}"
        folder.mkdir()
        before = len(self.hub.log)
        repos = {repo for _, repo in self.hub.store.repos}
        seen = list(self._commands(kind, case, folder))
        wrong = [fault for each in seen for fault in each.wrong]
        lines = [line for each in seen for line in each.said.splitlines()]
        told = [line for line in lines if case.told in line] if case.told else []
        if case.told and not told:
            wrong.append(f"nobody said {case.told!r}: {[each.said[-300:] for each in seen]}")
        for call in self.hub.log[before:]:
            if self.hub.writer in f"{call.path} {call.headers} {call.body!r}":
                wrong.append(f"a token in {call.method} {call.path}")
        made = {repo for _, repo in self.hub.store.repos} - repos
        if unasked := [
            repo for repo in made if not re.match(rf"evil/|me/again-{self._count}$", repo)
        ]:
            wrong.append(f"published unasked: {unasked}")
        shown = (told or [line for line in lines if "error: " in line or "note: " in line] or [""])[
            0
        ]
        return len(seen), wrong, self._shown(shown.replace(str(folder), "..."))

    def _shown(self, line: str) -> str:
        """A line without folders that differ each time."""
        line = re.sub(r"\S*/models--(\w+)--([\w-]+)/snapshots/\w+", r"\1/\2", line)
        line = re.sub(r"\S*/cycleqd-\w+/", ".../", line)
        return line.replace(str(self.victim.folder), "...")


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Start a Hub with a stage on it, and point this process at it."""
    hub = Hub()
    thread = ServerThread(hub)
    with pytest.MonkeyPatch.context() as patch:
        point_at(patch, hub.endpoint, folder / "hf_home", hub.writer, xet=False)
        stage = Stage(folder, hub)
        try:
            yield stage
        finally:
            stage.victim.close()
            close_session()
            thread.close()


def kinds() -> Sequence[tuple[str, Case | Attack]]:
    """All cases, each with its kind."""
    from tests.support.hostile.answers import ANSWERS
    from tests.support.hostile.changes import CHANGES
    from tests.support.hostile.folders import FOLDERS
    from tests.support.hostile.models import MODELS
    from tests.support.hostile.recipes import RECIPES
    from tests.support.hostile.runs import RUNS

    groups: dict[str, Any] = {"model": MODELS, "recipe": RECIPES, "run": RUNS}
    groups |= {"folder": FOLDERS, "Hub": ANSWERS, "change": CHANGES}
    return [(kind, case) for kind, cases in groups.items() for case in cases]
