# SPDX-License-Identifier: GPL-3.0-or-later
"""The example clip cut off at the hips: the whole way from a video to a Take."""

import numpy as np
import pytest

from tests.conftest import EXAMPLE
from video_to_pose import bones, motion, pipeline, review, summary
from video_to_pose.rotation import axis_angle_to_matrix
from video_to_pose.settings import CaptureSettings, DetectSettings

FRAMES = 40
LEGS = [f"{side}_{joint}" for side in ("left", "right") for joint in ("knee", "ankle", "toe")]
UPPER = [f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")]


@pytest.fixture(scope="module")
def half(detector_model, tmp_path_factory):
    """The upper half of the example's first frames, captured."""
    av = pytest.importorskip("av")
    out = tmp_path_factory.mktemp("clips") / "half.mp4"
    with av.open(str(EXAMPLE)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 180, "yuv420p"
        for i, frame in enumerate(source.decode(video=0)):
            if i == FRAMES:
                break
            rgb = frame.reformat(width=640, height=360, format="rgb24").to_ndarray()
            upper = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:180]), format="rgb24")
            target.mux(stream.encode(upper))
        target.mux(stream.encode())
    return pipeline.capture(out, CaptureSettings(detect=DetectSettings(max_people=1)))


def joints(take):
    moved = take.motion
    return bones.compose(moved.skeleton, moved.directions, moved.lengths, moved.root)


def test_legs_out_of_the_picture_are_straight_still_and_not_believed(half):
    moved = half.motion
    for joint in LEGS:
        place = moved.skeleton.index(joint)
        assert not moved.confidence[:, place].any()
        if not joint.endswith("toe"):
            np.testing.assert_allclose(moved.directions[:, place - 1], [[0, 0, -1]] * moved.frame_count, atol=1e-6)
    assert not moved.contacts.any()
    places = joints(half)
    leg = moved.lengths[[moved.skeleton.index(j) - 1 for j in ("left_knee", "left_ankle")]].sum()
    np.testing.assert_allclose(places[:, 0, 2], 1.09 * leg, atol=0.05)
    assert places[..., 2].min() > -0.02


def test_the_upper_body_is_as_it_was(half):
    """Against the example's exact truth, turned to it: the camera's tilt is hardly seen in half a body."""
    with np.load(EXAMPLE.with_suffix(".npz")) as truth:
        names = [str(name) for name in truth["joint_names"]]
        nearest = np.abs(truth["timestamps"][None] - half.motion.timestamps[:, None]).argmin(axis=1)
        true = truth["joints_camera"][nearest][:, [names.index(name) for name in (*UPPER, "thorax")]].astype(float)
    got = half.camera.to_camera(joints(half))[:, [half.motion.skeleton.index(name) for name in (*UPPER, "thorax")]]
    true, got = true[:, :-1] - true[:, -1:], got[:, :-1] - got[:, -1:]
    tilts = [axis_angle_to_matrix([1.0, 0, 0], angle) for angle in np.radians(np.arange(-40, 41, 2))]
    assert min(np.linalg.norm(got @ tilt.T - true, axis=-1).mean() for tilt in tilts) < 0.15


def test_the_take_says_what_it_knows(half):
    facts = summary.describe(half)
    assert facts["camera_moves"] is False
    assert 0 < facts["height_spread_m"] < 0.3
    assert facts["height_m"] == pytest.approx(
        motion.standing_height(half.motion.skeleton, half.motion.lengths), abs=1e-3
    )
    unseen = [doubt.part for doubt in review.doubts(half) if doubt.kind == "unseen"]
    assert unseen == ["left leg", "right leg"]
    assert facts["held_at_rest"] == ["left leg", "right leg"]
    assert facts["check_these_s"] == []
