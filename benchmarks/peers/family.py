"""What all tools get: the quickstart's models, its tasks, and the same samples and settings."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
TASK_FOLDER = ROOT / "recipes" / "quickstart"
MODELS = TASK_FOLDER / "models"
SKILLS = ("coding", "db", "os")
SAMPLES = 100
"""The first samples of each task are searched on, the other 200 are the holdout."""
BATCH = 100
EVALUATIONS = 60
KILLED_EVALUATIONS = 10
"""Of a run that is killed in its middle and started again."""


def model(name: str) -> str:
    """The folder of the base or of an expert."""
    return str(MODELS / name)


def task(skill: str) -> str:
    """The name of the skill's task in lm-eval."""
    return f"quickstart_{skill}"
