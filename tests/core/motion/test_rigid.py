# SPDX-License-Identifier: GPL-3.0-or-later
"""Pelvis and head are rigid."""

import numpy as np

from video_to_pose.motion.rigid import even_hips, rigid_parts
from video_to_pose.rotation import normalize
from video_to_pose.skeleton import BODY_22, H36M_17

LEFT, RIGHT, CROWN, NOSE = (BODY_22.index(j) - 1 for j in ("left_hip", "right_hip", "head_top", "nose"))


def any_directions(skeleton=BODY_22, frames=20):
    return normalize(np.random.default_rng(0).normal(size=(frames, skeleton.bone_count, 3)))


def test_hips_are_opposite_and_the_nose_keeps_its_angle():
    rigid = rigid_parts(BODY_22, any_directions())
    np.testing.assert_allclose(rigid[:, LEFT], -rigid[:, RIGHT])
    cosine = np.sum(rigid[:, CROWN] * rigid[:, NOSE], axis=-1)
    np.testing.assert_allclose(cosine, cosine[0], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rigid, axis=-1), 1)


def test_what_is_rigid_already_stays():
    once = rigid_parts(BODY_22, any_directions())
    np.testing.assert_allclose(rigid_parts(BODY_22, once), once, atol=1e-9)


def test_other_bones_are_left_alone():
    directions = any_directions()
    others = [b for b in range(BODY_22.bone_count) if b not in (LEFT, RIGHT, NOSE)]
    np.testing.assert_array_equal(rigid_parts(BODY_22, directions)[:, others], directions[:, others])


def test_skeletons_of_other_anatomy_come_back_whole():
    directions = any_directions(H36M_17)
    rigid = rigid_parts(H36M_17, directions)
    np.testing.assert_allclose(np.linalg.norm(rigid, axis=-1), 1)
    assert H36M_17.index("nose") - 1 not in (LEFT, RIGHT)
    np.testing.assert_array_equal(rigid[:, 7:], directions[:, 7:])


def test_degenerate_directions_stay_unit():
    directions = any_directions()
    directions[3, LEFT] = directions[3, RIGHT]
    directions[4, NOSE] = directions[4, CROWN]
    np.testing.assert_allclose(np.linalg.norm(rigid_parts(BODY_22, directions), axis=-1), 1)


def test_hips_are_equally_far_from_their_middle():
    lengths = np.linspace(0.1, 0.4, BODY_22.bone_count)
    even = even_hips(BODY_22, lengths)
    assert even[LEFT] == even[RIGHT] == (lengths[LEFT] + lengths[RIGHT]) / 2
    assert even.sum() == lengths.sum()
