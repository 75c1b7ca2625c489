# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion onto a rig by world deltas from its own rest pose.

Each mapped bone is turned by frame(now) · frame(rest)ᵀ. For limbs both frames are built from joints, of the person
and of the rig, so a T-pose, an A-pose or a bent rest all end in the person's pose. For the trunk, where rigs place
their spine joints as they like, the rest is a person standing at ease, turned to where the rig faces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import bones
from ..errors import InputError
from ..rotation import make_continuous, matrix_to_quat, normalize, quat_conjugate, quat_multiply, quat_to_matrix
from ..settings import RetargetSettings
from ..skeleton import BODY_22
from ..types import Motion, Rig, RigAnimation
from .bone_map import BoneMap
from .frames import SIDES, Places, limbs, trunk
from .rig import rest_places

Array = NDArray[np.floating]

_NEAR = np.cos(np.radians(30.0))


def solve(motion: Motion, rig: Rig, bone_map: BoneMap, settings: RetargetSettings) -> RigAnimation:
    """Keys that make the rig do what the person did.

    Args:
        motion: in `BODY_22`.
        rig: target at rest; its object may be moved, turned and uniformly scaled.
        bone_map: which bone plays which part.
        settings: path and scale.

    Returns:
        Rotation keys of every mapped bone (toes rest) and location keys of the hips.

    Raises:
        InputError: the armature object is mirrored or unevenly scaled.
        ValueError: the motion's skeleton is not `BODY_22`.
    """
    if motion.skeleton.joints != BODY_22.joints:
        raise ValueError(f"retargeting needs {BODY_22.name}, not {motion.skeleton.name}")
    R_world_object, scale = _object_rotation(rig.world)
    rest_rotation = R_world_object @ normalize(rig.rest[:, :3, :3], axis=-2)  # world axes
    rest_head = rig.rest[:, :3, 3] @ rig.world[:3, :3].T + rig.world[:3, 3]

    joints = bones.compose(motion.skeleton, motion.directions, motion.lengths, motion.root).astype(np.float64)
    places: Places = {name: joints[:, j] for j, name in enumerate(BODY_22.joints)}
    target = _rest_of(rig, bone_map, rest_head, rest_rotation, scale)
    turns = _turns(places, target, motion, bone_map, _facing(target, R_world_object))

    index = {name: b for b, name in enumerate(rig.names)}
    hips = index[bone_map.single["hips"]]
    hips_head = _hips_path(places, target, turns[bone_map.single["hips"]], rest_head[hips], rig, settings)
    keyed = tuple(sorted(index[name] for name in turns))
    rotations, location = _to_local(rig, keyed, {index[name]: turn for name, turn in turns.items()}, hips, hips_head)
    return RigAnimation(rig, motion.timestamps, keyed, rotations, (hips,), location[:, None])


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


def _rest_of(rig: Rig, bone_map: BoneMap, heads: Array, rotations: Array, scale: float) -> Places:
    """The rig's rest pose as joints (1, 3), as far as limbs need it."""
    index = {name: b for b, name in enumerate(rig.names)}
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
        places[f"{side}_hand"] = end(f"{side}_hand", f"{side}_forearm")
    shoulders = [head(f"{s}_shoulder") if f"{s}_shoulder" in single else places[f"{s}_shoulder"] for s in SIDES]
    places["thorax"] = (shoulders[0] + shoulders[1]) / 2
    places["pelvis"] = (places["left_hip"] + places["right_hip"]) / 2
    return places


def _facing(target: Places, R_world_object: Array) -> Array:
    """(3, 3) rotation that turns a person who stands facing -Y to how the rig stands, or lies, and faces at rest."""
    up = _up(target, R_world_object)
    for joint in ("hip", "shoulder"):
        left = (target[f"left_{joint}"] - target[f"right_{joint}"])[0]
        x = normalize(left - (left @ up) * up)
        if np.any(x):
            return np.stack([x, np.cross(up, x), up], axis=-1)
    raise InputError(
        "The armature's left and right legs start at one point, as do its arms, so nobody can say which way it faces.",
        "Check the bones' places in Edit Mode.",
        "rig-unmapped",
    )


def _up(target: Places, R_world_object: Array) -> Array:
    """(3,) world direction in which a rig at rest stands.

    Torsos lean a little at rest, so where one is near the world's Z, or else an axis of the armature, that is meant.
    """
    torso = normalize(target["thorax"] - target["pelvis"])[0]
    axes = [np.array([0.0, 0.0, 1.0]), *R_world_object.T, *-R_world_object.T]
    return next((axis for axis in axes if axis @ torso > _NEAR), torso)


