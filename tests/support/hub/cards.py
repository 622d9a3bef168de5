"""What the local Hub reads in model cards: validation, tags, evaluation results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from starlette.responses import JSONResponse, Response

from tests.support.hub.store import Commit, Store

if TYPE_CHECKING:
    from tests.support.hub.repos import Request

REPO_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
RELATIONS = ("adapter", "finetune", "merge", "quantized")
# Those that occur on base models and experts; the Hub knows some 80.
LICENSES = frozenset(
    re.findall(
        r"\S+",
        "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigscience-bloom-rail-1.0 "
        "bigscience-openrail-m bsd-2-clause bsd-3-clause bsl-1.0 cc cc-by-2.0 cc-by-3.0 "
        "cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 "
        "cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 "
        "creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-2.0 gemma gfdl gpl gpl-2.0 "
        "gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 mit "
        "mpl-2.0 ms-pl odbl openrail openrail++ osl-3.0 other postgresql unknown unlicense wtfpl",
    )
)


def front_matter(text: str) -> str | None:
    match = re.match(r"---[ \t]*\r?\n(.*?\n)?---[ \t]*(\r?\n|$)", text, flags=re.DOTALL)
    return None if match is None else match[1] or ""


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def faults_of(text: str, kind: str) -> list[str]:
    """Say what the Hub would refuse in the metadata of a card."""
    try:
        data = yaml.safe_load(front_matter(text) or "")
    except yaml.YAMLError as error:
        return [f"Invalid YAML metadata: {error}"]
    if data is None:
        return []
    if not isinstance(data, dict):
        return ["The metadata must be a mapping"]
    found = []
    for name in listed(data.get("license", "other")):
        if name not in LICENSES:
            found.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]')
    for name in ("tags", "datasets", "base_model", "language", "metrics"):
        if not all(isinstance(value, str) for value in listed(data.get(name, []))):
            found.append(f'"{name}" must be a string or a list of strings')
    if kind != "model":
        return found
    for name in listed(data.get("base_model", [])):
        if isinstance(name, str) and not REPO_ID.fullmatch(name):
            found.append(f'"base_model" with value "{name}" is not valid: use a model id')
    if data.get("base_model_relation", "merge") not in RELATIONS:
        found.append(f'"base_model_relation" must be one of [{", ".join(RELATIONS)}]')
    for name in ("library_name", "pipeline_tag", "license_name", "license_link"):
        if not isinstance(data.get(name, ""), str):
            found.append(f'"{name}" must be a string')
    return found + [fault for item in data.get("model-index", []) for fault in index_faults(item)]


def index_faults(item: dict[str, Any]) -> list[str]:
    found = [] if isinstance(item.get("name"), str) else ['"model-index[0].name" is required']
    for result in item.get("results", []):
        for path in ("task.type", "dataset.type", "dataset.name"):
            first, second = path.split(".")
            if not isinstance(result.get(first, {}).get(second), str):
                found.append(f'"model-index[0].results[0].{path}" must be a string')
        for metric in result.get("metrics", [{}]):
            if not isinstance(metric.get("type"), str) or "value" not in metric:
                found.append('"model-index[0].results[0].metrics" must have a type and a value')
    return found


def validate(store: Store, request: Request) -> Response:
    payload = request.json()
    text, kind = payload["content"], payload.get("repoType", "model")
    errors = [{"message": fault} for fault in faults_of(text, kind)]
    warnings = []
    if not front_matter(text):
        warnings.append({"message": "empty or missing yaml metadata in repo card"})
    return JSONResponse({"errors": errors, "warnings": warnings}, 400 if errors else 200)


def card_text(store: Store, commit: Commit) -> str:
    card = commit.files.get("README.md")
    return "" if card is None else store.read(card).decode()


def card_data(store: Store, commit: Commit) -> dict[str, Any] | None:
    data = yaml.safe_load(front_matter(card_text(store, commit)) or "")
    return data if isinstance(data, dict) else None


def tags(store: Store, commit: Commit) -> list[str]:
    """List the tags that the Hub derives from a card, as it writes them."""
    text = card_text(store, commit)
    data = card_data(store, commit) or {}
    found = [*listed(data.get("tags", [])), *listed(data.get("library_name", []))]
    bases = listed(data.get("base_model", []))
    found += [f"base_model:{base}" for base in bases]
    if "base_model_relation" in data:
        found += [f"base_model:{data['base_model_relation']}:{base}" for base in bases]
    found += [f"license:{name}" for name in listed(data.get("license", []))]
    papers = re.findall(r"(?:arxiv\.org/(?:abs|pdf)/|arxiv:)(\d{4}\.\d{4,5})", text, re.IGNORECASE)
    return list(dict.fromkeys([*found, *(f"arxiv:{paper}" for paper in papers)]))


def eval_results(store: Store, commit: Commit) -> list[Any]:
    return [
        result
        for path, file in sorted(commit.files.items())
        if re.fullmatch(r"\.eval_results/[^/]+\.ya?ml", path)
        for result in yaml.safe_load(store.read(file))
    ]
