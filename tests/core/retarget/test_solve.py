# SPDX-License-Identifier: GPL-3.0-or-later
"""On rigs of others, in any rest pose, roll and place, limbs point where the person's do and bend as limbs bend."""

import numpy as np
import pytest

from tests.core.retarget.motions import about, degrees_between, joints_of, straight, tumbling
from tests.core.retarget.rigs import TARGETS, a_pose, rig_of
from tests.motions import SHARED, captured, dance
from video_to_pose import retarget
from video_to_pose.errors import InputError
from video_to_pose.kinematics import pose_matrices
from video_to_pose.rotation import between
from video_to_pose.settings import RetargetSettings
from video_to_pose.types import Rig

CAPTURED = ("test/14_05", "test/09_03", "train/05_02") if (SHARED / "data" / "mocap").is_dir() else ()


def motion_named(name):
    made_up = {"dance": dance, "straight": straight, "tumble": lambda: tumbling(dance(120))}
    return made_up[name]() if name in made_up else captured(name)


def solved(motion, rig, **options):
    return retarget.solve(motion, rig, retarget.map_bones(rig), RetargetSettings(**{"feet": "never", **options}))


def in_world(animation):
    """Heads (F, N, 3) and turns from rest (F, N, 3, 3) of all bones, in the world."""
    matrices, world = pose_matrices(animation), animation.rig.world
    R = world[:3, :3] / np.linalg.norm(world[:3, 0])
    turns = matrices[..., :3, :3] @ np.swapaxes(animation.rig.rest[:, :3, :3], -1, -2)
    return matrices[..., :3, 3] @ world[:3, :3].T + world[:3, 3], R @ turns @ R.T


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("motion", ["dance", "straight", "tumble", *CAPTURED])
def test_limbs_point_where_the_persons_limbs_point(target, motion):
    motion, rig = motion_named(motion), rig_of(TARGETS[target]())
    errors = retarget.limb_errors(motion, solved(motion, rig), retarget.map_bones(rig))
    assert len(errors) == 8
    assert max(error.max() for error in errors.values()) < 0.01


@pytest.mark.parametrize("target", TARGETS)
def test_neither_rolls_nor_the_objects_place_turn_and_unit_change_what_is_seen(target):
    motion, bones = dance(), TARGETS[target]()
    world = np.eye(4)
    world[:3, :3] = about("x", 115) @ about("z", -50)
    heads, turns = in_world(solved(motion, rig_of(bones, roll_seed=1)))
    other_heads, other_turns = in_world(solved(motion, rig_of(bones, roll_seed=2, world=world, unit=100.0)))
    assert np.abs(heads - other_heads).max() < 1e-5
    assert np.abs(turns - other_turns).max() < 1e-5


@pytest.mark.parametrize("lay", [about("x", 90), about("x", -90) @ about("z", 30), about("y", 90)])
def test_a_rig_that_lies_at_rest_stands_up_with_the_person(lay):
    motion = dance()
    world = np.eye(4)
    world[:3, :3] = lay
    lying = {name: (parent, lay @ head, lay @ tail) for name, (parent, head, tail) in a_pose().items()}
    heads, turns = in_world(solved(motion, rig_of(a_pose())))
    other_heads, other_turns = in_world(solved(motion, rig_of(lying, world=world)))
    hips = list(lying).index("pelvis")
    assert np.abs((heads - heads[:, [hips]]) - (other_heads - other_heads[:, [hips]]))[:, hips:].max() < 1e-5
    assert np.abs(turns @ np.linalg.inv(lay) - other_turns)[:, hips:].max() < 1e-5


def hinge(turns, rig, upper, lower, foot):
    """The limb's hinge axis (F, 3) as its upper bone carries it, from the rig's own bend at rest."""
    heads = [rig.rest[rig.names.index(name), :3, 3] for name in (upper, lower, foot)]
    axis = np.cross(heads[1] - heads[0], heads[2] - heads[1])
    return turns[:, rig.names.index(upper)] @ (axis / np.linalg.norm(axis))


