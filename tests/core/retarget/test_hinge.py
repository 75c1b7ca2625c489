# SPDX-License-Identifier: GPL-3.0-or-later
"""The hinge is what bent frames say, and keeps still where they say nothing."""

import numpy as np

from tests.core.retarget.motions import about, degrees_between
from video_to_pose.retarget.hinge import hinge_axis, rest_hinge

DOWN, LEFT = np.array([0.0, 0, -1.0]), np.array([1.0, 0, 0])


def leg(flexion, yaw=0.0, swing=0.0):
    """First and second part of a leg that bends backwards by `flexion`, its plane turned by `yaw`, swung sideways."""
    flexion = np.atleast_1d(np.asarray(flexion, float))
    first = np.einsum("fij,j->fi", about("y", np.broadcast_to(swing, flexion.shape)), DOWN)
    turn = about("y", np.broadcast_to(swing, flexion.shape)) @ about("z", np.broadcast_to(yaw, flexion.shape))
    return first, np.einsum("fij,fj->fi", turn, np.einsum("fij,j->fi", about("x", -flexion), DOWN)), turn @ LEFT


def hinge(first, second, pull=1.0):
    ease = np.broadcast_to(DOWN, first.shape)
    return hinge_axis(first, second, ease, np.broadcast_to(LEFT, first.shape), pull=pull, wander=0.5, rate=30.0)


def test_a_bent_limb_says_its_hinge():
    first, second, axis = leg(np.full(40, 70.0), yaw=30.0)
    second = second if np.cross(first[0], second[0]) @ axis[0] > 0 else second * [1, -1, 1]
    assert degrees_between(hinge(first, second), np.cross(first, second)).max() < 1


def test_a_straight_limb_keeps_the_hinge_of_when_it_was_bent_however_it_swings():
    time = np.arange(60)
    flexion = np.where((time < 15) | (time > 45), -60.0, 0.0)
    first, second, axis = leg(flexion, yaw=35.0, swing=40 * np.sin(time / 8))
    found = hinge(first, second, pull=0.01)
    wanted = np.where(np.cross(first, second)[0] @ axis[0] > 0, 1, -1) * axis
    assert degrees_between(found, wanted).max() < 12


def test_a_straight_limb_that_nobody_ever_saw_bent_follows_the_prior_and_trembling_does_not_roll_it():
    rng = np.random.default_rng(0)
    first, second, _ = leg(np.zeros(90))
    noisy = second + np.radians(1.5) * rng.normal(size=second.shape)
    found = hinge(first, noisy / np.linalg.norm(noisy, axis=-1, keepdims=True))
    assert degrees_between(found, np.broadcast_to(LEFT, found.shape)).max() < 10


def test_a_knee_bent_a_little_the_wrong_way_is_straight():
    first, second, _ = leg(np.full(30, 8.0))
    assert degrees_between(hinge(first, second), np.broadcast_to(LEFT, first.shape)).max() < 5


def test_a_rigs_own_bend_counts_unless_it_is_backwards_or_tiny():
    for flexion, yaw, expected in ((-20.0, 30.0, 30.0), (-0.5, 60.0, 2.5), (-20.0, 180.0, 0.0)):
        first, second, _ = leg(flexion, yaw=yaw)
        found = rest_hinge(first, second, DOWN[None], LEFT[None])
        assert abs(degrees_between(found, LEFT[None])[0] - expected) < 3
