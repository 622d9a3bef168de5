"""Rows of seeds in files: a table of many hours comes of many sittings, on whatever machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

Row = dict[str, float]
Rows = dict[str, Row]


class Saved:
    """A folder with a file for each seed: its rows, what they were made with, and when."""

    def __init__(self, folder: Path | None, settings: Sequence[Any]) -> None:
        """Look into a folder, or with None keep nothing.

        Args:
            folder: Of one table.
            settings: What decides its rows beside the seed.
        """
        self._folder = folder
        self._settings = list(settings)

    def rows(self, seed: int) -> Rows | None:
        """The rows of a seed, or None if they are not here.

        Raises:
            SystemExit: If they were made with other settings.
        """
        if self._folder is None or not (file := self._file(self._folder, seed)).is_file():
            return None
        content = json.loads(file.read_text())
        if content["settings"] != self._settings:
            raise SystemExit(
                f"{file} was made with {content['settings']}, these are {self._settings}: "
                "name another folder with --save"
            )
        rows: Rows = content["rows"]
        return rows

    def keep(self, seed: int, rows: Rows) -> None:
        """Write the rows of a seed."""
        if self._folder is None:
            return
        content = {
            "settings": self._settings,
            "date": datetime.now(timezone.utc).date().isoformat(),
            "torch": torch.__version__,
            "rows": rows,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{seed}.part"
        part.write_text(json.dumps(content, indent=1) + "\n")
        part.replace(self._file(self._folder, seed))

    @staticmethod
    def _file(folder: Path, seed: int) -> Path:
        return folder / f"seed-{seed}.json"
