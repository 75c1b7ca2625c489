# SPDX-License-Identifier: GPL-3.0-or-later
"""With exact input the true motion comes back; with bad input a usable one."""

from dataclasses import replace

import numpy as np
import pytest

from tests import walker
from tests.walker import KNOWN_CAMERA, UNSMOOTHED, expected, noisy, seen
from video_to_pose import bones, motion
from video_to_pose.errors import InputError
from video_to_pose.settings import CameraSettings, MotionSettings
from video_to_pose.skeleton import BODY_22, mirror_indices
from video_to_pose.types import KeypointTrack, LiftedPose

PLACES = {"in front": (1.0, -6.0, 1.5), "low": (-1.0, -6.5, 0.3), "from the side": (5.5, -1.0, 2.0)}


def world(solved):
    return bones.compose(solved.skeleton, solved.directions, solved.lengths, solved.root)


def solve(view, settings=None, camera=KNOWN_CAMERA):
    return motion.solve(view.track, view.pose, camera, settings or MotionSettings())


def with_pose(view, **changes):
    pose = view.pose
    values = {name: getattr(pose, name) for name in ("skeleton", "timestamps", "directions", "lengths")}
    return LiftedPose(**{**values, "confidence": pose.confidence, "up": pose.up, **changes})


@pytest.mark.parametrize("position", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("heading", [0.0, 0.8])
def test_exact_input_gives_back_the_true_motion(position, heading):
    view = seen(walker.walk(heading=heading)[0], position)
    solved, _ = solve(view, UNSMOOTHED)
    assert np.abs(world(solved) - expected(view)).max() < 0.01


def test_default_smoothing_keeps_an_exact_walk_within_three_centimetres():
    view = seen(walker.walk()[0])
    solved, _ = solve(view)
    assert np.linalg.norm(world(solved) - expected(view), axis=-1).mean() < 0.01
    assert np.linalg.norm(world(solved) - expected(view), axis=-1).max() < 0.03


def test_a_camera_with_roll_gives_the_same_motion():
    joints = walker.walk()[0]
    level, tilted = (solve(seen(joints, roll=roll), UNSMOOTHED)[0] for roll in (0.0, 0.3))
    np.testing.assert_allclose(world(level), world(tilted), atol=0.005)


def test_an_even_walk_is_recovered_at_its_speed():
    view = noisy(seen(walker.walk(seconds=5, speed=0.7)[0]), degrees=3, pixels=2)
    solved, _ = solve(view)
    velocity = (solved.root[-1] - solved.root[0]) / (solved.timestamps[-1] - solved.timestamps[0])
    true = (expected(view)[-1, 0] - expected(view)[0, 0]) / (solved.timestamps[-1] - solved.timestamps[0])
    np.testing.assert_allclose(velocity, true, atol=0.05)


def test_the_camera_sees_the_solved_joints_where_the_keypoints_are():
    view = seen(walker.walk()[0])
    solved, camera = solve(view, UNSMOOTHED)
    pixels = camera.project(camera.to_camera(world(solved)))
    names = [BODY_22.index(name) for name in view.track.names]
    assert np.abs(pixels[:, names] - view.track.positions).max() < 1.5


def test_the_camera_is_where_it_was():
    view = seen(walker.walk()[0], position=(1.0, -6.0, 1.5))
    _, camera = solve(view, UNSMOOTHED)
    assert camera.position[2] == pytest.approx(1.5, abs=0.02)
    np.testing.assert_allclose(camera.R_world_camera.T @ camera.R_world_camera, np.eye(3), atol=1e-6)
    assert camera.R_world_camera[0, 2] == pytest.approx(0, abs=1e-3)  # looks along +Y


def test_who_faces_the_camera_faces_minus_y():
    view = seen(walker.walk()[0], position=(0.0, -6.0, 1.5))
    solved, _ = solve(view)
    nose = solved.directions[:, BODY_22.index("nose") - 1]
    assert np.all(nose[:, 1] < -0.8)


def test_bones_never_stretch():
    solved, _ = solve(noisy(seen(walker.walk()[0]), degrees=10, pixels=5))
    _, lengths = bones.decompose(BODY_22, world(solved).astype(float))
    assert lengths.std(axis=0).max() < 1e-5


def test_the_pelvis_and_the_head_do_not_bend():
    solved, _ = solve(noisy(seen(walker.walk()[0]), degrees=10, pixels=5))
    left, right, crown, nose = (BODY_22.index(j) - 1 for j in ("left_hip", "right_hip", "head_top", "nose"))
    np.testing.assert_allclose(solved.directions[:, left], -solved.directions[:, right], atol=1e-6)
    assert solved.lengths[left] == solved.lengths[right]
    assert np.sum(solved.directions[:, crown] * solved.directions[:, nose], axis=-1).std() < 1e-5


@pytest.mark.parametrize("flat_floor", [True, False])
def test_nobody_sinks_into_the_floor(flat_floor):
    for seed in range(3):
        view = noisy(seen(walker.walk(heading=0.5)[0]), degrees=8, pixels=4, seed=seed)
        solved, _ = solve(view, MotionSettings(flat_floor=flat_floor))
        assert world(solved)[..., 2].min() > -0.03


def test_planted_feet_are_found():
    joints, planted = walker.walk()
    solved, _ = solve(noisy(seen(joints), degrees=2, pixels=1))
    assert solved.contact_names == ("left_heel", "left_toe", "right_heel", "right_toe")
    toes = solved.contacts[:, [1, 3]]
    assert (toes == planted).mean() > 0.9
    assert planted[toes].mean() > 0.85


def test_planted_feet_slide_less_than_the_raw_root_would_let_them():
    joints, planted = walker.walk()
    solved, camera = solve(noisy(seen(joints), degrees=3, pixels=3))
    toes = world(solved)[:, [BODY_22.index("left_toe"), BODY_22.index("right_toe")], :2]
    still = planted[1:] & planted[:-1]
    speed = np.linalg.norm(np.diff(toes, axis=0), axis=-1) * walker.RATE
    assert speed[still].mean() < 0.35
    pixels = camera.project(camera.to_camera(world(solved)))
    true = camera.focal_px * 1.7 / 6
    names = [BODY_22.index(name) for name in KEYPOINTS]
    assert np.linalg.norm(pixels[:, names] - seen(joints).track.positions, axis=-1).mean() < 0.02 * true


KEYPOINTS = walker.KEYPOINTS


@pytest.mark.parametrize("height", [0.1, 0.35])
def test_jumps_keep_their_height(height):
    joints, airborne = walker.jump(height)
    view = seen(joints, target=(0, 0, 0.9), position=(1.0, -4.0, 1.3))
    solved, _ = solve(view)
    rise = solved.root[:, 2].max() - np.median(solved.root[:10, 2])
    assert rise == pytest.approx(height, abs=0.1 * height + 0.02)
    assert not solved.contacts[airborne][3:-3].any()


def test_walking_on_a_tilted_guess_of_the_floor_stays_on_the_floor():
    view = seen(walker.walk(seconds=4, speed=0.7)[0])
    up = view.pose.up * np.cos(0.07) + np.cross([1.0, 0, 0], view.pose.up) * np.sin(0.07)
    solved, _ = solve(replace_pose(view, up=up / np.linalg.norm(up)))
    soles = world(solved)[:, [BODY_22.index("left_toe"), BODY_22.index("right_toe")], 2].min(axis=1)
    assert np.abs(soles - walker.TOE).max() < 0.05


def test_who_climbs_on_the_spot_gains_height():
    climbing = walker.jump(0.0)[0] + np.linspace(0, 1.0, 60)[:, None, None] * [0.0, 0.0, 1.0]
    solved, _ = solve(seen(climbing, target=(0, 0, 0.9), position=(1.0, -4.0, 1.3)))
    assert solved.root[-1, 2] - solved.root[0, 2] > 0.75


def replace_pose(view, **changes):
    return replace(view, pose=with_pose(view, **changes))


def test_a_wrong_up_is_righted_by_a_long_walk():
    view = seen(walker.walk(seconds=8, speed=0.9, heading=0.9)[0], position=(1.5, -9, 1.5), target=(1.5, -2, 0.9))
    for axis in ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]):
        up = view.pose.up * np.cos(0.09) + np.cross(axis, view.pose.up) * np.sin(0.09)
        _, camera = solve(replace_pose(view, up=up / np.linalg.norm(up)))
        before = np.degrees(np.arccos(np.dot(up / np.linalg.norm(up), view.pose.up)))
        after = np.degrees(np.arccos(np.clip(np.dot(camera.R_world_camera[2], view.pose.up), -1, 1)))
        assert after < before + 0.3


