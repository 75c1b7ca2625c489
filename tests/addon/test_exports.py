# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file reads back, by each of Blender's importers, as the rest pose, frames and joints that the scene showed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.addon.conftest import Blender, make_take
from video_to_pose import settings
from video_to_pose.formats import take as take_file

PROFILES = settings.FBX_PROFILES
FRAMES = 12

READING = """
def shown(armature, frames):
    return posed_heads(armature, frames), [bone.name for bone in armature.pose.bones]

def axes(armature):
    turn = armature.matrix_world.to_3x3().normalized()
    return [[list((turn @ bone.matrix_local.to_3x3()).normalized().col[1]) for bone in armature.data.bones][i]
            for i in range(len(armature.data.bones))]

def seen(armature):
    # what a file says, as Blender shows it
    scene = bpy.context.scene
    action = armature.animation_data and armature.animation_data.action
    if action is None:  # the C++ importer may hang the action on a parent
        action = next(ob.animation_data.action for ob in bpy.data.objects if ob.animation_data)
    first, last = action.frame_range
    heads, names = shown(armature, np.linspace(first, last, round(last - first) + 1))  # 29.97 may be read as 30
    places = []
    for frame in (last, first):
        scene.frame_set(round(frame))
        places.append(np.array(armature.matrix_world.translation))
    rest = [list(armature.matrix_world @ armature.data.bones[name].head_local) for name in names]
    return {"names": names, "heads": heads.tolist(), "rest": rest, "axes": axes(armature),
            "bones": [bone.name for bone in armature.data.bones],
            "first": first, "fps": scene.render.fps / scene.render.fps_base,
            "travels": (places[0] - places[1]).tolist(),
            "meshes": {ob.name.split(".")[0]: len(ob.data.vertices) for ob in bpy.data.objects if ob.type == "MESH"},
            "corners": corners(), "actions": len(bpy.data.actions)}

def corners():
    # lowest and highest corner of all meshes as they are posed now, in the world
    graph, points = bpy.context.evaluated_depsgraph_get(), []
    for ob in bpy.data.objects:
        if ob.type == "MESH" and not ob.hide_render:
            points += [list(ob.matrix_world @ v.co) for v in ob.evaluated_get(graph).data.vertices]
    return [np.min(points, axis=0).tolist(), np.max(points, axis=0).tolist()] if points else None

def told(path):
    # what an engine finds in the file: nodes, axes, unit, animations
    from io_scene_fbx import parse_fbx
    root, _ = parse_fbx.parse(path)
    part = {child.id: child for child in root.elems}
    def text(prop):
        return prop.split(b"\\x00")[0].decode()
    def properties(elem):
        table = next(child for child in elem.elems if child.id == b"Properties70")
        return {p.props[0].decode(): p.props[4:] for p in table.elems}
    world = properties(part[b"GlobalSettings"])
    nodes, stacks, keys = {}, [], set()
    for elem in part[b"Objects"].elems:
        if elem.id == b"Model":
            own = properties(elem)
            kinds = {"Lcl Translation": 0.0, "Lcl Rotation": 0.0, "Lcl Scaling": 1.0}
            name = text(elem.props[2]) + " " + text(elem.props[1])
            nodes[name] = [list(own.get(kind, [rest] * 3)) for kind, rest in kinds.items()]
        elif elem.id == b"AnimationStack":
            stacks.append(text(elem.props[1]))
        elif elem.id == b"AnimationCurve":
            keys.add(len(next(child for child in elem.elems if child.id == b"KeyTime").props[0]))
    return {"nodes": nodes, "stacks": stacks, "keys": sorted(keys), "up": [world["UpAxis"][0], world["FrontAxis"][0],
            world["FrontAxisSign"][0]], "unit": world["UnitScaleFactor"][0]}

def read_back(path, how, rate=24):
    clear()
    for kind in (bpy.data.actions, bpy.data.armatures, bpy.data.meshes):
        for block in list(kind):
            kind.remove(block)
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = 30, 30 / rate
    if how == "python":
        bpy.ops.import_scene.fbx(filepath=path)
    elif how == "c++":
        bpy.ops.wm.fbx_import(filepath=path)
    elif how == "glb":
        bpy.ops.import_scene.gltf(filepath=path)
    else:
        bpy.ops.wm.open_mainfile(filepath=path)
    return seen(next(ob for ob in bpy.data.objects if ob.type == "ARMATURE"))
"""

