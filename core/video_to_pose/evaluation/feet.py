# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet on the floor: when they really are planted, how far planted ones slide, how deep they sink."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

PLANTED_SPEED_M_S = 0.2
PLANTED_HEIGHT_M = 0.04


def true_contacts(points: ArrayLike, resting: ArrayLike, frame_rate: float) -> NDArray[np.bool_]:
    """When points of exact feet are planted: slower than `PLANTED_SPEED_M_S` and less than `PLANTED_HEIGHT_M` raised.

    Args:
        points: (F, C, 3) metres, z up.
        resting: (C,) heights of the points while the foot is flat on the floor, metres.
        frame_rate: frames per second.

    Returns:
        (F, C).
    """
    points = np.asarray(points, dtype=np.float64)
    low = points[..., 2] - np.asarray(resting) < PLANTED_HEIGHT_M
    if len(points) < 2:
        return low
    speed = np.linalg.norm(np.gradient(points, axis=0), axis=-1) * frame_rate
    return low & (speed < PLANTED_SPEED_M_S)


def foot_slide(points: ArrayLike, contacts: ArrayLike, frame_rate: float) -> float:
    """Mean speed in cm/s over the floor of what is in contact, over pairs of frames that are both in contact.

    Args:
        points: (F, C, 3) metres, z up.
        contacts: (F, C) true while in contact.
        frame_rate: frames per second.

    Returns:
        0 where nothing ever is in contact.
    """
    points, contacts = np.asarray(points, dtype=np.float64), np.asarray(contacts, dtype=bool)
    both = contacts[1:] & contacts[:-1]
    speed = np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1) * frame_rate * 100
    return float(speed[both].mean()) if both.any() else 0.0


def penetration(points: ArrayLike, floor: ArrayLike = 0.0) -> float:
    """Deepest point below the floor, centimetres; 0 when nothing is.

    Args:
        points: (F, C, 3) metres, z up.
        floor: its height, or (C,) the least height of each point.
    """
    return float(penetrations(points, floor).max(initial=0.0))


def penetrations(points: ArrayLike, floor: ArrayLike = 0.0) -> NDArray[np.float64]:
    """(F,) as `penetration`, of every frame."""
    depth = np.asarray(floor, dtype=np.float64) - np.asarray(points)[..., 2]
    return 100 * depth.max(axis=1, initial=0.0)
