# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the camera before anything is solved: its lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..settings import CameraSettings


def intrinsics(image_size: tuple[int, int], settings: CameraSettings) -> tuple[float, NDArray[np.float64]]:
    """Focal length in pixels and principal point (2,) from the field of view along the longer side.

    Raises:
        InputError: a field of view outside 5 to 150 degrees.
    """
    fov = settings.assumed_fov_degrees if settings.fov_degrees is None else settings.fov_degrees
    if not 5 <= fov <= 150:
        raise InputError(f"A field of view of {fov:g}° is not possible.", "Give 5 to 150 degrees.", "fov-range")
    width, height = image_size
    focal = max(width, height) / 2 / np.tan(np.radians(fov) / 2)
    return float(focal), np.array([width / 2, height / 2])
