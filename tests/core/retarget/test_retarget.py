# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the rig's rest pose, it does what the person did."""

import json

import numpy as np
import pytest

from tests.motions import LENGTHS, SHARED, captured, dance, make_motion, standing
from video_to_pose import bones, retarget
from video_to_pose.errors import InputError
from video_to_pose.kinematics import bone_tails, pose_matrices
from video_to_pose.retarget.rig import BONE_JOINTS, BONE_MAP, rest_directions, rest_places
from video_to_pose.rotation import axis_angle_to_matrix, frame_from_axes, normalize
from video_to_pose.settings import RetargetSettings
from video_to_pose.skeleton import BODY_22, BODY_32
from video_to_pose.types import Rig

needs_body = pytest.mark.skipif(not (SHARED / "human").is_dir(), reason="no body beside the project")
needs_mocap = pytest.mark.skipif(
    not (SHARED / "data" / "mocap").is_dir(), reason="no captured motion beside the project"
)


def joints_of(motion):
    joints = bones.compose(motion.skeleton, motion.directions, motion.lengths, motion.root)
    return {name: joints[:, j] for j, name in enumerate(motion.skeleton.joints)}


def solved(motion, rig, **options):
    return retarget.solve(motion, rig, retarget.map_bones(rig), RetargetSettings(**{"feet": "never", **options}))


def worst_joint_error(motion) -> float:
    rig = retarget.rig_from_motion(motion)
    animation = solved(motion, rig)
    matrices, joints = pose_matrices(animation), joints_of(motion)
    tails = bone_tails(animation, matrices)
    errors = []
    for b, bone in enumerate(rig.names):
        head, tail = BONE_JOINTS[bone]
        errors.append(np.abs(matrices[:, b, :3, 3] - joints[head]).max())
        if tail:
            errors.append(np.abs(tails[:, b] - joints[tail]).max())
    return max(errors)


def test_our_own_rig_puts_every_joint_where_the_take_has_it():
    assert worst_joint_error(dance()) < 1e-5


@needs_mocap
@pytest.mark.parametrize("name", ["test/14_05", "test/09_03", "train/05_02", "train/salsa_07"])
def test_our_own_rig_follows_captured_motion_exactly(name):
    assert worst_joint_error(captured(name)) < 1e-5
    assert worst_joint_error(captured(name, skeleton=BODY_32)) < 1e-3  # feet are as long as from heel to ball


def test_hands_feet_and_head_of_our_own_rig_turn_with_knuckles_heels_and_ears():
    """Turned about where they point, which no other joint tells."""
    skeleton, frames = BODY_32, 31
    lengths = np.concatenate([LENGTHS, 2 * [0.07, 0.07, 0.1, 0.09, 0.09]]).astype(np.float32)
    directions = np.tile(rest_directions(skeleton), (frames, 1, 1))
    turns = {
        "LeftHand": (("left_index", "left_little", "left_thumb"), [1.0, 0, 0], 70.0),
        "RightFoot": (("right_heel", "right_toe"), [0, 1.0, 0], -25.0),
        "Head": (("left_ear", "right_ear", "nose"), [0, 0.055, 1.0], 50.0),
    }
    for joints, axis, degrees in turns.values():
        R = axis_angle_to_matrix(normalize(np.array(axis)), np.radians(np.linspace(0, degrees, frames)))
        for joint in joints:
            b = skeleton.index(joint) - 1
            directions[:, b] = np.einsum("fij,fj->fi", R, directions[:, b])
    place = np.tile(rest_places(skeleton, lengths)["pelvis"], (frames, 1))
    motion = make_motion(directions, place, lengths=lengths, skeleton=skeleton)
    rig = retarget.rig_from_motion(motion)
    matrices = pose_matrices(solved(motion, rig))[-1, :, :3, :3] @ np.swapaxes(rig.rest[:, :3, :3], -1, -2)
    for b, bone in enumerate(rig.names):
        expected = np.eye(3)
        if bone.replace("ToeBase", "Foot") in turns:
            _, axis, degrees = turns[bone.replace("ToeBase", "Foot")]
            expected = axis_angle_to_matrix(normalize(np.array(axis)), np.radians(degrees))
        off = np.degrees(np.arccos(np.clip((np.trace(matrices[b].T @ expected) - 1) / 2, -1, 1)))
        allowed = {"LeftForeArm": 36.0, "Neck": 26.0}.get(bone, 0.1)  # which share their end's turn
        assert off < allowed, (bone, off)


