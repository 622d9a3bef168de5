"""What is done with the kept runs, by commands alone: for `make.py` and for the test of them."""

from __future__ import annotations

import hashlib
import html
import importlib
import io
import json
import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import CommitOperationAdd
from safetensors.numpy import load_file

HERE = Path(__file__).resolve().parent
INPUTS = HERE / "inputs"
JOURNAL = "journal.jsonl"
PUSHED = ("push", "--repo-id", "me/kept-{task}", "--what", "aggregate,best,recipes,journal")
KEPT = {  # of each published repo what is kept, as the rest follows from files beside it
    "aggregate": ("README.md", "mergekit_config.yml", "lineage.json", "figures/archives.svg"),
    "coding": ("README.md", "mergekit_config.yml", "lineage.json"),
    "recipes": ("README.md",),
    "journal": ("README.md", "recipe.yaml", "header.jsonl"),
}
_TIMES = re.compile(rb'"seconds":[0-9.]+,')


def hub_module(name: str) -> Any:
    """Find a module of the tests' local Hub, "server" or "client", wherever a checkout has it."""
    try:
        return importlib.import_module(f"tests.support.hub.{name}")
    except ModuleNotFoundError:
        return importlib.import_module(f"tests.hub_{name}")


def script() -> str:
    """Name the function of the command, such as ``package.module:function``.

    It is the one that the imported package's own checkout has in its pyproject.toml; what is
    installed may be of another commit.
    """
    package = importlib.import_module("mergekit_cycleqd")
    project = Path(str(package.__file__)).parents[1] / "pyproject.toml"
    if project.is_file():
        named = re.search(r'^mergekit-cycleqd = "(.+)"$', project.read_text(), re.MULTILINE)
        assert named is not None
        return named[1]
    (found,) = entry_points(group="console_scripts", name="mergekit-cycleqd")
    return found.value


def command(*words: object) -> str:
    """Run `mergekit-cycleqd` in this process, and give what it printed."""
    module, _, function = script().partition(":")
    main: Callable[[list[str]], None] = getattr(importlib.import_module(module), function)
    printed = io.StringIO()
    with redirect_stdout(printed):
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            assert not end.code, f"{words}: exit code {end.code}\n{printed.getvalue()}"
    return printed.getvalue()


def commit_of(repo: str) -> str:
    """Name the commit that a kept repo always has, so that pinned recipes keep their bytes."""
    return hashlib.sha1(repo.encode()).hexdigest()


def put(hub: Any, repo: str, files: Mapping[str, bytes], kind: str = "model") -> None:
    """Commit files to a new repo of the local Hub, under the commit's constant name."""
    hub.api().create_repo(repo, repo_type=kind)
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    hub.api().create_commit(repo, operations, commit_message="kept", repo_type=kind)
    stored = hub.repo(repo, kind)
    oid = commit_of(repo)
    stored.commits[oid] = replace(stored.find("main"), oid=oid)
    stored.branches["main"] = oid


def put_family(hub: Any) -> None:
    """Put base, experts and adapter on the local Hub; needs `INPUTS` on the path of imports."""
    family = importlib.import_module("kept_family")
    card = b"---\nlicense: apache-2.0\n---\n"
    for name, files in family.files().items():
        put(hub, f"lab/{name}", {**files, "README.md": card})


def pinned(recipe: str) -> str:
    """A model recipe as `push` publishes it: without comments, models by commit."""
    text = "".join(line for line in recipe.splitlines(True) if not line.startswith("#"))
    return re.sub(r"lab/[a-z]+", lambda found: f"{found[0]}@{commit_of(found[0])}", text)


def published(hub: Any, repo: str) -> dict[str, bytes]:
    """Read what the local Hub has of a pushed repo, with a mark for the Hub's address."""
    kind = "dataset" if repo == "journal" else "model"
    files = hub.content(f"me/kept-{repo}", kind)
    if repo == "journal":
        files["header.jsonl"] = files[JOURNAL].splitlines(keepends=True)[0]
    return {path: files[path].replace(hub.endpoint.encode(), b"{hub}") for path in sorted(files)}


def without_built(lineage: bytes) -> dict[str, Any]:
    """Read a lineage.json without hashes of weights, of which a processor may change last bits."""
    content: dict[str, Any] = json.loads(lineage)
    assert lineage.decode() == json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    files = content.pop("files")
    content["published"] = [path for path in content["published"] if path not in files]
    return content


