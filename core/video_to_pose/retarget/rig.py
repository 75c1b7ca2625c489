# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig of our own, made to the measured person: T-pose, facing -Y, standing on z = 0, metres.

Bones carry the names that MotionBuilder, Unity, Unreal and Mixamo know (Hips, Spine, LeftArm, …).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import bones
from ..rotation import normalize
from ..skeleton import BODY_22, BODY_32, Skeleton
from ..types import Motion, Rig
from .bone_map import BoneMap
from .frames import Places, at_rest, limbs, trunk

Array = NDArray[np.floating]

_SOLE_PER_LEG = 0.092  # ankle above the sole against thigh + shank, as on the body lifters are trained with

_REST_LEFT = {  # directions of a person at ease in a T-pose; trunk, feet and hands measured on the training body
    "hip": (1, 0, 0),
    "knee": (0, 0, -1),
    "ankle": (0, 0, -1),
    "toe": (0.08, -0.92, -0.38),
    "shoulder": (0.95, 0.31, 0.03),
    "elbow": (1, 0, 0),
    "wrist": (1, 0, 0),
    "hand": (1, 0, 0),
    "heel": (0.03, 0.66, -0.75),
    "ear": (0.9, -0.37, 0.225),
    "index": (0.947, -0.32, 0),
    "little": (0.94, 0.34, 0),
    "thumb": (0.68, -0.68, -0.27),
}
_REST_MIDDLE = {
    "spine": (0, -0.06, 1),
    "thorax": (0, -0.18, 0.98),
    "head": (0, 0.29, 0.96),
    "head_top": (0, 0.055, 1),
    "nose": (0, -1, -0.043),
}

_BONES: list[tuple[str, str | None, str, str | None]] = [  # name, parent, joint at the head, joint at the tail
    ("Hips", None, "pelvis", None),
    ("Spine", "Hips", "pelvis", "spine"),
    ("Spine1", "Spine", "spine", "thorax"),
    ("Neck", "Spine1", "thorax", "head"),
    ("Head", "Neck", "head", "head_top"),
]
for _side in ("Left", "Right"):
    _s = _side.lower()
    _BONES += [
        (f"{_side}Shoulder", "Spine1", "thorax", f"{_s}_shoulder"),
        (f"{_side}Arm", f"{_side}Shoulder", f"{_s}_shoulder", f"{_s}_elbow"),
        (f"{_side}ForeArm", f"{_side}Arm", f"{_s}_elbow", f"{_s}_wrist"),
        (f"{_side}Hand", f"{_side}ForeArm", f"{_s}_wrist", f"{_s}_hand"),
    ]
for _side in ("Left", "Right"):
    _s = _side.lower()
    _BONES += [
        (f"{_side}UpLeg", "Hips", f"{_s}_hip", f"{_s}_knee"),
        (f"{_side}Leg", f"{_side}UpLeg", f"{_s}_knee", f"{_s}_ankle"),
        (f"{_side}Foot", f"{_side}Leg", f"{_s}_ankle", f"{_s}_toe"),
        (f"{_side}ToeBase", f"{_side}Foot", f"{_s}_toe", None),
    ]

BONE_JOINTS: dict[str, tuple[str, str | None]] = {name: (head, tail) for name, _, head, tail in _BONES}
"""Bone of our rig -> joints of `BODY_22` at its head and tail."""

BONE_MAP = BoneMap(
    single={"hips": "Hips", "head": "Head"}
    | {
        f"{side}_{part}": side.capitalize() + bone
        for side in ("left", "right")
        for part, bone in (
            ("shoulder", "Shoulder"),
            ("upper_arm", "Arm"),
            ("forearm", "ForeArm"),
            ("hand", "Hand"),
            ("upper_leg", "UpLeg"),
            ("lower_leg", "Leg"),
            ("foot", "Foot"),
            ("toe", "ToeBase"),
        )
    },
    spine=("Spine", "Spine1"),
    neck=("Neck",),
)
"""The map of our rig, as `bone_map.map_bones` finds it."""


