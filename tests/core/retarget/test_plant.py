# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted feet neither slide nor sink, on rigs of any size, and knees do not snap for it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.core.retarget.motions import degrees_between
from tests.core.retarget.rigs import TARGETS, feet_of, knees_of, rig_of, sized
from tests.motions import SHARED, captured, dance, standing
from video_to_pose import retarget
from video_to_pose.evaluation.feet import foot_slide, penetration
from video_to_pose.kinematics import pose_matrices
from video_to_pose.settings import RetargetSettings
from video_to_pose.skeleton import BODY_32

needs_mocap = pytest.mark.skipif(
    not (SHARED / "data" / "mocap").is_dir(), reason="no captured motion beside the project"
)


def solved(motion, rig, **options):
    return retarget.solve(motion, rig, retarget.map_bones(rig), RetargetSettings(**options))


@needs_mocap
@pytest.mark.parametrize("size", [0.6, 1.0, 1.6])
@pytest.mark.parametrize("name", ["test/14_05", "test/09_03", "test/14_21", "train/salsa_07"])
def test_feet_stay_put_on_rigs_of_any_size(name, size):
    motion, rig = captured(name, skeleton=BODY_32), rig_of(sized(TARGETS["a_pose"](), size))
    loose, planted = (solved(motion, rig, feet=feet) for feet in ("never", "auto"))
    points = feet_of(planted)
    assert foot_slide(points, motion.contacts, 30.0) < max(1.3, 0.1 * foot_slide(feet_of(loose), motion.contacts, 30.0))
    assert penetration(points) < 0.5
    added = np.abs(np.diff(knees_of(planted), axis=0)) - np.abs(np.diff(knees_of(loose), axis=0))
    assert added.max() < 12


@needs_mocap
def test_arms_and_trunk_do_not_feel_the_floor():
    motion, rig = captured("train/salsa_07", skeleton=BODY_32), rig_of(TARGETS["a_pose"]())
    loose, planted = (solved(motion, rig, feet=feet) for feet in ("never", "auto"))
    for part, error in retarget.limb_errors(motion, planted, retarget.map_bones(rig)).items():
        assert error.max() < (20 if "leg" in part else 0.01)
    hips = rig.names.index("pelvis")
    moved = np.linalg.norm((pose_matrices(planted) - pose_matrices(loose))[:, hips, :3, 3], axis=-1)
    assert np.abs(np.diff(moved)).max() < 0.02


def walked(contacts_at: slice):
    """The dance with its left foot said to be in contact for a while."""
    motion = dance(60)
    contacts = np.zeros((60, 2), bool)
    contacts[contacts_at] = True
    return replace(motion, contact_names=("left_heel", "left_toe"), contacts=contacts)


def test_only_what_is_in_contact_is_held():
    motion, rig = walked(slice(20, 30)), rig_of(TARGETS["a_pose"]())
    points = feet_of(solved(motion, rig, feet="auto"))
    step = np.linalg.norm(np.diff(points[:, :2], axis=0), axis=-1)
    assert step[20:29].max() < 1e-4 and step[5:15].min() > 1e-3 and step[40:50].min() > 1e-3
    assert np.abs(points[20:30, :2, 2]).max() < 1e-4


def test_the_foot_comes_to_its_place_and_leaves_it_without_a_pop():
    motion, rig = walked(slice(20, 30)), rig_of(TARGETS["a_pose"]())
    loose, planted = (feet_of(solved(motion, rig, feet=feet)) for feet in ("never", "auto"))
    step, before = (np.linalg.norm(np.diff(points[:, 1], axis=0), axis=-1) for points in (planted, loose))
    assert step.max() < 2.5 * before.max()


def test_no_contact_and_nothing_in_the_floor_changes_nothing():
    motion, rig = replace(standing(30), contacts=np.zeros((30, 1), bool)), rig_of(TARGETS["mixamo"]())
    loose, planted = (solved(motion, rig, feet=feet) for feet in ("never", "auto"))
    assert np.abs(pose_matrices(loose) - pose_matrices(planted)).max() < 2e-3


@needs_mocap
def test_always_keeps_a_foot_on_the_floor_and_grounded_lets_it_slide():
    motion, rig = captured("train/salsa_07"), rig_of(TARGETS["a_pose"]())
    motion = replace(motion, contacts=np.zeros_like(motion.contacts))
    lowest = feet_of(solved(motion, rig, feet="always"))[..., 2].min(axis=1)
    assert np.percentile(np.abs(lowest), 90) < 0.01
    motion = captured("train/salsa_07")
    grounded = feet_of(solved(motion, rig, feet="grounded"))
    assert foot_slide(grounded, motion.contacts, 30.0) > 5 and penetration(grounded) < 0.5


