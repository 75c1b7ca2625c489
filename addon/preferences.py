# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which Python runs the capture engine."""

import bpy
from bpy.props import StringProperty

from . import session


class VideoToPosePreferences(bpy.types.AddonPreferences):
    """Shown under Add-ons."""

    bl_idname = __package__

    engine_python: StringProperty(
        name="Engine's Python",
        description="A Python in which video-to-pose is installed. Empty: the engine installed here, or Blender's own "
        "Python when it has all that is needed",
        subtype="FILE_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        column = layout.column()
        column.label(text="Capturing runs in a Python of its own, so that Blender stays quick and clean.")
        if session.State.installation is not None:
            row = column.row()
            row.label(text=f"{session.State.installation.label}…", icon="SORTTIME")
            row.operator("video_to_pose.cancel", icon="X")
        else:
            row = column.row()
            row.operator("video_to_pose.install_engine", icon="IMPORT")
            if not bpy.app.online_access:
                column.label(text="To install it here, allow Online Access under System.", icon="INFO")
        layout.prop(self, "engine_python")
        outcome = session.State.outcome
        if outcome is not None:
            layout.label(text=outcome.message, icon="ERROR" if outcome.code else "CHECKMARK")
            if outcome.hint:
                layout.label(text=outcome.hint)


def engine_python(context: bpy.types.Context) -> str:
    """The path the user chose; empty when there is none."""
    addon = context.preferences.addons.get(__package__)
    path = addon.preferences.engine_python if addon is not None and addon.preferences is not None else ""
    return bpy.path.abspath(path) if path else ""


def register() -> None:
    bpy.utils.register_class(VideoToPosePreferences)


def unregister() -> None:
    bpy.utils.unregister_class(VideoToPosePreferences)
