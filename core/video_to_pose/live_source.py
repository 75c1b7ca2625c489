# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures while they happen: a camera, a file played at its own speed, a file that is still being written.

A thread reads and keeps the newest picture alone: whoever is slower than the source misses pictures and stays current,
and nothing ever queues up.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import video
from .errors import InputError
from .settings import LIVE_SOURCES, VideoSettings
from .video import Frame, Warn

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

DEVICE_FORMATS = {"linux": "v4l2", "win32": "dshow", "darwin": "avfoundation"}
"""FFmpeg's way to cameras on each platform."""

_GROWTH_LOOK_S = 0.01
_CHUNK_BYTES = 32 * 1024
_QUICK = {"probesize": "100000", "analyzeduration": "300000", "fpsprobesize": "2"}
"""A stream is begun with after a few frames of it, not after five seconds."""


@dataclass(frozen=True)
class Source:
    """Where pictures come from.

    Attributes:
        kind: one of `settings.LIVE_SOURCES`.
        name: path of the file, or the camera: a number from 0, or its name as the system has it.
        part: of a file that is played.
        idle_s: a file that has not grown for so long is over.
    """

    kind: str
    name: str
    part: VideoSettings = field(default_factory=VideoSettings)
    idle_s: float = 5.0

    def __post_init__(self) -> None:
        if self.kind not in LIVE_SOURCES:
            raise ValueError(f"a source is one of {LIVE_SOURCES}, not {self.kind!r}")


def source_of(text: str, growing: bool = False, part: VideoSettings | None = None) -> Source:
    """What a person means by a word: ``camera``, ``camera:1``, ``camera:NAME``, a device's path, or a file's path.

    Args:
        text: the word.
        growing: the file is still being written.
        part: of a file that is played.
    """
    word, _, name = text.partition(":")
    if word == "camera":
        return Source("camera", name or "0")
    if Path(text).is_char_device():
        return Source("camera", text)
    return Source("growing" if growing else "file", text, part or VideoSettings())


@dataclass(frozen=True, eq=False)
class Arrival:
    """A picture that has come.

    Attributes:
        frame: the picture; its time is the source's own.
        at_s: when it could be had, by `time.monotonic`.
        dropped: pictures of this source that nobody had time for until now.
    """

    frame: Frame
    at_s: float
    dropped: int


def watch(source: Source, stop: threading.Event, warn: Warn | None = None) -> Generator[Arrival, None, None]:
    """Always the newest picture that was not given yet, until the source ends or `stop` is set.

    Raises:
        InputError: the source cannot be opened, or holds no picture.
    """
    newest = _Newest(stop)
    told: list[str] = []

    def read() -> None:
        try:
            with closing(_frames(source, newest.is_over, warn or told.append)) as frames:
                for frame in frames:
                    newest.put(frame)
                    if newest.is_over():
                        break
            newest.end(None)
        except BaseException as error:  # not handled here: raised again where the pictures are taken
            newest.end(error)

    thread = threading.Thread(target=read, name="live-source", daemon=True)
    thread.start()
    try:
        yield from newest
    finally:
        newest.abandon()
        thread.join(timeout=2.0)


class _Newest:
    """The one picture that waits; a newer one takes its place."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self._abandoned = stop, False
        self._changed = threading.Condition()
        self._waiting: Arrival | None = None
        self._dropped = 0
        self._ended, self._error = False, None  # type: tuple[bool, BaseException | None]

    def is_over(self) -> bool:
        return self._abandoned or self._stop.is_set()

    def abandon(self) -> None:
        self._abandoned = True

    def put(self, frame: Frame) -> None:
        with self._changed:
            self._dropped += self._waiting is not None
            self._waiting = Arrival(frame, time.monotonic(), self._dropped)
            self._changed.notify()

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()

    def __iter__(self) -> Iterator[Arrival]:
        while not self.is_over():
            with self._changed:
                if self._waiting is None and not self._ended:
                    self._changed.wait(timeout=0.1)
                arrival, self._waiting = self._waiting, None
                ended, error, dropped = self._ended, self._error, self._dropped
            if arrival is not None:
                yield replace(arrival, dropped=dropped)
            elif ended and error is not None:
                raise error
            elif ended:
                return


def _frames(source: Source, is_over: Callable[[], bool], warn: Warn) -> Generator[Frame, None, None]:
    if source.kind == "file":
        return _played(source, is_over, warn)
    if source.kind == "growing":
        return _growing(source, is_over, warn)
    return device_frames(*_device(source.name), is_over=is_over, warn=warn)


def _played(source: Source, is_over: Callable[[], bool], warn: Warn) -> Generator[Frame, None, None]:
    """A file's pictures, each when its time has come."""
    began: float | None = None
    with closing(video.read_frames(source.name, source.part, warn)) as frames:  # type: ignore[type-var]
        for frame in frames:
            began = time.monotonic() - frame.time_s if began is None else began
            while (early := began + frame.time_s - time.monotonic()) > 0 and not is_over():
                time.sleep(min(early, 0.1))
            yield frame


