"""One part of the command, in the process that `__main__.py` starts for it."""

from __future__ import annotations

import argparse
import faulthandler
import signal
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.gpu.results import Results
from benchmarks.gpu.setting import Setting


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    faulthandler.register(signal.SIGTERM, chain=True)  # the log says where it took too long
    measure: Callable[[Setting], None] = import_module(f"benchmarks.gpu.{options.part}").measure
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(options.device, options.tiny, Path(folder), Results(options.out))
        setting.use_own_cache()
        measure(setting)


if __name__ == "__main__":
    main()
