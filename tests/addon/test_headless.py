# SPDX-License-Identifier: GPL-3.0-or-later
"""The script without a window writes files that other programs read back as the same motion."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from video_to_pose import cli
from video_to_pose.formats import bvh

ROOT = Path(__file__).resolve().parents[2]
HEADLESS = ROOT / "addon" / "headless.py"
VIDEO = ROOT / "examples" / "wave.mp4"
ENGINE = os.environ.get("VIDEO_TO_POSE_ENGINE_PYTHON", "")

EXPECTED = """
clear()
take = take_file.load(sys.argv[1])
result = rigs.apply_take(bpy.context, take, None, rigs.ApplySettings(name="wave", match_scene=True, frame_start=1))
mine = bpy.data.objects[result.armature]
names = [bone.name for bone in mine.pose.bones]
heads = posed_heads(mine, range(1, result.frames + 1))
rest = np.array([(mine.matrix_world @ mine.data.bones[name].head_local)[:] for name in names])
def bone_axes(armature):
    turn = armature.matrix_world.to_3x3().normalized()
    return np.array([np.array(turn @ armature.data.bones[name].matrix_local.to_3x3())[:, 1] for name in names])
axes = bone_axes(mine)
clear()
for action in list(bpy.data.actions):
    bpy.data.actions.remove(action)
"""

COMPARED = """
theirs = next(ob for ob in bpy.data.objects if ob.type == "ARMATURE")
order = [list(theirs.pose.bones.keys()).index(name) for name in names]
first, last = theirs.animation_data.action.frame_range
count = round(last - first) + 1
got = posed_heads(theirs, np.arange(count) + first)[:, order]
their_rest = np.array([(theirs.matrix_world @ theirs.data.bones[name].head_local)[:] for name in names])
their_axes = bone_axes(theirs)
answer({"frames": [result.frames, count], "bones": [len(names), len(theirs.data.bones)],
        "posed": float(np.abs(got - heads).max()), "rest": float(np.abs(their_rest - rest).max()),
        "axes": float(np.abs(their_axes - axes).max()),
        "fps": bpy.context.scene.render.fps / bpy.context.scene.render.fps_base})
"""


def test_fbx_imports_with_the_same_frames_rest_and_joints(blender, save_take, tmp_path):
    take, out = save_take(), tmp_path / "out.fbx"
    done = blender.python(HEADLESS, "--take", take, "--fbx", out)
    assert done.returncode == 0, done.stdout + done.stderr
    got = blender.run(EXPECTED + "bpy.ops.import_scene.fbx(filepath=sys.argv[2])\n" + COMPARED, take, out)
    assert got["frames"][0] == got["frames"][1]
    assert got["bones"][0] == got["bones"][1]  # no leaf bones
    assert got["posed"] < 5e-3 and got["rest"] < 5e-3 and got["axes"] < 1e-3, got
    assert got["fps"] == pytest.approx(30)


def test_bvh_imports_with_the_same_frames_and_joints(blender, save_take, tmp_path):
    take, out = save_take(), tmp_path / "out.bvh"
    done = blender.python(HEADLESS, "--take", take, "--bvh", out)
    assert done.returncode == 0, done.stdout + done.stderr
    got = blender.run(
        EXPECTED
        + 'bpy.ops.import_anim.bvh(filepath=sys.argv[2], global_scale=0.01, axis_forward="-Z", axis_up="Y")\n'
        + COMPARED,
        take,
        out,
    )
    assert got["frames"][0] == got["frames"][1]
    assert got["posed"] < 1e-3 and got["rest"] < 1e-3, got


def test_glb_and_blend_are_written_and_play(blender, save_take, tmp_path):
    take, glb, blend = save_take(), tmp_path / "out.glb", tmp_path / "out.blend"
    done = blender.python(HEADLESS, "--take", take, "--glb", glb, "--blend", blend)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.blend", "out.glb"]  # and no backup or part
    got = blender.run(EXPECTED + "bpy.ops.import_scene.gltf(filepath=sys.argv[2])\n" + COMPARED, take, glb)
    assert got["frames"][0] == got["frames"][1] and got["posed"] < 5e-3, got
    got = blender.run(EXPECTED + "bpy.ops.wm.open_mainfile(filepath=sys.argv[2])\n" + COMPARED, take, blend)
    assert got["frames"][0] == got["frames"][1] and got["posed"] < 1e-3, got


def test_an_armature_of_a_file_is_animated_and_its_posed_fingers_do_not_become_the_rest(blender, save_take, tmp_path):
    take, scene, out = save_take(), tmp_path / "scene.blend", tmp_path / "out.fbx"
    blender.run(
        """
