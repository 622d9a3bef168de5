"""The command `dequantize`: save a quantised model in 16 bits."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model")
@click.argument("out_path", type=click.Path(path_type=Path))
def dequantize(model: str, out_path: Path) -> None:
    """Save MODEL, a folder or a Hub id, in 16 bits in the folder OUT_PATH.

    Takes FP8, and mxfp4 as gpt-oss has it. The dtype is that of MODEL's config.json.
    """
    from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
    from mergekit_cycleqd.experts.dequantize import dequantize_into

    dequantize_into(Checkpoint.open(model), out_path)
