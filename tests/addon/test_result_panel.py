# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels of a finished motion draw in every state, with buttons and icons that Blender has."""

from __future__ import annotations

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
names = ("solve_again", "recall_settings", "find_contacts", "push_down", "pull_up", "next_check", "view_video")
untold = [name for name in names if not getattr(bpy.ops.video_to_pose, name).get_rna_type().description]
for kind in (check_frames.CheckItem, overlay.OverlayProperties):
    untold += [p.identifier for p in kind.bl_rna.properties if p.identifier not in ("rna_type", "name") and not p.description]
answer(untold)
"""
    )
    assert untold == []
