# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoints of any spelling under one name, and no two under the same."""

import numpy as np
import pytest

from video_to_pose.formats.layouts import BY_COUNT, by_name, common_name
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.skeleton import MEDIAPIPE_33


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("LBigToe", "left_foot_index"),
        ("RShoulder", "right_shoulder"),
        ("R_Wrist", "right_wrist"),
        ("leftKnee", "left_knee"),
        ("Left-Knee", "left_knee"),
        ("body_left_hip", "left_hip"),
        ("LEFT_EYE_INNER", "left_eye_inner"),
        ("left_forefinger1", "left_index"),
        ("right_pinky_finger1", "right_pinky"),
        ("neck", "neck"),
        ("lower_back", "lower_back"),
    ],
)
def test_spellings_of_one_place_are_one_name(theirs, ours):
    assert common_name(theirs) == ours


def test_mediapipes_names_stay_as_they_are():
    assert tuple(map(common_name, MEDIAPIPE_33)) == MEDIAPIPE_33


@pytest.mark.parametrize(
    ("count", "lacking"),
    [
        (17, {"pinky", "index", "thumb", "heel", "foot_index"}),
        (25, {"pinky", "index", "thumb"}),
        (26, {"pinky", "index", "thumb"}),
        (133, set()),
    ],
)
def test_it_is_known_what_a_layout_lacks(count, lacking):
    found = set(LIFTER_KEYPOINTS) - set(map(common_name, BY_COUNT[count]))
    assert found == {f"{side}_{part}" for part in lacking for side in ("left", "right")}


def test_what_no_lifter_knows_is_left_out_and_the_first_of_a_name_counts():
    names, positions, scores = by_name(["neck", "LHip", "left_hip", "nose"], np.arange(8).reshape(4, 2), np.arange(4))
    assert names == ("left_hip", "nose")
    assert positions.tolist() == [[2, 3], [6, 7]] and scores.tolist() == [1, 3]
