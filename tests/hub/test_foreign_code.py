"""Code in a stranger's run: listed with its file, and not imported before the user says yes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.run_folder.pulled import FILE, code_of
from tests.support import published_runs
from tests.support.foreign_runs import REPO, publish_changed
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import command

hub = server.hub
made, local_run, run = published_runs.made, published_runs.local_run, published_runs.run


def attempt(*words: object) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return int(exit.value.code or 0)


@pytest.fixture
def evil(run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A pulled run, whose tasks import a module that tells that it was imported."""
    told = tmp_path / "imported"
    task = b"""\
task: tiny_red
custom_dataset: !function docs.red
test_split: test
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: choices
doc_to_target: gold
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
    publish_changed(
        run,
        hub,
        files={
            "tasks/0/tiny_red.yaml": task,
            "tasks/0/docs.py": f"open({str(told)!r}, 'w').close()\n".encode(),
        },
    )
    assert command("pull-run", REPO, "--out", tmp_path / "pulled") == 0
    return tmp_path / "pulled"


def test_no_command_imports_the_code_of_a_pulled_run_before_the_user_says_yes(
    evil: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = capsys.readouterr().out
    assert "  tasks/0/tiny_red.yaml: custom_dataset: !function docs.red" in said
    assert "  tasks/0/docs.py: Python code, 1 lines" in said
    digest = code_of(evil).digest
    assert said.splitlines()[-1].endswith(f"--trust {digest}")
    recipe = evil / "recipe.yaml"
    for words in (
        ("plan", recipe, "--out", tmp_path / "elsewhere"),
        ("plan", recipe, "--out", evil),
        (recipe, "--out", evil),
        ("eval", evil, "--holdout"),
        ("eval", "org/model", "--tasks", "tiny_red", "--include-path", evil / "tasks" / "0"),
        ("verify", evil),
    ):
        capsys.readouterr()
        assert attempt(*words) == 2, words
        first, *items = capsys.readouterr().err.splitlines()
        assert f"was pulled from {REPO}@" in first and f"--trust {digest} if you accept" in first
        assert any("!function docs.red" in item for item in items)
        assert not (tmp_path / "imported").exists(), words
    for words in (("report", evil), ("journal", "check", evil)):  # what is on disk is only read
        assert attempt(*words) == 0, words
    assert not (tmp_path / "imported").exists()
    capsys.readouterr()
    assert attempt("plan", recipe, "--out", evil, "--trust", "0" * 20) == 2
    assert f"is not for this code; {evil}" in capsys.readouterr().err
    assert not (tmp_path / "imported").exists()
    attempt("plan", recipe, "--out", evil, "--trust", digest)
    assert (tmp_path / "imported").exists()


def test_a_changed_file_asks_again(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_changed(run, hub)
    out = tmp_path / "pulled"
    assert command("pull-run", REPO, "--out", out) == 0
    recipe, digest = out / "recipe.yaml", code_of(out).digest
    assert attempt(recipe, "--out", out, "--trust", digest) == 0, capsys.readouterr()
    assert attempt(recipe, "--out", out) == 0, "the yes is kept"
    recipe.write_text(recipe.read_text() + "\n")
    assert attempt(recipe, "--out", out) == 0, "the recipe's own text is no code"
    code = out / "tasks" / "0" / "docs.py"
    code.write_text(code.read_text() + "\n# more\n")
    capsys.readouterr()
    assert attempt(recipe, "--out", out) == 2
    assert "was pulled from" in capsys.readouterr().err
    assert attempt(recipe, "--out", out, "--trust", digest) == 2
    (out / FILE).write_text("{")
    assert attempt(recipe, "--out", out) == 2


def test_trust_is_for_a_pulled_run(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attempt("verify", made, "--trust", "0" * 20) == 2
    assert "--trust: is for a pulled run, got" in capsys.readouterr().err


def test_nothing_but_task_files_is_pulled(run: Path, hub: Hub, tmp_path: Path) -> None:
    publish_changed(run, hub, files={"tasks/0/data.txt": b"x", "tasks/0/evil.so": b"x"})
    assert command("pull-run", REPO, "--out", tmp_path / "pulled") == 0
    kinds = {path.suffix for path in (tmp_path / "pulled" / "tasks").rglob("*") if path.is_file()}
    assert kinds == {".yaml", ".py"}
    assert re.match(r"[0-9a-f]{20}$", code_of(tmp_path / "pulled").digest)
    assert "docs" not in sys.modules


def test_escape_sequences_of_a_stranger_are_shown_and_not_sent_to_the_terminal(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "tasks/0/\x1b]0;owned\x07\x1b[2J.py"
    task = b'a: !function "os.\\e[2Jx"\n'
    publish_changed(run, hub, files={name: b"x = 1\n", "tasks/0/new.yaml": task})
    capsys.readouterr()
    assert command("pull-run", REPO, "--out", tmp_path / "pulled") == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err and "\x07" not in said.out + said.err
    assert r"\x1b]0;owned\x07\x1b[2J.py" in said.out
    assert r"new.yaml: a: !function os.\x1b[2Jx" in said.out
