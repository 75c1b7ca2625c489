# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel draws in every state, with fields, buttons and icons that Blender has.

Without a window there is no layout; one that checks every call against Blender's own definitions takes its place.
"""

from __future__ import annotations

import pytest

LAYOUT = """
from types import SimpleNamespace
from video_to_pose_extension import doctor, installed, jobs, logs, panel, setup_view

class Layout:
    known = bpy.types.UILayout.bl_rna
    def __init__(self, told=None):
        self.__dict__["told"] = [] if told is None else told
    def __setattr__(self, name, value):
        assert name in self.known.properties, name
    def __getattr__(self, name):
        parameters = self.known.functions[name].parameters
        def call(*arguments, **options):
            for key, value in options.items():
                assert key in parameters.keys() + ["align", "heading"], f"{name}({key})"
                if key == "icon":
                    assert value in parameters["icon"].enum_items, value
            if name == "prop":
                owner, field = arguments[:2]
                assert field in owner.bl_rna.properties, field
                self.told.append("field " + field)
            elif name == "operator":
                group, _, button = arguments[0].partition(".")
                kind = getattr(getattr(bpy.ops, group), button).get_rna_type()
                self.told.append("button " + (options.get("text") or kind.name))
                class Properties:
                    def __setattr__(_, field, value):
                        assert field in kind.properties, field
                return Properties()
            elif name in ("label", "progress"):
                self.told.append(f"{name} " + options.get("text", ""))
            return Layout(self.told)
        return call

def draw(kind):
    layout = Layout()
    kind.draw(SimpleNamespace(layout=layout, engine_python="", bl_rna=getattr(kind, "bl_rna", None)), bpy.context)
    return layout.told

def job(status="RUNNING", outcome=None, **state):
    order = jobs.Order(Path("python"), Path("t.mp4"), settings.CaptureSettings(), rigs.ApplySettings(), 0, "Scene")
    one = jobs.Job("t", order, logs.Log(Path("t.txt")), status=jobs.Status[status], **state)
    one.outcome = outcome
    State.jobs.append(one)
    return one

addon.register()
fields = bpy.context.scene.video_to_pose
State = session.State
setup_view.has_engine = lambda context: True
"""

STATES = {
    "at first": ("", ["field video", "field target", "button Capture"], ["field armature", "button Cancel"]),
    "for my armature": ("fields.target = 'EXISTING'", ["field armature", "button Capture"], []),
    "while it runs": (
        "job(stage='Looking for the person', frames='Frame 3 of 9', done=0.33)",
        [
            "label t",
            "progress Looking for the person",
            "label Frame 3 of 9",
            "button Cancel",
            "button Capture, After the Others",
        ],
        [],
    ),
    "while it starts": ("job(stage='Starting the engine')", ["progress Starting the engine", "button Cancel"], []),
    "while others wait": (
        "job(); job('WAITING')",
        ["button Cancel", "button Cancel All", "button Capture, After the Others"],
        ["button Clear Finished"],
    ),
    "after success": (
        "job('DONE', session.Outcome('150 frames on Hero.', warnings=['Check 1 s.']), takes=[Path('t.npz')])",
        ["label 150 frames on Hero.", "label Check 1 s.", "button Put on a New Armature", "button Capture"],
        ["button Copy Details", "button Install Engine", "button Try Again"],
    ),
    "after a mistake": (
        "job('FAILED', session.Outcome('Nobody is there.', 'Film the whole body.', 'no-person'))",
        [
            "label Nobody is there.",
            "label Film the whole body.",
            "button Capture",
            "button Try Again",
            "button Show Log",
        ],
        ["button Copy Details", "button Install Engine"],
    ),
    "after several": (
        "job('DONE', session.Outcome('Fine.')); job('CANCELLED', session.Outcome('Cancelled.', '', 'cancelled'))",
        ["label Fine.", "button Try Again", "button Clear Finished", "button Remove from List"],
        ["button Cancel All"],
    ),
    "folded up": ("job('DONE', session.Outcome('Fine.'), unfolded=False)", ["label t"], ["label Fine."]),
    "after a fault": (
        "State.outcome = session.Outcome('It broke.', 'Report it.', 'fault', 'Traceback')",
        ["label It broke.", "button Copy Details"],
        [],
    ),
    "without an engine": (
        "State.outcome = session.Outcome('No engine.', 'Install it.', 'engine-missing')",
        ["label No engine.", "button Install Engine", "button Run Doctor"],
        [],
    ),
    "at the very first": (
        "setup_view.has_engine = lambda context: False; fault = doctor.Finding('numpy', False, True, 'none', 'Mend it.');"
        "State.findings = [fault]",
        ["button Install Engine", "button Run Doctor", "label numpy: none", "label Mend it."],
        ["button Capture"],
    ),
    "while the engine is installed": (
        "State.installation = SimpleNamespace(label='Unpacking packages', fraction=0.4, close=lambda: None)",
        ["progress Unpacking packages", "button Cancel"],
        ["button Capture"],
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_the_panel_shows_what_one_can_do_now(blender, state):
    change, there, absent = STATES[state]
    told = blender.run(LAYOUT + change + "\nanswer(draw(panel.CapturePanel))")
    assert [item for item in there if item not in told] == [], told
    assert [item for item in absent if item in told] == [], told


def test_options_and_preferences_draw(blender):
    got = blender.run(
        LAYOUT
        + """
