# SPDX-License-Identifier: GPL-3.0-or-later
"""One body under every naming convention: its bones in a T-pose or an A-pose, and what a bone map must say of them."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[2] / "shared"

Array = NDArray[np.floating]
Bones = dict[str, tuple[str | None, Array, Array]]
"""Bone name -> parent, head, tail; parents first, metres, Z up, facing -Y."""

SIDES = ("left", "right")
LIMB_PARTS = ("shoulder", "upper_arm", "forearm", "hand", "upper_leg", "lower_leg", "foot", "toe")
FINGERS = ("thumb", "index", "middle", "ring", "little")
MPFB = ("default", "cmu_mb", "game_engine", "mixamo", "openpose")


@dataclass(frozen=True)
class Naming:
    """Names of the body's bones; % is the side, # the number of a finger's bone.

    Attributes:
        convention: what the map must call it.
        sides: what stands for left and right.
        hips, head, root: names; empty when there is none.
        spine, neck: names from below.
        limbs: of `LIMB_PARTS`, - for none.
        fingers: of `FINGERS`, - for none.
        numbers: of a finger's bones.
        twist: part -> where its bones are (``chain`` or ``leaf``) and their names, near to far.
        between: part -> bones that lie between it and what carries it.
        ends: parent -> leaf that only marks an end.
    """

    convention: str
    sides: str
    hips: str
    spine: str
    neck: str
    head: str
    limbs: str
    fingers: str = ""
    root: str = ""
    numbers: tuple[str, ...] = ("1", "2", "3")
    twist: dict[str, tuple[str, str]] = field(default_factory=dict)
    between: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)


_HUMANIK = "%Shoulder %Arm %ForeArm %Hand %UpLeg %Leg %Foot %ToeBase"
_HAND = "%HandThumb# %HandIndex# %HandMiddle# %HandRing# %HandPinky#"
_UNREAL = "clavicle_% upperarm_% lowerarm_% hand_% thigh_% calf_% foot_% ball_%"
_UNREAL_HAND = "thumb_0#_% index_0#_% middle_0#_% ring_0#_% pinky_0#_%"
_SHORT_HAND = "%Thumb# %Index# %Mid# %Ring# %Pinky#"


def _prefixed(prefix: str, names: str) -> str:
    return " ".join(name if name == "-" else prefix + name for name in names.split())


def _twists(names: str, where: str = "leaf") -> dict[str, tuple[str, str]]:
    parts = ("upper_arm", "forearm", "upper_leg", "lower_leg")
    return {p: (where, n.replace("+", " ")) for p, n in zip(parts, names.split(), strict=True) if n != "-"}


def _cc(names: str) -> str:
    return _prefixed("CC_Base_", names)


NAMINGS: dict[str, Naming] = {
    "mixamo": Naming(
        "mixamo", "Left Right", "mixamorig:Hips", _prefixed("mixamorig:", "Spine Spine1 Spine2"), "mixamorig:Neck",
        "mixamorig:Head", _prefixed("mixamorig:", _HUMANIK), _prefixed("mixamorig:", _HAND),
        numbers=("1", "2", "3", "4"), ends={"mixamorig:Head": "mixamorig:HeadTop_End"},
    ),
    "humanik": Naming(
        "humanik", "Left Right", "Character1_Hips", _prefixed("Character1_", "Spine Spine1 Spine2 Spine3"),
        _prefixed("Character1_", "Neck Neck1"), "Character1_Head", _prefixed("Character1_", _HUMANIK),
        _prefixed("Character1_", _HAND), root="Character1_Reference",
        twist=_twists("Character1_%ArmRoll Character1_%ForeArmRoll Character1_%UpLegRoll Character1_%LegRoll"),
    ),
    "motionbuilder": Naming("humanik", "Left Right", "Hips", "Spine Spine1", "Neck", "Head", _HUMANIK),
    "cmu": Naming(
        "cmu", "Left Right", "Hips", "LowerBack Spine Spine1", "Neck Neck1", "Head", _HUMANIK,
        "- %HandIndex# - - -", numbers=("1",), between={"upper_leg": "%1HipJoint"},
    ),
    "biped": Naming(
        "biped", "L R", "Bip01 Pelvis", "Bip01_Spine Bip01_Spine1 Bip01_Spine2", "Bip01_Neck", "Bip01 Head",
        _prefixed("Bip01_", "%_Clavicle %_UpperArm %_Forearm %_Hand %_Thigh %_Calf %_Foot %_Toe0"),
        _prefixed("Bip01_", "%_Finger0# %_Finger1# %_Finger2# %_Finger3# %_Finger4#"), root="Bip01",
        numbers=("", "1", "2"), twist=_twists("Bip01_%_UpArmTwist Bip01_%_ForeTwist - -"),
    ),
    "unreal 4": Naming(
        "unreal", "l r", "pelvis", "spine_01 spine_02 spine_03", "neck_01", "head", _UNREAL, _UNREAL_HAND, root="root",
        twist=_twists("upperarm_twist_01_% lowerarm_twist_01_% thigh_twist_01_% calf_twist_01_%"),
    ),
    "unreal 5": Naming(
        "unreal", "l r", "pelvis", "spine_01 spine_02 spine_03 spine_04 spine_05", "neck_01 neck_02", "head", _UNREAL,
        _UNREAL_HAND, root="root",
        twist=_twists(
            "upperarm_twist_01_%+upperarm_twist_02_% lowerarm_twist_02_%+lowerarm_twist_01_% "
            "thigh_twist_01_%+thigh_twist_02_% calf_twist_02_%+calf_twist_01_%"
        ),
    ),
    "unity": Naming(
        "unity", "Left Right", "Hips", "Spine Chest UpperChest", "Neck", "Head",
        "%Shoulder %UpperArm %LowerArm %Hand %UpperLeg %LowerLeg %Foot %Toes",
        "%Thumb# %Index# %Middle# %Ring# %Little#", numbers=("Proximal", "Intermediate", "Distal"),
    ),
    "vroid": Naming(
        "vrm", "L R", "J_Bip_C_Hips", _prefixed("J_Bip_C_", "Spine Chest UpperChest"), "J_Bip_C_Neck", "J_Bip_C_Head",
        _prefixed("J_Bip_%_", "Shoulder UpperArm LowerArm Hand UpperLeg LowerLeg Foot ToeBase"),
        _prefixed("J_Bip_%_", "Thumb# Index# Middle# Ring# Little#"), root="Root",
    ),
    "daz genesis 8": Naming(
        "daz", "l r", "hip", "abdomenLower abdomenUpper chestLower chestUpper", "neckLower neckUpper", "head",
        "%Collar %ShldrBend %ForearmBend %Hand %ThighBend %Shin %Foot %Toe", _SHORT_HAND,
        twist=_twists("%ShldrTwist %ForearmTwist %ThighTwist -", "chain"),
        between={"upper_leg": "pelvis", "toe": "%Metatarsals"},
    ),
    "daz genesis 9": Naming(
        "daz-9", "l r", "hip", "spine1 spine2 spine3 spine4", "neck1 neck2", "head",
        "%_shoulder %_upperarm %_forearm %_hand %_thigh %_shin %_foot %_toes",
        "%_thumb# %_index# %_mid# %_ring# %_pinky#", between={"upper_leg": "pelvis"},
        twist=_twists(
            "%_upperarmtwist1+%_upperarmtwist2 %_forearmtwist1+%_forearmtwist2 %_thightwist1+%_thightwist2 -"
        ),
    ),
    "character creator": Naming(
        "character-creator", "L R", "CC_Base_Hip", _cc("Waist Spine01 Spine02"), _cc("NeckTwist01 NeckTwist02"),
        "CC_Base_Head", _cc("%_Clavicle %_Upperarm %_Forearm %_Hand %_Thigh %_Calf %_Foot %_ToeBase"),
        _cc(_SHORT_HAND.replace("%", "%_")), root="CC_Base_BoneRoot", between={"upper_leg": "CC_Base_Pelvis"},
        twist=_twists(
            "CC_Base_%_UpperarmTwist01+CC_Base_%_UpperarmTwist02 CC_Base_%_ForearmTwist01+CC_Base_%_ForearmTwist02 "
            "CC_Base_%_ThighTwist01+CC_Base_%_ThighTwist02 CC_Base_%_CalfTwist01+CC_Base_%_CalfTwist02"
        ),
    ),
    "auto-rig pro": Naming(
        "auto-rig-pro", "l r", "root.x", "spine_01.x spine_02.x spine_03.x", "neck.x", "head.x",
        "shoulder.% arm_stretch.% forearm_stretch.% hand.% thigh_stretch.% leg_stretch.% foot.% toes_01.%",
        "c_thumb#.% c_index#.% c_middle#.% c_ring#.% c_pinky#.%",
        twist=_twists("arm_twist.% forearm_twist.% thigh_twist.% leg_twist.%"),
    ),
    "rigify's deform bones": Naming(
        "rigify-metarig", "L R", "DEF-spine", _prefixed("DEF-", "spine.001 spine.002 spine.003"),
        _prefixed("DEF-", "spine.004 spine.005"), "DEF-spine.006",
        _prefixed("DEF-", "shoulder.% upper_arm.% forearm.% hand.% thigh.% shin.% foot.% toe.%"),
        _prefixed("DEF-", "thumb.0#.% f_index.0#.% f_middle.0#.% f_ring.0#.% f_pinky.0#.%"), root="root",
        twist=_twists("DEF-upper_arm.%.001 DEF-forearm.%.001 DEF-thigh.%.001 DEF-shin.%.001", "chain"),
    ),
    "biovision": Naming(
        "biovision", "Left Right", "Hips", "Chest Chest2", "Neck", "Head",
        "%Collar %Shoulder %Elbow %Wrist %Hip %Knee %Ankle %Toe", ends={"Head": "Head_End"},
    ),
    "smpl": Naming(
        "biovision", "L R", "Pelvis", "Spine1 Spine2 Spine3", "Neck", "Head",
        "%_Collar %_Shoulder %_Elbow %_Wrist %_Hip %_Knee %_Ankle %_Foot",
    ),
    "vrchat": Naming(
        "vrchat", "Left Right", "Hips", "Spine Chest", "Neck", "Head",
        "%_shoulder %_arm %_elbow %_wrist %_leg %_knee %_ankle %_toe", root="Armature",
    ),
    "a mixture": Naming(
        "unknown", "L R", "myguy_pelvis_jnt", "myguy_spine_01_jnt myguy_spine_02_jnt", "myguy_neck_jnt",
        "myguy_head_jnt",
        "myguy_%_clavicle_jnt myguy_%_upArm_jnt myguy_%_lowerArm_jnt myguy_%_wrist_jnt "
        "myguy_%_thigh_jnt myguy_%_knee_jnt myguy_%_ankle_jnt myguy_%_ball_jnt",
    ),
}  # fmt: skip

_MIDDLE = [  # heights and depths of hips, chest's top, neck's top, crown
    np.array([0.0, 0.01, 0.98]), np.array([0.0, 0.03, 1.46]), np.array([0.0, 0.0, 1.56]), np.array([0.0, 0.0, 1.78]),
]  # fmt: skip
_LEFT = {  # heads of the left limbs' bones, then their last tail
    "arm": np.array([[0.03, 0, 1.44], [0.18, 0.02, 1.45], [0.46, 0.04, 1.45], [0.72, 0.02, 1.45], [0.82, 0.02, 1.45]]),
    "leg": np.array([[0.1, 0.01, 0.93], [0.11, -0.01, 0.5], [0.11, 0.03, 0.09],
                     [0.12, -0.1, 0.02], [0.12, -0.16, 0.02]]),
}  # fmt: skip
_KNUCKLES = {"thumb": (0.03, -0.03), "index": (0.09, -0.02), "middle": (0.09, 0.0), "ring": (0.09, 0.02),
             "little": (0.08, 0.04)}  # fmt: skip


def body(naming: Naming, arms_down_degrees: float) -> Bones:
    """The body's bones under these names.

    Args:
        naming: names.
        arms_down_degrees: 0 is a T-pose, 45 an A-pose.
    """
    bones: Bones = {}

    def add(name: str, parent: str | None, head: Array, tail: Array) -> str:
        bones[name] = (parent, np.array(head), np.array(tail))
        return name

    hips, chest, neck, crown = _MIDDLE
    parent = add(naming.root, None, np.zeros(3), np.array([0, 0.2, 0])) if naming.root else None
    parent = add(naming.hips, parent, hips, hips + [0, 0, 0.08])
    tops = []
    for names, low, high in ((naming.spine, hips + [0, 0, 0.08], chest), (naming.neck, chest, neck)):
        chain = names.split()
        for n, name in enumerate(chain):
            step = (high - low) / len(chain)
            parent = add(name, parent, low + n * step, low + (n + 1) * step)
        tops.append(parent)
    add(naming.head, parent, neck, crown)
    for n, side in enumerate(naming.sides.split()):
        mirror = np.array([1 - 2 * n, 1, 1])
        _add_side(add, naming, side, tops[0], mirror, np.radians(arms_down_degrees))
    for end, leaf in naming.ends.items():
        add(leaf, end, bones[end][2], bones[end][2] + [0, 0, 0.1])
    return bones


def _add_side(add, naming: Naming, side: str, chest: str, mirror: Array, down: float) -> None:
    shoulder = _LEFT["arm"][1]
    turn = np.array([[np.cos(down), 0, np.sin(down)], [0, 1, 0], [-np.sin(down), 0, np.cos(down)]])
    arm = np.concatenate([_LEFT["arm"][:1], shoulder + (_LEFT["arm"][1:] - shoulder) @ turn.T]) * mirror
    names = naming.limbs.replace("%", side).split()
    for chain, parts, heads, parent in (
        (names[:4], LIMB_PARTS[:4], arm, chest),
        (names[4:], LIMB_PARTS[4:], _LEFT["leg"] * mirror, naming.hips),
    ):
        for n, (name, part) in enumerate(zip(chain, parts, strict=True)):
            if name == "-":
                continue
            if part in naming.between:
                between = naming.between[part].replace("%1", side[0]).replace("%", side)
                start = (heads[n] + heads[n - 1] * 3) / 4 if n else _MIDDLE[0]
                parent = add(between, parent, start, heads[n] if n else start - [0, 0, 0.08])
            where, extra = naming.twist.get(part, ("", ""))
            following = heads[n + 1]
            count = len(extra.split())
            steps = np.linspace(heads[n], following, count + 2)[1:]
            parent = limb = add(name, parent, heads[n], steps[0] if where == "chain" else following)
            for k, twist in enumerate(extra.replace("%", side).split()):
                hung = add(twist, parent if where == "chain" else limb, steps[k], steps[k + 1])
                parent = hung if where == "chain" else limb
        if parts[0] == "shoulder" and naming.fingers:
            hand = heads[3]
            for finger, pattern in zip(FINGERS, naming.fingers.replace("%", side).split(), strict=True):
                ahead, aside = _KNUCKLES[finger]
                above = parent
                for k, number in enumerate(naming.numbers if pattern != "-" else ()):
                    points = [hand + (turn @ np.array([ahead + 0.03 * m, aside, 0.0])) * mirror for m in (k, k + 1)]
                    above = add(pattern.replace("#", number), above, *points)


def expected(naming: Naming) -> dict[str, object]:
    """What a bone map must say, in the form of its `to_dict`, as far as it can be known from the naming."""
    single = {"hips": naming.hips, "head": naming.head}
    fingers, twist = {}, {}
    for side, word in zip(SIDES, naming.sides.split(), strict=True):
        names = naming.limbs.replace("%", word).split()
        single |= {f"{side}_{part}": name for part, name in zip(LIMB_PARTS, names, strict=True) if name != "-"}
        words = naming.fingers.replace("%", word).replace("#", naming.numbers[0]).split()
        fingers |= {f"{side}_{f}": name for f, name in zip(FINGERS, words, strict=False) if name != "-"}
        twist |= {f"{side}_{part}": names.replace("%", word).split() for part, (_, names) in naming.twist.items()}
    return {
        "convention": naming.convention,
        "root": naming.root,
        "single": single,
        "spine": naming.spine.split(),
        "neck": naming.neck.split(),
        "fingers": fingers,
        "twist": twist,
    }


def has_mpfb() -> bool:
    """Whether the CC0 body's rigs are at hand."""
    return (SHARED / "human").is_dir()