def test_our_own_rig_has_the_persons_bone_lengths_and_stands_on_the_floor():
    rig = retarget.rig_from_motion(dance())
    for b, bone in enumerate(rig.names):
        tail = BONE_JOINTS[bone][1]
        if tail and bone not in ("Hips",):
            assert rig.lengths[b] == pytest.approx(LENGTHS[BODY_22.index(tail) - 1], rel=1e-5)
    ankles = [rig.rest[rig.names.index(f"{side}Foot"), 2, 3] for side in ("Left", "Right")]
    assert ankles[0] == pytest.approx(ankles[1]) and 0.05 < ankles[0] < 0.1


def test_our_own_rigs_map_is_what_is_found():
    found = retarget.map_bones(retarget.rig_from_motion(dance(2)))
    assert (dict(found.single), found.spine, found.neck) == (dict(BONE_MAP.single), BONE_MAP.spine, BONE_MAP.neck)


def test_a_person_at_rest_leaves_the_rig_at_rest():
    motion = standing()
    animation = solved(motion, retarget.rig_from_motion(motion))
    assert np.allclose(np.abs(animation.rotations[..., 0]), 1, atol=1e-5)
    assert np.allclose(animation.locations, 0, atol=1e-6)


def test_keys_never_jump_to_the_antipode():
    rotations = solved(dance(), retarget.rig_from_motion(dance())).rotations
    assert np.all(np.sum(rotations[1:] * rotations[:-1], axis=-1) > 0)


def turned_rest(rig: Rig, seed: int) -> Rig:
    """The same rig with every bone rolled at random."""
    rng = np.random.default_rng(seed)
    rest = rig.rest.copy()
    for b in range(len(rest)):
        rest[b, :3, :3] = rest[b, :3, :3] @ axis_angle_to_matrix([0, 1, 0], rng.uniform(0, 2 * np.pi))
    return Rig(rig.names, rig.parents, rest, rig.lengths, rig.world)


def world_directions(animation) -> dict[str, np.ndarray]:
    R = animation.rig.world[:3, :3] / np.linalg.norm(animation.rig.world[:3, 0])
    matrices = pose_matrices(animation)
    return {bone: matrices[:, b, :3, 1] @ R.T for b, bone in enumerate(animation.rig.names)}


def angle(a, b):
    return np.degrees(np.arccos(np.clip(np.sum(normalize(a) * normalize(b), axis=-1), -1, 1)))


def test_rest_rolls_change_nothing():
    motion = dance()
    rig = retarget.rig_from_motion(motion)
    plain, rolled = (world_directions(solved(motion, r)) for r in (rig, turned_rest(rig, 4)))
    assert max(angle(plain[bone], rolled[bone]).max() for bone in plain) < 0.01


def test_a_turned_and_scaled_object_still_moves_upright_in_the_world():
    motion = dance()
    rig = retarget.rig_from_motion(motion)
    R = axis_angle_to_matrix(normalize([1.0, 0.3, 0.2]), 1.2)
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = 0.01 * R, [1.0, 2.0, 0.0]
    rest = rig.rest.copy()  # the same rig in the world, kept in centimetres in a turned object
    rest[:, :3, :3] = R.T @ rest[:, :3, :3]
    rest[:, :3, 3] = rest[:, :3, 3] @ R * 100
    other = Rig(rig.names, rig.parents, rest, rig.lengths * 100, world)
    plain, moved = solved(motion, rig), solved(motion, other)
    for bone, direction in world_directions(plain).items():
        assert angle(direction, world_directions(moved)[bone]).max() < 0.05
    head = rig.names.index("Head")
    travelled = pose_matrices(moved)[:, head, :3, 3] @ world[:3, :3].T + world[:3, 3]
    assert np.allclose(travelled, pose_matrices(plain)[:, head, :3, 3] + [1, 2, 0], atol=1e-4)


@pytest.mark.parametrize("scale", [(1, 1, 1.5), (-1, 1, 1)])
def test_uneven_or_mirrored_objects_are_refused(scale):
    rig = retarget.rig_from_motion(dance(2))
    with pytest.raises(InputError, match="scale"):
        solved(dance(2), Rig(rig.names, rig.parents, rig.rest, rig.lengths, np.diag([*scale, 1.0])))


