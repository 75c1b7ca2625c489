# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped lifter on tracks of every kind, and the promises every lifter keeps."""

import dataclasses

import numpy as np
import pytest

from video_to_pose import lift
from video_to_pose.errors import InputError, SetupError
from video_to_pose.lift import onnx_lifter
from video_to_pose.settings import LiftSettings
from video_to_pose.skeleton import MEDIAPIPE_33, mirror_indices
from video_to_pose.types import KeypointTrack

SIZE = (1280, 720)
CENTRE = np.array([640.0, 360.0])


def make_track(frames: int, rate: float = 30.0, seed: int = 0) -> KeypointTrack:
    rng = np.random.default_rng(seed)
    still = rng.normal(size=(1, 33, 2)) * [60, 150] + CENTRE
    sway = 30 * np.sin(np.arange(frames) / rate * 3)[:, None, None] * rng.normal(size=(1, 33, 2))
    return KeypointTrack(np.arange(frames) / rate, MEDIAPIPE_33, still + sway, np.ones((frames, 33)), SIZE)


@pytest.fixture(scope="module")
def lifter() -> onnx_lifter.Lifter:
    return lift.load(LiftSettings())


@pytest.mark.parametrize("frames", [1, 2, 50])
def test_any_clip_gives_unit_directions_and_one_set_of_lengths(lifter, frames):
    pose = lifter(make_track(frames), 1000.0, CENTRE)
    bones = lifter.skeleton.bone_count
    assert pose.directions.shape == (frames, bones, 3)
    assert np.allclose(np.linalg.norm(pose.directions, axis=-1), 1, atol=1e-4)
    assert pose.lengths.shape == (bones,) and np.all(pose.lengths > 0.02) and np.all(pose.lengths < 0.8)
    assert np.linalg.norm(pose.up) == pytest.approx(1, abs=1e-4)


def test_left_and_right_bones_are_equally_long(lifter):
    pose = lifter(make_track(20), 1000.0, CENTRE)
    assert np.allclose(pose.lengths, pose.lengths[pose.skeleton.mirror[1:] - 1], atol=1e-5)


def test_a_mirrored_picture_gives_the_mirrored_pose(lifter):
    track = make_track(40)
    mirror = mirror_indices(
        tuple(n.replace("mouth_left", "left_mouth").replace("mouth_right", "right_mouth") for n in MEDIAPIPE_33)
    )
    positions = track.positions[:, mirror] * [-1, 1] + [SIZE[0], 0]
    flipped = dataclasses.replace(track, positions=positions)
    pose, mirrored = lifter(track, 1000.0, CENTRE), lifter(flipped, 1000.0, CENTRE)
    bones = pose.skeleton.mirror[1:] - 1
    assert np.allclose(mirrored.directions, pose.directions[:, bones] * [-1, 1, 1], atol=1e-3)
    assert np.allclose(mirrored.lengths, pose.lengths, atol=1e-4)


def test_lifting_in_chunks_changes_nothing(lifter, monkeypatch):
    track = make_track(300)
    whole = lifter(track, 1000.0, CENTRE)
    monkeypatch.setattr(onnx_lifter, "CHUNK_FRAMES", 64)
    chunked = lifter(track, 1000.0, CENTRE)
    assert np.allclose(whole.directions, chunked.directions, atol=1e-4)
    assert np.allclose(whole.lengths, chunked.lengths, atol=1e-5)


def test_sixty_frames_a_second_are_lifted_as_two_interleaved_thirties(lifter):
    fast = make_track(120, rate=60.0)
    even = dataclasses.replace(
        fast, timestamps=fast.timestamps[::2], positions=fast.positions[::2], scores=fast.scores[::2]
    )
    assert np.allclose(lifter(fast, 1000.0, CENTRE).directions[::2], lifter(even, 1000.0, CENTRE).directions, atol=1e-4)


def test_gaps_are_bridged_and_keep_no_confidence(lifter):
    track = make_track(60)
    positions, scores = track.positions.copy(), track.scores.copy()
    positions[20:30], scores[20:30] = np.nan, 0
    pose = lifter(dataclasses.replace(track, positions=positions, scores=scores), 1000.0, CENTRE)
    assert np.isfinite(pose.directions).all()
    assert not pose.confidence[20:30].any() and (pose.confidence[:20] > 0.9).all()


def test_the_file_says_how_it_was_made(lifter):
    for key in ("skeleton", "receptive_field", "normalization", "training_commit", "training_settings", "licence"):
        assert lifter.metadata[key]
    assert lifter.receptive_field == 27


def test_an_unknown_lifter_is_named_with_the_known_ones():
    with pytest.raises(InputError, match="nosuch") as caught:
        lift.load(LiftSettings(lifter="nosuch"))
    assert "default" in caught.value.hint


def test_a_file_that_is_no_lifter_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="a.onnx"):
        lift.load(LiftSettings(model_path=tmp_path / "a.onnx"))
    with pytest.raises(InputError, match="does not exist"):
        lift.load(LiftSettings(model_path=tmp_path / "b.onnx"))


def test_a_device_that_is_not_there_is_said_and_not_replaced():
    with pytest.raises(SetupError, match="directml"):
        lift.load(LiftSettings(device="directml"))


def test_a_track_without_the_keypoints_is_refused(lifter):
    track = make_track(3)
    few = KeypointTrack(track.timestamps, MEDIAPIPE_33[:5], track.positions[:, :5], track.scores[:, :5], SIZE)
    with pytest.raises(InputError, match="left_shoulder"):
        lifter(few, 1000.0, CENTRE)


def without(track: KeypointTrack, *parts: str) -> KeypointTrack:
    keep = [k for k, name in enumerate(track.names) if not name.endswith(parts)]
    names = tuple(track.names[k] for k in keep)
    return KeypointTrack(track.timestamps, names, track.positions[:, keep], track.scores[:, keep], track.image_size)


def test_a_layout_without_feet_and_knuckles_is_lifted_and_they_have_no_confidence(lifter):
    track = without(make_track(30), "pinky", "index", "heel")
    pose = lifter(track, 1000.0, CENTRE)
    sure = dict(zip(pose.skeleton.joints, pose.confidence.max(axis=0), strict=True))
    assert sure["left_hand"] == sure["right_toe"] == 0 and sure["left_wrist"] == 1


def test_keypoints_that_a_layout_lacks_have_no_place_in_the_track():
    track = without(make_track(5), "pinky")
    positions, scores = onnx_lifter.select_keypoints(track, ("left_wrist", "left_pinky"))
    assert np.isnan(positions[:, 1]).all() and not scores[:, 1].any() and np.isfinite(positions[:, 0]).all()


def test_without_a_limb_nothing_is_lifted(lifter):
    with pytest.raises(InputError, match="left_wrist, right_wrist"):
        lifter(without(make_track(5), "wrist"), 1000.0, CENTRE)
