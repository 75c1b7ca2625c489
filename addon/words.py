# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences made in Python, ready to be translated.

Blender translates labels, tooltips and plain texts of its layouts by itself; what is put together in Python it cannot
know. Here the sentence with its gaps is looked up first, and the gaps are filled afterwards. `tools/list_strings.py`
lists all that can be translated.
"""

import textwrap

import bpy


def say(text: str, **values: object) -> str:
    """A sentence in the language of the interface.

    Args:
        text: English, with gaps as in ``"{done} of {total}"``; a literal, so that it can be listed.
        values: what fills the gaps.
    """
    said: str = bpy.app.translations.pgettext_iface(text)
    return said.format(**values) if values else said


def tip(text: str, **values: object) -> str:
    """A tooltip in the language of the tooltips."""
    said: str = bpy.app.translations.pgettext_tip(text)
    return said.format(**values) if values else said


def draw_text(layout: bpy.types.UILayout, text: str, icon: str, characters: int) -> None:
    """A sentence over as many lines as it needs; labels do not wrap by themselves.

    Args:
        layout: a column.
        text: what to say, in English or translated already.
        icon: of the first line.
        characters: that fit into a line beside an icon.
    """
    for number, line in enumerate(textwrap.wrap(say(text), characters)):
        layout.label(text=line, icon=icon if number == 0 else "BLANK1", translate=False)
