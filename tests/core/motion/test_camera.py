# SPDX-License-Identifier: GPL-3.0-or-later
"""The lens: field of view along the longer side."""

import numpy as np
import pytest

from video_to_pose.errors import InputError
from video_to_pose.motion.camera import intrinsics
from video_to_pose.settings import CameraSettings


def test_ninety_degrees_see_as_wide_as_far():
    focal, centre = intrinsics((1000, 500), CameraSettings(fov_degrees=90))
    assert focal == pytest.approx(500)
    np.testing.assert_array_equal(centre, [500, 250])


def test_a_phone_held_upright_has_the_same_lens():
    wide, _ = intrinsics((1920, 1080), CameraSettings())
    tall, centre = intrinsics((1080, 1920), CameraSettings())
    assert wide == tall
    np.testing.assert_array_equal(centre, [540, 960])


def test_what_is_given_goes_before_what_is_assumed():
    given, _ = intrinsics((100, 100), CameraSettings(fov_degrees=40, assumed_fov_degrees=70))
    alike, _ = intrinsics((100, 100), CameraSettings(assumed_fov_degrees=40))
    assert given == alike


@pytest.mark.parametrize("fov", [-1, 0, 4.9, 151, float("nan")])
def test_impossible_lenses_are_refused(fov):
    with pytest.raises(InputError, match="field of view"):
        intrinsics((100, 100), CameraSettings(fov_degrees=fov))
