# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims about people over time, on synthetic people."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests import walkers
from video_to_pose import track
from video_to_pose.detect import appearance
from video_to_pose.errors import InputError, SetupError
from video_to_pose.settings import TrackSettings
from video_to_pose.track import people as following

SIZE = (1280, 720)
NAMES = ("nose", *(f"{s}_{p}" for s in ("left", "right") for p in ("shoulder", "hip", "knee", "ankle", "wrist")))
SHAPE = np.array(  # a standing person one unit tall
    [
        [0, 0],
        *([0.1, 0.2], [0.08, 0.5], [0.1, 0.75], [0.1, 1.0], [0.2, 0.5]),
        *([-0.1, 0.2], [-0.08, 0.5], [-0.1, 0.75], [-0.1, 1.0], [-0.2, 0.5]),
    ]
)


def person(x, y=100.0, height=300.0, score=0.9):
    positions = (SHAPE * height + (x, y)).astype(np.float32)
    return SimpleNamespace(names=NAMES, positions=positions, scores=np.full(len(NAMES), score, np.float32))


def even(count, rate=30.0):
    return np.arange(count) / rate


def nose_x(result):
    return result.positions[:, 0, 0]


def test_a_person_in_every_frame_is_taken_as_found():
    walker = [[person(100 + 5 * i)] for i in range(20)]
    result = track.make_track(even(20), walker, SIZE)
    assert result.names == NAMES
    assert result.image_size == SIZE
    np.testing.assert_allclose(result.timestamps, even(20), atol=1e-9)
    np.testing.assert_allclose(nose_x(result), 100 + 5 * np.arange(20))
    assert np.all(result.scores == np.float32(0.9))


def test_frames_before_and_after_the_person_are_left_out():
    frames = [[]] * 7 + [[person(100 + 5 * i)] for i in range(10)] + [[]] * 5
    result = track.make_track(even(22), frames, SIZE)
    assert result.frame_count == 10
    np.testing.assert_allclose(result.timestamps, even(22)[7:17], atol=1e-9)


def test_the_order_of_detections_does_not_matter():
    def frame(i):
        people = [person(100 + 5 * i), person(900 - 5 * i, height=200)]
        return people[::-1] if i % 3 else people

    result = track.make_track(even(30), [frame(i) for i in range(30)], SIZE)
    np.testing.assert_allclose(nose_x(result), 100 + 5 * np.arange(30))


def test_the_nearer_person_is_chosen_though_others_are_there_longer():
    def frame(i):
        far = [person(900, height=200)]
        return [*far, person(100 + 5 * i, height=320)] if 10 <= i < 50 else far

    result = track.make_track(even(60), [frame(i) for i in range(60)], SIZE)
    assert nose_x(result).max() < 400


def test_somebody_passing_close_for_a_moment_is_not_chosen():
    def frame(i):
        subject = [person(600, height=300)]
        return [*subject, person(20 * i, height=450)] if 20 <= i < 28 else subject

    result = track.make_track(even(120), [frame(i) for i in range(120)], SIZE)
    np.testing.assert_allclose(nose_x(result), 600)


def test_raised_arms_make_nobody_nearer():
    up = person(900, height=290)
    up.positions[[5, 10], 1] -= 400
    frames = [[person(200, height=300), up]] * 10
    np.testing.assert_allclose(nose_x(track.make_track(even(10), frames, SIZE)), 200)


def test_a_jump_onto_a_bystander_is_rejected():
    frames = [[person(100 + 5 * i)] for i in range(20)]
    frames[9] = [person(800)]  # the detector took somebody else
    result = track.make_track(even(20), frames, SIZE)
    np.testing.assert_allclose(nose_x(result), 100 + 5 * np.arange(20), atol=1e-3)
    assert result.scores[9].max() < result.scores[8].min()


def test_one_person_found_twice_is_one_person():
    frames = [[person(100 + 5 * i), person(103 + 5 * i, score=0.6)] for i in range(10)]
    assert len(track.find_people(even(10), frames, SIZE)) == 1
    np.testing.assert_allclose(nose_x(track.make_track(even(10), frames, SIZE)), 100 + 5 * np.arange(10))


