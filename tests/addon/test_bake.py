# SPDX-License-Identifier: GPL-3.0-or-later
"""What retargeting promises, in real Blender: paths, contacts, keys, other people's work, and rigs with controls."""

from __future__ import annotations

SETUP = """
from dataclasses import replace as changed
take = take_file.load(sys.argv[1])
made = rigs.apply_take(bpy.context, take, None, rigs.ApplySettings(match_scene=True, frame_start=1))
armature = bpy.data.objects[made.armature]
scene = bpy.context.scene

def lay(**options):
    how = settings.RetargetSettings(**options)
    return rigs.apply_take(
        bpy.context, take, armature, rigs.ApplySettings("again", True, 1, how, Path(sys.argv[1])))

def heads(names):
    out = []
    for frame in range(1, take.motion.frame_count + 1):
        scene.frame_set(frame)
        out.append([(armature.matrix_world @ armature.pose.bones[name].head)[:] for name in names])
    return np.array(out)

def curves(action):
    if bpy.app.version >= (5, 0):
        return [c for layer in action.layers for strip in layer.strips for bag in strip.channelbags for c in bag.fcurves]
    return list(action.fcurves)
"""


def test_the_object_or_a_root_bone_may_carry_the_path_and_the_body_goes_the_same_way(blender, save_take):
    worst, moves, refused = blender.run(
        SETUP
        + """
names = ["Head", "LeftHand", "RightFoot"]
plain = heads(names)
result = lay(root_motion="object")
by_object = heads(names)
moves = sorted({c.data_path for c in curves(bpy.data.actions[result.action]) if not c.data_path.startswith("pose")})
try:
    lay(root_motion="root")
except errors.InputError as error:
    refused = error.code
answer([float(np.abs(plain - by_object).max()), moves, refused])
""",
        save_take(),
    )
    assert worst < 1e-3
    assert moves == ["location", "rotation_euler"] and refused == "rig-rootless"


def test_contacts_are_markers_and_moved_ones_count_when_solved_again(blender, save_take):
    got = blender.run(
        SETUP
        + """
result = lay()
action = bpy.data.actions[result.action]
before = sorted((m.name, m.frame) for m in action.pose_markers)
for marker in list(action.pose_markers):
    action.pose_markers.remove(marker)
note = action.pose_markers.new("my note"); note.frame = 3
for name, frame in (("left toe down", 4), ("left toe up", 12), ("left heel down", 4), ("left heel up", 12)):
    action.pose_markers.new(name).frame = frame
again = rigs.solve_again(bpy.context, armature, settings.RetargetSettings())
toe = heads(["LeftToeBase"])[:, 0]
answer([before, float(np.abs(np.diff(toe[3:12], axis=0)).max()), float(np.abs(np.diff(toe, axis=0)).max()),
        again.action == result.action, sorted(m.name for m in action.pose_markers), len(bpy.data.actions)])
""",
        save_take(),
    )
    _, held, moving, same, names, actions = got
    assert held < 2e-3 < moving and same
    assert names == ["left heel down", "left heel up", "left toe down", "left toe up", "my note"] and actions == 2


def test_an_action_of_others_is_not_solved_again(blender, save_take):
    code, poll = blender.run(
        SETUP
        + """
addon.register()
armature.animation_data.action = bpy.data.actions.new("walk cycle")
try:
    rigs.solve_again(bpy.context, armature, settings.RetargetSettings())
except errors.InputError as error:
    answer([error.code, bpy.ops.video_to_pose.solve_again.poll()])
""",
        save_take(frames=3),
    )
    assert code == "action-foreign" and not poll


def test_fewer_keys_stay_within_the_bound(blender, save_take):
    full, fewer, worst = blender.run(
        SETUP
        + """
result = lay()
armature.pose.bones["LeftArm"].rotation_mode = "XYZ"
armature.pose.bones["LeftForeArm"].rotation_mode = "AXIS_ANGLE"
result = lay()
names = ["Head", "LeftHand", "RightHand", "LeftFoot"]
before, full = heads(names), result.keys
result = lay(key_error_degrees=1.0, key_error_centimetres=0.8)
keys = sum(len(c.keyframe_points) for c in curves(bpy.data.actions[result.action]) if c.array_index == 0
           and "rotation" in c.data_path)
assert keys == result.keys, (keys, result.keys)
answer([full, result.keys, float(np.linalg.norm(heads(names) - before, axis=-1).max())])
""",
        save_take(),
    )
    assert fewer < 0.6 * full and worst <= 0.008 + 1e-4


def test_baking_again_leaves_everything_else_bit_identical(blender, save_take):
    got = blender.run(
        SETUP
        + """
bpy.ops.object.mode_set(mode="EDIT")
tail = armature.data.edit_bones.new("Tail")
tail.head, tail.tail = (0, 0.1, 1), (0, 0.4, 0.9)
tail.parent = armature.data.edit_bones["Hips"]
bpy.ops.object.mode_set(mode="OBJECT")
armature.pose.bones["Tail"].rotation_mode = "YZX"
armature.pose.bones["LeftArm"].rotation_mode = "XYZ"
armature.pose.bones["Tail"].rotation_euler = (0.1, 0.2, 0.3)
constraint = armature.pose.bones["Tail"].constraints.new("LIMIT_ROTATION")
armature["mine"] = 4.0
def state():
    return {
        "rest": [[b.name, [tuple(r) for r in b.matrix_local], b.use_deform] for b in armature.data.bones],
        "modes": [[b.name, b.rotation_mode] for b in armature.pose.bones],
        "tail": [tuple(armature.pose.bones["Tail"].rotation_euler), len(armature.pose.bones["Tail"].constraints)],
        "props": [armature["mine"], [tuple(r) for r in armature.matrix_world]],
    }
before = json.dumps(state())
result = lay()
tail_keys = [c.data_path for c in curves(bpy.data.actions[result.action]) if "Tail" in c.data_path]
answer([before == json.dumps(state()), tail_keys, [c.data_path for c in curves(bpy.data.actions[result.action])
       if "LeftArm" in c.data_path][:1]])
""",
        save_take(frames=5),
    )
    same, tail_keys, arm = got
    assert same and tail_keys == [] and arm == ['pose.bones["LeftArm"].rotation_euler']