OURS = (
    READING
    + """
clear()
folder = Path(sys.argv[2])
result = rigs.apply_take(bpy.context, take_file.load(sys.argv[1]), None, rigs.ApplySettings(
    name="Wave", match_scene=True, frame_start=1))
armature = bpy.data.objects[result.armature]
out = {"scene": seen(armature)}
before = snapshot()
for name, profile in exports.FBX_PROFILES.items():
    for reference in ("none", "rest"):
        exports.write_fbx(bpy.context, armature, folder / f"{name} {reference}.fbx", profile, reference)
for reference in ("none", "rest"):
    exports.write_glb(bpy.context, armature, folder / f"glb {reference}.glb", reference_frame=reference)
    exports.write_blend(bpy.context, armature, folder / f"blend {reference}.blend", reference)
out["told"] = {path.stem: told(str(path)) for path in folder.glob("*.fbx")}
out["untouched"] = [before == snapshot(), sorted(p.name for p in folder.iterdir())]
importers = ["python"] + (["c++"] if bpy.app.version >= (4, 5) else [])
for path in sorted(folder.glob("*.fbx")):
    for how in importers:
        out[f"{path.stem} {how}"] = read_back(str(path), how)
for reference in ("none", "rest"):
    out[f"glb {reference}"] = read_back(str(folder / f"glb {reference}.glb"), "glb", 30)
    out[f"blend {reference}"] = read_back(str(folder / f"blend {reference}.blend"), "blend")
answer(out)
"""
)


@pytest.fixture(scope="module")
def ours(staged, tmp_path_factory):
    """Our own armature, written for everybody and read back by every importer."""
    folder = tmp_path_factory.mktemp("ours")
    for name in ("home", "files"):
        (folder / name).mkdir()
    take_file.save(make_take(FRAMES), folder / "take.npz")
    return Blender(staged, folder / "home").run(OURS, folder / "take.npz", folder / "files")


def ways(got, profile, reference="none"):
    """A file as each importer reads it."""
    found = [value for key, value in got.items() if key.startswith(f"{profile} {reference}")]
    assert found
    return found


def error(scene, read, what="heads", skip=0):
    """Largest distance of a joint from where the scene had it, metres."""
    order = [read["names"].index(name) for name in scene["names"]]
    mine, theirs = np.array(scene[what]), np.array(read[what])[..., skip:, :, :] if skip else np.array(read[what])
    return np.abs(theirs[..., order, :] - mine).max()


def test_an_export_leaves_the_scene_as_it_was_and_only_its_file(ours):
    untouched, files = ours["untouched"]
    assert untouched
    assert len(files) == 2 * len(PROFILES) + 4 and not [name for name in files if "partial" in name]


@pytest.mark.parametrize("profile", PROFILES)
def test_an_fbx_reads_back_with_the_scenes_frames_rest_and_joints(ours, profile):
    for read in ways(ours, profile):
        assert len(read["heads"]) == FRAMES and read["fps"] == pytest.approx(30)
        assert error(ours["scene"], read) < 5e-3
        assert error(ours["scene"], read, "rest") < 5e-3
        assert read["actions"] == 1
        assert set(ours["scene"]["bones"]) == set(read["bones"])  # no leaf bones


@pytest.mark.parametrize("profile", PROFILES)
def test_a_reference_frame_is_the_rest_pose_before_the_motion(ours, profile):
    for read in ways(ours, profile, "rest"):
        assert len(read["heads"]) == FRAMES + 1
        first = {**read, "heads": read["heads"][0]}
        assert error({**ours["scene"], "heads": ours["scene"]["rest"]}, first) < 5e-3
        assert error(ours["scene"], {**read, "heads": read["heads"][1:]}) < 5e-3


def test_glb_and_blend_read_back_with_and_without_a_reference_frame(ours):
    for kind in ("glb", "blend"):
        plain, first = ours[f"{kind} none"], ours[f"{kind} rest"]
        assert len(plain["heads"]) == FRAMES and error(ours["scene"], plain) < 5e-3
        assert len(first["heads"]) == FRAMES + 1
        assert error(ours["scene"], {**first, "heads": first["heads"][1:]}) < 5e-3
        assert error({**ours["scene"], "heads": ours["scene"]["rest"]}, {**first, "heads": first["heads"][0]}) < 5e-3
        assert error(ours["scene"], plain, "rest") < 5e-3
    assert ours["glb none"]["first"] == 0  # engines play a clip from its own zero


def test_every_fbx_has_one_animation_named_after_the_file_with_a_key_on_every_frame(ours):
    for name, told in ours["told"].items():
        assert told["stacks"] == [name] and told["keys"] == [FRAMES + name.endswith(" rest")]


