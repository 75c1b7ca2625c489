# SPDX-License-Identifier: GPL-3.0-or-later
"""The chosen video: dropped or picked, described with a picture, and which part of it is captured."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import bpy
from bpy.app.handlers import persistent
from bpy.props import EnumProperty, StringProperty

from . import errands, pictures, rigs, session
from .core.video_to_pose import protocol
from .core.video_to_pose.errors import VideoToPoseError
from .words import draw_text, say

ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv", ".3gp", ".ogv")
"""Of files that may be dropped; any file that can be decoded may be picked."""

_MOST_PICTURES = 64


@dataclass
class Clip:
    """What is known of a video.

    Attributes:
        path: the file.
        stamp: its time of change and size, when it was looked at.
        facts: what it is; None while nobody has looked, or where it is none.
        problem: why nothing is known.
        errand: that looks at it just now.
    """

    path: Path
    stamp: tuple[int, int]
    facts: protocol.Clip | None = None
    problem: session.Outcome | None = None
    errand: errands.Errand | None = None


class State:
    """The video that was looked at last."""

    clip: ClassVar[Clip | None] = None


def path_of(scene: bpy.types.Scene) -> Path | None:
    """The video that a scene's panel names; None for none."""
    text = scene.video_to_pose.video
    return Path(bpy.path.abspath(text)) if text else None


def known(scene: bpy.types.Scene) -> Clip | None:
    """What is known of the scene's video; None when nobody has looked at it."""
    clip = State.clip
    return clip if clip is not None and clip.path == path_of(scene) else None


def look(context: bpy.types.Context) -> None:
    """Find out what the scene's video is, unless that is known already. Problems are told in `State.clip`."""
    path = path_of(context.scene)
    before = State.clip
    if path is None:
        _forget()
        return
    stamp = _stamp(path)
    if before is not None and (before.path, before.stamp) == (path, stamp) and _is_known(before):
        return
    _forget()
    if before is not None and before.path != path:
        session.State.outcome = None  # it was told of another video
    State.clip = clip = Clip(path, stamp)
    if stamp == (0, 0):
        clip.problem = session.Outcome(f"There is no file {path}.", "Choose the video again.", "video-missing")
        return
    folder = session.user_folder("clips")
    name = hashlib.sha256(f"{path} {stamp}".encode()).hexdigest()[:24]
    _sweep(folder)
    try:
        clip.errand = errands.send(context, protocol.Glance(path, folder / f"{name}.png"), lambda m: _note(clip, m))
    except VideoToPoseError as error:
        clip.problem = session.explain(error)


def _is_known(clip: Clip) -> bool:
    """Whether a video was looked at, or is just now; one that was given up, as when a file was opened, is not."""
    return clip.facts is not None or (clip.errand is not None and clip.errand.note is not None)


def _note(clip: Clip, message: protocol.Message) -> None:
    if isinstance(message, protocol.Clip):
        clip.facts = message
    elif isinstance(message, protocol.Failed):
        clip.problem = session.Outcome(message.message, message.hint, message.code, message.details)
    if isinstance(message, protocol.Final):
        clip.errand = None


def _forget() -> None:
    if State.clip is not None and State.clip.errand is not None:
        errands.drop(State.clip.errand)
    State.clip = None


def _stamp(path: Path) -> tuple[int, int]:
    """A file's time of change and size; zeros where there is none."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_mtime_ns, about.st_size


def _sweep(folder: Path) -> None:
    """Keep the pictures of the last clips."""
    with contextlib.suppress(OSError):
        newest_first = sorted(folder.glob("*.png"), key=lambda file: -file.stat().st_mtime)
        for file in newest_first[_MOST_PICTURES:]:
            file.unlink(missing_ok=True)


def moment(scene: bpy.types.Scene) -> tuple[float, float]:
    """What the current frame shows of the scene's video: the second, and how many seconds one frame of the scene shows.

    Where the video is loaded, behind a camera or to be watched, that is what one sees; otherwise it starts with the
    scene.
    """
    path, frame, rate = path_of(scene), scene.frame_current, rigs.scene_rate(scene)
    clip = known(scene)
    if clip is not None and clip.facts is not None:
        for camera in (ob for ob in scene.objects if ob.type == "CAMERA"):
            for picture in camera.data.background_images:
                image, user = picture.image, picture.image_user
                if picture.source == "IMAGE" and image is not None and _is_at(image.filepath, path):
                    return max(0.0, (frame - user.frame_start + user.frame_offset) / clip.facts.frame_rate), 1 / rate
    for movie in bpy.data.movieclips:
        if _is_at(movie.filepath, path) and movie.fps > 0:
            return max(0.0, (frame - movie.frame_start + movie.frame_offset) / movie.fps), 1 / movie.fps
    return max(0.0, (frame - scene.frame_start) / rate), 1 / rate


def _is_at(filepath: str, path: Path | None) -> bool:
    return path is not None and bool(filepath) and Path(bpy.path.abspath(filepath)) == path


def look_at_changed(_fields: Any, context: bpy.types.Context) -> None:
    """Another video is in the panel's field."""
    if not bpy.app.background:
        look(context)


