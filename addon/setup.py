# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons that set the engine up: install it, remove it, ask the doctor."""

import threading
from pathlib import Path

import bpy
from bpy.props import StringProperty

from . import doctor, engine, installed, preferences, runtimes, session, versions
from .core.video_to_pose.errors import VideoToPoseError
from .words import say, tip

_TICK_S = 0.2


class InstallEngineOperator(bpy.types.Operator):
    """Make the capture engine with Blender's own Python, in a folder of this add-on. Nothing else is changed"""

    bl_idname = "video_to_pose.install_engine"
    bl_label = "Install Engine"

    filepath: StringProperty(
        name="Bundle",
        description="An engine bundle (video_to_pose-engine-….zip) to install from without internet. Empty: download",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: StringProperty(default="*.zip", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if session.State.installation is not None:
            cls.poll_message_set("The engine is being installed")
            return False
        if session.active():
            cls.poll_message_set("Wait until the captures are done, or cancel them")
            return False
        return True

    @classmethod
    def description(cls, context: bpy.types.Context, _properties: bpy.types.OperatorProperties) -> str:
        if not bpy.app.online_access:
            return tip("Choose an engine bundle to install from. To download instead, allow Online Access under System")
        runtime = runtimes.RUNTIMES[preferences.runtime(context)]
        return tip(
            "Download about {megabytes} MB and make the capture engine with Blender's own Python, in a folder of this "
            "add-on. Nothing else is changed",
            megabytes=runtime.download_mb,
        )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.online_access or self.filepath:
            return self.execute(context)
        return _ask_bundle(self, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not self.filepath and not bpy.app.online_access:
            self.report({"ERROR"}, say("Choose a bundle, or allow Online Access in Preferences, System."))
            return {"CANCELLED"}
        return _install(self, context, Path(bpy.path.abspath(self.filepath)) if self.filepath else None)


class InstallBundleOperator(bpy.types.Operator):
    """Make the capture engine from a bundle file, without internet"""

    bl_idname = "video_to_pose.install_bundle"
    bl_label = "Install from a Bundle"

    filepath: StringProperty(
        name="Bundle",
        description="An engine bundle for this system and this Blender's Python (video_to_pose-engine-….zip)",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: StringProperty(default="*.zip", options={"HIDDEN"})
    poll = InstallEngineOperator.poll

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return _ask_bundle(self, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return _install(self, context, Path(bpy.path.abspath(self.filepath)))


def _ask_bundle(operator: bpy.types.Operator, context: bpy.types.Context) -> set[str]:
    context.window_manager.fileselect_add(operator)
    return {"RUNNING_MODAL"}


def _install(operator: bpy.types.Operator, context: bpy.types.Context, bundle: Path | None) -> set[str]:
    try:
        session.install(preferences.runtime(context), bundle)
    except VideoToPoseError as error:  # in background mode
        operator.report({"ERROR"}, f"{error.message} {error.hint}".strip())
        return {"CANCELLED"}
    return {"FINISHED"}


class RemoveEngineOperator(bpy.types.Operator):
    """Delete the engine that is installed here, and the models that it fetched. Takes stay"""

    bl_idname = "video_to_pose.remove_engine"
    bl_label = "Remove Engine"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if session.State.installation is not None or session.active():
            cls.poll_message_set("Wait until the work that runs now is done")
            return False
        return installed.read(session.engine_environment()) is not None

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        home = session.engine_environment()
        installed.remove(home)
        installed.discard(engine.models_folder(home))
        session.State.findings = []
        session.State.outcome = session.Outcome(say("The engine and its models are removed."))
        _redraw()
        return {"FINISHED"}


class DoctorOperator(bpy.types.Operator):
    """Look at everything that capturing needs, and name what is wrong and its mend"""

    bl_idname = "video_to_pose.doctor"
    bl_label = "Run Doctor"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if session.State.visit is not None or session.State.installation is not None:
            cls.poll_message_set("Wait until the work that runs now is done")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.State.visit = doctor.Examination(
            preferences.engine_python(context), session.engine_environment(), blender_findings()
        )
        session.State.visit.start()
        if bpy.app.background:
            session.State.visit.wait()
            _tick()
        else:
            bpy.app.timers.register(_tick, first_interval=_TICK_S, persistent=True)
        return {"FINISHED"}


class CopyReportOperator(bpy.types.Operator):
    """Copy the doctor's report, to paste it into a question or a bug report"""

    bl_idname = "video_to_pose.copy_report"
    bl_label = "Copy Report"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(session.State.findings)

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.window_manager.clipboard = "\n".join(
            f"{'ok' if finding.ok else 'MEND' if finding.needed else '-'}\t{finding.name}: {finding.found}"
            + (f"\n\t{finding.mend}" if not finding.ok and finding.mend else "")
            for finding in session.State.findings
        )
        self.report({"INFO"}, "Report copied.")
        return {"FINISHED"}


def blender_findings() -> list[doctor.Finding]:
    """What Blender itself knows, before the engine is asked."""
    wrong = versions.verdict(bpy.app.version)
    python = engine.blender_python()
    return [
        doctor.Finding(
            "Blender",
            not wrong,
            False,
            say("{version}; for {range}", version=bpy.app.version_string, range=versions.RANGE),
            wrong,
        ),
        doctor.Finding(
            say("Blender's Python"),
            python.is_file(),
            True,
            str(python),
            say("Take a Blender from blender.org: this one has no Python program beside it."),
        ),
        doctor.Finding(
            say("Online Access"),
            bpy.app.online_access,
            False,
            say("allowed") if bpy.app.online_access else say("not allowed"),
            say("Allow it in Preferences, System to download the engine and models; a bundle does without."),
        ),
    ]


def _tick() -> float | None:
    visit = session.State.visit
    if visit is None:
        return None
    if not visit.finished:
        return _TICK_S
    session.State.findings, session.State.visit = visit.findings, None
    _redraw()
    return None


def _redraw() -> None:
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                if area.type in ("PREFERENCES", "VIEW_3D"):
                    area.tag_redraw()


_CLASSES = (
    InstallEngineOperator,
    InstallBundleOperator,
    RemoveEngineOperator,
    DoctorOperator,
    CopyReportOperator,
)
_register_classes, _unregister_classes = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    _register_classes()
    left = installed.leftovers(session.engine_environment())
    if left:  # of a Blender that ended while it installed; they may be large

        def discard() -> None:
            for path in left:
                installed.discard(path)

        threading.Thread(target=discard, name="video-to-pose-leftovers", daemon=True).start()


def unregister() -> None:
    if session.State.visit is not None:
        session.State.visit.close()
        session.State.visit = None
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    session.State.findings = []
    _unregister_classes()
