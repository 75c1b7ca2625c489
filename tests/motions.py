# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions to test with: a synthetic one that needs nothing, and captured ones where they are at hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from video_to_pose import bones
from video_to_pose.data import body as bodies
from video_to_pose.data import mocap
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.motion.rigid import rigid_parts
from video_to_pose.retarget.plant import runs
from video_to_pose.retarget.rig import rest_directions, rest_places
from video_to_pose.rotation import axis_angle_to_matrix
from video_to_pose.skeleton import BODY_22, BODY_32
from video_to_pose.types import Motion

SHARED = Path(__file__).parents[2] / "shared"

LENGTHS = np.array(
    [0.11, 0.42, 0.38, 0.15, 0.11, 0.42, 0.38, 0.15, 0.23, 0.24, 0.19, 0.14, 0.15] + 2 * [0.18, 0.23, 0.23, 0.09],
    dtype=np.float32,
)
LENGTHS_32 = np.concatenate([LENGTHS, 2 * [0.08, 0.05, 0.09, 0.08, 0.1]]).astype(np.float32)
"""Of `BODY_32`."""


def landmark_joints() -> list[int]:
    """The joint of `BODY_32` that is at, or near, each of `LIFTER_KEYPOINTS`."""
    called = {"pinky": "little", "foot_index": "toe", "eye": "ear"}
    named = [(name, *name.partition("_")[::2]) for name in LIFTER_KEYPOINTS]
    return [BODY_32.index(f"{side}_{called[part]}" if part in called else name) for name, side, part in named]


def make_motion(directions, root, rate=30.0, lengths=LENGTHS, skeleton=BODY_22) -> Motion:
    frames = len(directions)
    return Motion(
        skeleton=skeleton,
        timestamps=np.arange(frames) / rate,
        directions=rigid_parts(skeleton, directions),
        lengths=lengths,
        root=root,
        confidence=np.ones((frames, skeleton.joint_count)),
        contact_names=("left_toe",),
        contacts=np.zeros((frames, 1), bool),
    )


def dance(frames: int = 60) -> Motion:
    """Somebody who turns, bends elbows and knees, nods and travels; every joint moves."""
    time = np.arange(frames) / 30.0
    directions = np.tile(rest_directions(), (frames, 1, 1))

    def bend(joints, axis, angle):
        R = axis_angle_to_matrix(np.asarray(axis, float), angle)
        for joint in joints:
            b = BODY_22.index(joint) - 1
            directions[:, b] = np.einsum("fij,fj->fi", R, directions[:, b])

    def below(side, *parts):
        return [f"{side}_{part}" for part in parts]

    for side, sign in (("left", 1.0), ("right", -1.0)):
        bend(below(side, "wrist", "hand"), [0, 0, -sign], 0.9 + 0.7 * np.sin(2 * time + sign))
        bend(below(side, "elbow", "wrist", "hand"), [0, sign, 0], 1.0 + 0.5 * np.sin(3 * time))
        bend(below(side, "ankle", "toe"), [1, 0, 0], 0.5 + 0.45 * np.sin(4 * time + sign))
        bend(below(side, "knee", "ankle", "toe"), [-1, 0, 0], 0.4 + 0.4 * np.sin(4 * time + sign))
    upper = ["thorax", "head", "head_top", "nose"]
    upper += [f"{s}_{p}" for s in ("left", "right") for p in ("shoulder", "elbow", "wrist", "hand")]
    bend(upper, [0, 0, 1], 0.3 * np.sin(2.5 * time))
    bend([*upper, "spine"], [1, 0, 0], 0.2 * np.sin(2 * time))
    bend(BODY_22.joints[1:], [0, 0, 1], 0.8 * time)
    root = np.stack([0.4 * time, 0.2 * np.sin(time), 0.85 + 0.05 * np.sin(4 * time)], axis=1)
    return make_motion(directions, root - root[0] * [1, 1, 0])


def standing(frames: int = 1) -> Motion:
    """The T-pose at ease."""
    place = rest_places(BODY_22, LENGTHS)["pelvis"]
    return make_motion(np.tile(rest_directions(), (frames, 1, 1)), np.tile(place, (frames, 1)))


def captured(name: str, seconds: float = 5.0, skeleton=BODY_22) -> Motion:
    """A captured clip on the training body, 30 frames a second, with its contacts, e.g. ``test/14_05``."""
    body, posed = posed_body(name, seconds)
    joints = bodies.joints(body, posed, skeleton)
    directions, lengths = bones.decompose(skeleton, joints)
    mean = lengths.mean(axis=0)
    motion = make_motion(
        directions, joints[:, 0], lengths=(mean + mean[skeleton.mirror[1:] - 1]) / 2, skeleton=skeleton
    )
    return replace(motion, contact_names=CONTACTS, contacts=true_contacts(body, posed))


CONTACTS = ("left_heel", "left_toe", "right_heel", "right_toe")


def true_contacts(body, posed, rate: float = 30.0, height_m: float = 0.03, speed_m_s: float = 0.3):
    """(F, 4) whether heels and balls of the skinned body are on the floor and still for a tenth of a second."""
    joints = bodies.joints(body, posed, BODY_32)
    points = joints[:, [BODY_32.index(name) for name in CONTACTS]]
    low = points[..., 2] - np.percentile(points[..., 2], 5, axis=0) < height_m
    step = np.linalg.norm(np.gradient(points, axis=0), axis=-1) * rate if len(points) > 1 else np.zeros(low.shape)
    down = low & (step < speed_m_s)
    for c in range(down.shape[1]):
        for first, last in runs(down[:, c]):
            if last - first < 0.1 * rate:
                down[first:last, c] = False
    return down


def posed_body(name: str, seconds: float = 5.0):
    """The training body and its transforms in a captured clip, 30 frames a second."""
    clip = mocap.load(SHARED / "data" / "mocap" / f"{name}.bvh")
    body = bodies.load_body(SHARED / "human")
    frames = np.arange(0, min(clip.frame_count, seconds * 60), 2).astype(int)
    return body, bodies.pose(body, clip, frames)
