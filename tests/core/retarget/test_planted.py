# SPDX-License-Identifier: GPL-3.0-or-later
"""A Take's own feet stay put: bones keep their lengths, and what is above the hips keeps its pose."""

import numpy as np
import pytest

from tests.core.retarget.rigs import feet_of
from tests.motions import SHARED, captured, dance
from video_to_pose import bones, retarget
from video_to_pose.evaluation.feet import foot_slide
from video_to_pose.settings import RetargetSettings

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
