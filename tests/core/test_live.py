# SPDX-License-Identifier: GPL-3.0-or-later
"""A person followed while it happens: near what the whole clip would say, with bones that never stretch."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import EXAMPLE
from tests.films import write_video
from video_to_pose import bones, cli, detect, lift, live, motion, protocol, track, video
from video_to_pose.errors import InputError
from video_to_pose.formats import take as take_file
from video_to_pose.live_source import Source
from video_to_pose.settings import CaptureSettings, DetectSettings, LiftSettings, LiveSettings
from video_to_pose.types import KeypointTrack

CORE = Path(__file__).resolve().parents[2] / "core"
SETTINGS = CaptureSettings(detect=DetectSettings(max_people=1))
LIMBS = [f"{s}_{j}" for s in ("left", "right") for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]
SIZE = (1280, 720)


@pytest.fixture(scope="module")
def seen(detector_model):
    """Times and detections of the example clip's first seconds."""
    with detect.load(SETTINGS.detect) as detector:
        return [(frame.time_s, detector(frame)) for frame in islice(video.read_frames(EXAMPLE), 90)]


@pytest.fixture(scope="module")
def lifter():
    return lift.load(LiftSettings())


@pytest.fixture(scope="module")
def offline(seen, lifter):
    keypoints = track.make_track([time for time, _ in seen], [people for _, people in seen], SIZE)
    focal, centre = motion.intrinsics(SIZE, SETTINGS.camera)
    return motion.solve(keypoints, lifter(keypoints, focal, centre), SETTINGS.camera, SETTINGS.motion)[0]


def followed(seen, lifter, settings=None, settled=False):
    """Poses of all frames; `settled`: lengths and tilt were measured on the clip before."""
    solver = live.LiveSolver(lifter, SIZE, SETTINGS, settings or LiveSettings())
    later = 0.0
    if settled:
        for time, people in seen:
            solver(time, people[0])
        solver.settle()
        later = seen[-1][0] + 5.0
    poses = [solver(time + later, people[0] if people else None) for time, people in seen]
    return [replace(pose, time_s=pose.time_s - later) for pose in poses if pose is not None]


@pytest.fixture(scope="module")
def plain(seen, lifter):
    """Poses with all defaults."""
    return followed(seen, lifter)


def limbs(skeleton, joints):
    """(F, 12, 3) relative to the middle of the hips."""
    chosen = joints[:, [skeleton.index(name) for name in LIMBS]]
    hips = joints[:, [skeleton.index("left_hip"), skeleton.index("right_hip")]].mean(axis=1, keepdims=True)
    return chosen - hips


def apart_mm(poses, clip, skip=10):
    """Mean distance of the limbs' joints from those of the whole clip at the same moments."""
    own = bones.compose(
        clip.skeleton, [p.directions for p in poses], poses[-1].lengths, np.array([p.root for p in poses])
    )
    whole = bones.compose(clip.skeleton, clip.directions, clip.lengths, clip.root)
    at = np.abs(clip.timestamps[None] - np.array([p.time_s for p in poses])[:, None]).argmin(axis=1)
    off = np.linalg.norm(limbs(clip.skeleton, own) - limbs(clip.skeleton, whole[at]), axis=-1)
    return float(1e3 * off[skip:].mean())


def test_poses_are_near_what_the_whole_clip_says_and_nearer_the_more_they_look_ahead(seen, lifter, offline):
    apart = {
        delay: apart_mm(followed(seen, lifter, LiveSettings(delay_frames=delay), True), offline) for delay in (0, 8)
    }
    assert apart[8] < apart[0]
    assert apart[0] < 60 and apart[8] < 45


def test_a_pose_is_behind_by_the_delay_and_no_more(seen, lifter, plain):
    behind = np.array([time for time, _ in seen])[20:] - [pose.time_s for pose in plain][20:]
    assert np.allclose(behind, LiveSettings.delay_frames / lifter.frame_rate, atol=2e-3)


