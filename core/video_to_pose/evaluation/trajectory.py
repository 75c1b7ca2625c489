# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a person's path through the world is found: paths (F, 3) in metres, z up."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]

SHORTEST_PATH_M = 1.0
"""Who covers less stays on the spot: a share of such a path says nothing."""


def aligned(predicted: ArrayLike, true: ArrayLike) -> Array:
    """The predicted path moved and turned about the vertical as it fits the true one best, by least squares.

    Nothing else is forgiven: neither size nor a tilted up. Where the world's origin lies and where its y points are
    conventions; which way is up and how far things are apart are not.
    """
    predicted, true = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    p, t = predicted - predicted.mean(axis=0), true - true.mean(axis=0)
    yaw = np.arctan2((p[:, 0] * t[:, 1] - p[:, 1] * t[:, 0]).sum(), (p[:, :2] * t[:, :2]).sum())
    cos, sin = np.cos(yaw), np.sin(yaw)
    return p @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]]) + true.mean(axis=0)


def path_length(path: ArrayLike) -> float:
    """Way over the floor, metres: ups and downs are not counted, so that bobbing on the spot is no way."""
    return float(np.linalg.norm(np.diff(np.asarray(path)[:, :2], axis=0), axis=-1).sum())


def path_error_m(predicted: ArrayLike, true: ArrayLike) -> float:
    """Mean distance of the `aligned` path from the true one, metres."""
    return float(np.linalg.norm(aligned(predicted, true) - np.asarray(true), axis=-1).mean())


def path_error_percent(predicted: ArrayLike, true: ArrayLike) -> float:
    """`path_error_m` in percent of the true path's length over the floor; NaN up to `SHORTEST_PATH_M`."""
    length = path_length(true)
    return 100 * path_error_m(predicted, true) / length if length > SHORTEST_PATH_M else float("nan")