def test_left_and_right_are_alike():
    """The picture seen in a mirror gives the mirrored motion."""
    view = noisy(seen(walker.walk(heading=0.4)[0]), degrees=4, pixels=2)
    track, pose = view.track, view.pose
    names = mirror_indices(track.names)
    flipped = (track.positions * [-1, 1] + [walker.SIZE[0], 0])[:, names]
    other = BODY_22.mirror[1:] - 1
    mirrored = replace(
        view,
        track=KeypointTrack(track.timestamps, track.names, flipped, track.scores[:, names], track.image_size),
        pose=with_pose(
            view,
            directions=pose.directions[:, other] * [-1, 1, 1],
            lengths=pose.lengths[other],
            up=pose.up * [-1, 1, 1],
        ),
    )
    one, other_motion = solve(view)[0], solve(mirrored)[0]
    np.testing.assert_allclose(world(other_motion)[:, BODY_22.mirror] * [-1, 1, 1], world(one), atol=2e-4)
    np.testing.assert_array_equal(other_motion.contacts[:, [2, 3, 0, 1]], one.contacts)


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_tiny_clips_work(frames):
    view = seen(walker.walk()[0][:frames])
    solved, _ = solve(view)
    assert solved.frame_count == frames
    assert np.abs(world(solved) - expected(view)).max() < 0.06


