# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from video_to_pose.evaluation import feet


def test_feet_are_planted_while_they_are_low_and_slow():
    z = [0.02, 0.02, 0.02, 0.30, 0.02]
    x = [0.0, 0.0, 0.0, 0.0, 0.0]
    points = np.stack([x, np.zeros(5), z], axis=-1)[:, None]
    assert feet.true_contacts(points, [0.02], 30.0)[:, 0].tolist() == [True, True, False, False, False]


def test_feet_that_rest_higher_are_planted_there():
    points = np.tile([0.0, 0.0, 0.09], (3, 1, 1))
    assert feet.true_contacts(points, [0.08], 30.0).all() and not feet.true_contacts(points, [0.02], 30.0).any()


def test_slide_is_the_speed_over_the_floor_of_what_is_planted():
    points = np.zeros((4, 1, 3))
    points[:, 0, 0] = [0.0, 0.01, 0.02, 0.5]
    points[:, 0, 2] = [0.0, 0.1, 0.0, 0.0]
    assert feet.foot_slide(points, [[True], [True], [True], [False]], 30.0) == pytest.approx(30)


def test_depth_is_that_of_the_deepest_point_of_each_frame():
    points = np.zeros((3, 2, 3))
    points[..., 2] = [[0.02, 0.05], [-0.01, 0.05], [0.02, 0.01]]
    assert feet.penetrations(points, [0.0, 0.02]) == pytest.approx([0, 1, 1])
    assert feet.penetration(points, [0.0, 0.02]) == pytest.approx(1)
    assert feet.penetration(points + 1.0) == 0
