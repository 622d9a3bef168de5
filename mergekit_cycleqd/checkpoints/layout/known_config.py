"""A config.json as its class in transformers reads it, with the class's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def known_config(config: Mapping[str, Any]) -> Any:
    """Read the content of a config.json by the class of its model type.

    Args:
        config: The content.

    Returns:
        The configuration; None if transformers has no such class, or it refuses a value. Loading
        the model will say which.
    """
    from transformers import AutoConfig

    settings = {key: value for key, value in config.items() if key != "model_type"}
    try:
        found = AutoConfig.for_model(str(config.get("model_type")), **settings)
        found.to_dict()  # which some values break
        return found
    except Exception:  # whatever a class makes of another's values
        return None