def test_a_short_gap_is_interpolated_with_low_score():
    frames = [[person(100 + 5 * i)] if not 5 <= i < 10 else [] for i in range(20)]
    result = track.make_track(even(20), frames, SIZE)
    np.testing.assert_allclose(nose_x(result), 100 + 5 * np.arange(20), atol=1e-3)
    assert np.all((result.scores[5:10] > 0) & (result.scores[5:10] < 0.5))


def test_a_long_gap_stays_missing():
    frames = [[person(100)] if not 5 <= i < 30 else [] for i in range(40)]
    result = track.make_track(even(40), frames, SIZE, TrackSettings(max_gap_s=0.5))
    assert result.frame_count == 40
    assert np.isnan(result.positions[5:30]).all()
    assert np.all(result.scores[5:30] == 0)
    assert np.isfinite(result.positions[:5]).all()


def test_a_variable_frame_rate_becomes_even_at_the_usual_rate():
    times = np.delete(even(60), [7, 20, 21, 40])
    frames = [[person(100 + 150 * time)] for time in times]
    result = track.make_track(times, frames, SIZE)
    assert result.frame_count == 60
    np.testing.assert_allclose(np.diff(result.timestamps), 1 / 30, atol=1e-9)
    np.testing.assert_allclose(nose_x(result), 100 + 150 * even(60), atol=1e-2)


def test_resampled_scores_are_the_lower_neighbours():
    times = np.array([0.0, 0.1, 0.2, 0.35, 0.45, 0.55])
    scores = np.array([[0.9], [0.8], [0.3], [0.9], [0.9], [0.9]])
    even_times, _, even_scores = track.resample_evenly(times, np.zeros((6, 1, 2)), scores, 0.5)
    np.testing.assert_allclose(even_times, np.arange(6) / 10)
    np.testing.assert_allclose(even_scores[:, 0], [0.9, 0.8, 0.3, 0.3, 0.9, 0.9])


def test_a_pause_of_the_recording_longer_than_a_gap_is_missing():
    times = np.concatenate([even(10), even(10) + 2.0])
    result = track.make_track(times, [[person(100)]] * 20, SIZE)
    assert np.isnan(result.positions[(result.timestamps > 0.34) & (result.timestamps < 1.96)]).all()


def test_times_rounded_by_the_container_are_straightened_and_values_kept():
    times = np.round(even(50, 29.97), 3)  # as Matroska stores them
    frames = [[person(100 + i)] for i in range(50)]
    result = track.make_track(times, frames, SIZE)
    np.testing.assert_allclose(result.timestamps, even(50, 29.97), atol=1e-3)
    assert np.ptp(np.diff(result.timestamps)) < 1e-9
    np.testing.assert_array_equal(nose_x(result), 100 + np.arange(50))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([[], [], []], "no-person"),
        ([[person(100)]], "too-short"),
        ([], "too-short"),
        ([[], [person(100)], []], "too-short"),
    ],
)
def test_nothing_to_make_a_motion_from_is_one_clear_sentence(frames, code):
    with pytest.raises(InputError) as caught:
        track.make_track(even(len(frames)), frames, SIZE)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")
    assert caught.value.hint


# --- identities ----------------------------------------------------------------------------------------------------

STEADY = walkers.Detector(jitter=0.004, misses=0.0, doubles=0.0)


def colours(shade):
    return np.tile([shade, 0.0, 0.1 - 0.2 * shade], 7)


def walk(x0, speed, who, height=360.0, **more):
    return walkers.Walker(walkers.line(x0, speed), height, colours(0.2 + 0.3 * who), **more)


def followed(people, seconds=6.0, errs=STEADY, seed=0, cuts=(), settings=None):
    """Whose the detections of each track are, as runs (owner, first frame, last frame); tracks by first sighting."""
    times = even(int(seconds * 30))
    found, owners = walkers.detect(people, times, errs, np.random.default_rng(seed))
    whose = {id(d): owners[f][k] for f, frame in enumerate(found) for k, d in enumerate(frame)}
    tracks = sorted(track.find_people(times, found, SIZE, settings, cuts), key=lambda p: (p.first_s, p.number))
    return tracks, [{whose[id(d)] for d in one.detections} for one in tracks]


