# SPDX-License-Identifier: GPL-3.0-or-later
"""World axes, floor and contacts."""

import numpy as np
import pytest

from tests import walker
from video_to_pose.motion import ground
from video_to_pose.rotation import normalize
from video_to_pose.settings import MotionSettings
from video_to_pose.skeleton import BODY_22, H36M_17

RATE = walker.RATE


def feet(joints):
    index = [BODY_22.index(joint) for joint in ground.CONTACTS.values()]
    return ground.sole_heights(BODY_22, joints, walker.LEG), joints[:, index]


@pytest.mark.parametrize("up", [[0, -1, 0], [0.1, -0.9, 0.3], [0, -0.1, -1], [0, 0, 1], [1, 0, 0]])
def test_world_axes_are_a_rotation_with_z_against_gravity(up):
    R = ground.world_axes(normalize(np.array(up, dtype=float)))
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)
    np.testing.assert_allclose(R @ normalize(np.array(up, dtype=float)), [0, 0, 1], atol=1e-12)


def test_a_level_camera_looks_along_y_with_x_to_its_right():
    R = ground.world_axes([0, -1, 0])
    np.testing.assert_allclose(R @ [0, 0, 1], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(R @ [1, 0, 0], [1, 0, 0], atol=1e-12)


def test_a_person_standing_flat_has_soles_on_the_floor():
    heights, _ = feet(walker.jump(0.0)[0])
    np.testing.assert_allclose(heights, 0, atol=1e-9)


def test_skeletons_without_toes_touch_with_their_heels_alone():
    assert list(ground.contact_joints(H36M_17)) == ["left_heel", "right_heel"]


def test_contacts_are_low_and_slow_and_last():
    joints, planted = walker.walk()
    contacts = ground.find_contacts(*feet(joints), RATE, MotionSettings())
    for column, side in ((1, 0), (3, 1)):
        agree = contacts[:, column] == planted[:, side]
        assert agree.mean() > 0.95
        runs = np.diff(np.flatnonzero(np.diff(contacts[:, column].astype(int))))
        assert runs.min() >= 3


def test_one_bad_frame_does_not_break_a_contact():
    joints, _ = walker.jump(0.0)
    shaken = joints.copy()
    shaken[30] += [0, 0, 0.12]
    contacts = ground.find_contacts(*feet(shaken), RATE, MotionSettings())
    assert contacts.mean() > 0.9


def test_a_hand_standing_still_in_the_air_is_no_contact():
    joints = walker.jump(0.0)[0] + [0, 0, 0.3]
    assert not ground.find_contacts(*feet(joints), RATE, MotionSettings()).any()


def test_the_floor_follows_slow_drift_but_not_a_jump():
    joints, _ = walker.walk(seconds=6, speed=0.8)
    drift = 0.05 * joints[:, 0, 1]  # the floor seems to fall with the way covered
    heights, places = feet(joints + drift[:, None, None] * [0, 0, 1])
    line = ground.floor_line(heights, places, RATE, flat=True)
    np.testing.assert_allclose(line[15:-15], drift[15:-15], atol=0.02)
    line = ground.floor_line(*feet(walker.jump(0.35)[0]), RATE, flat=True)
    np.testing.assert_allclose(line, 0, atol=0.02)


def test_an_uneven_floor_is_one_height():
    line = ground.floor_line(*feet(walker.walk()[0]), RATE, flat=False)
    assert np.ptp(line) == 0


def test_the_floors_tilt_is_found_from_soles_spread_wide():
    joints, _ = walker.walk(seconds=8, speed=0.9, heading=0.7)
    slope = np.array([0.05, -0.04])
    heights, places = feet(joints)
    normal = ground.floor_tilt(places, heights + places[..., :2] @ slope, RATE)
    true = normalize(np.array([*-slope, 1.0]))
    before, after = (np.degrees(np.arccos(np.clip(n @ true, -1, 1))) for n in (np.array([0, 0, 1.0]), normal))
    assert after < 0.6 * before


def test_who_stays_on_the_spot_or_climbs_does_not_tilt_the_floor():
    rng = np.random.default_rng(0)
    spot, _ = walker.jump(0.3)
    climbing = walker.walk(seconds=3, speed=0.1)[0] + np.linspace(0, 1.2, 90)[:, None, None] * [0, 0, 1.0]
    for joints in (spot, climbing):
        heights, places = feet(joints + 0.03 * rng.normal(size=joints.shape))
        normal = ground.floor_tilt(places, heights, RATE)
        assert np.degrees(np.arccos(normal[2])) < 3


def test_unsinking_lifts_what_is_deep_and_nothing_else():
    joints, _ = walker.walk()
    root = joints[:, 0].copy()
    heights, _ = feet(joints)
    np.testing.assert_array_equal(ground.unsink(root, heights, RATE), root)
    heights[50:60] -= 0.1
    lifted = ground.unsink(root, heights, RATE)[:, 2] - root[:, 2]
    assert np.all(lifted[50:60] + heights[50:60].min(axis=1) > -0.03)
    assert not lifted[:30].any() and not lifted[90:].any()


def test_anchoring_holds_planted_feet_without_adding_up():
    joints, planted = walker.walk(seconds=6)
    wander = 0.03 * np.sin(2 * np.pi * 1.3 * np.arange(len(joints)) / RATE)
    moved = joints + wander[:, None, None] * [1.0, 0, 0]
    contacts = np.repeat(planted, 2, axis=1)
    anchored = ground.anchor(moved[:, 0], feet(moved)[1], contacts, RATE) - joints[:, 0]
    assert np.std(np.diff(anchored[:, 0])) < 0.4 * np.std(np.diff(wander))
    assert np.abs(anchored).max() < 0.08
