# SPDX-License-Identifier: GPL-3.0-or-later
"""Real armatures of every naming: their bones are found, and what is keyed is what Blender plays."""

from __future__ import annotations

import json

import numpy as np

from tests import namings

BUILD = """
from mathutils import Matrix
from video_to_pose_extension.core.video_to_pose.retarget import map_bones
from video_to_pose_extension.core.video_to_pose.types import RigAnimation

def build(name, bones):
    data = bpy.data.armatures.new(name)
    armature = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for bone, (parent, head, tail, roll) in bones.items():
        made = data.edit_bones.new(bone)
        made.head, made.tail, made.roll = head, tail, roll
        made.parent = data.edit_bones[parent] if parent else None
    bpy.ops.object.mode_set(mode="OBJECT")
    return armature

def unlike(armature, keyed, located=(), seed=0):
    \"\"\"Largest difference between poses as solved and as Blender has them, for random keys of some bones.\"\"\"
    rng = np.random.default_rng(seed)
    rig = rigs.read_rig(armature)
    bones = tuple(rig.names.index(name) for name in keyed)
    turns = rng.normal(size=(1, len(bones), 4)) * 0.3 + [1, 0, 0, 0]
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    places = rng.normal(size=(1, len(located), 3)) * 0.2
    animation = RigAnimation(rig, np.zeros(1), bones, turns, tuple(rig.names.index(n) for n in located), places)
    for name, turn in zip(keyed, turns[0]):
        armature.pose.bones[name].rotation_mode = "QUATERNION"
        armature.pose.bones[name].rotation_quaternion = turn
    for name, place in zip(located, places[0]):
        armature.pose.bones[name].location = place
    armature.update_tag()
    bpy.context.view_layer.update()
    evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    solved = kinematics.pose_matrices(animation)[0]
    return {name: float(np.abs(solved[b] - np.array(evaluated.pose.bones[name].matrix)).max())
            for b, name in enumerate(rig.names)}
"""


def armatures() -> dict[str, tuple[namings.Bones, dict[str, object]]]:
    """Kind and rest pose -> bones, what their map must say."""
    out = {}
    for kind, naming in namings.NAMINGS.items():
        for pose, down in (("T", 0.0), ("A", 45.0)):
            out[f"{kind}, {pose}"] = (namings.body(naming, down), namings.expected(naming))
    for kind in namings.MPFB if namings.has_mpfb() else ():
        bones, expected = namings.mpfb(kind), namings.expected_of_mpfb(kind)
        single = expected["single"]
        starts, elbows = ({s: single[f"{s}_{part}"] for s in namings.SIDES} for part in ("upper_arm", "forearm"))
        out[f"mpfb {kind}, A"] = (bones, expected)
        out[f"mpfb {kind}, T"] = (namings.arms_raised(bones, starts, elbows), expected)
    return out


def test_armatures_of_every_naming_are_mapped_and_play_what_is_keyed(blender, tmp_path):
    """T and A rest, random rolls, an object that is turned and scaled."""
    rng = np.random.default_rng(5)
    kinds = armatures()
    values = {
        kind: {
            name: [parent, head.tolist(), tail.tolist(), float(rng.uniform(-np.pi, np.pi))]
            for name, (parent, head, tail) in bones.items()
        }
        for kind, (bones, _) in kinds.items()
    }
    (tmp_path / "bones.json").write_text(json.dumps(values), encoding="utf-8")
    got = blender.run(
        BUILD
        + """
out = {}
for kind, bones in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")).items():
    armature = build(kind, bones)
    armature.location, armature.rotation_euler, armature.scale = (1, 2, 0), (0, 0, 2.0), (1.5, 1.5, 1.5)
    bpy.context.view_layer.update()
    found = map_bones(rigs.read_rig(armature))
    keyed = sorted({*found.single.values(), *found.spine, *found.neck, *([found.root] if found.root else [])})
    worst = max(unlike(armature, keyed, [found.single["hips"]]).values())
    out[kind] = [found.to_dict(), worst]
    bpy.data.objects.remove(armature)
answer(out)
""",
        tmp_path / "bones.json",
    )
    assert set(got) == set(kinds)
    for kind, (_, expected) in kinds.items():
        found, worst = got[kind]
        assert {key: found[key] for key in expected} == expected, kind
        assert worst < 1e-4, kind


