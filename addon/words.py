# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences made in Python, ready to be translated.

Blender translates labels, tooltips and plain texts of its layouts by itself; what is put together in Python it cannot
know. Here the sentence with its gaps is looked up first, and the gaps are filled afterwards. `tools/list_strings.py`
lists all that can be translated.
"""

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
