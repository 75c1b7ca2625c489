# SPDX-License-Identifier: GPL-3.0-or-later
"""Names are understood as animators write them, and the hierarchy helps where they say too little."""

import json

import numpy as np
import pytest

from tests.core.retarget.rigs import a_pose, rig_of
from video_to_pose.retarget import BoneMap, map_bones
from video_to_pose.types import Rig


def rig_from(tree: dict[str, str | None]) -> Rig:
    names = list(tree)
    parents = tuple(names.index(parent) if parent else -1 for parent in tree.values())
    return Rig(tuple(names), parents, np.tile(np.eye(4), (len(names), 1, 1)), np.ones(len(names)))


def mirrored(tree: dict[str, str | None], left: str, right: str) -> dict[str, str | None]:
    other = {
        name.replace(left, right): parent.replace(left, right) if parent else None
        for name, parent in tree.items()
        if left in name
    }
    return {**tree, **other}


CMU = mirrored(
    {
        **{"Hips": None, "LowerBack": "Hips", "Spine": "LowerBack", "Spine1": "Spine", "Neck": "Spine1"},
        **{"Neck1": "Neck", "Head": "Neck1", "LeftShoulder": "Spine1", "LeftArm": "LeftShoulder"},
        **{"LeftForeArm": "LeftArm", "LeftHand": "LeftForeArm", "LeftHandIndex1": "LeftHand", "LThumb": "LeftHand"},
        **{"LHipJoint": "Hips", "LeftUpLeg": "LHipJoint", "LeftLeg": "LeftUpLeg", "LeftFoot": "LeftLeg"},
        "LeftToeBase": "LeftFoot",
    },
    "Left",
    "Right",
)
RIGIFY = mirrored(
    {
        **{"spine": None, "spine.001": "spine", "spine.002": "spine.001", "spine.003": "spine.002"},
        **{"spine.004": "spine.003", "spine.005": "spine.004", "spine.006": "spine.005", "pelvis.L": "spine"},
        **{"shoulder.L": "spine.003", "upper_arm.L": "shoulder.L", "forearm.L": "upper_arm.L", "hand.L": "forearm.L"},
        **{"thigh.L": "spine", "shin.L": "thigh.L", "foot.L": "shin.L", "toe.L": "foot.L", "heel.02.L": "foot.L"},
    },
    ".L",
    ".R",
)
BIPED = mirrored(
    {
        **{"Bip01": None, "Bip01 Pelvis": "Bip01", "Bip01 Spine": "Bip01 Pelvis", "Bip01 Spine1": "Bip01 Spine"},
        **{"Bip01 Neck": "Bip01 Spine1", "Bip01 Head": "Bip01 Neck", "Bip01 L Clavicle": "Bip01 Neck"},
        **{"Bip01 L UpperArm": "Bip01 L Clavicle", "Bip01 L Forearm": "Bip01 L UpperArm"},
        **{"Bip01 L Hand": "Bip01 L Forearm", "Bip01 L Thigh": "Bip01 Pelvis", "Bip01 L Calf": "Bip01 L Thigh"},
        **{"Bip01 L Foot": "Bip01 L Calf", "Bip01 L Toe0": "Bip01 L Foot"},
    },
    " L ",
    " R ",
)
VRM = mirrored(
    {
        **{"Root": None, "J_Bip_C_Hips": "Root", "J_Bip_C_Spine": "J_Bip_C_Hips", "J_Bip_C_Chest": "J_Bip_C_Spine"},
        **{"J_Bip_C_Neck": "J_Bip_C_Chest", "J_Bip_C_Head": "J_Bip_C_Neck", "J_Bip_L_Shoulder": "J_Bip_C_Chest"},
        **{"J_Bip_L_UpperArm": "J_Bip_L_Shoulder", "J_Bip_L_LowerArm": "J_Bip_L_UpperArm"},
        **{"J_Bip_L_Hand": "J_Bip_L_LowerArm", "J_Bip_L_UpperLeg": "J_Bip_C_Hips"},
        **{"J_Bip_L_LowerLeg": "J_Bip_L_UpperLeg", "J_Bip_L_Foot": "J_Bip_L_LowerLeg"},
        "J_Bip_L_ToeBase": "J_Bip_L_Foot",
    },
    "_L_",
    "_R_",
)
RIGS = {  # tree, hips, spine, neck, head, left parts from shoulder to hand and from upper leg to toe
    "CMU": (CMU, "Hips", ("LowerBack", "Spine", "Spine1"), ("Neck", "Neck1"), "Head"),
    "Rigify": (RIGIFY, "spine", ("spine.001", "spine.002", "spine.003"), ("spine.004", "spine.005"), "spine.006"),
    "Biped": (BIPED, "Bip01 Pelvis", ("Bip01 Spine", "Bip01 Spine1"), ("Bip01 Neck",), "Bip01 Head"),
    "VRM": (VRM, "J_Bip_C_Hips", ("J_Bip_C_Spine", "J_Bip_C_Chest"), ("J_Bip_C_Neck",), "J_Bip_C_Head"),
}
SIDED = ("shoulder", "upper_arm", "forearm", "hand", "upper_leg", "lower_leg", "foot", "toe")


@pytest.mark.parametrize("kind", RIGS)
def test_trunk_and_all_limbs_are_found(kind):
    tree, hips, spine, neck, head = RIGS[kind]
    found = map_bones(rig_from(tree))
    assert (found.single["hips"], found.spine, found.neck, found.single["head"]) == (hips, spine, neck, head)
    sides = {f"{side}_{part}" for side in ("left", "right") for part in SIDED}
    assert set(found.single) == {"hips", "head", *sides}
    assert len(set(found.single.values())) == len(found.single)


def test_mixamo_bones_are_found_under_any_prefix():
    for prefix in ("mixamorig:", "mixamorig7:", "some:mixamorig:", "Character1_"):
        tree = {prefix + name: parent and prefix + parent for name, parent in CMU.items()}
        assert map_bones(rig_from(tree)).single["left_forearm"] == prefix + "LeftForeArm"


def test_twist_bones_and_a_root_bone_play_no_part():
    found = map_bones(rig_of(a_pose()))
    assert found.single["hips"] == "pelvis" and found.single["left_upper_arm"] == "upperarm_l"
    assert not {"root", "upperarm_twist_01_l", "index_01_l"} & {*found.single.values(), *found.spine, *found.neck}


def test_a_map_survives_json():
    found = map_bones(rig_of(a_pose()))
    again = BoneMap.from_dict(json.loads(json.dumps(found.to_dict())))
    assert (dict(again.single), again.spine, again.neck) == (dict(found.single), found.spine, found.neck)


@pytest.mark.parametrize(
    "change", [{"single": {"tail": "Tail"}}, {"single": {"hips": "Hips"}}], ids=["a part too many", "parts missing"]
)
def test_a_map_that_cannot_be_used_is_not_made(change):
    with pytest.raises(ValueError, match=r"tail|left_upper_arm"):
        BoneMap.from_dict({"single": {}, "spine": [], "neck": [], **change})
