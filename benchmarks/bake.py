# SPDX-License-Identifier: GPL-3.0-or-later
"""How long keys take to write into Blender, and a motion to be solved again from its Take: 1,800 frames.

python benchmarks/bake.py                          (a Python in which bpy is installed; 60 bones)
python benchmarks/bake.py --solve-again            (smoothing, floor, contacts, path, retarget, keys, self-check, list)
python benchmarks/bake.py --with-keyframe-insert   (also the way most add-ons take: minutes)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

import build_addon  # noqa: E402

PACKAGE = "video_to_pose_extension"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bones", type=int, default=60)
    parser.add_argument("--frames", type=int, default=1800)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--with-keyframe-insert", action="store_true")
    parser.add_argument("--solve-again", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build_addon.stage(Path(folder) / PACKAGE)
        sys.path.insert(0, folder)
        if options.solve_again:
            figures = solve_again(Path(folder) / "walk.npz", options.frames, options.repeats)
        else:
            figures = measure(options.bones, options.frames, options.repeats, options.with_keyframe_insert)
    print(json.dumps(figures, indent=1), flush=True)
    os._exit(0)  # Blender 4.2 as a module may crash while it shuts down


def measure(bone_count: int, frame_count: int, repeats: int, with_insert: bool) -> dict[str, object]:
    """Seconds for each rotation mode (the best of some), and how exactly the keys read back."""
    import bpy
    from video_to_pose_extension import actions, rigs, steps
    from video_to_pose_extension.core.video_to_pose.rotation import make_continuous, normalize
    from video_to_pose_extension.core.video_to_pose.types import Rig, RigAnimation

    rest = np.tile(np.eye(4), (bone_count, 1, 1))
    rest[:, 1, 3] = np.arange(bone_count)
    names = tuple(f"Bone.{b:03d}" for b in range(bone_count))
    rig = Rig(names, tuple(range(-1, bone_count - 1)), rest, np.ones(bone_count))
    with rigs._new_armature(bpy.context, rig, "Bench") as armature:
        pass
    walk = np.cumsum(np.random.default_rng(0).normal(size=(frame_count, bone_count, 4)) * 0.02, axis=0)
    rotations = make_continuous(normalize(walk + np.array([1.0, 0, 0, 0])))
    times = np.arange(frame_count) / 30
    animation = RigAnimation(
        rig, times, tuple(range(bone_count)), rotations, (0,), np.zeros((frame_count, 1, 3), np.float32)
    )
    frames = 1.0 + np.arange(frame_count)
    seconds: dict[str, float] = {}
    for mode in ("QUATERNION", "XYZ", "AXIS_ANGLE"):
        for bone in armature.pose.bones:
            bone.rotation_mode = mode
        runs = []
        for _ in range(repeats):
            began = time.perf_counter()
            with actions.new_action("Bench") as action, actions.assigned(armature, action):
                steps.finished(actions.write_keys(action, armature, animation, frames))
            runs.append(time.perf_counter() - began)
        seconds[mode.lower()] = round(min(runs), 4)
        if mode == "QUATERNION":
            error = read_back_error(armature, animation)
    figures: dict[str, object] = {
        "blender": bpy.app.version_string,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "bones": bone_count,
        "frames": frame_count,
        "keys": bone_count * frame_count * 4 + frame_count * 3,
        "seconds, best of runs": seconds,
        "largest read-back error": error,
    }
    if with_insert:
        figures["seconds by keyframe_insert"] = round(
            by_keyframe_insert(armature, animation, frame_count // 10) * 10, 1
        )
    return figures


def solve_again(take_file: Path, frame_count: int, repeats: int) -> dict[str, object]:
    """Seconds from a press on Solve Again to the action, on the person's own rig and on one of others.

    The first time the Take is read from its file; after that only what the settings change is done again.
    """
    import bpy
    import video_to_pose_extension as addon

    from benchmarks.retarget import _armature
    from tests import captured, namings

    captured.saved(take_file, frame_count)
    addon.register()
    from video_to_pose_extension import rigs
    from video_to_pose_extension.core.video_to_pose.settings import CameraSettings, MotionSettings, RetargetSettings

    take = rigs.take_file.load(take_file)
    how = rigs.ApplySettings("Bench", True, 1, take=take_file)
    own = bpy.data.objects[rigs.apply_take(bpy.context, take, None, how).armature]
    other = _armature(bpy, namings.body(namings.NAMINGS["unreal 5"], 45.0))
    rigs.apply_take(bpy.context, take, other, how)
    seconds: dict[str, dict[str, float]] = {}
    for label, armature in (("the person's own rig", own), ("a rig of the Unreal 5 naming", other)):
        rigs._loaded.cache_clear()
        runs = []
        for n in range(repeats):
            solving = (CameraSettings(), MotionSettings(smoothing_cutoff_hz=4.0 + n))
            began, busy = time.perf_counter(), time.process_time()
            result = rigs.solve_again(bpy.context, armature, RetargetSettings(), solving)
            runs.append((time.perf_counter() - began, time.process_time() - busy))
        seconds[f"{label}, {result.bones} bones keyed"] = {
            "first": round(runs[0][0], 3),
            "best of later": round(min(run[0] for run in runs[1:]), 3),
            "processor, first": round(runs[0][1], 3),
        }
    return {
        "blender": bpy.app.version_string,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "load of the last minute": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "frames": frame_count,
        "take, bytes": take_file.stat().st_size,
        "seconds": seconds,
    }


def read_back_error(armature, animation) -> float:
    """Largest difference between a key in the action and the value that was to be written."""
    action = armature.animation_data.action
    if hasattr(action, "fcurves"):
        curves = list(action.fcurves)
    else:
        curves = [
            c for layer in action.layers for strip in layer.strips for bag in strip.channelbags for c in bag.fcurves
        ]
    worst = 0.0
    for curve in curves:
        if not curve.data_path.endswith("rotation_quaternion"):
            continue
        bone = animation.rig.names.index(curve.data_path.split('"')[1])
        co = np.empty(len(curve.keyframe_points) * 2, dtype=np.float32)
        curve.keyframe_points.foreach_get("co", co)
        worst = max(worst, float(np.abs(co[1::2] - animation.rotations[:, bone, curve.array_index]).max()))
    return worst


def by_keyframe_insert(armature, animation, frame_count: int) -> float:
    """Seconds for one `keyframe_insert` a bone and frame."""
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
    armature.animation_data_clear()
    began = time.perf_counter()
    for f in range(frame_count):
        for b, bone in enumerate(armature.pose.bones):
            bone.rotation_quaternion = animation.rotations[f, b]
            bone.keyframe_insert("rotation_quaternion", frame=f + 1)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
