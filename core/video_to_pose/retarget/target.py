# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig at rest, seen as a body: its joints, how it stands, where its soles are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..rotation import between, normalize
from ..types import Rig
from .bone_map import BoneMap
from .frames import SIDES, Places

Array = NDArray[np.floating]

_NEAR = np.cos(np.radians(30.0))
_SOLE_PER_LEG = 0.092  # ankle above the sole; for rigs that do not stand on their object's origin
_HEEL_PER_FOOT = 0.33  # heel behind the ankle against the ball before it, as on the training body


@dataclass(frozen=True, eq=False)
class Target:
    """A rig at rest in the world, metres.

    Attributes:
        rig: the rig.
        bone_map: which bone plays which part.
        index: bone name -> index.
        rotation: (3, 3) of the armature object.
        scale: of the armature object.
        heads: (N, 3) bone heads.
        rotations: (N, 3, 3) rest rotations.
        places: joint name -> (1, 3), as far as limbs need it.
        standing: (3, 3) turns a person who stands facing -Y to how the rig stands, or lies, and faces.
        floor: height along the standing's up on which its soles stand.
    """

    rig: Rig
    bone_map: BoneMap
    index: dict[str, int]
    rotation: Array
    scale: float
    heads: Array
    rotations: Array
    places: Places
    standing: Array
    floor: float

    def bone(self, part: str) -> int | None:
        """Index of the bone that plays a part."""
        name = self.bone_map.single.get(part)
        return None if name is None else self.index[name]

    @property
    def leg(self) -> float:
        return leg_length(self.places)

    @property
    def ankle_height(self) -> float:
        """Metres from the soles to the ankles."""
        ankles = [float(self.places[f"{side}_ankle"][0] @ self.standing[:, 2]) for side in SIDES]
        return sum(ankles) / 2 - self.floor

    def soles(self, side: str) -> tuple[Array, Array]:
        """(3,) heel and (3,) ball of a flat foot on the floor."""
        up = self.standing[:, 2]
        ankle, ball = self.places[f"{side}_ankle"][0], self.places[f"{side}_toe"][0]
        span = ball - ankle
        level = span - (span @ up) * up
        if np.linalg.norm(level) < 0.3 * np.linalg.norm(span):
            level = -self.standing[:, 1] * np.linalg.norm(span)
        heel = ankle - _HEEL_PER_FOOT * level
        return tuple(point + (self.floor - point @ up) * up for point in (heel, ankle + level))  # type: ignore[return-value]