def test_a_causal_lifter_is_not_behind(lifter):
    causal = replace(lifter, metadata={**lifter.metadata, "causal": "true"})
    assert live.delay_frames(causal, LiveSettings(delay_frames=4)) == 0


def test_who_is_followed_is_lifted_by_the_lifter_for_that():
    assert live.following_lift(SETTINGS, LiveSettings("fc")) == LiftSettings("fc")
    own = CaptureSettings(lift=LiftSettings(model_path=Path("own.onnx")))
    assert live.following_lift(own, LiveSettings("fc")) == own.lift  # a file of the user's serves for all


def test_lengths_settle_and_then_never_change(plain):
    settled = [pose for pose in plain if pose.settled]
    assert 0 < len(plain) - len(settled) < 70
    assert all(np.array_equal(pose.lengths, settled[0].lengths) for pose in settled)
    assert np.allclose(np.linalg.norm([pose.directions for pose in plain], axis=-1), 1.0, atol=1e-5)


def test_soles_are_about_on_the_floor(plain, offline):
    poses = plain
    joints = bones.compose(
        offline.skeleton, [p.directions for p in poses], poses[0].lengths, np.array([p.root for p in poses])
    )
    ankles = joints[65:, [offline.skeleton.index("left_ankle"), offline.skeleton.index("right_ankle")], 2]
    assert abs(float(np.median(ankles.min(axis=1))) - 0.08) < 0.06


def test_who_is_lost_holds_the_pose_and_is_found_again(seen, lifter, plain):
    gone = [(time, [] if 30 <= f < 50 else people) for f, (time, people) in enumerate(seen)]
    poses = followed(gone, lifter)
    held = poses[30:50]
    assert all(np.array_equal(pose.directions, poses[29].directions) for pose in held)
    assert all(np.array_equal(pose.root, poses[29].root) and not pose.is_seen for pose in held)
    times = [pose.time_s for pose in poses]
    assert all(b > a for a, b in pairwise(times))
    assert poses[50].is_seen
    back = np.degrees(np.arccos(np.clip(np.sum(poses[-1].directions * plain[-1].directions, axis=-1), -1, 1)))
    assert back.mean() < 10


def test_nothing_is_said_before_anybody_was_seen(lifter):
    solver = live.LiveSolver(lifter, SIZE, SETTINGS, LiveSettings())
    assert solver(0.0, None) is None and solver(0.1, None) is None


def moved(person, by, size=1.0):
    return replace(person, positions=(person.positions * size + np.array(by, dtype=np.float32)).astype(np.float32))


def test_one_is_kept_to_though_a_larger_one_comes_and_another_is_taken_when_the_first_has_gone(seen):
    person = seen[0][1][0]
    large = moved(person, (-900, -300), 2.0)
    follower = live.Follower(SIZE, central=False, lost_s=1.0)
    assert follower(0.0, [person]) is person
    assert follower(0.03, [large, person]) is person
    assert follower(0.5, [large]) is None
    assert follower(2.0, [large, moved(person, (400, 0))]) is large


def test_the_middle_one_can_be_meant(seen):
    person = seen[0][1][0]
    middle = np.median(person.positions, axis=0)
    central = moved(person, np.array(SIZE) / 2 - middle)
    aside = moved(person, np.array(SIZE) / 2 - middle * 2 - (300, 0), 2.0)
    assert live.Follower(SIZE, True, 1.0)(0.0, [aside, central]) is central
    assert live.Follower(SIZE, False, 1.0)(0.0, [aside, central]) is aside


class Replayed:
    """The detections of before, frame by frame."""

    def __init__(self, seen):
        self.seen = dict(seen)

    def __call__(self, frame):
        return self.seen[frame.time_s]


def pictures(seen):
    nothing = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    return [video.Frame(i, time, nothing) for i, (time, _) in enumerate(seen)]


