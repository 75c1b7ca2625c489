# SPDX-License-Identifier: GPL-3.0-or-later
"""Body parts as orthonormal frames: y along the part, x to the person's left or along the hinge.

The same construction serves the person in the clip and a rig at rest, so a bone's turn is simply
frame(now) · frame(rest)ᵀ, whatever the rest pose is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..rotation import between, frame_from_axes, normalize
from .hinge import hinge_axis, rest_hinge

Array = NDArray[np.floating]
Places = Mapping[str, Array]
"""Joint name -> (F, 3) world positions, with the names of `skeleton.BODY_32`; its details may be missing."""

SIDES = ("left", "right")

_REACH = {"left": (0.7, -0.3, 0.65), "right": (-0.7, -0.3, 0.65)}  # opposite to where no arm points
_STEP = (0.0, -0.8, 0.6)
_ELBOW = {"pull": 0.5, "wander": 0.7}
_KNEE = {"pull": 20.0, "wander": 0.5}


class Hinge(Protocol):
    """How a limb's hinge axis is found: `hinge.hinge_axis` over a clip, `hinge.rest_hinge` on a rig."""

    def __call__(
        self, first: Array, second: Array, at_ease: Array, straight: Array, pull: float, wander: float
    ) -> Array: ...


def over_time(rate: float) -> Hinge:
    """Hinges of a clip with `rate` frames per second."""

    def find(first: Array, second: Array, at_ease: Array, straight: Array, pull: float, wander: float) -> Array:
        return hinge_axis(first, second, at_ease, straight, pull, wander, rate)

    return find


def at_rest(first: Array, second: Array, at_ease: Array, straight: Array, pull: float, wander: float) -> Array:
    """Hinges of a rig's one rest pose, which has no noise."""
    return rest_hinge(first, second, at_ease, straight)


def trunk(places: Places) -> dict[str, Array]:
    """Frames (F, 3, 3) of hips, spine (lower), chest (upper spine), neck and head."""
    hip_line = normalize(places["left_hip"] - places["right_hip"])
    shoulder_line = normalize(places["left_shoulder"] - places["right_shoulder"])
    lower = places["spine"] - places["pelvis"]
    upper = places["thorax"] - places["spine"]
    crown = normalize(places["head_top"] - places["head"])
    if "left_ear" in places:
        head_line = normalize(places["left_ear"] - places["right_ear"])
    else:
        head_line = normalize(np.cross(crown, places["nose"] - places["head"]))
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


def limbs(places: Places, hips: Array, chest: Array, hinge: Hinge) -> dict[str, Array]:
    """Frames (F, 3, 3) of shoulders, arms, hands, legs and feet; x of arms and legs is the hinge axis.

    A hand's z points to the index finger, by the knuckles where there are any, else as it does at ease. A foot's y
    runs from heel to ball and its x to the left, by the heel where there is one, else by the knee's hinge.

    Args:
        places: joints.
        hips, chest: (F, 3, 3) frames that straight limbs take their hinge from.
        hinge: `over_time` or `at_rest`.
    """
    out = {}
    for side in SIDES:
        shoulder, elbow, wrist, hand = (places[f"{side}_{j}"] for j in ("shoulder", "elbow", "wrist", "hand"))
        upper, fore, palm = normalize(elbow - shoulder), normalize(wrist - elbow), normalize(hand - wrist)
        out[f"{side}_shoulder"] = frame_from_axes(shoulder - places["thorax"], chest[..., 1])
        reach = _ahead(chest, _REACH[side])
        axis = hinge(upper, fore, reach, _carried(-chest[..., 1], reach, -chest[..., 0]), **_ELBOW)
        out[f"{side}_upper_arm"] = frame_from_axes(upper, axis)
        out[f"{side}_forearm"] = frame_from_axes(fore, axis)
        if f"{side}_index" in places:
            across = places[f"{side}_index"] - places[f"{side}_little"]
            out[f"{side}_hand"] = frame_from_axes(palm, np.cross(palm, across))
        else:
            out[f"{side}_hand"] = between(fore, palm) @ out[f"{side}_forearm"]

        hip, knee, ankle, toe = (places[f"{side}_{j}"] for j in ("hip", "knee", "ankle", "toe"))
        thigh, shank = normalize(knee - hip), normalize(ankle - knee)
        axis = hinge(thigh, shank, _ahead(hips, _STEP), hips[..., 0], **_KNEE)
        out[f"{side}_upper_leg"] = frame_from_axes(thigh, axis)
        out[f"{side}_lower_leg"] = frame_from_axes(shank, axis)
        if f"{side}_heel" in places:
            heel = places[f"{side}_heel"]
            out[f"{side}_foot"] = frame_from_axes(toe - heel, np.cross(ankle - heel, toe - heel))
        else:
            out[f"{side}_foot"] = frame_from_axes(toe - ankle, axis)
    return out


def flat_sole(ankle: Array, toe: Array, standing: Array) -> Array:
    """(F, 3, 3) frame of a foot that stands flat: y towards the toes but level, z down.

    Args:
        ankle, toe: (F, 3).
        standing: (3, 3) how the person or rig stands: columns left, back, up.
    """
    up = standing[:, 2]
    span = toe - ankle
    level = span - (span @ up)[..., None] * up
    steep = np.linalg.norm(level, axis=-1, keepdims=True) < 0.3 * np.linalg.norm(span, axis=-1, keepdims=True)
    y = normalize(np.where(steep, -standing[:, 1], level))
    return np.stack([np.cross(y, -up), y, np.broadcast_to(-up, y.shape)], axis=-1)


def _ahead(frame: Array, direction: tuple[float, float, float]) -> Array:
    """(F, 3) a direction given in a frame's axes (x left, y up, z front), in the world."""
    return frame @ normalize(np.array(direction))


def _carried(start: Array, end: Array, axis: Array) -> Array:
    """(F, 3) `axis` turned by the shortest way from `start` to `end`."""
    return np.einsum("...ij,...j->...i", between(start, end), axis)
