# SPDX-License-Identifier: GPL-3.0-or-later
"""Names are understood as animators write them, and the hierarchy helps where they say too little."""

import dataclasses

import numpy as np
import pytest

from tests import namings
from tests.core.retarget.rigs import a_pose, rig_of
from video_to_pose.errors import InputError
from video_to_pose.retarget import BoneMap, map_bones
from video_to_pose.retarget.bone_map import Switch
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


POSES = {"T": 0.0, "A": 45.0}


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("kind", namings.NAMINGS)
def test_every_naming_is_mapped_wholly_and_surely(kind, pose):
    naming = namings.NAMINGS[kind]
    found = map_bones(rig_of(namings.body(naming, POSES[pose]), roll_seed=len(kind)))
    values, expected = found.to_dict(), namings.expected(naming)
    assert {key: values[key] for key in expected} == expected
    assert {*found.single, "spine"} <= set(found.confidence)
    assert min(found.confidence.values()) >= (0.8 if naming.convention == "unknown" else 1.0)


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("kind", namings.NAMINGS)
def test_unknown_names_are_mapped_by_shape_with_less_confidence(kind, pose):
    """Twist bones, marks of ends, bones between: shape tells them from joints."""
    naming = namings.NAMINGS[kind]
    rig = rig_of(namings.body(naming, POSES[pose]), roll_seed=1)
    found = map_bones(dataclasses.replace(rig, names=tuple(f"b{n}" for n in range(len(rig.names)))))
    true_name = {f"b{n}": name for n, name in enumerate(rig.names)}
    expected = namings.expected(naming)
    unsaid = {"left_toe", "right_toe"} if "toe" in naming.between else set()  # a bone before the toe looks like one
    single = {part: true_name[bone] for part, bone in found.single.items()}
    assert {p: b for p, b in single.items() if p not in unsaid} == {
        p: b for p, b in expected["single"].items() if p not in unsaid
    }
    assert [true_name[b] for b in found.spine] == expected["spine"]
    assert [true_name[b] for b in found.neck] == expected["neck"]
    assert true_name.get(found.root, "") == expected["root"]
    assert found.convention == "unknown" and max(found.confidence[part] for part in found.single) <= 0.5


@pytest.mark.skipif(not namings.has_mpfb(), reason="the CC0 body's files are not here")
@pytest.mark.parametrize("kind", namings.MPFB)
def test_rigs_of_the_makehuman_body_are_mapped(kind):
    values, expected = map_bones(rig_of(namings.mpfb(kind))).to_dict(), namings.expected_of_mpfb(kind)
    assert {key: values[key] for key in expected} == expected
    if kind == "openpose":
        assert values["beside_hips"] == ["LHip", "RHip"] and values["confidence"]["hips"] < 1
    if kind == "default":
        assert values["toes"]["left_toe"] == ["toe1-1.L", "toe2-1.L", "toe4-1.L", "toe5-1.L"]


@pytest.mark.parametrize("kind", ["unreal 5", "daz genesis 8"])
@pytest.mark.parametrize("axes", [(0, 2, 1), (1, 0, 2)], ids=["its bones lie down", "it faces sideways"])
def test_shape_tells_the_body_however_it_lies(kind, axes):
    turned = np.eye(3)[list(axes)] * [[1], [1], [-1]] if axes[0] == 0 else np.eye(3)[list(axes)] * [[1], [-1], [1]]
    naming = namings.NAMINGS[kind]
    bones = {name: (p, turned @ head, turned @ tail) for name, (p, head, tail) in namings.body(naming, 20).items()}
    rig = rig_of(bones)
    found = map_bones(dataclasses.replace(rig, names=tuple(f"b{n}" for n in range(len(rig.names)))))
    expected = namings.expected(naming)["single"]
    for part in ("hips", "head", "left_forearm", "right_lower_leg", "left_upper_leg", "right_hand"):
        assert rig.names[int(found.single[part][1:])] == expected[part]


def test_half_known_names_are_filled_up_by_shape():
    rig = rig_of(namings.body(namings.NAMINGS["unity"], 0))
    odd = {"LeftLowerArm": "Flügel", "Hips": "Wurzel", "RightUpperLeg": "Keule"}
    found = map_bones(dataclasses.replace(rig, names=tuple(odd.get(name, name) for name in rig.names)))
    assert found.single["left_forearm"] == "Flügel" and found.single["hips"] == "Wurzel"
    assert found.confidence["left_forearm"] < found.confidence["left_upper_arm"]


def test_names_whose_sides_are_exchanged_are_doubted():
    rig = rig_of(namings.body(namings.NAMINGS["unity"], 0))
    swap = {"Left": "Right", "Right": "Left"}
    names = tuple(next((swap[s] + n[len(s) :] for s in swap if n.startswith(s)), n) for n in rig.names)
    found = map_bones(dataclasses.replace(rig, names=names))
    assert found.confidence["left_forearm"] <= 0.5 < found.confidence["hips"]


def test_a_rig_that_is_no_person_says_which_bones_are_missing():
    with pytest.raises(InputError, match="hips, left upper arm.*right lower leg") as caught:
        map_bones(rig_from({"door": None, "handle": "door"}))
    assert caught.value.hint
    armless = {n: p for n, p in CMU.items() if "Arm" not in n and "Hand" not in n and "Thumb" not in n}
    with pytest.raises(InputError, match="left upper arm, right upper arm, left forearm, right forearm") as caught:
        map_bones(rig_from(armless))
    assert "leg" not in caught.value.message


FULL = BoneMap(
    single=dict(map_bones(rig_from(CMU)).single),
    spine=("Spine",),
    neck=("Neck",),
    root="Hips",
    twist={"left_forearm": ("LeftHand",)},
    fingers={"left_thumb": "LThumb"},
    controls={"left_foot": "LeftFoot"},
    switches=(Switch("Hips", "IK_FK", 1.0, 0.0),),
    confidence={"hips": 0.5},
    convention="cmu",
    toes={"left_toe": ("LeftToeBase",)},
    beside_hips=("LHipJoint",),
)


def test_a_map_survives_its_file(tmp_path):
    FULL.save(tmp_path / "my rig.json")
    again = BoneMap.load(tmp_path / "my rig.json", rig_from(CMU))
    assert again.to_dict() == FULL.to_dict() and again.switches == FULL.switches
    assert [file.name for file in tmp_path.iterdir()] == ["my rig.json"]


def test_a_loaded_map_must_fit_the_rig(tmp_path):
    FULL.save(tmp_path / "map.json")
    other = {name.replace("LThumb", "LThumb1"): p for name, p in CMU.items() if name != "RightHand"}
    with pytest.raises(InputError, match=r"lacks: LThumb, RightHand\.") as caught:
        BoneMap.load(tmp_path / "map.json", rig_from({n: p if p in other else None for n, p in other.items()}))
    assert caught.value.code == "bone-map-mismatch"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"single": 3, "spine": [], "neck": []}', '{"single": {}'])
def test_a_file_that_is_no_map_is_refused_in_words(tmp_path, text):
    (tmp_path / "map.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="is not a bone map"):
        BoneMap.load(tmp_path / "map.json")
    with pytest.raises(InputError, match="cannot be read"):
        BoneMap.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    "change", [{"single": {"tail": "Tail"}}, {"single": {"hips": "Hips"}}], ids=["a part too many", "parts missing"]
)
def test_a_map_that_cannot_be_used_is_not_made(change):
    with pytest.raises(ValueError, match=r"tail|left_upper_arm"):
        BoneMap.from_dict({"single": {}, "spine": [], "neck": [], **change})