def leg_length(places: Places) -> float:
    """Mean length of thigh and shank together, metres."""
    spans = [
        np.linalg.norm(places[f"{side}_{a}"] - places[f"{side}_{b}"], axis=-1).mean()
        for side in SIDES
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    return float(np.sum(spans)) / 2


def read_target(rig: Rig, bone_map: BoneMap, knuckles: bool) -> Target:
    """The rig as a body.

    Args:
        rig: at rest.
        bone_map: of its bones.
        knuckles: whether hands are to be told by the fingers' bases; where the rig has none, they are put.

    Raises:
        InputError: the armature object is mirrored or unevenly scaled, or the rig has no width.
    """
    rotation, scale = _object_rotation(rig.world)
    rotations = rotation @ normalize(rig.rest[:, :3, :3], axis=-2)
    heads = rig.rest[:, :3, 3] @ rig.world[:3, :3].T + rig.world[:3, 3]
    index = {name: b for b, name in enumerate(rig.names)}
    places = _places(rig, bone_map, index, heads, rotations, scale, knuckles)
    standing = _standing(places, rotation)
    if knuckles:
        places = _with_knuckles(places, standing)
    return Target(
        rig,
        bone_map,
        index,
        rotation,
        scale,
        heads,
        rotations,
        places,
        standing,
        _floor(rig, places, standing[:, 2]),
    )


def _object_rotation(world: Array) -> tuple[Array, float]:
    """Rotation and uniform scale of an object's world matrix."""
    matrix = world[:3, :3]
    scales = np.linalg.norm(matrix, axis=0)
    skewed = not np.allclose(matrix.T @ matrix, np.diag(scales**2), atol=1e-4 * scales.max() ** 2)
    if skewed or np.linalg.det(matrix) <= 0 or not np.allclose(scales, scales[0], rtol=1e-3):
        raise InputError(
            "The armature object is mirrored or scaled unevenly, so rotations cannot be written to it.",
            "Apply the object's scale (Ctrl+A, Scale) or give all axes the same positive scale.",
            "rig-scale",
        )
    return matrix / scales, float(scales[0])


def _places(
    rig: Rig,
    bone_map: BoneMap,
    index: dict[str, int],
    heads: Array,
    rotations: Array,
    scale: float,
    knuckles: bool,
) -> Places:
    single = bone_map.single

    def head(part: str) -> Array:
        return heads[None, index[single[part]]]

    def tail(part: str) -> Array:
        b = index[single[part]]
        return (heads[b] + rotations[b][:, 1] * rig.lengths[b] * scale)[None]

    def end(part: str, limb: str) -> Array:
        """Where a hand or foot points: to its fingers or toes; to its tail, unless an importer made that up."""
        if part not in single:
            return tail(limb)
        b = index[single[part]]
        children = [c for c, parent in enumerate(rig.parents) if parent == b and "thumb" not in rig.names[c].lower()]
        ends = [heads[c] for c in children if np.linalg.norm(heads[c] - heads[b]) > 0.3 * rig.lengths[b] * scale]
        if ends:
            return np.mean(ends, axis=0)[None]
        span = heads[b] - heads[index[single[limb]]]
        made_up = normalize(span) @ rotations[b][:, 1] < 0.5 and part.endswith("hand")
        return (heads[b] + span)[None] if made_up else tail(part)

    places: dict[str, Array] = {}
    for side in SIDES:
        for joint, part in (
            ("hip", "upper_leg"),
            ("knee", "lower_leg"),
            ("shoulder", "upper_arm"),
            ("elbow", "forearm"),
        ):
            places[f"{side}_{joint}"] = head(f"{side}_{part}")
        for joint, part, limb in (("ankle", "foot", "lower_leg"), ("wrist", "hand", "forearm")):
            places[f"{side}_{joint}"] = head(f"{side}_{part}") if f"{side}_{part}" in single else tail(f"{side}_{limb}")
        toe = f"{side}_toe"
        places[toe] = head(toe) if toe in single else end(f"{side}_foot", f"{side}_lower_leg")
        fingers = [bone_map.fingers.get(f"{side}_{finger}") for finger in ("index", "little")]
        if knuckles and all(fingers):
            for finger, bone in zip(("index", "little"), fingers, strict=True):
                places[f"{side}_{finger}"] = heads[None, index[str(bone)]]
            places[f"{side}_hand"] = (places[f"{side}_index"] + places[f"{side}_little"]) / 2
        else:
            places[f"{side}_hand"] = end(f"{side}_hand", f"{side}_forearm")
    shoulders = [head(f"{s}_shoulder") if f"{s}_shoulder" in single else places[f"{s}_shoulder"] for s in SIDES]
    places["thorax"] = (shoulders[0] + shoulders[1]) / 2
    places["pelvis"] = (places["left_hip"] + places["right_hip"]) / 2
    return places


def _with_knuckles(places: Places, standing: Array) -> Places:
    """Hands without fingers get knuckles as rigs hold them: palms down in a T-pose, inwards where arms hang."""
    out = dict(places)
    for side, outward in zip(SIDES, (standing[:, 0], -standing[:, 0]), strict=True):
        if f"{side}_index" not in out:
            hand, palm = out[f"{side}_hand"], out[f"{side}_hand"] - out[f"{side}_wrist"]
            across = between(outward, normalize(palm)) @ -standing[:, 1] * (0.3 * np.linalg.norm(palm))
            out[f"{side}_index"], out[f"{side}_little"] = hand + across, hand - across
    return out


def _standing(places: Places, rotation: Array) -> Array:
    up = _up(places, rotation)
    for joint in ("hip", "shoulder"):
        left = (places[f"left_{joint}"] - places[f"right_{joint}"])[0]
        x = normalize(left - (left @ up) * up)
        if np.any(x):
            return np.stack([x, np.cross(up, x), up], axis=-1)
    raise InputError(
        "The armature's left and right legs start at one point, as do its arms, so nobody can say which way it faces.",
        "Check the bones' places in Edit Mode.",
        "rig-unmapped",
    )


def _up(places: Places, rotation: Array) -> Array:
    """(3,) world direction in which a rig at rest stands.

    Torsos lean a little at rest, so where one is near the world's Z, or else an axis of the armature, that is meant.
    """
    torso = normalize(places["thorax"] - places["pelvis"])[0]
    axes = [np.array([0.0, 0.0, 1.0]), *rotation.T, *-rotation.T]
    return next((axis for axis in axes if axis @ torso > _NEAR), torso)


def _floor(rig: Rig, places: Places, up: Array) -> float:
    """Where the rig's soles are: at its object's origin, if the ankles are a likely bit above that."""
    ankle = float(sum(places[f"{side}_ankle"][0] @ up for side in SIDES)) / 2
    leg = leg_length(places)
    height = ankle - float(rig.world[:3, 3] @ up)
    return ankle - (height if 0.02 * leg < height < 0.25 * leg else _SOLE_PER_LEG * leg)
