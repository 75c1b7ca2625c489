# SPDX-License-Identifier: GPL-3.0-or-later
"""All that the add-on shows can be listed for translators."""

from __future__ import annotations

from tools import list_strings

SAMPLE = '''
class Push(bpy.types.Operator):
    """Push it
    far"""
    bl_label = "Push"
    how: EnumProperty(name="How", description="In which way", items=[("A", "Fast", "Without care")])
    def draw(self, layout):
        layout.label(text="Plain" if self.x else "Other")
        layout.label(text=say("{count} of {total}", count=1, total=2))
        layout.label(text=f"{self.count} things")
        self.report({"INFO"}, "Pushed.")
'''


def test_labels_tooltips_items_reports_and_sentences_with_gaps_are_listed(tmp_path):
    (tmp_path / "sample.py").write_text(SAMPLE, encoding="utf-8")
    assert set(list_strings.strings(tmp_path)) == {
        *("Push it far", "Push", "How", "In which way", "Fast", "Without care", "Plain", "Other"),
        *("{count} of {total}", "Pushed."),
    }


def test_a_text_that_cannot_be_looked_up_is_told_with_its_line(tmp_path):
    (tmp_path / "sample.py").write_text(SAMPLE, encoding="utf-8")
    assert list_strings.unready(tmp_path) == ["sample.py:10"]


def test_the_add_on_s_own_are_found():
    found = list_strings.strings()
    assert {"Install Engine", "Capture", "Run Doctor", "Device"} <= set(found) and len(found) > 200
    assert all(place.partition(":")[0].endswith(".py") for places in found.values() for place in places)


def test_setting_up_can_be_translated_throughout():
    ours = ("setup", "setup_view", "preferences", "versions")
    assert [place for place in list_strings.unready() if place.split(".")[0] in ours] == []
