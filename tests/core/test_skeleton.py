# SPDX-License-Identifier: GPL-3.0-or-later
"""Skeletons are trees; left and right are partners."""

from itertools import pairwise

import numpy as np
import pytest

from video_to_pose.skeleton import (
    BODY_22,
    H36M_17,
    HUMANEVA_15,
    MEDIAPIPE_33,
    MPI_INF_3DHP_14,
    MPI_INF_3DHP_17,
    SKELETONS,
    Skeleton,
    mirror_indices,
)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_parents_come_first_and_names_are_unique(skeleton):
    assert skeleton.parents[0] == -1
    assert all(parent < joint for joint, parent in enumerate(skeleton.parents))
    assert len(set(skeleton.joints)) == skeleton.joint_count == skeleton.bone_count + 1


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_the_mirror_is_its_own_inverse_and_keeps_the_tree(skeleton):
    mirror = skeleton.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(skeleton.joint_count))
    for joint in range(1, skeleton.joint_count):
        assert skeleton.parents[mirror[joint]] == mirror[skeleton.parents[joint]]
        assert skeleton.joints[mirror[joint]].startswith("right_") == skeleton.joints[joint].startswith("left_")


def test_a_bone_ends_at_its_joint():
    bone = BODY_22.index("left_knee") - 1
    assert BODY_22.bone_children[bone] == BODY_22.index("left_knee")
    assert BODY_22.bone_parents[bone] == BODY_22.index("left_hip")


def test_the_benchmarks_have_the_joints_their_names_say():
    for skeleton, joints in ((HUMANEVA_15, 15), (MPI_INF_3DHP_14, 14), (MPI_INF_3DHP_17, 17), (H36M_17, 17)):
        assert skeleton.joint_count == joints and SKELETONS[skeleton.name] is skeleton
    assert HUMANEVA_15.parents == (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1)  # as in data_3d_humaneva15.npz
    assert MPI_INF_3DHP_17.parents == H36M_17.parents, "one tree, so that lifters can cross from one to the other"
    assert set(MPI_INF_3DHP_14.joints) == set(MPI_INF_3DHP_17.joints) - {"pelvis", "spine", "head"}


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_every_skeleton_has_both_arms_and_both_legs(skeleton):
    for side in ("left", "right"):
        for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
            for near, far in pairwise(chain):
                assert skeleton.parents[skeleton.index(f"{side}_{far}")] == skeleton.index(f"{side}_{near}")


@pytest.mark.parametrize(
    ("joints", "parents", "complaint"),
    [
        (("a", "b"), (-1,), "parents"),
        (("a", "b"), (0, -1), "root"),
        (("a", "b", "c"), (-1, 2, 0), "before"),
        (("a", "b", "c"), (-1, 0, -1), "before"),
        ((), (), "root"),
    ],
)
def test_what_is_no_tree_is_refused(joints, parents, complaint):
    with pytest.raises(ValueError, match=complaint):
        Skeleton("broken", joints, parents)


def test_unknown_joints_are_refused():
    with pytest.raises(ValueError):
        BODY_22.index("tail")


def test_the_detectors_landmarks_have_partners_by_name():
    assert len(MEDIAPIPE_33) == 33
    mirror = mirror_indices(tuple(name for name in MEDIAPIPE_33 if not name.startswith("mouth")))
    assert len(set(mirror)) == len(mirror)