def test_a_recording_becomes_the_take_that_the_file_would_have_become(seen, lifter, offline, tmp_path):
    following = live.Live(Replayed(seen), lifter, SETTINGS, LiveSettings())
    assert not following.record()
    frames = pictures(seen)
    following(frames[0])
    assert following.record() and following.solver.is_settled
    lengths = [following(frame).lengths for frame in frames[1:]]
    assert all(np.array_equal(each, lengths[0]) for each in lengths)
    recording = following.stop_recording()
    assert following.stop_recording() is None and recording.frame_count == len(seen) - 1
    take = following.take(recording, "Camera")
    assert np.abs(take.motion.lengths - offline.lengths).max() < 5e-3
    assert take.provenance["live"]["delay_frames"] == LiveSettings.delay_frames
    take_file.save(take, tmp_path / "a.npz")
    assert np.array_equal(take_file.load(tmp_path / "a.npz").track.positions, take.track.positions)


def test_a_recording_with_few_frames_a_second_becomes_a_take_too(seen, lifter, offline):
    recording = live.Recording(SIZE)
    for time_s, people in seen[::8]:
        recording.add(time_s, people[0])
    solved = recording.take("Camera", lifter, SETTINGS, LiveSettings()).motion
    assert solved.frame_rate == pytest.approx(lifter.frame_rate, rel=0.02)
    middle = slice(10, solved.frame_count - 10)
    off = np.sum(solved.directions[middle] * offline.directions[: solved.frame_count][middle], axis=-1)
    assert np.degrees(np.arccos(np.clip(off, -1, 1))).mean() < 15


def test_what_was_followed_by_one_lifter_is_recorded_by_another(seen):
    live_settings = LiveSettings("fc")
    following = live.Live(
        Replayed(seen), lift.load(live.following_lift(SETTINGS, live_settings)), SETTINGS, live_settings
    )
    assert following.delay_s == 0  # every frame alone: it looks at nothing that comes
    frames = pictures(seen)
    pose = following(frames[0])
    assert following.record() and len(pose.directions) == following.lifter.skeleton.bone_count
    for frame in frames[1:40]:
        following(frame)
    take = following.take(following.stop_recording(), "Camera")
    assert take.provenance["lifter"]["id"] == SETTINGS.lift.lifter
    assert take.provenance["live"]["lifter"] == "fc"
    assert take.motion.skeleton.joints == lift.load(SETTINGS.lift).skeleton.joints


def test_gaps_stay_gaps_when_frames_are_filled_in():
    positions = np.zeros((5, 1, 2))
    positions[2] = np.nan
    slow = KeypointTrack(np.arange(5) / 5, ("nose",), positions, np.array([[1], [1], [0], [1], [1]]), SIZE)
    filled = live.at_least(slow, 30.0)
    assert filled.frame_count == 25
    unknown = np.isnan(filled.positions[:, 0, 0])
    assert unknown[8:17].all() and not unknown[:6].any() and not unknown[19:].any()
    assert (filled.scores[unknown] == 0).all()
    assert live.at_least(filled, 30.0) is filled


def test_a_recording_of_nobody_is_told(lifter):
    recording = live.Recording(SIZE)
    for f in range(10):
        recording.add(f / 30, None)
    with pytest.raises(InputError, match="No person"):
        recording.take("Camera", lifter, SETTINGS, LiveSettings())


def test_every_frame_is_told_with_how_far_behind_it_is(seen, lifter, tmp_path):
    film = write_video(tmp_path / "film.mp4", range(12))
    people = seen[0][1]
    following = live.Live(lambda frame: people, lifter, SETTINGS, LiveSettings())
    moments = list(live.follow(following, Source("file", str(film)), threading.Event()))
    assert len(moments) + moments[-1].dropped == 12
    assert all(moment.latency_s > 0 and moment.pose.is_seen for moment in moments)


# --- the worker and the command ----------------------------------------------------------------------------------