def test_what_overrules_the_keys_is_told(blender, save_take):
    clean, warned = blender.run(
        SETUP
        + """
clean = lay().check.warnings
limit = armature.pose.bones["LeftForeArm"].constraints.new("LIMIT_ROTATION")
limit.use_limit_x = limit.use_limit_z = True
limit.owner_space = "LOCAL"
answer([clean, lay().check.warnings])
""",
        save_take(),
    )
    assert clean == [] and len(warned) == 1 and "do not follow their keys" in warned[0]


def test_the_panels_export_writes_for_each_program(blender, save_take, tmp_path):
    sizes, frames = blender.run(
        SETUP
        + """
addon.register()
lay()
sizes = {}
for target in ("fbx unreal", "fbx plain", "bvh plain", "bvh motionbuilder", "glb"):
    out = Path(sys.argv[2]) / (target.replace(" ", "_") + "." + target[:3])
    bpy.ops.video_to_pose.export("EXEC_DEFAULT", filepath=str(out), target=target)
    sizes[target] = out.stat().st_size
from video_to_pose_extension.core.video_to_pose.formats import bvh as reader
clip = reader.read(Path(sys.argv[2]) / "bvh_motionbuilder.bvh")
answer([sizes, len(clip.values)])
""",
        save_take(frames=6),
        tmp_path,
    )
    assert min(sizes.values()) > 500 and frames == 7


RIGIFY = """
import addon_utils
addon_utils.enable("rigify", default_set=True)
bpy.ops.object.armature_human_metarig_add()
bpy.ops.pose.rigify_generate()
armature = bpy.data.objects["rig"]
"""


def test_a_generated_rigify_rig_moves_by_its_fk_controls_and_by_its_ik_controls(blender, save_take):
    got = blender.run(
        SETUP
        + RIGIFY
        + """
out = {}
for limbs in ("fk", "ik"):
    result = lay(limbs=limbs)
    out[limbs] = [result.check.limb_errors, result.check.warnings,
                  heads(["DEF-hand.L", "DEF-foot.R", "DEF-forearm.L", "DEF-shin.R"]).tolist()]
answer(out)
""",
        save_take(frames=12),
    )
    import numpy as np

    errors, warnings, by_fk = got["fk"]
    assert warnings == [] and max(worst for _, worst in errors.values()) < 12
    by_ik = np.array(got["ik"][2])
    assert np.linalg.norm(np.array(by_fk) - by_ik, axis=-1).max() < 0.03


def test_a_library_override_with_shape_keys_and_drivers_moves_and_keeps_them(blender, save_take, tmp_path):
    got = blender.run(
        SETUP
        + """
library = Path(sys.argv[2]) / "character é.blend"
mesh = bpy.data.meshes.new("Skin")
mesh.from_pydata([(0, 0, 1), (0, 0, 1.2), (0.1, 0, 1.1)], [], [(0, 1, 2)])
skin = bpy.data.objects.new("Skin", mesh)
skin.parent = armature
skin.modifiers.new("Rig", "ARMATURE").object = armature
skin.vertex_groups.new(name="Head").add([0, 1, 2], 1.0, "REPLACE")
skin.shape_key_add(name="Basis")
smile = skin.shape_key_add(name="Smile")
driver = smile.driver_add("value").driver
driver.expression = "0.25"
whole = bpy.data.collections.new("Hero")
for ob in (armature, skin):
    whole.objects.link(ob)
armature.animation_data_clear()
bpy.data.libraries.write(str(library), {whole})
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
with bpy.data.libraries.load(str(library), link=True) as (there, here):
    here.collections = ["Hero"]
linked = here.collections[0]
scene.collection.children.link(linked)
name = next(ob.name for ob in linked.objects if ob.type == "ARMATURE")
try:
    rigs.apply_take(bpy.context, take, linked.objects[name], rigs.ApplySettings())
except errors.InputError as error:
    refused = error.code
made = linked.override_hierarchy_create(scene, bpy.context.view_layer)
armature = next(ob for ob in scene.objects if ob.type == "ARMATURE" and ob.override_library)
skin = next(ob for ob in scene.objects if ob.type == "MESH" and ob.override_library)
result = rigs.apply_take(bpy.context, take, armature, rigs.ApplySettings("over", True, 1))
keys = skin.data.shape_keys
answer([refused, result.bones, result.check.warnings, [key.name for key in keys.key_blocks],
        keys.animation_data.drivers[0].driver.expression, bool(armature.library or armature.data.library)])
""",
        save_take(frames=6),
        tmp_path,
    )
    refused, bones, warnings, keys, expression, from_library = got
    assert refused == "rig-linked" and bones > 15 and warnings == []
    assert keys == ["Basis", "Smile"] and expression == "0.25" and from_library
