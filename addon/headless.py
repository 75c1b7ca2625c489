# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture without a window: video -> armature -> FBX, BVH, GLB, .blend.

    blender -b [scene.blend] --python addon/headless.py -- --video clip.mp4 [--armature NAME] --fbx out.fbx
    python addon/headless.py --video clip.mp4 --fbx out.fbx          (a Python in which bpy is installed)

Exit code 0: done; 2: something you can mend, told as ``error: …`` and ``hint: …``; 1: a fault of ours; 130: stopped.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
import traceback
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
PACKAGE = "video_to_pose_extension"


def main(arguments: list[str]) -> int:
    """Do what the command line says and return the exit code."""
    options = _parser().parse_args(arguments)
    with ExitStack() as cleanup:
        package = _package(cleanup)
        errors = _module(package, "core.video_to_pose.errors")
        try:
            _run(package, options)
        except errors.VideoToPoseError as error:
            print(f"error: {error.message}", file=sys.stderr)
            if error.hint:
                print(f"hint: {error.hint}", file=sys.stderr)
            for note in filter(None, getattr(error, "__notes__", [])):
                print(note, file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            print("error: Stopped.", file=sys.stderr)
            return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """argparse whose errors read like all the others."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message[:1].upper()}{message[1:].rstrip('.')}.", file=sys.stderr)
        print("hint: --help lists the options.", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    program = "blender -b [FILE] --python headless.py --"
    parser = _Parser(prog=program, description="Motion capture from a video, without a window.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--video", type=Path, help="video to capture from")
    source.add_argument("--take", type=Path, help="take (.npz) that was captured before")
    parser.add_argument("--file", type=Path, help=".blend file to open first (with Blender, name it before --python)")
    parser.add_argument("--armature", metavar="NAME", help="armature to animate; without it a new one is made")
    parser.add_argument("--fbx", type=Path, metavar="OUT", help="write the animated armature as FBX")
    parser.add_argument("--bvh", type=Path, metavar="OUT", help="write the animated armature as BVH")
    parser.add_argument("--glb", type=Path, metavar="OUT", help="write the animated armature as binary glTF")
    parser.add_argument("--blend", type=Path, metavar="OUT", help="write the scene as .blend")
    parser.add_argument("--save-take", type=Path, metavar="OUT", help="keep the take (.npz) of the video")
    parser.add_argument("--engine-python", default="", metavar="PATH", help="Python with video-to-pose installed")
    parser.add_argument("--camera", action="store_true", help="add the camera that filmed, with the video behind")
    parser.add_argument(
        "--bone-map", type=Path, metavar="JSON", help="which bone plays which part, as saved in Blender"
    )
    _add_retarget_options(parser)
    parser.add_argument(
        "--fbx-profile",
        choices=("plain", "unreal", "unreal-mesh", "unity"),
        default="plain",
        help="for whom --fbx is: unreal is animation for a skeleton that is there already, unreal-mesh brings a mesh",
    )
    parser.add_argument(
        "--bvh-profile", choices=("plain", "motionbuilder", "cmu"), default="plain", help="whose names and joints"
    )
    parser.add_argument(
        "--bvh-channels", choices=("ZXY", "ZYX", "XYZ", "XZY", "YXZ", "YZX"), help="order of rotation channels"
    )
    parser.add_argument(
        "--reference-frame", choices=("none", "rest"), help="rest: the rest pose comes first (default: the profile's)"
    )
    return parser


def _add_retarget_options(parser: argparse.ArgumentParser) -> None:
    """One option a field of `RetargetSettings`; `core/video_to_pose/cli.py` has the same."""
    group = parser.add_argument_group("character")
    group.add_argument(
        "--root-motion",
        choices=("hips", "root", "object", "in_place"),
        default="hips",
        help="what carries the path: hips, the rig's root bone, the armature object, or nothing",
    )
    group.add_argument(
        "--scale", choices=("leg_length", "metres"), default="leg_length", help="strides fit the legs, or true distance"
    )
    group.add_argument(
        "--place", choices=("rig", "world"), default="rig", help="start where the rig stands, or where it was filmed"
    )
    group.add_argument(
        "--facing", choices=("filmed", "front"), default="filmed", help="front: turned to start facing -Y"
    )
    group.add_argument(
        "--feet",
        choices=("auto", "always", "grounded", "never"),
        default="auto",
        help="stay put in contact; one always down; on the floor but sliding; left alone",
    )
    group.add_argument(
        "--rig-smoothing", choices=("off", "light", "standard", "strong"), default="off", help="beyond the capture's"
    )
    group.add_argument(
        "--part-smoothing",
        action="append",
        default=[],
        metavar="PART=PRESET",
        help="a smoothing for one of trunk, head, arms, hands, legs, feet; may be given again",
    )
    group.add_argument(
        "--repair", action=argparse.BooleanOptionalAction, default=True, help="mend glitches and exchanged sides"
    )
    group.add_argument(
        "--joint-limits", action=argparse.BooleanOptionalAction, default=False, help="bend no joint further than people"
    )
    group.add_argument("--limbs", choices=("fk", "ik"), default="fk", help="what leads on a control rig")
    group.add_argument(
        "--key-error", type=float, default=0.0, metavar="DEG", help="drop keys within this error; 0 keeps all"
    )
    group.add_argument(
        "--key-distance", type=float, default=0.5, metavar="CM", help="and no bone's end moves further than this"
    )


def _retarget_settings(settings: ModuleType, errors: Any, options: argparse.Namespace) -> Any:
    pairs = [tuple(word.partition("=")[::2]) for word in options.part_smoothing]
    parts, presets = settings.SMOOTHED_PARTS, settings.SMOOTHINGS
    for part, preset in pairs:
        if part not in parts or preset not in presets:
            raise errors.InputError(
                f"--part-smoothing {part}={preset} is not a part and a preset.",
                f"Parts are {', '.join(parts)}; presets are {', '.join(presets)}.",
                "usage",
            )
    return settings.RetargetSettings(
        root_motion=options.root_motion,
        scale=options.scale,
        start=options.place,
        facing=options.facing,
        feet=options.feet,
        smoothing=options.rig_smoothing,
        smoothing_of_parts=tuple(pairs),
        repair=options.repair,
        joint_limits=options.joint_limits,
        limbs=options.limbs,
        key_error_degrees=options.key_error,
        key_error_centimetres=options.key_distance,
    )


def _run(package: ModuleType, options: argparse.Namespace) -> None:
    import bpy

    rigs, errors = _module(package, "rigs"), _module(package, "core.video_to_pose.errors")
    settings = _module(package, "core.video_to_pose.settings")
    _check_outputs(options, errors)
    if options.file:
        if not options.file.is_file():
            raise errors.InputError(f"The file {options.file} does not exist.", "Check the path.", "blend-missing")
        bpy.ops.wm.open_mainfile(filepath=str(options.file))
    elif not bpy.data.filepath:
        _clear(bpy)
    armature = _find_armature(bpy, options.armature, errors) if options.armature else None
    if armature is not None:  # found out now, not after minutes of work
        rigs.check_armature(armature)
        rig, bone_maps = rigs.read_rig(armature), _module(package, "bone_maps")
        if not hasattr(bpy.types.Object, "video_to_pose_bones"):
            bone_maps.register()
        if options.bone_map:
            bone_maps.load(armature, rig, options.bone_map)
        bone_maps.of(armature, rig)
    how = _retarget_settings(settings, errors, options)
    take, path = _take(bpy, package, options)
    apply = rigs.ApplySettings(
        name=rigs.take_name(take, path),
        match_scene=True,
        frame_start=1,
        retarget=how,
        take=options.take or options.save_take,
        camera=options.camera,
        video=options.video,
    )
    result = rigs.apply_take(bpy.context, take, armature, apply)
    print(f"{result.action}: {result.frames} frames on {result.armature}, {result.bones} bones keyed")
    for limb, (mean, worst) in sorted(result.check.limb_errors.items()):
        print(f"{limb.replace('_', ' ')}: {mean:.2f} degrees off the take on average, {worst:.2f} at worst")
    for warning in result.check.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    _export(bpy, package, options, result)


def _check_outputs(options: argparse.Namespace, errors: Any) -> None:
    for out in (options.fbx, options.bvh, options.glb, options.blend, options.save_take):
        if out is not None and not out.absolute().parent.is_dir():
            raise errors.InputError(
                f"The folder {out.absolute().parent} does not exist.", "Make it first.", "output-folder"
            )


def _clear(bpy: Any) -> None:
    """Take the start-up file's cube, lamp and camera out of what will be written."""
    for ob in list(bpy.data.objects):
        bpy.data.objects.remove(ob)


def _find_armature(bpy: Any, name: str, errors: Any) -> Any:
    armature = bpy.context.scene.objects.get(name)
    if armature is not None:
        return armature
    have = [ob.name for ob in bpy.context.scene.objects if ob.type == "ARMATURE"]
    raise errors.InputError(
        f"There is no armature {name} in this scene.",
        f"There is: {', '.join(have)}." if have else "Leave --armature out, and a new one is made.",
        "rig-missing",
    )


def _take(bpy: Any, package: ModuleType, options: argparse.Namespace) -> tuple[Any, Path]:
    """The take, and the path that names it."""
    take_file = _module(package, "core.video_to_pose.formats.take")
    if options.take:
        return take_file.load(options.take), options.take
    errors, engine = _module(package, "core.video_to_pose.errors"), _module(package, "engine")
    protocol, settings = (
        _module(package, "core.video_to_pose.protocol"),
        _module(package, "core.video_to_pose.settings"),
    )
    if not options.video.is_file():
        raise errors.InputError(f"The video {options.video} does not exist.", "Check the path.", "video-missing")
    python = engine.find_python(options.engine_python or _preferred(bpy, package), _environment(package))
    with tempfile.TemporaryDirectory(prefix="video_to_pose_") as folder:
        job = protocol.Job(options.video.resolve(), settings.CaptureSettings(), Path(folder) / "take.npz")
        written = engine.run(python, job, _Teller(protocol))
        take = take_file.load(written)
    if options.save_take:
        take_file.save(take, options.save_take)
    return take, options.video


class _Teller:
    """Progress as lines on stderr: a line a stage, and one every tenth of a long one."""

    def __init__(self, protocol: Any) -> None:
        self._protocol, self._said = protocol, ""

    def __call__(self, message: Any) -> None:
        line = ""
        if isinstance(message, self._protocol.Progress):
            line = message.stage
            if message.total:
                line += f" {min(100, message.done * 100 // message.total // 10 * 10)} %"
        elif isinstance(message, self._protocol.Warning):
            line = f"warning: {message.message}"
        if line and line != self._said:
            print(line, file=sys.stderr, flush=True)
            self._said = line


def _preferred(bpy: Any, package: ModuleType) -> str:
    return str(_module(package, "preferences").engine_python(bpy.context))


def _environment(package: ModuleType) -> Path | None:
    return _module(package, "session").engine_environment() if package.__name__.startswith("bl_ext.") else None


def _export(bpy: Any, package: ModuleType, options: argparse.Namespace, result: Any) -> None:
    exports, bvh = _module(package, "exports"), _module(package, "core.video_to_pose.formats.bvh")
    armature = bpy.context.scene.objects[result.armature]
    reference = options.reference_frame
    bpy.context.scene.frame_set(1)
    if options.bvh:
        profile = bvh.BVH_PROFILES[options.bvh_profile]
        channels = options.bvh_channels
        bvh.write(result.animation, options.bvh, profile=profile, channels=channels, reference_frame=reference)
    if options.fbx:
        profile = exports.FBX_PROFILES[options.fbx_profile]
        exports.write_fbx(bpy.context, armature, options.fbx.absolute(), profile, reference)
    if options.glb:
        exports.write_glb(bpy.context, armature, options.glb.absolute(), reference_frame=reference)
    if options.blend:
        exports.write_blend(bpy.context, armature, options.blend.absolute(), reference or "none")
    for out in filter(None, (options.bvh, options.fbx, options.glb, options.blend)):
        print(f"wrote {out}")


def _package(cleanup: ExitStack) -> ModuleType:
    """The add-on as a package: the enabled extension we lie in, or our own folder, staged first in a checkout."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__path__", None)
        if path and getattr(module, "__name__", "").startswith("bl_ext.") and Path(next(iter(path))).resolve() == HERE:
            return module
    folder = HERE
    if not (HERE / "core").is_dir():
        build = _load("build_addon", HERE.parent / "build_addon.py")
        parent = Path(tempfile.mkdtemp(prefix="video_to_pose_"))
        cleanup.callback(shutil.rmtree, parent, ignore_errors=True)
        folder = build.stage(parent / PACKAGE)
    package = _load(PACKAGE, folder / "__init__.py", search=folder)
    return package


def _load(name: str, file: Path, search: Path | None = None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        name, file, submodule_search_locations=[str(search)] if search else None
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _module(package: ModuleType, name: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{name}")


def _leave(code: int) -> None:
    """End the process with an exit code.

    Blender 4.2 as a Python module may crash while it shuts down: one registered operator, or a glTF export of its own
    start-up scene, is enough. All is written by then, so there the process ends without a shutdown.
    """
    bpy = sys.modules.get("bpy")
    if bpy is not None and not bpy.app.binary_path and bpy.app.version < (4, 5):
        shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run_script() -> int:
    """`main` at the top of a process: Blender would print a fault of ours and then exit as if all were well."""
    try:
        return main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])
    except Exception as error:
        traceback.print_exc()
        print(f"error: It stopped at a fault: {type(error).__name__}: {error}", file=sys.stderr)
        print("hint: This is a fault of the program: please report it with the text above.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    _leave(_run_script())
