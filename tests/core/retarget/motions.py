# SPDX-License-Identifier: GPL-3.0-or-later
"""Motions that are hard on a retarget: limbs that never bend, and bodies that tumble."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.motions import make_motion
from video_to_pose import bones
from video_to_pose.retarget.rig import rest_directions
from video_to_pose.rotation import axis_angle_to_matrix
from video_to_pose.skeleton import BODY_22
from video_to_pose.types import Motion

Array = NDArray[np.floating]


def about(axis: str, degrees: ArrayLike) -> Array:
    """(..., 3, 3) turns about a world axis."""
    return axis_angle_to_matrix(np.eye(3)["xyz".index(axis)], np.radians(degrees))


def straight(seconds: float = 4.0, rate: float = 60.0, trembling_deg: float = 0.0) -> Motion:
    """Straight arms swung from hanging to overhead by the side, by the front and across, straight legs striding.

    Args:
        seconds, rate: length.
        trembling_deg: noise on every direction, as a lifter's.
    """
    t = np.arange(round(seconds * rate)) / rate
    wave = np.sin(np.pi * t)
    directions = np.tile(rest_directions(), (len(t), 1, 1))
    for side, sign in (("left", 1), ("right", -1)):
        arm = about("z", -sign * (50 + 60 * np.sin(1.7 * t + sign))) @ about("y", -sign * 80 * wave)
        leg = about("x", -40 * sign * wave) @ about("y", -sign * 10)
        for limb, turn in ((("elbow", "wrist", "hand"), arm), (("knee", "ankle", "toe"), leg)):
            for joint in limb:
                b = BODY_22.index(f"{side}_{joint}") - 1
                directions[:, b] = turn @ directions[0, b]
    noise = np.random.default_rng(3).normal(size=directions.shape) * np.radians(trembling_deg)
    directions = directions + noise
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return make_motion(directions, np.tile([0.0, 0.0, 0.85], (len(t), 1)), rate)


def tumbling(motion: Motion) -> Motion:
    """The same, head over heels and turning."""
    t = motion.timestamps
    R = about("z", 90 * t) @ about("x", 150 * t)
    return make_motion(np.einsum("fij,fbj->fbi", R, motion.directions), motion.root, motion.frame_rate, motion.lengths)


def joints_of(motion: Motion) -> dict[str, Array]:
    """Joint name -> (F, 3) world positions in double precision."""
    directions, lengths = motion.directions.astype(np.float64), motion.lengths.astype(np.float64)
    joints = bones.compose(motion.skeleton, directions, lengths, motion.root)
    return {name: joints[:, j] for j, name in enumerate(motion.skeleton.joints)}


def degrees_between(a: Array, b: Array) -> Array:
    """(...) angle between vectors (..., 3), exact for small angles too."""
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1)))
