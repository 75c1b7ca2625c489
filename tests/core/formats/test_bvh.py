# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written as BVH reads back, here and in another's reader, where the Take has it."""

import numpy as np
import pytest

from tests.motions import SHARED, captured, dance
from video_to_pose import bones, retarget
from video_to_pose.errors import InputError
from video_to_pose.formats import bvh
from video_to_pose.retarget.rig import BONE_JOINTS
from video_to_pose.settings import RetargetSettings
from video_to_pose.skeleton import BODY_22

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
MOTIONS = ["made up"] + (["test/09_03", "train/05_02"] if (SHARED / "data").is_dir() else [])


@pytest.fixture(params=MOTIONS)
def motion(request):
    return dance() if request.param == "made up" else captured(request.param)


def written(motion, path, **options):
    rig = retarget.rig_from_motion(motion)
    animation = retarget.solve(motion, rig, retarget.map_bones(rig), RetargetSettings())
    bvh.write(animation, path, **options)
    return animation


def wanted(motion):
    """Bone -> (F, 3) of its head in the world, metres."""
    joints = bones.compose(BODY_22, motion.directions, motion.lengths, motion.root)
    return {bone: joints[:, BODY_22.index(head)] for bone, (head, _) in BONE_JOINTS.items()}


def test_our_reader_finds_every_joint_within_a_tenth_of_a_millimetre(motion, tmp_path):
    written(motion, tmp_path / "a.bvh")
    clip = bvh.read(tmp_path / "a.bvh")
    _, positions = bvh.forward(clip)
    for bone, heads in wanted(motion).items():
        assert np.abs(positions[:, clip.names.index(bone)] @ Z_UP.T / 100 - heads).max() < 1e-4


def test_an_independent_reader_finds_every_joint_within_a_millimetre(motion, tmp_path):
    bvhio = pytest.importorskip("bvhio")
    written(motion, tmp_path / "a.bvh")
    root = bvhio.readAsHierarchy(str(tmp_path / "a.bvh"))
    heads = wanted(motion)
    for frame in range(0, motion.frame_count, max(1, motion.frame_count // 8)):
        root.loadPose(frame)
        for joint, _, _ in root.layout():
            place = np.array(list(joint.PositionWorld)) @ Z_UP.T / 100
            assert np.abs(place - heads[joint.Name][frame]).max() < 1e-3, joint.Name


def test_crown_and_knuckles_are_end_sites(tmp_path):
    motion = dance()
    written(motion, tmp_path / "a.bvh")
    clip = bvh.read(tmp_path / "a.bvh")
    rotations, positions = bvh.forward(clip)
    joints = bones.compose(BODY_22, motion.directions, motion.lengths, motion.root)
    for bone, joint in (("Head", "head_top"), ("LeftHand", "left_hand"), ("RightHand", "right_hand")):
        j = clip.names.index(bone)
        end = positions[:, j] + rotations[:, j] @ clip.end_sites[j]
        assert np.abs(end @ Z_UP.T / 100 - joints[:, BODY_22.index(joint)]).max() < 1e-4


def test_the_file_has_one_root_and_six_plus_three_channels(tmp_path):
    written(dance(), tmp_path / "a.bvh")
    clip = bvh.read(tmp_path / "a.bvh")
    assert clip.parents.count(-1) == 1 and clip.names[0] == "Hips"
    assert [len(channels) for channels in clip.channels] == [6] + [3] * (len(clip.names) - 1)
    assert clip.frame_time == pytest.approx(1 / 30, abs=1e-8)


def test_a_rest_frame_comes_first_when_wanted(tmp_path):
    animation = written(dance(20), tmp_path / "a.bvh", rest_frame=True)
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
