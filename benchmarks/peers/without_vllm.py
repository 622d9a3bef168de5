"""A stand-in for lm-eval's module of vLLM.

Both tools import that module when they start, for the name of its class. With lm-eval 0.4.13 it
cannot be imported where vLLM is not installed, whose builds need CUDA or much memory.
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
