# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion at a scene's rate is the same motion at other moments."""

import numpy as np
import pytest

from tests import walker
from video_to_pose import bones, motion, resample
from video_to_pose.settings import MotionSettings


@pytest.fixture(scope="module")
def walk():
    view = walker.seen(walker.walk()[0])
    return motion.solve(view.track, view.pose, walker.KNOWN_CAMERA, MotionSettings())[0]


def joints(moved):
    return bones.compose(moved.skeleton, moved.directions, moved.lengths, moved.root)


def test_at_its_own_rate_it_is_itself(walk):
    same = resample.at_rate(walk, walk.frame_rate)
    np.testing.assert_allclose(same.timestamps, walk.timestamps, atol=1e-12)
    np.testing.assert_allclose(joints(same), joints(walk), atol=1e-5)
    np.testing.assert_array_equal(same.contacts, walk.contacts)


@pytest.mark.parametrize("rate", [24.0, 25.0, 60.0, 29.97])
def test_it_lasts_as_long_on_evenly_spaced_moments(walk, rate):
    other = resample.at_rate(walk, rate)
    np.testing.assert_allclose(np.diff(other.timestamps), 1 / rate)
    assert 0 <= walk.timestamps[-1] - other.timestamps[-1] < 1 / rate
    assert other.timestamps[0] == walk.timestamps[0]


def test_what_is_left_out_is_found_again(walk):
    half = resample.at(walk, walk.timestamps[::2])
    back = resample.at(half, walk.timestamps[:-1])
    away = np.linalg.norm(joints(back) - joints(walk)[:-1], axis=-1)
    assert away.max() < 0.03 and away.mean() < 0.001


def test_bones_stay_what_they_are_and_ends_stand_still(walk):
    times = np.linspace(-1, walk.timestamps[-1] + 1, 50)
    other = resample.at(walk, times)
    np.testing.assert_allclose(np.linalg.norm(other.directions, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(joints(other)[0], joints(walk)[0], atol=1e-5)
    np.testing.assert_allclose(joints(other)[-1], joints(walk)[-1], atol=1e-5)


def test_a_single_frame_stays_one(walk):
    one = resample.at(walk, walk.timestamps[:1])
    assert resample.at_rate(one, 24.0).frame_count == 1
