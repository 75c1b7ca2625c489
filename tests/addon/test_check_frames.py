# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames that want a look are listed with the action, a click away, ticked off for good, and there after saving."""

from __future__ import annotations

import pytest

from tests import captured

SETUP = """
addon.register()
from video_to_pose_extension import check_frames, results
clear()
scene, fields = bpy.context.scene, bpy.context.scene.video_to_pose
fields.match_scene, fields.field_of_view = True, np.radians(60.0)
scene.frame_start = 101
bpy.ops.video_to_pose.apply_take(filepath=sys.argv[1])
armature = bpy.context.object
action = armature.animation_data.action

def listed(action):
    return [[i.kind, i.note, round(i.frame_start), round(i.frame_end), i.seen] for i in action.video_to_pose_checks]
"""

ARM = ["unsure", "Left arm unsure", 121, 132, False]
NOBODY = ["unseen", "Nobody seen", 151, 154, False]


@pytest.fixture
def faulty(tmp_path):
    return captured.saved(tmp_path / "faulty.npz", faults=True)


def test_what_wants_a_look_is_listed_at_the_actions_frames(blender, faulty):
    assert blender.run(SETUP + "answer(listed(action))", faulty) == [ARM, NOBODY]


def test_a_clean_clip_has_an_empty_list(blender, tmp_path):
    clean = captured.saved(tmp_path / "clean.npz")
    assert blender.run(SETUP + "answer(listed(action))", clean) == []


def test_choosing_goes_there_also_where_the_action_is_on_an_nla_track(blender, faulty):
    got = blender.run(
        SETUP
        + """
frames = [scene.frame_current]
for index in (0, 1):
    action.video_to_pose_check = index
    frames.append(scene.frame_current)
bpy.ops.video_to_pose.push_down()
strip = results.shown(bpy.context).strip
strip.frame_start -= 100; strip.frame_end -= 100
action.video_to_pose_check = 0
frames.append(scene.frame_current)
answer(frames)
""",
        faulty,
    )
    assert got[1:] == [126, 152, 26]


def test_the_arrows_go_to_what_is_not_ticked_off(blender, faulty):
    got = blender.run(
        SETUP
        + """
def step(back=False):
    bpy.ops.video_to_pose.next_check(back=back)
    return action.video_to_pose_check
went = [step(), step(), step(), step(back=True)]
action.video_to_pose_checks[0].seen = True
went += [step(), step()]
action.video_to_pose_checks[1].seen = True
answer([went, bpy.ops.video_to_pose.next_check.poll()])
""",
        faulty,
    )
    assert got == [[0, 1, 0, 1, 1, 1], False]


def test_what_is_ticked_off_stays_so_when_solved_again_and_after_reopening(blender, faulty, tmp_path):
    got = blender.run(
        SETUP
        + """
action.video_to_pose_checks[1].seen = True
fields.smoothing_cutoff_hz = 3.0
bpy.ops.video_to_pose.solve_again()
again = listed(action)
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2])
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.wm.open_mainfile(filepath=sys.argv[2])
action = bpy.data.actions["walk"]
action.video_to_pose_check = 0
answer([again, listed(action), bpy.context.scene.frame_current])
""",
        faulty,
        tmp_path / "with spaces é.blend",
    )
    wanted = [ARM, [*NOBODY[:4], True]]
    assert got == [wanted, wanted, 126]


def test_what_does_not_follow_its_keys_is_listed_where_it_is_worst(blender, tmp_path):
    got = blender.run(
        SETUP
        + """
bone = armature.pose.bones["LeftForeArm"]
hold = bone.constraints.new("LIMIT_ROTATION")
hold.use_limit_x = hold.use_limit_y = hold.use_limit_z = True
hold.owner_space = "LOCAL"
bpy.ops.video_to_pose.solve_again()
answer(listed(action))
""",
        captured.saved(tmp_path / "clean.npz"),
    )
    assert got and {kind for kind, *_ in got} == {"pose"}
    assert "does not follow its keys" in got[0][1] and 101 <= got[0][2] <= 160


def test_a_script_that_registers_nothing_works_without_the_list(blender, faulty):
    got = blender.run(
        """
take = take_file.load(sys.argv[1])
made = rigs.apply_take(bpy.context, take, None, rigs.ApplySettings("walk", True, 1))
answer([made.to_look_at, hasattr(bpy.types.Action, "video_to_pose_checks")])
""",
        faulty,
    )
    assert got == [0, False]
