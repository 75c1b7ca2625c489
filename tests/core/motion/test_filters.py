# SPDX-License-Identifier: GPL-3.0-or-later
"""Our filters over time are scipy's, so that a Take solved inside Blender is the Take that was captured."""

import numpy as np
import pytest
from scipy import ndimage

from video_to_pose.motion import filters

FRAMES = (1, 2, 5, 40, 5000)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + shape[0]).normal(size=shape)


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("taps", [1, 3, 11, 213])
def test_correlation_is_scipys(frames, taps):
    values, kernel = noise(frames, 3), noise(taps)
    wanted = ndimage.correlate1d(values, kernel, axis=0, mode="constant")
    np.testing.assert_allclose(filters.correlate(values, kernel), wanted, atol=1e-12)


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("width", [1, 3, 5, 9])
def test_the_median_is_scipys(frames, width):
    values = noise(frames, 2, 3)
    wanted = ndimage.median_filter(values, size=(width, 1, 1), mode="nearest")
    np.testing.assert_array_equal(filters.median(values, width), wanted)


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("width", [1, 2, 3, 6, 7, 42])
def test_lines_are_opened_raised_and_averaged_as_scipy_does(frames, width):
    values = noise(frames)
    np.testing.assert_array_equal(filters.opened(values, width), ndimage.grey_opening(values, width, mode="nearest"))
    wanted = ndimage.uniform_filter1d(values, width, mode="nearest")
    np.testing.assert_allclose(filters.mean(values, width), wanted, atol=1e-12)
    wide = 2 * width + 1
    wanted = ndimage.maximum_filter1d(values, wide, mode="nearest")
    np.testing.assert_array_equal(filters.highest(values, wide), wanted)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
def test_runs_are_joined_and_dropped_as_scipy_does(share, width):
    mask = np.random.default_rng(width).random((300, 4)) < share
    along_time = np.ones((width, 1), dtype=bool)
    np.testing.assert_array_equal(filters.without_gaps(mask, width), ndimage.binary_closing(mask, along_time))
    np.testing.assert_array_equal(filters.without_flashes(mask, width), ndimage.binary_opening(mask, along_time))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_seeds_spread_as_scipys_do(share):
    rng = np.random.default_rng(3)
    within = rng.random((200, 4)) < share
    seeds = within & (rng.random(within.shape) < 0.2)
    wanted = ndimage.binary_propagation(seeds, np.array([[0, 1, 0]] * 3), within)
    np.testing.assert_array_equal(filters.spread(seeds, within), wanted)
