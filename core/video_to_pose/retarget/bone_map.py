# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bone of a rig plays which part, found by names, and by the hierarchy where names say too little."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from ..errors import InputError
from ..types import Rig

_PARTS: dict[str, tuple[str, ...]] = {  # part -> names it goes by, without side, prefix and punctuation
    "hips": ("hips", "hip", "pelvis"),
    "spine": (
        *("spine", "lowerback", "abdomen", "chest", "upperchest", "torso", "waist"),
        *("abdomenlower", "abdomenupper", "chestlower", "chestupper"),
    ),
    "neck": ("neck", "necklower", "neckupper"),
    "head": ("head",),
    "shoulder": ("shoulder", "clavicle", "collar"),
    "upper_arm": ("arm", "upperarm", "shldr", "shldrbend", "uparm"),
    "forearm": ("forearm", "forearmbend", "lowerarm"),
    "hand": ("hand", "wrist"),
    "upper_leg": ("upleg", "thigh", "thighbend", "upperleg"),
    "lower_leg": ("leg", "calf", "shin", "lowerleg", "knee"),
    "foot": ("foot", "ankle"),
    "toe": ("toebase", "toe", "ball", "toes"),
}
_PART_OF = {name: part for part, names in _PARTS.items() for name in names}
_MIDDLE = ("hips", "spine", "neck", "head")
_SINGLE_MIDDLE = ("hips", "head")
_SIDED = tuple(part for part in _PARTS if part not in _MIDDLE)
_NEEDED = ("hips",) + tuple(
    f"{side}_{part}" for part in ("upper_arm", "forearm", "upper_leg", "lower_leg") for side in ("left", "right")
)

_PREFIX = re.compile(r"^.*:|^(Bip\d*|Character\d*|J_Bip)[ _.-]+(C_)?", re.IGNORECASE)
_SIDE_WORD = re.compile(r"^(left|right)[ _.-]*|[ _.-]*(left|right)$", re.IGNORECASE)
_SIDE_LETTER = re.compile(r"^([lrLR])[ _.-]+|[ _.-]([lrLR])$|^([lr])(?=[A-Z])")


@dataclass(frozen=True)
class Switch:
    """A custom property of a pose bone that chooses between turning a rig's own bones (FK) and pulling at its controls.

    Attributes:
        bone: pose bone that has the property.
        prop: the property's name; its data path is ``pose.bones["bone"]["prop"]``.
        fk: value with which the bones in `BoneMap.single` lead.
        ik: value with which the bones in `BoneMap.controls` lead.
    """

    bone: str
    prop: str
    fk: float
    ik: float


