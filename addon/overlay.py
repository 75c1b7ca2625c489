# SPDX-License-Identifier: GPL-3.0-or-later
"""The detector's keypoints over the video, coloured by how sure it was, in the view of the camera of a motion.

Drawn with the viewport, never part of the scene: the toggle, the file's end and the extension's leave nothing behind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.app.handlers import persistent
from bpy.props import BoolProperty, FloatProperty, PointerProperty
from numpy.typing import NDArray

from . import plate, results
from .core.video_to_pose.errors import InputError
from .core.video_to_pose.formats import take as take_file
from .core.video_to_pose.skeleton import KEYPOINT_LINES, common_names
from .core.video_to_pose.types import KeypointTrack

Array = NDArray[np.floating[Any]]

_COLOURS = ((0.0, (0.95, 0.20, 0.25)), (0.5, (1.0, 0.75, 0.15)), (1.0, (0.20, 0.85, 0.95)))
_OUTLINE = (0.0, 0.0, 0.0)
_CORNERS = 10  # of a dot
_KEPT = 16  # Takes whose keypoints stay in memory


class OverlayProperties(bpy.types.PropertyGroup):
    """How keypoints are shown."""

    show: BoolProperty(
        name="Keypoints Over the Video",
        description="Show what the detector saw over the video, in the view of the camera that came with the motion: "
        "blue where it was sure, yellow where it was not, red where it guessed",
        default=True,
    )
    size: FloatProperty(
        name="Size",
        description="Width of the lines and size of the dots, in pixels",
        default=2.5,
        min=1.0,
        max=12.0,
        precision=1,
        subtype="PIXEL",
    )
    opacity: FloatProperty(
        name="Opacity", description="How much of the video they cover", default=0.9, min=0.0, max=1.0, subtype="FACTOR"
    )
    least_score: FloatProperty(
        name="Surer Than",
        description="Hide keypoints whose confidence is lower. 0 shows all",
        default=0.1,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )


@dataclass(frozen=True, eq=False)
class Person:
    """Keypoints that may be shown over the video, and when.

    Attributes:
        played: the motion they belong to.
        track: all of its keypoints, F frames of K.
        rate, frame_start: the action's frames a second, and its frame of the first moment.
    """

    played: results.Played
    track: KeypointTrack
    rate: float
    frame_start: float

    def moment(self, scene_frame: float) -> int | None:
        """The video's frame that is shown at a frame of the scene; None before the first and after the last."""
        times = self.track.timestamps
        since = (self.played.action_frame(scene_frame) - self.frame_start) / self.rate
        step = (times[-1] - times[0]) / max(len(times) - 1, 1) or 1.0
        index = math.floor(since / step + 0.5)  # as the video behind it rounds
        return index if 0 <= index < len(times) else None


def people(scene: bpy.types.Scene, camera: bpy.types.Object) -> list[Person]:
    """Whose keypoints belong into a camera's view: that of its own motion, and of others from the same video."""
    own = plate.action_of(camera)
    if own is None:
        return []
    video = (results.told(own) or {}).get("video")
    found = []
    for played in results.all_played(scene):
        told = results.told(played.action) or {}
        if played.action != own and not (video and told.get("video") == video):
            continue
        track = _keypoints(told.get("take", ""))
        if track is not None and len(track.names):
            found.append(Person(played, track, told["rate"], told["frame_start"]))
    return found


_loaded: dict[tuple[str, int], KeypointTrack | None] = {}


def _keypoints(take: str) -> KeypointTrack | None:
    """Keypoints of a Take's file; None where it is gone or damaged. Read once for each state of the file."""
    path = Path(bpy.path.abspath(take)) if take else None
    try:
        changed = path.stat().st_mtime_ns if path is not None else 0
    except OSError:
        return None
    if path is None:
        return None
    key = (str(path), changed)
    if key not in _loaded:
        while len(_loaded) >= _KEPT:
            del _loaded[next(iter(_loaded))]
        try:
            _loaded[key] = take_file.load_keypoints(path)
        except InputError:
            _loaded[key] = None
    return _loaded[key]


