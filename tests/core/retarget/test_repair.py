# SPDX-License-Identifier: GPL-3.0-or-later
"""Swapped sides and leaps of bones are found and mended; true motion, however fast, comes back to the bit."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.core.retarget.motions import about, degrees_between, straight, tumbling
from tests.motions import SHARED, captured, dance
from video_to_pose.retarget.repair import Repair, repair
from video_to_pose.rotation import axis_angle_to_matrix, normalize
from video_to_pose.types import Motion

MOCAP = SHARED / "data" / "mocap"
needs_mocap = pytest.mark.skipif(not MOCAP.is_dir(), reason="no captured motion at hand")
LIVELY = ("train/martial_06", "train/salsa_26", "train/05_11", "train/01_14", "train/13_14", "test/14_08", "test/09_03")


@cache
def lively():
    return [captured(name, seconds=10) for name in LIVELY]


LIMBS = {"arms": ("shoulder", "elbow", "wrist", "hand"), "legs": ("hip", "knee", "ankle", "toe")}


def swapped(motion, limbs, start, frames, root=True):
    """The motion with left and right limbs exchanged for some frames, with or without the bones they hang on."""
    directions = motion.directions.copy()
    joints = LIMBS[limbs] if root else LIMBS[limbs][1:]
    left, right = ([motion.skeleton.index(f"{side}_{joint}") - 1 for joint in joints] for side in ("left", "right"))
    here = slice(start, start + frames)
    directions[here, left], directions[here, right] = motion.directions[here, right], motion.directions[here, left]
    return replace(motion, directions=directions)


def leaping(motion, joint, start, frames, degrees, seed=0):
    """The motion with one bone turned away for some frames."""
    bone = motion.skeleton.index(joint) - 1
    directions = motion.directions.astype(np.float64)
    axis = normalize(np.cross(directions[start, bone], np.random.default_rng(seed).normal(size=3)))
    turn = axis_angle_to_matrix(axis, np.radians(degrees))
    directions[start : start + frames, bone] = directions[start : start + frames, bone] @ turn.T
    return replace(motion, directions=directions)


def worst(a, b):
    """Degrees between the bones of two motions where they differ most."""
    return degrees_between(a.directions.astype(float), b.directions.astype(float)).max()


def trembling(motion, degrees=1.0):
    noise = np.radians(degrees) * np.random.default_rng(0).normal(size=motion.directions.shape)
    return replace(motion, directions=normalize(motion.directions + noise))


@pytest.mark.parametrize("motion", [dance(150), straight(), straight(trembling_deg=2.0), tumbling(dance(150))])
def test_motion_in_which_nothing_is_wrong_comes_back_as_it_is(motion):
    mended, repairs = repair(motion)
    assert mended is motion and repairs == ()


@needs_mocap
@pytest.mark.parametrize("name", LIVELY)
def test_blows_kicks_spins_and_jumps_are_left_alone(name):
    motion = captured(name, seconds=20)
    mended, repairs = repair(motion)
    assert mended is motion and repairs == ()


@needs_mocap
@pytest.mark.slow
def test_nothing_is_repaired_in_captured_clips_of_all_performers():
    repaired = {}
    for path in sorted(MOCAP.glob("*/*.bvh"))[::4]:
        name = f"{path.parent.name}/{path.stem}"
        motion = captured(name, seconds=1e6)
        if repairs := repair(motion)[1]:
            repaired[name] = repairs
    assert not repaired


@pytest.mark.parametrize("limbs", ["arms", "legs"])
@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("frames", [1, 2, 3, 7, 15])
def test_sides_that_were_exchanged_are_put_right_to_the_bit(limbs, root, frames):
    motion = dance(90)
    mended, repairs = repair(swapped(motion, limbs, 33, frames, root))
    assert repairs == (Repair("swap", limbs, motion.timestamps[33], motion.timestamps[32 + frames]),)
    np.testing.assert_array_equal(mended.directions, motion.directions)


@needs_mocap
def test_swaps_in_captured_motion_are_found_and_mended_to_a_few_degrees():
    motions, rng, left = lively(), np.random.default_rng(0), []
    for trial in range(160):
        motion = motions[trial % len(motions)]
        frames = int(rng.integers(1, 16))
        start = int(rng.integers(3, motion.frame_count - frames - 3))
        broken = swapped(motion, ("arms", "legs")[trial % 2], start, frames, bool(trial // 2 % 2))
        if worst(broken, motion) > 20:  # parallel limbs that change sides look alike
            left.append(worst(repair(broken)[0], motion))
    assert len(left) > 140
    assert np.percentile(left, 95) < 1.0 and np.mean(np.less(left, 5.0)) > 0.96


def test_arms_and_legs_swapped_several_times_are_all_put_right():
    motion = dance(150)
    broken = swapped(swapped(swapped(motion, "arms", 20, 4), "arms", 27, 6), "legs", 22, 9)
    broken = swapped(broken, "legs", 90, 12, root=False)
    mended, repairs = repair(broken)
    assert [(r.part, round(r.start_s * 30), round(r.end_s * 30)) for r in repairs] == [
        ("arms", 20, 23),
        ("legs", 22, 30),
        ("arms", 27, 32),
        ("legs", 90, 101),
    ]
    np.testing.assert_array_equal(mended.directions, motion.directions)


@pytest.mark.parametrize("start", [0, 83])
def test_a_swap_at_an_end_of_the_clip_is_put_right_where_it_is_short(start):
    motion = dance(90)
    mended, repairs = repair(swapped(motion, "arms", start, 7))
    assert len(repairs) == 1
    np.testing.assert_array_equal(mended.directions, motion.directions)


def test_a_long_exchange_is_left_as_it_is():
    broken = swapped(dance(120), "legs", 30, 45)
    assert repair(broken) == (broken, ())


def test_contacts_and_confidence_change_sides_with_the_legs():
    motion = dance(60)
    names = ("left_heel", "left_toe", "right_heel", "right_toe")
    contacts = np.tile([True, False, False, True], (60, 1))
    confidence = np.linspace(0.1, 1, 22) * np.ones((60, 1))
    true = replace(motion, contact_names=names, contacts=contacts, confidence=confidence)
    broken = swapped(true, "legs", 20, 6)
    contacts[20:26], confidence[20:26, 1:9] = contacts[0, [2, 3, 0, 1]], confidence[0, [5, 6, 7, 8, 1, 2, 3, 4]]
    mended, _ = repair(replace(broken, contacts=contacts, confidence=confidence))
    np.testing.assert_array_equal(mended.contacts, true.contacts)
    np.testing.assert_array_equal(mended.confidence, true.confidence)


def test_a_swap_that_was_smoothed_over_is_found_too():
    from video_to_pose.motion.smooth import smooth_directions

    motion = dance(90)
    broken = swapped(motion, "arms", 30, 8)
    sure = np.ones(motion.directions.shape[:2])
    blurred = replace(broken, directions=smooth_directions(broken.directions, 30, 7.0, sure))
    mended, repairs = repair(blurred)
    assert [r.kind for r in repairs] == ["swap"]
    assert worst(mended, motion) < 20 < 0.2 * worst(blurred, motion)


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize(
    ("joint", "part"),
    [
        ("left_wrist", "left_arm"),
        ("right_hand", "right_hand"),
        ("left_knee", "left_leg"),
        ("right_toe", "right_foot"),
        ("head", "head"),
        ("thorax", "trunk"),
    ],
)
def test_a_bone_that_leaps_away_and_back_is_led_through(joint, part, frames):
    motion = dance(90)
    mended, repairs = repair(leaping(motion, joint, 40, frames, 80.0))
    assert repairs == (Repair("spike", part, motion.timestamps[40], motion.timestamps[39 + frames]),)
    assert worst(mended, motion) < 3
    bone = motion.skeleton.index(joint) - 1
    others = np.arange(21) != bone
    np.testing.assert_array_equal(mended.directions[:, others], motion.directions[:, others])


@pytest.mark.parametrize("frame", [1, 88])
def test_a_leap_next_to_an_end_of_the_clip_is_found(frame):
    motion = dance(90)
    mended, repairs = repair(leaping(motion, "left_elbow", frame, 1, 80.0))
    assert [r.part for r in repairs] == ["left_arm"]
    assert worst(mended, motion) < 6


@needs_mocap
@pytest.mark.parametrize(("degrees", "share"), [(40, 0.6), (60, 0.75), (120, 0.9)])
def test_leaps_in_captured_motion_are_found_and_mended_to_a_few_degrees(degrees, share):
    motions, rng, left = lively(), np.random.default_rng(0), []
    joints = [joint for joint in motions[0].skeleton.joints[1:] if "toe" not in joint]
    for trial in range(120):
        motion = motions[trial % len(motions)]
        start = int(rng.integers(3, motion.frame_count - 6))
        broken = leaping(motion, joints[trial % len(joints)], start, trial % 3 + 1, degrees, trial)
        left.append(worst(repair(broken)[0], motion))
    assert np.mean(np.less(left, 5.0)) > share


def test_leaps_are_found_in_motion_that_trembles():
    true = trembling(dance(90))
    mended, repairs = repair(leaping(true, "right_wrist", 50, 2, 80.0))
    assert [(r.kind, r.part) for r in repairs] == [("spike", "right_arm")]
    assert worst(mended, true) < 12


def test_swaps_are_found_in_motion_that_trembles():
    true = trembling(dance(90), 2.0)
    mended, repairs = repair(swapped(true, "arms", 50, 5))
    assert [(r.kind, r.part) for r in repairs] == [("swap", "arms")]
    np.testing.assert_array_equal(mended.directions, true.directions)


def test_a_leap_beside_a_swap_is_found_after_it():
    motion = dance(90)
    mended, repairs = repair(leaping(swapped(motion, "arms", 30, 5), "left_knee", 32, 1, 80.0))
    assert [(r.kind, r.part) for r in repairs] == [("swap", "arms"), ("spike", "left_leg")]
    assert worst(mended, motion) < 3


def test_what_is_found_does_not_depend_on_where_forward_is():
    motion = dance(90)
    broken = leaping(swapped(motion, "legs", 30, 5), "left_wrist", 60, 2, 70.0)
    R = about("x", 40) @ about("z", 70)
    turned = replace(broken, directions=broken.directions @ R.T)
    assert repair(turned)[1] == repair(broken)[1]
    np.testing.assert_allclose(repair(turned)[0].directions, repair(broken)[0].directions @ R.T, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_the_shortest_clips_are_left_alone(frames):
    motion = dance(frames)
    assert repair(motion) == (motion, ())


def test_other_skeletons_are_mended_too():
    from video_to_pose.skeleton import H36M_17

    motion = dance(90)
    bones = [motion.skeleton.index({"nose": "head"}.get(joint, joint)) - 1 for joint in H36M_17.joints[1:]]
    other = Motion(
        skeleton=H36M_17,
        timestamps=motion.timestamps,
        directions=motion.directions[:, bones],
        lengths=motion.lengths[bones],
        root=motion.root,
        confidence=np.ones((90, 17)),
        contact_names=(),
        contacts=np.zeros((90, 0), bool),
    )
    broken = other.directions.copy()
    left, right = ([H36M_17.index(f"{side}_{j}") - 1 for j in ("knee", "ankle")] for side in ("left", "right"))
    broken[40:46, left], broken[40:46, right] = other.directions[40:46, right], other.directions[40:46, left]
    mended, repairs = repair(replace(other, directions=broken))
    assert [(r.kind, r.part) for r in repairs] == [("swap", "legs")]
    np.testing.assert_array_equal(mended.directions, other.directions)
