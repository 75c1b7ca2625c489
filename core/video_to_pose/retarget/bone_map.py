# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bone of a rig plays which part, found by names and the hierarchy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import InputError
from ..types import Rig

_PARTS: dict[str, tuple[str, ...]] = {  # part -> names it goes by, without side, prefix and punctuation
    "hips": ("hips", "hip", "pelvis"),
    "spine": ("spine", "lowerback", "abdomen", "chest", "upperchest", "torso", "waist"),
    "neck": ("neck",),
    "head": ("head",),
    "shoulder": ("shoulder", "clavicle", "collar"),
    "upper_arm": ("arm", "upperarm", "shldr", "uparm"),
    "forearm": ("forearm", "lowerarm"),
    "hand": ("hand", "wrist"),
    "upper_leg": ("upleg", "thigh", "upperleg"),
    "lower_leg": ("leg", "calf", "shin", "lowerleg", "knee"),
    "foot": ("foot", "ankle"),
    "toe": ("toebase", "toe", "ball", "toes"),
}
_PART_OF = {name: part for part, names in _PARTS.items() for name in names}
_MIDDLE = ("hips", "spine", "neck", "head")
_REQUIRED = ("upper_arm", "forearm", "upper_leg", "lower_leg")

_SIDE_WORD = re.compile(r"^(left|right)[ _.-]*|[ _.-]*(left|right)$", re.IGNORECASE)
_SIDE_LETTER = re.compile(r"^([lrLR])[ _.-]+|[ _.-]([lrLR])$|^([lr])(?=[A-Z])")


@dataclass(frozen=True, eq=False)
class BoneMap:
    """Parts and the rig's bones that play them.

    Attributes:
        single: part -> bone name: ``hips``, ``head`` and, after ``left_`` or ``right_``, ``shoulder``,
            ``upper_arm``, ``forearm``, ``hand``, ``upper_leg``, ``lower_leg``, ``foot``, ``toe``.
        spine: bones from above the hips up to the chest.
        neck: bones from above the chest up to below the head.
    """

    single: Mapping[str, str]
    spine: tuple[str, ...]
    neck: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "single", MappingProxyType(dict(self.single)))


def map_bones(rig: Rig) -> BoneMap:
    """Find the parts by the bones' names: our own, HumanIK, Mixamo, CMU, Unreal, Blender's ``.L`` / ``.R`` and kin.

    Raises:
        InputError: parts without which nothing can move are missing; the message names them.
    """
    single: dict[str, str] = {}
    chain: dict[str, list[str]] = {"spine": [], "neck": []}
    for name in rig.names:  # parents come first, so chains come out in order and the topmost bone wins
        part, side = _part_and_side(name)
        if part is None:
            continue
        if part in chain:
            if not side:
                chain[part].append(name)
        elif part in _MIDDLE:
            if not side:
                single.setdefault(part, name)
        elif side:
            single.setdefault(f"{side}_{part}", name)
    missing = ["hips"] if "hips" not in single else []
    missing += [f"{side}_{part}" for part in _REQUIRED for side in ("left", "right") if f"{side}_{part}" not in single]
    if missing:
        raise InputError(
            f"This armature cannot be mapped: no bone was found for {', '.join(m.replace('_', ' ') for m in missing)}.",
            "Use an armature with Mixamo, HumanIK, Unreal or .L/.R bone names, or make a new one.",
            "rig-unmapped",
        )
    return BoneMap(single, tuple(chain["spine"]), tuple(chain["neck"]))


def _part_and_side(bone: str) -> tuple[str | None, str]:
    name = bone.rsplit(":", 1)[-1]
    side = ""
    if match := _SIDE_WORD.search(name):
        side = next(group for group in match.groups() if group).lower()
        name = name[: match.start()] + name[match.end() :]
    elif match := _SIDE_LETTER.search(name):
        side = {"l": "left", "r": "right"}[next(group for group in match.groups() if group).lower()]
        name = name[: match.start()] + name[match.end() :]
    plain = re.sub(r"[ _.-]", "", name).lower()
    part = _PART_OF.get(plain) or _PART_OF.get(re.sub(r"\d+$", "", plain))
    return part, side