def rays(camera: bpy.types.Camera, pixels: Array, size: tuple[int, int]) -> Array:
    """(n, 3) points in the camera's own axes, a unit before it, that it sees where the video has pixels (n, 2).

    The inverse of what `plate.place_camera` made of the lens.
    """
    width, height = size
    side, sensor = max(size), camera.sensor_width
    if camera.sensor_fit == "VERTICAL":
        side, sensor = height, camera.sensor_height
    elif camera.sensor_fit == "HORIZONTAL":
        side = width
    focal = camera.lens / sensor * side
    x = (pixels[:, 0] - (width / 2 - camera.shift_x * side)) / focal
    y = -(pixels[:, 1] - (height / 2 + camera.shift_y * side)) / focal
    return np.stack([x, y, -np.ones(len(pixels))], axis=1)


def in_region(points: Array, matrix: Array, size: tuple[int, int]) -> Array:
    """(n, 2) region pixels of points (n, 3) in the world, by a view's perspective matrix (4, 4)."""
    clip = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ np.asarray(matrix).T
    return (clip[:, :2] / clip[:, 3:] + 1) / 2 * np.array(size)


def colours(scores: Array, opacity: float) -> Array:
    """(n, 4) red for a score of 0, over yellow, to blue for 1."""
    stops = [stop for stop, _ in _COLOURS]
    channels = [np.interp(scores, stops, [colour[c] for _, colour in _COLOURS]) for c in range(3)]
    return np.stack([*channels, np.full(len(scores), opacity)], axis=1)


def lines_between(names: tuple[str, ...]) -> NDArray[np.intp]:
    """(n, 2) which keypoints of a layout are joined by lines."""
    place = {name: n for n, name in reversed(list(enumerate(common_names(names))))}
    pairs = [(place[a], place[b]) for a, b in KEYPOINT_LINES if a in place and b in place]
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def dots(centres: Array, radii: Array) -> tuple[Array, NDArray[np.intp]]:
    """Corners (n (k + 1), 2) of small round fans about centres (n, 2), and their triangles (n k, 3)."""
    angles = np.linspace(0, 2 * math.pi, _CORNERS, endpoint=False)
    rim = radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = np.concatenate([centres[:, None], centres[:, None] + rim], axis=1)
    fan = np.stack([np.zeros(_CORNERS), 1 + np.arange(_CORNERS), 1 + (np.arange(_CORNERS) + 1) % _CORNERS], axis=1)
    triangles = (fan[None] + (np.arange(len(centres)) * (_CORNERS + 1))[:, None, None]).astype(np.intp)
    return corners.reshape(-1, 2), triangles.reshape(-1, 3)


def _draw() -> None:
    context = bpy.context
    space, region = context.space_data, context.region
    fields = context.scene.video_to_pose_overlay
    view = context.region_data
    if not fields.show or view is None or view.view_perspective != "CAMERA" or not space.overlay.show_overlays:
        return
    camera = space.camera if space.use_local_camera else context.scene.camera
    if camera is None or camera.type != "CAMERA":
        return
    for person in people(context.scene, camera):
        moment = person.moment(context.scene.frame_current_final)
        if moment is not None:
            _draw_person(person.track, moment, camera, view, (region.width, region.height), fields)


def _draw_person(
    track: KeypointTrack,
    moment: int,
    camera: bpy.types.Object,
    view: bpy.types.RegionView3D,
    size: tuple[int, int],
    fields: OverlayProperties,
) -> None:
    pixels, scores = track.positions[moment].astype(np.float64), track.scores[moment]
    shown = np.isfinite(pixels).all(axis=1) & (scores > 0) & (scores >= fields.least_score)
    if not shown.any():
        return
    pixels = np.where(shown[:, None], pixels, 0.0)
    axes = np.array(camera.matrix_world.normalized())
    world = rays(camera.data, pixels, track.image_size) @ axes[:3, :3].T + axes[:3, 3]
    places = in_region(world, np.array(view.perspective_matrix), size)
    pairs = lines_between(track.names)
    joined = np.isin(np.arange(len(shown)), pairs)
    pairs = pairs[shown[pairs].all(axis=1)]
    width = fields.size * bpy.context.preferences.system.pixel_size
    radii = width * np.where(joined, 1.4, 0.8)  # a face's many keypoints would hide it
    _paint(places[shown], scores[shown], radii[shown], _line_ends(pairs, shown), width, fields.opacity, size)


