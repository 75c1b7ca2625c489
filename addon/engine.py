# SPDX-License-Identifier: GPL-3.0-or-later
"""The capture engine seen from Blender: which Python runs it, starting it, listening to it, stopping it.

Nothing here imports bpy: one thread reads the worker's lines into a queue, and whoever owns Blender's main thread
takes them out.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .core.video_to_pose import protocol
from .core.video_to_pose.errors import Cancelled, InputError, SetupError, VideoToPoseError

CORE = Path(__file__).resolve().parent / "core"
REQUIREMENTS = Path(__file__).resolve().parent / "engine_requirements.txt"

PACKAGES = ("av", "mediapipe", "numpy", "onnxruntime", "platformdirs", "scipy")
"""What the worker imports; present in a Python that can run it."""

GRACE_S = 5.0
"""How long a cancelled worker may take to tidy up before it is terminated."""

_READY = "ready"
_MESSAGE_HINT = "Look at the details; if they do not help, please report them."


def find_python(chosen: str, environment: Path | None) -> Path:
    """The Python that runs the engine: the chosen one, the installed environment's, or Blender's own.

    Args:
        chosen: path from the preferences or the command line, a program or a virtual environment's folder; empty
            lets us look.
        environment: folder of the installed engine, which may not exist.

    Raises:
        SetupError: the chosen one cannot run it, or there is none.
    """
    if chosen:
        python = Path(chosen).expanduser()
        if python.is_dir():
            python = environment_python(python)
        missing = missing_packages(python)
        if missing:
            raise SetupError(
                f"{python} lacks {_and(missing)}.",
                "Choose a Python in which video-to-pose is installed, or leave the path empty and install the engine.",
                "engine-incomplete",
            )
        return python
    if environment is not None and (environment / _READY).is_file():
        return environment_python(environment)
    own = Path(sys.executable)
    if own.is_file() and not missing_packages(own):
        return own
    raise SetupError(
        "The capture engine is not installed yet.",
        "Install it in the add-on's preferences, or choose a Python in which video-to-pose is installed.",
        "engine-missing",
    )


def missing_packages(python: Path) -> list[str]:
    """Which of `PACKAGES` a Python lacks.

    Raises:
        SetupError: it cannot be run, or is no Python.
    """
    look = f"import importlib.util as u; print('missing:', *[p for p in {PACKAGES!r} if u.find_spec(p) is None])"
    try:
        done = subprocess.run(
            [python, "-c", look],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            env=_environment(),
            creationflags=_no_window(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_python(python) from error
    if done.returncode != 0 or not done.stdout.startswith("missing:"):
        raise _not_python(python)
    return done.stdout.split()[1:]


def _not_python(python: Path) -> SetupError:
    return SetupError(
        f"{python} is not a Python that can be run.",
        "Choose the python program itself, such as bin/python or Scripts\\python.exe.",
        "engine-python",
    )


def environment_python(environment: Path) -> Path:
    """The interpreter inside a virtual environment's folder."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


class Worker:
    """A worker process at its job. `poll` never waits; `close` always ends it.

    Args:
        python: interpreter with the engine's packages.
        job: what it is to do.
        online: whether it may fetch a model that is not there yet.

    Raises:
        SetupError: it cannot be started.
    """

    def __init__(self, python: Path, job: protocol.Job, online: bool = True) -> None:
        self._job = job
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed in _finish)
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._cancel_at: float | None = None
        self.final: protocol.Final | None = None
        try:
            self._process = subprocess.Popen(
                [python, "-m", "video_to_pose.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=_environment() | ({} if online else {"VIDEO_TO_POSE_OFFLINE": "1"}),
                creationflags=_no_window(),
            )
        except OSError as error:
            self._stderr.close()
            raise _not_python(python) from error
        assert self._process.stdin is not None and self._process.stdout is not None  # they are pipes
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._reader = threading.Thread(target=self._read, name="video-to-pose", daemon=True)
        self._reader.start()
        self._send(protocol.encode_job(job))

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def poll(self, wait_s: float = 0.0) -> list[protocol.Message]:
        """Messages since the last call, waiting at most `wait_s` for the first; the last one ever is `final`."""
        messages: list[protocol.Message] = []
        if self.final is not None:
            return messages
        with contextlib.suppress(queue.Empty):
            line = self._queue.get(timeout=wait_s) if wait_s > 0 else self._queue.get_nowait()
            while self.final is None:
                message = self._ended() if line is None else self._decoded(line)
                messages.append(message)
                if isinstance(message, protocol.Final):
                    self._finish(message)
                    break
                line = self._queue.get_nowait()
        if self.final is None and self._cancel_at is not None and time.monotonic() > self._cancel_at + GRACE_S:
            messages.append(protocol.Cancelled())
            self._finish(protocol.Cancelled())
        return messages

    @property
    def cancelling(self) -> bool:
        """Whether the worker was asked to stop."""
        return self._cancel_at is not None

    def cancel(self) -> None:
        """Ask the worker to stop; `poll` brings `Cancelled`, at the latest after the grace period."""
        if self._cancel_at is None and self.final is None:
            self._cancel_at = time.monotonic()
            self._send(protocol.CANCEL_LINE)

    def close(self) -> None:
        """End the worker now, if it still runs, and remove what it left."""
        if self.final is None:
            self._finish(protocol.Cancelled())

    def _finish(self, message: protocol.Final) -> None:
        self.final = message
        with contextlib.suppress(OSError):
            self._stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=GRACE_S if isinstance(message, protocol.Result | protocol.Failed) else 0.5)
        _end(self._process)
        self._reader.join(timeout=GRACE_S)
        self._stdout.close()
        self._stderr.close()
        if not isinstance(message, protocol.Result):
            for path in (
                self._job.take,
                self._job.take.with_name(f"{self._job.take.stem}.partial{self._job.take.suffix}"),
            ):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _send(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a worker that has ended says why on its way out
            self._stdin.write(line.encode("ascii"))
            self._stdin.flush()

    def _read(self) -> None:
        for line in self._stdout:
            self._queue.put(line)
        self._queue.put(None)

    def _decoded(self, line: bytes) -> protocol.Message:
        try:
            return protocol.decode(line)
        except ValueError as error:
            return protocol.Failed(
                "The engine answered something this add-on does not understand.",
                "Clear the path of the engine's Python in the preferences and install the engine anew.",
                "engine-answer",
                f"{error}\n{self._last_words()}",
            )

    def _ended(self) -> protocol.Message:
        """What it means that the worker ended without its last message."""
        if self._cancel_at is not None:
            return protocol.Cancelled()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=GRACE_S)
        return protocol.Failed(
            f"The engine stopped unexpectedly (exit code {self._process.returncode}).",
            _MESSAGE_HINT,
            "engine-crashed",
            self._last_words(),
        )

    def _last_words(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4000))
        return self._stderr.read().decode("utf-8", errors="replace")


