# SPDX-License-Identifier: GPL-3.0-or-later
"""Zero-lag smoothing over time with constants in seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d


def gaussian_sigma_s(cutoff_hz: float) -> float:
    """Width of the Gaussian whose gain falls to 1/√2 at `cutoff_hz`, in seconds."""
    return float(np.sqrt(np.log(2)) / (2 * np.pi * cutoff_hz))


def smooth(values: ArrayLike, rate: float, cutoff_hz: float, weights: ArrayLike | None = None) -> NDArray[np.floating]:
    """Weighted Gaussian average over time (axis 0), without lag; the ends go on as they came (odd reflection).

    Args:
        values: (F, ...) finite.
        rate: frames per second.
        cutoff_hz: where the gain is 1/√2; 0 or less leaves the values alone.
        weights: broadcasts against `values`; what is seen badly follows its neighbours.

    Returns:
        (F, ...) float64.
    """
    values = np.asarray(values, dtype=np.float64)
    if cutoff_hz <= 0 or len(values) < 2:
        return values.copy()
    sigma = gaussian_sigma_s(cutoff_hz) * rate
    reach = min(len(values) - 1, int(4 * sigma) + 1)
    around = [(reach, reach)] + [(0, 0)] * (values.ndim - 1)
    padded = np.pad(values, around, mode="reflect", reflect_type="odd")
    if weights is None:
        return gaussian_filter1d(padded, sigma, axis=0, mode="nearest")[reach:-reach]
    weight = np.pad(np.broadcast_to(np.asarray(weights, dtype=np.float64), values.shape) + 1e-6, around, mode="reflect")
    total = gaussian_filter1d(weight, sigma, axis=0, mode="nearest")
    return (gaussian_filter1d(padded * weight, sigma, axis=0, mode="nearest") / total)[reach:-reach]
