# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig that follows pose by pose does what the whole clip makes it do, as far as no later frame is needed."""

from dataclasses import replace

import numpy as np
import pytest

from tests.core.retarget.rigs import a_pose, heads_in_world, rig_of
from tests.motions import dance
from video_to_pose import retarget
from video_to_pose.retarget.stream import Stream, mapped_part
from video_to_pose.settings import RetargetSettings


def shown(stream, motion, frames):
    """Heads (F, N, 3) of all bones after each of these poses."""
    heads = []
    for f in frames:
        stream.note(float(motion.timestamps[f]), motion.directions[f], motion.root[f])
        heads.append(heads_in_world(stream.solve(motion.lengths))[0][0])
    return np.array(heads)


@pytest.fixture(scope="module")
def motion():
    return dance(90)


def test_pose_by_pose_is_where_the_clip_is(motion):
    rig = rig_of(a_pose(), world=np.diag([1.0, 1.0, 1.0, 1.0]))
    bone_map = retarget.map_bones(rig)
    whole = heads_in_world(retarget.solve(motion, rig, bone_map, RetargetSettings(feet="never", repair=False)))[0]
    stream = Stream(rig, bone_map, motion.skeleton, RetargetSettings())
    heads = shown(stream, motion, range(90))
    kept = [rig.names.index(name) for name in stream.rig.names]
    assert np.abs(heads - whole[:, kept]).max() < 0.03
    assert np.abs(heads - whole[:, kept]).mean() < 0.002


def test_our_own_rig_repeats_the_persons_joints(motion):
    rig = retarget.rig_from_motion(motion)
    stream = Stream(rig, retarget.BONE_MAP, motion.skeleton, RetargetSettings(start="world"))
    heads = shown(stream, motion, range(20, 40))
    wrist = motion.root[20:40] + 0  # the hips' head is the pelvis
    assert np.abs(heads[:, stream.rig.names.index("Hips")] - wrist).max() < 0.01


def test_only_bones_that_play_a_part_and_their_ancestors_are_solved():
    bones = a_pose() | {"hat": ("head", np.array([0, 0, 1.6]), np.array([0, 0, 1.8]))}
    rig = rig_of(bones)
    bone_map = retarget.map_bones(rig)
    part = mapped_part(rig, bone_map)
    assert "hat" not in part.names and bone_map.bones <= set(part.names)
    for name, parent in zip(part.names, part.parents, strict=True):
        above = rig.parents[rig.names.index(name)]
        assert (part.names[parent] if parent >= 0 else None) == (rig.names[above] if above >= 0 else None)


def test_a_late_or_repeated_pose_changes_nothing(motion):
    rig = rig_of(a_pose())
    stream = Stream(rig, retarget.map_bones(rig), motion.skeleton, RetargetSettings())
    before = shown(stream, motion, range(10))[-1]
    stream.note(float(motion.timestamps[3]), motion.directions[50], motion.root[50])
    assert np.array_equal(heads_in_world(stream.solve(motion.lengths))[0][0], before)


def test_in_place_keeps_to_its_spot(motion):
    rig = rig_of(a_pose())
    stream = Stream(rig, retarget.map_bones(rig), motion.skeleton, RetargetSettings(root_motion="in_place"))
    moving = replace(motion, root=motion.root + np.linspace(0, 3, 90)[:, None] * [1, 0, 0])
    heads = shown(stream, moving, range(0, 90, 10))
    assert np.ptp(heads[:, stream.rig.names.index("pelvis"), 0]) < 0.1


def test_nothing_is_solved_before_the_first_pose():
    rig = rig_of(a_pose())
    with pytest.raises(ValueError, match="no pose"):
        Stream(rig, retarget.map_bones(rig), dance(2).skeleton, RetargetSettings()).solve(dance(2).lengths)
