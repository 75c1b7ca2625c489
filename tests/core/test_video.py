# SPDX-License-Identifier: GPL-3.0-or-later
import os
import threading
from fractions import Fraction

import numpy as np
import pytest

from tests.films import H264, set_display_matrix, write_sound, write_video
from video_to_pose import video
from video_to_pose.errors import InputError
from video_to_pose.settings import VideoSettings

av = pytest.importorskip("av")


def red_corner(rgb):
    height, width = rgb.shape[:2]
    corners = {
        "top left": rgb[height // 4, width // 4],
        "top right": rgb[height // 4, 3 * width // 4],
        "bottom left": rgb[3 * height // 4, width // 4],
        "bottom right": rgb[3 * height // 4, 3 * width // 4],
    }
    return max(corners, key=lambda name: int(corners[name][0]) - int(corners[name][1]))


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "clip.mp4")


def decoders_running():
    return [thread for thread in threading.enumerate() if thread.name == "video-decode"]


def test_frames_carry_their_presentation_times(clip):
    frames = list(video.read_frames(clip))
    assert [frame.index for frame in frames] == list(range(10))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(10) / 30, atol=1e-3)


def test_frames_are_contiguous_rgb(clip):
    frame = next(video.read_frames(clip))
    assert frame.rgb.dtype == np.uint8
    assert frame.rgb.shape == (48, 64, 3)
    assert frame.rgb.flags.c_contiguous
    assert red_corner(frame.rgb) == "top left"


def test_probe_describes_the_clip(clip):
    info = video.probe(clip)
    assert (info.width, info.height, info.frame_count) == (64, 48, 10)
    assert info.frame_rate == pytest.approx(30, rel=0.05)
    assert info.duration_s == pytest.approx(10 / 30, abs=0.04)
    assert not info.is_variable
    assert info.codec == ("h264" if H264 == "libx264" else "mpeg4")


def test_probe_tells_a_variable_frame_rate(tmp_path):
    stamps = [0, 1, 2, 5, 6, 10, 11, 12]
    path = write_video(tmp_path / "vfr.mp4", stamps)
    assert video.probe(path).is_variable
    np.testing.assert_allclose([f.time_s for f in video.read_frames(path)], np.array(stamps) / 30, atol=1e-3)


def test_pictures_stored_out_of_order_are_no_variable_frame_rate(tmp_path):
    for count in range(238, 247):  # wherever the look into the file ends
        path = write_video(tmp_path / f"{count}.mp4", range(count), still=True)  # which the encoder reorders
        assert not video.probe(path).is_variable
        assert video.probe(path).frame_rate == pytest.approx(30, rel=1e-3)


@pytest.mark.parametrize(
    ("matrix", "size", "corner"),
    [
        ((1, 0, 0, 1), (64, 48), "top left"),
        ((0, 1, -1, 0), (48, 64), "top right"),  # a phone held upright
        ((-1, 0, 0, -1), (64, 48), "bottom right"),
        ((0, -1, 1, 0), (48, 64), "bottom left"),
        ((-1, 0, 0, 1), (64, 48), "top right"),  # mirrored, as front cameras may
    ],
)
def test_the_containers_rotation_is_applied(clip, matrix, size, corner):
    set_display_matrix(clip, *matrix)
    frame = next(video.read_frames(clip))
    info = video.probe(clip)
    assert frame.rgb.shape[1::-1] == size == (info.width, info.height)
    assert frame.rgb.flags.c_contiguous
    assert red_corner(frame.rgb) == corner


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), [("odd.mkv", "ffv1", "yuv420p"), ("odd.mp4", H264, "yuv444p")])
def test_odd_sizes_are_kept(tmp_path, name, codec, pix_fmt):
    if codec == "mpeg4":
        pytest.skip("needs libx264")
    path = write_video(tmp_path / name, size=(321, 241), codec=codec, pix_fmt=pix_fmt)
    frame = next(video.read_frames(path))
    assert frame.rgb.shape == (241, 321, 3)
    assert (video.probe(path).width, video.probe(path).height) == (321, 241)


def test_a_browser_recording_without_a_length_is_described(tmp_path):
    path = write_video(tmp_path / "live.mkv", range(90), codec="ffv1", live="1")  # no length, no index
    info = video.probe(path)
    assert info.frame_count == 90
    assert info.frame_rate == pytest.approx(30, rel=0.01)
    assert info.duration_s == pytest.approx(3.0, abs=0.05)


def test_pixels_are_made_square(tmp_path):
    path = write_video(tmp_path / "wide.mp4", aspect=Fraction(4, 3))
    assert next(video.read_frames(path)).rgb.shape == (48, 85, 3)
    assert video.probe(path).width == 85


def test_a_part_can_be_read(tmp_path):
    path = write_video(tmp_path / "long.mp4", range(60))
    times = [frame.time_s for frame in video.read_frames(path, VideoSettings(start_s=1.0, end_s=1.5))]
    np.testing.assert_allclose(times, np.arange(30, 45) / 30, atol=1e-3)


