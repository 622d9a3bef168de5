"""Register `merge_method: cycleqd` with mergekit, without importing mergekit first."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

_REGISTRY = "mergekit.merge_methods.registry"
_METHOD = "mergekit_cycleqd.mergekit_plugin.method"


class _AfterRegistry:
    """An import hook that registers our method after mergekit's registry was loaded."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != _REGISTRY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            importlib.import_module(_METHOD)

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def with_mergekit() -> None:
    """Register the method now if mergekit is loaded, or as soon as it is loaded."""
    if _REGISTRY in sys.modules:
        importlib.import_module(_METHOD)
    elif not any(isinstance(finder, _AfterRegistry) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterRegistry())
