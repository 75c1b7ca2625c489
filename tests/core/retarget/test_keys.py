# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever carries the path, the body goes the same way; and clips start where and as they are asked to."""

import numpy as np
import pytest

from tests.core.retarget.rigs import a_pose, heads_in_world, rig_of
from tests.motions import dance
from video_to_pose import retarget
from video_to_pose.errors import InputError
from video_to_pose.settings import RetargetSettings


def solved(motion, rig, **options):
    return retarget.solve(motion, rig, retarget.map_bones(rig), RetargetSettings(**{"feet": "never", **options}))


def placed(x=0.0, y=0.0, z=0.0):
    world = np.eye(4)
    world[:3, 3] = x, y, z
    return world


BODY = [name for name in a_pose() if name != "root"]


@pytest.mark.parametrize("carrier", ["root", "object"])
@pytest.mark.parametrize("world", [placed(), placed(1.0, -2.0, 0.5)], ids=["at the origin", "elsewhere"])
def test_a_root_bone_or_the_object_carries_the_path_and_nothing_seen_changes(carrier, world):
    shift = world[:3, 3]
    bones = {name: (parent, head + shift, tail + shift) for name, (parent, head, tail) in a_pose().items()}
    motion, rig = dance(), rig_of(bones, roll_seed=2, world=world)
    plain, turns = heads_in_world(solved(motion, rig))
    other, other_turns = heads_in_world(animation := solved(motion, rig, root_motion=carrier))
    index = [rig.names.index(name) for name in BODY]
    assert np.abs(plain - other)[:, index].max() < 1e-5 and np.abs(turns - other_turns)[:, index].max() < 1e-5
    root = other[:, rig.names.index("root")]
    travelled = np.linalg.norm(root[-1, :2] - root[0, :2])
    assert travelled > 0.2 and np.ptp(root[:, 2]) < 1e-4
    assert (animation.object_world is not None) == (carrier == "object")
    if carrier == "root":
        assert {rig.names[b] for b in animation.located} == {"root", "pelvis"}


def test_what_carries_the_path_turns_with_the_person_but_stays_upright():
    motion, rig = dance(), rig_of(a_pose())
    animation = solved(motion, rig, root_motion="object")
    up = animation.object_world[:, :3, 2]
    assert np.allclose(up, [0, 0, 1], atol=1e-9)
    ahead = -animation.object_world[:, :3, 1]
    assert np.degrees(np.arccos(np.clip(ahead[0] @ ahead[-1], -1, 1))) > 40  # the dance turns by 0.8 rad a second


def test_a_rig_without_a_root_bone_says_so():
    bones = {
        name: (None if parent == "root" else parent, head, tail) for name, (parent, head, tail) in a_pose().items()
    }
    del bones["root"]
    with pytest.raises(InputError, match="root bone"):
        solved(dance(3), rig_of(bones), root_motion="root")


def hips_of(animation):
    return heads_in_world(animation)[0][:, animation.rig.names.index("pelvis")]


def test_a_clip_starts_where_the_rig_stands_or_where_it_was_filmed():
    shift = np.array([3.0, 4.0, 0.0])
    moved = {name: (parent, head + shift, tail + shift) for name, (parent, head, tail) in a_pose().items()}
    rig = rig_of(moved, world=placed(3.0, 4.0))
    at_rig, as_filmed = (hips_of(solved(dance(), rig, start=start))[0, :2] for start in ("rig", "world"))
    assert np.allclose(at_rig, [3.0, 4.0], atol=0.1) and np.allclose(as_filmed, [0.0, 0.0], atol=0.1)


def test_a_clip_can_be_turned_to_start_facing_the_front():
    motion = dance(40)
    turned = type(motion)(**{**motion.__dict__, "directions": motion.directions[:, :, [1, 0, 2]] * [1, -1, 1]})
    front = solved(turned, rig_of(a_pose()), facing="front")
    heads, _ = heads_in_world(front)
    left, right = (heads[0, front.rig.names.index(f"thigh_{side}")] for side in "lr")
    across = (left - right)[:2] / np.linalg.norm((left - right)[:2])
    assert np.degrees(np.arccos(across[0])) < 12


@pytest.mark.parametrize("setting", ["root_motion", "scale", "start", "facing", "limbs", "smoothing"])
def test_words_that_mean_nothing_are_refused(setting):
    with pytest.raises(ValueError, match=r"unknown|sideways"):
        solved(dance(8), rig_of(a_pose()), **{setting: "sideways"})


def test_smoothing_calms_a_trembling_body_and_each_part_may_have_its_own():
    motion = dance(90)
    noise = np.random.default_rng(0).normal(size=motion.directions.shape) * 0.03
    shaken = motion.directions + noise
    shaken /= np.linalg.norm(shaken, axis=-1, keepdims=True)
    shaken = type(motion)(**{**motion.__dict__, "directions": shaken})
    rig = rig_of(a_pose())

    def trembling(bone, **options):
        turns = heads_in_world(solved(shaken, rig, repair=False, **options))[1][:, rig.names.index(bone)]
        return np.abs(np.diff(turns, n=2, axis=0)).mean()

    rough = trembling("lowerarm_l")
    light, strong = (trembling("lowerarm_l", smoothing=preset) for preset in ("light", "strong"))
    assert strong < 0.5 * light < 0.5 * rough
    only_legs = {"smoothing": "off", "smoothing_of_parts": (("legs", "strong"),)}
    assert trembling("lowerarm_l", **only_legs) == pytest.approx(rough)
    assert trembling("calf_l", **only_legs) < 0.5 * trembling("calf_l")