def encoded(content: Mapping[str, Any]) -> bytes:
    """Write a line of a journal: compact JSON that ends with its checksum."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    body = text.encode()[:-1]
    return body + f',"crc32":"{zlib.crc32(body):08x}"}}\n'.encode()


def timeless(journal: bytes) -> list[bytes]:
    """Check the sum at each line's end, and give the lines without times."""
    lines = []
    for line in journal.splitlines(keepends=True):
        content = json.loads(line)
        del content["crc32"]
        assert encoded(content) == line
        lines.append(_TIMES.sub(b"", line.rpartition(b',"crc32"')[0]))
    return lines


def folder_texts(folder: Path) -> dict[str, bytes]:
    """Read all files of a run folder but the journal, locks and reports."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != JOURNAL and not path.name.startswith(".")
    }


def report_texts(run: Path, out: Path) -> dict[str, bytes]:
    """Write the report of a run: its CSV files, and the tables of its page as text."""
    command("report", run, "--out", out)
    texts = {path.name: path.read_bytes() for path in sorted(out.glob("*.csv"))}
    page = (out / "report.html").read_text(encoding="utf-8")
    rows = []
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL):
            cells = re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
            words = (html.unescape(re.sub(r"<[^>]+>", " ", cell)) for cell in cells)
            rows.append(" | ".join(" ".join(word.split()) for word in words))
        rows.append("")
    texts["tables-of-the-page.txt"] = "\n".join(rows).encode()
    return texts


def merged(recipe: object, out: Path) -> dict[str, Any]:
    """Merge a recipe, and give its tensors; every number in float64."""
    command("merge", recipe, out, "--quiet")
    return tensors(out)


def tensors(model: Path) -> dict[str, Any]:
    """Read the tensors of a model; bfloat16 as numpy has it not."""
    try:
        found = load_file(model / "model.safetensors")
    except (KeyError, TypeError, ValueError):  # bfloat16
        from safetensors.torch import load_file as load

        found = {k: v.float().numpy() for k, v in load(model / "model.safetensors").items()}
    return {name: values.astype(np.float64) for name, values in sorted(found.items())}


def sketch(found: Mapping[str, Any]) -> dict[str, list[float]]:
    """Describe each tensor by two numbers: a sum with signs of its own, and a sum of squares."""
    described = {}
    for name, values in found.items():
        drawn = hashlib.shake_256(name.encode()).digest(values.size)
        signs = np.array([1 if byte & 1 else -1 for byte in drawn])
        pair = float((signs * values.ravel()).sum()), float((values * values).sum())
        described[name] = [round(number, 7) for number in pair]
    return described


def uniform_draws(found: Mapping[str, Any]) -> list[float]:
    """Read the draws of `uniform.yaml` off its model, by descending singular value.

    In one matrix of `db` they stand in the rows, each times a singular value of its own.
    """
    family = importlib.import_module("kept_family")
    vector = family.task_vector("db", family.DIAGONAL)
    change = found[family.DIAGONAL] - family.base(family.DIAGONAL)
    assert not change[vector == 0].any()
    order = np.argsort(-vector.sum(axis=1))
    factors = (change.sum(axis=1) / vector.sum(axis=1))[order]
    return [round(float(factor - 0.5) / 0.25, 5) for factor in factors]


def normal_draws(found: Mapping[str, Any]) -> dict[str, list[float]]:
    """Read the draws of `noise.yaml` off its model: of a tensor of odd size, and of an even one."""
    family = importlib.import_module("kept_family")
    names = ("model.norm.weight", "model.layers.0.self_attn.k_proj.weight")
    return {
        name: [round(float(number), 6) for number in (found[name] - family.base(name)).ravel()]
        for name in names
    }


def digest(found: Mapping[str, Any]) -> str:
    """Give the sha256 of all tensors, bit by bit as float32."""
    whole = hashlib.sha256()
    for name, values in found.items():
        whole.update(name.encode() + values.astype("<f4").tobytes())
    return whole.hexdigest()


def cache_files(cache: Path) -> dict[str, str]:
    """List the files of singular directions: what each holds, by its path."""
    found = {}
    for path in sorted(cache.rglob("*.safetensors")):
        with path.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        header.pop("__metadata__", None)
        parts = (f"{name} {h['dtype']} {h['shape']}" for name, h in sorted(header.items()))
        found[path.relative_to(cache).as_posix()] = ", ".join(parts)
    return found


def cache_path(task_vector: Any) -> str:
    """Name the file of a task vector's singular directions, below the cache."""
    content = f"2 {task_vector.shape} ".encode() + task_vector.astype("<f4").tobytes()
    key = hashlib.sha256(content).hexdigest()[:40]
    return f"factors/{key[:2]}/{key}.safetensors"
