# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen in a clip is kept, known again by the clip's content, and does not pile up."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from video_to_pose import seen
from video_to_pose.detect import Detection
from video_to_pose.errors import InputError
from video_to_pose.settings import DetectSettings, VideoSettings

NAMES = ("nose", "left_hip", "right_hip")


def person(x: float) -> Detection:
    return Detection(
        NAMES,
        np.full((3, 2), x, np.float32),
        np.full(3, 0.75, np.float32),
        appearance=np.array([x, np.nan], np.float32),
    )


def sample() -> seen.Seen:
    background = np.arange(12, dtype=np.float32).reshape(3, 4)
    return seen.Seen(np.arange(3) / 30, [[], [person(1), person(2)], [person(3)]], [2], (64, 48), background)


def test_what_is_kept_comes_back_equal(tmp_path):
    seen.save(sample(), tmp_path / "clip")
    again = seen.load(tmp_path / "clip")
    np.testing.assert_array_equal(again.times, sample().times)
    assert again.cuts == [2] and again.image_size == (64, 48)
    np.testing.assert_array_equal(again.background, sample().background)
    assert [len(people) for people in again.detections] == [0, 2, 1]
    for before, after in zip(sample().detections[1], again.detections[1], strict=True):
        assert after.names == NAMES
        np.testing.assert_array_equal(before.positions, after.positions)
        np.testing.assert_array_equal(before.scores, after.scores)
        np.testing.assert_array_equal(before.appearance, after.appearance)


def test_a_clip_in_which_nobody_is_seen_is_kept_too(tmp_path):
    seen.save(seen.Seen(np.arange(2.0), [[], []], [], (64, 48)), tmp_path)
    assert seen.load(tmp_path).detections == [[], []]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"nothing of the kind"])
def test_what_is_damaged_counts_as_nothing(tmp_path, content):
    (tmp_path / "detections.npz").write_bytes(content)
    assert seen.load(tmp_path) is None
    assert seen.load(tmp_path / "no such folder") is None


def test_a_clip_is_known_by_its_content_the_part_and_how_it_was_looked_at(tmp_path):
    clip, copy, other = tmp_path / "a.mp4", tmp_path / "b ü.mp4", tmp_path / "c.mp4"
    clip.write_bytes(b"frames" * 100_000)
    copy.write_bytes(clip.read_bytes())
    other.write_bytes(clip.read_bytes()[:-1] + b"!")
    part, how = VideoSettings(1.0, 2.0), DetectSettings()
    mine = seen.key(clip, part, how)
    assert seen.key(copy, part, how) == mine
    assert seen.key(clip, part, replace(how, device="cuda")) == mine  # it changes the speed, not what is seen
    different = [
        seen.key(other, part, how),
        seen.key(clip, VideoSettings(1.0), how),
        seen.key(clip, part, replace(how, variant="heavy")),
        seen.key(clip, part, replace(how, max_people=3)),
    ]
    assert len({mine, *different}) == 5


def test_the_users_own_model_counts_by_its_content(tmp_path):
    clip, model = tmp_path / "a.mp4", tmp_path / "own.task"
    clip.write_bytes(b"frames")
    model.write_bytes(b"one")
    how = DetectSettings(model_path=model)
    before = seen.key(clip, VideoSettings(), how)
    model.write_bytes(b"two")
    assert seen.key(clip, VideoSettings(), how) != before
    with pytest.raises(InputError):
        seen.key(tmp_path / "gone.mp4", VideoSettings(), how)


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    for age, name in enumerate(["new", "middle", "old"]):
        seen.save(sample(), tmp_path / name)
        (tmp_path / name / "person-1-0.png").write_bytes(b"x" * 10_000)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert seen.load(tmp_path / "old") is not None  # used again
    one = sum(file.stat().st_size for file in (tmp_path / "new").iterdir())
    seen.clean(tmp_path, 3 * one)
    assert len(list(tmp_path.iterdir())) == 3
    seen.clean(tmp_path, 2 * one)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    seen.clean(tmp_path, 0, keep=tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    seen.clean(tmp_path / "no such folder")
