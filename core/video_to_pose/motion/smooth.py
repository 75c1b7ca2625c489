# SPDX-License-Identifier: GPL-3.0-or-later
"""Zero-lag smoothing over time with constants in seconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rotation import normalize
from . import filters

_GLITCH_S = 0.07  # what comes and goes within twice this, and turns further than the next, is a glitch
_GLITCH_DEGREES = 60.0
_COLUMNS = 8  # done at once, because it takes many times their memory and clips may last an hour


def gaussian_sigma_s(cutoff_hz: float) -> float:
    """Width of the Gaussian whose gain falls to 1/√2 at `cutoff_hz`, in seconds."""
    return float(np.sqrt(np.log(2)) / (2 * np.pi * cutoff_hz))


def smooth(values: ArrayLike, rate: float, cutoff_hz: float, weights: ArrayLike | None = None) -> NDArray[np.floating]:
    """Weighted Gaussian smoothing over time (axis 0), without lag; straight lines stay straight to their ends.

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
    return _blur(values, gaussian_sigma_s(cutoff_hz) * rate, weights)


def smooth_directions(
    directions: ArrayLike, rate: float, cutoff_hz: float, confidence: ArrayLike
) -> NDArray[np.floating]:
    """Unit directions (F, B, 3) without jitter and one-frame glitches, fast moves kept.

    A Gaussian applied to what a first one left over as well: its gain is 1/√2 at the cutoff like the plain one's, but
    flat below, so that a blow at half the cutoff loses half as much of its reach.

    Args:
        directions: unit vectors.
        rate: frames per second.
        cutoff_hz: where the gain is 1/√2; 0 or less leaves the directions alone.
        confidence: (F, B) 0 … 1; what is seen badly follows its neighbours.
    """
    directions = np.asarray(directions, dtype=np.float64)
    if cutoff_hz <= 0 or len(directions) < 2:
        return directions.copy()
    trust = (0.05 + np.asarray(confidence)) / (1.0 + (_surprise(directions, rate) / _GLITCH_DEGREES) ** 8)
    sigma = gaussian_sigma_s(cutoff_hz) * rate * _SHARPER
    once = _blur(directions, sigma, trust[..., None])
    return _unit(once + _blur(directions - once, sigma, trust[..., None]), directions)


_SHARPER = float(np.sqrt(-2 * np.log(1 - np.sqrt(1 - np.sqrt(0.5))) / np.log(2)))
"""g (2 - g) = 1/√2 for g = 1 - √(1 - 1/√2): how much wider than the plain Gaussian that is."""


def bridge(directions: ArrayLike, seen: ArrayLike) -> NDArray[np.floating]:
    """Directions (F, B, 3) that turn evenly from the last seen frame to the next where `seen` (F,) is false.

    Before the first and after the last seen frame they stay; where nothing is ever seen, nothing changes.
    """
    directions, seen = np.array(directions, dtype=np.float64), np.asarray(seen, dtype=bool)
    known = np.flatnonzero(seen)
    if not len(known) or seen.all():
        return directions
    frames = np.flatnonzero(~seen)
    after = np.searchsorted(known, frames)
    a = known[np.maximum(after - 1, 0)]
    b = known[np.minimum(after, len(known) - 1)]
    a = np.where(after == 0, b, a)
    share = ((frames - a) / np.maximum(b - a, 1))[:, None, None]
    start, end = directions[a], directions[b]
    angle = np.arccos(np.clip(np.sum(start * end, axis=-1, keepdims=True), -1, 1))
    sine = np.sin(angle)
    small = sine < 1e-4
    safe = np.where(small, 1.0, sine)
    from_start = np.where(small, 1 - share, np.sin((1 - share) * angle) / safe)
    from_end = np.where(small, share, np.sin(share * angle) / safe)
    directions[frames] = _unit(from_start * start + from_end * end, start)
    return directions


def _surprise(directions: NDArray[np.floating], rate: float) -> NDArray[np.floating]:
    """(F, B) degrees between each direction and the median of its close neighbours in time."""
    width = 2 * max(1, round(_GLITCH_S * rate)) + 1
    usual = normalize(filters.median(directions, width))
    return np.degrees(np.arccos(np.clip(np.sum(directions * usual, axis=-1), -1, 1)))


def _unit(vectors: NDArray[np.floating], fallback: NDArray[np.floating]) -> NDArray[np.floating]:
    """Unit vectors; where opposite directions cancelled out, the fallback's."""
    short = np.linalg.norm(vectors, axis=-1, keepdims=True) < 1e-6
    return np.where(short, fallback, normalize(vectors))


def _blur(values: NDArray[np.floating], sigma: float, weights: ArrayLike | None) -> NDArray[np.floating]:
    """Value at each frame of the straight line fitted to what is around it, by Gaussian weights (sigma in frames).

    With even weights, away from the ends, that is the Gaussian average; at the ends and beside gaps the line knows the
    trend, where an average would be drawn to one side.
    """
    flat = values.reshape(len(values), -1)
    weight = np.ones_like(flat)
    if weights is not None:
        weight = np.broadcast_to(np.asarray(weights, dtype=np.float64), values.shape).reshape(flat.shape)
    reach = int(4 * sigma) + 1
    offset = np.arange(-reach, reach + 1) / sigma
    kernel = np.exp(-(offset**2) / 2)
    out = np.empty(flat.shape)
    for first in range(0, flat.shape[1], _COLUMNS):
        block = slice(first, first + _COLUMNS)
        out[:, block] = _lines(flat[:, block], weight[:, block] + 1e-6, kernel, offset)
    return out.reshape(values.shape)


def _lines(
    flat: NDArray[np.floating], weight: NDArray[np.floating], kernel: NDArray[np.floating], offset: NDArray[np.floating]
) -> NDArray[np.floating]:
    """`_blur` of columns (F, C)."""

    def moment(data: NDArray[np.floating], power: int) -> NDArray[np.floating]:
        return filters.correlate(data, kernel * offset**power)

    s0, s1, s2 = (moment(weight, power) for power in (0, 1, 2))
    t0, t1 = (moment(weight * flat, power) for power in (0, 1))
    spread = s0 * s2 - s1**2
    line = (s2 * t0 - s1 * t1) / np.maximum(spread, 1e-300)
    return np.where(spread > 1e-9 * s0**2, line, t0 / s0)