def test_two_people_who_cross_keep_their_identities():
    tracks, owners = followed([walk(100, 190, 0, 330), walk(1200, -200, 1, 380)])
    assert owners in ([{0}, {1}], [{1}, {0}])
    assert all(len(one.frames) > 150 for one in tracks)


def test_people_who_meet_and_turn_back_are_not_exchanged():
    one = walkers.Walker(walkers.bounce(100, 180, 2.9, 380), 330, colours(0.2))
    other = walkers.Walker(walkers.bounce(1180, -180, 2.9, 390), 380, colours(0.5), 2.0)
    _, owners = followed([one, other])
    assert owners in ([{0}, {1}], [{1}, {0}])


def test_a_detector_that_goes_over_to_who_is_in_front_is_found_out():
    """Behind somebody a detection slides onto them and stays: what follows looks like the other and is theirs."""
    times = even(120)
    front, behind = walk(200, 150, 0, 380), walk(900, -150, 1, 340)
    front_poses, behind_poses = walkers.pose(front, times), walkers.pose(behind, times)
    meeting = 70  # frames: both at about x = 550

    def seen(points, who):
        return walkers.Detection(walkers.NAMES, points.astype(np.float32), np.full(33, 0.9, np.float32),
                                 None, colours(0.2 + 0.3 * who).astype(np.float32))  # fmt: skip

    frames = []
    for f in range(120):
        if abs(f - meeting) < 8:  # one detection: who was behind before slides onto who is in front
            share = np.clip((f - meeting + 8) / 10, 0, 1)
            frames.append([seen((1 - share) * behind_poses[f] + share * front_poses[f], int(share < 0.5))])
        else:
            frames.append([seen(front_poses[f], 0), seen(behind_poses[f], 1)])
    people = track.find_people(times, frames, SIZE)
    assert len(people) == 2
    for person in people:
        shades = [detection.appearance[0] for detection in person.detections]
        assert np.ptp([shades[0], shades[-1]]) < 0.01
        assert np.mean(np.isclose(shades, shades[0])) > 0.9


def test_the_one_behind_is_the_same_after_being_hidden():
    tracks, owners = followed([walk(560, 10, 0, 300), walk(100, 220, 1, 420)], errs=walkers.Detector(drifts=0.0))
    assert owners in ([{0}, {1}], [{1}, {0}])
    assert max(tracks[0].last_s, tracks[1].last_s) > 5.5


def leaving(t):
    x = 700 + 220 * np.where(t < 4, t, 8 - t)
    return np.stack([np.where((t > 2.2) & (t < 5.8), x + 900, x), np.full_like(t, 380.0)], axis=1)


def test_who_leaves_and_comes_back_is_known_by_their_looks():
    people = [walk(350, 5, 0, 330), walkers.Walker(leaving, 380, colours(0.5))]
    tracks, owners = followed(people, seconds=8.0)
    assert len(tracks) == 2
    assert owners in ([{0}, {1}], [{1}, {0}])
    back = next(one for one, whose in zip(tracks, owners, strict=True) if whose == {1})
    assert back.first_s < 0.1 and back.last_s > 7.5
    assert np.diff(back.frames).max() > 60


def test_somebody_else_who_comes_in_where_one_left_is_somebody_else():
    times = even(150)
    frames, first, second = [], walk(600, 250, 0), walk(1500, -150, 1)
    for f, (a, b) in enumerate(zip(walkers.pose(first, times), walkers.pose(second, times), strict=True)):
        seen = [] if 70 < f < 80 else [(a, 0)] if f <= 70 else [(b, 1)]
        frames.append([walkers.Detection(walkers.NAMES, p.astype(np.float32), np.full(33, 0.9, np.float32), None,
                                         colours(0.2 + 0.3 * who).astype(np.float32)) for p, who in seen])  # fmt: skip
    assert len(track.find_people(times, frames, SIZE)) == 2


