# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network does not know of anatomy: pelvis and head do not bend.

A rig's pelvis carries both hip joints and its head carries nose and crown rigidly, so their directions are brought
to a constant shape before they are smoothed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rotation import normalize
from ..skeleton import Skeleton

Array = NDArray[np.floating]


def rigid_parts(skeleton: Skeleton, directions: ArrayLike) -> Array:
    """Directions (F, B, 3) with hips opposite to each other and the nose at a constant angle to the crown.

    Skeletons without these joints come back as they are.
    """
    out = np.array(directions, dtype=np.float64)
    hips = _siblings(skeleton, "left_hip", "right_hip")
    if hips is not None:
        left, right = hips
        across = normalize(out[:, left] - out[:, right])
        out[:, left] = np.where(across.any(axis=-1, keepdims=True), across, out[:, left])
        out[:, right] = -out[:, left]
    face = _siblings(skeleton, "head_top", "nose")
    if face is not None:
        crown, nose = face
        cosine = np.sum(out[:, crown] * out[:, nose], axis=-1)
        angle = np.median(np.arccos(np.clip(cosine, -1, 1)))
        forward = normalize(out[:, nose] - cosine[:, None] * out[:, crown])
        rigid = np.cos(angle) * out[:, crown] + np.sin(angle) * forward
        out[:, nose] = np.where(forward.any(axis=-1, keepdims=True), rigid, out[:, nose])
    return out


def even_hips(skeleton: Skeleton, lengths: ArrayLike) -> Array:
    """Lengths (B,) with both hips as far from the pelvis, which is their middle."""
    out = np.array(lengths, dtype=np.float64)
    hips = _siblings(skeleton, "left_hip", "right_hip")
    if hips is not None:
        out[list(hips)] = out[list(hips)].mean()
    return out


def _siblings(skeleton: Skeleton, one: str, other: str) -> tuple[int, int] | None:
    """Bone indices of two joints that hang on the same parent."""
    if one not in skeleton.joints or other not in skeleton.joints:
        return None
    a, b = skeleton.index(one), skeleton.index(other)
    return (a - 1, b - 1) if skeleton.parents[a] == skeleton.parents[b] else None