@dataclass(frozen=True, eq=False)
class BoneMap:
    """Parts and the rig's bones that play them.

    Attributes:
        single: part -> bone name: ``hips``, ``head`` and, after ``left_`` or ``right_``, ``shoulder``,
            ``upper_arm``, ``forearm``, ``hand``, ``upper_leg``, ``lower_leg``, ``foot``, ``toe``.
        spine: bones from above the hips up to the chest.
        neck: bones from above the chest up to below the head.
        root: bone above the hips that carries the whole rig, empty when there is none.
        twist: ``left_upper_arm``, ``left_forearm``, ``left_upper_leg``, ``left_lower_leg`` and the right ones -> the
            bones that share the limb's twist, near to far, whether they lie in the chain or are leaves beside it.
        fingers: ``left_thumb``, ``left_index``, ``left_middle``, ``left_ring``, ``left_little`` and the right ones ->
            the finger's first bone (the proximal phalanx; the thumb's first bone).
        controls: IK controls: ``left_hand``, ``left_foot``, the poles ``left_elbow`` and ``left_knee``, the right ones.
        switches: custom properties that choose whether `single` or `controls` lead.
        confidence: part (key of `single`, or ``spine``, ``neck``, ``root``) -> 0 ... 1.
        convention: whose names the rig bears, e.g. ``mixamo``, ``rigify``; ``unknown`` when nobody's.
    """

    single: Mapping[str, str]
    spine: tuple[str, ...]
    neck: tuple[str, ...]
    root: str = ""
    twist: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fingers: Mapping[str, str] = field(default_factory=dict)
    controls: Mapping[str, str] = field(default_factory=dict)
    switches: tuple[Switch, ...] = ()
    confidence: Mapping[str, float] = field(default_factory=dict)
    convention: str = "unknown"

    def __post_init__(self) -> None:
        for name in ("single", "fingers", "controls", "confidence"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "twist", MappingProxyType({limb: tuple(b) for limb, b in self.twist.items()}))
        object.__setattr__(self, "switches", tuple(self.switches))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "convention": self.convention,
            "root": self.root,
            "single": dict(self.single),
            "spine": list(self.spine),
            "neck": list(self.neck),
            "twist": {limb: list(bones) for limb, bones in self.twist.items()},
            "fingers": dict(self.fingers),
            "controls": dict(self.controls),
            "switches": [asdict(switch) for switch in self.switches],
            "confidence": dict(self.confidence),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BoneMap:
        """The map that `to_dict` wrote.

        Raises:
            ValueError: a part that there is not, or one that is missing.
        """
        parts = {*_SINGLE_MIDDLE, *(f"{side}_{part}" for side in ("left", "right") for part in _SIDED)}
        try:
            single, spine, neck = dict(values["single"]), tuple(values["spine"]), tuple(values["neck"])
        except KeyError as error:
            raise ValueError(f"a bone map needs {error}") from error
        if unknown := set(single) - parts:
            raise ValueError(f"unknown parts: {', '.join(sorted(unknown))}")
        if missing := [part for part in _NEEDED if part not in single]:
            raise ValueError(f"a bone map needs {', '.join(missing)}")
        try:
            switches = tuple(Switch(**switch) for switch in values.get("switches", ()))
        except TypeError as error:
            raise ValueError(f"a switch needs bone, prop, fk and ik: {error}") from error
        return cls(
            single,
            spine,
            neck,
            root=str(values.get("root", "")),
            twist={limb: tuple(bones) for limb, bones in values.get("twist", {}).items()},
            fingers=dict(values.get("fingers", {})),
            controls=dict(values.get("controls", {})),
            switches=switches,
            confidence=dict(values.get("confidence", {})),
            convention=str(values.get("convention", "unknown")),
        )


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
    if "left_upper_arm" in single and "right_upper_arm" in single:
        _part_one_chain(rig, single, chain)
    missing = [part for part in _NEEDED if part not in single]
    if missing:
        raise InputError(
            f"This armature cannot be mapped: no bone was found for {', '.join(m.replace('_', ' ') for m in missing)}.",
            "Use an armature with Mixamo, HumanIK, Unreal or .L/.R bone names, or make a new one.",
            "rig-unmapped",
        )
    return BoneMap(single, tuple(chain["spine"]), tuple(chain["neck"]))


def _part_one_chain(rig: Rig, single: dict[str, str], chain: dict[str, list[str]]) -> None:
    """Tell hips, neck and head from the spine by where legs and arms branch off, when names alone do not."""
    spine = chain["spine"]
    if "hips" not in single and "left_upper_leg" in single and "right_upper_leg" in single:
        hips = _fork(rig, single["left_upper_leg"], single["right_upper_leg"])
        if hips is not None:
            single["hips"] = hips
            chain["spine"] = spine = spine[spine.index(hips) + 1 :] if hips in spine else spine
    chest = _fork(rig, single["left_upper_arm"], single["right_upper_arm"])
    if chest in spine and not chain["neck"] and "head" not in single:
        above = spine[spine.index(chest) + 1 :]
        chain["spine"] = spine[: spine.index(chest) + 1]
        if above:
            single["head"], chain["neck"] = above[-1], above[:-1]


def _fork(rig: Rig, left: str, right: str) -> str | None:
    """Lowest bone that carries both."""

    def ancestors(name: str) -> list[int]:
        line = [rig.parents[rig.names.index(name)]]
        while line[-1] >= 0:
            line.append(rig.parents[line[-1]])
        return line[:-1]

    right_line = set(ancestors(right))
    return next((rig.names[b] for b in ancestors(left) if b in right_line), None)


def _part_and_side(bone: str) -> tuple[str | None, str]:
    name = _PREFIX.sub("", bone)
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