clear()
result = rigs.apply_take(bpy.context, take_file.load(sys.argv[1]), None, rigs.ApplySettings(name="Hero"))
hero = bpy.data.objects[result.armature]
hero.animation_data_clear()
for bone in hero.pose.bones:
    bone.matrix_basis.identity()
hero.pose.bones["LeftToeBase"].rotation_quaternion = (0.8, 0.6, 0, 0)
hero.pose.bones["Head"].rotation_mode = "XYZ"
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2])
answer(True)
""",
        take,
        scene,
    )
    done = blender.python(HEADLESS, "--file", scene, "--take", take, "--armature", "Hero", "--fbx", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on Hero" in done.stdout
    got = blender.run(EXPECTED + "bpy.ops.import_scene.fbx(filepath=sys.argv[2])\n" + COMPARED, take, out)
    assert got["frames"][0] == got["frames"][1]
    assert got["rest"] < 5e-3 and got["axes"] < 1e-3, got


MISTAKES = [
    (["--video", "no such.mp4"], "no such.mp4 does not exist"),
    ([], "the arguments --video --take --batch"),
    (["--take", __file__], "is not a Take"),
    (["--take", "TAKE", "--armature", "Godzilla"], "no armature Godzilla"),
    (["--take", "TAKE", "--fbx", f"{__file__}/out.fbx"], "cannot be written"),
    (["--take", "TAKE", "--armature-file", "gone ü.fbx"], "gone ü.fbx does not exist"),
    (["--take", "TAKE", "--armature-file", __file__], "no character is read from"),
    (["--take", "TAKE", "--armature-file", "BROKEN.blend"], "Blender cannot read BROKEN.blend"),
    (["--take", "TAKE", "--armature-file", "BROKEN.fbx"], "Blender cannot read BROKEN.fbx"),
    (["--take", "TAKE", "--armature-file", "BROKEN.bvh"], "BROKEN.bvh"),
    (["--take", "TAKE", "--armature-file", "BROKEN.glb"], "Blender cannot read BROKEN.glb"),
    (["--take", "TAKE", "--fbx", "a.fbx", "--output", "a.fbx"], "to be written twice"),
    (["--take", "TAKE", "--bone-map", "a.json"], "for an armature that is there"),
    (["--batch", str(ROOT)], "one folder for its results"),
    (["--batch", "no folder", "-o", "out"], "no folder does not exist"),
    (["--take", "TAKE", "-o", "out.abc"], "ending that cannot be written"),
    (["--file", "gone.blend", "--take", "TAKE"], "gone.blend does not exist"),
    (["--take", "TAKE", "--fbx", "a.fbx", "--fbx-profile", "godot"], "'godot' (choose from"),
    (["--take", "TAKE", "--bvh", "a.bvh", "--bvh-channels", "XXX"], "'XXX' (choose from"),
]

ANSWERS = """
import contextlib, io, os
from video_to_pose_extension import command_line
os.chdir(Path(sys.argv[1]).parent)
for ending in (".blend", ".fbx", ".bvh", ".glb"):
    Path("BROKEN" + ending).write_text("nothing of this kind")
told = []
for arguments in json.loads(sys.argv[2]):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = command_line.main([sys.argv[1] if word == "TAKE" else word for word in arguments])
    told.append([code, said.getvalue()])
