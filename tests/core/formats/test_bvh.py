# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written as BVH reads back, here and in another's reader, where the Take has it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.motions import SHARED, captured, dance
from video_to_pose import retarget, settings
from video_to_pose.errors import InputError
from video_to_pose.formats import bvh
from video_to_pose.formats.bvh_profiles import BVH_PROFILES
from video_to_pose.kinematics import bone_tails, pose_matrices
from video_to_pose.settings import BVH_CHANNELS, RetargetSettings
from video_to_pose.types import Rig, RigAnimation

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
CMU_JOINTS = [  # in the order of CMU's own files
    *("Hips", "LHipJoint", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase"),
    *("RHipJoint", "RightUpLeg", "RightLeg", "RightFoot", "RightToeBase"),
    *("LowerBack", "Spine", "Spine1", "Neck", "Neck1", "Head"),
    *("LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand", "LeftFingerBase", "LeftHandIndex1", "LThumb"),
    *("RightShoulder", "RightArm", "RightForeArm", "RightHand", "RightFingerBase", "RightHandIndex1", "RThumb"),
]
HUMAN_IK = [  # the fifteen that MotionBuilder needs to characterize, and what else we have
    *("Hips", "Spine", "Spine1", "Neck", "Head"),
    *(f"{side}{part}" for side in ("Left", "Right") for part in ("UpLeg", "Leg", "Foot", "ToeBase")),
    *(f"{side}{part}" for side in ("Left", "Right") for part in ("Shoulder", "Arm", "ForeArm", "Hand")),
]
MOTIONS = ["made up"] + (["test/09_03", "train/05_02"] if (SHARED / "data").is_dir() else [])


@pytest.fixture(params=MOTIONS)
def motion(request):
    return dance() if request.param == "made up" else captured(request.param)


def written(motion, path, **options):
    rig = retarget.rig_from_motion(motion)
    animation = retarget.solve(motion, rig, retarget.map_bones(rig), RetargetSettings())
    bvh.write(animation, path, **options)
    return animation


def wanted(animation):
    """Bone -> (F, 3) of its head in the world, metres, where forward kinematics puts it."""
    places = pose_matrices(animation)[..., :3, 3]
    return {bone: places[:, b] for b, bone in enumerate(animation.rig.names)}


def test_our_reader_finds_every_joint_within_a_tenth_of_a_millimetre(motion, tmp_path):
    animation = written(motion, tmp_path / "a.bvh")
    clip = bvh.read(tmp_path / "a.bvh")
    _, positions = bvh.forward(clip)
    for bone, heads in wanted(animation).items():
        assert np.abs(positions[:, clip.names.index(bone)] @ Z_UP.T / 100 - heads).max() < 1e-4


def test_an_independent_reader_finds_every_joint_within_a_millimetre(motion, tmp_path):
    bvhio = pytest.importorskip("bvhio")
    heads = wanted(written(motion, tmp_path / "a.bvh"))
    root = bvhio.readAsHierarchy(str(tmp_path / "a.bvh"))
    for frame in range(0, motion.frame_count, max(1, motion.frame_count // 8)):
        root.loadPose(frame)
        for joint, _, _ in root.layout():
            place = np.array(list(joint.PositionWorld)) @ Z_UP.T / 100
            assert np.abs(place - heads[joint.Name][frame]).max() < 1e-3, joint.Name


def test_crown_and_knuckles_are_end_sites(tmp_path):
    animation = written(dance(), tmp_path / "a.bvh")
    clip = bvh.read(tmp_path / "a.bvh")
    rotations, positions = bvh.forward(clip)
    tails = bone_tails(animation, pose_matrices(animation))
    for bone in ("Head", "LeftHand", "RightHand", "LeftToeBase"):
        j = clip.names.index(bone)
        end = positions[:, j] + rotations[:, j] @ clip.end_sites[j]
        assert np.abs(end @ Z_UP.T / 100 - tails[:, animation.rig.names.index(bone)]).max() < 1e-4


def test_the_file_has_one_root_and_six_plus_three_channels(tmp_path):
    written(dance(), tmp_path / "a.bvh")
    clip = bvh.read(tmp_path / "a.bvh")
    assert clip.parents.count(-1) == 1 and clip.names[0] == "Hips"
    assert [len(channels) for channels in clip.channels] == [6] + [3] * (len(clip.names) - 1)
    assert clip.frame_time == pytest.approx(1 / 30, abs=1e-8)


def test_a_rest_frame_comes_first_when_wanted(tmp_path):
    animation = written(dance(20), tmp_path / "a.bvh", reference_frame="rest")
    clip = bvh.read(tmp_path / "a.bvh")
    assert len(clip.values) == 21
    rotations, positions = bvh.forward(clip)
    assert np.allclose(rotations[0], np.eye(3), atol=1e-6)
    heads = animation.rig.rest[[animation.rig.names.index(name) for name in clip.names], :3, 3]
    assert np.allclose(positions[0] @ Z_UP.T / 100, heads, atol=1e-5)


def test_angles_do_not_wrap(tmp_path):
    written(dance(240), tmp_path / "a.bvh")  # turns once around and more
    assert np.abs(np.diff(bvh.read(tmp_path / "a.bvh").values[:, 3:], axis=0)).max() < 60


def test_any_channel_order_tabs_and_line_ends_are_read(tmp_path):
    text = (
        "HIERARCHY\r\nROOT A b\r\n{\r\n\tOFFSET 0 0 0\r\n\tCHANNELS 6 Xrotation Yrotation Zrotation Zposition "
        "Yposition Xposition\r\n\tJOINT B\r\n\t{\r\n\t\tOFFSET 0 2 0\r\n"
        "\t\tCHANNELS 3 Yrotation Zrotation Xrotation\r\n"
        "\t\tEnd Site\r\n\t\t{\r\n\t\t\tOFFSET 0 1 0\r\n\t\t}\r\n\t}\r\n}\r\n"
        "MOTION\r\nFrames:\t1\r\nFrame Time:\t0.04\r\n90 0 0 3 2 1 0 90 0\r\n"
    )
    (tmp_path / "a.bvh").write_bytes(text.encode())
    clip = bvh.read(tmp_path / "a.bvh")
    assert clip.names == ("A b", "B")
    rotations, positions = bvh.forward(clip)
    assert np.allclose(positions[0], [[1, 2, 3], [1, 2, 5]])
    assert np.allclose(rotations[0, 1] @ clip.end_sites[1], [-1, 0, 0], atol=1e-9)


@pytest.mark.parametrize("text", ["", "no motion", "HIERARCHY ROOT A { OFFSET 0 0 0 } MOTION Frames: 2 Frame Time: x"])
def test_what_is_no_bvh_is_refused(tmp_path, text):
    (tmp_path / "a.bvh").write_text(text)
    with pytest.raises(InputError, match="a.bvh"):
        bvh.read(tmp_path / "a.bvh")
    with pytest.raises(InputError, match="b.bvh"):
        bvh.read(tmp_path / "b.bvh")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "folder.bvh").mkdir()
    with pytest.raises(InputError):
        written(dance(3), tmp_path / "folder.bvh")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.bvh"]


def profiled(animation, path, profile, **options):
    """The file's joints: names, (F, J, 3, 3) turns and (F, J, 3) places in the world, metres."""
    bvh.write(animation, path, profile=BVH_PROFILES[profile], reference_frame="none", **options)
    clip = bvh.read(path)
    turns, places = bvh.forward(clip)
    return clip, turns, places @ Z_UP.T / 100


def ours(motion):
    rig = retarget.rig_from_motion(motion)
    return retarget.solve(motion, rig, retarget.map_bones(rig), RetargetSettings())


def test_cmu_has_the_joints_of_cmu_and_every_one_of_ours_in_its_place(motion, tmp_path):
    animation = ours(motion)
    clip, turns, places = profiled(animation, tmp_path / "a.bvh", "cmu")
    assert sorted(clip.names) == sorted(CMU_JOINTS)
    above = {name: clip.names[parent] for name, parent in zip(clip.names, clip.parents, strict=True) if parent >= 0}
    assert (above["LeftUpLeg"], above["LHipJoint"], above["Spine"]) == ("LHipJoint", "Hips", "LowerBack")
    assert above["LeftShoulder"] == above["Neck"] == "Spine1" and above["Head"] == "Neck1"
    assert above["LThumb"] == above["LeftFingerBase"] == "LeftHand"
    heads = wanted(animation)
    as_cmu = {"Spine": "LowerBack", "Spine1": "Spine"}
    for bone, head in heads.items():
        assert np.abs(places[:, clip.names.index(as_cmu.get(bone, bone))] - head).max() < 1e-4, bone
    for added in ("LHipJoint", "Spine1", "Neck1", "RightFingerBase", "RightHandIndex1", "RThumb"):
        joint = clip.names.index(added)
        assert np.abs(turns[:, joint] - turns[:, clip.parents[joint]]).max() < 1e-9
    assert clip.channels[0][3:] == ("Zrotation", "Yrotation", "Xrotation")


def test_motionbuilder_finds_its_names_and_a_t_pose_first(tmp_path):
    motion = dance(20)
    written(motion, tmp_path / "a.bvh", profile=BVH_PROFILES["motionbuilder"])
    clip = bvh.read(tmp_path / "a.bvh")
    assert sorted(clip.names) == sorted(HUMAN_IK) and clip.names[0] == "Hips"
    turns, places = bvh.forward(clip)
    assert len(places) == 21 and np.allclose(turns[0], np.eye(3))
    left, right = (places[0, clip.names.index(f"{side}Hand")] for side in ("Left", "Right"))
    assert left[0] - right[0] > 100 and abs(left[1] - right[1]) < 1  # arms straight out to the sides


@pytest.mark.parametrize("profile", BVH_PROFILES)
def test_an_independent_reader_finds_every_profile_within_a_millimetre(profile, tmp_path):
    bvhio = pytest.importorskip("bvhio")
    clip, _, places = profiled(ours(dance(24)), tmp_path / "a.bvh", profile)
    root = bvhio.readAsHierarchy(str(tmp_path / "a.bvh"))
    for frame in range(0, 24, 5):
        root.loadPose(frame)
        for joint, _, _ in root.layout():
            place = np.array(list(joint.PositionWorld)) @ Z_UP.T / 100
            assert np.abs(place - places[frame, clip.names.index(joint.Name)]).max() < 1e-3, joint.Name


@pytest.mark.parametrize("channels", BVH_CHANNELS)
def test_any_channel_order_is_written_without_jumps(channels, tmp_path):
    animation = ours(dance(120))
    clip, _, places = profiled(animation, tmp_path / "a.bvh", "plain", channels=channels)
    assert all([c[0] for c in joint[-3:]] == list(channels) for joint in clip.channels)
    assert np.abs(places - profiled(animation, tmp_path / "b.bvh", "plain")[2]).max() < 1e-5
    assert np.abs(np.diff(clip.values[:, 3:], axis=0)).max() < 180


@pytest.mark.parametrize("channels", BVH_CHANNELS)
def test_where_two_axes_fall_together_the_turn_is_still_right(channels, tmp_path):
    """The middle axis at 90 degrees, where the outer two are told apart by noise only."""
    rig = Rig(("Bone",), (-1,), np.eye(4)[None], np.ones(1))
    angles = np.radians(np.linspace(80, 100, 21))
    axis = bvh._Y_UP.T @ np.eye(3)["XYZ".index(channels[1])]
    q = np.concatenate([np.cos(angles / 2)[:, None], np.sin(angles / 2)[:, None] * axis], axis=1)
    animation = RigAnimation(rig, np.arange(21) / 30, (0,), q[:, None], (), np.zeros((21, 0, 3)))
    clip, turns, _ = profiled(animation, tmp_path / "a.bvh", "plain", channels=channels)
    want = bvh._Y_UP @ pose_matrices(animation)[:, 0, :3, :3] @ bvh._Y_UP.T
    assert np.abs(turns[:, 0] - want).max() < 1e-5
    assert np.abs(np.diff(clip.values[:, 3:], axis=0)).max() < 5


def strangers(animation, rename, root="", tips=()):
    """The same animation on bones of other names, with finger bones, and under a root bone when one is named."""
    rig, first = animation.rig, 1 if root else 0
    names, rest, lengths = [rename(name) for name in rig.names], list(rig.rest), list(rig.lengths)
    parents = [parent + first for parent in rig.parents]
    if root:
        names, rest, lengths = [root, *names], [np.eye(4), *rest], [0.3, *lengths]
        parents = [-1, *[max(parent, 0) for parent in parents]]
    for hand, tip in tips:
        h = rig.names.index(hand) + first
        for link in range(3):
            place = rest[h].copy()
            place[:3, 3] += rest[h][:3, 1] * (lengths[h] + 0.03 * link)
            parents.append(h if link == 0 else len(names) - 1)
            names.append(f"{tip}{link + 1}"), rest.append(place), lengths.append(0.03)
    shift = tuple(bone + first for bone in animation.bones), tuple(bone + first for bone in animation.located)
    other = Rig(tuple(names), tuple(parents), np.array(rest), np.array(lengths))
    return replace(animation, rig=other, bones=shift[0], located=shift[1])


def test_a_users_rig_gets_the_programs_names_where_the_map_knows_them(tmp_path):
    unreal = {"Hips": "pelvis", "Spine": "spine_01", "Spine1": "spine_02", "Neck": "neck_01", "Head": "head"}
    limbs = {"Shoulder": "clavicle", "Arm": "upperarm", "ForeArm": "lowerarm", "Hand": "hand"}
    limbs |= {"UpLeg": "thigh", "Leg": "calf", "Foot": "foot", "ToeBase": "ball"}
    unreal |= {
        f"{side}{ours}": f"{theirs}_{side[0].lower()}" for side in ("Left", "Right") for ours, theirs in limbs.items()
    }
    animation = strangers(mine := ours(dance(20)), unreal.get, "root", [("LeftHand", "index_0")])
    bone_map = retarget.map_bones(animation.rig)
    bone_map = replace(bone_map, fingers={"left_index": "index_01"})
    clip, _, places = profiled(animation, tmp_path / "a.bvh", "motionbuilder", bone_map=bone_map)
    assert sorted(clip.names) == sorted([*HUMAN_IK, "LeftHandIndex1", "LeftHandIndex2", "LeftHandIndex3"])
    for bone, head in wanted(mine).items():
        assert np.abs(places[:, clip.names.index(bone)] - head).max() < 1e-4, bone
    clip, _, _ = profiled(animation, tmp_path / "b.bvh", "plain")
    assert set(clip.names) == set(animation.rig.names) - {"root"}


def test_a_rig_that_cannot_be_mapped_keeps_its_names_without_spaces(tmp_path):
    names = ("tail 1", "tail 2", "tail_2", "tail\t3")
    rest = np.tile(np.eye(4), (4, 1, 1))
    rest[:, 1, 3] = range(4)
    rig = Rig(names, (-1, 0, 1, 2), rest, np.ones(4))
    still = np.tile([1.0, 0, 0, 0], (3, 1, 1))
    animation = RigAnimation(rig, np.arange(3) / 30, (1,), still, (), np.zeros((3, 0, 3)))
    clip, _, places = profiled(animation, tmp_path / "a.bvh", "cmu")
    assert clip.names == ("tail_1", "tail_2", "tail_2_", "tail_3")
    assert np.allclose(places[1], rest[:, :3, 3])


def test_every_profile_that_the_options_name_is_there():
    assert tuple(BVH_PROFILES) == settings.BVH_PROFILES


def test_a_root_bone_and_hips_that_both_move_have_six_channels_each(tmp_path):
    animation = strangers(mine := ours(dance(30)), str, "carrier")
    path = np.zeros((30, 1, 3))
    path[:, 0, 0] = np.linspace(0, 2, 30)
    away = np.tile([1.0, 0, 0, 0], (30, 1, 1))
    animation = replace(
        animation,
        bones=(0, *animation.bones),
        rotations=np.concatenate([away, animation.rotations], axis=1),
        located=(0, *animation.located),
        locations=np.concatenate([path, animation.locations], axis=1),
    )
    clip, _, places = profiled(animation, tmp_path / "a.bvh", "plain")
    assert clip.names[:2] == ("carrier", "Hips") and [len(c) for c in clip.channels[:3]] == [6, 6, 3]
    for bone, head in wanted(mine).items():
        assert np.abs(places[:, clip.names.index(bone)] - head - path[:, 0]).max() < 1e-4, bone
    hips, _, at_hips = profiled(animation, tmp_path / "b.bvh", "cmu")
    assert hips.names[0] == "Hips" and np.abs(at_hips[:, 0] - places[:, 1]).max() < 1e-5


def test_what_the_object_travels_is_in_the_file(tmp_path):
    animation = ours(dance(20))
    placed = np.array([[0, -2.0, 0, 5], [2, 0, 0, 1], [0, 0, 2, 0], [0, 0, 0, 1]])
    travels = np.tile(np.eye(4), (20, 1, 1))
    travels[:, 0, 3] = np.linspace(0, 3, 20)
    carried = replace(animation, rig=replace(animation.rig, world=placed), object_world=travels @ placed)
    _, _, still = profiled(replace(carried, object_world=None), tmp_path / "a.bvh", "plain")
    _, _, places = profiled(carried, tmp_path / "b.bvh", "plain")
    way = np.einsum("ij,fj->fi", np.linalg.inv(placed[:3, :3]), travels[:, :3, 3]) * 2  # in the rig's own axes
    assert np.abs(places - still - way[:, None]).max() < 1e-4


def test_options_that_there_are_not_are_named(tmp_path):
    with pytest.raises(InputError, match="XXZ is not an order") as error:
        written(dance(3), tmp_path / "a.bvh", channels="XXZ")
    assert "ZXY" in error.value.hint
    with pytest.raises(InputError, match="t-pose is not a reference frame"):
        written(dance(3), tmp_path / "a.bvh", reference_frame="t-pose")
    assert not list(tmp_path.iterdir())