def test_our_own_armature_is_mapped(blender, save_take):
    found = blender.run(
        BUILD
        + """
own = retarget.rig_from_motion(take_file.load(sys.argv[1]).motion)
tails = own.rest[:, :3, 3] + own.rest[:, :3, 1] * own.lengths[:, None]
bones = {name: (own.names[p] if (p := own.parents[b]) >= 0 else None, own.rest[b, :3, 3], tails[b], 0.0)
         for b, name in enumerate(own.names)}
answer(map_bones(rigs.read_rig(build("own", bones))).to_dict())
""",
        save_take(),
    )
    assert found["convention"] == "humanik" and min(found["confidence"].values()) == 1.0
    assert found["spine"] == ["Spine", "Spine1"] and found["neck"] == ["Neck"]
    assert found["single"]["left_toe"] == "LeftToeBase" and len(found["single"]) == 18


RIGIFY = """
import addon_utils
addon_utils.enable("rigify", default_set=True)  # it reads its own preferences, which only then exist
bpy.ops.object.armature_human_metarig_add()
meta = bpy.context.object
"""


def test_rigify_is_mapped_and_its_fk_controls_lead(blender):
    """The human meta-rig as it is, and the control rig that Rigify makes of it."""
    got = blender.run(
        BUILD
        + RIGIFY
        + """
meta_map = map_bones(rigs.read_rig(meta))
bpy.ops.pose.rigify_generate()
armature = bpy.context.object
assert armature != meta
before = {bone.name: {k: v for k, v in bone.items() if isinstance(v, (int, float))} for bone in armature.pose.bones}
rig = rigs.read_rig(armature)
found = map_bones(rig)
kept = before == {b.name: {k: v for k, v in b.items() if isinstance(v, (int, float))} for b in armature.pose.bones}
for switch in found.switches:
    bone = armature.pose.bones[switch.bone]
    bone[switch.prop] = type(bone[switch.prop])(switch.fk)
keyed = sorted({*found.single.values(), *found.spine, *found.neck, *found.fingers.values(), found.root})
errors = unlike(armature, keyed, [found.single["hips"], found.root])
# what the skin follows: the bones that Rigify made of the meta-rig's limbs
orgs = [n for n in errors if n.startswith("ORG-") and any(p in n for p in ("arm.", "hand.", "thigh.", "shin.", "foot."))]
answer({"meta": meta_map.to_dict(), "map": found.to_dict(), "kept": kept, "keyed": keyed, "orgs": orgs,
        "worst": {name: errors[name] for name in [*keyed, *orgs]}, "wrong": sorted(n for n in errors if errors[n] > 1e-4),
        "parent": {n: rig.names[rig.parents[rig.names.index(n)]] for n in ("ORG-hand.L", "ORG-shoulder.L", "torso")},
        "props": all(s.prop in armature.pose.bones[s.bone] for s in found.switches)})
""",
        timeout=120,
    )
    meta, found = got["meta"], got["map"]
    assert meta["convention"] == "rigify-metarig" and len(meta["single"]) == 18 and len(meta["fingers"]) == 10
    assert meta["spine"] == ["spine.001", "spine.002", "spine.003"] and meta["neck"] == ["spine.004", "spine.005"]
    assert meta["single"]["head"] == "spine.006" and meta["single"]["left_lower_leg"] == "shin.L"
    assert meta["fingers"]["right_little"] == "f_pinky.01.R" and meta["fingers"]["left_thumb"] == "thumb.01.L"

    assert found["convention"] == "rigify" and found["root"] == "root" and found["single"]["hips"] == "torso"
    assert found["spine"] == ["spine_fk.002", "spine_fk.003"] and found["neck"] == ["neck"]
    assert len(found["single"]) == 18 and len(found["fingers"]) == 10 and not found["twist"]
    assert found["single"]["left_forearm"] == "forearm_fk.L" and found["single"]["right_toe"] == "toe_fk.R"
    assert found["controls"]["left_foot"] == "foot_ik.L" and found["controls"]["right_elbow"] == "upper_arm_ik_target.R"
    assert len(found["controls"]) == 10
    chosen = {(s["bone"], s["prop"]): (s["fk"], s["ik"]) for s in found["switches"]}
    assert chosen["thigh_parent.L", "IK_FK"] == (1.0, 0.0) and chosen["torso", "head_follow"] == (1.0, 1.0)
    assert got["props"] and got["kept"]  # the rig is read, not touched
    assert got["parent"] == {"ORG-hand.L": "hand_fk.L", "ORG-shoulder.L": "shoulder.L", "torso": "MCH-torso.parent"}
    assert len(got["orgs"]) >= 10 and max(got["worst"].values()) < 1e-4, got["wrong"]


