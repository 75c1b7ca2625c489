# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over time (axis 0) with numpy alone, so that a Take is solved again inside Blender.

Each does to the last bit, but for rounding of sums, what scipy.ndimage's function of that purpose does; tests compare
the two. Even windows reach one frame further back than ahead, as there; what is undone by a second filter (`opened`,
`closed`) reaches the other way then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

_AT_ONCE = 4096  # frames whose windows are laid out in memory together, because clips may last an hour


def correlate(values: ArrayLike, kernel: ArrayLike) -> Array:
    """(F, C) sums of what is around each frame, weighted by a kernel (2 r + 1,); zeros beyond the ends."""
    values, kernel = np.asarray(values, dtype=np.float64), np.asarray(kernel, dtype=np.float64)
    reach, frames = len(kernel) // 2, len(values)
    columns = [np.convolve(column, kernel[::-1])[reach : reach + frames] for column in values.T]
    return np.stack(columns, axis=1) if columns else np.zeros(values.shape)


def median(values: ArrayLike, width: int) -> Array:
    """(F, ...) medians of odd windows; the ends go on as they are."""
    values = np.asarray(values, dtype=np.float64)
    middle = width // 2
    padded = _padded(values, middle, middle)
    out = np.empty(values.shape)
    for first in range(0, len(values), _AT_ONCE):
        last = min(first + _AT_ONCE, len(values))
        windows = sliding_window_view(padded[first : last + 2 * middle], width, axis=0)
        out[first:last] = np.partition(windows, middle, axis=-1)[..., middle]
    return out


def mean(values: ArrayLike, width: int) -> Array:
    """(F,) means of windows; the ends go on as they are."""
    values = np.asarray(values, dtype=np.float64)
    out: Array = sliding_window_view(_padded(values, width // 2, width - width // 2 - 1), width).mean(axis=-1)
    return out


def highest(values: ArrayLike, width: int) -> Array:
    """(F,) maxima of odd windows; the ends go on as they are."""
    values = np.asarray(values, dtype=np.float64)
    out: Array = sliding_window_view(_padded(values, width // 2, width // 2), width).max(axis=-1)
    return out


def opened(values: ArrayLike, width: int) -> Array:
    """(F,) values with every peak that is narrower than a window cut down; the ends go on as they are."""
    values = np.asarray(values, dtype=np.float64)
    back, ahead = width // 2, width - width // 2 - 1
    low = sliding_window_view(_padded(values, back, ahead), width).min(axis=-1)
    out: Array = sliding_window_view(_padded(low, ahead, back), width).max(axis=-1)
    return out


def without_gaps(mask: Mask, width: int) -> Mask:
    """(F, C) with false runs shorter than `width` filled; beyond the ends is false."""
    return _every(_any(mask, width), width)


def without_flashes(mask: Mask, width: int) -> Mask:
    """(F, C) with true runs shorter than `width` taken out; beyond the ends is false."""
    return _any(_every(mask, width), width)


def spread(seeds: Mask, within: Mask) -> Mask:
    """(F, C) the true runs of `within` that hold a seed; seeds are within."""
    between = np.zeros((1, within.shape[1]), dtype=bool)  # so that runs of neighbouring columns do not touch
    line = np.concatenate([within, between]).T.ravel()
    run = np.cumsum(np.diff(line, prepend=False) & line)
    sown = np.zeros(run[-1] + 1 if len(run) else 1, dtype=bool)
    sown[run[np.concatenate([seeds & within, between]).T.ravel()]] = True
    return (sown[run] & line).reshape(within.shape[1], -1).T[:-1]


def _any(mask: Mask, width: int) -> Mask:
    back, ahead = width - width // 2 - 1, width // 2
    windows = sliding_window_view(np.pad(mask, ((back, ahead), (0, 0))), width, axis=0)
    out: Mask = np.logical_or.reduce(windows, axis=-1)
    return out


def _every(mask: Mask, width: int) -> Mask:
    back, ahead = width // 2, width - width // 2 - 1
    windows = sliding_window_view(np.pad(mask, ((back, ahead), (0, 0))), width, axis=0)
    out: Mask = np.logical_and.reduce(windows, axis=-1)
    return out


def _padded(values: Array, before: int, after: int) -> Array:
    return np.pad(values, ((before, after), *((0, 0),) * (values.ndim - 1)), mode="edge")