class ChooseVideoOperator(bpy.types.Operator):
    """Capture motion from this video"""

    bl_idname = "video_to_pose.choose_video"
    bl_label = "Capture Motion from Video"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    filepath: StringProperty(name="Video", description="The video to capture from", subtype="FILE_PATH")
    filter_movie: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        fields = context.scene.video_to_pose
        fields.video = self.filepath
        fields.property_unset("start_s")
        fields.property_unset("end_s")
        if context.area is not None and context.area.type == "VIEW_3D":
            _show_tab(context.area)
        return {"FINISHED"}


def _show_tab(area: bpy.types.Area) -> None:
    """Open the sidebar at our tab."""
    area.spaces.active.show_region_ui = True
    region = next((region for region in area.regions if region.type == "UI"), None)
    if region is not None:
        with contextlib.suppress(AttributeError, TypeError):  # the tab cannot be set before the region was drawn
            region.active_panel_category = "Video to Pose"


class VideoFileHandler(bpy.types.FileHandler):
    """Videos dropped on the 3D viewport"""

    bl_idname = "VIDEO_TO_POSE_FH_video"
    bl_label = "Video to Pose"
    bl_import_operator = ChooseVideoOperator.bl_idname
    bl_file_extensions = ";".join(ENDINGS)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


class SetRangeOperator(bpy.types.Operator):
    """Take the moment of the video that the current frame shows"""

    bl_idname = "video_to_pose.set_range"
    bl_label = "Set from Current Frame"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    end: EnumProperty(
        name="End",
        description="Which end of the captured part is set",
        items=[
            ("FROM", "From", "The capture starts at the current frame"),
            ("TO", "To", "The capture ends with the current frame"),
            ("ALL", "All", "The whole video is captured"),
        ],
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: Any) -> str:
        return {
            "FROM": "Start the capture at the moment of the video that the current frame shows",
            "TO": "End the capture at the moment of the video that the current frame shows",
            "ALL": "Capture the whole video",
        }[properties.end]

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        fields, clip = scene.video_to_pose, known(scene)
        length = clip.facts.duration_s if clip is not None and clip.facts is not None else None
        if self.end == "ALL":
            fields.property_unset("start_s")
            fields.property_unset("end_s")
            return {"FINISHED"}
        second, step = moment(scene)
        if length is not None and second > length:
            self.report(
                {"WARNING"}, say("The video ends at {length:.2f} s; the current frame is later.", length=length)
            )
            return {"CANCELLED"}
        if self.end == "TO":
            second += step  # the end itself is not captured
        if self.end == "FROM":
            if fields.end_s and second >= fields.end_s:
                fields.property_unset("end_s")
            fields.start_s = second
        elif second <= fields.start_s:
            self.report({"WARNING"}, say("The current frame is at {second:.2f} s, before the start.", second=second))
            return {"CANCELLED"}
        else:
            fields.end_s = 0.0 if length is not None and second >= length else second
        return {"FINISHED"}