def test_feet_can_be_left_alone_and_other_words_are_refused():
    motion, rig = walked(slice(20, 30)), rig_of(TARGETS["a_pose"]())
    errors = retarget.limb_errors(motion, solved(motion, rig, feet="never"), retarget.map_bones(rig))
    assert max(error.max() for error in errors.values()) < 0.01
    with pytest.raises(ValueError, match="feet"):
        solved(motion, rig, feet="sometimes")


@needs_mocap
def test_toes_lie_flat_while_only_the_ball_is_down():
    motion, rig = captured("test/14_21", skeleton=BODY_32), rig_of(TARGETS["a_pose"]())
    animation = solved(motion, rig)
    matrices, ball = pose_matrices(animation), rig.names.index("ball_l")
    turn = matrices[:, ball, :3, :3] @ rig.rest[ball, :3, :3].T
    on_ball = motion.contacts[:, 1] & ~motion.contacts[:, 0]
    up = turn[on_ball] @ np.array([0.0, 0, 1.0])
    assert on_ball.any() and degrees_between(up, np.array([0.0, 0, 1.0])).max() < 2


@pytest.mark.parametrize("end", ["heel", "ball"])
def test_a_foot_that_turns_on_one_end_keeps_that_end_still(end):
    from tests.core.retarget.motions import about
    from video_to_pose.retarget.plant import Leg, plant

    yaw = np.interp(np.arange(40), [15, 25], [0.0, 50.0])
    heel, ball = np.array([0.0, 0.05, -0.08]), np.array([0.0, -0.13, -0.08])
    foot = about("z", yaw)
    ankle = -foot @ {"heel": heel, "ball": ball}[end] + np.random.default_rng(0).normal(size=(40, 3)) * 0.002
    hip = ankle * [1, 1, 0] + [0, 0, 0.85]
    knee = (hip + ankle) / 2 + [0, -0.08, 0]
    leg = Leg(hip, knee, ankle, np.tile([1.0, 0, 0], (40, 1)), foot, heel, ball)
    contact = np.ones((40, 2), bool)
    contact[15:25, 1 if end == "heel" else 0] = False
    planted = plant((leg, leg), (contact, contact), 30.0, "auto").legs[0]
    still, turns = (planted.point(point) for point in ((heel, ball) if end == "heel" else (ball, heel)))
    assert np.abs(np.diff(still, axis=0)).max() < 1e-3 < np.abs(np.diff(turns[14:26], axis=0)).max()
    assert np.abs(still[:, 2]).max() < 1e-6


def leaning_leg(degrees):
    """A leg (F, …) over a sole that stands on one spot but rolls about its length by so much, with both ends down."""
    from tests.core.retarget.motions import about
    from video_to_pose.retarget.plant import Leg

    frames = len(degrees)
    heel, ball = np.array([0.0, 0.05, -0.08]), np.array([0.0, -0.13, -0.08])
    foot = about("y", degrees)
    ankle = -foot @ ball
    hip = ankle * [1, 1, 0] + [0, 0, 0.85]
    leg = Leg(hip, (hip + ankle) / 2 + [0, -0.08, 0], ankle, np.tile([1.0, 0, 0], (frames, 1)), foot, heel, ball)
    return leg, np.ones((frames, 2), bool)


def lean_of(leg):
    return np.degrees(np.arcsin(-leg.foot[:, 2, 0]))


@pytest.mark.parametrize("side", [-1, 1])
def test_a_foot_leans_as_in_a_wide_stance_where_it_may_and_is_calm(side):
    from video_to_pose.retarget.plant import plant

    leg, contact = leaning_leg(side * 25 + 4 * np.random.default_rng(0).normal(size=60))
    leaning, flat = (plant((leg, leg), (contact, contact), 30.0, "auto", lean=lean).legs[0] for lean in (True, False))
    assert np.abs(lean_of(leaning) - side * 24).max() < 3 and np.abs(np.diff(lean_of(leaning))).max() < 0.3
    assert np.abs(lean_of(flat)).max() < 1e-6
    for point in (leg.heel, leg.ball):
        assert np.abs(leaning.point(point)[:, 2]).max() < 1e-6
        assert np.abs(np.diff(leaning.point(point), axis=0)).max() < 1e-3


def test_a_small_lean_is_noise():
    from video_to_pose.retarget.plant import plant

    leg, contact = leaning_leg(np.full(60, 3.0))
    planted = plant((leg, leg), (contact, contact), 30.0, "auto", lean=True).legs[0]
    assert np.abs(lean_of(planted)).max() < 1.0


def test_a_leaning_foot_rises_and_comes_down_without_a_pop():
    from video_to_pose.retarget.plant import plant

    leg, contact = leaning_leg(np.interp(np.arange(60), [0, 60], [0.0, 40.0]))
    contact[:15], contact[45:] = False, False
    planted = plant((leg, leg), (contact, contact), 30.0, "auto", lean=True).legs[0]
    assert np.abs(np.diff(lean_of(planted))).max() < 3.0
