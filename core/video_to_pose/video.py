# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a video file: what it is (`probe`) and its frames by presentation time (`read_frames`).

Frames come as a person would see them: the container's rotation, mirroring and pixel aspect are applied. Time is
seconds since the video stream's start, from presentation timestamps, and strictly increasing.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .quicktime import focal_length_35mm
from .settings import VideoSettings

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

Warn = Callable[[str], None]

_log = logging.getLogger(__name__)

_AHEAD_BYTES = 64 * 2**20  # how much decoded picture may wait for the consumer
_AHEAD_FRAMES = 16
_PROBED_PACKETS = 240  # enough to tell a variable frame rate, little to read
_REORDERED = 20  # pictures by which decoding order and time may differ, and more
_NO_VIDEO_FORMATS = {"tty", "lrc", "srt", "ass", "webvtt"}  # FFmpeg draws plain text as a film of characters
_FALLBACK_RATE = 30.0
_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)


@dataclass(frozen=True)
class VideoInfo:
    """What a video file is, without decoding more than its first frame.

    Attributes:
        path: the file.
        width, height: pixels as read by `read_frames`: after rotation, with square pixels.
        duration_s: length of the video stream.
        frame_count: an estimate; exact when the container counts its frames.
        frame_rate: average frames per second, over the first seconds.
        is_variable: frames are unevenly spaced, as far as the first few seconds tell.
        codec: FFmpeg's name of the codec, e.g. ``"h264"``.
        fov_degrees: along the picture's longer side, where the camera wrote it into the file.
    """

    path: Path
    width: int
    height: int
    duration_s: float
    frame_count: int
    frame_rate: float
    is_variable: bool
    codec: str
    fov_degrees: float | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        index: 0, 1, … in the order read.
        time_s: seconds since the video stream's start (not since `VideoSettings.start_s`).
        rgb: (H, W, 3) uint8, C-contiguous.
    """

    index: int
    time_s: float
    rgb: NDArray[np.uint8]


def probe(path: str | Path) -> VideoInfo:
    """Describe a video file.

    Raises:
        InputError: when it is missing, not a video, empty, damaged, or has sound only.
    """
    path = Path(path)
    with _opened(path) as (container, stream):
        first = next(_decoded(container, stream, path, lambda _: None), None)
        if first is None:
            raise _no_frame(path)
        width, height = _square_size(first, stream)
        if _is_turned(_display_axes(first)):
            width, height = height, width
    with _opened(path) as (container, stream):
        packets = (packet for packet in container.demux(stream) if packet.size)
        stamps = [packet.pts for packet in islice(packets, _PROBED_PACKETS)]
        # Packets come in decoding order: of the last ones read, some lie beyond pictures not read yet.
        settled = sorted(stamp for stamp in stamps if stamp is not None)
        settled = settled[:-_REORDERED] if len(stamps) == _PROBED_PACKETS else settled
        is_variable, rate = _is_variable(settled), _measured_rate(settled, stream)
        duration, count = _stated_duration(container, stream), stream.frames
        if duration is None:  # e.g. a recording still being written: only reading to its end tells
            stamps += [packet.pts for packet in packets]
            count = count or len(stamps)
            duration = _seconds_spanned([stamp for stamp in stamps if stamp is not None], stream) + 1.0 / rate
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            duration_s=duration,
            frame_count=count or max(1, round(duration * rate)),
            frame_rate=rate,
            is_variable=is_variable,
            codec=stream.codec_context.name,
            fov_degrees=_field_of_view(path, width, height),
        )


def _field_of_view(path: Path, width: int, height: int) -> float | None:
    """Degrees along the longer side: the like lens on 35 mm film has the same angle over the diagonal."""
    focal_mm = focal_length_35mm(path)
    if focal_mm is None:
        return None
    return math.degrees(
        2 * math.atan(max(width, height) / math.hypot(width, height) * _FILM_DIAGONAL_MM / 2 / focal_mm)
    )


def read_frames(path: str | Path, settings: VideoSettings | None = None, warn: Warn | None = None) -> Iterator[Frame]:
    """Frames from `settings.start_s` up to, not including, `settings.end_s`.

    A thread decodes ahead of the consumer, with no more than 64 MiB of pictures (and never fewer than two) waiting;
    closing the iterator, or an exception in the loop over it, stops that thread.

    Args:
        path: the video file.
        settings: which part to read; None reads all.
        warn: told in one sentence when the file is damaged but partly readable; None logs it.

    Raises:
        InputError: when the file cannot be read, or nothing lies between start and end.
    """
    path, settings, warn = Path(path), settings or VideoSettings(), warn or _log.warning
    if settings.start_s < 0 or (settings.end_s is not None and settings.end_s <= settings.start_s):
        raise InputError(
            f"The part to read, {settings.start_s:g} s to {settings.end_s or 0:g} s, is empty.",
            "Give a start of 0 or more and an end after it.",
            "range-empty",
        )
    _check_file(path)
    return _ahead(lambda: _frames(path, settings, warn))


def _ahead(source: Callable[[], Generator[Frame, None, None]]) -> Iterator[Frame]:
    """Iterate `source()` in a thread of its own, a bounded number of frames ahead."""
    waiting: queue.Queue[Frame | BaseException | None] = queue.Queue()
    room = threading.Semaphore(2)  # frames that may wait; raised once their size is known
    stop = threading.Event()

    def produce() -> None:
        last: BaseException | None = None
        try:
            with closing(source()) as frames:
                for frame in frames:
                    if frame.index == 0 and (more := _frames_ahead(frame) - 2):
                        room.release(more)
                    room.acquire()
                    if stop.is_set():
                        return
                    waiting.put(frame)
        except BaseException as error:  # not handled here: raised again in the consumer
            last = error
        finally:
            waiting.put(last)

    thread = threading.Thread(target=produce, name="video-decode", daemon=True)
    thread.start()
    try:
        while isinstance(item := waiting.get(), Frame):
            room.release()
            yield item
        if item is not None:
            raise item
    finally:
        stop.set()
        room.release()
        thread.join(timeout=10.0)


def _frames_ahead(frame: Frame) -> int:
    return int(np.clip(_AHEAD_BYTES // max(frame.rgb.nbytes, 1), 2, _AHEAD_FRAMES))


def decode(container: InputContainer, stream: VideoStream, name: str, warn: Warn) -> Generator[Frame, None, None]:
    """Frames of what somebody else has opened, as `read_frames` gives them, from where it stands.

    Args:
        container, stream: PyAV's; closing them is the caller's part.
        name: what warnings call it.
        warn: told in one sentence when parts could not be read.
    """
    clock, origin, shown = _Clock(_rate(stream)), stream.start_time, _Shown(stream)
    for index, picture in enumerate(_decoded(container, stream, Path(name), warn)):
        stamp = picture.pts
        origin = stamp if origin is None else origin
        time = clock.at(None if stamp is None else float((stamp - (origin or 0)) * _tick(stream)))
        yield Frame(index, time, shown(picture))


def _frames(path: Path, settings: VideoSettings, warn: Warn) -> Generator[Frame, None, None]:
    import av

    index = 0
    with _opened(path) as (container, stream):
        clock = _Clock(_rate(stream))
        origin = stream.start_time
        stated = _stated_duration(container, stream)
        if settings.start_s > 0 and origin is not None:
            with suppress(av.FFmpegError):  # where one cannot seek, all is read from the start
                container.seek(origin + int(settings.start_s / _tick(stream)), stream=stream)  # to the key frame before
        shown = _Shown(stream)
        for picture in _decoded(container, stream, path, warn):
            stamp = picture.pts
            origin = stamp if origin is None else origin
            time = clock.at(None if stamp is None else float((stamp - (origin or 0)) * _tick(stream)))
            if settings.end_s is not None and time >= settings.end_s:
                break
            if time < settings.start_s - 1e-4:
                continue
            yield Frame(index, time, shown(picture))
            index += 1
    if index == 0 and settings.start_s > 0:
        length = clock.last if stated is None else stated
        raise InputError(
            f"{path.name} has no frame at or after {settings.start_s:g} s"
            + (f": it is {length:.2f} s long." if length is not None else "."),
            "Give an earlier start.",
            "range-empty",
        )
    if clock.last is None:
        raise _no_frame(path)
    if stated is not None and settings.end_s is None and clock.last < stated - max(1.0, 0.05 * stated):
        warn(f"{path.name} breaks off at {clock.last:.2f} s of {stated:.2f} s; the part before is used.")


class _Shown:
    """Decoded pictures as a person would see them: (H, W, 3) uint8, C-contiguous."""

    def __init__(self, stream: VideoStream) -> None:
        from av.video.reformatter import VideoReformatter

        self._stream, self._reformatter = stream, VideoReformatter()
        self._size: tuple[int, int] | None = None

    def __call__(self, picture: VideoFrame) -> NDArray[np.uint8]:
        self._size = self._size or _square_size(picture, self._stream)
        rgb = self._reformatter.reformat(picture, *self._size, format="rgb24").to_ndarray()
        return np.ascontiguousarray(_upright(rgb, _display_axes(picture)))


class _Clock:
    """Strictly increasing seconds from timestamps that may be missing, repeated or start over."""

    def __init__(self, rate: float) -> None:
        self._period = 1.0 / rate
        self._offset = 0.0
        self.last: float | None = None

    def at(self, stamp: float | None) -> float:
        """The time of the next frame; `stamp` is its presentation time in seconds or None."""
        if self.last is None:
            time = stamp or 0.0
        elif stamp is None:
            time = self.last + self._period
        else:
            time = stamp + self._offset
            if time < self.last - 1.5 * self._period:  # the stamps start over (joined recordings): carry on from here
                self._offset += self.last + self._period - time
                time = self.last + self._period
            elif time <= self.last:  # repeated: squeeze in between, so that later frames keep their time
                time = self.last + 0.1 * self._period
        self.last = time
        return time


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its main video stream, decoding on all cores."""
    _check_file(path)
    import av

    try:
        container = av.open(str(path.resolve()))
    except (av.FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error
    with container:
        streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if container.format.name in _NO_VIDEO_FORMATS:
            raise _not_a_video(path)
        if not streams:
            if container.streams.audio:
                raise InputError(
                    f"{path.name} has sound but no picture.",
                    "Choose a video file, not an audio file.",
                    "video-audio-only",
                )
            raise _not_a_video(path)
        stream = streams[0]
        stream.thread_type = "AUTO"
        yield container, stream


def _check_file(path: Path) -> None:
    """Raises InputError for what is no readable file at all."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a video.", "Give the path of one video file.", "video-is-folder")
        if not path.exists():
            raise InputError(f"There is no file {path}.", "Check the path of the video.", "video-missing")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path.name} is empty (0 bytes).", "Copy or download the video again.", "video-empty")
    except OSError as error:
        raise _unreadable(path, error) from error


def _decoded(container: InputContainer, stream: VideoStream, path: Path, warn: Warn) -> Iterator[VideoFrame]:
    """Pictures in presentation order; damaged packets are left out and reported once, at the end."""
    import av

    damaged, count = 0, 0
    packets: Iterator[Any] = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            pictures = stream.codec_context.decode(packet)  # None gives the pictures still inside the decoder
        except av.EOFError:  # it gave them already
            break
        except av.FFmpegError:
            damaged += 1
            continue
        for picture in pictures:
            count += 1
            yield picture  # type: ignore[misc]
        if packet is None:
            break
    if damaged and count:
        warn(f"{path.name} is damaged in {damaged} place{'s' * (damaged > 1)}; the frames that can be read are used.")


def _display_axes(picture: VideoFrame) -> tuple[int, int, int, int]:
    """(a, b, c, d) of the container's display matrix: source (x, y) is shown at (a x + c y, b x + d y)."""
    data: Any = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    return a, b, c, d


def _upright(image: NDArray[Any], axes: tuple[int, int, int, int]) -> NDArray[Any]:
    """The picture (H, W, …) as shown, for turns by 90° and mirrorings (others do not occur: nearest is taken)."""
    a, b, c, d = axes
    turned = _is_turned(axes)
    if turned:
        image = np.swapaxes(image, 0, 1)
    flip_x, flip_y = (c < 0, b < 0) if turned else (a < 0, d < 0)
    return image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _is_turned(axes: tuple[int, int, int, int]) -> bool:
    """True when the picture is shown on its side: width and height change places."""
    return abs(axes[1]) > abs(axes[0])


def _square_size(picture: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height before rotation, with square pixels."""
    aspect = stream.sample_aspect_ratio
    return (round(picture.width * aspect) if aspect else picture.width), picture.height


def _tick(stream: VideoStream) -> Fraction:
    """Seconds that one unit of a timestamp lasts."""
    return stream.time_base or Fraction(1, 90_000)


def _rate(stream: VideoStream) -> float:
    return float(stream.average_rate or stream.guessed_rate or _FALLBACK_RATE)


def _stated_duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds as the container says, or None where it does not."""
    if stream.duration:
        return float(stream.duration * _tick(stream))
    return container.duration / 1e6 if container.duration else None


def _seconds_spanned(stamps: Sequence[int], stream: VideoStream) -> float:
    return float((max(stamps) - min(stamps)) * _tick(stream)) if stamps else 0.0


def _measured_rate(stamps: Sequence[int], stream: VideoStream) -> float:
    """Frames per second from timestamps where there are any: what headers say is often made up."""
    seconds = _seconds_spanned(stamps, stream)
    return (len(stamps) - 1) / seconds if seconds > 0 else _rate(stream)


def _is_variable(stamps: Sequence[int]) -> bool:
    """Whether any frame lasts more than a quarter longer or shorter than the usual one (stamps in order)."""
    steps = np.diff(stamps)
    return bool(len(steps) and np.any(np.abs(steps - np.median(steps)) > np.maximum(0.25 * np.median(steps), 1)))


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, PermissionError):
        return InputError(
            f"No permission to read {path}.", "Change the file's permissions or copy it elsewhere.", "video-unreadable"
        )
    return _not_a_video(path)


def _not_a_video(path: Path) -> InputError:
    return InputError(
        f"{path.name} is not a video that can be read (or it was cut off while being written or copied).",
        "Check that it plays in a video player; if it does, convert it to MP4.",
        "video-invalid",
    )


def _no_frame(path: Path) -> InputError:
    return InputError(
        f"{path.name} holds no frame that can be decoded; it may be cut off.",
        "Copy or download the video again, or convert it to MP4.",
        "video-no-frames",
    )
