# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of a finished motion draw in every state, with buttons and icons that Blender has."""

from __future__ import annotations

import re

import pytest

from tests import captured
from tests.addon.test_panel import LAYOUT

SETUP = (
    LAYOUT
    + """
from video_to_pose_extension import result_panel, results
clear()
PANELS = (result_panel.ResultPanel, result_panel.CheckFramesPanel, result_panel.OverlayPanel)
polled = [panel.poll(bpy.context) for panel in PANELS]
bpy.ops.video_to_pose.apply_take(filepath=sys.argv[1])
action = bpy.context.object.animation_data.action
"""
)

STATES = {
    "solved": (
        "",
        ["button Solve Again", "button Recall Settings", "button Push Down to NLA"],
        ["button Back from NLA"],
    ),
    "on a track": (
        "bpy.ops.video_to_pose.push_down()",
        ["button Back from NLA", "button Solve Again"],
        ["button Push Down to NLA"],
    ),
    "with edited contacts": (
        "action.pose_markers.new('left toe down').frame = 3; bpy.ops.video_to_pose.solve_again()",
        ["label Feet as your markers say", "button Find Contacts Anew"],
        [],
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_the_result_shows_what_one_can_do_with_it(blender, tmp_path, state):
    change, there, absent = STATES[state]
    take = captured.saved(tmp_path / "walk.npz", frames=20)
    polled, told = blender.run(SETUP + change + "\nanswer([polled, draw(result_panel.ResultPanel)])", take)
    assert polled == [False] * 3
    assert [item for item in there if item not in told] == [], told
    assert [item for item in absent if item in told] == [], told


KNOWN = (
    LAYOUT
    + """
from dataclasses import replace
from video_to_pose_extension import facts, result_panel, results
clear()
path, take = Path(sys.argv[1]), take_file.load(sys.argv[1])
joints, confidence = take.motion.skeleton.joints, take.motion.confidence.copy()
confidence[:, [joints.index(joint) for joint in ("left_knee", "left_ankle", "right_ankle", "right_knee")]] = 0.0
about = {"camera": {"moves": True}, "height": {"estimate_m": 1.7, "spread_m": 0.05}}
moved = replace(take.motion, confidence=confidence)
take_file.save(replace(take, motion=moved, provenance={**take.provenance, **about}), path)
bpy.ops.video_to_pose.apply_take(filepath=sys.argv[1])

def told():
    return " ".join(item.removeprefix("label ") for item in draw(result_panel.ResultPanel))
"""
)


def test_what_was_found_of_person_and_camera_is_told_also_after_reopening(blender, tmp_path):
    got = blender.run(
        KNOWN
        + """
said = [told()]
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[2])
bpy.ops.wm.open_mainfile(filepath=sys.argv[2])
said.append(told())
bpy.context.scene.unit_settings.system = "IMPERIAL"
answer([said, told()])
""",
        captured.saved(tmp_path / "walk.npz", frames=20),
        tmp_path / "with spaces é.blend",
    )
    (first, again), feet = got
    assert re.search(r"Height 1\.\d\d m ± 0\.10 m, estimated", first), first
    assert "The camera moved, and the path includes its motion" in first and "button Leave the Path Out" in first
    assert "Never in view, held at rest: legs" in first
    assert again == first
    assert re.search(r"Height 5' \d+\" ± 4\", estimated", feet), feet


def test_a_height_that_is_told_and_a_path_left_out_are_solved_at_once_and_nothing_else_is(blender, tmp_path):
    got = blender.run(
        KNOWN
        + """
fields.smoothing_cutoff_hz, fields.feet = 1.0, "never"
button = bpy.ops.video_to_pose.set_height
said = []
for change in (lambda: button(height_m=1.9), bpy.ops.video_to_pose.leave_path_out, lambda: button(height_m=0.0)):
    change()
    said.append([told(), round(fields.height_m, 2), fields.root_motion])
how, (camera, motion) = rigs.stored_settings(results.told(bpy.context.object.animation_data.action))
answer([said, [how.feet, motion.smoothing_cutoff_hz], [rigs.RetargetSettings().feet, rigs.MotionSettings().smoothing_cutoff_hz]])
""",
        captured.saved(tmp_path / "walk.npz", frames=20),
    )
    (given, out, back), kept, default = got
    assert "Height 1.90 m, as given" in given[0] and given[1:] == [1.9, "hips"]
    assert "the path is left out" in out[0] and "button" in out[0] and "Leave the Path Out" not in out[0]
    assert "Height 1.90 m, as given" in out[0] and out[1:] == [1.9, "in_place"]
    assert "estimated" in back[0] and back[1:] == [0.0, "in_place"]
    assert kept == default


def test_only_a_path_that_holds_the_cameras_way_is_warned_of(blender):
    got = blender.run(
        """
from video_to_pose_extension import facts
about = {"camera_moves": True}
answer([len(facts.warnings(about, "hips")), len(facts.warnings(about, "in_place")),
        len(facts.warnings({"camera_moves": False}, "hips")), len(facts.warnings({"camera_moves": None}, "hips")),
        facts.limbs(["left arm", "left leg", "right leg", "right forearm"])])
"""
    )
    assert got == [1, 0, 0, 0, "left arm, right forearm, legs"]


def test_the_list_says_how_much_is_left(blender, tmp_path):
    got = blender.run(
        SETUP
        + """
def told():
    return [item for item in draw(result_panel.CheckFramesPanel) if item.startswith("label")]
said = [told()]
for item in action.video_to_pose_checks:
    item.seen = True
said.append(told())
action.video_to_pose_checks.clear()
said.append(told())
answer([said, draw(result_panel.OverlayPanel)])
""",
        captured.saved(tmp_path / "faulty.npz", faults=True),
    )
    assert got[0] == [["label 2 of 2 left"], ["label All looked at"], ["label Nothing wants a look."]]
    assert {"field size", "field opacity", "field least_score", "button Look Through the Camera"} <= set(got[1])


def test_everything_has_a_tooltip(blender):
    untold = blender.run(
        """
addon.register()
from video_to_pose_extension import check_frames, overlay
names = ("solve_again", "recall_settings", "find_contacts", "push_down", "pull_up", "next_check", "view_video",
         "set_height", "leave_path_out")
untold = [name for name in names if not getattr(bpy.ops.video_to_pose, name).get_rna_type().description]
for kind in (check_frames.CheckItem, overlay.OverlayProperties):
    untold += [p.identifier for p in kind.bl_rna.properties if p.identifier not in ("rna_type", "name") and not p.description]
answer(untold)
"""
    )
    assert untold == []
