# SPDX-License-Identifier: GPL-3.0-or-later
"""How programs want a BVH: joint names, joints that must be there, channel order, a rest pose in front.

A profile renames what a `BoneMap` knows of a rig and puts in, rigid, the joints that the program expects and the rig
lacks. Bones that the map does not know keep their names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..retarget.bone_map import BoneMap
from ..types import Rig

_SIDES = {"left": "Left", "right": "Right"}
_HUMAN_IK = {  # part -> name after the side
    "shoulder": "Shoulder",
    "upper_arm": "Arm",
    "forearm": "ForeArm",
    "hand": "Hand",
    "upper_leg": "UpLeg",
    "lower_leg": "Leg",
    "foot": "Foot",
    "toe": "ToeBase",
}
_FINGERS = {"thumb": "Thumb", "index": "Index", "middle": "Middle", "ring": "Ring", "little": "Pinky"}


@dataclass(frozen=True)
class BvhProfile:
    """What one program expects.

    Attributes:
        label: for people.
        spine: names of the spine bones upwards; empty keeps all of the rig's own names.
        neck: names of the neck bones upwards.
        least_spine, least_neck: so many must be there; what a rig lacks is put in as rigid joints.
        whole_set: put in the hip joints and the stumps of fingers that CMU's files have.
        from_hips: the file starts at the hips, whatever carries them.
        channels: one of `settings.BVH_CHANNELS`.
        reference_frame: one of `settings.REFERENCE_FRAMES`.
    """

    label: str
    spine: tuple[str, ...] = ()
    neck: tuple[str, ...] = ()
    least_spine: int = 0
    least_neck: int = 0
    whole_set: bool = False
    from_hips: bool = False
    channels: str = "ZXY"
    reference_frame: str = "none"


BVH_PROFILES: dict[str, BvhProfile] = {
    "plain": BvhProfile("Plain: the rig's own names"),
    "motionbuilder": BvhProfile(
        "MotionBuilder: HumanIK names, the T-pose first",
        spine=("Spine", *(f"Spine{n}" for n in range(1, 10))),
        neck=("Neck", *(f"Neck{n}" for n in range(1, 10))),
        from_hips=True,
        reference_frame="rest",
    ),
    "cmu": BvhProfile(
        "CMU: names and joints of the CMU motion capture files",
        spine=("LowerBack", "Spine", *(f"Spine{n}" for n in range(1, 10))),
        neck=("Neck", *(f"Neck{n}" for n in range(1, 10))),
        least_spine=3,
        least_neck=2,
        whole_set=True,
        from_hips=True,
        channels="ZYX",
        reference_frame="rest",
    ),
}


@dataclass(eq=False)
class Joint:
    """A joint of the file: a bone of the rig, or one put in that moves rigidly with a bone.

    Attributes:
        name: as written.
        bone: the rig's bone it turns with.
        place: (3,) at rest, armature space.
        children: joints below it.
        end: (3,) of the end site at rest, where there are no children.
        rigid: put in: turns not at all against its parent.
    """

    name: str
    bone: int
    place: NDArray[np.float64]
    children: list[Joint] = field(default_factory=list)
    end: NDArray[np.float64] | None = None
    rigid: bool = False

    def walk(self) -> list[Joint]:
        """This joint and all below, as a file lists them."""
        return [self, *(joint for child in self.children for joint in child.walk())]


def joint_tree(rig: Rig, root: int, profile: BvhProfile, bone_map: BoneMap | None) -> Joint:
    """The joints to write, from a bone downwards.

    Args:
        rig: whose bones they are.
        root: the bone the file starts at.
        profile: names and joints wanted.
        bone_map: the rig's parts; without it all names are kept.
    """
    known = bone_map is not None and bool(profile.spine)
    names = joint_names(rig, profile, bone_map) if known and bone_map is not None else _spaceless(rig.names)
    joints = [Joint(name, b, rig.rest[b, :3, 3]) for b, name in enumerate(names)]
    for b, parent in enumerate(rig.parents):
        if parent >= 0:
            joints[parent].children.append(joints[b])
    for b, joint in enumerate(joints):
        if not joint.children:
            joint.end = rig.rest[b, :3, 3] + rig.rest[b, :3, 1] * rig.lengths[b]
    if known and bone_map is not None:
        _complete(rig, joints, profile, bone_map)
    return joints[root]


def joint_names(rig: Rig, profile: BvhProfile, bone_map: BoneMap) -> list[str]:
    """A profile's name for each of the rig's bones, the rig's own for those the map does not know; all different."""
    given: dict[str, str] = {}
    for part, bone in bone_map.single.items():
        side, _, limb = part.partition("_")
        given[bone] = _SIDES[side] + _HUMAN_IK[limb] if side in _SIDES else part.capitalize()
    given |= dict(zip(bone_map.spine, profile.spine, strict=False))
    given |= dict(zip(bone_map.neck, profile.neck, strict=False))
    for finger, bone in bone_map.fingers.items():
        side, _, kind = finger.partition("_")
        for n, link in enumerate(_only_children(rig, bone), start=1):
            given[link] = f"{_SIDES[side]}Hand{_FINGERS[kind]}{n}"
    names = [given.get(bone) for bone in rig.names]
    taken = set(filter(None, names))
    for b, own in enumerate(_spaceless(rig.names)):
        if names[b] is None:
            while own in taken:
                own += "_"
            names[b] = own
            taken.add(own)
    return [name for name in names if name is not None]


