# SPDX-License-Identifier: GPL-3.0-or-later
"""Joint limits give way softly, and leave alone what is well within them."""

import numpy as np

from tests.core.retarget.rigs import a_pose, heads_in_world, rig_of
from tests.motions import dance, standing
from video_to_pose import retarget
from video_to_pose.retarget.limits import soft
from video_to_pose.rotation import axis_angle_to_matrix, matrix_to_quat
from video_to_pose.settings import RetargetSettings
from video_to_pose.skeleton import BODY_22


def test_a_limit_is_never_passed_and_not_felt_below_six_sevenths_of_it():
    angle = np.linspace(0, 3, 400)
    limited = soft(angle, 1.0)
    assert limited.max() <= 1.0 and np.all(np.diff(limited) >= 0)
    assert np.array_equal(limited[angle < 0.85], angle[angle < 0.85])
    assert np.abs(np.diff(limited, n=2)).max() < 1e-3  # no corner


def turns_of(motion, limits):
    rig = rig_of(a_pose())
    settings = RetargetSettings(feet="never", repair=False, joint_limits=limits)
    animation = retarget.solve(motion, rig, retarget.map_bones(rig), settings)
    return rig, heads_in_world(animation)[1]


def test_an_everyday_motion_is_not_touched():
    (rig, free), (_, limited) = (turns_of(dance(), limits) for limits in (False, True))
    kept = [rig.names.index(name) for name in ("upperarm_l", "lowerarm_l", "thigh_r", "calf_r", "head")]
    assert np.abs(free - limited)[:, kept].max() < 1e-6


def test_a_hand_that_is_bent_to_the_forearm_comes_back():
    motion = standing(3)
    directions = motion.directions.copy()
    b = BODY_22.index("left_hand") - 1
    directions[:, b] = axis_angle_to_matrix([0, 1, 0], np.radians(150)) @ directions[0, b]
    bent = type(motion)(**{**motion.__dict__, "directions": directions})
    rig, turns = turns_of(bent, True)
    hand, fore = (turns[:, rig.names.index(name)] for name in ("hand_l", "lowerarm_l"))
    quat = matrix_to_quat(np.swapaxes(fore, -1, -2) @ hand)
    assert np.degrees(2 * np.arccos(np.clip(quat[:, 0], -1, 1))).max() < 100