def mixamo_rig(roll_seed: int | None = None) -> Rig:
    """The body's Mixamo-named rig in its A-pose, placed by the strategies of its file."""
    from video_to_pose.data import body as bodies

    body = bodies.load_body(SHARED / "human")
    data = json.loads((SHARED / "human" / "rig.mixamo.json").read_text())["bones"]

    def place(end):
        if end["strategy"] == "CUBE":
            return body.joint_centres[end["cube_name"]]
        return body.vertices[end["vertex_indices"]].mean(axis=0)

    names: list[str] = []
    while len(names) < len(data):
        names += [n for n in data if n not in names and (not data[n]["parent"] or data[n]["parent"] in names)]
    rest, lengths = np.tile(np.eye(4), (len(names), 1, 1)), np.empty(len(names))
    rng = np.random.default_rng(roll_seed)
    for b, name in enumerate(names):
        head, tail = place(data[name]["head"]), place(data[name]["tail"])
        roll = rng.uniform(0, 2 * np.pi) if roll_seed is not None else 0.0
        side = [1.0, 0, 0] if abs(normalize(tail - head)[0]) < 0.9 else [0, 0, 1.0]
        frame = frame_from_axes(tail - head, side) @ axis_angle_to_matrix([0, 1, 0], roll)
        rest[b, :3, :3], rest[b, :3, 3], lengths[b] = frame, head, np.linalg.norm(tail - head)
    parents = tuple(names.index(data[n]["parent"]) if data[n]["parent"] else -1 for n in names)
    return Rig(tuple(names), parents, rest, lengths)


LIMBS = {
    "Arm": ("shoulder", "elbow"),
    "ForeArm": ("elbow", "wrist"),
    "UpLeg": ("hip", "knee"),
    "Leg": ("knee", "ankle"),
}


@needs_body
@pytest.mark.parametrize("roll_seed", [None, 1])
def test_a_mixamo_rig_in_an_a_pose_points_its_limbs_as_the_person_does(roll_seed):
    motion, rig = dance(), mixamo_rig(roll_seed)
    animation, joints = solved(motion, rig), joints_of(motion)
    matrices = pose_matrices(animation)
    names = {name.rsplit(":", 1)[-1]: b for b, name in enumerate(rig.names)}
    child = {"Arm": "ForeArm", "ForeArm": "Hand", "UpLeg": "Leg", "Leg": "Foot"}
    for side in ("Left", "Right"):
        for limb, (start, end) in LIMBS.items():
            posed = matrices[:, names[side + child[limb]], :3, 3] - matrices[:, names[side + limb], :3, 3]
            true = joints[f"{side.lower()}_{end}"] - joints[f"{side.lower()}_{start}"]
            assert angle(posed, true).max() < 1.0


@needs_body
def test_only_mapped_bones_are_keyed():
    rig = mixamo_rig()
    animation = solved(dance(), rig)
    keyed = {rig.names[b] for b in animation.bones}
    assert not any(finger in name for name in keyed for finger in ("Thumb", "Index", "Middle", "Ring", "Pinky"))
    assert [rig.names[b].rsplit(":")[-1] for b in animation.located] == ["Hips"]


@needs_mocap
@pytest.mark.parametrize("name", ["test/14_05", "test/09_03", "train/02_01"])
def test_knees_bend_about_their_hinge_and_never_backwards(name):
    motion = captured(name)
    rig = retarget.rig_from_motion(motion)
    matrices = pose_matrices(solved(motion, rig))
    for side in ("Left", "Right"):
        thigh = matrices[:, rig.names.index(f"{side}UpLeg"), :3, :3]
        shank = matrices[:, rig.names.index(f"{side}Leg"), :3, 1]
        forward = np.einsum("fij,fi->fj", thigh, shank)  # in the thigh's axes: x hinge, y along, z
        bent = np.degrees(np.arctan2(forward[:, 2], forward[:, 1]))
        # flexion is a turn about +x only, up to what a captured straight knee wobbles
        assert np.percentile(bent, 1) > -8


def test_in_place_keeps_to_its_spot():
    motion = dance()
    rig = retarget.rig_from_motion(motion)
    animation = solved(motion, rig, root_motion="in_place")
    hips = pose_matrices(animation)[:, 0, :3, 3]
    assert np.ptp(hips[:, :2], axis=0).max() < 1e-6 < np.ptp(hips[:, 2])


def test_a_small_rig_takes_small_steps_unless_metres_are_wanted():
    motion = dance()
    rig = retarget.rig_from_motion(motion)
    rest = rig.rest.copy()
    rest[:, :3, 3] *= 0.5
    small = Rig(rig.names, rig.parents, rest, rig.lengths * 0.5)
    far = [np.ptp(pose_matrices(solved(motion, small, scale=s))[:, 0, 0, 3]) for s in ("leg_length", "metres")]
    travelled = np.ptp(motion.root[:, 0])
    assert far == pytest.approx([0.5 * travelled, travelled], rel=1e-3)


def test_a_rig_without_a_body_says_which_bones_are_missing():
    rig = Rig(("Bone", "Bone.001"), (-1, 0), np.tile(np.eye(4), (2, 1, 1)), np.ones(2))
    with pytest.raises(InputError, match="hips, left upper arm") as caught:
        retarget.map_bones(rig)
    assert caught.value.code == "rig-unmapped"
