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

_OURS = "video_to_pose"  # custom property of images that are loaded for one camera alone
_SENSOR_MM = 36.0
_OFFSET = "background_images[0].image_user.frame_offset"
_SAME_PACE = 5e-4  # a frame in a minute and more
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
    """
    data = bpy.data.cameras.new(name)
    camera = bpy.data.objects.new(name, data)
    try:
        place_camera(context.scene, camera, take.camera, moved)
        if action is not None:
            camera[_ACTION] = action
        context.scene.collection.objects.link(camera)
        if video is not None and video.is_file():
            show_video(context.scene, camera, video, take, frame)
        yield camera
    except BaseException:
        _hide_video(data)
        bpy.data.objects.remove(camera)
        bpy.data.cameras.remove(data)
        raise


def show_video(scene: bpy.types.Scene, camera: bpy.types.Object, video: Path, take: Take, frame: float) -> None:
    """Put a video behind what a camera sees, in step with the keys; one of ours that was there before goes.

    A movie clip plays frame by frame, which is right in a scene of the video's own rate. In others the video is an
    image whose frame a driver chooses; it is no script, so nobody has to allow it.

    Args:
        scene: whose frame rate counts.
        camera: one of ours.
        video: a file that is there.
        take: captured from it.
        frame: scene frame of the Take's first moment.
    """
    data = camera.data
    _hide_video(data)
    clip = bpy.data.movieclips.load(str(video))
    own_rate = clip.fps or take.motion.frame_rate
    first, skipped = round(frame), round(float(take.motion.timestamps[0] * own_rate))
    pace = own_rate / (scene.render.fps / scene.render.fps_base)
    picture = data.background_images.new()
    picture.alpha = 1.0
    if abs(pace - 1) < _SAME_PACE:
        clip.frame_start, clip.frame_offset = first, skipped
        picture.source, picture.clip = "MOVIE_CLIP", clip
    else:
        bpy.data.movieclips.remove(clip)
        image = bpy.data.images.load(str(video))
        image[_OURS] = True
        picture.source, picture.image = "IMAGE", image
        user = picture.image_user
        user.frame_start, user.use_auto_refresh = first, True
        user.frame_duration = int(np.ceil(max(image.frame_duration, 1) * max(1.0, 1.0 / pace)))  # in scene frames
        driver = data.driver_add(_OFFSET).driver
        driver.type = "SCRIPTED"
        driver.expression = f"floor((frame - {first}) * {pace - 1:.9f} + {skipped}.5)"
    data.show_background_images = True


def video_of(camera: bpy.types.Object) -> Path | None:
    """The file that is shown behind what a camera sees; None where there is none."""
    for picture in camera.data.background_images:
        shown = picture.clip if picture.source == "MOVIE_CLIP" else picture.image
        if shown is not None:
            return Path(bpy.path.abspath(shown.filepath))
    return None


def _hide_video(data: bpy.types.Camera) -> None:
    """Take away what `show_video` made."""
    if data.animation_data is not None and data.animation_data.drivers.find(_OFFSET) is not None:
        data.driver_remove(_OFFSET)
    for picture in list(data.background_images):
        clip, image = picture.clip, picture.image
        data.background_images.remove(picture)
        if clip is not None and clip.users == 0:
            bpy.data.movieclips.remove(clip)
        if image is not None and image.get(_OURS):  # Blender goes on counting the picture as its user
            bpy.data.images.remove(image)


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
