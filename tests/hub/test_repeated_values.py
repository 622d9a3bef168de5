"""Published models with repeated singular values are rebuilt on other machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mergekit.options import MergeOptions
from safetensors.torch import load, load_file

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.hub.rebuild import PublishedRecipe, rebuild
from tests.support.costly import costly
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.lapack import by_driver
from tests.support.published_runs import make_run, over, push, put_on_hub
from tests.support.repeated_values import orthogonal_adapter, stepped_family

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
hub = server.hub

KINDS: dict[str, dict[str, Any]] = {
    "all directions": {},
    "a rank": {"mutation": {"rank": 5}},
    "a share of the energy": {"mutation": {"energy": 0.5}},
    "task singular vectors": {"task_vectors": {"kind": "tsv"}},
    "a lineage": {"mutation": {"basis": "child"}},
    "adapters": {},
}
MACHINES = {"2 threads": 2, "4 threads": 4, "another driver": 1}  # it is published with one


@pytest.fixture(scope="module")
@costly
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return stepped_family(tmp_path_factory.mktemp("stepped"))


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "kind",
    [kind if kind == "a lineage" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_they_are_the_same_within_a_millionth_of_the_change(
    kind: str,
    stepped: Family,
    hub: Hub,
    tmp_path: Path,
    threads: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    family = stepped
    if kind == "adapters":
        base = family.base_model
        adapters = (orthogonal_adapter(base, tmp_path / f"{k}", k) for k in (1, 2))
        experts = (*(f"{base}+{adapter}" for adapter in adapters), family.experts[2])
        family = Family(base, experts)

    def change(content: dict[str, Any]) -> None:
        content["evolution"].update(KINDS[kind])

    made = make_run(tmp_path / "made", family, change)
    run = over(made, put_on_hub(hub, family))
    torch.set_num_threads(1)
    assert push(run, "--what", "aggregate") == 0, capsys.readouterr().err
    published = load(hub.content("me/tiny-aggregate")["model.safetensors"])
    start = load_file(Path(family.base_model) / "model.safetensors")
    for number, (machine, count) in enumerate(MACHINES.items()):
        torch.set_num_threads(count)
        if machine == "another driver":
            by_driver("ev", monkeypatch)
        out, said = tmp_path / f"rebuilt{number}", list[str]()
        recipe = PublishedRecipe("me/tiny-aggregate", None, "mergekit_config.yml")
        rebuild(recipe, out, MergeOptions(quiet=True), said.append)
        rebuilt = load_file(out / "model.safetensors")
        changed = 0
        for name, tensor in published.items():
            change = (tensor.double() - start[name].double()).norm()
            difference = (rebuilt[name].double() - tensor.double()).norm()
            assert difference <= 1e-6 * change, (machine, name)
            changed += bool(change)
        assert changed > 5
