# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion is solved again from its Take, in Blender, without the video; what an animator said about feet stays said."""

from __future__ import annotations

import pytest

from tests import captured

SETUP = """
addon.register()
from video_to_pose_extension import contacts, nla_tracks, plate, results, solve_operators
clear()
scene, fields = bpy.context.scene, bpy.context.scene.video_to_pose
fields.match_scene, fields.camera, fields.field_of_view = True, True, np.radians(60.0)
bpy.ops.video_to_pose.apply_take(filepath=sys.argv[1])
armature = bpy.context.object
action = armature.animation_data.action

def heads(names=("Head", "LeftHand", "RightFoot")):
    out = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        out.append([(armature.matrix_world @ armature.pose.bones[name].head)[:] for name in names])
    return np.array(out)

def shiver(values):
    return float(np.abs(np.diff(values, 2, axis=0)).mean())

def told():
    return results.told(action)
"""


@pytest.fixture
def walk(tmp_path):
    return captured.saved(tmp_path / "a wälk.npz")


def test_the_panels_smoothing_and_height_change_the_motion_and_the_take_stays(blender, walk):
    before = walk.read_bytes()
    got = blender.run(
        SETUP
        + """
first = heads()
fields.smoothing_cutoff_hz = 1.0
bpy.ops.video_to_pose.solve_again()
calm = heads()
fields.smoothing_cutoff_hz, fields.height_m = 7.0, 2.0
bpy.ops.video_to_pose.solve_again()
told_height = told()["solving"]["camera"]["height_m"]
fields.height_m = 0.0
bpy.ops.video_to_pose.solve_again()
back = heads()
answer([shiver(first), shiver(calm), float(np.abs(back - first).max()), told_height,
        len(bpy.data.actions), told()["solving"]["motion"]["smoothing_cutoff_hz"]])
""",
        walk,
    )
    first, calm, back, height, actions, cutoff = got
    assert calm < first / 2 and back < 1e-4 and height == 2.0
    assert actions == 1 and cutoff == 7.0 and walk.read_bytes() == before


def test_the_camera_follows_the_field_of_view(blender, walk):
    got = blender.run(
        SETUP
        + """
from bpy_extras.object_utils import world_to_camera_view
def lens():
    return bpy.data.objects["walk camera"].data.lens
def off():
    take = rigs.solved(armature).laid.take
    from video_to_pose_extension.core.video_to_pose import bones
    motion, camera = take.motion, bpy.data.objects["walk camera"]
    joints = bones.compose(motion.skeleton, motion.directions, motion.lengths, motion.root)
    scene.frame_set(scene.frame_start + 20)
    bpy.context.view_layer.update()
    seen = world_to_camera_view(scene, camera, armature.matrix_world @ armature.pose.bones["Head"].head)
    pixel = take.camera.project(take.camera.to_camera(joints))[20, motion.skeleton.index("head")]
    return float(np.abs(np.array([seen.x * 1280, (1 - seen.y) * 720]) - pixel).max())
before = [lens(), off()]
fields.field_of_view = np.radians(40.0)
bpy.ops.video_to_pose.solve_again()
answer([before, [lens(), off()], len(bpy.data.cameras)])
""",
        walk,
    )
    (lens, off), (longer, still), cameras = got
    assert longer == pytest.approx(lens * 0.57735 / 0.36397, rel=1e-3) and cameras == 2  # the file's own
    assert off < 2 and still < 2


def test_contacts_that_were_edited_stay_through_other_settings_until_they_are_found_anew(blender, walk):
    got = blender.run(
        SETUP
        + """
found = sorted((m.name, m.frame) for m in action.pose_markers)
fields.contact_speed_m_s = 0.05
bpy.ops.video_to_pose.solve_again()
stricter = sorted((m.name, m.frame) for m in action.pose_markers)
for marker in [m for m in action.pose_markers if m.name.startswith("left toe")]:
    action.pose_markers.remove(marker)
action.pose_markers.new("left toe down").frame = 5
action.pose_markers.new("left toe up").frame = 9
fields.contact_speed_m_s, fields.smoothing_cutoff_hz = 0.4, 5.0
said = []
for _ in range(2):
    bpy.ops.video_to_pose.solve_again()
    said.append([told()["said"], sorted((m.name, m.frame) for m in action.pose_markers if "left toe" in m.name)])
fields.smoothing_cutoff_hz = 7.0
bpy.ops.video_to_pose.solve_again()
bpy.ops.video_to_pose.find_contacts()
anew = sorted((m.name, m.frame) for m in action.pose_markers)
answer([found, stricter, said, anew, told()["said"]])
""",
        walk,
    )
    found, stricter, said, anew, forgotten = got
    assert found and found != stricter  # what nobody edited follows the settings
    assert said == [[["left_toe"], [["left toe down", 5], ["left toe up", 9]]]] * 2
    assert anew == found and forgotten == []


