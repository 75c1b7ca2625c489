# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures while they happen: the newest one, from a file, from a file that grows, from a device."""

import threading
import time

import pytest

from tests.films import av, write_video
from video_to_pose.errors import InputError
from video_to_pose.live_source import Source, device_frames, source_of, watch
from video_to_pose.settings import VideoSettings


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name == "live-source"]


def test_who_is_slow_misses_pictures_but_never_the_newest(tmp_path):
    film = write_video(tmp_path / "film.mp4", range(30))
    taken = []
    for arrival in watch(Source("file", str(film)), threading.Event()):
        taken.append(arrival)
        time.sleep(0.15)
    assert len(taken) + taken[-1].dropped == 30 and taken[-1].dropped > 10
    assert taken[-1].frame.time_s == pytest.approx(29 / 30)
    times = [arrival.frame.time_s for arrival in taken]
    assert times == sorted(set(times))


def test_a_file_is_played_at_its_own_speed_and_only_the_part_that_is_wanted(tmp_path):
    film = write_video(tmp_path / "film.mp4", range(30))
    part = VideoSettings(start_s=0.5, end_s=0.8)
    taken = list(watch(Source("file", str(film), part), threading.Event()))
    seconds = taken[-1].at_s - taken[0].at_s
    assert taken[0].frame.time_s >= 0.5 - 1e-3 and taken[-1].frame.time_s < 0.8
    assert seconds >= taken[-1].frame.time_s - taken[0].frame.time_s - 0.05


@pytest.mark.parametrize("ending", ["ts", "mkv"])
def test_the_end_of_a_growing_file_is_followed_until_it_stops_growing(tmp_path, ending):
    whole = write_video(tmp_path / f"whole.{ending}", range(40), size=(320, 240)).read_bytes()
    growing = tmp_path / f"growing.{ending}"
    growing.write_bytes(whole[:500])

    def append():
        with growing.open("ab", buffering=0) as file:
            for start in range(500, len(whole), 4000):
                file.write(whole[start : start + 4000])
                time.sleep(0.02)

    writer = threading.Thread(target=append)
    writer.start()
    taken = list(watch(Source("growing", str(growing), idle_s=0.5), threading.Event()))
    writer.join()
    assert len(taken) + taken[-1].dropped == 40
    assert not reading_threads()


def test_stopping_ends_it_and_leaves_no_thread_though_the_file_might_still_grow(tmp_path):
    film = write_video(tmp_path / "film.ts", range(60), size=(320, 240))
    stop = threading.Event()
    for _ in watch(Source("growing", str(film), idle_s=60.0), stop):
        stop.set()
    assert not reading_threads()


def test_leaving_the_loop_ends_it_too(tmp_path):
    film = write_video(tmp_path / "film.mp4", range(300), still=True)
    arrivals = watch(Source("file", str(film)), threading.Event())
    next(arrivals)
    arrivals.close()
    assert not reading_threads()


def test_a_device_of_ffmpeg_gives_frames_like_a_file():
    if "lavfi" not in av.formats_available:
        pytest.skip("this PyAV has no test device")
    frames = device_frames("testsrc=size=64x48:rate=30", "lavfi")
    few = [next(frames) for _ in range(5)]
    frames.close()
    assert [frame.index for frame in few] == list(range(5))
    assert few[4].time_s - few[0].time_s == pytest.approx(4 / 30) and few[0].rgb.shape == (48, 64, 3)


def test_a_camera_that_is_not_there_is_told_with_its_mend():
    with pytest.raises(InputError, match="cannot be opened") as told:
        list(watch(Source("camera", "87"), threading.Event()))
    assert told.value.code in ("camera-unreadable", "camera-missing") and told.value.hint


def test_what_is_no_recording_is_told(tmp_path):
    nonsense = tmp_path / "notes.txt"
    nonsense.write_text("no picture here" * 100)
    with pytest.raises(InputError) as told:
        list(watch(Source("growing", str(nonsense), idle_s=0.1), threading.Event()))
    assert told.value.code == "recording-unreadable"
    with pytest.raises(InputError, match="no file"):
        list(watch(Source("growing", str(tmp_path / "none.ts")), threading.Event()))


def test_words_for_sources(tmp_path):
    assert source_of("camera") == Source("camera", "0")
    assert source_of("camera:2") == Source("camera", "2")
    assert source_of("camera:Front Cam") == Source("camera", "Front Cam")
    assert source_of(str(tmp_path / "a.ts"), growing=True).kind == "growing"
    assert source_of("C:/clips/a.mp4") == Source("file", "C:/clips/a.mp4")
    assert source_of("/dev/null").kind in ("camera", "file")
    with pytest.raises(ValueError, match="source"):
        Source("telepathy", "")
