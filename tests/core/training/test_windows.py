# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples are windows of their own clip, and the second half of them the same clips in a mirror."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.core.training.figures import figure  # noqa: E402
from video_to_pose.errors import InputError  # noqa: E402
from video_to_pose.nets.anatomy3d import project  # noqa: E402
from video_to_pose.nets.catalogue import ClipFrames  # noqa: E402
from video_to_pose.skeleton import H36M_17, HUMANEVA_15  # noqa: E402
from video_to_pose.training.windows import Windows, fingerprint, fitting  # noqa: E402

CLIPS = [figure("a", 20), figure("b", 31), figure("c", 5)]


def held(array: np.ndarray, frame: int, target: int, length: int = 9) -> np.ndarray:
    return array[np.clip(np.arange(length) + frame - target, 0, len(array) - 1)]


@pytest.mark.parametrize("target", [4, 8])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_sample_is_a_window_of_one_clip_with_its_ends_held(target, mirrored):
    windows = Windows(CLIPS, 9, target, scores=True)
    assert windows.count == 2 * (20 + 31 + 5)
    batch = windows.batch(torch.arange(56) + 56 * mirrored)
    sample = 0
    for clip in CLIPS:
        clip = clip.mirrored() if mirrored else clip
        for frame in range(clip.frame_count):
            assert np.allclose(batch["keypoints"][sample], held(clip.inputs(scores=True), frame, target), atol=1e-6)
            assert np.allclose(batch["joints"][sample], held(clip.targets(), frame, target), atol=1e-6)
            sample += 1


def test_only_valid_frames_are_answered():
    valid = np.zeros(20, dtype=bool)
    valid[[3, 7]] = True
    windows = Windows([figure("a", 20, valid=valid)], 9, 4, flips=False)
    assert windows.count == 2
    assert np.allclose(windows.batch(torch.tensor([1]))["joints"][0, 4], figure("a", 20).targets()[7])


@pytest.mark.parametrize("selection", ["random", "first", "consecutive"])
@pytest.mark.parametrize("causal", [False, True])
def test_frames_of_the_whole_clip_are_of_the_same_clip(selection, causal):
    wanted = ClipFrames(6, selection, causal)
    windows = Windows(CLIPS, 9, 8 if causal else 4, flips=False, clip_frames=wanted)
    batch = windows.batch(torch.arange(windows.count))
    sample = 0
    for clip in CLIPS:
        inputs = clip.inputs()
        for frame in range(clip.frame_count):
            for drawn in batch["clip_keypoints"][sample].numpy():
                where = np.flatnonzero(np.abs(inputs - drawn).max(axis=(1, 2)) < 1e-6)
                assert len(where) and (not causal or where.min() <= frame)
            sample += 1


def test_random_frames_are_spread_over_the_clip():
    windows = Windows([figure("a", 60)], 9, 4, flips=False, clip_frames=ClipFrames(6))
    drawn = windows._clip_frames(ClipFrames(6), torch.arange(60))
    assert ((drawn // 10) == torch.arange(6)).all()


@pytest.mark.parametrize("mirrored", [False, True])
def test_cameras_see_the_frames_as_their_keypoints_say(mirrored):
    windows = Windows([figure("a", 20)], 9, 4, clip_frames=ClipFrames(6))
    batch = windows.batch(torch.arange(20) + 20 * mirrored)
    seen = project(batch["clip_joints"] + batch["clip_roots"][:, :, None], batch["cameras"])
    assert torch.allclose(seen, batch["clip_keypoints"], atol=1e-4)


def test_sequences_are_brought_to_the_networks_order_by_name():
    order = [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]
    shuffled = figure("a")
    names = tuple(H36M_17.joints[i] for i in order)
    shuffled = shuffled.select(keypoint_names=names)
    (sequence,) = fitting([shuffled], H36M_17, 9)
    assert np.array_equal(sequence.keypoints, figure("a").keypoints)


@pytest.mark.parametrize(
    ("sequences", "named"),
    [
        ([], "no sequences"),
        ([figure("e", skeleton=HUMANEVA_15)], "head_top"),
        ([figure("a", 5), figure("b", 7)], "7"),
    ],
    ids=["none", "joints", "short"],
)
def test_what_does_not_fit_is_refused(sequences, named):
    with pytest.raises(InputError) as raised:
        fitting(sequences, H36M_17, 9)
    assert named in raised.value.message and raised.value.hint


def test_some_short_clips_are_warned_of(caplog):
    assert len(fitting(CLIPS, H36M_17, 9)) == 3
    assert "1 of 3 clips" in caplog.text


def test_other_data_has_another_fingerprint():
    assert fingerprint(CLIPS) == fingerprint([figure("a", 20), figure("b", 31), figure("c", 5)])
    assert len({fingerprint(CLIPS), fingerprint(CLIPS[:2]), fingerprint([figure("d", 20), *CLIPS[1:]])}) == 3
