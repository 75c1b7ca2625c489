# SPDX-License-Identifier: GPL-3.0-or-later
"""A Take's own feet stay put: bones keep their lengths, and what is above the hips keeps its pose."""

from dataclasses import replace

import numpy as np
import pytest

from tests.core.retarget.motions import about
from tests.core.retarget.rigs import TARGETS, feet_of, rig_of
from tests.motions import CONTACTS, LENGTHS, SHARED, captured, dance, make_motion
from video_to_pose import bones, retarget
from video_to_pose.evaluation.feet import foot_slide
from video_to_pose.kinematics import pose_matrices
from video_to_pose.retarget.rig import rest_directions, rest_places
from video_to_pose.settings import RetargetSettings
from video_to_pose.skeleton import BODY_32

needs_mocap = pytest.mark.skipif(
    not (SHARED / "data" / "mocap").is_dir(), reason="no captured motion beside the project"
)


def joints(motion):
    return bones.compose(motion.skeleton, motion.directions, motion.lengths, motion.root)


def own_rig(motion):
    rig = retarget.rig_from_motion(motion)
    return retarget.solve(motion, rig, retarget.map_bones(rig), RetargetSettings())


@needs_mocap
@pytest.mark.parametrize("name", ["test/14_21", "train/salsa_07"])
def test_feet_slide_less_and_the_body_above_the_hips_only_moves_along(name):
    motion = captured(name)
    planted = retarget.planted(motion)
    before, after = foot_slide(feet_of(own_rig(motion)), motion.contacts, 30.0), None
    after = foot_slide(feet_of(own_rig(planted)), motion.contacts, 30.0)
    assert after < 0.5 * before
    upper = [b for b, joint in enumerate(motion.skeleton.joints[1:]) if "_" not in joint or "wrist" in joint]
    assert np.abs(planted.directions[:, upper] - motion.directions[:, upper]).max() < 1e-5


def test_lengths_times_and_contacts_stay():
    motion = dance()
    planted = retarget.planted(motion)
    _, lengths = bones.decompose(planted.skeleton, joints(planted))
    assert np.allclose(lengths, motion.lengths, atol=1e-5)
    assert np.array_equal(planted.contacts, motion.contacts)


@needs_mocap
def test_our_own_rig_repeats_a_planted_take_exactly():
    planted = retarget.planted(captured("test/14_21"))
    rig = retarget.rig_from_motion(planted)
    errors = retarget.limb_errors(planted, own_rig(planted), retarget.map_bones(rig))
    assert max(error.max() for error in errors.values()) < 0.01


def on_the_edges_of_the_feet(degrees=25.0, frames=40):
    """Somebody at rest whose ankles lean outwards over planted feet."""
    lengths = np.concatenate([LENGTHS, np.tile([0.07, 0.04, 0.09, 0.08, 0.11], 2)])
    directions = np.tile(rest_directions(BODY_32), (frames, 1, 1))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        feet = [BODY_32.index(f"{side}_{end}") - 1 for end in ("toe", "heel")]
        directions[:, feet] = directions[:, feet] @ about("y", sign * degrees).T
    pelvis = rest_places(BODY_32, lengths)["pelvis"]
    motion = make_motion(directions, np.tile(pelvis, (frames, 1)), lengths=lengths, skeleton=BODY_32)
    return replace(motion, contact_names=CONTACTS, contacts=np.ones((frames, 4), bool))


def test_a_take_keeps_how_feet_lean_and_rigs_of_others_stand_flat():
    motion = on_the_edges_of_the_feet()
    planted = retarget.planted(motion)
    ends = [BODY_32.index(joint) - 1 for joint in ("left_toe", "left_heel", "right_toe", "right_heel")]
    turned = np.degrees(
        np.arccos(np.sum(planted.directions[:, ends] * motion.directions[:, ends], axis=-1).clip(-1, 1))
    )
    assert turned.max() < 5
    rig = rig_of(TARGETS["a_pose"]())
    animation = retarget.solve(planted, rig, retarget.map_bones(rig), RetargetSettings())
    foot = rig.names.index("foot_l")
    turn = pose_matrices(animation)[:, foot, :3, :3] @ rig.rest[foot, :3, :3].T
    assert np.abs(turn[:, 2, :2]).max() < np.sin(np.radians(3))
