# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in the chosen video, and who of them is captured: found by the engine, shown with pictures, split and merged.

The list is kept with the scene, so it is saved, and undo works. A line of it is somebody as the engine followed them,
or parts of those: `TrackSettings.person` takes what `Track.spoken` says, such as ``1:0-2.5+2:2.5-``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import bpy
from bpy.app.handlers import persistent
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import clip, errands, jobs, pictures, properties, rigs, session
from .core.video_to_pose import protocol
from .core.video_to_pose.errors import InputError, VideoToPoseError
from .core.video_to_pose.settings import CaptureSettings, DetectSettings, TrackSettings, VideoSettings
from .words import draw_text, say

_SHORTLY = 5  # people of the list that are shown before one asks for all
_FORBIDDEN = str.maketrans(dict.fromkeys('\\/:*?"<>|', "_"))
_STAGES = {
    "load": "Getting ready",
    "detect": "Looking for people",
    "portraits": "Taking their pictures",
}


class Portrait(bpy.types.PropertyGroup):
    """A picture of somebody."""

    second: FloatProperty(name="Second", description="The second of the video that the picture shows")
    path: StringProperty(name="File", description="The picture's file", subtype="FILE_PATH")


class Part(bpy.types.PropertyGroup):
    """A stretch of the video in which somebody is the engine's person of this number."""

    number: IntProperty(name="Number", description="The number the engine gave")
    from_s: FloatProperty(name="From", description="Second from which it counts; 0 is the start")
    to_s: FloatProperty(name="To", description="Second up to which it counts; 0 is the end")


class Track(bpy.types.PropertyGroup):
    """Somebody who is in the video; the name names what is captured of them."""

    use: BoolProperty(name="Capture", description="Capture this person", default=False)
    unfolded: BoolProperty(
        name="Show Pictures", description="Show this person over the time of the video, to see whether it is always one"
    )
    parts: CollectionProperty(type=Part)
    portraits: CollectionProperty(type=Portrait)
    first_s: FloatProperty(name="First Seen", description="Second of the video at which the person is first seen")
    last_s: FloatProperty(name="Last Seen", description="Second of the video at which the person is last seen")
    seconds: FloatProperty(name="Seconds Seen", description="For how long the person is seen, gaps left out")
    score: FloatProperty(name="Score", description="How surely the person was seen, 0 to 1")
    note: StringProperty(name="Note", description="What else is known of the person")

    @property
    def spoken(self) -> str:
        """The person as `TrackSettings.person` takes it."""
        return "+".join(
            str(part.number)
            + (f":{_short(part.from_s) if part.from_s else ''}-{_short(part.to_s) if part.to_s else ''}")
            * bool(part.from_s or part.to_s)
            for part in self.parts
        )


class People(bpy.types.PropertyGroup):
    """The people of the chosen video."""

    tracks: CollectionProperty(type=Track)
    video: StringProperty(name="Video", description="The video that was looked through", subtype="FILE_PATH")
    how: StringProperty(name="How", description="Which part of the video was looked through, and how; JSON")
    all: BoolProperty(name="Show All", description="Show everybody and not only those whom the video is about")


@dataclass
class Search:
    """A look through a video for people that is under way.

    Attributes:
        scene: ``session_uid`` of the scene that asked.
        path: of the video.
        how: settings, as `People.how`.
        errand: that does it.
        found: who was told so far.
        stage: words for the panel.
        done: share of the stage, None while unknown.
        pace: of the detection.
    """

    scene: int
    path: Path
    how: str
    errand: errands.Errand | None = None
    found: list[protocol.Person] | None = None
    stage: str = "Starting the engine"
    done: float | None = None
    pace: jobs.Pace | None = None


class State:
    """What runs and what went wrong."""

    search: ClassVar[Search | None] = None
    problem: ClassVar[session.Outcome | None] = None


def _how(settings: CaptureSettings) -> str:
    """What decides whom the engine finds; the device changes but the speed."""
    whole = CaptureSettings(video=settings.video, detect=replace(settings.detect, device=DetectSettings.device))
    values = whole.to_dict()
    return json.dumps({stage: values[stage] for stage in ("video", "detect")}, sort_keys=True)


def of_video(scene: bpy.types.Scene) -> Any:
    """The scene's list of people, if it is of the video that is chosen; otherwise None."""
    people = scene.video_to_pose_people
    path = clip.path_of(scene)
    same = path is not None and bool(people.video) and Path(bpy.path.abspath(people.video)) == path
    return people if same and len(people.tracks) else None


