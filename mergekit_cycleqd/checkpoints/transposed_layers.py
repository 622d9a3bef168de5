"""The linear layers that store their weights transposed, as those of GPT-2 do.

PEFT's setting `fan_in_fan_out` does not tell: there is one for all modules of an adapter, and it is
that of the last. PEFT goes by the class of each module, and so does this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch


def transposed_layers(config: Mapping[str, Any]) -> frozenset[str] | None:
    """List the modules of a model that store their weights transposed.

    Args:
        config: The content of the model's config.json.

    Returns:
        Names of modules; None for a model whose class transformers does not have.
    """
    return _of_class(json.dumps(config))


@lru_cache(maxsize=4)
def _of_class(config_text: str) -> frozenset[str] | None:
    import transformers
    from transformers.pytorch_utils import Conv1D

    config = json.loads(config_text)
    names = config.get("architectures")
    try:
        kind = getattr(transformers, names[0])
        with torch.device("meta"):
            model = kind(kind.config_class.from_dict(config))
    except Exception:  # no such class, or one that refuses a value; loading will say which
        return None
    return frozenset(name for name, module in model.named_modules() if isinstance(module, Conv1D))