def worker():
    return subprocess.Popen(
        [sys.executable, "-m", "video_to_pose.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(CORE)},
        text=True,
    )


def until(process, kind):
    while not isinstance(message := protocol.decode(process.stdout.readline()), kind):
        assert not isinstance(message, protocol.Failed), message
    return message


def order(process, path, source="file"):
    process.stdin.write(protocol.encode_job(protocol.Follow(source, str(path), SETTINGS, LiveSettings())))
    process.stdin.flush()


def test_the_worker_follows_records_and_ends_with_the_source(detector_model, short_example, tmp_path):
    process, take = worker(), tmp_path / "recorded ü.npz"
    order(process, short_example)
    actor = until(process, protocol.Actor)
    pose = until(process, protocol.Pose)
    process.stdin.write(protocol.encode_record(take))
    process.stdin.flush()
    joints = len(actor.joints)
    directions, lengths, root, _ = protocol.unpacked(pose.numbers, 3 * (joints - 1), joints - 1, 3, joints)
    assert np.allclose(np.linalg.norm(np.reshape(directions, (-1, 3)), axis=1), 1.0, atol=1e-4)
    assert min(lengths) > 0 and len(root) == 3
    messages = [protocol.decode(line) for line in process.stdout]
    assert process.wait(timeout=20) == 0
    assert isinstance(messages[-1], protocol.Followed)
    ends = [m for m in messages if isinstance(m, protocol.Recorded | protocol.Warning)]
    assert len(ends) == 1
    if isinstance(ends[0], protocol.Recorded):  # on a busy machine there may be too few frames left for one
        assert take_file.load(take).provenance["video"]["name"] == take.stem
    process.stdin.close()


@pytest.mark.parametrize("how", ["cancel", "died"])
def test_stopping_or_killing_leaves_no_process(detector_model, tmp_path, how):
    film = write_video(tmp_path / "nobody.mp4", range(900), still=True)
    process = worker()
    order(process, film)
    assert until(process, protocol.Pose).numbers == ""  # nobody is in it
    if how == "cancel":
        process.stdin.write(protocol.CANCEL_LINE)
        process.stdin.flush()
        assert isinstance(until(process, protocol.Cancelled), protocol.Cancelled)
    else:
        process.stdout.close()
        process.stdin.close()
    assert process.wait(timeout=20) == 130
    assert list(tmp_path.iterdir()) == [film]


def test_a_source_that_is_not_there_is_told(detector_model, tmp_path):
    process = worker()
    order(process, tmp_path / "none.ts", "growing")
    last = [protocol.decode(line) for line in process.stdout][-1]
    assert isinstance(last, protocol.Failed) and last.code == "video-missing"
    process.stdin.close()
    process.wait(timeout=20)


def test_the_command_prints_poses_for_programs_and_records(detector_model, short_example, tmp_path, capsys):
    take = tmp_path / "out" / "take.npz"
    code = cli.main(["live", str(short_example), "--json", "-o", str(take), "--delay", "0"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    poses = [line["pose"] for line in lines if "pose" in line]
    joints = lift.load(LiftSettings(LiveSettings.lifter)).skeleton.joints
    assert lines[0]["skeleton"]["joints"] == list(joints) and len(poses[-1]["joints_m"]) == len(joints)
    assert poses[-1]["seen"] and poses[-1]["latency_s"] > 0
    if code == 0:
        assert lines[-1]["result"]["outputs"] == [str(take)] and take.is_file()
    else:  # a busy machine saw too few frames for a motion, and says so
        assert lines[-1]["failed"]["code"] == "too-short"


@pytest.mark.parametrize("wrong", [["--delay", "99"], ["--settle", "-1"], ["-o", "take.bvh"]])
def test_what_cannot_be_is_refused_before_the_work(short_example, wrong, capsys):
    assert cli.main(["live", str(short_example), *wrong]) == 2
    assert "hint:" in capsys.readouterr().err
