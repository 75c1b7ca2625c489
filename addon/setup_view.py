# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine stands, drawn: what is installed, how far an installation is, what the doctor found."""

from __future__ import annotations

import functools
import importlib.util
import textwrap

import bpy

from . import doctor, engine, installed, runtimes, session, versions
from .core.video_to_pose import __version__
from .core.video_to_pose.errors import VideoToPoseError
from .words import draw_text, say


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, preferences: bpy.types.AddonPreferences) -> None:
    """All of it, for the preferences.

    Args:
        layout: of the preferences.
        context: Blender's.
        preferences: with ``engine_python`` and ``runtime``.
    """
    characters = _characters(context)
    draw_version(layout.column(align=True), characters)
    _draw_engine(preferences, layout.box().column(), characters)
    _draw_doctor(layout.box().column(), characters)


def draw_version(column: bpy.types.UILayout, characters: int) -> None:
    """The range of Blenders this is for, or what is wrong with this one."""
    wrong = versions.verdict(bpy.app.version)
    if wrong:
        draw_text(column, wrong, "ERROR", characters)
        return
    column.label(
        text=say(
            "Video to Pose {version} for {range}; this is Blender {here}.",
            version=__version__,
            range=versions.RANGE,
            here=bpy.app.version_string,
        ),
        icon="BLENDER",
    )


def _draw_engine(own: bpy.types.AddonPreferences, column: bpy.types.UILayout, characters: int) -> None:
    found = installed.read(session.engine_environment())
    running = session.State.installation is not None
    column.label(text="Capture Engine", icon="TOOL_SETTINGS")
    if own.engine_python:
        column.label(text="The existing Python below runs the captures.", icon="INFO")
    elif found is not None:
        text = say(
            "Installed: {runtime}, Python {python}, {megabytes} MB, made {source}.",
            runtime=runtimes.RUNTIMES[found.runtime].label if found.runtime in runtimes.RUNTIMES else found.runtime,
            python=found.python,
            megabytes=round(found.size_bytes / 1e6),
            source=say("online") if found.source == "online" else say("from a bundle"),
        )
        column.label(text=text, icon="CHECKMARK")
        try:
            engine.find_python("", session.engine_environment())
        except VideoToPoseError as error:
            draw_text(column, error.message, "ERROR", characters)
            draw_text(column, error.hint, "BLANK1", characters)
    else:
        draw_text(
            column,
            "Not installed yet. Capturing runs in a Python of its own, so that Blender stays quick and clean.",
            "INFO",
            characters,
        )
    settings = column.column()
    settings.enabled = not running
    settings.use_property_split = True
    settings.use_property_decorate = False
    settings.prop(own, "runtime")
    settings.prop(own, "engine_python")
    column.separator()
    if running:
        draw_installation(column)
    else:
        row = column.row(align=True)
        row.scale_y = 1.3
        again = own.engine_python or found is not None
        row.operator(
            "video_to_pose.install_engine", text="Install Engine Again" if again else "Install Engine", icon="IMPORT"
        )
        row.operator("video_to_pose.install_bundle", text="From a Bundle…", icon="PACKAGE")
        if found is not None:
            row.operator("video_to_pose.remove_engine", text="", icon="TRASH")
        if not bpy.app.online_access:
            draw_text(
                column,
                "Online Access is off (Preferences, System): the engine is installed from a bundle, a file that "
                "holds all it needs.",
                "INFO",
                characters,
            )
    outcome = session.State.outcome
    if outcome is not None and not running:
        bad = outcome.code not in ("", "cancelled")
        draw_text(column, outcome.message, "ERROR" if bad else "CHECKMARK", characters)
        if outcome.hint:
            draw_text(column, outcome.hint, "BLANK1", characters)
        if outcome.details:
            column.operator("video_to_pose.copy_details", icon="COPYDOWN")


def _draw_doctor(column: bpy.types.UILayout, characters: int) -> None:
    row = column.row()
    findings = session.State.findings
    if session.State.visit is not None:
        row.label(text="The doctor is looking…", icon="SORTTIME")
    elif not findings:
        row.label(text="Does it work here? The doctor looks.", icon="HEART")
    elif doctor.can_capture(findings):
        row.label(text="All that capturing needs is here.", icon="HEART")
    else:
        row.label(text="Capturing does not work yet: mend what is marked.", icon="ERROR")
    row.operator("video_to_pose.doctor", icon="VIEWZOOM")
    if findings:
        row.operator("video_to_pose.copy_report", text="", icon="COPYDOWN")
        draw_findings(column.column(align=True), characters)


