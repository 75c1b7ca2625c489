# SPDX-License-Identifier: GPL-3.0-or-later
"""Skeletons and keypoint layouts as data.

A `Skeleton` is a tree of named joints; its bones are the edges parent -> joint, one for each joint
but the root, in joint order: bone ``b`` ends at joint ``b + 1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Joint names and parents. Parents come before children; joint 0 is the only root.

    Attributes:
        name: identifier stored in Takes and lifter files.
        joints: J joint names; ``left_`` / ``right_`` prefixes are the person's sides.
        parents: J parent indices, -1 for joint 0.

    Raises:
        ValueError: when a parent does not come before its child or there is a second root.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.joints) != len(self.parents):
            raise ValueError(f"{len(self.joints)} joints but {len(self.parents)} parents")
        if not self.parents or self.parents[0] != -1:
            raise ValueError("joint 0 must be the root (parent -1)")
        for child, parent in enumerate(self.parents[1:], start=1):
            if not 0 <= parent < child:
                raise ValueError(f"parent of {self.joints[child]} must come before it, got {parent}")

    @property
    def joint_count(self) -> int:
        return len(self.joints)

    @property
    def bone_count(self) -> int:
        return len(self.joints) - 1

    @cached_property
    def bone_children(self) -> np.ndarray:
        """(B,) joint at the far end of each bone: 1 to J-1."""
        return np.arange(1, self.joint_count)

    @cached_property
    def bone_parents(self) -> np.ndarray:
        """(B,) joint at the near end of each bone."""
        return np.asarray(self.parents[1:])

    def index(self, joint: str) -> int:
        """Index of a joint by name. Raises ValueError when there is none."""
        return self.joints.index(joint)

    @cached_property
    def mirror(self) -> np.ndarray:
        """(J,) index of each joint's counterpart on the other side (itself on the midline)."""
        return mirror_indices(self.joints)


def mirror_indices(names: tuple[str, ...]) -> np.ndarray:
    """(N,) for each name the index of the same name with left and right exchanged."""

    def other(name: str) -> str:
        if name.startswith("left_"):
            return "right_" + name[5:]
        if name.startswith("right_"):
            return "left_" + name[6:]
        return name

    return np.asarray([names.index(other(name)) for name in names])


def _tree(name: str, edges: list[tuple[str, str | None]]) -> Skeleton:
    joints = tuple(joint for joint, _ in edges)
    parents = tuple(-1 if parent is None else joints.index(parent) for _, parent in edges)
    return Skeleton(name, joints, parents)


BODY_22 = _tree(
    "body22",
    [
        ("pelvis", None),  # middle of the two hip joints
        ("left_hip", "pelvis"),
        ("left_knee", "left_hip"),
        ("left_ankle", "left_knee"),
        ("left_toe", "left_ankle"),  # ball of the foot: base of the middle toe
        ("right_hip", "pelvis"),
        ("right_knee", "right_hip"),
        ("right_ankle", "right_knee"),
        ("right_toe", "right_ankle"),
        ("spine", "pelvis"),  # about the lowest rib
        ("thorax", "spine"),  # middle between the inner ends of the clavicles
        ("head", "thorax"),  # base of the skull
        ("head_top", "head"),
        ("nose", "head"),
        ("left_shoulder", "thorax"),
        ("left_elbow", "left_shoulder"),
        ("left_wrist", "left_elbow"),
        ("left_hand", "left_wrist"),  # middle of the knuckles
        ("right_shoulder", "thorax"),
        ("right_elbow", "right_shoulder"),
        ("right_wrist", "right_elbow"),
        ("right_hand", "right_wrist"),
    ],
)
"""The product's skeleton: body, feet to the ball, hands to the knuckles, head with nose."""

_DETAILS = [("heel", "ankle"), ("thumb", "wrist"), ("index", "wrist"), ("little", "wrist"), ("ear", "head")]

