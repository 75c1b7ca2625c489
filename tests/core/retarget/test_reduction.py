# SPDX-License-Identifier: GPL-3.0-or-later
"""Reduced keys show nothing further off than the bounds, keep little where little happens, and are found fast."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.core.retarget.motions import about
from tests.motions import SHARED, captured, dance
from video_to_pose import retarget
from video_to_pose.kinematics import bone_tails, pose_matrices
from video_to_pose.retarget.reduction import reduce_keys, resample
from video_to_pose.rotation import axis_angle_to_matrix, make_continuous, matrix_to_quat, normalize
from video_to_pose.settings import RetargetSettings
from video_to_pose.types import Rig, RigAnimation

CAPTURED = ("train/salsa_01", "train/martial_06") if (SHARED / "data" / "mocap").is_dir() else ()


def solved(motion):
    rig = retarget.rig_from_motion(motion)
    return retarget.solve(motion, rig, retarget.map_bones(rig), RetargetSettings())


def random_rig(bones, seed=0, world=None):
    """Chains of eight bones on the first one, each 12 cm long."""
    rng = np.random.default_rng(seed)
    parents = [-1] + [b - 1 if b % 8 else 0 for b in range(1, bones)]
    rest = np.tile(np.eye(4), (bones, 1, 1))
    for b, parent in enumerate(parents[1:], start=1):
        turn = axis_angle_to_matrix(normalize(rng.normal(size=3)), rng.uniform(0, 0.6))
        rest[b, :3, :3] = rest[parent, :3, :3] @ turn
        rest[b, :3, 3] = rest[parent, :3, 3] + 0.12 * rest[parent, :3, 1]
    names = tuple(f"bone {b}" for b in range(bones))
    return Rig(names, tuple(parents), rest, np.full(bones, 0.12), np.eye(4) if world is None else world)


def random_animation(bones, moments, trembling_deg=0.2, rig=None, keyed=None, seed=0):
    """Bones that swing at 0.1 to 2 Hz and tremble; the first travels."""
    rng = np.random.default_rng(seed)
    times = np.arange(moments) / 30
    hertz, phase = rng.uniform(0.1, 2, (bones, 3, 4)), rng.uniform(0, 7, (bones, 3, 4))
    reach = 0.25 * rng.normal(size=(bones, 3, 4)) / (0.5 + hertz)
    turns = (reach * np.sin(2 * np.pi * hertz * times[:, None, None, None] + phase)).sum(axis=-1)
    turns += np.radians(trembling_deg) * rng.normal(size=turns.shape)
    half = np.linalg.norm(turns, axis=-1, keepdims=True) / 2
    quats = make_continuous(np.concatenate([np.cos(half), np.sin(half) * normalize(turns)], axis=-1))
    path = np.stack([times, np.sin(times), 0.9 + 0.05 * np.sin(8 * times)], axis=1)[:, None]
    keyed = tuple(range(bones)) if keyed is None else keyed
    return RigAnimation(rig or random_rig(bones), times, keyed, quats[:, list(keyed)], keyed[:1], path)


def off(animation, shown):
    """Most that any bone is off: degrees against its parent, degrees in the world, centimetres in the world."""
    matrices = [pose_matrices(a) for a in (animation, shown)]
    world = animation.rig.world[:3, :3]
    places = [
        np.stack([m[..., :3, 3], bone_tails(a, m)]) @ world.T for a, m in zip((animation, shown), matrices, strict=True)
    ]
    turned = np.linalg.norm(matrices[0][..., :3, :3] - matrices[1][..., :3, :3], axis=(-1, -2))
    q, p = (a.rotations.astype(float) for a in (animation, shown))
    chord = np.minimum(np.linalg.norm(q - p, axis=-1), np.linalg.norm(q + p, axis=-1))
    return (
        np.degrees(4 * np.arcsin(chord.max() / 2)),
        np.degrees(2 * np.arcsin(turned.max() / np.sqrt(8))),
        100 * np.linalg.norm(places[0] - places[1], axis=-1).max(),
    )


def share_kept(kept, animation):
    return sum(map(len, kept)) / animation.rotations[..., 0].size


def motion_named(name):
    return dance(300) if name == "dance" else captured(name, seconds=10)


@pytest.mark.parametrize("name", ["dance", *CAPTURED])
@pytest.mark.parametrize(("degrees", "centimetres"), [(0.25, 0.25), (1.0, 1.0), (3.0, 0.5), (0.5, 4.0)])
def test_nothing_shows_further_off_than_the_bounds(name, degrees, centimetres):
    animation = solved(motion_named(name))
    kept = reduce_keys(animation, degrees, centimetres)
    local, world, place = off(animation, resample(animation, kept))
    assert max(local, world) <= degrees and place <= centimetres
    assert max(world / degrees, place / centimetres) > 0.7  # and the bounds are made use of
    assert share_kept(kept, animation) < 0.95
    for keys in kept:
        assert keys[0] == 0 and keys[-1] == len(animation.timestamps) - 1 and np.all(np.diff(keys) > 0)


@pytest.mark.parametrize("trembling", [0.0, 1.0])
def test_the_bounds_hold_in_the_world_of_a_turned_and_scaled_object_and_for_bones_that_are_only_carried(trembling):
    world = np.eye(4)
    world[:3, :3] = 2.5 * about("x", 70) @ about("z", 20)
    keyed = tuple(b for b in range(24) if b % 3 != 1)
    animation = random_animation(24, 200, trembling, random_rig(24, world=world), keyed)
    local, turned, place = off(animation, resample(animation, reduce_keys(animation, 2.0, 3.0)))
    assert max(local, turned) <= 2.0 and 1.0 < place <= 3.0


def test_what_is_shown_is_each_channel_interpolated_by_itself():
    animation = random_animation(9, 90)
    kept = reduce_keys(animation, 2.0, 2.0)
    shown, times = resample(animation, kept), animation.timestamps
    for m, keys in enumerate(kept):
        channels = [np.interp(times, times[keys], row[keys]) for row in animation.rotations[:, m].astype(float).T]
        np.testing.assert_allclose(shown.rotations[:, m], normalize(np.stack(channels, axis=1)), atol=1e-6)
    channels = [np.interp(times, times[kept[0]], row[kept[0]]) for row in animation.locations[:, 0].astype(float).T]
    np.testing.assert_allclose(shown.locations[:, 0], np.stack(channels, axis=1), atol=1e-6)


def test_keys_that_stay_are_kept_to_the_bit():
    animation = random_animation(9, 90)
    kept = reduce_keys(animation, 1.0, 1.0)
    shown = resample(animation, kept)
    for m, keys in enumerate(kept):
        np.testing.assert_array_equal(shown.rotations[keys, m], animation.rotations[keys, m])
    everything = resample(animation, [np.arange(90)] * 9)
    np.testing.assert_array_equal(everything.rotations, animation.rotations)
    np.testing.assert_array_equal(everything.locations, animation.locations)


def test_bones_that_rest_or_travel_evenly_need_two_keys():
    still = random_animation(9, 100)
    rotations = np.tile([1.0, 0.0, 0.0, 0.0], (100, 9, 1))
    even = replace(still, rotations=rotations, locations=np.outer(np.arange(100), [0.01, 0.02, 0.0])[:, None])
    assert [len(keys) for keys in reduce_keys(even, 0.1, 0.1)] == [2] * 9


def test_looser_bounds_keep_fewer_keys_and_a_smooth_dance_few():
    animation = solved(dance(300))
    shares = [share_kept(reduce_keys(animation, bound, bound), animation) for bound in (0.1, 0.5, 1.0, 3.0)]
    assert all(a > b for a, b in pairwise(shares))
    assert shares[2] < 0.16


def test_a_bone_that_only_the_places_of_what_it_carries_betray_gets_its_keys():
    """A tenth of a degree at the root of a long arm moves its end by a centimetre."""
    rig = Rig(("root", "end"), (-1, 0), np.stack([np.eye(4), np.eye(4) + 6.0 * np.eye(4, k=2)]), np.ones(2))
    half = np.radians(0.1) / 2 * np.sin(np.arange(61) / 10)
    rotations = np.stack([np.cos(half), 0 * half, np.sin(half), 0 * half], axis=1)[:, None]
    animation = RigAnimation(rig, np.arange(61) / 30, (0,), rotations, (), np.zeros((61, 0, 3)))
    assert len(reduce_keys(animation, 1.0, 10.0)[0]) == 2
    kept = reduce_keys(animation, 1.0, 0.1)
    assert len(kept[0]) > 4
    assert off(animation, resample(animation, kept))[2] <= 0.1


def test_moments_that_are_keyed_unevenly_are_interpolated_where_they_are_keyed():
    animation = random_animation(9, 60)
    frames = np.cumsum(np.random.default_rng(0).integers(1, 4, 60)).astype(float)
    kept = reduce_keys(animation, 1.0, 1.0, frames)
    shown = resample(animation, kept, frames)
    local, world, place = off(animation, shown)
    assert max(local, world, place) <= 1.0
    keys = kept[3]
    channels = [np.interp(frames, frames[keys], row[keys]) for row in animation.rotations[:, 3].astype(float).T]
    np.testing.assert_allclose(shown.rotations[:, 3], normalize(np.stack(channels, axis=1)), atol=1e-6)


def keyed_otherwise(animation, mode, m, seed=5):
    """The animation with one bone turned by smooth channels of another rotation mode, and those channels."""
    rng, times = np.random.default_rng(seed), animation.timestamps[:, None]
    count = 4 if mode == "AXIS_ANGLE" else 3
    values = np.sin(times * rng.uniform(1, 4, count) + rng.uniform(0, 7, count)) * rng.uniform(0.6, 1.2, count)
    if mode == "AXIS_ANGLE":
        values[:, 1:] = normalize(values[:, 1:] + [0, 3, 0])
        matrices = axis_angle_to_matrix(values[:, 1:], values[:, 0])
    else:
        matrices = np.eye(3)
        for letter in mode:
            axis = "XYZ".index(letter)
            matrices = axis_angle_to_matrix(np.eye(3)[axis], values[:, axis]) @ matrices
    rotations = animation.rotations.copy()
    rotations[:, m] = make_continuous(matrix_to_quat(matrices))
    return replace(animation, rotations=rotations), {m: (mode, values)}


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "AXIS_ANGLE"])
def test_the_bounds_hold_for_bones_keyed_as_euler_or_axis_angles_where_their_channels_are_given(mode):
    animation, channels = keyed_otherwise(random_animation(9, 120, 0.0), mode, 2)
    kept = reduce_keys(animation, 1.0, 1.0, channels=channels)
    assert len(kept[2]) < 110
    shown = resample(animation, kept, channels=channels)
    assert max(off(animation, shown)) <= 1.0
    everything = resample(animation, [np.arange(120)] * 9, channels=channels)
    np.testing.assert_allclose(everything.rotations, animation.rotations, atol=1e-6)
    keys, (_, values), times = kept[2], channels[2], animation.timestamps
    between = np.stack([np.interp(times, times[keys], row[keys]) for row in values.T], axis=1)
    if mode == "AXIS_ANGLE":
        matrices = axis_angle_to_matrix(normalize(between[:, 1:]), between[:, 0])
    else:
        x, y, z = (axis_angle_to_matrix(np.eye(3)[axis], between[:, axis]) for axis in range(3))
        matrices = z @ y @ x if mode == "XYZ" else y @ x @ z
    likeness = np.abs(np.sum(shown.rotations[:, 2] * matrix_to_quat(matrices), axis=-1))
    np.testing.assert_allclose(likeness, 1.0, atol=1e-6)


def test_a_turn_of_more_than_half_a_circle_between_keys_is_not_cut_short():
    half = np.radians(np.linspace(0, 1000, 61)) / 2
    rotations = np.stack([np.cos(half), np.sin(half), 0 * half, 0 * half], axis=1)[:, None]
    rig = random_rig(1)
    animation = RigAnimation(rig, np.arange(61) / 30, (0,), rotations, (), np.zeros((61, 0, 3)))
    assert max(off(animation, resample(animation, reduce_keys(animation, 2.0, 50.0)))[:2]) <= 2.0


@pytest.mark.parametrize("moments", [1, 2, 3])
def test_the_shortest_clips_keep_their_ends(moments):
    animation = random_animation(3, moments, 20.0)
    kept = reduce_keys(animation, 0.1, 0.1)
    assert all(keys[0] == 0 and keys[-1] == moments - 1 for keys in kept)
    assert max(off(animation, resample(animation, kept))) <= 0.1


def test_bounds_finer_than_numbers_keep_every_key():
    animation = random_animation(9, 40)
    assert share_kept(reduce_keys(animation, 1e-9, 1e-9), animation) == 1.0


def test_a_minute_of_sixty_bones_keeps_its_bounds():
    animation = random_animation(60, 1800)
    kept = reduce_keys(animation, 1.0, 1.0)
    assert max(off(animation, resample(animation, kept))) <= 1.0


def test_what_cannot_be_is_refused():
    animation = random_animation(3, 10)
    for bounds in ((0.0, 1.0), (1.0, 0.0), (1.0, -1.0), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="above 0"):
            reduce_keys(animation, *bounds)
    with pytest.raises(ValueError, match="as many frames"):
        reduce_keys(animation, 1.0, 1.0, np.arange(9))
    with pytest.raises(ValueError, match="3 bones"):
        resample(animation, [np.arange(10)])
    with pytest.raises(ValueError, match="first and the last"):
        resample(animation, [np.arange(9)] * 3)
