"""The quickstart's recipe and its trained models, in a folder of the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "recipes"


def make_quickstart(folder: Path) -> Path:
    """Copy the recipe and train its models; two minutes. Its recipe's path."""
    shutil.copytree(RECIPES / "quickstart", folder / "quickstart")
    shutil.copy(RECIPES / "quickstart.yaml", folder)
    subprocess.run([sys.executable, folder / "quickstart" / "make_models.py"], check=True)
    return folder / "quickstart.yaml"
