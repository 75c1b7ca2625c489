# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet on the floor: how far planted ones slide, how deep they sink."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


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


def penetration(points: ArrayLike, floor: float = 0.0) -> float:
    """Deepest point below the floor, centimetres; 0 when nothing is.

    Args:
        points: (F, C, 3) metres, z up.
        floor: its height.
    """
    return 100 * max(0.0, float(floor - np.asarray(points)[..., 2].min()))
