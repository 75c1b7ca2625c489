# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from video_to_pose.evaluation import trajectory
from video_to_pose.rotation import axis_angle_to_matrix

SQUARE = np.array([[0.0, 0, 1], [2, 0, 1], [2, 2, 1], [0, 2, 1]])


def test_origin_and_heading_are_conventions():
    moved = SQUARE @ axis_angle_to_matrix([0.0, 0, 1], 2.2).T + [4.0, -1.0, 0.5]
    assert trajectory.aligned(moved, SQUARE) == pytest.approx(SQUARE)
    assert trajectory.path_error_percent(moved, SQUARE) == pytest.approx(0, abs=1e-9)


def test_size_is_not_forgiven():
    # corners of a square of 2 m are 1.41 m from its middle; a tenth of that, on a way of 6 m
    assert trajectory.path_error_m(1.1 * SQUARE, SQUARE) == pytest.approx(0.1 * np.sqrt(2))
    assert trajectory.path_error_percent(1.1 * SQUARE, SQUARE) == pytest.approx(100 * 0.1 * np.sqrt(2) / 6)


def test_a_tilted_up_is_not_forgiven():
    tilted = SQUARE @ axis_angle_to_matrix([1.0, 0, 0], np.radians(10)).T
    assert trajectory.path_error_m(tilted, SQUARE) > 0.1


def test_bobbing_is_no_way_and_who_stays_has_no_share():
    on_the_spot = np.array([[0.0, 0, 1], [0, 0, 2], [0, 0, 1], [0.5, 0, 1]])
    assert trajectory.path_length(on_the_spot) == pytest.approx(0.5)
    assert np.isnan(trajectory.path_error_percent(on_the_spot, on_the_spot))
