# SPDX-License-Identifier: GPL-3.0-or-later
"""What wants a look is found, named and placed in time; a clean clip has nothing."""

from dataclasses import replace

import numpy as np
import pytest

from tests import walker
from video_to_pose import motion, review
from video_to_pose.settings import MotionSettings
from video_to_pose.types import Take


def taken(view: walker.Seen, confidence: np.ndarray | None = None) -> Take:
    pose = view.pose if confidence is None else replace(view.pose, confidence=confidence)
    solved, camera = motion.solve(view.track, pose, walker.KNOWN_CAMERA, MotionSettings())
    return Take(view.track, solved, camera, {}, lifted=pose)


@pytest.fixture(scope="module")
def view() -> walker.Seen:
    return walker.seen(walker.walk()[0])


def test_a_clean_clip_has_no_doubts(view):
    assert review.doubts(taken(view)) == []


def test_joints_that_a_detector_never_looks_at_make_nobody_unsure(view):
    confidence = np.full_like(view.pose.confidence, 0.6)
    ends = [j for j, joint in enumerate(view.pose.skeleton.joints) if joint.endswith(("toe", "hand", "nose"))]
    confidence[:, ends] = 0.0
    take = taken(view, confidence)
    assert review.doubts(take) == [] and review.sureness(take.motion) == pytest.approx(0.6)


def test_nobody_the_body_and_single_limbs_are_told_apart(view):
    joints, times = view.pose.skeleton, view.pose.timestamps
    confidence = np.ones((len(times), joints.joint_count))
    confidence[10:20] = 0.0
    confidence[40:60] = 0.3
    confidence[70:90, [joints.index("left_elbow"), joints.index("left_wrist")]] = 0.1
    found = review.doubts(taken(view, confidence))
    assert [(d.kind, d.part) for d in found] == [("unseen", "body"), ("unsure", "body"), ("unsure", "left arm")]
    assert [(d.start_s, d.end_s) for d in found] == [(times[a], times[b]) for a, b in ((10, 19), (40, 59), (70, 89))]
    assert [round(d.confidence, 2) for d in found] == [0.0, 0.3, 0.1]


def test_limbs_that_no_frame_shows_are_named_and_others_are_not(view):
    joints = view.pose.skeleton
    moved = taken(view).motion

    def without(*gone: str, first: int = 0) -> tuple[str, ...]:
        confidence = np.ones_like(moved.confidence)
        confidence[first:, [joints.index(joint) for joint in gone]] = 0.0
        return review.never_seen(replace(moved, confidence=confidence))

    assert without() == ()
    assert without("left_knee", "left_ankle", "right_wrist") == ("right forearm", "left leg")
    assert without("left_ankle", "right_ankle") == ("left lower leg", "right lower leg")
    assert without("left_knee", "left_ankle", first=1) == ()  # a frame shows it
    assert without(*joints.joints) == ()  # nobody was seen


def test_a_blink_is_no_doubt_but_blinks_in_a_row_are_one(view):
    confidence = np.ones_like(view.pose.confidence)
    confidence[5:7] = 0.2
    assert review.doubts(taken(view, confidence)) == []
    for first in range(20, 40, 6):
        confidence[first : first + 3] = 0.2
    (found,) = review.doubts(taken(view, confidence))
    assert (found.start_s, found.end_s) == (view.pose.timestamps[20], view.pose.timestamps[40])


def test_exchanged_sides_and_leaps_that_were_mended_are_named(view):
    skeleton, directions = view.pose.skeleton, view.pose.directions.copy()
    legs = [[skeleton.index(f"{side}_{joint}") - 1 for joint in ("knee", "ankle", "toe")] for side in ("left", "right")]
    directions[30:35][:, legs[0] + legs[1]] = directions[30:35][:, legs[1] + legs[0]]
    wrist = skeleton.index("left_wrist") - 1
    directions[60, wrist] = -directions[60, wrist]
    take = taken(replace(view, pose=replace(view.pose, directions=directions)))
    found = [(d.kind, d.part) for d in review.doubts(take)]
    assert found == [("swap", "legs"), ("spike", "left arm")]
    assert review.doubts(replace(take, lifted=None)) == []


def test_legs_out_of_view_are_said_to_be_so_and_not_to_be_mended():
    take = taken(walker.noisy(walker.seen(walker.walk()[0]), 4.0, 2.0))
    confidence = take.motion.confidence.copy()
    legs = [take.motion.skeleton.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle")]
    confidence[:, legs] = 0.0
    take = replace(take, motion=replace(take.motion, confidence=confidence))
    found = review.doubts(take)
    assert [(d.kind, d.part) for d in found if d.kind == "unseen"] == [("unseen", "left leg"), ("unseen", "right leg")]
    assert not [d for d in found if d.kind in ("swap", "spike") and "leg" in d.part]
    assert review.confidence_spans(take) == []
