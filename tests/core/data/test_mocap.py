# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from tests.motions import SHARED
from video_to_pose.data import mocap

FOLDER = SHARED / "data" / "mocap" / "test"


@pytest.mark.skipif(not FOLDER.exists(), reason="no captured motion beside the project")
def test_recombined_clips_have_ones_legs_and_the_others_arms_turned_with_the_hips():
    lower, upper = mocap.load(FOLDER / "09_02.bvh"), mocap.load(FOLDER / "14_17.bvh")
    both = mocap.recombined(lower, upper)
    assert both.frame_count == lower.frame_count and np.array_equal(both.hips, lower.hips)
    assert np.array_equal(both.rotations["LeftLeg"], lower.rotations["LeftLeg"])
    assert np.array_equal(both.rest_directions["LeftFoot"], lower.rest_directions["LeftFoot"])
    assert np.array_equal(both.rest_directions["LeftArm"], upper.rest_directions["LeftArm"])

    def to_hips(clip, frame, bone):
        return clip.rotations["Hips"][frame].T @ clip.rotations[bone][frame]

    for bone in ("Spine1", "Head", "RightForeArm"):
        assert np.allclose(to_hips(both, 7, bone), to_hips(upper, 7, bone))
