"""The prompt, the actions and the observations of AgentBench's OS interaction task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mergekit_cycleqd.tasks.episode import Message

# Instructions and one-shot are the benchmark's own words (AgentBench, Apache-2.0), so that scores
# can be compared.
_INSTRUCTIONS = """\
You are an assistant that will act like a person, I'will play the role of linux(ubuntu) operating \
system. Your goal is to implement the operations required by me or answer to the question proposed \
by me. For each of your turn, you should first think what you should do, and then take exact one \
of the three actions: "bash", "finish" or "answer". 

1. If you think you should execute some bash code, take bash action, and you should print like this:

Think: put your thought here.

Act: bash

```bash
# put your bash code here
```

2. If you think you have finished the task, take finish action, and you should print like this:

Think: put your thought here.

Act: finish

3. If you think you have got the answer to the question, take answer action, and you should print \
like this:

Think: put your thought here.

Act: answer(Your answer to the question should be put in this pair of parentheses)

If the output is too long, I will truncate it. The truncated output is not complete. You have to \
deal with the truncating problem by yourself. Attention, your bash code should not contain any \
input operation. Once again, you should take only exact one of the three actions in each turn.

Now, my problem is:

tell me how many files are in the directory "/etc"?"""

_ONE_SHOT = (
    (
        "assistant",
        "Think: To count the files in /etc, I need to print all the files in it.\n\n"
        "Act: bash\n\n```bash\nls /etc\n```",
    ),
    (
        "user",
        "The output of the OS:\ncpi cron.hourly fuse.conf iproute2 lvm networkd-dispatcher "
        "protocols selinux tmpfiles.d [truncated because the output is too long]",
    ),
    (
        "assistant",
        "Think: The output has been truncated because it is too long, so I need to count files by "
        "script directly.\n\nAct: bash\n\n```bash\nls -1 /etc | wc -l\n```",
    ),
    ("user", "The output of the OS:\n220"),
    ("assistant", "Think: Now I get the answer, it is 220.\n\nAct: answer(220)"),
)

_PROBLEM = "Now, I will start a new problem in a new OS. My problem is:\n\n"
_CHARACTERS = 800
_KEPT = 780
_CUT = "\n[truncated because the output is too long]"

_ACT = re.compile(r"Act:\s*(.+)")
_BLOCK = re.compile(r"```bash\n(.*?)\n```", re.DOTALL)
# Control sequences (colours, cursor), operating system commands (titles), and two-byte escapes.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(frozen=True, slots=True)
class Action:
    """The action that a model chose.

    Attributes:
        kind: "bash" runs `text`, "finish" ends without an answer, "answer" ends with `text`.
        text: Bash code, or the answer; empty for "finish".
    """

    kind: Literal["bash", "finish", "answer"]
    text: str = ""


def first_chat(description: str) -> list[Message]:
    """Write the chat that an episode starts with: instructions, a solved problem, the problem."""
    return [
        {"role": "user", "content": _INSTRUCTIONS},
        *({"role": role, "content": content} for role, content in _ONE_SHOT),
        {"role": "user", "content": _PROBLEM + description},
    ]


def parse_action(reply: str) -> Action | None:
    """Find the last valid action of a reply; None if it has none.

    An answer is the text between the first "(" and the last ")" of its line. Bash code is the text
    of all ```` ```bash ```` blocks, joined by blank lines. It is empty if there is no block.
    """
    for act in reversed(_ACT.findall(reply)):
        name = act.lower()
        if name.startswith("bash"):
            return Action("bash", "\n\n".join(_BLOCK.findall(reply)))
        if name.startswith("finish"):
            return Action("finish")
        first, last = act.find("("), act.rfind(")")
        if name.startswith("answer") and first >= 0 and last >= 0:
            return Action("answer", act[first + 1 : last])
    return None


def shell_observation(output: str, note: str = "") -> str:
    """Write a command's output for the model, without ANSI sequences, and cut if too long.

    Args:
        output: Output of the command.
        note: A line to add, which is never cut; empty for none.
    """
    text = _ANSI.sub("", output).strip("\r\n")
    if len(text) > _CHARACTERS:
        text = text[:_KEPT] + _CUT
    text = "\n".join(part for part in (text, note) if part)
    return f"The output of the OS:\n\n{text}" if text else "The output of the OS is empty."