class WatchVideoOperator(bpy.types.Operator):
    """Show the video in a window of its own. It follows the timeline, so one sees what the current frame shows"""

    bl_idname = "video_to_pose.watch_video"
    bl_label = "Watch the Video"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        clip = known(context.scene)
        if clip is None or clip.facts is None:
            cls.poll_message_set("The video has not been looked at yet, or cannot be read")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, path = context.scene, path_of(context.scene)
        movie = next((movie for movie in bpy.data.movieclips if _is_at(movie.filepath, path)), None)
        if movie is None:
            try:
                movie = bpy.data.movieclips.load(str(path))
            except RuntimeError:
                self.report(
                    {"ERROR"},
                    say("Blender itself cannot play {name}; it can be captured nevertheless.", name=path.name),
                )
                return {"CANCELLED"}
            movie.frame_start = scene.frame_start
        areas = [area for window in context.window_manager.windows for area in window.screen.areas]
        area = next((area for area in areas if area.type == "CLIP_EDITOR"), None)
        if area is None:
            before = set(context.window_manager.windows)
            bpy.ops.wm.window_new()
            opened = [window for window in context.window_manager.windows if window not in before]
            if not opened:
                return {"CANCELLED"}
            area = opened[0].screen.areas[0]
            area.type = "CLIP_EDITOR"
        space = area.spaces.active
        space.clip = movie
        space.show_region_toolbar = space.show_region_ui = space.show_gizmo = False
        return {"FINISHED"}


def draw(layout: bpy.types.UILayout, scene: bpy.types.Scene, characters: int) -> None:
    """The video's field, what it is, and which part of it is captured.

    Args:
        layout: of the panel.
        scene: whose video.
        characters: that fit into a line beside an icon.
    """
    fields, clip = scene.video_to_pose, known(scene)
    column = layout.column()
    column.prop(fields, "video", text="")
    if not fields.video:
        column.label(text="Drop a video on the viewport", icon="FILE_MOVIE")
        return
    if clip is None:
        _draw_range(layout.box(), fields)
        return
    if clip.problem is not None:
        told = layout.box().column(align=True)
        draw_text(told, clip.problem.message, "ERROR", characters)
        draw_text(told, clip.problem.hint, "BLANK1", characters)
        return
    if clip.facts is None:
        column.label(text="Looking at the video…", icon="SORTTIME")
        return
    facts = clip.facts
    box = layout.box()
    row = box.row()
    icon = pictures.icon_of(facts.picture)
    if icon:
        row.template_icon(icon_value=icon, scale=4.2)
    column = row.column(align=True)
    for line in describe(facts):
        column.label(text=line)
    _draw_range(box, fields)


def _draw_range(box: bpy.types.UILayout, fields: Any) -> None:
    column = box.column(align=True)
    row = column.row(align=True)
    row.prop(fields, "start_s")
    row.operator("video_to_pose.set_range", text="", icon="TRIA_LEFT_BAR").end = "FROM"
    row = column.row(align=True)
    row.prop(fields, "end_s", text="To" if fields.end_s else "To (0: End)")
    row.operator("video_to_pose.set_range", text="", icon="TRIA_RIGHT_BAR").end = "TO"
    row = box.row(align=True)
    row.operator("video_to_pose.watch_video", icon="FILE_MOVIE")
    if fields.start_s or fields.end_s:
        row.operator("video_to_pose.set_range", text="", icon="LOOP_BACK").end = "ALL"


def describe(facts: protocol.Clip) -> list[str]:
    """What a video is, in short lines."""
    rate = f"{facts.frame_rate:.2f}".rstrip("0").rstrip(".")
    about = "about " if facts.is_variable else ""
    return [
        told_length(facts.duration_s),
        f"{facts.frame_count} frames",
        f"{about}{rate} frames/s",
        f"{facts.width} × {facts.height}",
    ]


def told_length(seconds: float) -> str:
    """A length as people write it: ``5.0 s``, ``2:05``, ``1:04:00``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


@persistent
def _after_change(*_: object) -> None:
    """Another file was opened, or undo has brought another video back."""
    if not bpy.app.background:
        look(bpy.context)


_HANDLERS = ("load_post", "undo_post", "redo_post")
_CLASSES = (ChooseVideoOperator, VideoFileHandler, SetRangeOperator, WatchVideoOperator)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    _register_classes()
    for name in _HANDLERS:
        getattr(bpy.app.handlers, name).append(_after_change)


def unregister() -> None:
    for name in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(_after_change)
    _unregister_classes()
    _forget()