def is_stale(scene: bpy.types.Scene) -> str:
    """Why the list does not hold for what is set now, in a sentence; empty when it does."""
    people = of_video(scene)
    if people is None:
        return ""
    wanted, known = properties.capture_settings(scene.video_to_pose), json.loads(people.how)
    if json.loads(_how(wanted))["detect"] != known["detect"]:
        return "They were found with another detector or number of people."
    begin, end = known["video"]["start_s"], known["video"]["end_s"]
    if wanted.video.start_s < begin or (end or math.inf) < (wanted.video.end_s or math.inf):
        return "A longer part of the video is chosen than was looked through."
    return ""


def search(context: bpy.types.Context) -> None:
    """Look through the scene's video for people; the list comes when it is done.

    Raises:
        VideoToPoseError: it cannot start.
    """
    if State.search is not None:
        return
    scene = context.scene
    path = clip.path_of(scene)
    if path is None or not path.is_file():
        raise InputError(f"The video {path or ''} does not exist.", "Choose the video again.", "video-missing")
    settings = replace(properties.capture_settings(scene.video_to_pose), track=TrackSettings())
    State.problem = None
    State.search = looking = Search(scene.session_uid, path, _how(settings), found=[], pace=jobs.Pace())
    order = protocol.Search(path, settings, cache_folder())
    try:
        looking.errand = errands.send(context, order, lambda message: _note(looking, message))
    except VideoToPoseError:
        State.search = None
        raise


def cancel() -> None:
    """Stop looking."""
    looking, State.search = State.search, None
    if looking is not None and looking.errand is not None:
        errands.drop(looking.errand)


def cache_folder() -> Path:
    """Where the engine keeps what it saw."""
    return session.user_folder("seen")


def _note(looking: Search, message: protocol.Message) -> None:
    """Take in what the engine says."""
    if isinstance(message, protocol.Progress):
        looking.stage = _STAGES.get(message.stage, message.stage.capitalize())
        looking.done = min(message.done / message.total, 1.0) if message.total else None
        if message.stage == "detect" and message.total and looking.pace is not None:
            looking.pace.note(message.done, message.total)
            looking.stage += f", frame {message.done} of {message.total}"
    elif isinstance(message, protocol.Person) and looking.found is not None:
        looking.found.append(message)
    elif isinstance(message, protocol.Failed):
        State.search = None
        State.problem = session.Outcome(message.message, message.hint, message.code, message.details)
    elif isinstance(message, protocol.Final):
        State.search = None
        scene = next((scene for scene in bpy.data.scenes if scene.session_uid == looking.scene), None)
        if isinstance(message, protocol.Found) and scene is not None:
            fill(scene, looking)
            if not bpy.app.background:
                bpy.ops.ed.undo_push(message="Find People")


def fill(scene: bpy.types.Scene, looking: Search) -> None:
    """Put into the scene's list who was found; the first of them is to be captured."""
    people = scene.video_to_pose_people
    people.tracks.clear()
    people.video, people.how, people.all = str(looking.path), looking.how, False
    for person in looking.found or []:
        track = people.tracks.add()
        track.name = f"Person {person.number}"
        track.use = person.number == 1
        part = track.parts.add()
        part.number = person.number
        track.first_s, track.last_s, track.seconds = person.first_s, person.last_s, person.seconds
        track.score = person.score
        if person.reflection_of:
            track.note = f"Mirror image of person {person.reflection_of}?"
        elif person.still:
            track.note = "Never moves: a picture?"
        for second, path in person.portraits:
            portrait = track.portraits.add()
            portrait.second, portrait.path = second, path


def split(track_of: Any, index: int, second: float) -> None:
    """Make two people of one: up to a second of the video, and from there on.

    Args:
        track_of: `People`.
        index: of the track.
        second: of the video.

    Raises:
        InputError: the person is not seen both before and after it.
    """
    track = track_of.tracks[index]
    if not track.first_s < second < track.last_s:
        raise InputError(
            f"The current frame shows {second:.2f} s of the video; {track.name} is seen from {track.first_s:.1f} to "
            f"{track.last_s:.1f} s.",
            "Move the current frame to the moment at which it becomes somebody else.",
            "split-outside",
        )
    before = _values(track)
    share = (second - track.first_s) / (track.last_s - track.first_s)
    number = _free_number(track_of)
    other = track_of.tracks.add()  # adding may move the others in memory: look them up anew
    track = track_of.tracks[index]
    _write(other, before)
    other.name = f"Person {number}"
    for one, begin, end in ((track, 0.0, second), (other, second, 0.0)):
        _cut(one, before, begin, end)
    track.last_s, other.first_s = second, second
    track.seconds, other.seconds = before["seconds"] * share, before["seconds"] * (1 - share)
    track_of.tracks.move(len(track_of.tracks) - 1, index + 1)