@pytest.mark.parametrize("profile", ["unreal", "unreal-mesh", "unity"])
def test_nodes_for_engines_stand_upright_unscaled_at_the_origin(ours, profile):
    told = ours["told"][f"{profile} none"]
    place, turn, scale = told["nodes"]["Null Wave" if profile == "unity" else "Null root"]
    assert np.allclose(place, 0) and np.allclose(turn, 0, atol=1e-4) and np.allclose(scale, 1)
    assert all(np.allclose(found[2], 1, atol=1e-5) for found in told["nodes"].values())
    hips = np.array(told["nodes"]["LimbNode Hips"][0])
    if profile == "unity":
        assert told["unit"] == pytest.approx(100) and told["up"] == [1, 2, 1]  # metres, Y up, Z to the front
        assert 0.5 < hips[1] < 1.2
    else:
        assert told["unit"] == pytest.approx(1) and told["up"] == [2, 1, -1]  # centimetres, Z up, -Y to the front
        assert 50 < hips[2] < 120


def test_unreal_comes_without_a_mesh_or_with_a_stick_figure_that_follows_the_bones(ours):
    for read in ways(ours, "unreal"):
        assert not read["meshes"]
    for read in ways(ours, "unreal-mesh"):
        assert list(read["meshes"].values()) == [6 * len(read["bones"])]
        heads = np.array(read["heads"][0])
        low, high = np.array(read["corners"])
        assert np.all(low < heads.min(axis=0) + 1e-3) and np.all(high > heads.max(axis=0) - 1e-3)
        assert np.all(low > heads.min(axis=0) - 0.3) and np.all(high < heads.max(axis=0) + 0.3)


def test_the_bones_have_the_axes_of_the_scene(ours):
    scene = dict(zip(ours["scene"]["bones"], ours["scene"]["axes"], strict=True))
    for profile in PROFILES:
        read = next(iter(ways(ours, profile)))
        for bone, axis in zip(read["bones"], read["axes"], strict=True):
            assert np.allclose(axis, scene[bone], atol=1e-3), (profile, bone)


def test_options_name_the_same_profiles_everywhere(blender):
    got = blender.run("answer([list(exports.FBX_PROFILES), list(settings.FBX_PROFILES)])")
    assert got[0] == got[1]


