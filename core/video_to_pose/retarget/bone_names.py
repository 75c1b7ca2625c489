# SPDX-License-Identifier: GPL-3.0-or-later
"""What animators call the bones of a person: one table a naming convention, read by `bone_map`.

Names in the tables are without prefix, side and punctuation, lower case (`plain_name` gives both name and side), so
``mixamorig:LeftForeArm``, ``forearm.L`` and ``CC_Base_L_Forearm`` are all ``forearm`` on the left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

SIDES = ("left", "right")
MIDDLE_PARTS = ("hips", "head")
SIDED_PARTS = ("shoulder", "upper_arm", "forearm", "hand", "upper_leg", "lower_leg", "foot", "toe")
FINGERS = ("thumb", "index", "middle", "ring", "little")
LIMBS = {"upper_arm": "forearm", "forearm": "hand", "upper_leg": "lower_leg", "lower_leg": "foot"}
"""Part with twist bones -> the part that begins where it ends."""

NEEDED = ("hips",) + tuple(
    f"{side}_{part}" for part in ("upper_arm", "forearm", "upper_leg", "lower_leg") for side in SIDES
)
"""Parts without which nothing can move."""

NO_TURN = re.compile(r"(end|nub|tip|site|leaf|dummy|null|effector)\d*$")
"""Plain names of bones that only mark where another one ends."""

TWIST = re.compile(r"twist|roll")
"""In plain names of bones that share a limb's twist."""


@dataclass(frozen=True)
class Convention:
    """One way of naming the bones of a person.

    Attributes:
        name: what the convention is called.
        parts: ``hips``, ``head`` and the sided parts (without their side) -> names, the likeliest first.
        spine, neck: regular expressions that a name must match wholly.
        fingers: thumb ... little -> names of the first bones.
        root: names of the bone that carries all.
        mark: regular expression found in at least one of the bones' full names; empty when there is none.
        prefix: regular expression cut off the full names' beginning.
        controls: IK controls: ``hand``, ``foot``, ``toe``, and the poles ``elbow``, ``knee`` -> names.
        switches: (bone, property, value for FK, value for IK); ``{side}`` in bones stands for L or R.
    """

    name: str
    parts: Mapping[str, Sequence[str]]
    spine: str = r"spine\d*"
    neck: str = r"neck\d*"
    fingers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    root: Sequence[str] = ("root",)
    mark: str = ""
    prefix: str = ""
    controls: Mapping[str, Sequence[str]] = field(default_factory=dict)
    switches: Sequence[tuple[str, str, float, float]] = ()


def _parts(names: str, **others: str) -> dict[str, tuple[str, ...]]:
    """Names of hips, head and the sided parts, in this order; alternatives are parted by a stroke, - is none."""
    keys = (*MIDDLE_PARTS, *SIDED_PARTS)
    found = dict(zip(keys, names.split(), strict=True)) | others
    return {part: tuple(name.split("|")) for part, name in found.items() if name != "-"}


def _fingers(names: str) -> dict[str, tuple[str, ...]]:
    return {finger: tuple(name.split("|")) for finger, name in zip(FINGERS, names.split(), strict=True) if name != "-"}


_HUMANIK = "hips head shoulder arm forearm hand upleg leg foot toebase"
_HAND_FINGERS = _fingers("handthumb1 handindex1 handmiddle1 handring1 handpinky1")

