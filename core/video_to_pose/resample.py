# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion at other moments than captured ones, so that keys fall on whole frames of a scene (numpy only)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .rotation import normalize
from .types import Motion

Array = NDArray[np.floating[Any]]


def at_rate(motion: Motion, rate: float) -> Motion:
    """The motion at `rate` moments a second from its first moment on, as long as it lasts."""
    length = float(motion.timestamps[-1] - motion.timestamps[0])
    count = int(np.floor(length * rate + 1e-6)) + 1
    return at(motion, motion.timestamps[0] + np.arange(count) / rate)


def at(motion: Motion, timestamps: ArrayLike) -> Motion:
    """The motion at given moments (n,), seconds; before its first and after its last frame it stands still.

    Paths and directions run smoothly through the captured frames; contacts are those of the nearest one.
    """
    times = np.asarray(timestamps, dtype=np.float64)
    if motion.frame_count < 2:
        return _taken(motion, np.zeros(len(times), dtype=np.intp), times)
    place = np.interp(times, motion.timestamps, np.arange(motion.frame_count))
    before = np.clip(place.astype(np.intp), 0, motion.frame_count - 2)
    share = place - before
    sharp = normalize(_through(motion.directions, before, share))
    nearest = _taken(motion, np.round(place).astype(np.intp), times)
    return replace(
        nearest,
        directions=np.where(sharp.any(axis=-1, keepdims=True), sharp, nearest.directions),
        root=_through(motion.root, before, share),
        confidence=_between(motion.confidence, before, share),
    )


def _taken(motion: Motion, frames: NDArray[np.intp], times: NDArray[np.float64]) -> Motion:
    return replace(
        motion,
        timestamps=times,
        directions=motion.directions[frames],
        root=motion.root[frames],
        confidence=motion.confidence[frames],
        contacts=motion.contacts[frames],
    )


def _between(values: Array, before: NDArray[np.intp], share: Array) -> Array:
    s = share.reshape(-1, *(1,) * (values.ndim - 1))
    return (1 - s) * values[before] + s * values[before + 1]


def _through(values: Array, before: NDArray[np.intp], share: Array) -> Array:
    """Cubic course through frames (F, ...) whose slope at each is that between its neighbours; (n, ...)."""
    values = values.astype(np.float64)
    s = share.reshape(-1, *(1,) * (values.ndim - 1))
    a, b = values[before], values[before + 1]
    leaving = (b - values[np.maximum(before - 1, 0)]) / np.where(before > 0, 2.0, 1.0).reshape(s.shape)
    last = before + 2 > len(values) - 1
    arriving = (values[np.minimum(before + 2, len(values) - 1)] - a) / np.where(last, 1.0, 2.0).reshape(s.shape)
    cubic = (2 * s**3 - 3 * s**2 + 1) * a + (s**3 - 2 * s**2 + s) * leaving
    return cubic + (3 * s**2 - 2 * s**3) * b + (s**3 - s**2) * arriving