@functools.cache
def _human() -> tuple[Array, dict[str, list[int]]]:
    """Vertices (V, 3) in metres, standing on z = 0, and the vertices of the cubes that mark joints."""
    vertices: list[list[float]] = []
    cubes: dict[str, set[int]] = {}
    group = ""
    for line in (SHARED / "human" / "base.obj").read_text(encoding="utf-8").splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            vertices.append([float(value) for value in rest[:3]])
        elif word == "g":
            group = rest[0]
        elif word == "f" and group.startswith("joint-"):
            cubes.setdefault(group, set()).update(int(item.split("/")[0]) - 1 for item in rest)
    points = np.array(vertices)[:, [0, 2, 1]] * [0.1, -0.1, 0.1]
    points[:, 2] -= points[sorted(cubes["joint-ground"]), 2].mean()
    return points, {name: sorted(cube) for name, cube in cubes.items()}


def mpfb(kind: str) -> Bones:
    """One of the CC0 body's rigs, in its A-pose."""
    points, cubes = _human()
    values = json.loads((SHARED / "human" / f"rig.{kind}.json").read_text(encoding="utf-8"))
    entries = values.get("bones", values)

    def place(end: dict) -> Array:
        if end["strategy"] == "VERTEX":
            return points[end["vertex_index"]]
        return points[cubes[end["cube_name"]] if end["strategy"] == "CUBE" else end["vertex_indices"]].mean(axis=0)

    def depth(name: str) -> int:
        return 1 + depth(entries[name]["parent"]) if entries[name]["parent"] else 0

    return {
        name: (entries[name]["parent"] or None, place(entries[name]["head"]), place(entries[name]["tail"]))
        for name in sorted(entries, key=depth)
    }