def _growing(source: Source, is_over: Callable[[], bool], warn: Warn) -> Generator[Frame, None, None]:
    path = Path(source.name)
    if not path.is_file():
        raise InputError(
            f"There is no file {path}.", "Start the recording first, then choose its file.", "video-missing"
        )
    with path.open("rb") as file, _opened(path.name, file=_Growing(file, source.idle_s, is_over)) as opened:
        yield from video.decode(*opened, path.name, warn)


class _Growing:
    """A file whose end is waited at, as long as it grows."""

    def __init__(self, file: Any, idle_s: float, is_over: Callable[[], bool]) -> None:
        self._file, self._idle_s, self._is_over = file, idle_s, is_over

    def read(self, size: int = -1) -> bytes:
        give_up_at = time.monotonic() + self._idle_s
        while True:
            data: bytes = self._file.read(_CHUNK_BYTES if size < 0 else size)
            if data or self._is_over() or time.monotonic() > give_up_at:
                return data
            time.sleep(_GROWTH_LOOK_S)


def device_frames(
    name: str, format: str | None, is_over: Callable[[], bool] = lambda: False, warn: Warn | None = None
) -> Generator[Frame, None, None]:
    """Pictures of a camera, or of any other input that FFmpeg has.

    Args:
        name: as FFmpeg's input of that format calls it.
        format: FFmpeg's input format; None guesses, as for a file.
        is_over: asked while waiting.
        warn: told when pictures could not be read.

    Raises:
        InputError: it cannot be opened.
    """
    with _opened(name, format=format) as opened:
        for frame in video.decode(*opened, name, warn or (lambda _: None)):
            yield frame
            if is_over():
                return


def _device(name: str) -> tuple[str, str]:
    """FFmpeg's name and input format of this system's camera."""
    format = DEVICE_FORMATS.get(sys.platform, "v4l2")
    if format == "v4l2":
        return (f"/dev/video{name}" if name.isdecimal() else name), format
    if format == "dshow":
        return f"video={_windows_camera(int(name)) if name.isdecimal() else name}", format
    return f"{name}:none", format  # avfoundation: picture:sound


def _windows_camera(number: int) -> str:
    """DirectShow knows cameras by name alone."""
    import av

    found = [device.description or device.name for device in av.enumerate_input_devices("dshow")]  # type: ignore[attr-defined]
    cameras = [name for name in found if name]
    if number >= len(cameras):
        raise InputError(
            f"There is no camera {number}; found: {', '.join(cameras) or 'none'}.",
            "Plug it in, or choose another one by its number or name.",
            "camera-missing",
        )
    return cameras[number]


@contextmanager
def _opened(name: str, *, file: Any = None, format: str | None = None) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A container and its picture, decoded with no delay that can be avoided."""
    import av

    what = "camera" if format is not None else "recording"
    try:
        container = av.open(file or name, mode="r", format=format, options=_QUICK if file is not None else {})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"The {what} {name} cannot be opened: {_reason(error)}.",
            "Check that it is plugged in, that no other program uses it and that this one may use cameras."
            if what == "camera"
            else "Record to MPEG-TS (.ts) or Matroska (.mkv), which can be read while they are written.",
            f"{what}-unreadable",
        ) from error
    with container:
        if not container.streams.video:
            raise InputError(f"{name} gives no picture.", "Choose another source.", f"{what}-unreadable")
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # threads by frames would hold some back
        stream.codec_context.flags |= av.codec.context.Flags.low_delay
        yield container, stream


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and 0 < number < 200 else str(error).splitlines()[0]
