# SPDX-License-Identifier: GPL-3.0-or-later
"""How feet and hands are turned: frames from three points that do not move against each other, and angles of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rotation import frame_from_axes, normalize

Array = NDArray[np.floating]


def foot_frames(ankle: ArrayLike, heel: ArrayLike, toe: ArrayLike) -> Array:
    """(..., 3, 3) frames of feet: y from the heel to the toe, x near the way from the heel up to the ankle.

    Args:
        ankle, heel, toe: (..., 3) places; the toe may be its base or its tip, if it is the same on both sides of a
            comparison.
    """
    heel = np.asarray(heel)
    return frame_from_axes(np.asarray(toe) - heel, np.asarray(ankle) - heel)


def hand_frames(wrist: ArrayLike, index: ArrayLike, little: ArrayLike) -> Array:
    """(..., 3, 3) frames of hands: y from the wrist to between the knuckles, x near the way from little to index.

    Args:
        wrist, index, little: (..., 3) places of the wrist and of the two knuckles.
    """
    index, little = np.asarray(index), np.asarray(little)
    return frame_from_axes((index + little) / 2 - np.asarray(wrist), index - little)


def turn_degrees(a: ArrayLike, b: ArrayLike) -> Array:
    """(...) angle of the rotation from frames `a` (..., 3, 3) to frames `b`, degrees, 0 … 180."""
    chord = np.linalg.norm(np.asarray(a) - np.asarray(b), axis=(-2, -1)) / np.sqrt(8)  # sine of half the angle
    return np.degrees(2 * np.arcsin(np.clip(chord, 0.0, 1.0)))


def angle_degrees(a: ArrayLike, b: ArrayLike) -> Array:
    """(...) angle between directions `a` (..., 3) and `b` of any length, degrees, 0 … 180."""
    chord = np.linalg.norm(normalize(a) - normalize(b), axis=-1) / 2
    return np.degrees(2 * np.arcsin(np.clip(chord, 0.0, 1.0)))
