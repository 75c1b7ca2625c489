# SPDX-License-Identifier: GPL-3.0-or-later
"""A moving camera is told from a still one by what lies behind the people."""

import numpy as np
import pytest

from video_to_pose.track import BackgroundWatcher, sway
from video_to_pose.track.background import Sway

SIZE = (320, 240)


def scene(x, y):
    """(..., 3) a room full of things, brightness at places in pixels."""
    rng = np.random.default_rng(0)
    light = np.full(np.broadcast(x, y).shape, 120.0)
    for wave, angle, phase in zip(
        rng.uniform(25, 160, 12), rng.uniform(0, 6.3, 12), rng.uniform(0, 6.3, 12), strict=True
    ):
        light += 13 * np.sin(2 * np.pi / wave * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return np.repeat(np.clip(light, 0, 255)[..., None], 3, axis=-1).astype(np.uint8)


def film(frames, shift=(0.0, 0.0), zoom=0.0, roll=0.0, light=0.0, noise=0.0, person=False):
    """Pictures whose background moves by so much from frame to frame, and the keypoints of who walks through them."""
    rng = np.random.default_rng(1)
    for f in range(frames):
        y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(float)
        x, y = x - SIZE[0] / 2, y - SIZE[1] / 2
        c, s = np.cos(roll * f), np.sin(roll * f)
        x, y = (c * x + s * y) / np.exp(zoom * f), (c * y - s * x) / np.exp(zoom * f)
        rgb = (
            scene(x + 400 - shift[0] * f, y + 300 - shift[1] * f)
            + light * f
            + rng.normal(0, noise + 1e-9, (*SIZE[::-1], 1))
        )
        people = []
        if person:
            left = int(20 + 3 * f)
            rgb[60:220, left : left + 60] = [200, 30, 40]
            people = [np.array([[left + 5.0, 65.0], [left + 55.0, 215.0]])]
        yield np.clip(rgb, 0, 255).astype(np.uint8), people


def seen(**how):
    watch = BackgroundWatcher()
    for rgb, people in film(20, **how):
        watch(rgb, people)
    return watch.path()


@pytest.mark.parametrize(
    "how", [{}, {"noise": 6.0}, {"person": True}, {"light": 0.8}], ids=["calm", "noisy", "person", "dawn"]
)
def test_a_still_camera_does_not_move(how):
    found = sway(seen(**how), SIZE)
    assert not found.moves
    assert found.shift_px < 2


@pytest.mark.parametrize("shift", [(0.5, 0.0), (-3.0, 1.0), (0.0, -0.8)])
def test_a_pan_is_seen_and_measured(shift):
    path = seen(shift=shift, noise=3.0, person=True)
    assert sway(path, SIZE).moves
    np.testing.assert_allclose(path[-1, :2], np.array(shift) * 19, atol=0.25 * np.hypot(*shift) * 19)


def test_zoom_and_roll_are_told_apart_from_shifts():
    zoomed, rolled = sway(seen(zoom=0.01), SIZE), sway(seen(roll=0.01), SIZE)
    assert zoomed.moves and zoomed.zoom == pytest.approx(np.expm1(0.19), rel=0.35) and zoomed.roll_degrees < 2
    assert rolled.moves and rolled.roll_degrees == pytest.approx(np.degrees(0.19), rel=0.35) and rolled.zoom < 0.05


def test_somebody_who_fills_the_picture_leaves_nothing_to_tell_by():
    watch = BackgroundWatcher()
    for rgb, _ in film(10, shift=(4.0, 0.0)):
        watch(rgb, [np.array([[0.0, 0.0], [SIZE[0], SIZE[1]]])])
    assert not sway(watch.path(), SIZE).moves


def test_nothing_seen_is_nothing_moved():
    assert sway(np.zeros((0, 4)), SIZE) == Sway(False, 0.0, 0.0, 0.0)
    assert BackgroundWatcher().path().shape == (0, 4)