HERO = (
    READING
    + """
from mathutils import Euler, Matrix, Quaternion, Vector
folder = Path(sys.argv[2])
clear()
scene = bpy.context.scene
scene.render.fps, scene.render.fps_base = 30, 1.001
scene.frame_start, scene.frame_end = 5, 28
data = bpy.data.armatures.new("Hero rig")
hero = bpy.data.objects.new("Hero", data)
scene.collection.objects.link(hero)
bpy.context.view_layer.objects.active = hero
bpy.ops.object.mode_set(mode="EDIT")
def bone(name, head, tail, parent=None, connect=False, deform=True, roll=0.0):
    new = data.edit_bones.new(name)
    new.head, new.tail, new.roll, new.use_deform = head, tail, roll, deform
    if parent:
        new.parent, new.use_connect = data.edit_bones[parent], connect
bone("root", (0, 0, 0), (0, 40, 0), deform=False)
bone("hips", (0, 0, 95), (0, 0, 110), "root", roll=0.7)
bone("chest", (0, 0, 110), (0, 0, 150), "hips", connect=True, roll=-1.2)
bone("arm", (20, 0, 145), (50, 2, 145), "chest", roll=2.0)
bone("forearm", (50, 2, 145), (78, 0, 145), "arm", connect=True, roll=0.3)
bone("hand", (78, 0, 145), (95, 0, 145), "forearm", connect=True)
bone("reach", (78, 0, 145), (78, 20, 145), deform=False)
bpy.ops.object.mode_set(mode="OBJECT")
hero.scale, hero.location, hero.rotation_euler = (0.01,) * 3, (0.4, -0.3, 0.2), (0, 0, 0.9)
ik = hero.pose.bones["forearm"].constraints.new("IK")
ik.target, ik.subtarget, ik.chain_count = hero, "reach", 2
hero.pose.bones["chest"].rotation_mode = "YXZ"
for frame in range(5, 29, 3):
    t = frame / 6
    hero.location.x = 0.4 + 0.05 * t
    hero.keyframe_insert("location", frame=frame)
    hero.pose.bones["root"].location = (8 * np.sin(t), 0, 3 * t)
    hero.pose.bones["root"].keyframe_insert("location", frame=frame)
    hero.pose.bones["hips"].rotation_quaternion = Quaternion((0, 1, 0), 0.3 * t)
    hero.pose.bones["hips"].keyframe_insert("rotation_quaternion", frame=frame)
    hero.pose.bones["chest"].rotation_euler = (0.2 * np.sin(t), 0.3 * t, 0.1)
    hero.pose.bones["chest"].keyframe_insert("rotation_euler", frame=frame)
    hero.pose.bones["reach"].location = (-30 + 10 * np.cos(t), 15 * np.sin(t), 10)
    hero.pose.bones["reach"].keyframe_insert("location", frame=frame)
other = bpy.data.actions.new("another action, of no concern")
other.use_fake_user = True
def cube(name, size, at):
    mesh = bpy.data.meshes.new(name)
    signs = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    mesh.from_pydata([Vector(c) * size for c in signs], [],
                     [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    ob = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(ob)
    ob.parent, ob.location = hero, at
    return ob
skin = cube("Skin", 10, (0, 0, 130))
skin.rotation_euler, skin.scale = (0.2, 0, 0), (1, 2, 1)
skin.vertex_groups.new(name="chest").add(range(8), 1, "REPLACE")
skin.modifiers.new("Armature", "ARMATURE").object = hero
skin.shape_key_add(name="Basis")
swell = skin.shape_key_add(name="Swell")
for point in swell.points:
    point.co *= 1.5
for frame in (5, 28):
    swell.value = (frame - 5) / 23
    swell.keyframe_insert("value", frame=frame)
prop = cube("Sword", 5, (0, 30, 0))
prop.parent_type, prop.parent_bone = "BONE", "hand"
alone = cube("Bystander", 1, (0, 0, 0))
alone.parent = None
scene.frame_set(9)
bpy.context.view_layer.objects.active = hero
hero.select_set(True)
bpy.ops.object.mode_set(mode="POSE")

def look():
    whole, part = scene.frame_current, scene.frame_subframe
    heads, names = shown(hero, np.arange(24) + 5)
    corner = {}
    graph = bpy.context.evaluated_depsgraph_get()
    for frame in (5, 20):
        scene.frame_set(frame)
        corner[frame] = {ob.name: [list(ob.matrix_world @ v.co) for v in ob.evaluated_get(graph).data.vertices]
                         for ob in (skin, prop)}
    scene.frame_set(whole, subframe=part)
    return {"heads": heads.tolist(), "names": names, "corners": corner,
            "rest": [[c / 100 for c in hero.data.bones[name].head_local] for name in names]}

def meshes_now(first):
    # corners of the two meshes on the first and sixteenth frame of what was read
    graph, corner = bpy.context.evaluated_depsgraph_get(), {}
    for key, frame in (("5", first), ("20", first + 15)):
        bpy.context.scene.frame_set(round(frame))
        corner[key] = {ob.name.split(".")[0]: [list(ob.matrix_world @ v.co) for v in ob.evaluated_get(graph).data.vertices]
                       for ob in bpy.data.objects if ob.type == "MESH"}
    return corner

out = {"scene": look()}
before = snapshot()
for name, profile in exports.FBX_PROFILES.items():
    exports.write_fbx(bpy.context, hero, folder / f"{name}.fbx", profile)
from dataclasses import replace
as_root = replace(exports.FBX_PROFILES["unreal-mesh"], object_node="root", whole_frame_rate=False)
exports.write_fbx(bpy.context, hero, folder / "object root.fbx", as_root)
exports.write_glb(bpy.context, hero, folder / "glb.glb")
out["untouched"] = before == snapshot()
hero.scale = (0.01, 0.012, 0.01)
try:
    exports.write_fbx(bpy.context, hero, folder / "no.fbx", exports.FBX_PROFILES["unity"])
except errors.InputError as error:
    out["uneven"] = [error.message, error.hint]
hero.scale = (0.01,) * 3
out["still untouched"] = before == snapshot()
out["told"] = {path.stem: told(str(path)) for path in folder.glob("*.fbx")}
bpy.ops.object.mode_set(mode="OBJECT")
importers = ["python"] + (["c++"] if bpy.app.version >= (4, 5) else [])
for path in sorted(folder.glob("*.fbx")):
    for how in importers:
        out[f"{path.stem} none {how}"] = read_back(str(path), how)
        out[f"{path.stem} none {how}"]["posed meshes"] = meshes_now(out[f"{path.stem} none {how}"]["first"])
out["glb none"] = read_back(str(folder / "glb.glb"), "glb", 30 / 1.001)
out["glb none"]["posed meshes"] = meshes_now(out["glb none"]["first"])
answer(out)
"""
)


