from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.tasks.agentbench_os.problems import load_problems, standard_files
from mergekit_cycleqd.tasks.agentbench_os.protocol import Action, parse_action, shell_observation
from tests.support.box_records import write_os_problem


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("Think: a\n\nAct: bash\n\n```bash\nls\n```", Action("bash", "ls")),
        ("Act: bash\n```bash\nls\n```\n```bash\ncd /\npwd\n```", Action("bash", "ls\n\ncd /\npwd")),
        ("Act: bash\n```\nls\n```", Action("bash", "")),
        ("Act: BASH code\n```bash\nls\n```", Action("bash", "ls")),
        ("Act: finish", Action("finish")),
        ("Act:\n\nfinish", Action("finish")),
        ("Act: answer(220)", Action("answer", "220")),
        ("Act: Answer (a (b) c).", Action("answer", "a (b) c")),
        ("Act: answer()", Action("answer", "")),
        ("Act: bash\n```bash\nls\n```\nAct: answer(3)", Action("answer", "3")),
        ("Act: answer(3)\nAct: dance", Action("answer", "3")),
        ("Act: answer(3)\nAct: answer 4", Action("answer", "3")),
        ("Act: answer )4(", Action("answer", "")),  # as AgentBench cuts it
        ("Act: answer(a\nb)", None),
        ("finish", None),
        ("", None),
    ],
)
def test_the_last_valid_act_is_the_action(reply: str, action: Action | None) -> None:
    assert parse_action(reply) == action


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("220\n", "The output of the OS:\n\n220"),
        ("  a\n b\n\n", "The output of the OS:\n\n  a\n b"),
        ("", "The output of the OS is empty."),
        ("\r\n", "The output of the OS is empty."),
        ("\x1b[01;34mbin\x1b[0m\n", "The output of the OS:\n\nbin"),
        ("\x1b]0;root@box\x07done\x1b[?2004l", "The output of the OS:\n\ndone"),
        ("x" * 800, "The output of the OS:\n\n" + "x" * 800),
        (
            "x" * 801,
            "The output of the OS:\n\n"
            + "x" * 780
            + "\n[truncated because the output is too long]",
        ),
    ],
)
def test_outputs_are_shown_plain_and_cut_where_long(output: str, text: str) -> None:
    assert shell_observation(output) == text


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"evaluation": {}}, "evaluation: must have match or check"),
        ({"evaluation": {"check": [None]}}, "null stands for the example, and there is none"),
        ({"evaluation": {"check": []}}, "at least one script"),
        ({"evaluation": "no"}, "evaluation: must be a mapping"),
        ({"evaluation": {"check": {"file": "none.sh"}}}, r"check.file: cannot be read"),
        (
            {"evaluation": {"check": {"language": "perl", "code": "1"}}},
            "bash or python, got 'perl'",
        ),
        ({"evaluation": {"check": {"file": "a", "code": "b"}}}, "either file or code"),
        ({"evaluation": {"match": 3}}, "evaluation.match: must be a text"),
        ({"evaluation": {"match": {"regex": "("}}}, "is no regular expression"),
        ({"evaluation": {"match": "a"}, "start": 3}, "start: must be a text, got 3"),
        ({"evaluation": {"match": "a"}, "description": ""}, "description: must be a text, got ''"),
    ],
)
def test_malformed_records_are_refused_with_their_file_and_key(
    tmp_path: Path, record: dict[str, Any], line: str
) -> None:
    path = write_os_problem(tmp_path, **record)
    with pytest.raises(CycleQDError, match=rf"problems\.json: record 0: .*{line}"):
        load_problems([path])


def test_a_folder_without_problems_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CycleQDError, match=r"agentbench_root: needs .* name a clone of AgentBench"):
        standard_files(tmp_path)