CONVENTIONS: tuple[Convention, ...] = (  # the first of two that fit alike wins: the narrower stand before the wider
    Convention(
        "rigify",
        _parts("torso head shoulder upperarmfk forearmfk handfk thighfk shinfk footfk toefk|toe"),
        spine=r"spinefk\d*|chestfk\d*",
        neck=r"neck\d*",
        fingers=_fingers("thumb01 findex01 fmiddle01 fring01 fpinky01"),
        mark=r"^upper_arm_parent\.",
        controls={
            **{"hand": ("handik",), "foot": ("footik",), "toe": ("toeik",)},
            **{"elbow": ("upperarmiktarget",), "knee": ("thighiktarget",)},
        },
        switches=(
            ("upper_arm_parent.{side}", "IK_FK", 1.0, 0.0),
            ("upper_arm_parent.{side}", "FK_limb_follow", 0.0, 0.0),
            ("upper_arm_parent.{side}", "pole_vector", 0.0, 1.0),
            ("thigh_parent.{side}", "IK_FK", 1.0, 0.0),
            ("thigh_parent.{side}", "FK_limb_follow", 0.0, 0.0),
            ("thigh_parent.{side}", "pole_vector", 0.0, 1.0),
            ("torso", "neck_follow", 1.0, 1.0),
            ("torso", "head_follow", 1.0, 1.0),
        ),
    ),
    Convention(
        "rigify-metarig",
        _parts("spine - shoulder upperarm forearm hand thigh shin foot toe"),
        neck="",
        fingers=_fingers("thumb01 findex01 fmiddle01 fring01 fpinky01"),
        mark=r"^(DEF-)?spine\.003$",
        prefix=r"DEF-",
    ),
    Convention("mixamo", _parts(_HUMANIK), fingers=_HAND_FINGERS, mark=r"mixamorig"),
    Convention(
        "cmu",
        _parts(_HUMANIK),
        spine=r"lowerback|spine\d*",
        fingers=_fingers("thumb handindex1|handfinger1 - - -"),
        mark=r"LHipJoint",
    ),
    Convention(
        "unreal",
        _parts("pelvis head clavicle upperarm lowerarm hand thigh calf foot ball"),
        fingers=_fingers("thumb01 index01 middle01 ring01 pinky01"),
    ),
    Convention(
        "makehuman",
        _parts("root head clavicle upperarm01 lowerarm01 wrist upperleg01 lowerleg01 foot toe31"),
        fingers=_fingers("finger11 finger21 finger31 finger41 finger51"),
        root=(),
    ),
    Convention(
        "auto-rig-pro",
        _parts("root head shoulder armstretch forearmstretch hand thighstretch legstretch foot toes01|toes"),
        fingers=_fingers("thumb1 index1 middle1 ring1 pinky1"),
        root=("traj", "rootmaster"),
        prefix=r"c_",
    ),
    Convention(
        "character-creator",
        _parts("hip head clavicle upperarm forearm hand thigh calf foot toebase"),
        spine=r"waist|spine\d*",
        neck=r"neck(twist)?\d*",
        fingers=_fingers("thumb1 index1 mid1 ring1 pinky1"),
        root=("boneroot",),
        mark=r"CC_Base_",
        prefix=r"(CC_Base|RL)_",
    ),
    Convention(
        "daz",
        _parts("hip head collar shldrbend|shldr forearmbend|forearm hand thighbend|thigh shin foot toe"),
        spine=r"abdomen\d*|abdomenlower|abdomenupper|chest|chestlower|chestupper",
        neck=r"neck|necklower|neckupper",
        fingers=_fingers("thumb1 index1 mid1 ring1 pinky1"),
    ),
    Convention(
        "daz-9",
        _parts("hip head shoulder upperarm forearm hand thigh shin foot toes"),
        fingers=_fingers("thumb1 index1 mid1 ring1 pinky1"),
    ),
    Convention(
        "vrm",
        _parts("hips head shoulder upperarm lowerarm hand upperleg lowerleg foot toebase"),
        spine=r"spine|chest|upperchest",
        fingers=_fingers("thumb1 index1 middle1 ring1 little1"),
        mark=r"J_Bip_",
        prefix=r"J_Bip_(C_)?",
    ),
    Convention(
        "unity",
        _parts("hips head shoulder upperarm lowerarm hand upperleg lowerleg foot toes|toe"),
        spine=r"spine|chest|upperchest",
        fingers={
            finger: (f"{finger}proximal", f"{finger}metacarpal" if finger == "thumb" else f"hand{finger}proximal")
            for finger in FINGERS
        },
    ),
    Convention(
        "biped",
        _parts("pelvis head clavicle upperarm forearm hand thigh calf foot toe0|toe"),
        fingers=_fingers("finger0 finger1 finger2 finger3 finger4"),
        root=("",),
        mark=r"^(ValveBiped\.)?Bip\d*",
        prefix=r"(ValveBiped\.)?Bip\d*[ _.]*",
    ),
    Convention(
        "humanik",
        _parts(_HUMANIK),
        fingers=_HAND_FINGERS,
        root=("reference", "root"),
    ),
    Convention(
        "openpose",  # its bones bear the name of the joint at their end
        _parts("midhip neck shoulder elbow wrist - knee ankle bigtoe -"),
        spine="",
        neck="",
        root=(),
    ),
    Convention(
        "biovision",
        _parts("hips|hip|pelvis head collar shoulder elbow wrist hip knee ankle toe|foot"),
        spine=r"chest\d*|spine\d*|torso",
    ),
    Convention(
        "vrchat",
        _parts("hips head shoulder arm elbow wrist leg knee ankle toe"),
        spine=r"spine|chest|upperchest",
        fingers=_fingers("thumb0 indexfinger1 middlefinger1 ringfinger1 littlefinger1"),
    ),
)