def draw_first_steps(layout: bpy.types.UILayout, context: bpy.types.Context) -> bool:
    """In the sidebar: what is to be done before capturing. Returns whether there is anything."""
    width = context.region.width if context.region is not None else 300
    characters = max(20, int(width / (7.0 * (context.preferences.system.ui_scale or 1.0))) - 6)
    wrong = versions.verdict(bpy.app.version)
    if wrong:
        draw_text(layout.column(align=True), wrong, "ERROR", characters)
    if session.State.installation is not None:
        box = layout.box().column(align=True)
        draw_text(box, "The capture engine is being installed.", "IMPORT", characters)
        draw_installation(box)
        return True
    if has_engine(context):
        return False
    box = layout.box().column(align=True)
    draw_text(
        box, "One step first: the capture engine, which looks at the video, is not installed.", "INFO", characters
    )
    box.separator()
    row = box.row(align=True)
    row.scale_y = 1.5
    row.operator("video_to_pose.install_engine", icon="IMPORT")
    row.operator("video_to_pose.doctor", text="", icon="HEART")
    row.operator("preferences.addon_show", text="", icon="PREFERENCES").module = __package__
    if not bpy.app.online_access:
        box.separator()
        draw_text(box, "Online Access is off: the engine comes from a file, a bundle.", "INTERNET_OFFLINE", characters)
        draw_online_access(box)
    draw_faults(box, characters)
    return True


def draw_online_access(layout: bpy.types.UILayout) -> None:
    """The way to the switch in Blender's preferences that allows downloads."""
    layout.operator("screen.userpref_show", text="Allow Online Access…", icon="INTERNET").section = "SYSTEM"


def draw_faults(column: bpy.types.UILayout, characters: int) -> None:
    """What the doctor found wrong that capturing needs, each with its mend; all of it stands in the preferences.

    Args:
        column: of the sidebar.
        characters: that fit into a line beside an icon.
    """
    for finding in session.State.findings:
        if finding.needed and not finding.ok:
            draw_text(column, say("{what}: {found}", what=finding.name, found=finding.found), "CANCEL", characters)
            draw_text(column, finding.mend, "FORWARD", characters)


def has_engine(context: bpy.types.Context) -> bool:
    """Whether there seems to be an engine; quick enough to be asked at every drawing."""
    addon = context.preferences.addons.get(__package__)
    chosen = addon is not None and addon.preferences is not None and addon.preferences.engine_python
    return bool(chosen) or installed.read(session.engine_environment()) is not None or _own_has_all()


@functools.cache
def _own_has_all() -> bool:
    """Whether Blender's own Python has the engine's packages, as where bpy was installed beside them."""
    return all(importlib.util.find_spec(name) is not None for name in engine.PACKAGES)


def draw_installation(layout: bpy.types.UILayout) -> None:
    """The running installation with its bar and its Cancel."""
    running = session.State.installation
    if running is None:
        return
    row = layout.row(align=True)
    row.progress(factor=running.fraction or 0.0, type="BAR", text=running.label)
    row.operator("video_to_pose.cancel", text="", icon="X")


def draw_findings(layout: bpy.types.UILayout, characters: int) -> None:
    """What the doctor found: faults first, each with its mend.

    Args:
        layout: a column.
        characters: that fit into a line beside an icon.
    """
    findings = sorted(session.State.findings, key=lambda finding: (finding.ok, not finding.needed))
    for finding in findings:
        icon = "CHECKMARK" if finding.ok else "CANCEL" if finding.needed else "INFO"
        split = layout.split(factor=0.25)
        split.label(text=finding.name, icon=icon)
        column = split.column(align=True)
        fits = int(characters * 0.72)
        for line in textwrap.wrap(finding.found, fits) or [""]:
            column.label(text=line, translate=False)
        if not finding.ok:
            for number, line in enumerate(textwrap.wrap(finding.mend, fits - 3)):
                column.label(text=line, icon="FORWARD" if number == 0 else "BLANK1", translate=False)


def _characters(context: bpy.types.Context) -> int:
    """About how many characters fit beside an icon."""
    width = context.region.width if context.region is not None else 800
    scale = context.preferences.system.ui_scale or 1.0  # 0 while there is no window
    return max(30, int(width / (7.0 * scale)) - 16)