fields.key_error = 0.01
fields.video = "/clips/dance.mp4"
options = draw(panel.OptionsPanel) + draw(panel.CharacterPanel)
layout = Layout()
chosen = SimpleNamespace(layout=layout, engine_python="", runtime="auto", bl_rna=preferences.VideoToPosePreferences.bl_rna)
home = session.engine_environment()
first = preferences.VideoToPosePreferences.draw(chosen, bpy.context)
(home / "ab12cd" / "p").mkdir(parents=True)
installed.finish(home, installed.Installed("ab12cd", "2.7", "linux-x64", "cuda", (), 9, "online", "0"))
State.findings = [doctor.Finding("numpy", True, True, "2"), doctor.Finding("scipy", False, True, "none", "Mend it.")]
preferences.VideoToPosePreferences.draw(chosen, bpy.context)
shown = {item.removeprefix("field ") for item in options + draw(panel.CapturePanel)} | {"armature"}
every = {p.identifier for p in fields.bl_rna.properties} - {"rna_type", "name"}
answer([sorted(every - shown), layout.told])
"""
    )
    assert got[0] == []  # every field can be reached
    assert {"field engine_python", "field runtime", "button Install Engine", "button From a Bundle…"} <= set(got[1])
    told = " ".join(got[1])
    assert "Installed: NVIDIA (CUDA), Python 2.7" in told and "is for Python 2.7" in told  # not this Blender's
    assert "Capturing does not work yet" in told and "Mend it." in told and "Blender 4.2 to 5.2" in told
    assert "button Install Engine Again" in got[1] and "button Remove Engine" in got[1]


def test_long_sentences_are_broken_into_lines(blender):
    told = blender.run(
        LAYOUT
        + """
State.outcome = session.Outcome("word " * 60, "", "fault")
answer([item for item in draw(panel.CapturePanel) if item.startswith("label")])
"""
    )
    assert len(told) > 3 and max(map(len, told)) < 60


def test_the_bone_map_can_be_seen_corrected_and_dropped(blender, save_take, tmp_path):
    got = blender.run(
        LAYOUT
        + """
made = rigs.apply_take(bpy.context, take_file.load(sys.argv[1]), None, rigs.ApplySettings())
fields.target, fields.armature = "EXISTING", bpy.data.objects[made.armature]
armature = fields.armature
shown = [panel.BonesPanel.poll(bpy.context)]
bpy.ops.video_to_pose.detect_bones()
shown.append(draw(panel.BonesPanel))
slots = armature.video_to_pose_bones.slots
slots["left_hand"].bone = ""
rig = rigs.read_rig(armature)
without = "left_hand" in rigs.bone_maps.of(armature, rig).single
bpy.ops.video_to_pose.save_bones("EXEC_DEFAULT", filepath=sys.argv[2])
bpy.ops.video_to_pose.forget_bones()
again = ["left_hand" in rigs.bone_maps.of(armature, rig).single, len(armature.video_to_pose_bones.slots)]
bpy.ops.video_to_pose.load_bones("EXEC_DEFAULT", filepath=sys.argv[2])
loaded = "left_hand" in rigs.bone_maps.of(armature, rig).single
armature.video_to_pose_bones.slots["left_upper_arm"].bone = ""
try:
    rigs.bone_maps.of(armature, rig)
except errors.InputError as error:
    refused = error.code
answer([shown, without, again, loaded, refused])
""",
        save_take(frames=3),
        tmp_path / "map é.json",
    )
    (poll, told), without, again, loaded, refused = got
    assert poll and "label Left Upper Arm" in told and "label Spine 1" in told
    assert not without and again == [True, 0] and not loaded and refused == "rig-unmapped"
