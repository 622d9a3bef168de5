"""`hf cycleqd`: the real `hf` with our script as its extension."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from huggingface_hub.cli.extensions import ExtensionManifest

from tests.support import published_runs
from tests.support.hub import server
from tests.support.hub.server import Hub

hub = server.hub
made, local_run = published_runs.made, published_runs.local_run
HF = [sys.executable, "-c", "from huggingface_hub.cli.hf import main; main()"]


@pytest.mark.slow
def test_hf_finds_our_script_once_it_is_installed_as_an_extension(
    local_run: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    ((module, function),) = re.findall(r'^hf-cycleqd = "(.+):(.+)"$', project, re.MULTILINE)
    script = tmp_path / "hf-cycleqd"  # as pip writes it for this entry
    script.write_text(f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n")
    script.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    manifest = ExtensionManifest(  # as `hf extensions install` leaves it
        owner="org",
        repo="hf-cycleqd",
        repo_id="org/hf-cycleqd",
        short_name="cycleqd",
        executable_path=str(script),
        type="python",
        installed_at=datetime.now(timezone.utc),
    )
    manifest.save(tmp_path / ".local" / "share" / "hf" / "extensions" / "hf-cycleqd")
    words = ["push", str(local_run), "--repo-id", "me/{task}", "--what", "aggregate", "--dry-run"]
    shown = subprocess.run([*HF, "cycleqd", *words], capture_output=True, text=True, check=True)
    assert "me/aggregate (model, main): new" in shown.stdout
    words = ["cycleqd", "push", str(local_run), "--what", "all"]
    failed = subprocess.run([*HF, *words], capture_output=True, text=True)
    assert failed.returncode == 2 and failed.stderr.startswith("error: --what: must name some of")
