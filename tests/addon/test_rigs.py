# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender plays is what was solved, and a failure leaves no trace."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

HUMAN = Path(__file__).resolve().parents[3] / "shared" / "human"

PLAYED = """
take = take_file.load(sys.argv[1])
result = rigs.apply_take(bpy.context, take, ARMATURE, rigs.ApplySettings(name="wave", match_scene=True, frame_start=1))
armature = bpy.data.objects[result.armature]
animation = result.animation
frames = 1 + np.arange(result.frames)
solved = kinematics.pose_matrices(animation)
names = [bone.name for bone in armature.pose.bones]
order = [animation.rig.names.index(name) for name in names]
world = np.array(armature.matrix_world)
expected = solved[:, order][..., :3, 3] @ world[:3, :3].T + world[:3, 3]
worst = float(np.abs(posed_heads(armature, frames) - expected).max())
"""


def test_a_new_armature_plays_the_solved_motion_within_a_millimetre(blender, save_take):
    got = blender.run(
        "ARMATURE = None\n"
        + PLAYED
        + """
from video_to_pose_extension.core.video_to_pose import bones
joints = bones.compose(take.motion.skeleton, take.motion.directions, take.motion.lengths, take.motion.root)
wrist = take.motion.skeleton.index("left_wrist")
seen = posed_heads(armature, frames)[:, names.index("LeftHand")]
scene = bpy.context.scene
answer({"worst": worst, "wrist": float(np.abs(seen - joints[:, wrist]).max()), "made": result.made_armature,
        "fps": [scene.render.fps, round(scene.render.fps_base, 4)], "range": [scene.frame_start, scene.frame_end],
        "action": result.action, "name": armature.name, "frames": result.frames, "active": bpy.context.object.name})
""",
        save_take(),
    )
    assert got["worst"] < 1e-3
    assert got["wrist"] < 0.1  # the person's own wrist; the origin and clavicles may differ by design
    assert got["made"] and got["action"] == "wave" and got["name"] == "wave" == got["active"]
    assert got["fps"] == [30, 1.0] and got["range"] == [1, got["frames"]]


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "ZXY", "YXZ", "AXIS_ANGLE"])
def test_bones_are_keyed_in_their_own_rotation_mode(blender, save_take, mode):
    got = blender.run(
        """
made = rigs.apply_take(bpy.context, take_file.load(sys.argv[1]), None, rigs.ApplySettings())
ARMATURE = bpy.data.objects[made.armature]
ARMATURE.animation_data_clear()
for bone in ARMATURE.pose.bones:
    bone.rotation_mode = sys.argv[2]
ARMATURE.location, ARMATURE.rotation_euler, ARMATURE.scale = (2, 1, 0.5), (0, 0, 1.0), (1.3, 1.3, 1.3)
bpy.context.view_layer.update()
"""
        + PLAYED
        + """
def curves(action):
    if hasattr(action, "fcurves"):
        return list(action.fcurves)
    return [c for layer in action.layers for strip in layer.strips for bag in strip.channelbags for c in bag.fcurves]
found = curves(armature.animation_data.action)
turns = [c for c in found if "location" not in c.data_path]
steps = [float(np.abs(np.diff([p.co[1] for p in c.keyframe_points])).max()) for c in turns]
answer({"worst": worst, "modes": sorted({bone.rotation_mode for bone in armature.pose.bones}),
        "paths": sorted({c.data_path.rsplit(".", 1)[1] for c in found}), "step": max(steps),
        "groups": len({c.group.name for c in found}), "keyed": result.bones,
        "named": all(c.group.name in c.data_path for c in found),
        "slot": armature.animation_data.action_slot.name_display if bpy.app.version >= (4, 4) else "Slot"})
""",
        save_take(),
        mode,
    )
    assert got["worst"] < 1e-3
    assert got["modes"] == [mode]
    path = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")
    assert got["paths"] == ["location", path]
    assert got["groups"] == got["keyed"] and got["named"]
    assert got["slot"] == "Slot"
    if mode != "AXIS_ANGLE":  # an axis may swing round where little turns
        assert got["step"] < 1.5


def test_only_mapped_bones_are_keyed_and_the_scene_keeps_its_own_rate(blender, save_take):
    got = blender.run(
        """
scene = bpy.context.scene
scene.render.fps, scene.render.fps_base, scene.frame_start, scene.frame_end = 24, 1.0, 101, 250
result = rigs.apply_take(bpy.context, take_file.load(sys.argv[1]), None, rigs.ApplySettings())
armature = bpy.data.objects[result.armature]
action = armature.animation_data.action
answer({"fps": [scene.render.fps, scene.frame_start, scene.frame_end], "first": result.frame_start,
        "last": result.frame_end, "range": list(action.frame_range), "bones": result.bones,
        "all": len(armature.pose.bones)})
""",
        save_take(frames=31),
    )
    assert got["fps"] == [24, 101, 250]
    assert got["first"] == 101 and got["last"] == pytest.approx(101 + 24, abs=1e-3)  # one second is 24 frames here
    assert got["range"] == pytest.approx([101, 125], abs=1e-3)
    assert got["bones"] < got["all"]  # toes rest