@pytest.mark.parametrize("part", [VideoSettings(start_s=5.0), VideoSettings(2.0, 1.0), VideoSettings(-1.0)])
def test_an_empty_part_is_the_users_error(clip, part):
    with pytest.raises(InputError) as caught:
        list(video.read_frames(clip, part))
    assert caught.value.code == "range-empty"


def test_frames_without_timestamps_are_spaced_by_the_frame_rate(tmp_path):
    path = write_video(tmp_path / "raw.h264" if H264 == "libx264" else tmp_path / "raw.m4v")
    times = [frame.time_s for frame in video.read_frames(path)]
    assert len(times) == 10
    assert np.all(np.diff(times) > 0)


def test_repeated_timestamps_are_squeezed_in_between():
    clock = video._Clock(rate=10.0)
    times = [clock.at(stamp) for stamp in (0.0, 0.1, 0.1, 0.1, 0.2, None, 0.4)]
    np.testing.assert_allclose(times, [0.0, 0.1, 0.11, 0.12, 0.2, 0.3, 0.4])


def test_timestamps_that_start_over_carry_on():
    clock = video._Clock(rate=10.0)
    times = [clock.at(stamp) for stamp in (5.0, 5.1, 5.2, 0.0, 0.1, 0.2)]
    np.testing.assert_allclose(times, [5.0, 5.1, 5.2, 5.3, 5.4, 5.5])


def test_a_clip_cut_off_while_copied_gives_the_frames_it_has(tmp_path):
    path = write_video(tmp_path / "cut.mp4", range(120), movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    warnings = []
    frames = list(video.read_frames(path, warn=warnings.append))
    assert 10 < len(frames) < 120
    assert warnings
    assert all("cut.mp4" in warning for warning in warnings)


def bad_missing(folder):
    return folder / "nothing.mp4"


def bad_folder(folder):
    return folder


def bad_empty(folder):
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def bad_text(folder):
    (folder / "notes.txt").write_text("these are notes\n" * 50)  # which FFmpeg would draw as a film
    return folder / "notes.txt"


def bad_noise(folder):
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    return folder / "noise.mp4"


def bad_cut(folder):
    path = write_video(folder / "cut.mp4", range(60))  # its index is at the end, which is lost
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def bad_no_frame(folder):
    path = write_video(folder / "header.mp4", range(60), movflags="faststart")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])
    return path


def bad_sound(folder):
    return write_sound(folder / "sound.m4a")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (bad_missing, "video-missing"),
        (bad_folder, "video-is-folder"),
        (bad_empty, "video-empty"),
        (bad_text, "video-invalid"),
        (bad_noise, "video-invalid"),
        (bad_cut, "video-invalid"),
        (bad_no_frame, "video-no-frames"),
        (bad_sound, "video-audio-only"),
    ],
)
def test_bad_input_is_one_clear_sentence(tmp_path, make, code):
    path = make(tmp_path)
    for read in (lambda: video.probe(path), lambda: list(video.read_frames(path))):
        with pytest.raises(InputError) as caught:
            read()
        assert caught.value.code == code
        assert path.name in caught.value.message
        assert caught.value.message.endswith(".")
        assert caught.value.hint
    assert not decoders_running()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_no_permission_to_read(clip):
    clip.chmod(0)
    with pytest.raises(InputError) as caught:
        video.probe(clip)
    assert caught.value.code == "video-unreadable"


def test_closing_the_frames_stops_the_decoder(tmp_path):
    frames = video.read_frames(write_video(tmp_path / "long.mp4", range(90)))
    next(frames)
    assert decoders_running()
    frames.close()
    assert not decoders_running()


def test_an_exception_in_the_loop_stops_the_decoder(tmp_path):
    path = write_video(tmp_path / "long.mp4", range(90))

    def convert():
        for _ in video.read_frames(path):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert()
    assert not decoders_running()


def test_decoding_runs_a_bounded_number_of_frames_ahead():
    made = []
    halted = threading.Event()

    def endless():
        while True:
            made.append(len(made))
            if len(made) > video._AHEAD_FRAMES + 2:
                halted.set()
            yield video.Frame(len(made) - 1, float(len(made)), np.zeros((4, 4, 3), np.uint8))

    frames = video._ahead(endless)
    next(frames)
    assert not halted.wait(0.2)
    assert len(made) > 2, "it does run ahead"
    frames.close()


def test_large_frames_are_bounded_by_memory():
    eight_k = np.broadcast_to(np.uint8(0), (4320, 7680, 3))
    assert video._frames_ahead(video.Frame(0, 0.0, eight_k)) == 2


def test_an_error_of_the_decoder_reaches_the_consumer():
    def broken():
        yield video.Frame(0, 0.0, np.zeros((4, 4, 3), np.uint8))
        raise InputError("it broke.", "mend it.", "broken")

    frames = video._ahead(broken)
    next(frames)
    with pytest.raises(InputError, match="it broke"):
        next(frames)
