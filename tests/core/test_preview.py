# SPDX-License-Identifier: GPL-3.0-or-later
"""The preview shows the right picture at the right time, with the person drawn where the keypoints are."""

import numpy as np
import pytest

from tests import walker
from tests.films import av, write_video
from video_to_pose import motion, preview
from video_to_pose.errors import InputError
from video_to_pose.settings import MotionSettings
from video_to_pose.types import KeypointTrack, Take

SIZE = (320, 180)  # of the film: the walker's picture, four times smaller
STRIP = 30


def make_take(frames=12, image_size=SIZE, start=0.0):
    view = walker.seen(walker.walk()[0][:frames])
    track = view.track
    scale = image_size[0] / walker.SIZE[0]
    track = KeypointTrack(
        track.timestamps + start, track.names, track.positions * scale, track.scores, tuple(image_size)
    )
    pose = type(view.pose)(
        view.pose.skeleton,
        track.timestamps,
        view.pose.directions,
        view.pose.lengths,
        view.pose.confidence,
        view.pose.up,
    )
    solved, camera = motion.solve(track, pose, walker.KNOWN_CAMERA, MotionSettings())
    return Take(track, solved, camera, {})


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", stamps=range(30), size=SIZE)


@pytest.fixture(scope="module")
def take():
    return make_take()


def near(picture, colour, tolerance=40):
    return np.abs(picture.astype(int) - colour).max(axis=-1) <= tolerance


def read(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(float(f.pts * f.time_base), f.to_ndarray(format="rgb24")) for f in container.decode(stream)]
        return stream.codec_context.name, float(stream.average_rate), frames


def test_one_picture_a_frame_at_the_takes_rate(take, film, tmp_path):
    out = tmp_path / "preview.mp4"
    preview.write_preview(take, film, out)
    codec, rate, frames = read(out)
    assert codec in ("h264", "mpeg4")
    assert rate == pytest.approx(30)
    assert len(frames) == take.motion.frame_count
    np.testing.assert_allclose([time for time, _ in frames], np.arange(12) / 30, atol=1e-3)
    assert frames[0][1].shape[1] == 1280 and frames[0][1].shape[0] % 2 == 0
    assert list(tmp_path.iterdir()) == [out]


def test_the_film_is_shown_on_the_left_and_figures_beside_it(take, film):
    picture = next(preview.pictures(take, film))
    rows = slice(STRIP, -STRIP)
    assert near(picture[rows, :200], (255, 0, 0)).mean() > 0.3  # the film's red quarter
    beside = picture[rows, 740:]
    for panel in (beside[:, : beside.shape[1] // 2], beside[:, beside.shape[1] // 2 :]):
        for colour in (preview.LEFT, preview.RIGHT, preview.MIDDLE, preview.CONTACT):
            assert near(panel, colour).sum() > 20


def test_keypoints_are_drawn_where_they_are(take, film):
    picture = next(preview.pictures(take, film))
    shot = picture[STRIP:-STRIP]
    scale = shot.shape[0] / SIZE[1]
    for name, colour in (("left_wrist", preview.LEFT), ("right_ankle", preview.RIGHT)):
        x, y = (take.track.positions[0, take.track.names.index(name)] * scale).astype(int)
        assert near(shot[y - 2 : y + 3, x - 2 : x + 3], colour).any()


def test_missing_keypoints_are_not_drawn(take, film):
    track = take.track
    blind = KeypointTrack(
        track.timestamps, track.names, np.full_like(track.positions, np.nan), 0 * track.scores, track.image_size
    )
    picture = next(preview.pictures(Take(blind, take.motion, take.camera, {}), film))
    assert not near(picture[STRIP:-STRIP, :700], preview.LEFT).any()


def test_what_is_seen_badly_is_pale(film):
    sure = make_take(frames=2)
    faint = Take(
        sure.track,
        type(sure.motion)(
            **{
                name: getattr(sure.motion, name)
                for name in ("skeleton", "timestamps", "directions", "lengths", "root", "contact_names", "contacts")
            },
            confidence=0.1 * sure.motion.confidence,
        ),
        sure.camera,
        {},
    )
    one, other = (next(preview.pictures(t, film))[STRIP:-STRIP, 760:] for t in (sure, faint))
    assert near(other, preview.RIGHT).sum() < 0.5 * near(one, preview.RIGHT).sum()


def test_frames_are_matched_by_time(tmp_path):
    uneven = write_video(tmp_path / "uneven.mp4", stamps=[0, 1, 2, 6, 7, 8, 9, 15, 16, 17], size=SIZE)
    levels = [picture[-5, -5].mean() for picture in preview.matched_frames(uneven, np.arange(18) / 30)]
    shown = np.round(np.array(levels) / 10).astype(int)  # the film's frame i has level 10 i
    np.testing.assert_array_equal(shown[[0, 1, 2, 3, 6, 7, 8, 9, 14, 15, 16, 17]], [0, 1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 9])
    assert np.all(np.diff(shown) >= 0)


def test_a_take_of_a_part_shows_that_part(film):
    shown = [p[-5, -5].mean() for p in preview.matched_frames(film, 10 / 30 + np.arange(5) / 30)]
    np.testing.assert_allclose(shown, [100, 110, 120, 130, 140], atol=4)


@pytest.mark.parametrize("size", [(320, 180), (180, 320), (200, 200), (400, 100)])
def test_films_of_every_shape_fit(size, tmp_path):
    film = write_video(tmp_path / "film.mp4", stamps=range(4), size=size)
    for picture in preview.pictures(make_take(frames=3, image_size=size), film):
        assert picture.shape[1] == 1280 and picture.shape[0] % 2 == 0
        assert picture.dtype == np.uint8


def test_a_single_frame_makes_a_preview(film, tmp_path):
    preview.write_preview(make_take(frames=1), film, tmp_path / "one.mp4")
    assert len(read(tmp_path / "one.mp4")[2]) == 1


def test_progress_counts_to_the_end(take, film, tmp_path):
    told = []
    preview.write_preview(take, film, tmp_path / "preview.mp4", told.append)
    assert [p.done for p in told] == list(range(13))
    assert {(p.stage, p.total) for p in told} == {("preview", 12)}


def test_stopping_leaves_nothing_behind(take, film, tmp_path):
    def stop(progress):
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preview.write_preview(take, film, tmp_path / "preview.mp4", stop)
    assert not list(tmp_path.iterdir())


def test_another_film_is_refused(take, tmp_path):
    other = write_video(tmp_path / "other.mp4", size=(180, 320))
    with pytest.raises(InputError) as caught:
        preview.write_preview(take, other, tmp_path / "preview.mp4")
    assert caught.value.code == "preview-other-video"


def test_a_film_too_short_is_refused(tmp_path, film):
    with pytest.raises(InputError):
        preview.write_preview(make_take(start=20.0), film, tmp_path / "preview.mp4")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_target_is_told(take, film, tmp_path):
    with pytest.raises(InputError) as caught:
        preview.write_preview(take, film, tmp_path / "missing" / "preview.mp4")
    assert caught.value.code == "output-unwritable"


def test_lines_have_soft_edges_and_stay_inside():
    picture = np.zeros((20, 30, 3), np.uint8)
    preview.draw_line(picture, (-50, 10), (80, 10), 2.0, (200, 100, 50))
    np.testing.assert_array_equal(picture[9], np.tile([200, 100, 50], (30, 1)))
    assert not picture[:6].any() and not picture[14:].any()
    before = picture.copy()
    preview.draw_line(picture, (100, 100), (200, 100), 5.0, (255, 255, 255), outline=2.0)
    np.testing.assert_array_equal(picture, before)
