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

from .core.video_to_pose.types import Camera, Take

_SENSOR_MM = 36.0
_ACTION = "video_to_pose_action"  # custom property of our cameras


@contextmanager
def matching_camera(
    context: bpy.types.Context,
    take: Take,
    video: Path | None,
    name: str,
    frame: float,
    moved: ArrayLike = (0, 0, 0),
    action: bpy.types.Action | None = None,
) -> Iterator[bpy.types.Object]:
    """A new camera that sees the scene as the video's saw the person; on an error it goes.

    Args:
        context: with the scene it is meant for.
        take: with the camera, in the Take's world.
        video: shown behind what the camera sees; None, or a file that is gone, leaves it out.
        name: of the camera.
        frame: scene frame of the Take's first moment.
        moved: (3,) where the Take's origin lies in the scene.
        action: that it came with; `cameras_of` finds it by that.

    The video plays frame by frame, so it is in step while the scene has the clip's frame rate.
    """
    data = bpy.data.cameras.new(name)
    camera = bpy.data.objects.new(name, data)
    clip = None
    try:
        place_camera(context.scene, camera, take.camera, moved)
        if action is not None:
            camera[_ACTION] = action
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


def place_camera(scene: bpy.types.Scene, camera: bpy.types.Object, seen: Camera, moved: ArrayLike = (0, 0, 0)) -> None:
    """Give a camera object the lens and the place of the camera that filmed.

    Where the scene renders another shape than the video has, the video fits into it, as camera backgrounds do.

    Args:
        scene: that it films.
        camera: of the scene.
        seen: the Take's camera, in the Take's world.
        moved: (3,) where the Take's origin lies in the scene.
    """
    data = camera.data
    width, height = seen.image_size
    render = scene.render
    wider = render.resolution_x * render.pixel_aspect_x * height > render.resolution_y * render.pixel_aspect_y * width
    side = height if wider else width
    data.sensor_fit = "VERTICAL" if wider else "HORIZONTAL"
    data.sensor_width = data.sensor_height = _SENSOR_MM
    data.lens = float(seen.focal_px / side * _SENSOR_MM)
    data.shift_x = float((width / 2 - seen.centre_px[0]) / side)
    data.shift_y = float((seen.centre_px[1] - height / 2) / side)
    matrix = np.eye(4)
    matrix[:3, :3] = seen.R_world_camera @ np.diag([1.0, -1.0, -1.0])  # Blender's cameras look along -z, y up
    matrix[:3, 3] = seen.position + np.asarray(moved)
    camera.matrix_world = Matrix(matrix.tolist())


def cameras_of(scene: bpy.types.Scene, action: bpy.types.Action) -> list[bpy.types.Object]:
    """The scene's cameras that came with an action."""
    return [ob for ob in scene.objects if ob.type == "CAMERA" and ob.get(_ACTION) == action]


def action_of(camera: bpy.types.Object) -> bpy.types.Action | None:
    """The action that a camera came with; None where that is not known, or it is gone."""
    return camera.get(_ACTION)