def _turns(places: Places, target: Places, motion: Motion, bone_map: BoneMap, facing: Array) -> dict[str, Array]:
    """Bone name -> (F, 3, 3) world rotation away from the rig's rest pose."""
    at_ease = {name: place @ facing.T for name, place in rest_places(motion.lengths).items()}
    now, ease = trunk(places), trunk(at_ease)
    middle = {part: now[part] @ np.swapaxes(ease[part], -1, -2) for part in now}
    target_limbs = limbs(target, ease["hips"], ease["chest"], rate=30.0)
    now_limbs = limbs(places, now["hips"], now["chest"], motion.frame_rate)
    # a clavicle's rest differs from rig to rig like a spine's: it is turned from a person at ease too
    ease_limbs = limbs(at_ease, ease["hips"], ease["chest"], rate=30.0)
    out: dict[str, Array] = {bone_map.single["hips"]: middle["hips"]}
    out |= _spread(bone_map.spine, middle["spine"], middle["chest"])
    below_neck = middle["chest"] if bone_map.spine else middle["hips"]
    if "head" in bone_map.single:
        out |= _spread(bone_map.neck, middle["neck"], middle["neck"])
        out[bone_map.single["head"]] = middle["head"]
    else:
        out |= _spread(bone_map.neck, below_neck, middle["head"])
    for part, frame in now_limbs.items():
        if part in bone_map.single:
            rest = ease_limbs[part] if part.endswith("shoulder") else target_limbs[part]
            out[bone_map.single[part]] = frame @ np.swapaxes(rest, -1, -2)
    return out


def _spread(names: tuple[str, ...], low: Array, high: Array) -> dict[str, Array]:
    """A chain's bones share the turn from `low` (first bone) to `high` (last bone); a single bone takes the middle."""
    if not names:
        return {}
    shares = np.linspace(0, 1, len(names)) if len(names) > 1 else np.array([0.5])
    a, b = matrix_to_quat(low), matrix_to_quat(high)
    b = np.where(np.sum(a * b, axis=-1, keepdims=True) < 0, -b, b)
    return {
        name: low if share == 0 else high if share == 1 else quat_to_matrix(normalize((1 - share) * a + share * b))
        for name, share in zip(names, shares, strict=True)
    }


def _hips_path(
    places: Places, target: Places, turn: Array, rest_head: Array, rig: Rig, settings: RetargetSettings
) -> Array:
    """(F, 3) world positions of the hips bone's head."""
    pelvis = places["pelvis"]
    leg_ratio = _leg(target) / _leg(places)
    path = pelvis * [1, 1, leg_ratio]
    if settings.root_motion == "in_place":
        path[:, :2] = 0.0
    elif settings.root_motion == "hips":
        path[:, :2] *= leg_ratio if settings.scale == "leg_length" else 1.0
    else:
        raise ValueError(f"unknown root_motion {settings.root_motion!r}")
    # the clip's origin lies where the rig stands; its floor is the armature object's origin
    origin = np.array([target["pelvis"][0, 0], target["pelvis"][0, 1], rig.world[2, 3]])
    return origin + path + turn @ (rest_head - target["pelvis"][0])


def _leg(places: Places) -> float:
    spans = [
        np.linalg.norm(places[f"{side}_{a}"] - places[f"{side}_{b}"], axis=-1).mean()
        for side in SIDES
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    return float(np.sum(spans)) / 2


def _to_local(
    rig: Rig, keyed: tuple[int, ...], turns: dict[int, Array], hips: int, hips_head: Array
) -> tuple[Array, Array]:
    """World turns to rotations (F, M, 4) in the bones' own axes and the hips' location (F, 3) in its own."""
    frames = len(hips_head)
    R_world_object, _ = _object_rotation(rig.world)
    rest = [matrix_to_quat(normalize(rig.rest[b, :3, :3], axis=-2)) for b in range(len(rig.names))]
    object_quat = matrix_to_quat(R_world_object)
    pose: list[Array] = []  # armature-space rotation of every bone
    local: dict[int, Array] = {}
    location = np.zeros((frames, 3))
    for b, parent in enumerate(rig.parents):
        if parent < 0:
            carried = np.broadcast_to(rest[b], (frames, 4))
        else:
            carried = quat_multiply(pose[parent], quat_multiply(quat_conjugate(rest[parent]), rest[b]))
        if b in turns:
            world_turn = matrix_to_quat(turns[b])
            in_object = quat_multiply(quat_conjugate(object_quat), quat_multiply(world_turn, object_quat))
            posed = quat_multiply(in_object, rest[b])
            local[b] = quat_multiply(quat_conjugate(carried), posed)
            pose.append(posed)
        else:
            pose.append(carried)
        if b == hips:
            to_object = np.linalg.inv(rig.world)
            head = hips_head @ to_object[:3, :3].T + to_object[:3, 3]
            location = np.einsum("fji,fj->fi", quat_to_matrix(carried), head - _rest_place(rig, b, pose))
    rotations = np.stack([make_continuous(local[b]) for b in keyed], axis=1)
    return rotations, location


def _rest_place(rig: Rig, bone: int, pose: list[Array]) -> Array:
    """(F, 3) armature-space head of a bone whose ancestors are posed but which itself is not moved."""
    chain = [bone]
    while rig.parents[chain[-1]] >= 0:
        chain.append(rig.parents[chain[-1]])
    place = np.broadcast_to(rig.rest[chain[-1], :3, 3], (len(pose[0]), 3))
    for child, parent in zip(chain[-2::-1], chain[:0:-1], strict=True):
        rest_parent = rig.rest[parent, :3, :3]
        offset = rest_parent.T @ (rig.rest[child, :3, 3] - rig.rest[parent, :3, 3])
        place = place + np.einsum("fij,j->fi", quat_to_matrix(pose[parent]), offset)
    return place
