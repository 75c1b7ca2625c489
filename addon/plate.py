# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera that filmed the person, with the video as its background in step with the keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import ArrayLike

from .core.video_to_pose.types import Take

_SENSOR_MM = 36.0


@contextmanager
def matching_camera(
    context: bpy.types.Context, take: Take, video: Path | None, name: str, frame: float, moved: ArrayLike = (0, 0, 0)
) -> Iterator[bpy.types.Object]:
    """A new camera that sees the scene as the video's saw the person; on an error it goes.

    Args:
        context: with the scene it is meant for.
        take: with the camera, in the Take's world.
        video: shown behind what the camera sees; None, or a file that is gone, leaves it out.
        name: of the camera.
        frame: scene frame of the Take's first moment.
        moved: (3,) where the Take's origin lies in the scene.

    The video plays frame by frame, so it is in step while the scene has the clip's frame rate.
    """
    data = bpy.data.cameras.new(name)
    camera = bpy.data.objects.new(name, data)
    clip = None
    try:
        width, height = take.camera.image_size
        longer = max(width, height)
        data.sensor_fit, data.sensor_width = "AUTO", _SENSOR_MM
        data.lens = float(take.camera.focal_px / longer * _SENSOR_MM)
        centre = take.camera.centre_px
        data.shift_x = float((width / 2 - centre[0]) / longer)
        data.shift_y = float((centre[1] - height / 2) / longer)
        matrix = np.eye(4)
        matrix[:3, :3] = take.camera.R_world_camera @ np.diag(
            [1.0, -1.0, -1.0]
        )  # Blender's cameras look along -z, y up
        matrix[:3, 3] = take.camera.position + np.asarray(moved)
        camera.matrix_world = Matrix(matrix.tolist())
        context.scene.collection.objects.link(camera)
        if video is not None and video.is_file():
            clip = bpy.data.movieclips.load(str(video))
            skipped = take.motion.timestamps[0] * (clip.fps or take.motion.frame_rate)
            clip.frame_start, clip.frame_offset = round(frame), round(float(skipped))
            picture = data.background_images.new()
            picture.source, picture.clip, picture.alpha = "MOVIE_CLIP", clip, 1.0
            data.show_background_images = True
        yield camera
    except BaseException:
        if clip is not None:
            bpy.data.movieclips.remove(clip)
        bpy.data.objects.remove(camera)
        bpy.data.cameras.remove(data)
        raise
