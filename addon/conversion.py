# SPDX-License-Identifier: GPL-3.0-or-later
"""One clip, done in this Blender without a window: its character is opened, the engine captures, files are written."""

from __future__ import annotations

import logging
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from . import bone_maps, check_frames, engine, exports, preferences, rig_files, rigs, session
from .core.video_to_pose import batch, cli, protocol
from .core.video_to_pose.errors import InputError
from .core.video_to_pose.formats import bvh
from .core.video_to_pose.formats import take as take_file
from .core.video_to_pose.types import Take

ENDINGS = (".fbx", ".bvh", ".glb", ".blend", ".npz")
"""What can be written; .npz is the Take."""
TAKE_ENDING = ".npz"

_FIRST_FRAME = 1
_log = logging.getLogger(batch.__package__)  # what the core warns of and what we do go one way


def find_engine(chosen: str) -> Any:
    """What captures, as `engine.find_python` says: the chosen Python, the preferences', or the extension's own.

    Raises:
        SetupError: there is none.
    """
    installed = session.engine_environment() if str(__package__).startswith("bl_ext.") else None
    return engine.find_python(chosen or preferences.engine_python(bpy.context), installed)


def convert(clip: batch.Clip, tell: batch.Tell, engine_python: str = "") -> dict[str, Any]:
    """A `batch.Work`: lay what is captured from a clip on its character and write the clip's outputs.

    Args:
        clip: its video may be a Take. Its options are those of `command_line.add_clip_options`, as plain JSON values
            at least; ``scene`` is a file to open first.
        tell: how far it is.
        engine_python: as of `find_engine`.

    Raises:
        InputError, SetupError, Cancelled: as the stages do.
    """
    options, seconds = Namespace(**clip.options), _Seconds()
    with seconds.of("open"):
        armature = _character(options)
        _check_bones(armature, options)
    source = Path(clip.video)
    if source.suffix.lower() == TAKE_ENDING:
        take = take_file.load(source)
    else:
        take = _captured(source, options, tell, engine_python, seconds)
    kept = next((batch.target_of(out) for out in clip.outputs if Path(out).suffix.lower() == TAKE_ENDING), None)
    tell({"stage": "apply", "done": 0, "total": None})
    with seconds.of("apply"):
        apply = rigs.ApplySettings(
            name=rigs.take_name(take, source),
            match_scene=True,
            frame_start=_FIRST_FRAME,
            retarget=cli.retarget_settings(options),
            take=source.absolute() if source.suffix.lower() == TAKE_ENDING else kept,
            camera=options.camera,
            video=None if source.suffix.lower() == TAKE_ENDING else source,
        )
        result = rigs.apply_take(bpy.context, take, armature, apply)
    for warning in (*result.check.warnings, *result.notes):
        _log.warning(warning)
    tell({"stage": "write", "done": 0, "total": None})
    with seconds.of("write"):
        for out in sorted(map(Path, clip.outputs), key=lambda out: out.suffix.lower() == ".blend"):
            _write(out, take, result, options)
    return {
        "frames": result.frames,
        "frame_rate": round(take.motion.frame_rate, 3),
        "armature": result.armature,
        "action": result.action,
        "bones": result.bones,
        "limb_errors_degrees": {limb: [round(e, 2) for e in two] for limb, two in result.check.limb_errors.items()},
        "to_look_at": result.to_look_at,
        "stage_seconds": seconds.rounded(),
    }


class _Seconds(dict[str, float]):
    """How long each stage took."""

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self[stage] = time.perf_counter() - began

    def rounded(self) -> dict[str, float]:
        return {stage: round(value, 3) for stage, value in self.items()}


# --- the character ----------------------------------------------------------------------------------------------------


def _character(options: Namespace) -> bpy.types.Object | None:
    """The armature that the options mean; None when one is to be made."""
    file = Path(options.armature_file) if options.armature_file else None
    if options.scene:
        rig_files.open_scene(Path(options.scene))
    elif not bpy.data.filepath and (file is None or file.suffix.lower() != ".blend"):
        for ob in list(bpy.data.objects):  # the start-up file's cube, lamp and camera
            bpy.data.objects.remove(ob)
    if file is not None:
        return rig_files.choose(rig_files.bring(file), options.armature, file.name)
    return rig_files.choose(rig_files.armatures(), options.armature, "this scene") if options.armature else None


def _check_bones(armature: bpy.types.Object | None, options: Namespace) -> None:
    """Found out now, and not after minutes of work."""
    if not hasattr(bpy.types.Object, "video_to_pose_bones"):  # a script may use us without registering anything
        bone_maps.register()
    if not hasattr(bpy.types.Action, "video_to_pose_checks"):  # so that the list is in the .blend
        check_frames.register()
    if armature is None:
        if options.bone_map:
            raise InputError(
                "A bone map is for an armature that is there.",
                "Say which with --armature or --armature-file, or leave --bone-map out.",
                "usage",
            )
        return
    rigs.check_armature(armature)
    rig = rigs.read_rig(armature)
    if options.bone_map:
        bone_maps.load(armature, rig, Path(options.bone_map))
    bone_maps.of(armature, rig)


# --- capturing and writing --------------------------------------------------------------------------------------------


def _captured(video: Path, options: Namespace, tell: batch.Tell, engine_python: str, seconds: _Seconds) -> Take:
    if not video.is_file():
        raise InputError(f"The video {video} does not exist.", "Check the path.", "video-missing")
    python = find_engine(engine_python)

    def report(message: protocol.Message) -> None:
        if isinstance(message, protocol.Progress):
            tell({"stage": message.stage, "done": message.done, "total": message.total})
        elif isinstance(message, protocol.Warning):
            _log.warning(message.message)

    with seconds.of("engine"), tempfile.TemporaryDirectory(prefix="video_to_pose_") as folder:
        job = protocol.Job(video.absolute(), cli.capture_settings(options), Path(folder) / "take.npz")
        take = take_file.load(engine.run(python, job, report))
    stages = take.provenance.get("seconds", {})
    seconds["engine"] -= sum(stages.values())  # what is left: its start, and reading and writing the Take
    seconds.update(stages)
    return take


def _write(out: Path, take: Take, result: rigs.Result, options: Namespace) -> None:
    ending, how = out.suffix.lower(), cli.export_settings(options)
    armature, name = bpy.context.scene.objects[result.armature], out.stem
    bpy.context.scene.frame_set(_FIRST_FRAME)
    if ending == TAKE_ENDING:
        take_file.save(take, out)
    elif ending == ".bvh":
        bvh.write(
            result.animation,
            out,
            profile=bvh.BVH_PROFILES[how.bvh_profile],
            channels=how.bvh_channels,
            reference_frame=how.reference_frame,
        )
    else:
        with _in_its_folder(out) as place:
            if ending == ".fbx":
                fbx = exports.FBX_PROFILES[how.fbx_profile]
                exports.write_fbx(bpy.context, armature, place, fbx, how.reference_frame, clip=name)
            elif ending == ".glb":
                exports.write_glb(bpy.context, armature, place, reference_frame=how.reference_frame, clip=name)
            else:
                exports.write_blend(bpy.context, armature, place, how.reference_frame or "none")


@contextmanager
def _in_its_folder(out: Path) -> Iterator[Path]:
    """A name in the folder where `out` will be in the end, so that paths inside the file hold; moved to `out`."""
    place = batch.target_of(out).with_name(out.parent.name + out.suffix)
    try:
        yield place
        place.replace(out)
    finally:
        place.unlink(missing_ok=True)