answer(told)
"""


def test_what_a_person_can_mend_is_one_sentence_and_a_hint(blender, save_take, tmp_path):
    told = blender.run(ANSWERS, save_take(frames=3), json.dumps([arguments for arguments, _ in MISTAKES]))
    for (arguments, words), (code, said) in zip(MISTAKES, told, strict=True):
        assert code == 2, (arguments, said)
        errors = [line for line in said.splitlines() if line.startswith(("error: ", "hint: "))]
        assert len(errors) == 2 and errors[0].startswith("error: ") and words in errors[0], (arguments, said)
        assert "Traceback" not in said
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".npz" and path.name != "sample take.npz"]
    assert not list(tmp_path.glob(".unfinished*")) and not list((blender.home / "tmp").glob("video_to_pose_*"))


def test_files_are_written_for_the_programs_named_with_the_rest_pose_first(blender, save_take, tmp_path):
    fbx, cmu = tmp_path / "out.fbx", tmp_path / "out.bvh"
    options = ["--fbx-profile", "unreal", "--bvh-profile", "cmu", "--bvh-channels", "YXZ", "--reference-frame", "rest"]
    done = blender.python(HEADLESS, "--take", save_take(frames=6), "--fbx", fbx, "--bvh", cmu, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    clip = bvh.read(cmu)
    assert "LHipJoint" in clip.names and clip.channels[1] == ("Yrotation", "Xrotation", "Zrotation")
    assert len(clip.values) == 7 and not clip.values[0, 3:].any() and clip.values[1, 3:].any()
    read = "clear()\nbpy.ops.import_scene.fbx(filepath=sys.argv[1])\nroot = bpy.data.objects['root']\n"
    got = blender.run(read + "answer([list(root.animation_data.action.frame_range), len(root.data.bones)])", fbx)
    assert got[0][1] - got[0][0] == 6 and got[1] == 21


def test_the_script_has_the_options_that_the_command_line_has_and_is_quick_to_say_so(blender):
    code = f"import runpy, sys; sys.modules['bpy'] = None; runpy.run_path({str(HEADLESS)!r}, run_name='__main__')"
    told = blender.python("-c", code, "--help")  # asking needs no Blender
    assert told.returncode == 0, told.stderr
    for option in cli.STAGE_OPTIONS.values():
        assert f"{option} " in told.stdout or f"{option}," in told.stdout, option
    assert "4 some clips of a batch failed" in " ".join(told.stdout.split())


def test_what_is_not_installed_is_a_fault_of_the_installation(blender, save_take):
    done = blender.python(HEADLESS, "--video", VIDEO, "--engine-python", "/no/such/python")
    assert done.returncode == 3 and "error: /no/such/python is not a Python that can be run." in done.stderr
    code = f"import runpy, sys; sys.modules['bpy'] = None; runpy.run_path({str(HEADLESS)!r}, run_name='__main__')"
    done = blender.python("-c", code, "--take", save_take(frames=3))
    assert done.returncode == 3 and "error: This Python has no Blender inside." in done.stderr


def test_a_character_out_of_any_file_is_animated(blender, save_take, tmp_path):
    take, rig = save_take(frames=6), tmp_path / "ein hëld"
    files = [rig.with_suffix(ending) for ending in (".blend", ".fbx", ".bvh", ".glb")]
    made = blender.python(HEADLESS, "--take", take, *[word for file in files for word in ("-o", file)])
    assert made.returncode == 0, made.stdout + made.stderr
    calls = [["--take", "TAKE", "--armature-file", str(file), "-o", f"out ü/{file.suffix[1:]}.bvh"] for file in files]
    told = blender.run(ANSWERS, take, json.dumps(calls))
    assert [code for code, _ in told] == [0] * 4, told
    own = pose_by_name(rig.with_suffix(".bvh"))
    for file in files:
        got = pose_by_name(tmp_path / "out ü" / f"{file.suffix[1:]}.bvh")
        assert got.keys() == own.keys()
        for name in own:
            offset, turns = np.abs(got[name][0] - own[name][0]).max(), np.abs(got[name][1] - own[name][1]).max()
            assert offset < 0.01 and turns < 0.1, (file.name, name)  # centimetres, whatever the file's unit; degrees


def pose_by_name(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Joint -> its offset in centimetres and its turns in degrees; the order of joints is a file's own."""
    clip = bvh.read(path)
    turns = clip.values[:, 3:].reshape(len(clip.values), -1, 3)
    return {name: (clip.offsets[j], turns[:, j]) for j, name in enumerate(clip.names)}


def test_a_file_with_several_armatures_wants_a_name(blender, save_take, tmp_path):
    scene = tmp_path / "two.blend"
    blender.run(
        """
clear()
take = take_file.load(sys.argv[1])
for name in ("Hero", "Villain"):
    rigs.apply_take(bpy.context, take, None, rigs.ApplySettings(name=name))
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2])
answer(True)
""",
        take := save_take(frames=3),
        scene,
    )
    done = blender.python(HEADLESS, "--take", take, "--armature-file", scene)
    assert done.returncode == 2 and "several armatures in two.blend: Hero, Villain" in done.stderr
    done = blender.python(HEADLESS, "--take", take, "--armature-file", scene, "--armature", "Villain", "--json")
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0 and results[-1]["result"]["armature"] == "Villain"