def test_settings_come_back_to_the_panel(blender, walk):
    got = blender.run(
        SETUP
        + """
fields.smoothing_cutoff_hz, fields.height_m, fields.feet, fields.flat_floor = 3.0, 1.5, "never", False
bpy.ops.video_to_pose.solve_again()
fields.smoothing_cutoff_hz, fields.height_m, fields.feet, fields.flat_floor = 9.0, 0.0, "always", True
bpy.ops.video_to_pose.recall_settings()
answer([fields.smoothing_cutoff_hz, fields.height_m, fields.feet, fields.flat_floor])
""",
        walk,
    )
    assert got == [3.0, 1.5, "never", False]


def test_a_take_of_old_is_still_laid_again_and_says_what_it_cannot(blender, save_take):
    got = blender.run(
        SETUP
        + """
fields.smoothing_cutoff_hz, fields.root_motion = 2.0, "in_place"
bpy.ops.video_to_pose.solve_again()
answer([session.State.outcome.warnings[0], float(np.ptp(heads(("Hips",))[:, 0, :2], axis=0).max())])
""",
        save_take(),
    )
    assert "older version" in got[0] and got[1] < 1e-4


@pytest.mark.parametrize("rate", [24, 25, 60])
def test_a_scene_that_keeps_its_rate_gets_keys_on_whole_frames_at_true_speed(blender, walk, rate):
    got = blender.run(
        SETUP
        + f"""
true = heads(("Hips",))[:, 0]
scene.render.fps, fields.match_scene = {rate}, False
fields.target, fields.armature = "EXISTING", armature
bpy.ops.video_to_pose.apply_take(filepath=sys.argv[1])
made = armature.animation_data.action
curves = list(made.fcurves) if hasattr(made, "fcurves") else [
    c for l in made.layers for s in l.strips for b in s.channelbags for c in b.fcurves]
frames = sorted({{k.co.x for c in curves for k in c.keyframe_points}})
worst = 0.0
for n, place in enumerate(true):
    at = scene.frame_start + n / 30 * {rate}
    if at <= frames[-1]:
        whole = int(np.floor(at))
        scene.frame_set(whole, subframe=at - whole)
        worst = max(worst, float(np.abs(np.array(armature.matrix_world @ armature.pose.bones["Hips"].head) - place).max()))
answer([frames[0], frames[-1], all(f == int(f) for f in frames), worst, scene.render.fps, scene.frame_end])
""",
        walk,
    )
    first, last, whole, worst, fps, end = got
    assert whole and fps == rate and end == 60  # the scene stays as it was
    assert (59 / 30 * rate) - 1 < last - first <= 59 / 30 * rate and worst < 0.02


def test_when_the_scenes_rate_changes_the_keys_follow(blender, walk):
    got = blender.run(
        SETUP
        + """
action.pose_markers.new("left toe down").frame = 20
action.pose_markers.new("left toe up").frame = 26
scene.render.fps = 60
bpy.ops.video_to_pose.solve_again()
marks = sorted(m.frame for m in action.pose_markers)
answer([list(action.frame_range), told()["rate"], max(marks), "left_toe" in told()["said"]])
""",
        walk,
    )
    assert got[0] == [1.0, 119.0] and got[1] == 60.0 and 60 < got[2] <= 119 and got[3]


def test_a_path_on_the_object_starts_where_it_started(blender, walk):
    got = blender.run(
        SETUP
        + """
fields.root_motion = "object"
armature.location = (1.0, 2.0, 0.0)
bpy.context.view_layer.update()
bpy.ops.video_to_pose.solve_again()
first = heads()
scene.frame_set(40)
bpy.ops.video_to_pose.solve_again()
answer(float(np.abs(heads() - first).max()))
""",
        walk,
    )
    assert got < 1e-4


def test_an_nla_track_of_its_own_stomps_on_nobody_and_comes_back(blender, walk):
    got = blender.run(
        SETUP
        + """
data = armature.animation_data
theirs = bpy.data.actions.new("theirs")
track = data.nla_tracks.new(); track.name = "Body"
track.strips.new("theirs", 1, theirs)
before = heads()
poll = [bpy.ops.video_to_pose.push_down.poll(), bpy.ops.video_to_pose.pull_up.poll()]
bpy.ops.video_to_pose.push_down()
down = [[t.name for t in data.nla_tracks], data.action is None, float(np.abs(heads() - before).max()),
        bpy.ops.video_to_pose.solve_again.poll(), results.shown(bpy.context).strip is not None]
strip = results.shown(bpy.context).strip
strip.frame_start += 10; strip.frame_end += 10
place = results.shown(bpy.context)
times = [place.scene_frame(5.0), place.action_frame(15.0)]
bpy.ops.video_to_pose.pull_up()
back = [[t.name for t in data.nla_tracks], data.action == action, float(np.abs(heads() - before).max())]
bpy.ops.video_to_pose.solve_again()
answer([poll, down, times, back])
""",
        walk,
    )
    assert got[0] == [True, False]
    names, free, moved, solvable, in_strip = got[1]
    assert names == ["Body", "walk"] and free and moved < 1e-4 and not solvable and in_strip
    assert got[2] == [15.0, 5.0]
    assert got[3][:2] == [["Body"], True] and got[3][2] < 1e-4
