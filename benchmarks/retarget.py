# SPDX-License-Identifier: GPL-3.0-or-later
"""How truly, how steadily and how fast motion comes onto rigs of others.

python -m benchmarks.retarget                      (any Python with the project's base packages and pytest)
python -m benchmarks.retarget --blender TAKE       (a Python with bpy: the time to bake a Take, repeated, in Blender)

Captured motion serves as a perfect Take: the CC0 body performs clips of the free motion beside the project, so joints,
knuckles and heels are exact. Rigs are the naming tables of the tests in T- and A-pose, with random rolls, and
the CC0 body's own rigs.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

from tests import namings  # noqa: E402

POSES = {"T": 0.0, "A": 45.0}
SIZES = (0.6, 0.8, 1.0, 1.3, 1.6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--clips", nargs="*", default=["test/09_03", "test/14_04", "test/14_12", "test/14_21", "test/14_30"]
    )
    parser.add_argument("--rolls", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--blender", type=Path, metavar="TAKE", help="only time this Take into this Python's bpy")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"numpy {np.__version__}")  # fmt: skip
    if options.blender:
        bake(options.blender, 1800)
        os._exit(0)  # Blender 4.2 as a module may crash while it shuts down
    if not namings.has_mpfb():
        raise SystemExit("error: There is no captured motion and no body beside the project.")
    from tests.motions import captured
    from video_to_pose.skeleton import BODY_32

    motions = {name: captured(name, options.seconds, BODY_32) for name in options.clips}
    directions(motions, options.rolls)
    feet(motions)
    speed(motions)


def directions(motions: dict, rolls: int) -> None:
    """Direction error of limbs and orientation error of hands and feet over rigs, rest poses and rolls."""
    from tests.core.retarget.rigs import rig_of
    from video_to_pose import retarget
    from video_to_pose.settings import RetargetSettings

    rigs = {
        f"{name} {pose}": namings.body(naming, down)
        for name, naming in namings.NAMINGS.items()
        for pose, down in POSES.items()
    }
    rigs |= {f"mpfb {kind}": namings.mpfb(kind) for kind in namings.MPFB}
    limbs, hands, feet = [], [], []
    for label, bones in rigs.items():
        for roll in range(rolls):
            rig = rig_of(bones, roll_seed=roll)
            bone_map = retarget.map_bones(rig)
            for clip, motion in motions.items():
                animation = retarget.solve(motion, rig, bone_map, RetargetSettings(feet="never"))
                limbs += [(error.max(), error.mean(), label, clip, part)
                          for part, error in retarget.limb_errors(motion, animation, bone_map).items()]  # fmt: skip
                for part, error in retarget.end_errors(motion, animation, bone_map).items():
                    (hands if part.endswith("hand") else feet).append((error.max(), error.mean(), label, clip, part))
    print(f"\n{len(rigs)} rigs x {rolls} rolls x {len(motions)} clips, feet left alone")
    for name, rows in (("limb direction", limbs), ("hand orientation", hands), ("foot orientation", feet)):
        worst = max(rows)
        mean = np.mean([row[1] for row in rows])
        print(f"{name}: mean {mean:.4f} degrees, worst {worst[0]:.4f} ({worst[4]} of {worst[2]}, {worst[3]})")


def feet(motions: dict) -> None:
    """Slide and penetration of planted feet, and what planting does to knees, on rigs of several sizes."""
    from tests.core.retarget.rigs import feet_of, knees_of, rig_of, sized
    from video_to_pose import retarget
    from video_to_pose.evaluation.feet import foot_slide, penetration
    from video_to_pose.settings import RetargetSettings

    print("\nfeet in contact  | slide cm/s alone, planted | deepest cm | knee: most added in a frame, degrees")
    bones = namings.body(namings.NAMINGS["unreal 5"], POSES["A"])
    for size in SIZES:
        rig = rig_of(sized(bones, size))
        bone_map = retarget.map_bones(rig)
        rows = []
        for motion in motions.values():
            loose, planted = (
                retarget.solve(motion, rig, bone_map, RetargetSettings(feet=mode)) for mode in ("never", "auto")
            )
            slides = [foot_slide(feet_of(a), motion.contacts, motion.frame_rate) for a in (loose, planted)]
            added = np.abs(np.diff(knees_of(planted), axis=0)) - np.abs(np.diff(knees_of(loose), axis=0))
            rows.append((*slides, penetration(feet_of(planted)), added.max()))
        table = np.array(rows)
        print(f"size {100 * size:3.0f} %       | {table[:, 0].mean():6.2f}  {table[:, 1].mean():6.2f} (worst clip "
              f"{table[:, 1].max():.2f}) | {table[:, 2].max():.3f} | {table[:, 3].max():.1f}")  # fmt: skip


def repeated(motion, frames: int):
    """A motion of that many frames: there and back, again and again."""
    there = np.arange(motion.frame_count)
    index = np.resize(np.concatenate([there, there[::-1]]), frames)
    return replace(
        motion,
        timestamps=np.arange(frames) / 30.0,
        directions=motion.directions[index],
        root=motion.root[index],
        confidence=motion.confidence[index],
        contacts=motion.contacts[index],
    )


def speed(motions: dict) -> None:
    """Seconds to solve a minute of video; the best of three."""
    from tests.core.retarget.rigs import rig_of
    from video_to_pose import retarget
    from video_to_pose.settings import RetargetSettings

    motion = repeated(max(motions.values(), key=lambda m: m.frame_count), 1800)
    rig = rig_of(namings.body(namings.NAMINGS["unreal 5"], POSES["A"]))
    bone_map = retarget.map_bones(rig)
    for label, settings in (
        ("as it comes", RetargetSettings()),
        ("with standard smoothing and joint limits", RetargetSettings(smoothing="standard", joint_limits=True)),
    ):
        seconds = min(_timed(lambda s=settings: retarget.solve(motion, rig, bone_map, s)) for _ in range(3))
        print(f"\nsolving 1,800 frames on {len(rig.names)} bones {label}: {seconds:.3f} s")
    animation = retarget.solve(motion, rig, bone_map, RetargetSettings())
    seconds = _timed(lambda: retarget.reduce_keys(animation, 1.0, 0.5))
    kept = retarget.reduce_keys(animation, 1.0, 0.5)
    share = sum(map(len, kept)) / (len(kept) * len(animation.timestamps))
    print(f"reducing its keys to 1 degree and 0.5 cm: {seconds:.3f} s, {100 * share:.0f} % of the keys stay")


def bake(take_file: Path, frames: int) -> None:
    """Seconds from a Take to a checked action in Blender, on a rig of about 60 bones; the best of three."""
    import bpy

    import build_addon

    with tempfile.TemporaryDirectory() as folder:
        build_addon.stage(Path(folder) / "video_to_pose_extension")
        sys.path.insert(0, folder)
        from video_to_pose_extension import rigs
        from video_to_pose_extension.core.video_to_pose.formats import take as takes

        loaded = takes.load(take_file)
        motion = repeated(loaded.motion, frames)
        track = replace(
            loaded.track,
            timestamps=motion.timestamps,
            positions=np.resize(loaded.track.positions, (frames, *loaded.track.positions.shape[1:])),
            scores=np.zeros((frames, len(loaded.track.names))),
        )
        take = replace(loaded, motion=motion, track=track)
        armature = _armature(bpy, namings.body(namings.NAMINGS["unreal 5"], POSES["A"]))
        results = []

        def work() -> None:
            results.append(rigs.apply_take(bpy.context, take, armature, rigs.ApplySettings("Bench", True, 1)))

        seconds = min(_timed(work) for _ in range(3))
        bones = f"{len(armature.data.bones)} bones ({results[-1].bones} keyed)"
        print(
            f"Blender {bpy.app.version_string}: solving, baking and checking {frames} frames, {bones}: {seconds:.3f} s"
        )


def _armature(bpy, bones):
    data = bpy.data.armatures.new("Hero")
    armature = bpy.data.objects.new("Hero", data)
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for name, (parent, head, tail) in bones.items():
        bone = data.edit_bones.new(name)
        bone.head, bone.tail = head, tail
        bone.parent = data.edit_bones[parent] if parent else None
    bpy.ops.object.mode_set(mode="OBJECT")
    return armature


def _timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
