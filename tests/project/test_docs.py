"""README and docs: commands, recipes and programs do what the text says.

What a page runs is run, in a folder with the files that the page writes and with tiny models under
the names that it uses. What cannot be run here is in `NOT_RUN`, with the reason, and its options
are checked as far as they are ours.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import click
import datasets
import pytest
import yaml

from mergekit_cycleqd.cli.main import commands as cli
from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.from_mergekit_evolve import convert, read_evolve
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from tests.support.costly import costly
from tests.support.documents import PAGES, ROOT, Block, all_blocks, blocks
from tests.support.documents import commands as commands_of
from tests.support.families import make_adapter, make_chatty_family
from tests.support.recipes import write_run_recipe

ACCOUNT, BOXES, CLUSTER = "needs an account of the Hub", "needs boxes and data", "needs a cluster"
SLOW = "takes minutes: `make demo` is run by hand and on release"
NOT_RUN = {
    "eval $(_MERGEKIT_CYCLEQD_COMPLETE=bash_source": "is a line of a shell's start; see tests/cli",
    "pip install": "needs a registry; the extras are checked",
    "apt-get install": "changes the machine",
    "git clone": "needs the network",
    "mergekit-cycleqd init --base org/base": "names models of the reader",
    "cd": "is of that clone",
    "export RAY_worker_niceness=0": CLUSTER,
    "make demo": SLOW,
    "make test": "is what runs this",
    "python benchmarks/miniature/beyond.py": "takes hours",
    "mergekit-cycleqd eval runs/my-run --retention": "needs data sets of the Hub",
    "hf auth login": ACCOUNT,
    "mergekit-cycleqd push": ACCOUNT,
    "mergekit-cycleqd pull-run": ACCOUNT,
    "mergekit-cycleqd merge me/my-run-coding": ACCOUNT,
    "mergekit-cycleqd merge me/my-run-best": ACCOUNT,
    "mergekit-cycleqd sandbox build": "makes a root folder of the machine's packages",
    "mergekit-cycleqd eval runs/my-run/elites/db/000123.yaml": BOXES,
    "ray start": CLUSTER,
    "ray job submit": CLUSTER,
    "sbatch": CLUSTER,
    "trackio show": "serves a page until it is stopped",
    "vllm serve": "serves until it is stopped; needs vLLM",
    "python llama.cpp/convert_hf_to_gguf.py": "is of llama.cpp's repository",
    "gguf-dump": "reads what that wrote",
    "llama-cli": "is a program of llama.cpp",
    "ollama create": "needs Ollama",
    "mergekit-cycleqd export runs/my-run": "fits a run without mutation; see tests/cli",
    "mergekit-yaml stock.yaml": "reads what that wrote; see tests/cli",
}
"""Beginnings of commands that are not run, each with the reason."""


PLACEHOLDERS = {"RUN", "RECIPE", "FILE", "OUT"}


def reason(words: list[str]) -> str | None:
    if PLACEHOLDERS & set(words):
        return "names what the reader puts in"
    line = " ".join(words)
    return next((why for start, why in NOT_RUN.items() if f"{line} ".startswith(f"{start} ")), None)


ALL_COMMANDS = [
    (block, words)
    for block in all_blocks("console", "bash")
    if block.title != "run.sbatch"
    for words in commands_of(block)
]


def parsed(words: list[str]) -> None:
    """See that a command of ours, its options and its arguments exist, without running it."""
    name, *rest = words
    if name not in cli.commands:
        name, rest = "run", words
    command: click.Command = cli.commands[name]
    while isinstance(command, click.Group):
        command, rest = command.commands[rest[0]], rest[1:]
    if name != "merge":  # all of whose options are mergekit's
        command.make_context(name, list(rest))


def test_every_command_is_run_or_its_reason_is_stated() -> None:
    ours = {"mergekit-cycleqd"}
    for block, words in ALL_COMMANDS:
        assert reason(words) or words[0] in ours | {"export"}, f"{block.page}: {' '.join(words)}"
    for start in NOT_RUN:
        assert any(f"{' '.join(w)} ".startswith(f"{start} ") for _, w in ALL_COMMANDS), (
            f"{start!r} is nowhere any more"
        )


@pytest.mark.parametrize(
    ("page", "words"),
    [
        pytest.param(block.page, words, id=f"{block.page}: {' '.join(words)}"[:80])
        for block, words in ALL_COMMANDS
        if "mergekit-cycleqd" in words and words[0] in ("mergekit-cycleqd", "ray")
    ],
)
def test_options_of_commands_exist(page: str, words: list[str], tmp_path: Path) -> None:
    ours = words[words.index("mergekit-cycleqd") + 1 :]
    if "--include-path" in ours:
        ours[ours.index("--include-path") + 1] = str(tmp_path)
    parsed(ours)


def test_commands_in_sentences_exist() -> None:
    for page in PAGES:
        prose = re.sub(r"```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for name in re.findall(r"`(?:hf|mergekit)[- ]cycleqd ([a-z][a-z-]*)[ `]", prose):
            assert name in cli.commands, f"{page.name}: {name}"
        for option in re.findall(
            r"`(--(?:tracker|what|dry-run|retention|holdout|private)\b)", prose
        ):
            known = {o for c in cli.commands.values() for p in c.params for o in p.opts}
            assert option in known, f"{page.name}: {option}"


def test_extras_that_are_installed_by_name_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    extras = project.split("[project.optional-dependencies]")[1].split("\n[")[0]
    known = set(re.findall(r"^([a-z]+) = \[", extras, flags=re.MULTILINE))
    for page in PAGES:
        for names in re.findall(r"mergekit-cycleqd\[([a-z,]+)\]", page.read_text()):
            assert set(names.split(",")) <= known, page.name


def test_ray_knows_its_options() -> None:
    from ray.scripts.scripts import cli as ray

    for _, words in ALL_COMMANDS:
        if words[0] == "ray":
            command = ray
            rest = words[1:]
            while isinstance(command, click.Group):
                command, rest = command.commands[rest[0]], rest[1:]
            command.make_context(words[-1], list(rest))


def test_the_slurm_script_is_one() -> None:
    (script,) = [block for block in all_blocks("bash") if block.title == "run.sbatch"]
    subprocess.run(["bash", "-n"], input=script.text, text=True, check=True)
    head, *directives = script.text.split("\n\n")[0].splitlines()
    assert head == "#!/bin/bash"
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+=\S+", line) for line in directives)
    for line in re.findall(r"mergekit-cycleqd (.*?) &", script.text):
        parsed(line.split())


# ---- what pages write: recipes and tasks ----


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=lambda b: f"{b.page} {b.title}")
def test_what_is_yaml_is_what_it_says(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(block.text)
    content = yaml.safe_load(block.text)
    if "merge_method" in content:
        genome = Genome.from_mergekit(content)
        assert genome.terms or genome.groups
    elif "genome" in content:
        text = convert(read_evolve(file), "genome.yaml")
        assert "What is not the same here" in text
    elif "experts" in content:
        load_recipe(file)
    elif "task" in content:
        assert content["metric_list"]
    else:
        assert set(content) <= set(Recipe.model_fields), "a part of a recipe"
        whole = yaml.safe_load(recipe_of_tutorial().text)
        Recipe.model_validate(whole | content)


def recipe_of_tutorial() -> Block:
    return next(b for b in blocks(ROOT / "docs/tutorial.md") if b.title == "recipe.yaml")


# ---- what pages run ----


@pytest.fixture
def workspace(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with models under the names that the pages use, and the tutorial's tasks."""
    names = dict(
        zip(("base", "coding", "db", "os"), (family.base_model, *family.experts), strict=True)
    )
    for name, model in names.items():
        shutil.copytree(model, tmp_path / "models" / name)
    write(blocks(ROOT / "docs/tutorial.md"), tmp_path)
    for other in ("db", "os"):
        for ending in ("jsonl", "yaml"):
            text = (tmp_path / f"tasks/coding.{ending}").read_text()
            (tmp_path / f"tasks/{other}.{ending}").write_text(text.replace("coding", other))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def write(found: list[Block], folder: Path) -> None:
    for block in found:
        if "." in block.title and "/" not in block.title.removeprefix("tasks/"):
            path = folder / block.title
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text)


