"""A stand-in for lm-eval's module of vLLM, where vLLM is not installed.

Both tools import that module when they start: mergekit to set an attribute of its class, mergenetic
to name the class in annotations. Neither makes an engine of it here. The module imports vLLM, whose
builds need CUDA or much memory.
"""

import sys
from types import ModuleType


def stand_in() -> None:
    """Give lm-eval's module of vLLM a class that only has its name."""
    import lm_eval.models

    name = "lm_eval.models.vllm_causallms"
    if name not in sys.modules:
        module = ModuleType(name)
        module.VLLM = type("VLLM", (), {})
        sys.modules[name] = lm_eval.models.vllm_causallms = module
