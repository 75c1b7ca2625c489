# SPDX-License-Identifier: GPL-3.0-or-later
"""The process Blender starts: ``python -m video_to_pose.worker`` with the core's folder on PYTHONPATH.

It reads one `protocol.Order` from stdin, does it (captures and writes the Take, or says what a video is, or who is in
it, or follows a person while it happens) and says how it goes on stdout. A line
``{"cancel": true}`` on stdin stops it, and so does stdin's end, so that a Blender that died leaves no orphan.
Native libraries print to descriptor 1 as they like: it points at stderr, and the messages go to a private copy.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import platform
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__, protocol
from .errors import Cancelled, SetupError, VideoToPoseError
from .files import partial_name

if TYPE_CHECKING:
    from .pipeline import Progress

_log = logging.getLogger(__name__)

GRACE_S = 2.0
"""How long a cancelled or forsaken job may take to reach its next step before the process ends itself."""

FAULT_HINT = "This is a fault of the program: please report it with the details."


class _Wires:
    """The private copies of stdin and stdout; descriptors 0 and 1 no longer lead to Blender.

    The input is unbuffered, because a thread that waits in a buffered read would hold its lock when Python ends.
    Programs we start get an empty input and cannot block on, or eat from, ours.
    """

    def __init__(self) -> None:
        self.input = io.FileIO(os.dup(0), "r")
        self._output = io.FileIO(os.dup(1), "w")
        self._lock = threading.Lock()
        self.cut = False
        """Whether nobody is there who would listen, though the pipes may be open."""
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)

    def send(self, message: protocol.Message) -> None:
        """Write a message; raises `Cancelled` when nobody listens any more."""
        if self.cut:
            raise Cancelled
        try:
            with self._lock:
                left = memoryview(protocol.encode(message).encode("ascii"))
                while left:
                    left = left[self._output.write(left) or 0 :]
        except OSError as error:
            raise Cancelled from error


def main() -> int:
    """Do one job. Returns the process's exit code: 0, or that of the error (1 fault, 2 input, 3 set-up, 130)."""
    wires = _Wires()
    cancelled = threading.Event()
    code = 0
    job: protocol.Order | None = None
    last: protocol.Message
    try:
        try:
            wires.send(protocol.Hello(__version__, platform.python_version()))
            job = protocol.decode_job(wires.input.readline())
            last = _work(job, wires, cancelled)
        except (Cancelled, KeyboardInterrupt):
            code, last = Cancelled.exit_code, protocol.Cancelled()
        except VideoToPoseError as error:
            code, last = (
                error.exit_code,
                protocol.Failed(error.message, error.hint, error.code, exit_code=error.exit_code),
            )
        except Exception as error:
            message = f"The capture stopped at a fault: {type(error).__name__}: {error}"
            code, last = 1, protocol.Failed(message, FAULT_HINT, "fault", traceback.format_exc(), exit_code=1)
        wires.send(last)
    except (Cancelled, KeyboardInterrupt):  # nobody is there any more who would take what was made
        if isinstance(job, protocol.Job):
            job.take.unlink(missing_ok=True)
            _tidy(job.take)
        return Cancelled.exit_code
    return code


def _work(job: protocol.Order, wires: _Wires, cancelled: threading.Event) -> protocol.Final:
    _tell_log()
    take = job.take if isinstance(job, protocol.Job) else None
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    watch = threading.Thread(target=_watch, args=(wires.input, cancelled, take, lines), name="stdin", daemon=True)
    watch.start()
    if Path("/proc/self/stat").is_file():
        about = (os.getppid(), wires, cancelled, take)
        threading.Thread(target=_watch_parent, args=about, name="parent", daemon=True).start()
    report = _reporter(wires, cancelled)
    try:  # what they need is loaded there: a package that is missing is then told as a message
        if isinstance(job, protocol.Glance):
            return _glance(job)
        if isinstance(job, protocol.Search):
            return _search(job, wires, report)
        if isinstance(job, protocol.Follow):
            from . import live_worker

            return live_worker.follow(job, wires.send, cancelled, lines)
        return _capture(job, wires, report)
    except ModuleNotFoundError as error:
        raise SetupError(
            f"The engine's Python lacks the package {error.name}.",
            "Install the engine in the add-on's preferences, or pip install video-to-pose into that Python.",
            "package-missing",
        ) from error