BODY_32 = Skeleton(
    "body32",
    (*BODY_22.joints, *(f"{side}_{joint}" for side in ("left", "right") for joint, _ in _DETAILS)),
    (
        *BODY_22.parents,
        *(
            BODY_22.index(parent if parent == "head" else f"{side}_{parent}")
            for side in ("left", "right")
            for _, parent in _DETAILS
        ),
    ),
)
"""`BODY_22` and what tells how feet, hands and head are turned: heels, ears, bases of thumb, index, little finger."""

H36M_17 = _tree(
    "h36m17",
    [
        ("pelvis", None),
        ("right_hip", "pelvis"),
        ("right_knee", "right_hip"),
        ("right_ankle", "right_knee"),
        ("left_hip", "pelvis"),
        ("left_knee", "left_hip"),
        ("left_ankle", "left_knee"),
        ("spine", "pelvis"),
        ("thorax", "spine"),
        ("nose", "thorax"),
        ("head_top", "nose"),
        ("left_shoulder", "thorax"),
        ("left_elbow", "left_shoulder"),
        ("left_wrist", "left_elbow"),
        ("right_shoulder", "thorax"),
        ("right_elbow", "right_shoulder"),
        ("right_wrist", "right_elbow"),
    ],
)
"""Human3.6M's 17 joints in VideoPose3D's order."""

HUMANEVA_15 = _tree(
    "humaneva15",
    [
        ("pelvis", None),
        ("thorax", "pelvis"),
        ("left_shoulder", "thorax"),
        ("left_elbow", "left_shoulder"),
        ("left_wrist", "left_elbow"),
        ("right_shoulder", "thorax"),
        ("right_elbow", "right_shoulder"),
        ("right_wrist", "right_elbow"),
        ("left_hip", "pelvis"),
        ("left_knee", "left_hip"),
        ("left_ankle", "left_knee"),
        ("right_hip", "pelvis"),
        ("right_knee", "right_hip"),
        ("right_ankle", "right_knee"),
        ("head", "thorax"),
    ],
)
"""HumanEva-I's 15 joints in the order of VideoPose3D's data_3d_humaneva15.npz."""

MPI_INF_3DHP_17 = _tree(
    "3dhp17",
    [
        ("pelvis", None),
        ("right_hip", "pelvis"),
        ("right_knee", "right_hip"),
        ("right_ankle", "right_knee"),
        ("left_hip", "pelvis"),
        ("left_knee", "left_hip"),
        ("left_ankle", "left_knee"),
        ("spine", "pelvis"),
        ("thorax", "spine"),  # 3DHP: neck
        ("head", "thorax"),
        ("head_top", "head"),
        ("left_shoulder", "thorax"),
        ("left_elbow", "left_shoulder"),
        ("left_wrist", "left_elbow"),
        ("right_shoulder", "thorax"),
        ("right_elbow", "right_shoulder"),
        ("right_wrist", "right_elbow"),
    ],
)
"""MPI-INF-3DHP's 17 joints (those of its test set), in Human3.6M's order so that parents come first.

The data set's own order is head_top, thorax, right arm, left arm, right leg, left leg, pelvis, spine, head.
"""

MPI_INF_3DHP_14 = _tree(
    "3dhp14",
    [
        ("thorax", None),  # 3DHP: neck
        ("head_top", "thorax"),
        ("right_shoulder", "thorax"),
        ("right_elbow", "right_shoulder"),
        ("right_wrist", "right_elbow"),
        ("left_shoulder", "thorax"),
        ("left_elbow", "left_shoulder"),
        ("left_wrist", "left_elbow"),
        ("right_hip", "thorax"),
        ("right_knee", "right_hip"),
        ("right_ankle", "right_knee"),
        ("left_hip", "thorax"),
        ("left_knee", "left_hip"),
        ("left_ankle", "left_knee"),
    ],
)
"""The 14 of those joints that MPI-INF-3DHP scores. The pelvis is not one of them, so the tree hangs from the neck.

The data set's own order has head_top first.
"""

