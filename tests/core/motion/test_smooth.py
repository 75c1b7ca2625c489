# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing takes jitter, not moves; its constants are in seconds."""

import numpy as np
import pytest

from video_to_pose.motion.smooth import bridge, smooth, smooth_directions
from video_to_pose.rotation import axis_angle_to_matrix, normalize
from video_to_pose.settings import MotionSettings

CUTOFF = MotionSettings().smoothing_cutoff_hz


def swing(rate, hz, degrees=45.0, seconds=3.0):
    """(F, 1, 3) directions that swing about the x axis, and their angles in degrees."""
    time = np.arange(round(seconds * rate)) / rate
    return pointing(degrees * np.sin(2 * np.pi * hz * time))


def pointing(angles):
    angles = np.radians(np.asarray(angles))
    return np.stack([0 * angles, np.sin(angles), np.cos(angles)], axis=-1)[:, None]


def angles_of(directions):
    return np.degrees(np.arctan2(directions[:, 0, 1], directions[:, 0, 2]))


def sure(directions):
    return np.ones(directions.shape[:2])


@pytest.mark.parametrize("rate", [24, 30, 60, 120])
def test_a_four_hertz_punch_keeps_its_reach(rate):
    smoothed = angles_of(smooth_directions(swing(rate, 4.0), rate, CUTOFF, np.ones((3 * rate, 1))))
    middle = smoothed[rate // 2 : -rate // 2]
    reach = np.sqrt(2 * np.mean(middle**2))
    assert reach > 0.93 * 45


def test_the_gain_at_the_cutoff_is_one_over_root_two():
    time = np.arange(600) / 100
    wave = np.sin(2 * np.pi * 5.0 * time)
    gain = np.sqrt(2 * np.mean(smooth(wave, 100, 5.0)[100:-100] ** 2))
    assert gain == pytest.approx(np.sqrt(0.5), rel=0.01)
    small = angles_of(smooth_directions(swing(100, 5.0, degrees=5, seconds=6), 100, 5.0, np.ones((600, 1))))
    assert np.sqrt(2 * np.mean(small[100:-100] ** 2)) == pytest.approx(5 * np.sqrt(0.5), rel=0.02)


def test_smoothing_has_no_lag():
    directions = swing(30, 1.0)
    smoothed = angles_of(smooth_directions(directions, 30, CUTOFF, sure(directions)))
    shifts = [np.sum(smoothed[5:-5] * angles_of(directions)[5 + s : len(smoothed) - 5 + s]) for s in (-1, 0, 1)]
    assert np.argmax(shifts) == 1


def test_jitter_is_reduced():
    rng = np.random.default_rng(0)
    still = normalize(np.array([0.0, 0.0, 1.0]) + 0.05 * rng.normal(size=(120, 1, 3)))
    smoothed = smooth_directions(still, 60, CUTOFF, sure(still))
    jerk = [np.linalg.norm(np.diff(d, 2, axis=0), axis=-1).mean() for d in (still, smoothed)]
    assert jerk[1] < 0.2 * jerk[0]


@pytest.mark.parametrize("lasting", [1, 2])
def test_one_frame_glitches_are_dropped(lasting):
    directions = swing(30, 0.5)
    glitched = directions.copy()
    glitched[40 : 40 + lasting] *= -1
    smoothed = smooth_directions(glitched, 30, CUTOFF, sure(directions))
    assert np.abs(angles_of(smoothed) - angles_of(directions)).max() < 8


def test_what_is_seen_badly_follows_its_neighbours():
    directions = swing(30, 0.5)
    wrong = directions.copy()
    wrong[40] = pointing([angles_of(directions)[40] + 40])[0]
    errors = []
    for confidence in (1.0, 0.05):
        trust = sure(directions)
        trust[40] = confidence
        errors.append(np.abs(angles_of(smooth_directions(wrong, 30, CUTOFF, trust)) - angles_of(directions)).max())
    assert errors[1] < 0.4 * errors[0]


def test_directions_stay_unit_even_when_opposite_ones_meet():
    flipping = np.where(np.arange(20)[:, None, None] % 2, 1.0, -1.0) * np.array([0.0, 0.0, 1.0])
    smoothed = smooth_directions(flipping, 30, 2.0, sure(flipping))
    np.testing.assert_allclose(np.linalg.norm(smoothed, axis=-1), 1.0, atol=1e-9)


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_any_length_works_and_straight_lines_stay(frames):
    line = np.outer(np.arange(frames, dtype=float), [1.0, -2.0])
    np.testing.assert_allclose(smooth(line, 30, 1.0), line, atol=1e-9)


def test_no_cutoff_means_no_smoothing():
    values = np.random.default_rng(0).normal(size=(9, 2))
    np.testing.assert_array_equal(smooth(values, 30, 0.0), values)
    directions = normalize(np.random.default_rng(0).normal(size=(9, 2, 3)))
    np.testing.assert_array_equal(smooth_directions(directions, 30, 0.0, sure(directions)), directions)


def test_a_gap_turns_evenly_from_side_to_side():
    directions = pointing(np.linspace(0, 90, 10))
    seen = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 1], dtype=bool)
    broken = np.where(seen[:, None, None], directions, [1.0, 0.0, 0.0])
    np.testing.assert_allclose(bridge(broken, seen), directions, atol=1e-9)


def test_a_gap_at_an_end_holds_the_nearest_pose():
    directions = pointing(np.linspace(0, 90, 6))
    seen = np.array([0, 0, 1, 1, 0, 0], dtype=bool)
    bridged = angles_of(bridge(directions, seen))
    np.testing.assert_allclose(bridged, [36, 36, 36, 54, 54, 54], atol=1e-6)


def test_a_gap_between_opposite_directions_stays_finite():
    directions = pointing([0, 0, 0, 180])
    bridged = bridge(directions, [True, False, False, True])
    np.testing.assert_allclose(np.linalg.norm(bridged, axis=-1), 1, atol=1e-9)


def test_nothing_seen_changes_nothing():
    directions = pointing([0, 20, 50])
    np.testing.assert_array_equal(bridge(directions, [False] * 3), directions)


def test_smoothing_does_not_care_where_forward_is():
    directions = swing(30, 2.0)
    R = axis_angle_to_matrix(normalize([1.0, 2.0, 3.0]), 1.1)
    turned = smooth_directions(directions @ R.T, 30, CUTOFF, sure(directions))
    np.testing.assert_allclose(turned, smooth_directions(directions, 30, CUTOFF, sure(directions)) @ R.T, atol=2e-3)