def merge(track_of: Any, index: int, other: int) -> None:
    """Make one person of two; where both are seen at once, the first counts.

    Args:
        track_of: `People`.
        index: of the track that stays.
        other: of the track that goes into it.
    """
    mine, theirs = _values(track_of.tracks[index]), _values(track_of.tracks[other])
    track = track_of.tracks[index]
    mine["parts"] = _joined([*mine["parts"], *theirs["parts"]])
    mine["portraits"] = sorted([*mine["portraits"], *theirs["portraits"]])
    mine["score"] = (mine["score"] * mine["seconds"] + theirs["score"] * theirs["seconds"]) / max(
        mine["seconds"] + theirs["seconds"], 1e-6
    )
    mine["first_s"], mine["last_s"] = min(mine["first_s"], theirs["first_s"]), max(mine["last_s"], theirs["last_s"])
    mine["seconds"] = min(mine["seconds"] + theirs["seconds"], mine["last_s"] - mine["first_s"])
    mine["use"] = mine["use"] or theirs["use"]
    _write(track, mine)
    track_of.tracks.remove(other)


def _values(track: Any) -> dict[str, Any]:
    plain = ("use", "unfolded", "first_s", "last_s", "seconds", "score", "note")
    return {
        **{name: getattr(track, name) for name in plain},
        "parts": [(part.number, part.from_s, part.to_s) for part in track.parts],
        "portraits": [(portrait.second, portrait.path) for portrait in track.portraits],
    }