def _line_ends(pairs: NDArray[np.intp], shown: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Pairs (n, 2) by their places among the keypoints that are shown."""
    return (np.cumsum(shown) - 1)[pairs]


def _paint(
    places: Array,
    scores: Array,
    radii: Array,
    pairs: NDArray[np.intp],
    width: float,
    opacity: float,
    size: tuple[int, int],
) -> None:
    """Lines (n, 2) between dots and the dots (k,), at region pixels, with a dark rim."""
    import gpu
    from gpu_extras.batch import batch_for_shader

    line, flat = gpu.shader.from_builtin("POLYLINE_SMOOTH_COLOR"), gpu.shader.from_builtin("SMOOTH_COLOR")
    hues = colours(scores, opacity)
    rims = np.tile([*_OUTLINE, 0.45 * opacity], (len(scores), 1))
    ends = pairs.ravel()
    gpu.state.blend_set("ALPHA")
    try:
        line.bind()
        line.uniform_float("viewportSize", size)
        for wide, hue in ((width + 2.0, rims), (width, hues)):
            line.uniform_float("lineWidth", wide)
            if len(ends):
                content = {"pos": _flat(places[ends]), "color": hue[ends].tolist()}
                batch_for_shader(line, "LINES", content).draw(line)
        flat.bind()
        for more, hue in ((1.0, rims), (0.0, hues)):
            corners, triangles = dots(places, radii + more)
            content = {"pos": _flat(corners), "color": np.repeat(hue, _CORNERS + 1, axis=0).tolist()}
            batch_for_shader(flat, "TRIS", content, indices=triangles.tolist()).draw(flat)
    finally:
        gpu.state.blend_set("NONE")


def _flat(places: Array) -> list[list[float]]:
    """Places (n, 2) with the third coordinate that shaders ask for."""
    return np.concatenate([places, np.zeros((len(places), 1))], axis=1).tolist()


class ViewVideoOperator(bpy.types.Operator):
    """Look through the camera that came with the motion, at the video with the keypoints"""

    bl_idname = "video_to_pose.view_video"
    bl_label = "Look Through the Camera"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.space_data is None or context.space_data.type != "VIEW_3D":
            return False
        if _camera(context) is None:
            cls.poll_message_set(
                "No camera came with this motion: turn on Camera and Video in Options before capturing"
            )
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        camera = _camera(context)
        if camera is None:
            return {"CANCELLED"}
        context.scene.camera = camera
        context.space_data.use_local_camera = False
        context.space_data.region_3d.view_perspective = "CAMERA"
        context.space_data.region_3d.view_camera_zoom = 24.0  # nearly as large as the viewport
        context.space_data.region_3d.view_camera_offset = (0.0, 0.0)
        return {"FINISHED"}


def _camera(context: bpy.types.Context) -> bpy.types.Object | None:
    """The camera that came with the motion that is shown, or with another one of the same video."""
    found = results.shown(context)
    if found is None:
        return None
    own = plate.cameras_of(context.scene, found.action)
    if own:
        return own[0]
    cameras = (ob for ob in context.scene.objects if ob.type == "CAMERA")
    return next(
        (camera for camera in cameras if any(p.played.action == found.action for p in people(context.scene, camera))),
        None,
    )


_handle: list[object] = []


def _start() -> None:
    if not _handle and not bpy.app.background:
        _handle.append(bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL"))


def _stop() -> None:
    while _handle:
        bpy.types.SpaceView3D.draw_handler_remove(_handle.pop(), "WINDOW")
    _loaded.clear()


@persistent
def _forget(*_: object) -> None:
    """Another file: keypoints of the last one are not kept."""
    _loaded.clear()


_CLASSES = (OverlayProperties, ViewVideoOperator)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    _register_classes()
    bpy.types.Scene.video_to_pose_overlay = PointerProperty(type=OverlayProperties)
    bpy.app.handlers.load_pre.append(_forget)
    _start()


def unregister() -> None:
    _stop()
    bpy.app.handlers.load_pre.remove(_forget)
    del bpy.types.Scene.video_to_pose_overlay
    _unregister_classes()