def _capture(job: protocol.Job, wires: _Wires, report: Callable[[Progress], None]) -> protocol.Result:
    from . import pipeline, review
    from .formats import take as take_file

    keeping = {} if job.cache is None else {"cache": job.cache}
    take = pipeline.capture(job.video, job.settings, report, **keeping)
    report(pipeline.Progress("save", 0, None))
    for start, end in review.confidence_spans(take):
        wires.send(protocol.Warning(f"Check {start:.1f} s to {end:.1f} s: little of the person was seen there."))
    take_file.save(take, job.take)
    return protocol.Result(job.take)


def _glance(job: protocol.Glance) -> protocol.Clip:
    from . import lineup

    info = lineup.glance(job.video, job.picture)
    values = {field.name: getattr(info, field.name) for field in fields(info) if field.name != "path"}
    return protocol.Clip(**values, picture=job.picture)


def _search(job: protocol.Search, wires: _Wires, report: Callable[[Progress], None]) -> protocol.Found:
    from . import lineup

    people = lineup.line_up(job.video, job.settings, job.cache, report)
    for person in people:
        values = {field.name: getattr(person, field.name) for field in fields(person)}
        values["portraits"] = tuple((portrait.time_s, str(portrait.path)) for portrait in person.portraits)
        wires.send(protocol.Person(**values))
    return protocol.Found(len(people))


def _tell_log() -> None:
    """What one needs to know first when something went wrong, on stderr, which is the log."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    packages = []
    for package in ("numpy", "scipy", "av", "onnxruntime", "mediapipe"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages.append(f"{package} {metadata.version(package)}")
    _log.info("video-to-pose %s, Python %s (%s)", __version__, platform.python_version(), sys.executable)
    _log.info("%s, %s cores; %s", platform.platform(), os.cpu_count(), ", ".join(packages))


def _reporter(wires: _Wires, cancelled: threading.Event) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if cancelled.is_set():
            raise Cancelled
        wires.send(protocol.Progress(progress.stage, progress.done, progress.total))

    return report


def _watch(stdin: io.FileIO, cancelled: threading.Event, take: Path | None, lines: queue.SimpleQueue[bytes]) -> None:
    """Hand on lines until one asks to stop or stdin ends, then see to it that the process does end."""
    while (line := stdin.readline()) and not protocol.is_cancel(line):
        lines.put(line)
    _end(cancelled, take)


def _watch_parent(parent: int, wires: _Wires, cancelled: threading.Event, take: Path | None) -> None:
    """See to it that the process ends when Blender has died but its pipes have not.

    Seen under Linux: a thread of the graphics driver that runs when nothing else does held a killed Blender's files
    open for as long as this process kept the processors busy.
    """
    while True:
        time.sleep(1.0)
        try:
            state = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            break
        if state == "Z" or os.getppid() != parent:
            break
    wires.cut = True
    _end(cancelled, take)


def _end(cancelled: threading.Event, take: Path | None) -> None:
    """Let the work end at its next step, or else end the process without it."""
    cancelled.set()
    time.sleep(GRACE_S)
    if take is not None:
        _tidy(take)
    os._exit(Cancelled.exit_code)


def _tidy(take: Path) -> None:
    """Remove what was begun, and the folder that was made for it: a Blender that died cannot."""
    with contextlib.suppress(OSError):
        partial_name(take).unlink(missing_ok=True)
        take.parent.rmdir()  # if it is empty


if __name__ == "__main__":
    sys.exit(main())
