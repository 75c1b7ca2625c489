# SPDX-License-Identifier: GPL-3.0-or-later
"""A skinned body that follows captured motion, and the landmarks detectors see on it.

The body is the MakeHuman community's CC0 base mesh with its CMU-named rig, read from a folder that holds
``base.obj``, ``rig.cmu_mb.json`` and ``weights.cmu_mb.json``. World axes: Z up, front at -Y, metres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rotation import between, frame_from_axes, normalize
from ..skeleton import BODY_22, Skeleton
from .mocap import Z_UP, MocapClip

Array = NDArray[np.floating]

_INFLUENCES = 4

_LANDMARK_GROUPS: dict[
    str, tuple[str | int, ...]
] = {  # right side mirrors the left; a name is a joint cube's group, a number a vertex
    "nose": (297,),
    "left_eye": ("helper-l-eye",),
    "left_ear": ("ear",),
    "left_shoulder": ("joint-l-shoulder",),
    "left_elbow": ("joint-l-elbow",),
    "left_wrist": ("joint-l-hand",),
    "left_pinky": ("joint-l-finger-5-1",),
    "left_index": ("joint-l-finger-2-1",),
    "left_thumb": ("joint-l-finger-1-2",),
    "left_hip": ("joint-l-upper-leg",),
    "left_knee": ("joint-l-knee",),
    "left_ankle": ("joint-l-ankle",),
    "left_heel": ("heel",),
    "left_foot_index": ("joint-l-toe-1-3", "joint-l-toe-2-4"),
}
_SURFACE_POINTS = {"ear": (0.78, 7.18, 0.48), "heel": (2.19, -7.99, -0.49)}  # obj axes, decimetres

LANDMARKS: tuple[str, ...] = tuple(
    name
    for left in _LANDMARK_GROUPS
    for name in ((left, left.replace("left_", "right_")) if left.startswith("left_") else (left,))
)
"""Names of the landmarks read off the body, a subset of `skeleton.MEDIAPIPE_33`."""


@dataclass(frozen=True, eq=False)
class Body:
    """The body at rest (A-pose).

    Attributes:
        vertices: (V, 3) metres.
        groups: group name -> (n, 4) quad indices into `vertices` (a triangle repeats its last index).
        bones: N rig bone names, parents before children.
        parents: N parent indices, -1 for the root.
        heads: (N, 3) bone heads.
        tails: (N, 3) bone tails.
        influences: (V, 4) bone indices.
        weights: (V, 4) skin weights, rows sum to 1.
        joint_centres: group name of a joint cube -> (3,) its centre.
        landmarks: name -> vertex indices whose mean is the landmark.
    """

    vertices: Array
    groups: dict[str, NDArray[np.int64]]
    bones: tuple[str, ...]
    parents: tuple[int, ...]
    heads: Array
    tails: Array
    influences: NDArray[np.int64]
    weights: Array
    joint_centres: dict[str, Array]
    landmarks: dict[str, NDArray[np.int64]]

    @cached_property
    def leg_length(self) -> float:
        """Hip joint to knee to ankle, metres."""
        hip, knee, ankle = (self.heads[self.bones.index(b)] for b in ("LeftUpLeg", "LeftLeg", "LeftFoot"))
        return float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))

    @cached_property
    def sole(self) -> NDArray[np.int64]:
        """Vertices of the skin under heels and balls of the feet."""
        skin = np.unique(self.groups["body"])
        heights = self.vertices[skin, 2]
        return skin[heights < heights.min() + 0.012]


@dataclass(frozen=True, eq=False)
class Posed:
    """Bone transforms of a posed body: a rest point p of bone b goes to R_b · scale_b (p - head_b) + position_b.

    Attributes:
        rotations: (F, N, 3, 3) away from the rest pose.
        positions: (F, N, 3) bone heads, metres.
        scales: (N,) size of each bone against the rest body.
    """

    rotations: Array
    positions: Array
    scales: Array


def load_body(folder: Path) -> Body:
    """Read the body from its folder (see the module's docstring)."""
    vertices, groups = _read_obj(folder / "base.obj")
    rig = json.loads((folder / "rig.cmu_mb.json").read_text())
    weights_by_bone = json.loads((folder / "weights.cmu_mb.json").read_text())["weights"]
    centres = {name: vertices[np.unique(faces)].mean(axis=0) for name, faces in groups.items() if "joint-" in name}

    bones: list[str] = []
    while len(bones) < len(rig):  # parents before children
        bones += [b for b in rig if b not in bones and (not rig[b]["parent"] or rig[b]["parent"] in bones)]
    parents = tuple(bones.index(rig[b]["parent"]) if rig[b]["parent"] else -1 for b in bones)

    def place(end: dict[str, object]) -> Array:
        if end["strategy"] == "CUBE":
            return centres[str(end["cube_name"])]
        return vertices[np.asarray(end["vertex_indices"])].mean(axis=0)

    dense = np.zeros((len(vertices), len(bones)), dtype=np.float32)
    for bone, entries in weights_by_bone.items():
        index, weight = np.asarray(entries).T
        dense[index.astype(int), bones.index(bone)] = weight
    influences = np.argsort(-dense, axis=1)[:, :_INFLUENCES]
    weights = np.take_along_axis(dense, influences, axis=1)

    skin = np.unique(groups["body"])

    def landmark(name: str) -> NDArray[np.int64]:
        right = name.startswith("right_")
        parts: list[NDArray[np.int64]] = []
        for part in _LANDMARK_GROUPS[name.replace("right_", "left_")]:
            if isinstance(part, int):
                parts.append(np.array([part]))
            elif part in _SURFACE_POINTS:
                point = np.array(_SURFACE_POINTS[part]) * (-1 if right else 1, 1, 1)
                distance = np.linalg.norm(vertices[skin] - Z_UP @ point / 10, axis=1)
                parts.append(skin[np.argsort(distance)[:4]])
            else:
                parts.append(np.unique(groups[part.replace("-l-", "-r-") if right else part]))
        return np.concatenate(parts)

    return Body(
        vertices=vertices,
        groups=groups,
        bones=tuple(bones),
        parents=parents,
        heads=np.stack([place(rig[b]["head"]) for b in bones]),
        tails=np.stack([place(rig[b]["tail"]) for b in bones]),
        influences=influences,
        weights=weights / weights.sum(axis=1, keepdims=True),
        joint_centres=centres,
        landmarks={name: landmark(name) for name in LANDMARKS},
    )


def _read_obj(path: Path) -> tuple[Array, dict[str, NDArray[np.int64]]]:
    vertices: list[list[float]] = []
    faces: dict[str, list[list[int]]] = {}
    group = ""
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(value) for value in rest.split()[:3]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corner = [int(item.split("/")[0]) - 1 for item in rest.split()]
            faces.setdefault(group, []).append(corner + [corner[-1]] * (4 - len(corner)))
    return np.asarray(vertices) @ Z_UP.T / 10.0, {name: np.asarray(quads) for name, quads in faces.items()}


def pose(body: Body, clip: MocapClip, frames: ArrayLike | None = None, scales: dict[str, float] | None = None) -> Posed:
    """Let the body follow a captured clip, standing on the floor z = 0.

    Args:
        body: the body at rest.
        clip: the motion.
        frames: (F,) frame indices, whole numbers; None takes all.
        scales: size of body parts against the rest body: any of ``legs feet hips torso neck head arms hands
            shoulders``; missing ones are 1.

    Returns:
        Transforms of every bone and frame. The hips' path is scaled by the ratio of leg lengths.
    """
    index = np.arange(clip.frame_count) if frames is None else np.asarray(frames)
    bone_scales = np.array([(scales or {}).get(_body_part(bone), 1.0) for bone in body.bones])
    rotations = np.empty((len(index), len(body.bones), 3, 3))
    for b, bone in enumerate(body.bones):
        if bone in clip.rotations:
            rotations[:, b] = clip.rotations[bone][index] @ _rest_to_t_pose(body, clip, bone)
        else:
            rotations[:, b] = rotations[:, body.parents[b]]
    positions = np.zeros((len(index), len(body.bones), 3))
    for b, parent in enumerate(body.parents):
        if parent >= 0:
            offset = (body.heads[b] - body.heads[parent]) * bone_scales[parent]
            positions[:, b] = positions[:, parent] + rotations[:, parent] @ offset
    left, right = body.bones.index("LeftUpLeg"), body.bones.index("RightUpLeg")
    middle = (positions[:, left] + positions[:, right]) / 2
    leg_scale = bone_scales[left]
    path = clip.hips[index] * (body.leg_length * leg_scale / clip.leg_length)
    positions += (path - middle)[:, None]
    posed = Posed(rotations, positions, bone_scales)
    lowest = skin(body, posed, body.sole)[..., 2].min(axis=1)
    posed.positions[..., 2] -= np.percentile(lowest, 5)
    return posed


def _body_part(bone: str) -> str:
    for part, names in {
        "hips": ("Hips", "HipJoint"),
        "legs": ("UpLeg", "Leg"),
        "feet": ("Foot", "ToeBase"),
        "shoulders": ("Shoulder",),
        "arms": ("Arm", "ForeArm"),
        "hands": ("Hand", "Finger", "Thumb"),
        "neck": ("Neck",),
        "head": ("Head",),
    }.items():
        if any(name in bone for name in names):
            return part
    return "torso"


def _rest_to_t_pose(body: Body, clip: MocapClip, bone: str) -> Array:
    """(3, 3) carries the bone from the body's A-pose to the clip's T-pose."""
    if bone not in clip.rest_directions:
        return np.eye(3)  # torso and head are alike in both rest poses
    b = body.bones.index(bone)
    child = {"Arm": "ForeArm", "ForeArm": "Hand", "UpLeg": "Leg", "Leg": "Foot"}
    side, limb = ("Left", bone[4:]) if bone.startswith("Left") else ("Right", bone[5:])
    if limb == "Foot":  # the clip's foot is square to its shank, which may be splayed; the body's is flat
        shank = clip.rest_directions[side + "Leg"] * np.array([1.0, 0.0, 1.0])
        return between(np.array([0.0, 0.0, -1.0]), normalize(shank))
    tail = body.heads[body.bones.index(side + child[limb])] if limb in child else body.tails[b]
    direction = normalize(tail - body.heads[b])
    if "Leg" in limb:
        return between(direction, clip.rest_directions[bone])
    # arms: the body's own elbow bend shows its hinge axis, which stands upright in a T-pose with palms down
    shoulder, elbow, wrist = (body.heads[body.bones.index(side + part)] for part in ("Arm", "ForeArm", "Hand"))
    sign = 1.0 if side == "Left" else -1.0
    hinge = normalize(np.cross(elbow - shoulder, wrist - elbow)) * sign
    if limb == "Hand":
        direction = normalize(body.joint_centres[f"joint-{side[0].lower()}-finger-3-1"] - body.heads[b])
        across = body.joint_centres[f"joint-{side[0].lower()}-finger-2-1"]
        hinge = sign * np.cross(direction, across - body.joint_centres[f"joint-{side[0].lower()}-finger-5-1"])
    upright = np.array([0.0, 0.0, -1.0])
    return frame_from_axes(clip.rest_directions[bone], upright) @ frame_from_axes(direction, hinge).T


def skin(body: Body, posed: Posed, vertices: ArrayLike | None = None) -> Array:
    """(F, n, 3) linear blend skinning of some vertices (None: all), metres."""
    index = np.arange(len(body.vertices)) if vertices is None else np.asarray(vertices)
    out = np.zeros((len(posed.positions), len(index), 3))
    for bone in range(len(body.bones)):
        weight = np.where(body.influences[index] == bone, body.weights[index], 0.0).sum(axis=1)
        moved = np.flatnonzero(weight)
        local = (body.vertices[index[moved]] - body.heads[bone]) * posed.scales[bone]
        place = local @ np.swapaxes(posed.rotations[:, bone], -1, -2) + posed.positions[:, None, bone]
        out[:, moved] += weight[moved, None] * place
    return out


def landmarks(body: Body, posed: Posed) -> Array:
    """(F, L, 3) positions of `LANDMARKS`, metres."""
    index = np.concatenate([body.landmarks[name] for name in LANDMARKS])
    owner = np.repeat(np.arange(len(LANDMARKS)), [len(body.landmarks[name]) for name in LANDMARKS])
    mean = np.equal.outer(np.arange(len(LANDMARKS)), owner).astype(float)
    mean /= mean.sum(axis=1, keepdims=True)
    return np.einsum("ln,fni->fli", mean, skin(body, posed, index))


def joints(body: Body, posed: Posed, skeleton: Skeleton = BODY_22) -> Array:
    """(F, J, 3) joints of `BODY_22` or `BODY_32`, metres: joint centres, and points fixed in head, hands and feet."""
    at = {bone: posed.positions[:, b] for b, bone in enumerate(body.bones)}

    def rigid(bone: str, point: Array) -> Array:
        b = body.bones.index(bone)
        return posed.rotations[:, b] @ ((point - body.heads[b]) * posed.scales[b]) + posed.positions[:, b]

    places = {
        "pelvis": (at["LeftUpLeg"] + at["RightUpLeg"]) / 2,
        "spine": at["Spine"],
        "thorax": (at["LeftShoulder"] + at["RightShoulder"]) / 2,
        "head": at["Head"],
        "head_top": rigid("Head", body.joint_centres["joint-head-2"]),
        "nose": rigid("Head", body.vertices[body.landmarks["nose"]].mean(axis=0)),
    }
    for side in ("left", "right"):
        Side, s = side.capitalize(), side[0]
        for joint, bone in (("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"), ("toe", "ToeBase")):
            places[f"{side}_{joint}"] = at[Side + bone]
        for joint, bone in (("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand")):
            places[f"{side}_{joint}"] = at[Side + bone]
        knuckles = [body.joint_centres[f"joint-{s}-finger-{finger}-1"] for finger in (2, 3, 4, 5)]
        places[f"{side}_hand"] = rigid(Side + "Hand", np.mean(knuckles, axis=0))
        places[f"{side}_index"], places[f"{side}_little"] = (rigid(Side + "Hand", knuckles[k]) for k in (0, 3))
        places[f"{side}_thumb"] = rigid(Side + "Hand", body.joint_centres[f"joint-{s}-finger-1-2"])
        for joint, bone in (("heel", "Foot"), ("ear", "Head")):
            point = body.vertices[body.landmarks[f"{side}_{joint}"]].mean(axis=0)
            places[f"{side}_{joint}"] = rigid((Side if joint == "heel" else "") + bone, point)
    return np.stack([places[joint] for joint in skeleton.joints], axis=1)