def test_measured_rates_become_the_rates_people_know(blender):
    got = blender.run(
        "answer([rigs.clip_rate(r) for r in (30.0, 29.97, 30000/1001, 23.976, 25.001, 59.94, 60, 24.5, 12.34, 0.4)])"
    )
    assert got[:7] == [[30, 1.0], [30, 1.001], [30, 1.001], [24, 1.001], [25, 1.0], [60, 1.001], [60, 1.0]]
    for (fps, base), rate in zip(got[7:], (24.5, 12.34, 0.4), strict=True):
        assert fps / base == pytest.approx(rate)


def test_a_centimetre_scene_gets_a_person_of_the_right_size(blender, save_take):
    got = blender.run(
        """
bpy.context.scene.unit_settings.scale_length = 0.01
ARMATURE = None
"""
        + PLAYED
        + """
top = max((armature.matrix_world @ bone.tail_local).z for bone in armature.data.bones)
answer({"worst": worst, "top": top})
""",
        save_take(),
    )
    assert got["worst"] < 0.1  # units are centimetres here: a millimetre
    assert 140 < got["top"] < 210


FAILURES = {
    "unmapped": (
        """
data = bpy.data.armatures.new("Crane"); ob = bpy.data.objects.new("Crane", data)
bpy.context.collection.objects.link(ob); bpy.context.view_layer.objects.active = ob
bpy.ops.object.mode_set(mode="EDIT")
bone = data.edit_bones.new("Boom"); bone.tail = (0, 0, 1)
bpy.ops.object.mode_set(mode="OBJECT")
""",
        "rig-unmapped",
    ),
    "scaled unevenly": (
        """
ob = bpy.data.objects[rigs.apply_take(bpy.context, take, None, rigs.ApplySettings()).armature]
ob.scale = (1, 2, 1); bpy.context.view_layer.update()
""",
        "rig-scale",
    ),
    "edit mode": (
        """
ob = bpy.data.objects[rigs.apply_take(bpy.context, take, None, rigs.ApplySettings()).armature]
bpy.ops.object.mode_set(mode="EDIT")
""",
        "rig-edit-mode",
    ),
    "no armature": ("ob = bpy.data.objects['Cube']", "rig-type"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_an_armature_that_cannot_be_used_is_told_and_nothing_changes(blender, save_take, case):
    make, code = FAILURES[case]
    got = blender.run(
        "take = take_file.load(sys.argv[1])\n"
        + make
        + """
before = snapshot()
try:
    rigs.apply_take(bpy.context, take, ob, rigs.ApplySettings(match_scene=True, frame_start=7))
    error = None
except errors.InputError as e:
    error = e
answer({"code": error and error.code, "hint": bool(error.hint), "same": snapshot() == before})
""",
        save_take(frames=5),
    )
    assert got == {"code": code, "hint": True, "same": True}


@pytest.mark.parametrize("target", ["new", "mine"])
def test_a_failure_halfway_leaves_scene_selection_and_mode_as_they_were(blender, save_take, target):
    got = blender.run(
        """
take = take_file.load(sys.argv[1])
mine = bpy.data.objects[rigs.apply_take(bpy.context, take, None, rigs.ApplySettings(name="mine")).armature]
bpy.ops.object.mode_set(mode="POSE")
bpy.context.scene.frame_set(3)
mine.pose.bones["Head"].rotation_quaternion = (0.5, 0.5, 0.5, 0.5)
before = snapshot()
whole, calls = actions._ensure_curve, []
def breaking(*arguments):
    calls.append(1)
    if len(calls) > 20:
        raise RuntimeError("disk on fire")
    return whole(*arguments)
actions._ensure_curve = breaking
try:
    rigs.apply_take(bpy.context, take, mine if sys.argv[2] == "mine" else None, rigs.ApplySettings(match_scene=True))
    answer("no error")
except RuntimeError:
    after = snapshot()
    answer({k: [before[k], after[k]] for k in before if before[k] != after[k]})
""",
        save_take(frames=5),
        target,
    )
    assert got == {}


def test_the_action_that_was_there_is_kept(blender, save_take):
    got = blender.run(
        """
take = take_file.load(sys.argv[1])
first = rigs.apply_take(bpy.context, take, None, rigs.ApplySettings(name="first"))
armature = bpy.data.objects[first.armature]
second = rigs.apply_take(bpy.context, take, armature, rigs.ApplySettings(name="second"))
path = str(Path(sys.argv[1]).with_suffix(".blend"))
bpy.ops.wm.save_as_mainfile(filepath=path)
bpy.ops.wm.open_mainfile(filepath=path)
playing = bpy.data.objects[first.armature].animation_data.action.name
answer({"actions": sorted(bpy.data.actions.keys()), "playing": playing})
""",
        save_take(frames=5),
    )
    assert got == {"actions": ["first", "second"], "playing": "second"}


@pytest.mark.skipif(not HUMAN.is_dir(), reason="the CC0 body's files are not here")
def test_a_mixamo_named_armature_does_what_the_person_did(blender, save_take, tmp_path):
    rig = tmp_path / "mixamo.json"
    rig.write_text(json.dumps(_mixamo_bones()))
    got = blender.run(
        """
data = bpy.data.armatures.new("Mixamo"); ARMATURE = bpy.data.objects.new("Mixamo", data)
bpy.context.collection.objects.link(ARMATURE); bpy.context.view_layer.objects.active = ARMATURE
bpy.ops.object.mode_set(mode="EDIT")
for name, parent, head, tail, roll in json.loads(Path(sys.argv[2]).read_text()):
    bone = data.edit_bones.new(name)
    bone.head, bone.tail, bone.roll = head, tail, roll
    if parent:
        bone.parent = data.edit_bones[parent]
bpy.ops.object.mode_set(mode="OBJECT")
rest_before = [list(map(list, bone.matrix_local)) for bone in data.bones]
"""
        + PLAYED
        + """
from video_to_pose_extension.core.video_to_pose import bones as limbs
skeleton = take.motion.skeleton
joints = limbs.compose(skeleton, take.motion.directions, take.motion.lengths, take.motion.root)
heads = posed_heads(armature, frames)
angles = {}
for part, a, b, ja, jb in (("arm", "LeftArm", "LeftForeArm", "left_shoulder", "left_elbow"),
                           ("forearm", "RightForeArm", "RightHand", "right_elbow", "right_wrist"),
                           ("thigh", "LeftUpLeg", "LeftLeg", "left_hip", "left_knee"),
                           ("shin", "RightLeg", "RightFoot", "right_knee", "right_ankle")):
    mine = heads[:, names.index("mixamorig:" + b)] - heads[:, names.index("mixamorig:" + a)]
    theirs = joints[:, skeleton.index(jb)] - joints[:, skeleton.index(ja)]
    cosine = (mine * theirs).sum(-1) / np.linalg.norm(mine, axis=-1) / np.linalg.norm(theirs, axis=-1)
    angles[part] = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max())
answer({"worst": worst, "angles": angles, "bones": len(names),
        "rest": rest_before == [list(map(list, bone.matrix_local)) for bone in data.bones]})
""",
        save_take(),
        rig,
    )
    assert got["bones"] == 52 and got["rest"]
    assert got["worst"] < 1e-3
    assert max(got["angles"].values()) < 1.0, got["angles"]  # degrees


def _mixamo_bones() -> list[tuple[str, str, list[float], list[float], float]]:
    """Name, parent, head, tail, roll of the Mixamo-named rig of the CC0 body, parents first, in metres, Z up."""
    vertices: list[list[float]] = []
    cubes: dict[str, set[int]] = {}
    group = ""
    for line in (HUMAN / "base.obj").read_text().splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            vertices.append([float(value) for value in rest[:3]])
        elif word == "g":
            group = rest[0]
        elif word == "f" and group.startswith("joint-"):
            cubes.setdefault(group, set()).update(int(item.split("/")[0]) - 1 for item in rest)
    points = np.array(vertices)[:, [0, 2, 1]] * [0.1, -0.1, 0.1]
    points[:, 2] -= points[sorted(cubes["joint-ground"]), 2].mean()
    bones = json.loads((HUMAN / "rig.mixamo.json").read_text())["bones"]

    def place(end: dict) -> list[float]:
        chosen = sorted(cubes[end["cube_name"]]) if end["strategy"] == "CUBE" else end["vertex_indices"]
        return points[chosen].mean(axis=0).tolist()

    def depth(name: str) -> int:
        return 0 if not bones[name]["parent"] else 1 + depth(bones[name]["parent"])

    return [
        (name, bones[name]["parent"], place(bones[name]["head"]), place(bones[name]["tail"]), bones[name]["roll"])
        for name in sorted(bones, key=depth)
    ]