def _only_children(rig: Rig, bone: str) -> list[str]:
    """A bone and those after it, as far as the chain does not fork."""
    chain = [rig.names.index(bone)]
    while len(below := [b for b, parent in enumerate(rig.parents) if parent == chain[-1]]) == 1:
        chain += below
    return [rig.names[b] for b in chain]


def _spaceless(names: tuple[str, ...]) -> list[str]:
    """Names without white space, at which most readers cut a name off; all different."""
    out: list[str] = []
    for name in names:
        name = re.sub(r"\s", "_", name)
        while name in out:
            name += "_"
        out.append(name)
    return out


def _complete(rig: Rig, joints: list[Joint], profile: BvhProfile, bone_map: BoneMap) -> None:
    """Put in what the program expects and the rig lacks."""

    def joint(bone: str) -> Joint:
        return joints[rig.names.index(bone)]

    single = bone_map.single
    if bone_map.spine and len(bone_map.spine) < profile.least_spine:
        chest = joint(bone_map.spine[-1])
        above = bone_map.neck[0] if bone_map.neck else single.get("head")
        if above is not None:
            place = joint(above).place
            for name in profile.spine[len(bone_map.spine) : profile.least_spine]:
                chest = _put_in(name, chest, list(chest.children), place)
    if bone_map.neck and "head" in single and len(bone_map.neck) < profile.least_neck:
        below, head = joint(bone_map.neck[-1]), joint(single["head"])
        missing = profile.neck[len(bone_map.neck) : profile.least_neck]
        step = (head.place - below.place) / (len(missing) + 1)
        for name in missing:
            below = _put_in(name, below, list(below.children), below.place + step)
    if profile.whole_set:
        hips = joint(single["hips"])
        for side, letter in (("left", "L"), ("right", "R")):
            leg = joint(single[f"{side}_upper_leg"])
            if leg in hips.children:
                _put_in(f"{letter}HipJoint", hips, [leg], hips.place)
            hand = single.get(f"{side}_hand")
            if hand is not None and not joint(hand).children:
                _finger_stumps(joint(hand), side, letter)


def _put_in(name: str, parent: Joint, children: list[Joint], place: NDArray[np.float64]) -> Joint:
    """A rigid joint between a joint and some of its children."""
    joint = Joint(name, parent.bone, place, children, rigid=True)
    at = min(parent.children.index(child) for child in children) if children else len(parent.children)
    parent.children = [child for child in parent.children if child not in children]
    parent.children.insert(at, joint)
    if not children:
        joint.end, parent.end = parent.end, None
    return joint


def _finger_stumps(hand: Joint, side: str, letter: str) -> None:
    """Finger base, index and thumb as CMU's hands have them, in their proportions."""
    if hand.end is None:
        return
    along = hand.end - hand.place
    base = _put_in(f"{_SIDES[side]}FingerBase", hand, [], hand.place)
    _put_in(f"{_SIDES[side]}HandIndex1", base, [], hand.place + 0.55 * along)
    front = np.array([0.0, -1.0, 0.0]) * np.linalg.norm(along)
    thumb = Joint(f"{letter}Thumb", hand.bone, hand.place, end=hand.place + 0.45 * (along + front), rigid=True)
    hand.children.append(thumb)
