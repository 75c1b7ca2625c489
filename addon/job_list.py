# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue in the panel: what waits, runs and was, with a button for each thing that one can do about it."""

import textwrap

import bpy
from bpy.props import IntProperty

from . import session, setup_view
from .core.video_to_pose.errors import VideoToPoseError
from .jobs import Job, Outcome, Status
from .words import draw_text, say

LOG = "Video to Pose Log"
"""Name of the text that shows a log; each time the same one."""

_SETUP_CODES = (
    *("engine-missing", "engine-incomplete", "engine-python", "engine-other", "engine-outdated", "engine-install"),
    *("engine-room", "engine-no-pip", "engine-trial", "bundle-broken", "bundle-other", "bundle-version", "doctor"),
    *("package-missing", "no-mediapipe"),
)
_ICONS = {
    Status.WAITING: "SORTTIME",
    Status.RUNNING: "PLAY",
    Status.CAPTURED: "IMPORT",
    Status.DONE: "CHECKMARK",
    Status.FAILED: "ERROR",
    Status.CANCELLED: "CANCEL",
}


class _OfJob:
    """A button of one job."""

    number: IntProperty(name="Job", description="Which capture of the list", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        job = session.find(self.number)
        if job is None:
            return {"CANCELLED"}
        try:
            self.do(context, job)
        except VideoToPoseError as error:
            session.State.outcome = session.explain(error)
            self.report({"ERROR"}, f"{error.message} {error.hint}".strip())
            return {"CANCELLED"}
        return {"FINISHED"}


class CancelJobOperator(_OfJob, bpy.types.Operator):
    """Stop this capture; nothing half-finished is left behind"""

    bl_idname = "video_to_pose.cancel_job"
    bl_label = "Cancel"

    @staticmethod
    def do(_context: bpy.types.Context, job: Job) -> None:
        session.cancel(job)


class RetryJobOperator(_OfJob, bpy.types.Operator):
    """Do it once more as it was asked for. What was captured already is not captured again"""

    bl_idname = "video_to_pose.retry_job"
    bl_label = "Try Again"

    @staticmethod
    def do(_context: bpy.types.Context, job: Job) -> None:
        session.retry(job)


class RemoveJobOperator(_OfJob, bpy.types.Operator):
    """Take this capture off the list. Actions and takes that it made stay"""

    bl_idname = "video_to_pose.remove_job"
    bl_label = "Remove from List"

    @staticmethod
    def do(_context: bpy.types.Context, job: Job) -> None:
        session.remove(job)


class UnfoldJobOperator(_OfJob, bpy.types.Operator):
    """Show or hide what this capture has to tell"""

    bl_idname = "video_to_pose.unfold_job"
    bl_label = "Show Details"

    @staticmethod
    def do(_context: bpy.types.Context, job: Job) -> None:
        job.unfolded = not job.unfolded


class ShowLogOperator(_OfJob, bpy.types.Operator):
    """Show the full log of this capture in a text editor: versions, options, what the engine said"""

    bl_idname = "video_to_pose.show_log"
    bl_label = "Show Log"

    @staticmethod
    def do(context: bpy.types.Context, job: Job) -> None:
        text = bpy.data.texts.get(LOG) or bpy.data.texts.new(LOG)
        text.from_string(job.log.read() or f"The log {job.log.path} is gone.\n")
        text.use_fake_user = False  # a file that is saved when nobody looks at it does not hold it
        text.cursor_set(0)
        if not bpy.app.background:
            _show(context, text)


class ClearJobsOperator(bpy.types.Operator):
    """Take all captures off the list that are over. Actions and takes that they made stay"""

    bl_idname = "video_to_pose.clear_jobs"
    bl_label = "Clear Finished"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return any(job.status.is_over for job in session.State.jobs)

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.State.jobs = session.active()
        return {"FINISHED"}


class CancelAllOperator(bpy.types.Operator):
    """Stop the capture that runs and all that wait"""

    bl_idname = "video_to_pose.cancel_all"
    bl_label = "Cancel All"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(session.active())

    def execute(self, context: bpy.types.Context) -> set[str]:
        for job in session.active():
            session.cancel(job)
        return {"FINISHED"}


def _show(context: bpy.types.Context, text: bpy.types.Text) -> None:
    """In a text editor that is there, or else in a window of its own."""
    area = next((area for area in context.window.screen.areas if area.type == "TEXT_EDITOR"), None)
    if area is None:
        before = set(context.window_manager.windows)
        bpy.ops.wm.window_new()
        opened = [window for window in context.window_manager.windows if window not in before]
        if not opened:
            return
        area = opened[0].screen.areas[0]
        area.type = "TEXT_EDITOR"
    space = area.spaces.active
    space.text, space.top, space.show_word_wrap = text, 0, True


def draw(layout: bpy.types.UILayout, characters: int) -> None:
    """The jobs, in the order in which they are done.

    Args:
        layout: a column of the panel.
        characters: that fit into a line beside an icon.
    """
    for job in session.State.jobs:
        box = layout.box().column(align=True)
        _draw_title(box.row(align=True), job, characters)
        if job.status in (Status.RUNNING, Status.CAPTURED):
            _draw_progress(box, job, characters)
        elif job.outcome is not None and job.unfolded:
            draw_outcome(box, job.outcome, characters, job)
    waiting = sum(job.status is Status.WAITING for job in session.State.jobs)
    over = sum(job.status.is_over for job in session.State.jobs)
    if waiting or over > 1:
        row = layout.row(align=True)
        if waiting:
            row.operator("video_to_pose.cancel_all", icon="X")
        if over > 1:
            row.operator("video_to_pose.clear_jobs", icon="TRASH")


def _draw_title(row: bpy.types.UILayout, job: Job, characters: int) -> None:
    """One line: how it stands, its name, and what can be done about it."""
    name = textwrap.shorten(job.name, max(8, characters - 8), placeholder="…")
    if job.outcome is not None:
        icon = "DISCLOSURE_TRI_DOWN" if job.unfolded else "DISCLOSURE_TRI_RIGHT"
        row.operator("video_to_pose.unfold_job", text="", icon=icon, emboss=False).number = job.number
    row.label(text=name, icon=_ICONS[job.status])
    if not job.status.is_over:
        text = "Cancel" if job.status is Status.RUNNING else ""
        row.operator("video_to_pose.cancel_job", text=text, icon="X").number = job.number
        return
    if not (job.status is Status.FAILED and job.unfolded):  # there they are seen large
        if job.status is not Status.DONE:
            row.operator("video_to_pose.retry_job", text="", icon="FILE_REFRESH").number = job.number
        row.operator("video_to_pose.show_log", text="", icon="TEXT").number = job.number
    row.operator("video_to_pose.remove_job", text="", icon="X").number = job.number


def _draw_progress(column: bpy.types.UILayout, job: Job, characters: int) -> None:
    if job.hindrance:
        draw_text(column, job.hindrance, "BLANK1", characters)
        return
    column.progress(factor=job.done or 0.0, type="BAR", text=job.stage)
    for line in filter(None, (job.frames, job.tell_pace())):
        column.label(text=line, icon="BLANK1")


def draw_outcome(column: bpy.types.UILayout, outcome: Outcome, characters: int, job: Job | None = None) -> None:
    """How something ended, what mends it, and buttons for that.

    Args:
        column: where to draw.
        outcome: what to tell.
        characters: that fit into a line beside an icon.
        job: whose outcome it is, if any; its title has told already whether all is well.
    """
    bad = outcome.code not in ("", "cancelled")
    icon = "BLANK1" if job is not None else "ERROR" if bad else "INFO" if outcome.code else "CHECKMARK"
    draw_text(column, outcome.message, icon, characters)
    if outcome.hint:
        draw_text(column, outcome.hint, "BLANK1", characters)
    for warning in outcome.warnings:
        draw_text(column, warning, "INFO", characters)
    if outcome.code in _SETUP_CODES and setup_view.has_engine(bpy.context):  # else the button stands above
        column.separator()
        row = column.row(align=True)
        row.operator("video_to_pose.install_engine", icon="IMPORT")
        row.operator("video_to_pose.doctor", text="", icon="HEART")
        row.operator("preferences.addon_show", text="", icon="PREFERENCES").module = __package__
        setup_view.draw_faults(column, characters)
    if outcome.code == "weights-offline" and not bpy.app.online_access:
        column.separator()
        setup_view.draw_online_access(column)
    if bad and job is not None:
        column.separator()
        row = column.row(align=True)
        row.operator("video_to_pose.retry_job", icon="FILE_REFRESH").number = job.number
        row.operator("video_to_pose.show_log", icon="TEXT").number = job.number
    elif outcome.details:
        column.separator()
        column.operator("video_to_pose.copy_details", icon="COPYDOWN")
    for take in job.takes if job is not None else [outcome.take] if outcome.take is not None else []:
        column.separator()
        new = bpy.context.scene.video_to_pose.target == "NEW"
        where = "Put on a New Armature" if new else "Put on the Chosen Armature"
        text = where if job is None or len(job.takes) == 1 else f"{take.stem}: {say(where)}"
        column.operator("video_to_pose.apply_take", text=text, icon="ARMATURE_DATA").filepath = str(take)


_CLASSES = (
    CancelJobOperator,
    RetryJobOperator,
    RemoveJobOperator,
    UnfoldJobOperator,
    ShowLogOperator,
    ClearJobsOperator,
    CancelAllOperator,
)
register, unregister = bpy.utils.register_classes_factory(_CLASSES)