ANY = Convention(  # what the conventions have in common, for rigs that mix them
    "unknown",
    _parts(
        "hips|hip|pelvis head shoulder|clavicle|collar upperarm|uparm|arm|shldr|shldrbend "
        "forearm|lowerarm|forearmbend|elbow hand|wrist upleg|upperleg|thigh|thighbend "
        "lowerleg|shin|calf|leg|knee foot|ankle toe|toes|toebase|ball|toe0"
    ),
    spine=r"(spine|lowerback|back|abdomen|chest|upperchest|torso|waist|ribs|ribcage)\d*"
    r"|abdomenlower|abdomenupper|chestlower|chestupper|spine(lower|mid|middle|upper)",
    neck=r"neck\d*|necklower|neckupper",
    fingers={
        "thumb": ("thumb", "thumb1", "thumb01", "handthumb1", "thumbproximal"),
        **{
            finger: tuple(f"{p}{word}{n}" for word in words for p in ("", "hand", "f") for n in ("1", "01", "proximal"))
            for finger, words in {
                "index": ("index", "indexfinger"),
                "middle": ("middle", "mid", "middlefinger"),
                "ring": ("ring", "ringfinger"),
                "little": ("pinky", "little", "littlefinger", "pinkie"),
            }.items()
        },
    },
    root=("root", "reference", "armature", "master", "main", "global", "world", "trajectory"),
)

_NAMESPACE = re.compile(r"^.*[:|]")
_PREFIX = re.compile(r"^(Character\d*|Armature|bone|bn|b|jnt|jt|joint|bind|sk|skel)[ _.-]+", re.IGNORECASE)
_SUFFIX = re.compile(r"[ _.-]+(jnt|joint|bone|bn|bind|skin|def)$", re.IGNORECASE)
_MIDDLE = re.compile(r"[ _.-]+[xcm]$|^c[ _.-]+", re.IGNORECASE)
_SIDE = (
    re.compile(r"^(left|right)[ _.-]*", re.IGNORECASE),
    re.compile(r"[ _.-]*(left|right)(?=[ _.-]*\d*$)", re.IGNORECASE),
    re.compile(r"^(l|r)[ _.-]+", re.IGNORECASE),
    re.compile(r"[ _.-]+(l|r)(?=([ _.-]\d+)?$)", re.IGNORECASE),
    re.compile(r"^([lrLR])(?=[A-Z])"),
    re.compile(r"[ _.-](left|right|l|r)(?=[ _.-])", re.IGNORECASE),
)


@lru_cache(maxsize=16384)
def plain_name(bone: str, prefix: str = "") -> tuple[str, str]:
    """A bone's name without prefix, side and punctuation, lower case; and its side, empty in the middle.

    Args:
        bone: the full name.
        prefix: regular expression of what else is to be cut off the beginning.
    """
    name = _NAMESPACE.sub("", bone)
    name = re.sub(f"^({prefix})", "", name) if prefix else name
    name = _SUFFIX.sub("", _PREFIX.sub("", name))
    side = ""
    for pattern in _SIDE:
        match = pattern.search(name)
        if match is None:
            continue
        side = "left" if match.group(1)[0] in "lL" else "right"
        name = name[: match.start()] + name[match.end() :]
        break
    else:
        name = _MIDDLE.sub("", name)
    return re.sub(r"[^0-9a-z]", "", name.lower()), side


def shared_prefix(bones: Sequence[str]) -> str:
    """What nearly all bones begin with, up to a mark of punctuation, as a regular expression; empty when nothing."""
    names = [_NAMESPACE.sub("", bone) for bone in bones]
    counts: dict[str, int] = {}
    for name in names:
        for match in re.finditer(r"[ _.-]+", name):
            counts[name[: match.end()]] = counts.get(name[: match.end()], 0) + 1
    common = [start for start, count in counts.items() if count >= max(0.8 * len(names), 8)]
    return re.escape(max(common, key=len)) if common else ""