def _write(track: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if name not in ("parts", "portraits"):
            setattr(track, name, value)
    track.parts.clear()
    for number, begin, end in values["parts"]:
        part = track.parts.add()
        part.number, part.from_s, part.to_s = number, begin, end
    track.portraits.clear()
    for second, path in values["portraits"]:
        portrait = track.portraits.add()
        portrait.second, portrait.path = second, path


def _cut(track: Any, values: dict[str, Any], begin: float, end: float) -> None:
    """Leave a track what lies from `begin` to `end` (0: the video's own)."""
    parts = []
    for number, first, last in values["parts"]:
        start, stop = max(first, begin), min(last or math.inf, end or math.inf)
        if start < stop:
            parts.append((number, start, 0.0 if math.isinf(stop) else stop))
    portraits = [pair for pair in values["portraits"] if begin <= pair[0] < (end or math.inf)]
    nearest = min(values["portraits"], key=lambda pair: abs(pair[0] - (end or begin)), default=None)
    _write(track, {**_values(track), "parts": parts, "portraits": portraits or ([nearest] if nearest else [])})


def _joined(parts: list[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """The same parts, those that touch made one again: what was split and merged is as it was."""
    out: list[tuple[int, float, float]] = []
    for number, begin, end in parts:
        for place, (known, first, last) in enumerate(out):
            if known == number and (last == begin > 0 or end == first > 0):
                out[place] = (number, min(first, begin), 0.0 if 0.0 in (last, end) else max(last, end))
                break
        else:
            out.append((number, begin, end))
    return out


def _free_number(people: Any) -> int:
    taken = {track.name for track in people.tracks}
    return next(number for number in range(1, len(taken) + 2) if f"Person {number}" not in taken)


def orders(scene: bpy.types.Scene, video: Path) -> list[tuple[str, CaptureSettings]]:
    """What is to be captured of the scene's video: the name and the settings for each person.

    Without a list of people it is one capture, of whom the options choose.

    Raises:
        InputError: the list does not hold for what is set now, or nobody of it is chosen.
    """
    settings, people = properties.capture_settings(scene.video_to_pose), of_video(scene)
    name = rigs.clip_name(video)
    if people is None:
        return [(name, settings)]
    if reason := is_stale(scene):
        raise InputError(
            f"The list of people does not fit any more. {reason}",
            "Find People again, or clear the list.",
            "people-stale",
        )
    chosen = [track for track in people.tracks if track.use]
    if not chosen:
        raise InputError("Nobody is chosen.", "Tick the people to capture, or clear the list.", "nobody-chosen")
    known = json.loads(people.how)["video"]
    part = VideoSettings(known["start_s"], known["end_s"])  # what was looked through then is not looked through again
    return [
        (
            name if len(people.tracks) == 1 else _named(name, track.name),
            replace(settings, video=part, track=TrackSettings(person=_within(track, settings.video, part))),
        )
        for track in chosen
    ]


def _within(track: Any, wanted: VideoSettings, searched: VideoSettings) -> str:
    """The person in the part of the video that is wanted now, which lies within the one looked through."""
    begin = wanted.start_s if wanted.start_s > searched.start_s else 0.0
    end = wanted.end_s if wanted.end_s is not None and wanted.end_s != searched.end_s else None
    spoken = []
    there = track.last_s >= begin and (end is None or track.first_s < end)
    for part in track.parts if there else ():
        start, stop = max(part.from_s, begin), min(part.to_s or math.inf, end or math.inf)
        if start >= stop:
            continue
        limits = f":{_short(start) if start else ''}-{'' if math.isinf(stop) else _short(stop)}"
        spoken.append(f"{part.number}{limits if limits != ':-' else ''}")
    if not spoken:
        raise InputError(
            f"{track.name} is not in the part of the video that is chosen.",
            f"They are seen from {track.first_s:.1f} to {track.last_s:.1f} s.",
            "nobody-there",
        )
    return "+".join(spoken)


def _named(clip_name: str, person: str) -> str:
    """A name for an action and a file, as long as Blender allows."""
    person = (person.strip() or "Person").translate(_FORBIDDEN)
    room = 60 - len(person.encode()) - 1
    return f"{clip_name.encode()[:room].decode(errors='ignore')} {person}" if room > 0 else person[:20]


def _short(seconds: float) -> str:
    """Seconds out of Blender's single precision."""
    return f"{seconds:.4f}".rstrip("0").rstrip(".")


class FindPeopleOperator(bpy.types.Operator):
    """Look who is in the video, to choose who is captured. The capture then need not look again"""

    bl_idname = "video_to_pose.find_people"
    bl_label = "Find People"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not context.scene.video_to_pose.video:
            cls.poll_message_set("Choose a video first")
            return False
        if State.search is not None:
            cls.poll_message_set("People are being looked for already")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            search(context)
        except VideoToPoseError as error:
            State.problem = session.explain(error)
            self.report({"ERROR"}, f"{error.message} {error.hint}".strip())
            return {"CANCELLED"}
        return {"FINISHED"}


class CancelSearchOperator(bpy.types.Operator):
    """Stop looking for people"""

    bl_idname = "video_to_pose.cancel_search"
    bl_label = "Cancel"

    def execute(self, context: bpy.types.Context) -> set[str]:
        cancel()
        return {"FINISHED"}


class ClearPeopleOperator(bpy.types.Operator):
    """Drop the list: the person is then chosen as the options say"""

    bl_idname = "video_to_pose.clear_people"
    bl_label = "Clear the List"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.video_to_pose_people.tracks.clear()
        State.problem = None
        return {"FINISHED"}


class SplitPersonOperator(bpy.types.Operator):
    """Make two people of this one, before and after what the current frame shows: where they were taken for another"""

    bl_idname = "video_to_pose.split_person"
    bl_label = "Split at Current Frame"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    index: IntProperty(name="Person", description="Which line of the list", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        people = scene.video_to_pose_people
        if not 0 <= self.index < len(people.tracks):
            return {"CANCELLED"}
        try:
            split(people, self.index, clip.moment(scene)[0])
        except InputError as error:
            self.report({"WARNING"}, f"{error.message} {error.hint}")
            return {"CANCELLED"}
        return {"FINISHED"}


_choices: list[tuple[str, str, str]] = []


def _others(operator: Any, context: bpy.types.Context | None) -> list[tuple[str, str, str]]:
    """The other lines, for the menu; kept, because Blender holds no reference to them."""
    if context is None:
        return []
    tracks = context.scene.video_to_pose_people.tracks
    _choices[:] = [
        (str(i), track.name, f"Seen from {track.first_s:.1f} to {track.last_s:.1f} s")
        for i, track in enumerate(tracks)
        if i != operator.index
    ]
    return _choices


class MergePeopleOperator(bpy.types.Operator):
    """Make one person of this one and another, who was lost and found again. Where both are seen, this one counts"""

    bl_idname = "video_to_pose.merge_people"
    bl_label = "Merge With"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    index: IntProperty(name="Person", description="Which line of the list", options={"HIDDEN", "SKIP_SAVE"})
    other: EnumProperty(name="Other", description="Who is the same person", items=_others)

    def execute(self, context: bpy.types.Context) -> set[str]:
        people = context.scene.video_to_pose_people
        other = int(self.other) if self.other else -1
        if not (0 <= self.index < len(people.tracks) and 0 <= other < len(people.tracks)) or other == self.index:
            return {"CANCELLED"}
        merge(people, self.index, other)
        return {"FINISHED"}


def draw(layout: bpy.types.UILayout, scene: bpy.types.Scene, characters: int) -> None:
    """Finding people, and the list of who was found.

    Args:
        layout: of the panel.
        scene: whose video.
        characters: that fit into a line beside an icon.
    """
    fields, people = scene.video_to_pose, of_video(scene)
    if not fields.video:
        return
    if State.search is not None:
        _draw_search(layout, State.search)
        return
    row = layout.row(align=True)
    row.operator("video_to_pose.find_people", text="Find Again" if people else "Find People", icon="COMMUNITY")
    row.prop(fields, "max_people", text="Up to")
    if people is not None:
        row.operator("video_to_pose.clear_people", text="", icon="X")
    if State.problem is not None:
        column = layout.box().column(align=True)
        draw_text(column, State.problem.message, "ERROR", characters)
        draw_text(column, State.problem.hint, "BLANK1", characters)
    if people is None:
        return
    if reason := is_stale(scene):
        text = say("{reason} Find them again.", reason=say(reason))
        draw_text(layout.box().column(align=True), text, "ERROR", characters)
    shown = len(people.tracks) if people.all else min(_SHORTLY, len(people.tracks))
    column = layout.column(align=True)
    for index in range(shown):
        _draw_track(column.box(), people, index)
    if len(people.tracks) > _SHORTLY:
        text = "Show Fewer" if people.all else f"Show All {len(people.tracks)}"
        column.prop(people, "all", text=text, toggle=True)


def draw_targets(layout: bpy.types.UILayout, scene: bpy.types.Scene, characters: int) -> None:
    """Who goes onto the chosen armature, where several are captured."""
    people = of_video(scene)
    chosen = [track.name for track in people.tracks if track.use] if people is not None else []
    if len(chosen) > 1:
        text = say("{person} goes onto it; the others get new armatures.", person=chosen[0])
        draw_text(layout.column(align=True), text, "INFO", characters)


def _draw_search(layout: bpy.types.UILayout, looking: Search) -> None:
    column = layout.column(align=True)
    column.progress(factor=looking.done or 0.0, type="BAR", text=looking.stage)
    row = column.row(align=True)
    rate, left = (looking.pace.rate, looking.pace.left_s) if looking.pace is not None else (None, None)
    told = f"{rate:.0f} frames/s, {jobs.told_time(left)} left" if rate is not None and left is not None else ""
    row.label(text=told)
    row.operator("video_to_pose.cancel_search", icon="X")


def _draw_track(box: bpy.types.UILayout, people: Any, index: int) -> None:
    track = people.tracks[index]
    row = box.row()
    row.prop(track, "use", text="")
    portraits = list(track.portraits)
    if portraits:
        row.template_icon(icon_value=pictures.icon_of(portraits[len(portraits) // 2].path), scale=2.6)
    column = row.column(align=True)
    title = column.row(align=True)
    title.prop(track, "name", text="")
    title.prop(track, "unfolded", text="", icon="IMGDISPLAY")
    title.operator("video_to_pose.split_person", text="", icon="UNLINKED").index = index
    if len(people.tracks) > 1:
        title.operator_menu_enum("video_to_pose.merge_people", "other", text="", icon="LINKED").index = index
    column.label(text=f"{track.first_s:.1f}–{track.last_s:.1f} s, seen {track.seconds:.1f} s, {track.score:.0%}")
    if track.note:
        column.label(text=track.note, icon="QUESTION")
    if track.unfolded:
        grid = box.grid_flow(row_major=True, columns=3, even_columns=True, align=True)
        for portrait in portraits:
            cell = grid.column(align=True)
            cell.template_icon(icon_value=pictures.icon_of(portrait.path), scale=3.6)
            cell.label(text=f"{portrait.second:.1f} s")


@persistent
def _before_load(*_: object) -> None:
    cancel()
    State.problem = None


_CLASSES = (
    Portrait,
    Part,
    Track,
    People,
    FindPeopleOperator,
    CancelSearchOperator,
    ClearPeopleOperator,
    SplitPersonOperator,
    MergePeopleOperator,
)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    _register_classes()
    bpy.types.Scene.video_to_pose_people = PointerProperty(type=People)
    bpy.app.handlers.load_pre.append(_before_load)


def unregister() -> None:
    cancel()
    State.problem = None
    bpy.app.handlers.load_pre.remove(_before_load)
    del bpy.types.Scene.video_to_pose_people
    _unregister_classes()
