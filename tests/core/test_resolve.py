# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes after the lifter can be had otherwise from the Take alone."""

from dataclasses import replace

import numpy as np
import pytest

from tests import walker
from video_to_pose import motion, resolve
from video_to_pose.errors import InputError
from video_to_pose.formats import take as take_file
from video_to_pose.settings import CameraSettings, CaptureSettings, DetectSettings, MotionSettings
from video_to_pose.types import Take

OPTIONS = CaptureSettings(detect=DetectSettings(variant="heavy"), camera=walker.KNOWN_CAMERA)


@pytest.fixture(scope="module")
def take() -> Take:
    view = walker.noisy(walker.seen(walker.walk()[0][:60]), 6.0, 3.0)
    solved, camera = motion.solve(view.track, view.pose, walker.KNOWN_CAMERA, MotionSettings())
    return Take(view.track, solved, camera, {"options": OPTIONS.to_dict(), "note": "é"}, {"own": 1}, view.pose)


def shiver(take: Take) -> float:
    return float(np.linalg.norm(np.diff(take.motion.directions, 2, axis=0), axis=-1).mean())


def test_solved_with_the_same_settings_it_is_the_same_take(take, tmp_path):
    take_file.save(take, tmp_path / "t.npz")
    again = resolve.solve_again(take_file.load(tmp_path / "t.npz"), *resolve.solved_with(take))
    np.testing.assert_array_equal(again.motion.directions, take.motion.directions)
    np.testing.assert_array_equal(again.motion.root, take.motion.root)
    np.testing.assert_array_equal(again.camera.position, take.camera.position)
    assert again.provenance == take.provenance


def test_smoothing_can_be_had_otherwise_as_often_as_wanted(take):
    calm = resolve.solve_again(take, walker.KNOWN_CAMERA, MotionSettings(smoothing_cutoff_hz=2.0))
    sharp = resolve.solve_again(calm, walker.KNOWN_CAMERA, MotionSettings(smoothing_cutoff_hz=0.0))
    assert shiver(calm) < shiver(take) / 2 and shiver(sharp) > 2 * shiver(take)
    back = resolve.solve_again(sharp, walker.KNOWN_CAMERA, MotionSettings())
    np.testing.assert_array_equal(back.motion.directions, take.motion.directions)


def test_height_and_field_of_view_can_be_had_otherwise(take):
    tall = resolve.solve_again(take, CameraSettings(fov_degrees=30.0, height_m=2.0), MotionSettings())
    assert motion.standing_height(tall.motion.skeleton, tall.motion.lengths) == pytest.approx(2.0, abs=1e-4)
    assert tall.camera.focal_px == pytest.approx(walker.SIZE[0] / 2 / np.tan(np.radians(15)), rel=1e-6)


def test_the_take_says_what_it_was_solved_with_and_keeps_the_rest(take):
    camera, settings = CameraSettings(height_m=1.9), MotionSettings(flat_floor=False)
    again = resolve.solve_again(take, camera, settings)
    assert resolve.solved_with(again) == (camera, settings)
    assert again.provenance["options"]["detect"]["variant"] == "heavy" and again.provenance["note"] == "é"
    assert again.extra == {"own": 1} and again.lifted is take.lifted and again.track is take.track


def test_settings_of_other_versions_are_read_as_far_as_they_are_known(take):
    told = {"options": {"camera": {"height_m": 1.5, "lens": "wide"}, "motion": None}}
    assert resolve.solved_with(replace(take, provenance=told)) == (CameraSettings(height_m=1.5), MotionSettings())
    assert resolve.solved_with(replace(take, provenance={})) == (CameraSettings(), MotionSettings())


def test_a_take_without_what_was_lifted_is_told(take):
    with pytest.raises(InputError) as caught:
        resolve.solve_again(replace(take, lifted=None), CameraSettings(), MotionSettings())
    assert caught.value.code == "take-unlifted" and caught.value.hint
