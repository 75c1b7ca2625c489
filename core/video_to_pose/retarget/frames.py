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

_ELBOW_PRIOR, _KNEE_PRIOR = 0.01, 0.1  # weight of the straight limb's hinge against sin² of the flexion
_MEMORY = 0.1  # weight of the hinge over neighbouring frames, likewise
_MEMORY_S = 0.25
_BENT_DEG = (15.0, 45.0)  # a limb flexed more than this is bent, whichever way; less, it may be noise


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


_REACH = {"left": (0.7, -0.3, 0.65), "right": (-0.7, -0.3, 0.65)}  # opposite to where no arm points
_STEP = (0.0, -0.8, 0.6)


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
        reach = _ahead(chest, _REACH[side])
        hinge = hinge_axis(upper, fore, reach, _carried(-chest[..., 1], reach, -chest[..., 0]), _ELBOW_PRIOR, rate)
        out[f"{side}_upper_arm"] = frame_from_axes(upper, hinge)
        out[f"{side}_forearm"] = frame_from_axes(fore, hinge)
        out[f"{side}_hand"] = between(fore, palm) @ out[f"{side}_forearm"]

        hip, knee, ankle, toe = (places[f"{side}_{j}"] for j in ("hip", "knee", "ankle", "toe"))
        thigh, shank = normalize(knee - hip), normalize(ankle - knee)
        hinge = hinge_axis(thigh, shank, _ahead(hips, _STEP), hips[..., 0], _KNEE_PRIOR, rate)
        out[f"{side}_upper_leg"] = frame_from_axes(thigh, hinge)
        out[f"{side}_lower_leg"] = frame_from_axes(shank, hinge)
        out[f"{side}_foot"] = frame_from_axes(toe - ankle, hinge)
    return out


def _ahead(frame: Array, direction: tuple[float, float, float]) -> Array:
    """(F, 3) a direction given in a frame's axes (x left, y up, z front), in the world."""
    return frame @ normalize(np.array(direction))


def _carried(start: Array, end: Array, axis: Array) -> Array:
    """(F, 3) `axis` turned by the shortest way from `start` to `end`."""
    return np.einsum("...ij,...j->...i", between(start, end), axis)


def hinge_axis(first: Array, second: Array, at_ease: Array, straight: Array, prior: float, rate: float) -> Array:
    """(F, 3) axis about which a limb's second part is flexed against its first, steady when the limb is straight.

    The axis is the normal of the two parts. Near a straight limb it is taken from frames around, and failing those
    from `straight`, carried along as the limb swings away from `at_ease` by the shortest way; so it never flips and
    noise cannot roll a straight limb. A limb that seems bent a little the wrong way is taken for straight.

    Args:
        first, second: (F, 3) unit directions of the limb's parts.
        at_ease: (F, 3) where `first` points when `straight` is the hinge; far from its opposite, where no limb goes,
            the carrying is steady.
        straight: (F, 3) hinge of the straight limb that points along `at_ease`.
        prior: weight of `straight` against sin² of the flexion.
        rate: frames per second.
    """
    rest_axis = _carried(at_ease, first, straight)
    other_axis = np.cross(first, rest_axis)
    normal = np.cross(first, second)  # as long as the sine of the flexion
    plane = np.stack([np.sum(normal * axis, axis=-1) for axis in (rest_axis, other_axis)], axis=-1)
    sine = np.linalg.norm(plane, axis=-1, keepdims=True)
    cosine = np.sum(first * second, axis=-1, keepdims=True)
    bent = np.clip((np.degrees(np.arctan2(sine, cosine)) - _BENT_DEG[0]) / (_BENT_DEG[1] - _BENT_DEG[0]), 0, 1)
    backwards = (1 - plane[..., :1] / np.maximum(sine, 1e-9)) / 2  # 0 … 1: how much the normal opposes the prior
    weighted = plane * sine * (1 - backwards * (1 - bent))  # direction weighted by sin²
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