def test_no_track_goes_over_a_cut_but_a_person_is_known_again_in_the_next_shot():
    def path(t):
        return np.stack([np.where(t < 2, 300 + 50 * t, 900 - 50 * t), np.full_like(t, 380.0)], axis=1)

    people = [walkers.Walker(path, 360, colours(0.2)), walkers.Walker(lambda t: path(t) + [200, 0], 350, colours(0.5))]
    tracks, owners = followed(people, seconds=4.0, cuts=[60])
    assert len(tracks) == 4 and all(len(whose) == 1 for whose in owners)
    assert all(one.frames[-1] < 60 or one.frames[0] >= 60 for one in tracks)
    assert {one.shot for one in tracks} == {0, 1}
    assert len({(one.identity, min(whose)) for one, whose in zip(tracks, owners, strict=True)}) == 2


def test_a_cut_over_which_somebody_walks_on_is_none():
    tracks, _ = followed([walk(100, 100, 0)], seconds=4.0, cuts=[60])
    assert len(tracks) == 1


def test_a_doubt_ends_with_the_frames_that_raised_it():
    frames = [[person(100 + 3 * i)] for i in range(120)]
    frames[20] = [person(160 + aside) for aside in (-30, 30)]  # two who may both be whoever was seen before
    parts = following._stretches(following.gather(even(120), frames, ()))
    assert sum(len(part) == 1 for part in parts) < 8
    assert max(map(len, parts)) > 90


def test_a_glimpse_of_somebody_is_nobody():
    frames = [[person(100 + 5 * i)] for i in range(60)]
    frames[20] = [*frames[20], person(900)]
    assert len(track.find_people(even(60), frames, SIZE)) == 1


@pytest.mark.parametrize("rate", [10, 25, 60])
def test_who_moves_wildly_is_followed_at_any_frame_rate(rate):
    times = np.arange(4 * rate) / rate
    wild = walkers.Walker(
        lambda t: np.stack([640 + 500 * np.sin(1.8 * t), 380 + 120 * np.sin(9 * t)], axis=1), 200, colours(0.3), 0, 1.5
    )
    found, _ = walkers.detect([wild], times, walkers.Detector(misses=0.1), np.random.default_rng(1))
    (one,) = track.find_people(times, found, SIZE)
    assert len(one.frames) >= 0.95 * sum(bool(people) for people in found)


# --- bystanders ----------------------------------------------------------------------------------------------------


def main_owner(people, **more):
    tracks, owners = followed(people, **more)
    return next(whose for one, whose in zip(tracks, owners, strict=True) if one.number == 1)


def test_a_poster_never_moves_and_is_not_chosen_however_large():
    poster = walk(900, 0, 0, 600, swing=0.0)
    tracks, owners = followed([poster, walk(150, 80, 1, 300)])
    assert main_owner([poster, walk(150, 80, 1, 300)]) == {1}
    assert [one.is_still for one in tracks] == [whose == {0} for whose in owners]


def test_a_poster_filmed_by_a_moving_camera_is_a_poster():
    tracks, owners = followed([walk(900, -60, 0, 500, swing=0.0), walk(350, 20, 1, 300)])
    assert [one.is_still for one in tracks] == [whose == {0} for whose in owners]


@pytest.mark.parametrize("swing", [0.0, 0.1])
def test_a_detector_that_now_sees_the_actor_now_a_bystander_behind_leads_to_no_jump(swing):
    actor, times = walk(100, 190, 1, 380), even(180)
    bystander = walk(640, 0, 0, 330, swing=swing)
    both, owners = walkers.detect([bystander, actor], times, STEADY, np.random.default_rng(0))
    bursts = [*range(40, 44), *range(70, 78), *range(98, 103), *range(120, 122)]
    found = [
        [one for one, who in zip(frame, whose, strict=True) if who == (0 if f in bursts else 1)]
        for f, (frame, whose) in enumerate(zip(both, owners, strict=True))
    ]
    result = track.make_track(times, found, SIZE)
    frames = np.rint(result.timestamps * 30).astype(int)
    truth = walkers.pose(actor, times)[frames]
    off = np.nanmedian(np.linalg.norm(result.positions - truth, axis=-1), axis=1)
    assert np.isfinite(off).sum() > 130
    assert np.nanmax(off) < 0.12 * 380
    assert (off > 0.05 * 380).sum() <= 3


