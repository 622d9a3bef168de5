"""Read the problems of AgentBench's OS interaction task from its folders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergekit_cycleqd.tasks.episode import ProblemError


@dataclass(frozen=True, slots=True)
class Script:
    """A script of a record.

    Attributes:
        language: "bash" or "python".
        code: The script's text.
    """

    language: str
    code: str

    def argv(self, parameters: Sequence[str] = ()) -> list[str]:
        """Build the command that runs the script with parameters."""
        if self.language == "bash":
            return ["bash", "-c", self.code, *(("--", *parameters) if parameters else ())]
        return ["python3", "-c", self.code, *parameters]


@dataclass(frozen=True, slots=True)
class Match:
    """The rule that an answer must match.

    Attributes:
        text: The right answer, or a regular expression to search for in the answer.
        regex: Whether `text` is a regular expression.
        strip: Whether white space around an answer is ignored.
    """

    text: str
    regex: bool = False
    strip: bool = True

    def accepts(self, answer: str) -> bool:
        """Whether an answer is right."""
        if self.regex:
            return re.search(self.text, answer) is not None
        return answer.strip() == self.text.strip() if self.strip else answer == self.text


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        name: AgentBench's name of the problem, such as "std-001-stock-00000".
        description: The task that the model is asked to do.
        init: Scripts that prepare the box, each in a process of its own.
        start: Bash code that the model's shell runs first; None without any.
        match: The rule for the answer; None if `check` judges.
        check: Scripts that judge. Each gets the answer and the outputs of the scripts before it.
        example: The reference solution; None if the record has none.
    """

    name: str
    description: str
    init: tuple[Script, ...]
    start: str | None
    match: Match | None
    check: tuple[Script, ...]
    example: Script | None


def standard_files(root: Path) -> list[Path]:
    """List the problem files of AgentBench, in a fixed order.

    First come the folders 1 to 7 by number, with their files by name: the 144 problems of the
    standard set, which get the ids 0 to 143. Then comes dev.json with its 26 problems.

    Args:
        root: A clone of AgentBench, its `data` folder, or the folder `os_interaction`.

    Raises:
        ProblemError: If the folder holds no problem files.
    """
    folders = [root / "data" / "os_interaction", root / "os_interaction", root]
    for folder in folders:
        files = [
            path
            for number in range(1, 8)
            for path in sorted((folder / "data" / str(number)).glob("*.json"))
        ]
        if files:
            dev = folder / "data" / "dev.json"
            return [*files, dev] if dev.is_file() else files
    raise ProblemError(
        f"agentbench_root: needs AgentBench's data/os_interaction/data/1/*.json and so on, "
        f"but {str(root)!r} has none; name a clone of AgentBench or its data folder"
    )


def load_problems(files: Sequence[Path]) -> list[Problem]:
    """Read problem files. Each holds one record or a list of records.

    Script files are looked up as in AgentBench: for `data/3/ac.json` in `scripts/3`, for
    `data/dev.json` in `scripts/dev`, and for other files in a folder `scripts` beside them.

    Raises:
        ProblemError: If a file is missing or a record is malformed.
    """
    return [problem for path in files for problem in _read_file(path)]


def _read_file(path: Path) -> Iterator[Problem]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProblemError(f"{path}: must be a JSON file of OS problems ({error})") from None
    folder = path.parent.name
    prefix = f"std-{int(folder):03}" if folder.isdigit() else "dev-001"
    for i, record in enumerate(content if isinstance(content, list) else [content]):
        try:
            yield _Reader(_script_folder(path)).problem(f"{prefix}-{path.stem}-{i:05}", record)
        except _Fault as fault:
            raise ProblemError(f"{path}: record {i}: {fault}") from None


def _script_folder(path: Path) -> Path:
    folders = [
        path.parent.parent.parent / "scripts" / path.parent.name,
        path.parent.parent / "scripts" / path.stem,
        path.parent / "scripts",
    ]
    return next((folder for folder in folders if folder.is_dir()), folders[-1])


class _Fault(Exception):
    """A fault of one record, as ``key: what is wrong``."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the records of a file.

    Attributes:
        folder: Folder in which script files are looked up.
    """

    folder: Path

    def problem(self, name: str, record: Any) -> Problem:
        if not isinstance(record, Mapping):
            raise _Fault(f"must be a mapping, got {type(record).__name__}")
        evaluation = record.get("evaluation")
        if not isinstance(evaluation, Mapping):
            raise _Fault(f"evaluation: must be a mapping, got {evaluation!r}")
        # One record has a list of check scripts here by mistake; AgentBench ignores it.
        create = record.get("create")
        init = create.get("init") if isinstance(create, Mapping) else None
        # Some records have the example beside the evaluation.
        example = evaluation.get("example", record.get("example"))
        solution = None if example is None else self.script("evaluation.example", example)
        start = record.get("start")
        return Problem(
            name=name,
            description=_require_text("description", record.get("description")),
            init=() if init is None else self.scripts("create.init", init),
            start=None if start is None else _require_text("start", start),
            match=None if "match" not in evaluation else _read_match(evaluation["match"]),
            check=() if "match" in evaluation else self.check(evaluation.get("check"), solution),
            example=solution,
        )

    def check(self, value: Any, example: Script | None) -> tuple[Script, ...]:
        if value is None:
            raise _Fault("evaluation: must have match or check")
        chain = []
        for script in value if isinstance(value, list) else [value]:
            if script is not None:
                chain.append(self.script("evaluation.check", script))
            elif example is not None:
                chain.append(example)
            else:
                raise _Fault("evaluation.check: null stands for the example, and there is none")
        if not chain:
            raise _Fault("evaluation.check: must name at least one script")
        return tuple(chain)

    def scripts(self, key: str, value: Any) -> tuple[Script, ...]:
        values = value if isinstance(value, list) else [value]
        return tuple(self.script(key, script) for script in values)

    def script(self, key: str, value: Any) -> Script:
        if isinstance(value, str):
            return Script("bash", value)
        if not isinstance(value, Mapping) or ("file" in value) == ("code" in value):
            raise _Fault(f"{key}: must be bash, or a mapping with either file or code")
        language = value.get("language", "bash")
        if language not in ("bash", "python"):
            raise _Fault(f"{key}.language: must be bash or python, got {language!r}")
        if "code" in value:
            return Script(language, _require_text(f"{key}.code", value["code"]))
        path = self.folder / _require_text(f"{key}.file", value["file"])
        try:
            return Script(language, path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _Fault(f"{key}.file: cannot be read ({error})") from None


def _read_match(value: Any) -> Match:
    if isinstance(value, str):
        return Match(value)
    if isinstance(value, Mapping) and isinstance(value.get("answer"), str):
        return Match(value["answer"], strip=bool(value.get("strip", True)))
    if isinstance(value, Mapping) and isinstance(value.get("regex"), str):
        try:
            re.compile(value["regex"])
        except re.error as error:
            raise _Fault(f"evaluation.match.regex: is no regular expression ({error})") from None
        return Match(value["regex"], regex=True)
    raise _Fault("evaluation.match: must be a text, or a mapping with answer or regex")


def _require_text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Fault(f"{key}: must be a text, got {value!r}")
    return value
