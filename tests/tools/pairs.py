# SPDX-License-Identifier: GPL-3.0-or-later
"""What every rendered clip with its truth must keep."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from video_to_pose.data import body as bodies
from video_to_pose.skeleton import BODY_22, BODY_32
from video_to_pose.types import Camera


def check_pair(clip: Path, frames: int, size: tuple[int, int]) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == size
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 30
        assert sum(1 for _ in container.decode(video=0)) == frames
    with np.load(clip.with_suffix(".npz")) as truth:
        assert tuple(truth["joint_names"]) in (BODY_22.joints, BODY_32.joints)  # clips of before BODY_32 stay good
        assert set(truth["landmark_names"]) | {"left_thumb", "right_thumb"} == set(bodies.LANDMARKS)
        np.testing.assert_allclose(truth["timestamps"], np.arange(frames) / 30)
        assert tuple(truth["image_size"]) == size
        camera = Camera(
            float(truth["focal_px"]), truth["centre_px"], size, truth["R_world_camera"], truth["camera_position"]
        )
        np.testing.assert_allclose(camera.to_world(truth["joints_camera"]), truth["joints_world"], atol=1e-4)
        np.testing.assert_allclose(camera.project(truth["landmarks_camera"]), truth["landmarks_2d"], atol=0.1)
