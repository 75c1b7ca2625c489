# SPDX-License-Identifier: GPL-3.0-or-later
"""A Take comes back as it was, keeps what it does not know, and bad files are told apart."""

import dataclasses
import json

import numpy as np
import pytest

from tests import walker
from video_to_pose import bones, motion
from video_to_pose.errors import InputError
from video_to_pose.formats import take as format
from video_to_pose.settings import MotionSettings
from video_to_pose.types import KeypointTrack, Take


@pytest.fixture(scope="module")
def take() -> Take:
    view = walker.seen(walker.walk()[0][:40])
    positions, scores = view.track.positions.copy(), view.track.scores.copy()
    positions[3:5, 2], scores[3:5, 2] = np.nan, 0
    track = KeypointTrack(view.track.timestamps, view.track.names, positions, scores, view.track.image_size)
    solved, camera = motion.solve(track, view.pose, walker.KNOWN_CAMERA, MotionSettings())
    return Take(track, solved, camera, {"video": {"name": "Straße 1.mp4"}, "seconds": {"lift": 0.25}}, lifted=view.pose)


@pytest.fixture
def saved(take, tmp_path):
    path = tmp_path / "walk.npz"
    format.save(take, path)
    return path


def fields_of(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def altered(path, **changes):
    fields = fields_of(path)
    for name, value in changes.items():
        if value is None:
            del fields[name]
        else:
            fields[name] = value
    np.savez_compressed(path, **fields)
    return path


def refused(path):
    with pytest.raises(InputError) as caught:
        format.load(path)
    assert caught.value.hint and str(path) in caught.value.message
    assert caught.value.exit_code == 2
    return caught.value


def test_a_take_comes_back_to_the_bit(take, saved):
    back = format.load(saved)
    for part in ("track", "motion", "camera", "lifted"):
        for entry in dataclasses.fields(getattr(take, part)):
            one, other = (getattr(getattr(t, part), entry.name) for t in (take, back))
            if entry.name == "skeleton":
                assert (one.name, one.joints, one.parents) == (other.name, other.joints, other.parents)
            elif isinstance(one, np.ndarray):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)
            else:
                assert one == other
    assert back.provenance == take.provenance and back.extra == {}


def test_keypoints_can_be_read_alone(take, saved):
    track = format.load_keypoints(saved)
    np.testing.assert_array_equal(track.positions, take.track.positions)
    assert track.names == take.track.names and track.image_size == take.track.image_size
    with pytest.raises(InputError):
        format.load_keypoints(altered(saved, keypoints=None))


def test_saving_again_writes_the_same_fields(saved, tmp_path):
    again = tmp_path / "again.npz"
    format.save(format.load(saved), again)
    one, other = fields_of(saved), fields_of(again)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_stored_joints_are_bones_laid_end_to_end(take, saved):
    fields = fields_of(saved)
    composed = bones.compose(take.motion.skeleton, fields["bone_directions"], fields["bone_lengths"], fields["root"])
    np.testing.assert_array_equal(fields["joints_world"], composed)
    seen = (composed - fields["camera_position"]) @ fields["R_world_camera"]
    np.testing.assert_allclose(fields["joints_camera"], seen, atol=1e-6)
    assert fields["joints_camera"][..., 2].min() > 0


def test_the_file_reads_without_this_project(saved):
    fields = fields_of(saved)
    promised = (
        "format_version timestamps keypoint_names keypoints keypoint_scores image_size joint_names parents "
        "joints_camera joints_world bone_lengths bone_directions root contacts contact_names joint_confidence "
        "provenance"
    )
    assert set(promised.split()) <= set(fields)
    assert json.loads(str(fields["provenance"]))["video"]["name"] == "Straße 1.mp4"
    assert fields["keypoints"].dtype == np.float32 and fields["timestamps"].dtype == np.float64
    assert list(fields["joint_names"][:2]) == ["pelvis", "left_hip"]


def test_unknown_fields_are_kept(saved, tmp_path):
    altered(saved, finger_curl=np.arange(6.0).reshape(2, 3), note=np.str_("by hand"))
    again = tmp_path / "again.npz"
    format.save(format.load(saved), again)
    fields = fields_of(again)
    np.testing.assert_array_equal(fields["finger_curl"], np.arange(6.0).reshape(2, 3))
    assert str(fields["note"]) == "by hand"