SKELETONS = {
    skeleton.name: skeleton for skeleton in (BODY_22, BODY_32, H36M_17, HUMANEVA_15, MPI_INF_3DHP_17, MPI_INF_3DHP_14)
}

MEDIAPIPE_33: tuple[str, ...] = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)
"""Landmarks of MediaPipe's Pose Landmarker, in its order and with its names."""

_SIDES_OF_OPENPOSE = ("right", "left")  # it counts the right side first

COCO_18: tuple[str, ...] = (
    "nose",
    "neck",
    *(f"{side}_{part}" for side in _SIDES_OF_OPENPOSE for part in ("shoulder", "elbow", "wrist")),
    *(f"{side}_{part}" for side in _SIDES_OF_OPENPOSE for part in ("hip", "knee", "ankle")),
    *(f"{side}_{part}" for part in ("eye", "ear") for side in _SIDES_OF_OPENPOSE),
)
"""OpenPose's COCO model: COCO's 17 and the neck, in OpenPose's order. (Its 19th part is the background.)"""

BODY_25: tuple[str, ...] = (
    *COCO_18[:8],
    "mid_hip",
    *COCO_18[8:],
    *(f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")),
)
"""OpenPose's BODY_25 model, in its order."""

COCO_17: tuple[str, ...] = (
    "nose",
    *(
        f"{side}_{part}"
        for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
)
"""COCO's keypoints, in its order."""

HALPE_26: tuple[str, ...] = (
    *COCO_17,
    "head",  # top of the skull
    "neck",
    "hip",  # middle of the hips
    *(f"{side}_{part}" for part in ("big_toe", "small_toe", "heel") for side in ("left", "right")),
)
"""Halpe's body with feet, in its order."""

_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")

COCO_WHOLEBODY_133: tuple[str, ...] = (
    *COCO_17,
    *(f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")),
    *(f"face_{i}" for i in range(68)),
    *(
        name
        for side in ("left", "right")
        for name in (f"{side}_hand_root", *(f"{side}_{finger}{i}" for finger in _FINGERS for i in (1, 2, 3, 4)))
    ),
)
"""COCO-WholeBody: body, feet, face and hands, in its order; fingers count from the knuckle to the tip."""

KEYPOINT_LAYOUTS: dict[str, tuple[str, ...]] = {
    "coco17": COCO_17,
    "coco18": COCO_18,
    "body25": BODY_25,
    "halpe26": HALPE_26,
    "wholebody133": COCO_WHOLEBODY_133,
    "mediapipe33": MEDIAPIPE_33,
}

KEYPOINT_LINES: tuple[tuple[str, str], ...] = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    ("left_ear", "nose"),
    ("right_ear", "nose"),
    *(
        (f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in (
            ("shoulder", "elbow"),
            ("elbow", "wrist"),
            ("wrist", "index"),
            ("wrist", "pinky"),
            ("shoulder", "hip"),
            ("hip", "knee"),
            ("knee", "ankle"),
            ("ankle", "heel"),
            ("heel", "foot_index"),
            ("ankle", "foot_index"),
            ("ankle", "big_toe"),
        )
    ),
)
"""Lines between keypoints, for pictures; drawn where a detector has both."""

_COMMON_PARTS = {"big_toe": "foot_index", "forefinger1": "index", "pinky_finger1": "pinky", "thumb2": "thumb"}

COMMON_NAMES: dict[str, str] = {
    f"{side}_{part}": f"{side}_{common}" for part, common in _COMMON_PARTS.items() for side in ("left", "right")
}
"""What layouts call otherwise -> the same place's name in `MEDIAPIPE_33`: tip of the big toe, knuckles of the hand."""


def common_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a layout as lifters know them; a name that means nothing to them stays as it is."""
    return tuple(COMMON_NAMES.get(name, name) for name in names)