def run(python: Path, job: protocol.Job, report: Callable[[protocol.Message], None]) -> Path:
    """Do a job and wait for its end; for background mode, where Blender has no timers.

    Args:
        python: interpreter with the engine's packages.
        job: what to do.
        report: called with every message; KeyboardInterrupt stops the job.

    Returns:
        The written Take.

    Raises:
        VideoToPoseError: as the worker says.
        Cancelled: on Ctrl-C; nothing is left.
    """
    worker = Worker(python, job)
    try:
        while worker.final is None:
            for message in worker.poll(wait_s=0.2):
                report(message)
    except KeyboardInterrupt as error:
        raise Cancelled from error
    finally:
        worker.close()
    return taken(worker.final)


def taken(final: protocol.Final) -> Path:
    """The Take of a finished job.

    Raises:
        VideoToPoseError: when there is none, saying why.
    """
    if isinstance(final, protocol.Result):
        return final.take
    if isinstance(final, protocol.Cancelled):
        raise Cancelled
    faults = ("fault", "engine-crashed", "engine-answer")
    error = (VideoToPoseError if final.code in faults else InputError)(final.message, final.hint, final.code)
    error.add_note(final.details)
    raise error


class Installation:
    """Making the engine's environment: a virtual environment and its packages, in processes of their own.

    Args:
        environment: folder to make; what is there is replaced.
        requirements: file with one requirement a line.
        python: interpreter to make it with; Blender's own.
    """

    def __init__(self, environment: Path, requirements: Path = REQUIREMENTS, python: Path | None = None) -> None:
        self._environment = environment
        pip: list[str | Path] = [
            environment_python(environment),
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
        ]
        self._steps: list[tuple[str, Sequence[str | Path]]] = [
            ("Making an environment", [python or Path(sys.executable), "-m", "venv", "--clear", environment]),
            ("Installing packages", [*pip, "--progress-bar", "off", "--only-binary", ":all:", "-r", requirements]),
        ]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in _over)
        self._process: subprocess.Popen[bytes] | None = None
        self.error: SetupError | None = None
        self.finished = False
        self.label = self._steps[0][0]

    def poll(self) -> bool:
        """Start what is due. Returns whether it is over; `error` then says what went wrong, if anything did."""
        if self.finished:
            return True
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return False
            if code != 0:
                self._fail()
                return True
            self._steps.pop(0)
        if not self._steps:
            (self._environment / _READY).touch()
            self._over()
            return True
        self.label, command = self._steps[0]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                creationflags=_no_window(),
            )
        except OSError:
            self._fail()
        return self.finished

    def close(self) -> None:
        """Stop, and remove the half-made environment."""
        if not self.finished:
            if self._process is not None:
                _end(self._process)
            self._over()
            shutil.rmtree(self._environment, ignore_errors=True)

    def _fail(self) -> None:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 4000))
        self.error = SetupError(
            f"{self.label} for the engine failed.",
            "Check the internet connection and the free disk space, then try again; the details say more.",
            "engine-install",
        )
        self.error.add_note(self._log.read().decode("utf-8", errors="replace"))
        self._over()
        shutil.rmtree(self._environment, ignore_errors=True)

    def _over(self) -> None:
        self.finished = True
        self._log.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process that still runs; kill it when that does not help."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    """Environment of the engine's processes: only our core on the path, and none of Blender's own Python settings."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONSTARTUP")}
    return {**kept, "PYTHONPATH": str(CORE), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _no_window() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW
    return 0


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