def test_a_mirror_image_is_told_from_its_person():
    times = even(150)
    real = walkers.pose(walk(300, 40, 0, 360), times)
    mirrored = real[:, walkers.exchanged(np.arange(33)[:, None])[:, 0]] * [-1, 1] + [1280, 0]
    frames = [[walkers.Detection(walkers.NAMES, p.astype(np.float32), np.full(33, 0.9, np.float32))
               for p in ((m - [0, 380]) * 0.8 + [100, 300], r)]
              for m, r in zip(mirrored, real, strict=True)]  # fmt: skip
    people = track.find_people(times, frames, SIZE)
    assert [one.reflection_of for one in people] == [None, 1]


def test_two_who_walk_in_step_are_no_mirror_images():
    people, _ = followed([walk(200, 60, 0, phase=1.0), walk(600, 60, 1, phase=1.0)])
    assert all(one.reflection_of is None for one in people)


# --- who is meant --------------------------------------------------------------------------------------------------


def crowd():
    """Large for half a second, small in the middle all the time, of middle size at the side."""

    def frame(i):
        small, middling = person(620 + 10 * np.sin(i / 5), height=150), person(150 + 15 * np.sin(i / 6), height=300)
        large = person(1000, 50, height=500)
        for one, swing in ((small, 12), (middling, 25), (large, 40)):
            one.positions[[2, 5, 10], 0] += swing * np.sin(i / 3)
        return [small, middling, large] if i < 16 else [small, middling] if i < 100 else [small]

    return even(120), [frame(i) for i in range(120)]


@pytest.mark.parametrize(
    ("settings", "height"),
    [
        (TrackSettings(), 300),
        (TrackSettings(person="largest"), 500),
        (TrackSettings(person="longest"), 150),
        (TrackSettings(person="central"), 150),
        (TrackSettings(person="1"), 300),
        (TrackSettings(at=(0.2, 1000, 300)), 500),
        (TrackSettings(at=(3.2, 150, 250), person="longest"), 300),
    ],
)
def test_a_person_is_chosen_as_asked(settings, height):
    times, frames = crowd()
    result = track.make_track(times, frames, SIZE, settings)
    nose, ankle = result.positions[:, 0, 1], result.positions[:, NAMES.index("right_ankle"), 1]
    np.testing.assert_allclose(ankle - nose, height, rtol=1e-3)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (TrackSettings(person="9"), "no-such-person"),
        (TrackSettings(at=(0.5, 640, 700)), "nobody-there"),
        (TrackSettings(at=(3.9, 1000, 300)), "nobody-there"),
    ],
)
def test_somebody_who_is_not_there_cannot_be_chosen(settings, code):
    times, frames = crowd()
    with pytest.raises(InputError) as caught:
        track.make_track(times, frames, SIZE, settings)
    assert caught.value.code == code
    assert caught.value.hint


def test_people_tell_when_they_are_seen_and_where_best():
    times, frames = crowd()
    people = track.find_people(times, frames, SIZE)
    assert [one.number for one in people] == [1, 2, 3]
    assert sum(one.weight for one in people) == pytest.approx(1.0)
    large = next(one for one in people if one.box[3] - one.box[1] > 400)
    assert (large.first_s, large.last_s) == (0.0, pytest.approx(15 / 30))
    assert large.best_frame in large.frames and 850 < large.box[0] < large.box[2] < 1150


# --- left and right ------------------------------------------------------------------------------------------------


def test_bursts_of_exchanged_sides_are_put_right():
    times, rng = even(180), np.random.default_rng(1)
    truth = walkers.pose(walk(100, 120, 0), times)
    frames = []
    for f, points in enumerate(truth + rng.normal(0, 2.0, truth.shape)):
        bad = f in (20, 21, 22, 60, 100, 101) or 130 <= f < 140
        points = walkers.exchanged(points) if bad else points
        frames.append([walkers.Detection(walkers.NAMES, points.astype(np.float32), np.full(33, 0.9, np.float32))])
    limbs = [walkers.SIDED[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "hip", "ankle")]

    def errors(settings):
        result = track.make_track(times, frames, SIZE, settings)
        return np.linalg.norm(result.positions - truth, axis=-1)[:, limbs].max(axis=1)

    assert (errors(TrackSettings(mend_sides=False)) > 20).sum() == 16
    assert (errors(TrackSettings()) > 20).sum() <= 2


