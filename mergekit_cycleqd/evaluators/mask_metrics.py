"""The field's metrics of masks, as PySODMetrics computes them, as means over images.

Structure measure (Fan et al., ICCV 2017), E-measure (Fan et al., IJCAI 2018) and weighted F-measure
(Margolin et al., CVPR 2014) use each pixel's probability. IoU and Dice use the pixels with a
probability above one half. All lie between 0 and 1, and higher is better.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRICS = ("iou", "dice", "structure", "e_measure", "weighted_f", "1-mae")
_EXTRA = "pip install 'mergekit-cycleqd[vision]'"

MaskPair = tuple[NDArray[np.floating], NDArray[np.bool_]]
"""A model's mask and the true mask, both (height, width)."""


def missing_library() -> str | None:
    """Say in a line what must be installed for the metrics; None if nothing is missing."""
    try:
        import py_sod_metrics  # noqa: F401
    except ImportError as error:
        return f"the metrics of masks need PySODMetrics ({error}): {_EXTRA}"
    return None


def score_masks(metric: str, pairs: Iterable[MaskPair]) -> float:
    """Compute the mean of a metric over images: see `score_each_mask`."""
    return score_each_mask(metric, pairs)[0]


def score_each_mask(metric: str, pairs: Iterable[MaskPair]) -> tuple[float, NDArray[np.float64]]:
    """Compute the mean of a metric over images, and its value for each image.

    Args:
        metric: One of `METRICS`.
        pairs: At least one pair. No true mask may be empty.

    Returns:
        The mean as PySODMetrics gives it, and (images,) values.
    """
    counter = _counter(metric)
    for found, truth in pairs:
        counter.step(found, truth, normalize=False)
    results = counter.get_results()
    values = np.array(_kept(metric, counter), np.float64)
    if metric in ("iou", "dice"):
        return float(results[metric]["binary"]), values
    if metric == "e_measure":
        return float(results["em"]["curve"].mean()), values.mean(axis=1)  # over 256 thresholds
    value = float(next(iter(results.values())))
    return (1 - value, 1 - values) if metric == "1-mae" else (value, values)


def _kept(metric: str, counter: Any) -> Any:
    """What PySODMetrics keeps of each image until it is asked for the mean."""
    if metric in ("iou", "dice"):
        return counter._metric_handlers[metric].binary_results
    names = {
        "structure": "sms",
        "e_measure": "changeable_ems",
        "weighted_f": "weighted_fms",
        "1-mae": "maes",
    }
    return getattr(counter, names[metric])


def _counter(metric: str) -> Any:
    import py_sod_metrics as sod  # a second to import

    if metric in ("iou", "dice"):
        kind = sod.IOUHandler if metric == "iou" else sod.DICEHandler
        handler = kind(with_dynamic=False, with_adaptive=False, with_binary=True)
        return sod.FmeasureV2(metric_handlers={metric: handler})
    kinds = {
        "structure": sod.Smeasure,
        "e_measure": sod.Emeasure,
        "weighted_f": sod.WeightedFmeasure,
        "1-mae": sod.MAE,
    }
    return kinds[metric]()
