# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network does not know of anatomy: pelvis, head, hands and feet do not bend, and sides are alike.

A rig's pelvis carries both hip joints, its head carries crown, nose and ears, its hands the knuckles and its feet heel
and ball rigidly, so their directions are brought to a constant shape before they are smoothed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rotation import normalize
from ..skeleton import Skeleton

Array = NDArray[np.floating]

_SHAPES = {  # joint that carries a rigid part -> the joints on it; the part counts where all are there
    "head": ("head_top", "nose", "left_ear", "right_ear"),
    "wrist": ("hand", "index", "little", "thumb"),
    "ankle": ("toe", "heel"),
}


def rigid_parts(skeleton: Skeleton, directions: ArrayLike, lengths: ArrayLike | None = None) -> Array:
    """Directions (F, B, 3) with hips opposite to each other, and head, hands and feet of constant shape.

    A part's shape is the median over the frames, alike on both sides, and is turned in each frame to where its bones
    point together. Where the skeleton shows of the head but crown and nose, the nose keeps its angle to the crown.
    Skeletons without these joints come back as they are.

    Args:
        skeleton: B bones.
        directions: (F, B, 3) unit vectors.
        lengths: (B,) of the bones: where an end lies is known equally well, so that long bones tell more; None: all
            tell the same.
    """
    out = np.array(directions, dtype=np.float64)
    hips = _siblings(skeleton, "left_hip", "right_hip")
    if hips is not None:
        left, right = hips
        across = normalize(out[:, left] - out[:, right])
        out[:, left] = np.where(across.any(axis=-1, keepdims=True), across, out[:, left])
        out[:, right] = -out[:, left]
    shaped = _shaped(skeleton)
    for bones, mirrored in shaped:
        weights = np.ones(len(bones)) if lengths is None else np.asarray(lengths, dtype=np.float64)[bones] ** 2
        shape = _shape(np.concatenate([out[:, bones], out[:, mirrored]]))
        out[:, bones] = _turned(shape, out[:, bones], weights / weights.sum())
    face = _siblings(skeleton, "head_top", "nose")
    if face is not None and not any(face[0] in bones for bones, _ in shaped):
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


def even_sides(skeleton: Skeleton, lengths: ArrayLike) -> Array:
    """Lengths (..., B) with left and right alike."""
    out = np.asarray(lengths, dtype=np.float64)
    even: Array = (out + out[..., skeleton.mirror[1:] - 1]) / 2
    return even


def _shaped(skeleton: Skeleton) -> list[tuple[list[int], list[int]]]:
    """Bones of each rigid part of `_SHAPES`, and their counterparts on the other side in the same order."""
    out = []
    for carrier, ends in _SHAPES.items():
        for side in ("",) if carrier in skeleton.joints else ("left_", "right_"):
            joints = [side + end for end in ends]
            if side + carrier in skeleton.joints and all(joint in skeleton.joints for joint in joints):
                bones = [skeleton.index(joint) - 1 for joint in joints]
                out.append((bones, [int(skeleton.mirror[bone + 1]) - 1 for bone in bones]))
    return out


def _shape(directions: Array) -> Array:
    """(n, 3) unit vectors at the median angles between those of all frames (F, n, 3); it may be the mirror image."""
    cosines = np.median(directions @ np.swapaxes(directions, -1, -2), axis=0)
    values, vectors = np.linalg.eigh(cosines)
    count = min(3, len(cosines))
    out = np.zeros((len(cosines), 3))
    out[:, :count] = vectors[:, -count:] * np.sqrt(np.maximum(values[-count:], 0.0))
    return normalize(out)


def _turned(shape: Array, directions: Array, weights: Array) -> Array:
    """The shape (n, 3), or its mirror image if that fits better, turned to the directions (F, n, 3) of every frame.

    The rotation is Kabsch's: of least weighted squares.
    """
    u, size, vt = np.linalg.svd(np.swapaxes(directions * weights[:, None], -1, -2) @ shape)
    sign = np.linalg.det(u) * np.linalg.det(vt)
    if float(sign @ size[:, 2]) < 0:  # the shape's mirror image
        shape, vt, sign = shape * [1.0, 1.0, -1.0], vt * [1.0, 1.0, -1.0], -sign
    u = u * np.stack([np.ones_like(sign), np.ones_like(sign), np.sign(sign)], axis=-1)[:, None]
    return shape @ np.swapaxes(u @ vt, -1, -2)


def _siblings(skeleton: Skeleton, one: str, other: str) -> tuple[int, int] | None:
    """Bone indices of two joints that hang on the same parent."""
    if one not in skeleton.joints or other not in skeleton.joints:
        return None
    a, b = skeleton.index(one), skeleton.index(other)
    return (a - 1, b - 1) if skeleton.parents[a] == skeleton.parents[b] else None
