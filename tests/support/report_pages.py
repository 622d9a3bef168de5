"""The parts of a report's page."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any


class Page:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.text = file.read_text(encoding="utf-8")
        self.data: dict[str, Any] = json.loads(self._part("data"))

    def _part(self, name: str) -> str:
        found = re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', self.text, re.S)
        assert found is not None
        return found.group(1)

    def unpacked(self, name: str) -> str:
        return gzip.decompress(base64.b64decode(self._part(name))).decode()