def test_bones_tied_by_constraints_follow_what_ties_them(blender):
    """Copy Transforms, Copy Location with Copy Rotation, Armature and Child Of, some off, driven or half strong."""
    got = blender.run(
        BUILD
        + """
bones = {"a": (None, (0, 0, 0), (0, 0, 1), 0.0), "b": (None, (0, 0, 0), (0, 0, 1), 0.0), "c": (None, (1, 0, 0), (1, 0, 1), 0.4)}
bones |= {name: (None, (0, 0, 0), (0, 0, 1), 0.0) for name in ("copy", "pair", "half", "off", "driven")}
bones |= {name: (None, (0.5, 0, 1), (0.5, 0, 2), 1.0) for name in ("armature", "child")}
bones["kept"] = ("a", (0, 0, 1), (0, 0, 2), 0.3)
ob = build("ties", bones)
pose = ob.pose.bones
def tie(bone, kind, target, **settings):
    made = pose[bone].constraints.new(kind)
    if kind == "ARMATURE":
        made.targets.new()
        made.targets[0].target, made.targets[0].subtarget = ob, target
    else:
        made.target, made.subtarget = ob, target
    for name, value in settings.items():
        setattr(made, name, value)
    return made
tie("copy", "COPY_TRANSFORMS", "a")
tie("pair", "COPY_LOCATION", "a"); tie("pair", "COPY_ROTATION", "a")
tie("half", "COPY_TRANSFORMS", "a", influence=0.5)
tie("off", "COPY_TRANSFORMS", "a", mute=True)
driver = tie("driven", "COPY_TRANSFORMS", "a", influence=0.0).driver_add("influence").driver
pose["b"]["leads"], driver.expression = 0.0, "1 - (1 - var)"
driver.variables.new().targets[0].id = ob
driver.variables[0].targets[0].data_path = 'pose.bones["b"]["leads"]'
tie("kept", "COPY_SCALE", "c"); tie("kept", "COPY_TRANSFORMS", "c")  # c rests elsewhere
tie("armature", "ARMATURE", "c")
bpy.context.view_layer.update()
inverse = (ob.matrix_world @ ob.data.bones["c"].matrix_local).inverted()
tie("child", "CHILD_OF", "c", inverse_matrix=inverse)
rig = rigs.read_rig(ob)
got = {name: rig.names[p] if (p := rig.parents[b]) >= 0 else None for b, name in enumerate(rig.names)}
from video_to_pose_extension.attachments import arithmetic, carriers
switched = [carriers(ob, {("b", "leads"): value})["driven"] for value in (0.0, 1.0)]
drivers = ("1.0 - var", "var == 0", "2*(var+1)/5", "1 if var < 0.5 else 0", "__import__('os')", "var.real", "1/0", "(")
answer([got, unlike(ob, ["a", "b", "c"], ["a", "b", "c"]), [arithmetic(text, {"var": 0.25}) for text in drivers], switched])
""",
    )
    parents, errors, numbers, switched = got
    tied = {"copy": "a", "pair": "a", "half": None, "off": None, "armature": "c", "child": "c", "kept": "a"}
    assert {name: parents[name] for name in tied} == tied
    assert max(errors[name] for name in ("copy", "pair", "off", "armature", "child")) < 1e-4
    assert parents["driven"] is None and switched == [None, "a"]
    assert numbers == [0.75, 0.0, 0.5, 1.0, None, None, None, None]  # drivers are read, no code of theirs is run


def test_limbs_that_do_not_turn_with_their_parents_are_refused_by_name(blender, tmp_path):
    bones = namings.body(namings.NAMINGS["unity"], 0)
    (tmp_path / "bones.json").write_text(
        json.dumps({name: [p, h.tolist(), t.tolist(), 0.0] for name, (p, h, t) in bones.items()}), encoding="utf-8"
    )
    got = blender.run(
        BUILD
        + """
armature = build("loose", json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
armature.data.bones["LeftThumbDistal"].use_inherit_rotation = False
rigs.read_rig(armature)  # nobody keys it
armature.data.bones["Head"].use_inherit_rotation = armature.data.bones["LeftShoulder"].use_inherit_rotation = False
try:
    rigs.read_rig(armature)
except errors.InputError as error:
    answer([error.message, error.hint, error.code])
""",
        tmp_path / "bones.json",
    )
    assert "Head, LeftShoulder" in got[0] and "Inherit Rotation" in got[1] and got[2] == "rig-loose-bones"
