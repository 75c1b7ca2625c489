# SPDX-License-Identifier: GPL-3.0-or-later
"""A limb's twist is shared, whole and without jumps."""

import numpy as np
import pytest

from video_to_pose.retarget.twist import near_end, near_joint, twist_angle
from video_to_pose.rotation import axis_angle_to_matrix, normalize

AXIS = normalize([0.3, -0.2, 0.9])


def swing(degrees: float):
    return axis_angle_to_matrix(normalize(np.cross(AXIS, [1.0, 0, 0])), np.radians(degrees))


def test_the_angle_is_what_was_put_in_and_passes_a_half_turn_steadily():
    angle = np.radians(np.linspace(0, 500, 60))
    assert np.allclose(twist_angle(swing(50) @ axis_angle_to_matrix(AXIS, angle), AXIS), angle, atol=1e-9)


@pytest.mark.parametrize("shares", [[0.5], [0.25, 0.5, 0.75], [0.0, 1.0]])
def test_a_hands_twist_grows_along_the_forearm_and_the_forearm_points_the_same(shares):
    angle = np.radians(np.linspace(0, 300, 40))
    forearm = np.tile(swing(20), (40, 1, 1))
    turns = near_end(forearm, forearm @ axis_angle_to_matrix(AXIS, angle) @ swing(30), AXIS, np.array(shares))
    for share, turn in zip(shares, turns, strict=True):
        assert np.allclose(turn @ AXIS, forearm @ AXIS, atol=1e-9)
        assert np.allclose(twist_angle(np.swapaxes(forearm, -1, -2) @ turn, AXIS), share * angle, atol=1e-6)


def test_an_upper_arm_is_untwisted_at_the_shoulder_and_whole_at_the_elbow():
    angle = np.radians(np.linspace(0, 120, 40))
    above = np.tile(swing(-15), (40, 1, 1))
    arm = above @ swing(40) @ axis_angle_to_matrix(AXIS, angle)
    first, last = near_joint(above, arm, AXIS, np.array([0.0, 1.0]))
    assert np.allclose(twist_angle(np.swapaxes(above, -1, -2) @ first, AXIS), 0, atol=1e-6)
    assert np.allclose(last, arm) and np.allclose(first @ AXIS, arm @ AXIS, atol=1e-9)
