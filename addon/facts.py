# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine found out about the person and the camera, in words, with what an animator can do about it.

An action of ours keeps these facts (`core.video_to_pose.summary`), so they can be told after its file was opened anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from .words import draw_text, say

_USUALLY_OFF_M = 0.1
"""How far off a height is that one camera tells (docs/results.md), however well the frames agree."""

_LIMBS = {  # in the order in which they are told
    "arms": "arm",
    "forearms": "forearm",
    "legs": "leg",
    "lower legs": "lower leg",
}


def draw(layout: bpy.types.UILayout, stored: dict[str, Any], system: str, characters: int) -> None:
    """What is known of a motion's person and camera; nothing for actions of versions that did not keep it.

    Args:
        layout: of a panel.
        stored: what the action says of itself (`results.told`).
        system: of the scene's units.
        characters: that fit into a line beside an icon.
    """
    about = stored.get("about")
    if about is None:
        return
    box = layout.box().column(align=True)
    row = box.row()
    text = height(about, is_given(stored), system)
    draw_text(row.column(align=True), text, "DRIVER_DISTANCE", characters - 5)  # the button beside it
    row.operator("video_to_pose.set_height", text="", icon="GREASEPENCIL")
    if about["camera_moves"]:
        if stored["retarget"]["root_motion"] == "in_place":
            draw_text(box, "The camera moved; the path is left out", "INFO", characters)
        else:
            draw_text(box, "The camera moved, and the path includes its motion", "ERROR", characters)
            box.operator("video_to_pose.leave_path_out", icon="CON_LOCLIKE")
    if about["held_at_rest"]:
        text = say("Never in view, held at rest: {limbs}", limbs=limbs(about["held_at_rest"]))
        draw_text(box, text, "INFO", characters)


def is_given(stored: dict[str, Any]) -> bool:
    """Whether somebody has said how tall the person is, so that it is no estimate."""
    return (stored.get("solving") or {"camera": {}})["camera"].get("height_m") is not None


def height(about: dict[str, Any], given: bool, system: str) -> str:
    """The person's height, and how sure it is: ``Height 1.74 m ± 0.10 m, estimated``.

    Args:
        about: the facts.
        given: somebody has said it.
        system: of units, ``IMPERIAL`` for feet and inches.
    """
    if given:
        return say("Height {height}, as given", height=length(about["height_m"], system))
    if about["height_spread_m"] is None:
        return say("Height {height}, estimated", height=length(about["height_m"], system))
    return say(
        "Height {height} ± {spread}, estimated",
        height=length(about["height_m"], system),
        spread=length(max(about["height_spread_m"], _USUALLY_OFF_M), system),
    )


def length(metres: float, system: str) -> str:
    """A length as people say it of people: ``1.74 m``, ``5' 9"``."""
    if system != "IMPERIAL":
        return f"{metres:.2f} m"
    feet, inches = divmod(round(metres / 0.0254), 12)
    return f"{feet}' {inches}\"" if feet else f'{inches}"'


def limbs(parts: Sequence[str]) -> str:
    """Limbs in one phrase, pairs together: ``left leg, right leg, left arm`` become ``left arm, legs``."""
    found = []
    for pair, limb in _LIMBS.items():
        sides = [part for part in (f"left {limb}", f"right {limb}") if part in parts]
        found += [pair] if len(sides) == 2 else sides
    return ", ".join(map(say, found))


def warnings(about: dict[str, Any], path: str) -> list[str]:
    """What must be known at once of a motion that has just come into the scene, as sentences.

    Args:
        about: the facts.
        path: what became of the person's way: `RetargetSettings.root_motion`.
    """
    if about["camera_moves"] and path != "in_place":
        return [say("The camera moved: see Result.")]
    return []