def test_legs_that_cross_while_walking_sideways_on_are_left_alone():
    times = even(180)
    truth = walkers.pose(walk(100, 120, 0), times)
    truth[..., 0] = (truth[..., 0] - truth[..., :1, 0]) * np.where(np.arange(33) > 22, 1.0, 0.2) + truth[..., :1, 0]
    points = truth + np.random.default_rng(0).normal(0, 2.0, truth.shape)
    mended, scores = points.copy(), np.full(points.shape[:2], 0.9)
    exchanged = track.mend_sides(walkers.NAMES, times, mended, scores, np.full(180, 360.0))
    assert sum(int(group.sum()) for group in exchanged) <= 5


def test_a_person_who_turns_round_is_left_alone():
    times = even(120)
    across = np.cos(np.pi * np.clip((times - 1.0) / 1.5, 0, 1))[:, None]  # from front to back
    points = np.repeat(walkers.standing()[None] * 360 + (500, 380), 120, axis=0)
    points[..., 0] = 500 + (points[..., 0] - 500) * across
    scores = np.full(points.shape[:2], 0.9)
    exchanged = track.mend_sides(walkers.NAMES, times, points, scores, np.full(120, 360.0))
    assert not any(group.any() for group in exchanged)


# --- cuts and looks ------------------------------------------------------------------------------------------------


def pictures(seed, count, drift=1):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 150, 3)  # a place has colours of its own
    wide = np.repeat(np.repeat(rng.integers(low, low + 100, (9, 40, 3)), 20, axis=0), 20, axis=1).astype(np.uint8)
    return [wide[:, drift * f : drift * f + 320] for f in range(count)]


def cuts_of(frames):
    watch = track.ShotWatcher()
    for frame in frames:
        watch(frame)
    return watch.cuts()


def test_cuts_are_found_and_pans_and_flashes_are_none():
    assert cuts_of(pictures(0, 30) + pictures(1, 30) + pictures(2, 20)) == [30, 60]
    assert cuts_of(pictures(0, 60, drift=7)) == []
    flashing = pictures(0, 40)
    flashing[20] = np.full_like(flashing[20], 250)
    assert cuts_of(flashing) == []
    assert cuts_of([]) == []


def test_looks_are_the_colours_of_clothes_and_not_of_sides():
    points = (walkers.standing() * 360 + (500, 300)).astype(np.float32)
    picture = np.zeros((600, 1000, 3), np.uint8)
    picture[:300], picture[300:] = (200, 30, 30), (30, 30, 200)  # red above the hips, blue below
    seen = walkers.Detection(walkers.NAMES, points, np.full(33, 0.9, np.float32))
    (with_look,) = appearance.look(picture, [seen])
    parts = with_look.appearance.reshape(len(appearance.PARTS), 3)
    chest, shanks = parts[appearance.PARTS.index("chest")], parts[appearance.PARTS.index("shanks")]
    np.testing.assert_allclose(chest, [260 / 3 / 255, 170 / 255, 85 / 255], atol=1e-5)
    np.testing.assert_allclose(shanks, [260 / 3 / 255, 0, -170 / 255], atol=1e-5)
    turned = walkers.Detection(walkers.NAMES, walkers.exchanged(points), seen.scores)
    np.testing.assert_allclose(appearance.measure(picture, turned), with_look.appearance, atol=1e-5)


def test_what_is_outside_the_picture_or_hidden_has_no_look():
    points = (walkers.standing() * 360 + (500, 300)).astype(np.float32)
    scores = np.where(points[:, 1] > 310, 0.1, 0.9).astype(np.float32)
    parts = appearance.measure(
        np.full((600, 1000, 3), 90, np.uint8), walkers.Detection(walkers.NAMES, points, scores)
    ).reshape(-1, 3)
    assert np.isnan(parts[appearance.PARTS.index("shanks")]).all()
    assert np.isfinite(parts[appearance.PARTS.index("chest")]).all()
    outside = walkers.Detection(walkers.NAMES, points - 2000, np.full(33, 0.9, np.float32))
    assert np.isnan(appearance.measure(np.zeros((600, 1000, 3), np.uint8), outside)).all()