LIFTED = ("lifted_directions", "lifted_lengths", "lifted_confidence", "lifted_up")


def test_a_take_of_the_first_version_is_read_and_has_nothing_lifted(take, saved):
    altered(saved, format_version=np.int64(1), **dict.fromkeys(LIFTED))
    old = format.load(saved)
    assert old.lifted is None
    np.testing.assert_array_equal(old.motion.root, take.motion.root)


@pytest.mark.parametrize("lost", LIFTED)
def test_what_was_lifted_is_whole_or_not_there(saved, lost):
    assert refused(altered(saved, **{lost: None})).code == "take-invalid"


def test_one_frame_is_a_take(tmp_path):
    view = walker.seen(walker.walk()[0][:1])
    solved, camera = motion.solve(view.track, view.pose, walker.KNOWN_CAMERA, MotionSettings())
    format.save(Take(view.track, solved, camera, {}), tmp_path / "one.npz")
    assert format.load(tmp_path / "one.npz").motion.frame_count == 1


def test_a_missing_file_is_told(tmp_path):
    assert refused(tmp_path / "nothing.npz").code == "take-missing"


def test_a_newer_version_is_told(saved):
    error = refused(altered(saved, format_version=np.int64(99)))
    assert error.code == "take-newer" and "99" in error.message


@pytest.mark.parametrize("content", [b"", b"PK", b"hello", b"\x93NUMPY", b"\x80\x04K\x01."])
def test_what_is_no_take_is_told(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    assert refused(path).code == "take-invalid"


def test_other_arrays_are_no_take(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    assert refused(tmp_path / "other.npz").code == "take-invalid"
    np.save(tmp_path / "single.npy", np.zeros(3))
    assert refused(tmp_path / "single.npy").code == "take-invalid"


def test_pickles_are_never_opened(tmp_path, saved):
    fields = fields_of(saved) | {"surprise": np.array([{"a": 1}], dtype=object)}
    np.savez(saved, **fields)
    assert refused(saved).code == "take-invalid"


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_told(saved, kept):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(kept * len(data))])
    assert refused(saved).code == "take-invalid"


def test_flipped_bytes_never_crash(saved):
    data = saved.read_bytes()
    told = 0
    for at in np.linspace(0, len(data) - 1, 60).astype(int):
        saved.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            format.load(saved)
        except InputError:
            told += 1
    assert told > 40


def test_bones_that_stretch_are_refused(saved):
    fields = fields_of(saved)
    stretched = fields["joints_world"].copy()
    stretched[10, 5] += 0.05
    assert "joints_world" in refused(altered(saved, joints_world=stretched)).message
    altered(saved, joints_world=fields["joints_world"], joints_camera=fields["joints_camera"] * np.float32(1.1))
    assert "joints_camera" in refused(saved).message


@pytest.mark.parametrize(
    "change",
    [
        {"root": None},
        {"provenance": None},
        {"provenance": np.str_("{not json")},
        {"bone_lengths": np.zeros(21, np.float32)},
        {"bone_directions": np.ones((40, 21, 3), np.float32)},
        {"timestamps": np.zeros(40)},
        {"parents": np.zeros(22, int)},
        {"joints_world": np.full((40, 22, 3), np.nan, np.float32)},
        {"image_size": np.zeros(0, int)},
        {"contacts": np.zeros((3, 4), bool)},
        {"format_version": np.array([1, 2])},
        {"format_version": np.str_("one")},
    ],
    ids=lambda change: " ".join(change),
)
def test_altered_fields_are_refused(saved, change):
    assert refused(altered(saved, **change)).code == "take-invalid"


def test_what_cannot_be_written_is_told_and_nothing_is_left(take, tmp_path):
    for target in (tmp_path / "missing" / "walk.npz", tmp_path):
        with pytest.raises(InputError) as caught:
            format.save(take, target)
        assert caught.value.code == "output-unwritable"
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_take(take, saved):
    before = saved.read_bytes()
    broken = Take(take.track, take.motion, take.camera, {"when": object()})
    with pytest.raises(TypeError):
        format.save(broken, saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]
