# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from video_to_pose.evaluation import orientation
from video_to_pose.rotation import axis_angle_to_matrix

ANKLE, HEEL, TOE = np.array([[0.0, 0.0, 0.1], [0.0, 0.05, 0.02], [0.0, -0.15, 0.02]])


def test_a_foots_frame_points_from_heel_to_toe_and_up():
    frame = orientation.foot_frames(ANKLE, HEEL, TOE)
    assert np.allclose(frame[:, 1], [0, -1, 0]) and np.allclose(frame[:, 0], [0, 0, 1])


def test_where_and_how_large_a_foot_is_does_not_matter():
    a = orientation.foot_frames(ANKLE, HEEL, TOE)
    b = orientation.foot_frames(*(1.3 * point + [1.0, 2.0, 3.0] for point in (ANKLE, HEEL, TOE)))
    assert orientation.turn_degrees(a, b) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("degrees", [0.5, 12.0, 90.0, 179.0])
@pytest.mark.parametrize("axis", [[1.0, 0, 0], [0, 1.0, 0], [0, 0.6, 0.8]])
def test_a_foot_turned_about_any_axis_is_so_much_off(axis, degrees):
    R = axis_angle_to_matrix(axis, np.radians(degrees))
    turned = orientation.foot_frames(*(R @ point for point in (ANKLE, HEEL, TOE)))
    assert orientation.turn_degrees(orientation.foot_frames(ANKLE, HEEL, TOE), turned) == pytest.approx(degrees)


def test_a_hand_that_is_turned_over_is_half_a_turn_off():
    wrist, index, little = np.array([0.0, 0, 0]), np.array([0.08, 0.02, 0]), np.array([0.08, -0.02, 0])
    palm_up = orientation.hand_frames(wrist, index, little)
    palm_down = orientation.hand_frames(wrist, little, index)
    assert orientation.turn_degrees(palm_up, palm_down) == pytest.approx(180)


def test_angles_of_directions_forgive_length():
    assert orientation.angle_degrees([0.0, 0, 2.0], [0.0, 0.1, 0.0]) == pytest.approx(90)
    assert orientation.angle_degrees([1.0, 0, 0], [5.0, 0, 0]) == pytest.approx(0)