def run_page(page: str, capsys: pytest.CaptureFixture[str], programs: bool = True) -> list[str]:
    """Run all commands and programs of a page, in their order; what each command printed."""
    printed = []
    names: dict[str, object] = {}
    for block in blocks(ROOT / page):
        if programs and block.language == "python" and not block.title:
            exec(block.text, names)
        elif block.language in ("console", "bash") and not block.title:
            for words in commands_of(block):
                if reason(words) is None:
                    assert words[0] == "mergekit-cycleqd"
                    with pytest.raises(SystemExit) as exit:
                        main(words[1:])
                    captured = capsys.readouterr()
                    assert exit.value.code == 0, f"{' '.join(words)}\n{captured}"
                    printed.append(captured.out)
    return printed


def test_the_tutorial_runs_from_its_files_to_a_model_that_loads(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run_page("docs/tutorial.md", capsys)
    assert len(printed) == 7 and "the same model" in printed[-1]
    assert (workspace / "runs/recipe/summary.md").read_text() in printed[1]
    assert (workspace / "runs/recipe/report/report.html").exists()
    assert (workspace / "my-model/config.json").exists()


def test_the_readme_runs(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("click.launch", shown.append)
    # test_readme.py runs the lines of Python, which are of the README's own recipe.
    planned, ran, reported, _ = run_page("README.md", capsys, programs=False)
    assert "can work" in planned and "12 of 12 children" in ran
    assert "report.html" in reported and len(shown) == 1
    assert (workspace / "my-model/config.json").exists()


def test_the_page_on_plans_runs(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned, factorized = run_page("docs/how-to/plan.md", capsys)
    assert "can work" in planned and "nothing to make ahead" in factorized


def test_the_page_on_agentic_tasks_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (listed,) = run_page("docs/how-to/agentbench.md", capsys)
    assert "agentbench_db" in listed


def test_an_own_task_is_scored(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(blocks(ROOT / "docs/how-to/own-task.md"), workspace)
    begun, planned, printed = run_page("docs/how-to/own-task.md", capsys)
    assert "own/recipe.yaml: written" in begun and "can work" in planned
    assert re.search(r"my_words.*acc", printed)


def test_an_own_evaluator_runs(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(blocks(ROOT / "docs/how-to/own-evaluator.md"), workspace)
    with pytest.raises(SystemExit) as exit:
        main(["recipe.yaml"])
    printed = capsys.readouterr().out
    assert exit.value.code == 0 and "3 of 3 children" in printed


def test_the_loop_of_your_own_runs(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/how-to/own-evaluator.md", capsys)
    assert (workspace / "recipe.yaml").exists()


def test_stopping_and_going_on_and_watching(
    family: Family, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run_recipe(workspace / "recipe.yaml", family)
    first, again, checked, limited = run_page("docs/how-to/resume.md", capsys)
    assert "starting" in first and "going on after 15 of 15" in again
    assert "12 of 12 children" in checked and "going on after 15 of 15" in limited
    if importlib.util.find_spec("trackio") is not None:
        logged, reported = run_page("docs/how-to/watch.md", capsys)
        assert "12 of 12 children" in logged and "report.html" in reported


def test_models_are_compared(
    family: Family, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run_recipe(workspace / "recipe.yaml", family)
    with pytest.raises(SystemExit):
        main(["recipe.yaml", "--out", "runs/my-run"])
    capsys.readouterr()
    one, with_examples, with_recipe, with_engine, several, picked = run_page(
        "docs/how-to/compare.md", capsys
    )
    assert "my_coding" in one and "my_coding" in with_examples and "best elite" in several
    assert "my_coding" in with_engine and "Pareto front" in picked
    assert "| red | tiny_red | acc,none | 24 |" in with_recipe


def test_the_merged_model_chats(
    family: Family, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    (Path(family.base_model) / "chat_template.jinja").write_text(template)
    try:
        write_run_recipe(workspace / "recipe.yaml", family)
        with pytest.raises(SystemExit):
            main(["recipe.yaml", "--out", "runs/my-run"])
        run_page("docs/how-to/after-the-merge.md", capsys)
        page = blocks(ROOT / "docs/how-to/after-the-merge.md")
        (program,) = (block.text for block in page if block.title == "chat.py")
        messages = program.replace("Which tables are there?", "w1 w2")
        exec(messages, {})
    finally:
        (Path(family.base_model) / "chat_template.jinja").unlink()
    assert "w" in capsys.readouterr().out
    assert "This model scores" in (workspace / "my-model/README.md").read_text()


@pytest.mark.slow
@pytest.mark.costly
@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, about transformers
def test_two_adapters_of_a_chat_model_become_one_model_that_chats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    family = make_chatty_family(tmp_path / "models")
    shutil.copytree(family.base_model, tmp_path / "base")
    for seed, skill in enumerate(("sql", "shell")):
        make_adapter(family.base_model, tmp_path / f"{skill}-adapter", seed)
    page = blocks(ROOT / "docs/tutorial-lora.md")
    for block in page:
        if block.title:
            (tmp_path / block.title).write_text(block.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mergekit_cycleqd.draft.recipe_text.CHILDREN", 4)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    made, planned, ran, reported, picked, _ = run_page("docs/tutorial-lora.md", capsys)
    assert "expert base+sql-adapter, 4 samples" in made and "can work" in planned
    assert "4 of 4 children" in ran and "report.html" in reported and "recipe: runs/" in picked
    exec((tmp_path / "chat.py").read_text(), {})
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert "This model scores" in (tmp_path / "my-model/README.md").read_text()


def test_the_page_on_clusters_runs_where_there_is_none(
    family: Family, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run_recipe(workspace / "recipe.yaml", family)
    ran, factorized = run_page("docs/how-to/cluster.md", capsys)
    assert "12 of 12 children" in ran and factorized


def test_a_configuration_of_mergekit_evolve_is_converted(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "recipe.yaml").unlink()
    write(blocks(ROOT / "docs/how-to/mergekit-evolve.md"), workspace)
    (printed,) = run_page("docs/how-to/mergekit-evolve.md", capsys)
    assert "read its comments" in printed


def test_every_command_that_is_run_is_on_a_page_that_a_test_runs() -> None:
    run = {"README.md", "docs/tutorial.md", "docs/tutorial-lora.md"}
    run |= {
        f"docs/how-to/{name}.md"
        for name in (
            "plan",
            "agentbench",
            "own-task",
            "own-evaluator",
            "resume",
            "watch",
            "cluster",
            "compare",
            "mergekit-evolve",
            "after-the-merge",
        )
    }
    for block, words in ALL_COMMANDS:
        if reason(words) is None:
            assert block.page in run, f"{block.page}: {' '.join(words)}"


# ---- the site ----


@pytest.fixture(scope="module")
@costly
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_the_site_is_built_without_a_warning_and_asks_nobody(site: Path) -> None:
    pages = list(site.glob("**/*.html"))
    assert len(pages) >= len(PAGES) - 1
    for page in pages:
        text = page.read_text()
        assert not re.search(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', text), page.name
        assert not re.search(r'<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="http', text)


def test_links_of_the_site_lead_somewhere(site: Path) -> None:
    for page in site.glob("**/*.html"):
        for link in re.findall(r'href="([^"#:]+)(?:#[^"]*)?"', page.read_text()):
            if page.name != "404.html":
                assert (page.parent / unquote(link)).exists(), f"{page.name}: {link}"


def test_the_reference_has_every_key_and_every_command(site: Path) -> None:
    recipe = (site / "reference/recipe.html").read_text()
    for name, section in Recipe.model_json_schema()["$defs"].items():
        if name != "SampleIds":  # which recipes write as text
            for key in section["properties"]:
                assert f"<code>{key}</code>" in recipe, f"{name}.{key}"
    listed = (site / "reference/commands.html").read_text()
    for name in cli.commands:
        assert re.search(rf"<h2[^>]*>{name}", listed), name
    assert "<math" in (site / "mathematics.html").read_text()
    assert "arithmatex" not in (site / "mathematics.html").read_text()