@pytest.mark.slow
def test_on_real_footage_the_walker_is_chosen_and_not_the_man_on_the_roof():
    clip = Path(__file__).parents[2] / "../shared/clips/street_walk.mp4"
    if not clip.is_file():
        pytest.skip("no street_walk.mp4 here")
    pytest.importorskip("mediapipe")
    from video_to_pose import pipeline, video
    from video_to_pose.settings import CaptureSettings

    try:
        seen = pipeline.find_detections(video.probe(clip), CaptureSettings(), lambda _: None, {})
    except SetupError as error:
        pytest.skip(error.message)
    assert seen.cuts == []
    result = track.make_track(seen.times, seen.detections, seen.image_size, None, seen.cuts)
    assert result.frame_count > 120
    assert result.timestamps[0] > 1.0, "nobody is on the ground at first"
    assert result.timestamps[-1] < 7.5
    hips = result.positions[:, [result.names.index("left_hip"), result.names.index("right_hip")]].mean(axis=1)
    assert np.all(hips[:, 1] > 550), "below the roof"
    assert np.all(np.diff(hips[::15, 0]) < 0), "she walks to the left"


def two_walkers():
    """Somebody on the left for 20 frames, then somebody on the right, far away, for 20."""
    left = [[person(100 + 3 * i)] for i in range(20)]
    right = [[person(900 - 3 * i, height=280)] for i in range(20)]
    return even(41), [*left, [], *right]


def test_two_who_are_one_person_are_joined():
    times, frames = two_walkers()
    people = track.find_people(times, frames, SIZE)
    assert len(people) == 2
    both = track.choose(people, times, SIZE, TrackSettings(person="2+1"))
    assert len(both.frames) == 40 and (both.first_s, both.last_s) == (0.0, times[-1])
    assert track.track_of(both, times, SIZE).frame_count == 41


def test_a_person_can_be_given_in_parts_of_the_clip():
    times, frames = two_walkers()
    people = track.find_people(times, frames, SIZE)
    first = next(one.number for one in people if one.first_s == 0.0)
    second = 3 - first
    half = track.choose(people, times, SIZE, TrackSettings(person=f"{first}:0.1-0.3"))
    assert half.frames.tolist() == [3, 4, 5, 6, 7, 8]
    mixed = track.choose(people, times, SIZE, TrackSettings(person=f"{first}:-0.3+{second}:1-"))
    assert mixed.frames.tolist() == [*range(9), *range(30, 41)]
    result = track.track_of(mixed, times, SIZE)
    assert nose_x(result)[0] == 100 and nose_x(result)[-1] == 900 - 3 * 19


def test_where_parts_overlap_the_first_one_counts():
    frames = [[person(100 + i), person(900 - i, height=200)] for i in range(20)]
    people = track.find_people(even(20), frames, SIZE)
    both = track.choose(people, even(20), SIZE, TrackSettings(person="2:0.3-+1"))
    xs = [float(found.positions[0, 0]) for found in both.detections]
    assert all(x < 500 for x in xs[:9]) and all(x > 500 for x in xs[9:]) and len(xs) == 20


@pytest.mark.parametrize("person", ["0", "1+", "+1", "1:2-1", "1:a-b", "1:1", "-1", "1:--2", "the tall one", ""])
def test_what_names_no_person_is_no_part(person):
    assert track.parts_of(person) is None


def test_a_part_in_which_somebody_is_not_seen_is_told():
    times, frames = two_walkers()
    people = track.find_people(times, frames, SIZE)
    last = next(one.number for one in people if one.first_s > 0)
    with pytest.raises(InputError, match="not seen in the part"):
        track.choose(people, times, SIZE, TrackSettings(person=f"{last}:0-0.3"))
    with pytest.raises(InputError, match="no person 7"):
        track.choose(people, times, SIZE, TrackSettings(person="1+7"))