@pytest.fixture(scope="module")
def hero(staged, tmp_path_factory):
    """A rig that makes trouble: scaled, moved, turned, rolled, with IK, a root bone, control bones, a skin, a prop."""
    folder = tmp_path_factory.mktemp("hero")
    for name in ("home", "files"):
        (folder / name).mkdir()
    return Blender(staged, folder / "home").run(HERO, "", folder / "files")


def of(scene, read):
    """The scene's joints that were written."""
    names = [name for name in scene["names"] if name in read["names"]]
    columns = [scene["names"].index(name) for name in names]
    return {"names": names, **{what: np.array(scene[what])[..., columns, :] for what in ("heads", "rest")}}


def test_a_rig_with_constraints_and_an_object_of_its_own_reads_back_where_it_was(hero):
    for profile in PROFILES:
        for read in ways(hero, profile):
            scene = of(hero["scene"], read)
            got, want = np.array(read["heads"]), scene["heads"]
            assert len(got) == 24, profile
            if read["fps"] == pytest.approx(30):  # resampled in time: between the scene's frames
                at = np.arange(24) * 30 / 1.001 / 30
                low = np.minimum(at.astype(int), 22)
                want = want[low] + (at - low)[:, None, None] * (want[low + 1] - want[low])
            assert error({**scene, "heads": want}, read) < 5e-3, profile
    read = hero["glb none"]
    assert error(of(hero["scene"], read), read) < 5e-3 and len(read["heads"]) == 24


def test_its_rest_pose_is_the_true_one_at_the_origin_for_engines(hero):
    for profile in PROFILES:
        for read in ways(hero, profile):
            scene, rest = of(hero["scene"], read), np.array(read["rest"])
            order = [read["names"].index(name) for name in scene["names"]]
            apart = np.linalg.norm(rest[order][:, None] - rest[order][None], axis=-1)
            wanted = np.linalg.norm(scene["rest"][:, None] - scene["rest"][None], axis=-1)
            assert np.abs(apart - wanted).max() < 5e-3, profile
            if profile in ("unreal", "unity"):
                assert np.abs(rest[order] - scene["rest"]).max() < 5e-3, profile


def test_an_object_that_is_the_engines_root_carries_the_objects_motion_from_the_origin(hero):
    place, turn, scale = hero["told"]["object root"]["nodes"]["Null root"]
    assert np.allclose(place, 0) and np.allclose(turn, 0) and np.allclose(scale, 1)
    for read in ways(hero, "object root"):
        assert error(of(hero["scene"], read), read) < 5e-3
        assert np.allclose(read["travels"], [0.05 * 21 / 6, 0, 0], atol=1e-3)


def test_only_unreal_gets_a_whole_frame_rate(hero):
    rates = {profile: {round(read["fps"], 3) for read in ways(hero, profile)} for profile in PROFILES}
    assert rates == {"plain": {29.97}, "unreal": {30}, "unreal-mesh": {30}, "unity": {29.97}}


def test_a_rig_with_a_root_bone_gets_no_second_one_and_controls_stay_at_home(hero):
    told = hero["told"]
    assert {"Null Armature", "LimbNode root"} <= set(told["unreal"]["nodes"])
    assert "Null root" not in told["unreal"]["nodes"]
    for profile in ("unreal", "unreal-mesh", "unity"):
        assert "LimbNode reach" not in told[profile]["nodes"]
    assert "LimbNode reach" in told["plain"]["nodes"] and "Mesh Bystander" not in told["plain"]["nodes"]
    assert {told[profile]["stacks"][0] for profile in PROFILES} == set(PROFILES)


def test_skin_and_props_follow(hero):
    for profile in ("plain", "unreal-mesh", "unity", "glb"):
        for read in ways(hero, profile):
            assert set(read["meshes"]) >= {"Skin", "Sword"}, profile
            for frame in ("5", "20"):
                for mesh in ("Skin", "Sword"):
                    got = np.array(read["posed meshes"][frame][mesh])
                    want = np.array(hero["scene"]["corners"][frame][mesh])
                    apart = np.linalg.norm(got[:, None] - want[None], axis=-1)
                    assert apart.min(axis=1).max() < 5e-3, (profile, mesh, frame)


def test_an_uneven_scale_is_told_and_nothing_is_changed(hero):
    assert hero["untouched"] and hero["still untouched"]
    message, hint = hero["uneven"]
    assert "scale" in message and "Ctrl+A" in hint
