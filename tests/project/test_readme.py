"""The README and the other texts of the root say what is so, and lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import mergekit_cycleqd
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.evolution import Crossover, Evolution, Sampling, SvdMutation
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import Expert, Samples, Task
from mergekit_cycleqd.recipe.workers import Workers
from tests.support.documents import PAGES, ROOT, TEXTS, sentences, words_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPE = (ROOT / "docs/reference/recipe.md").read_text(encoding="utf-8")
MODEL_RECIPE = (ROOT / "docs/reference/model-recipe.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs/results.md").read_text(encoding="utf-8")


def block(page: str, language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(block(RECIPE, "yaml", "experts:"))
    return path


def test_the_recipe_of_a_run_is_valid_and_has_every_key(recipe: Path) -> None:
    load_recipe(recipe)
    sections = [Recipe, Expert, Task, Samples, Engine, Workers]
    sections += [Evolution, Crossover, SvdMutation, Sampling]
    for section in sections:
        for key in section.model_fields:
            assert re.search(rf"\b{key}:", recipe.read_text()), f"{section.__name__}.{key}"


def test_what_it_calls_defaults_are_the_defaults(recipe: Path) -> None:
    stated = load_recipe(recipe)
    assert stated.evolution == Evolution()
    assert stated.engine == Engine()
    assert stated.workers == Workers()


def test_the_lines_of_python_run_in_a_notebook_with_the_recipe_above_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipe.yaml").write_text(block(README, "yaml", "experts:"))
    monkeypatch.chdir(tmp_path)
    *lines, last = block(README, "python", "search.ask()").strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    assert "merge_method: cycleqd" in eval(last, names)


def test_the_recipe_of_a_model_is_one() -> None:
    text = block(MODEL_RECIPE, "yaml", "mutation:")
    genome = Genome.from_mergekit(yaml.safe_load(text))
    assert [term.seed for term in genome.terms] == [991, 81723]


def test_the_recipe_of_a_model_with_groups_is_one() -> None:
    text = block(MODEL_RECIPE, "yaml", "filter:")
    genome = Genome.from_mergekit(yaml.safe_load(text))
    assert Genome.from_mergekit(genome.to_recipe()) == genome
    assert genome.groups is not None


def test_the_public_names_are_there() -> None:
    for name in mergekit_cycleqd.__all__:
        assert getattr(mergekit_cycleqd, name).__doc__


def test_the_readme_is_short_and_leads_to_the_documentation_at_once() -> None:
    lines = README.splitlines()
    assert len(lines) <= 200
    first = "\n".join(lines[:16])
    assert "(docs/tutorial.md)" in first and "(docs/index.md)" in first
    assert "$ make demo" in "\n".join(lines[:45])


def test_figures_of_the_readme_are_those_of_the_results() -> None:
    rows = re.findall(r"^\| (.*?) \| (.*) \|$", RESULTS, flags=re.MULTILINE)
    wanted = {
        "best single expert": "expert: os",
        "average of the experts": "uniform merge",
        "best merge found": "best all-round elite",
    }
    for shown, name in wanted.items():
        (row,) = re.findall(rf"^\| \**{shown}\** \| (.*) \|$", README, flags=re.MULTILINE)
        assert (name, row.replace("*", "")) in rows, shown
    intervals = set(re.findall(r"0\.\d{3} ± 0\.\d{3}", README))
    assert len(intervals) == 24
    assert intervals <= set(re.findall(r"0\.\d{3} ± 0\.\d{3}", RESULTS))


def test_results_are_those_of_the_benchmarks() -> None:
    measured = (ROOT / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\d\.\d{3} ± \d\.\d{3}", RESULTS))
    assert shown and shown <= set(re.findall(r"\d\.\d{3} ± \d\.\d{3}", measured))


# ---- links and addresses ----

LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]*))?\)|(?:src|srcset)=\"([^\":]*)\"")


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for place, anchor, picture in LINK.findall(text):
        if place.startswith("../../") and page.parent == ROOT:
            continue  # a page of the repository's host: its workflows, its advisories
        target = page.parent / (place or picture or page.name)
        assert target.exists(), f"{place or picture}"
        if anchor:
            assert anchor in anchors(target), f"{place}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The names that GitHub and the site give to the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings}


ADDRESS = re.compile(r"github\.com/([\w.-]+)/mergekit-cycleqd\b")
HOLDS_THE_ADDRESS = {
    "pyproject.toml",  # the one that the others repeat
    "README.md",
    "CITATION.cff",
    ".github/ISSUE_TEMPLATE/config.yml",
}


def test_the_public_address_is_that_of_pyproject_everywhere() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(rf'^Repository = "https://{ADDRESS.pattern}"$', project, flags=re.MULTILINE)
    assert found is not None
    holders = set()
    for name in tracked():
        owners = set(ADDRESS.findall((ROOT / name).read_text(encoding="utf-8", errors="replace")))
        if owners:
            holders.add(name)
            assert owners == {found[1]}, name
    assert holders == HOLDS_THE_ADDRESS


def tracked() -> list[str]:
    """Files of the repository that are text, as far as git knows them."""
    if not (ROOT / ".git").exists():
        pytest.skip("no clone, so that nobody says which files are ours")
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = done.stdout.splitlines()
    return [n for n in names if (ROOT / n).is_file() and (ROOT / n).suffix not in (".svg", ".png")]


# ---- plain English ----


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_are_short(page: Path) -> None:
    for sentence in sentences(page.read_text(encoding="utf-8")):
        assert words_of(sentence) < 25, sentence


def test_the_checker_of_sentences_finds_long_ones_and_leaves_code_alone() -> None:
    long = " ".join(["Word"] * 25)
    assert [words_of(s) for s in sentences(f"Short one. {long}.\n\n- {long}")] == [2, 25, 25]
    assert list(sentences(f"```text\n{long}\n```\n\n| {long} |\n\n# {long}\n")) == []
    assert [words_of(s) for s in sentences(f"Run `{long}` and [this]({long}).")] == [4]


def test_every_word_of_the_glossary_in_the_readme_is_in_the_glossary() -> None:
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    table = README.split("| word | meaning |")[1].split("\n\n")[0]
    words = re.findall(r"^\| ([a-z][a-z -]*?) \|", table, flags=re.MULTILINE)
    assert len(words) == 10
    for word in words:
        known = f"| {word} |" in glossary or f"| {word} samples |" in glossary
        assert known, word


def test_every_page_is_named_by_the_site() -> None:
    class Loader(yaml.SafeLoader):
        """YAML with the tags of MkDocs."""

    Loader.add_multi_constructor("tag:", lambda *_: None)
    listed = str(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"])
    for page in PAGES:
        if page.parent != ROOT:
            assert f"'{page.relative_to(ROOT / 'docs').as_posix()}'" in listed
