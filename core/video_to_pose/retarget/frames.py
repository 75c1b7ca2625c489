# SPDX-License-Identifier: GPL-3.0-or-later
"""Body parts as orthonormal frames: y along the part, x to the person's left or along the hinge.

The same construction serves the person in the clip and a rig at rest, so a bone's turn is simply
frame(now) · frame(rest)ᵀ, whatever the rest pose is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..rotation import between, frame_from_axes, normalize

Array = NDArray[np.floating]
Places = Mapping[str, Array]
"""Joint name -> (F, 3) world positions, with the names of `skeleton.BODY_22`."""

SIDES = ("left", "right")

_ELBOW_PRIOR, _KNEE_PRIOR = 0.003, 0.05  # weight of the straight limb's hinge against sin² of the flexion
_MEMORY = 0.1  # weight of the hinge over neighbouring frames, likewise
_MEMORY_S = 0.25


def trunk(places: Places) -> dict[str, Array]:
    """Frames (F, 3, 3) of hips, spine (lower), chest (upper spine), neck and head."""
    hip_line = normalize(places["left_hip"] - places["right_hip"])
    shoulder_line = normalize(places["left_shoulder"] - places["right_shoulder"])
    lower = places["spine"] - places["pelvis"]
    upper = places["thorax"] - places["spine"]
    crown = normalize(places["head_top"] - places["head"])
    face = places["nose"] - places["head"]
    head_line = normalize(np.cross(crown, face))
    return {
        "hips": _lateral_frame(hip_line, lower),
        "spine": frame_from_axes(lower, hip_line + shoulder_line),
        "chest": frame_from_axes(upper, shoulder_line),
        "neck": frame_from_axes(places["head"] - places["thorax"], shoulder_line + head_line),
        "head": frame_from_axes(crown, head_line),
    }


def _lateral_frame(lateral: Array, near_y: Array) -> Array:
    """Frame whose x is exactly `lateral` and whose y is near `near_y`."""
    z = normalize(np.cross(lateral, near_y))
    return np.stack([lateral, np.cross(z, lateral), z], axis=-1)


def limbs(places: Places, hips: Array, chest: Array, rate: float) -> dict[str, Array]:
    """Frames (F, 3, 3) of shoulders, arms, hands, legs and feet; x of arms and legs is the hinge axis.

    Args:
        places: joints.
        hips, chest: (F, 3, 3) frames that straight limbs take their hinge from.
        rate: frames per second.
    """
    out = {}
    for side in SIDES:
        shoulder, elbow, wrist, hand = (places[f"{side}_{j}"] for j in ("shoulder", "elbow", "wrist", "hand"))
        upper, fore, palm = normalize(elbow - shoulder), normalize(wrist - elbow), normalize(hand - wrist)
        out[f"{side}_shoulder"] = frame_from_axes(shoulder - places["thorax"], chest[..., 1])
        hinge = hinge_axis(upper, fore, -chest[..., 1], -chest[..., 0], _ELBOW_PRIOR, rate)
        out[f"{side}_upper_arm"] = frame_from_axes(upper, hinge)
        out[f"{side}_forearm"] = frame_from_axes(fore, hinge)
        out[f"{side}_hand"] = between(fore, palm) @ out[f"{side}_forearm"]

        hip, knee, ankle, toe = (places[f"{side}_{j}"] for j in ("hip", "knee", "ankle", "toe"))
        thigh, shank = normalize(knee - hip), normalize(ankle - knee)
        hinge = hinge_axis(thigh, shank, -hips[..., 1], hips[..., 0], _KNEE_PRIOR, rate)
        out[f"{side}_upper_leg"] = frame_from_axes(thigh, hinge)
        out[f"{side}_lower_leg"] = frame_from_axes(shank, hinge)
        out[f"{side}_foot"] = frame_from_axes(toe - ankle, hinge)
    return out


def hinge_axis(first: Array, second: Array, down: Array, straight: Array, prior: float, rate: float) -> Array:
    """(F, 3) axis about which a limb's second part is flexed against its first, steady when the limb is straight.

    The axis is the normal of the two parts. Near a straight limb it is taken from frames around, and failing those
    from `straight`, carried along as the limb swings away from `down` by the shortest way; so it never flips and
    noise cannot roll a straight limb.

    Args:
        first, second: (F, 3) unit directions of the limb's parts.
        down: (F, 3) where the limb hangs at ease.
        straight: (F, 3) hinge of the hanging straight limb.
        prior: weight of `straight` against sin² of the flexion.
        rate: frames per second.
    """
    rest_axis = np.einsum("...ij,...j->...i", between(down, first), straight)
    other_axis = np.cross(first, rest_axis)
    normal = np.cross(first, second)  # as long as the sine of the flexion
    sine = np.linalg.norm(normal, axis=-1, keepdims=True)
    plane = np.concatenate([np.sum(normal * axis, axis=-1, keepdims=True) for axis in (rest_axis, other_axis)], axis=-1)
    weighted = plane * sine  # direction weighted by sin²
    around = _blur(weighted, _MEMORY_S * rate) + prior * np.array([1.0, 0.0])
    blended = weighted + _MEMORY * normalize(around) * np.maximum(np.linalg.norm(around, axis=-1, keepdims=True), prior)
    turn = normalize(blended + 1e-9 * np.array([1.0, 0.0]))
    return turn[..., :1] * rest_axis + turn[..., 1:] * other_axis


def _blur(values: Array, sigma: float) -> Array:
    """Gaussian average over time (axis 0), the ends held; numpy only."""
    reach = min(int(3 * sigma), len(values) - 1)
    if reach < 1:
        return values
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(values, [(reach, reach)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    return np.apply_along_axis(np.convolve, 0, padded, kernel / kernel.sum(), mode="valid")