def test_another_frame_rate_gives_the_same_motion():
    joints = walker.walk()[0]
    fast, slow = seen(joints), seen(joints[::2])
    times = np.arange(len(joints[::2])) * 2 / walker.RATE
    track = KeypointTrack(times, slow.track.names, slow.track.positions, slow.track.scores, walker.SIZE)
    slow = replace(slow, track=track, pose=with_pose(slow, timestamps=times))
    np.testing.assert_allclose(world(solve(slow)[0]), world(solve(fast)[0])[::2], atol=0.04)


def test_gaps_are_bridged_and_stay_marked():
    view = seen(walker.walk()[0])
    gap = slice(40, 52)
    positions, scores = view.track.positions.copy(), view.track.scores.copy()
    positions[gap], scores[gap] = np.nan, 0
    directions, confidence = view.pose.directions.copy(), view.pose.confidence.copy()
    directions[gap] = [0.0, 1.0, 0.0]  # whatever a lifter says where it saw nothing
    confidence[gap] = 0
    blind = replace(
        view,
        track=KeypointTrack(view.track.timestamps, view.track.names, positions, scores, walker.SIZE),
        pose=with_pose(view, directions=directions, confidence=confidence),
    )
    solved, _ = solve(blind)
    assert np.all(solved.confidence[gap] == 0) and np.all(solved.confidence[:40] == 1)
    assert np.linalg.norm(world(solved) - expected(view), axis=-1).max() < 0.35  # a gap of a third of a cycle
    assert np.linalg.norm(solved.root - expected(view)[:, 0], axis=-1).max() < 0.12


def test_a_person_never_seen_well_still_gives_a_motion():
    view = seen(walker.walk()[0][:20])
    track = KeypointTrack(
        view.track.timestamps,
        view.track.names,
        np.full_like(view.track.positions, np.nan),
        0 * view.track.scores,
        walker.SIZE,
    )
    solved, _ = motion.solve(track, with_pose(view, confidence=np.zeros((20, 22))), KNOWN_CAMERA, MotionSettings())
    assert np.isfinite(solved.root).all()


def test_opposite_and_equal_directions_do_no_harm():
    view = seen(walker.walk()[0][:10])
    directions = view.pose.directions.copy()
    left, right, crown, nose = (BODY_22.index(j) - 1 for j in ("left_hip", "right_hip", "head_top", "nose"))
    directions[4, left] = directions[4, right]
    directions[5, nose] = directions[5, crown]
    directions[6] = -directions[6]
    solved, _ = solve(replace_pose(view, directions=directions))
    assert np.isfinite(world(solved)).all()


def test_a_given_height_sizes_the_person_and_the_way():
    view = seen(walker.walk()[0])
    plain, tall = solve(view)[0], solve(view, camera=replace(KNOWN_CAMERA, height_m=1.9))[0]
    assert motion.standing_height(BODY_22, tall.lengths) == pytest.approx(1.9, abs=1e-4)
    ratio = 1.9 / motion.standing_height(BODY_22, plain.lengths)
    np.testing.assert_allclose(tall.root[-1], plain.root[-1] * ratio, atol=0.03)


@pytest.mark.parametrize(
    ("camera", "code"),
    [
        (CameraSettings(height_m=0.0), "height-range"),
        (CameraSettings(height_m=17.5), "height-range"),
        (CameraSettings(fov_degrees=0.0), "fov-range"),
        (CameraSettings(fov_degrees=180.0), "fov-range"),
        (CameraSettings(fov_degrees=float("nan")), "fov-range"),
    ],
)
def test_impossible_cameras_and_heights_are_refused(camera, code):
    with pytest.raises(InputError) as caught:
        solve(seen(walker.walk()[0][:3]), camera=camera)
    assert caught.value.code == code


def test_the_input_is_left_alone():
    view = seen(walker.walk()[0][:30])
    before = view.pose.directions.copy(), view.pose.lengths.copy(), view.track.positions.copy()
    solve(view)
    for kept, now in zip(before, (view.pose.directions, view.pose.lengths, view.track.positions), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_legs_exchanged_for_a_moment_are_mended_before_smoothing_blurs_them():
    view = seen(walker.walk(seconds=4)[0])
    legs = [
        BODY_22.index(f"{side}_{joint}") - 1 for side in ("left", "right") for joint in ("hip", "knee", "ankle", "toe")
    ]
    exchanged = view.pose.directions.copy()
    exchanged[50:55, legs] = exchanged[50:55, legs[4:] + legs[:4]]
    spoiled = replace_pose(view, directions=exchanged)
    clean, mended, left = (
        world(solve(v, MotionSettings(mend_glitches=mend))[0])[48:57]
        for v, mend in ((view, True), (spoiled, True), (spoiled, False))
    )
    assert np.linalg.norm(mended - clean, axis=-1).max() < 0.02 < np.linalg.norm(left - clean, axis=-1).max()