@pytest.mark.parametrize("motion", ["dance", "tumble", *CAPTURED])
def test_bent_knees_and_elbows_bend_about_the_rigs_own_hinges_and_never_backwards(motion):
    motion, rig = motion_named(motion), rig_of(a_pose(), roll_seed=5)
    _, turns = in_world(solved(motion, rig))
    joints = joints_of(motion)
    for side in ("left", "right"):
        for names, (a, b, c) in (
            (("thigh", "calf", "foot"), ("hip", "knee", "ankle")),
            (("upperarm", "lowerarm", "hand"), ("shoulder", "elbow", "wrist")),
        ):
            upper = joints[f"{side}_{b}"] - joints[f"{side}_{a}"]
            lower = joints[f"{side}_{c}"] - joints[f"{side}_{b}"]
            bent = degrees_between(upper, lower) > 25
            axis = hinge(turns, rig, *(f"{name}_{side[0]}" for name in names))
            off = degrees_between(axis, np.cross(upper, lower))[bent]
            assert np.percentile(off, 95, method="higher") < 45 and off.max() < 90, (side, names[1])


def twist_steps(animation, bone):
    """(F - 1,) degrees a bone rolls about itself from frame to frame."""
    _, turns = in_world(animation)
    rig = animation.rig
    b = rig.names.index(bone)
    y, x = (np.einsum("fij,j->fi", turns[:, b], rig.rest[b, :3, :3][:, axis]) for axis in (1, 0))
    return degrees_between(np.einsum("fij,fj->fi", between(y[:-1], y[1:]), x[:-1]), x[1:])


@pytest.mark.parametrize("trembling_deg", [0.0, 2.0])
def test_straight_limbs_do_not_spin_even_when_raised_overhead_and_trembling(trembling_deg):
    animation = solved(straight(trembling_deg=trembling_deg), rig_of(a_pose()))
    for bone in ("upperarm_l", "upperarm_r", "thigh_l", "thigh_r"):
        assert twist_steps(animation, bone).max() < 15


@pytest.mark.skipif(not CAPTURED, reason="no captured motion beside the project")
def test_an_arm_that_is_captured_a_little_overstretched_does_not_spin():
    motion = captured("train/05_02", seconds=20)
    animation = solved(motion, rig_of(a_pose()))
    assert max(twist_steps(animation, f"upperarm_{side}").max() for side in "lr") < 50


def test_only_what_the_person_tells_is_keyed():
    animation = solved(dance(), rig_of(a_pose()))
    keyed = {animation.rig.names[b] for b in animation.bones}
    assert not keyed & {"root", "index_01_l", "ball_l"} and "upperarm_twist_01_l" in keyed
    assert [animation.rig.names[b] for b in animation.located] == ["pelvis"]


def test_a_hand_whose_tail_an_importer_made_up_follows_its_fingers_or_the_forearm():
    motion = dance()
    plain = a_pose()
    odd = dict(plain)
    parent, head, _tail = plain["hand_l"]
    odd["hand_l"] = (parent, head, head + [0, 0, 0.1])
    bare = {name: bone for name, bone in odd.items() if not name.startswith("index")}
    expected, _ = in_world(solved(motion, rig_of(plain)))
    b = list(plain).index("index_01_l")
    assert np.abs(in_world(solved(motion, rig_of(odd)))[0][:, b] - expected[:, b]).max() < 1e-6
    _, turns = in_world(solved(motion, rig_of(bare)))
    hand, fore = (list(bare).index(name) for name in ("hand_l", "lowerarm_l"))
    along = plain["hand_l"][1] - plain["lowerarm_l"][1]
    joints = joints_of(motion)
    wanted = joints["left_hand"] - joints["left_wrist"]
    assert degrees_between(turns[:, hand] @ along, wanted).max() < 0.01
    assert hand > fore


def test_a_rig_whose_legs_and_arms_start_at_one_point_is_refused():
    rig = rig_of(a_pose())
    rest = rig.rest.copy()
    rest[:, 0, 3] = 0.0
    with pytest.raises(InputError, match="faces"):
        solved(dance(2), Rig(rig.names, rig.parents, rest, rig.lengths))