def _sided(names: str) -> dict[str, str]:
    out = {}
    for part, name in zip((*LIMB_PARTS, *FINGERS), names.split(), strict=True):
        for side, (word, letter) in zip(SIDES, (("Left", "L"), ("Right", "R")), strict=True):
            if name != "-":
                out[f"{side}_{part}"] = name.replace("%", word).replace("@", letter).replace("~", letter.lower())
    return out


def expected_of_mpfb(kind: str) -> dict[str, object]:
    """The same for one of the CC0 body's rigs."""
    mixamo = "mixamorig:%Hand"
    convention, hips, head, spine, neck, names = {
        "default": (
            "makehuman", "root", "head", "spine05 spine04 spine03 spine02 spine01", "neck01 neck02 neck03",
            "clavicle.@ upperarm01.@ lowerarm01.@ wrist.@ upperleg01.@ lowerleg01.@ foot.@ toe3-1.@ "
            "finger1-1.@ finger2-1.@ finger3-1.@ finger4-1.@ finger5-1.@",
        ),
        "cmu_mb": (
            "cmu", "Hips", "Head", "LowerBack Spine Spine1", "Neck Neck1", f"{_HUMANIK} @Thumb %HandFinger1 - - -",
        ),
        "game_engine": (
            "unreal", "pelvis", "head", "spine_01 spine_02 spine_03", "neck_01",
            f"{_UNREAL} {_UNREAL_HAND}".replace("%", "~").replace("#", "1"),
        ),
        "mixamo": (
            "mixamo", "mixamorig:Hips", "mixamorig:Head", _prefixed("mixamorig:", "Spine Spine1 Spine2"),
            "mixamorig:Neck",
            f"{_prefixed('mixamorig:', _HUMANIK)} {mixamo}Thumb1 {mixamo}Index1 {mixamo}Middle1 {mixamo}Ring1 "
            f"{mixamo}Pinky1",
        ),
        "openpose": (
            "openpose", "MidHip", "Neck", "", "", "@Shoulder @Elbow @Wrist - @Knee @Ankle @BigToe - - - - - -",
        ),
    }[kind]  # fmt: skip
    parts = _sided(names)
    thick = ("upperarm", "lowerarm", "upperleg", "lowerleg") if kind == "default" else ()
    limbs = zip(("upper_arm", "forearm", "upper_leg", "lower_leg"), thick, strict=False)
    return {
        "convention": convention,
        "root": "Root" if kind == "game_engine" else "",
        "single": {"hips": hips, "head": head} | {p: n for p, n in parts.items() if p.split("_", 1)[1] in LIMB_PARTS},
        "spine": spine.split(),
        "neck": neck.split(),
        "fingers": {part: name for part, name in parts.items() if part.split("_", 1)[1] in FINGERS},
        "twist": {f"{side}_{limb}": [f"{name}02.{side[0].upper()}"] for limb, name in limbs for side in SIDES},
    }


def arms_raised(bones: Bones, upper_arms: dict[str, str], elbows: dict[str, str]) -> Bones:
    """The rig with its arms level: an A-pose becomes a T-pose.

    Args:
        bones: the rig.
        upper_arms, elbows: left and right bones whose heads are the shoulders and the elbows.
    """
    out = dict(bones)
    for side in SIDES:
        shoulder = bones[upper_arms[side]][1]
        along = bones[elbows[side]][1] - shoulder
        angle = np.arctan2(along[2], abs(along[0])) * (1 if along[0] > 0 else -1)
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        for name, (parent, head, tail) in bones.items():
            line: str | None = name
            while line is not None and line != upper_arms[side]:
                line = bones[line][0]
            if line is not None:
                out[name] = (parent, shoulder + turn @ (head - shoulder), shoulder + turn @ (tail - shoulder))
    return out