def test_paths_inside_a_written_blend_lead_where_they_led(blender, save_take, tmp_path):
    (tmp_path / "textures").mkdir()
    scene, out = tmp_path / "scene.blend", tmp_path / "out" / "out.blend"
    blender.run(
        """
clear()
image = bpy.data.images.new("skin", 4, 4)
image.filepath_raw, image.file_format = sys.argv[1] + "/textures/skin.png", "PNG"
image.save()
image.use_fake_user = True
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1] + "/scene.blend")
bpy.ops.file.make_paths_relative()
bpy.ops.wm.save_mainfile()
answer(image.filepath)
""",
        tmp_path,
    )
    done = blender.python(HEADLESS, "--take", save_take(frames=3), "--file", scene, "-o", out)
    assert done.returncode == 0, done.stdout + done.stderr
    read = "bpy.ops.wm.open_mainfile(filepath=sys.argv[1])\nanswer(bpy.data.images['skin'].filepath)"
    assert blender.run(read, out).replace("\\", "/") == "//../textures/skin.png"
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.blend"]


def test_a_single_frame_is_enough(blender, save_take, tmp_path):
    done = blender.python(HEADLESS, "--take", save_take(frames=1), "--fbx", tmp_path / "out.fbx")
    assert done.returncode == 0 and "1 frames" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind here")
def test_a_folder_that_may_not_be_written_is_told(blender, save_take, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    done = blender.python(HEADLESS, "--take", save_take(frames=3), "--fbx", locked / "out.fbx")
    assert done.returncode == 2 and "cannot be written" in done.stderr and "hint: " in done.stderr


def test_a_target_that_is_a_folder_is_told_and_nothing_is_left(blender, save_take, tmp_path):
    target = tmp_path / "out.fbx"
    target.mkdir()
    done = blender.python(HEADLESS, "--take", save_take(frames=3), "--fbx", target)
    assert done.returncode == 2 and "out.fbx is a folder" in done.stderr and "hint: " in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out.fbx", "sample take.npz"]


def test_a_fault_of_ours_is_exit_code_1_with_its_traceback(blender, save_take, tmp_path):
    code = f"import runpy, sys; sys.modules['numpy'] = None; runpy.run_path({str(HEADLESS)!r}, run_name='__main__')"
    done = blender.python("-c", code, "--take", save_take(frames=3))
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert "error: The program stopped at a fault of its own" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not ENGINE or not VIDEO.is_file(), reason="VIDEO_TO_POSE_ENGINE_PYTHON is not set")
def test_a_real_video_becomes_an_animation(blender, tmp_path):
    out = tmp_path / "wave.fbx"
    done = blender.python(HEADLESS, "--video", VIDEO, "--engine-python", ENGINE, "--fbx", out, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "150 frames" in done.stdout
    got = blender.run(
        """
clear()
bpy.ops.import_scene.fbx(filepath=sys.argv[1])
armature = next(ob for ob in bpy.data.objects if ob.type == "ARMATURE")
heads = posed_heads(armature, range(1, 151))
z = heads[..., 2]
answer({"top": float(z.max()), "low": float(z.min()), "moves": float(np.ptp(heads, axis=0).max())})
""",
        out,
    )
    assert 1.2 < got["top"] < 2.4 and -0.1 < got["low"] < 0.15 and got["moves"] > 0.3


def test_the_extension_is_a_command_of_blender_too(blender, save_take, tmp_path):
    codes = blender.run(
        """
addon.register()
good = addon.run_command(["--take", sys.argv[1], "--bvh", sys.argv[2], "--feet", "never", "--camera"])
bad = addon.run_command(["--take", sys.argv[2] + ".npz", "--bvh", sys.argv[2]])
addon.unregister()
answer([good, bad, Path(sys.argv[2]).stat().st_size > 500])
""",
        save_take(frames=3),
        tmp_path / "out é.bvh",
    )
    assert codes == [0, 2, True]
