# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's job of following a person: poses go out as messages, lines that ask to record come in."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from . import detect, lift, live, protocol
from .errors import Cancelled, VideoToPoseError
from .formats import take as take_file
from .live_source import Source

Send = Callable[[protocol.Message], None]


def follow(
    job: protocol.Follow, send: Send, stop: threading.Event, lines: queue.SimpleQueue[bytes]
) -> protocol.Followed:
    """Follow until the source ends.

    Args:
        job: what to follow, and how.
        send: takes messages, from any thread.
        stop: set when it is to stop; what is being recorded is dropped then.
        lines: `protocol.encode_record` lines.

    Raises:
        Cancelled: `stop` was set.
        VideoToPoseError: the source or the engine does not do.
    """
    with ExitStack() as stack:
        detector = stack.enter_context(detect.load(job.settings.detect))
        lifter = lift.load(live.following_lift(job.settings, job.live))
        following = live.Live(detector, lifter, job.settings, job.live)
        recorder = _Recorder(following, send)
        skeleton = lifter.skeleton
        send(protocol.Actor(skeleton.name, skeleton.joints, skeleton.parents, following.delay_s))
        dropped = 0
        for moment in live.follow(following, Source(job.source, job.name, job.settings.video), stop):
            dropped = moment.dropped
            send(told(moment))
            with suppress(queue.Empty):
                while True:
                    recorder.hear(lines.get_nowait())
        if stop.is_set():
            raise Cancelled
        recorder.end()
        recorder.wait()
        return protocol.Followed(dropped)


def told(moment: live.Moment) -> protocol.Pose:
    """A moment as it goes over the line."""
    pose = moment.pose
    numbers = ""
    if pose is not None:
        numbers = protocol.packed(pose.directions.ravel(), pose.lengths, pose.root, pose.confidence)
    return protocol.Pose(
        time_s=0.0 if pose is None else pose.time_s,
        numbers=numbers,
        settled=pose is not None and pose.settled,
        latency_s=round(moment.latency_s, 4),
        frames_per_s=round(moment.frames_per_s, 2),
        dropped=moment.dropped,
    )


class _Recorder:
    """Recordings are solved and written in threads, so that poses go on meanwhile."""

    def __init__(self, following: live.Live, send: Send) -> None:
        self._following, self._send = following, send
        self._take: Path | None = None
        self._writers: list[threading.Thread] = []

    def hear(self, line: bytes) -> None:
        take = protocol.decode_record(line)
        self.end()
        if take is not None and self._following.record():
            self._take = take

    def end(self) -> None:
        """End the recording, if there is one, and have it written."""
        recording, take, self._take = self._following.stop_recording(), self._take, None
        if recording is not None and take is not None:
            writer = threading.Thread(target=self._write, args=(recording, take), name="recording")
            self._writers.append(writer)
            writer.start()

    def wait(self) -> None:
        """Until all is written."""
        for writer in self._writers:
            writer.join()

    def _write(self, recording: live.Recording, path: Path) -> None:
        try:
            take_file.save(self._following.take(recording, path.stem), path)
            message: protocol.Message = protocol.Recorded(path)
        except VideoToPoseError as error:
            message = protocol.Warning(f"The recording has no take: {error.message} {error.hint}")
        with suppress(Cancelled):  # nobody listens any more
            self._send(message)