def rest_directions(skeleton: Skeleton = BODY_22) -> Array:
    """(B, 3) unit directions of `BODY_22` or `BODY_32` in the T-pose at ease, palms down."""
    out = []
    for joint in skeleton.joints[1:]:
        side, _, part = joint.partition("_")
        if side in ("left", "right"):
            out.append(np.array(_REST_LEFT[part], dtype=float) * (1 if side == "left" else -1, 1, 1))
        else:
            out.append(np.array(_REST_MIDDLE[joint], dtype=float))
    return normalize(np.array(out))


def rest_places(skeleton: Skeleton, lengths: ArrayLike) -> Places:
    """Joint name -> (1, 3) of a person with these bone lengths (B,) in the T-pose, soles on z = 0."""
    lengths = np.asarray(lengths, dtype=float)
    joints = bones.compose(skeleton, rest_directions(skeleton), lengths)
    leg = lengths[skeleton.index("left_knee") - 1] + lengths[skeleton.index("left_ankle") - 1]
    joints[:, 2] += _SOLE_PER_LEG * leg - joints[skeleton.index("left_ankle"), 2]
    return {name: joints[None, j] for j, name in enumerate(skeleton.joints)}


def rig_from_motion(motion: Motion) -> Rig:
    """The person's own rig: every joint of `BODY_22` but the nose lies on a bone's head or tail.

    It has the same bones for `BODY_32`, whose details say how hands, feet and head are turned.

    Raises:
        ValueError: the motion's skeleton has not the joints of `BODY_22`.
    """
    if motion.skeleton.joints not in (BODY_22.joints, BODY_32.joints):
        raise ValueError(f"a rig is made for {BODY_22.name} or {BODY_32.name}, not for {motion.skeleton.name}")
    everything = rest_places(motion.skeleton, motion.lengths)
    places = {joint: everything[joint] for joint in BODY_22.joints}
    frames = rest_frames(places)
    names = [name for name, *_ in _BONES]
    rest = np.tile(np.eye(4), (len(_BONES), 1, 1))
    lengths = np.empty(len(_BONES))
    for b, (name, _, head, tail) in enumerate(_BONES):
        rest[b, :3, 3] = places[head][0]
        rest[b, :3, :3] = frames[name]
        span = np.linalg.norm(places[tail] - places[head]) if tail else 0.5 * lengths[names.index("Spine") - 1]
        lengths[b] = span
    lengths[0] = 0.4 * np.linalg.norm(places["spine"] - places["pelvis"])
    for side in ("Left", "Right"):
        lengths[names.index(f"{side}ToeBase")] = 0.45 * lengths[names.index(f"{side}Foot")]
    parents = tuple(names.index(parent) if parent else -1 for _, parent, _, _ in _BONES)
    return Rig(tuple(names), parents, rest, lengths)


def rest_frames(places: Places) -> dict[str, Array]:
    """Our rig's bone name -> (3, 3) rest orientation."""
    middle = trunk(places)
    sides = limbs(places, middle["hips"], middle["chest"], at_rest)
    out = {
        "Hips": middle["hips"],
        "Spine": middle["spine"],
        "Spine1": middle["chest"],
        "Neck": middle["neck"],
        "Head": middle["head"],
    }
    parts = {"Shoulder": "shoulder", "Arm": "upper_arm", "ForeArm": "forearm", "Hand": "hand"}
    parts |= {"UpLeg": "upper_leg", "Leg": "lower_leg", "Foot": "foot"}
    for side in ("Left", "Right"):
        for bone, part in parts.items():
            out[side + bone] = sides[f"{side.lower()}_{part}"]
        foot = out[f"{side}Foot"]
        flat = foot[0, :, 1] * [1, 1, 0]
        x = foot[0, :, 0]
        y = normalize(flat - (flat @ x) * x)
        out[f"{side}ToeBase"] = np.stack([x, y, np.cross(x, y)], axis=-1)[None]
    return {name: frame[0] for name, frame in out.items()}
