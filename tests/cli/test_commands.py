"""The command line itself: help, mistyped commands, completion."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mergekit_cycleqd.cli.hf import hf_commands
from mergekit_cycleqd.cli.main import commands, main


def said(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as exit:
        main(list(args))
    assert exit.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(("word", "meant"), [("evall", "eval"), ("pul-run", "pull-run")])
def test_a_mistyped_command_names_the_nearest(
    word: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"error: {word}: neither a command nor a recipe's file; did you mean {meant!r}?\n"
    assert said(capsys, word) == line


def test_a_word_like_no_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert "known: " in said(capsys, "xyzzy") and "verify" in said(capsys, "xyzzy")


def test_a_missing_file_is_told_as_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "foo.yaml") == "error: foo.yaml: no such file\n"


@pytest.mark.parametrize("group", [commands, hf_commands])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_whole_summaries(group: object, option: str) -> None:
    result = CliRunner().invoke(group, [option], terminal_width=60)
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    assert "Publish models, recipes and the journal of RUN to the Hugging Face Hub." in words


def test_commands_have_the_short_option_of_help() -> None:
    result = CliRunner().invoke(commands, ["plan", "-h"])
    assert result.exit_code == 0 and "forecast the time" in result.output


def test_the_package_runs_as_a_module() -> None:
    line = [sys.executable, "-m", "mergekit_cycleqd", "--version"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("mergekit-cycleqd, version")


@pytest.mark.parametrize(
    ("words", "number", "offered"),
    [
        ("p", 1, ["plain,pick", "plain,plan", "plain,pull-run", "plain,push", "file,p"]),
        ("plan re", 2, ["file,re"]),
        ("recipe.yaml --o", 2, ["plain,--out"]),
    ],
)
def test_completion_offers_commands_options_and_files(
    words: str, number: int, offered: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mergekit_cycleqd"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ
        | {
            "_MERGEKIT_CYCLEQD_COMPLETE": "bash_complete",
            "COMP_WORDS": f"mergekit-cycleqd {words}",
            "COMP_CWORD": str(number),
        },
    )
    assert done.stdout.split() == offered
