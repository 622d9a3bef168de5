"""Points this process, and those it starts, at the local Hub of the tests."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_api
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import close_session

# The httpx, or httpx2, that the installed huggingface_hub uses.
httpx = importlib.import_module(HfHubHTTPError.__mro__[1].__module__)

UNSET = (
    "HF_ASSETS_CACHE",
    "HF_HUB_CACHE",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_OFFLINE",
    "HF_OIDC_RESOURCE",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HF_XET_CACHE",
    "HUGGINGFACE_CO_STAGING",
    "HUGGINGFACE_HUB_CACHE",
    "HUGGING_FACE_HUB_TOKEN",
    "TRANSFORMERS_OFFLINE",
)


def point_at(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, home: Path, token: str | None, *, xet: bool
) -> None:
    """Set the environment, and in this process what huggingface_hub read from it at import."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "0" if xet else "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    values = {
        "ENDPOINT": endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_URL_HOSTS": constants.HF_URL_HOSTS | {"127.0.0.1"},
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HUGGINGFACE_HUB_CACHE": str(home / "hub"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "AGENT_HARNESSES_PATH": str(home / ".agent_harnesses.json"),
        "HF_HUB_DISABLE_XET": not xet,
        "HF_HUB_DISABLE_UPDATE_CHECK": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": False,
        "HF_HUB_OFFLINE": False,
    }
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    # These copied the endpoint when they were made.
    monkeypatch.setattr(hf_api.api, "endpoint", endpoint)
    for name in ("huggingface_hub.utils._git_credential", "huggingface_hub.cli.auth"):
        if name in sys.modules:
            monkeypatch.setattr(sys.modules[name], "ENDPOINT", endpoint)
    if "transformers.utils.hub" in sys.modules:  # keeps a client of its own
        monkeypatch.setattr(sys.modules["transformers.utils.hub"], "_hf_api", None, raising=False)
    close_session()  # its connections are those of an earlier server
