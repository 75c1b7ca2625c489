# SPDX-License-Identifier: GPL-3.0-or-later
"""The capture engine seen from Blender: which Python runs it, starting it, listening to it, stopping it.

Nothing here imports bpy: one thread reads the worker's lines into a queue, and whoever owns Blender's main thread
takes them out.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import installed, runtimes
from .core.video_to_pose import protocol
from .core.video_to_pose.errors import Cancelled, InputError, SetupError, VideoToPoseError

CORE = Path(protocol.__file__).resolve().parents[1]  # inside the extension, or beside it in a checkout
REQUIREMENTS = Path(__file__).resolve().parent / "engine_requirements.txt"

PACKAGES = ("av", "mediapipe", "numpy", "onnxruntime", "platformdirs", "scipy")
"""What the worker imports; present in a Python that can run it."""

GRACE_S = 0.5
"""How long a cancelled worker may take to tidy up before it is terminated, and then before it is killed."""

_HASTE_S = 0.5
_NICENESS = 5

MODELS_VARIABLE = "VIDEO_TO_POSE_WEIGHTS"
"""Names the folder of model files to the engine; a user who has set it is obeyed."""

_MESSAGE_HINT = "Look at the log; if it does not help, please report it."


@dataclass(frozen=True)
class Engine:
    """A Python that can run the worker.

    Attributes:
        python: the interpreter.
        packages: folder of the packages installed here, which Blender's own Python is pointed at; None: the
            interpreter has them itself.
        models: folder of model files; None: the user's, which the command line uses too.
    """

    python: Path
    packages: Path | None = None
    models: Path | None = None

    def __str__(self) -> str:
        return str(self.python if self.packages is None else self.packages)

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """How to run something in it. Blender's own packages are kept out of the engine that is installed here."""
        return [self.python, *(["-S"] if self.packages is not None else []), *arguments]

    def environment(self) -> dict[str, str]:
        """Environment of its processes: only our core and its packages on the path, none of Blender's settings."""
        places = [CORE] if self.packages is None else [CORE, self.packages]
        ours = {"PYTHONPATH": os.pathsep.join(map(str, places)), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        kept = clean_environment()
        if self.packages is not None:
            ours["PYTHONNOUSERSITE"] = "1"
        if self.models is not None and MODELS_VARIABLE not in kept:
            ours[MODELS_VARIABLE] = str(self.models)
        return kept | ours


def find_python(chosen: str, home: Path | None) -> Engine:
    """The engine: the chosen Python, the one installed here, or Blender's own Python when it has all packages.

    Args:
        chosen: path from the preferences or the command line, a program or a virtual environment's folder; empty
            lets us look.
        home: where an engine is installed, or not; see `installed`.

    Raises:
        SetupError: the chosen one cannot run it, the installed one is for another Blender, or there is none.
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
        return Engine(python)
    own = blender_python()
    found = installed.read(home) if home is not None else None
    if home is not None and found is not None:
        _check_fits(found)
        return Engine(own, installed.packages(home, found), models_folder(home))
    if own.is_file() and not missing_packages(own):
        return Engine(own)
    raise SetupError(
        "The capture engine is not installed yet.",
        "Press Install Engine, or choose a Python in which video-to-pose is installed in the preferences.",
        "engine-missing",
    )


def _check_fits(found: installed.Installed) -> None:
    """That what is installed is for this Blender and for this version of the add-on.

    Raises:
        SetupError: it is not.
    """
    version, where = f"{sys.version_info[0]}.{sys.version_info[1]}", runtimes.this_platform()
    if (found.python, found.platform) != (version, where):
        raise SetupError(
            f"The installed engine is for Python {found.python} on {found.platform}; this Blender has Python "
            f"{version} on {where}.",
            "Press Install Engine to make it anew.",
            "engine-other",
        )
    asked = REQUIREMENTS.read_text("utf-8") if REQUIREMENTS.is_file() else ""
    if lacking := set(runtimes.requirements(asked, found.runtime)) - set(found.requirements):
        raise SetupError(
            f"This version of Video to Pose needs more than the installed engine has: {_and(sorted(lacking))}.",
            "Press Install Engine to make it anew.",
            "engine-outdated",
        )


def models_folder(home: Path) -> Path:
    """Where the engine installed in `home` keeps model files: beside it, so that they go with the extension."""
    return home.parent / "models"


def blender_python() -> Path:
    """The Python program that Blender brings, or of the system that Blender uses."""
    told = Path(sys.executable)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    likely = [Path(sys.prefix) / "bin" / name for name in (version, "python.exe", "python3")]
    return next((path for path in (told, *likely) if path.is_file()), told)


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
            env=Engine(python).environment(),
            creationflags=no_window(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise not_python(python) from error
    if done.returncode != 0 or not done.stdout.startswith("missing:"):
        raise not_python(python)
    return done.stdout.split()[1:]


def not_python(python: Path) -> SetupError:
    """That a program cannot be run as a Python."""
    return SetupError(
        f"{python} is not a Python that can be run.",
        "Choose the python program itself, such as bin/python or Scripts\\python.exe.",
        "engine-python",
    )


def environment_python(environment: Path) -> Path:
    """The interpreter inside a virtual environment's folder."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


class Worker:
    """A worker process at its job. Neither `poll` nor `cancel` ever waits; `close` always ends it.

    Args:
        python: interpreter with the engine's packages.
        job: what it is to do.
        online: whether it may fetch a model that is not there yet.
        log: file to whose end it writes what it has to tell; None keeps only its last words.

    Raises:
        SetupError: it cannot be started.
    """

    def __init__(
        self, python: Engine | Path, job: protocol.Order, online: bool = True, log: Path | None = None
    ) -> None:
        started = python if isinstance(python, Engine) else Engine(python)
        self._stderr = tempfile.TemporaryFile() if log is None else log.open("a+b")  # noqa: SIM115 (closed in _over)
        self._before = self._stderr.seek(0, os.SEEK_END)
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._cancel_at: float | None = None
        self.final: protocol.Final | None = None
        try:
            self._process = subprocess.Popen(
                started.command("-m", "video_to_pose.worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=started.environment() | ({} if online else {"VIDEO_TO_POSE_OFFLINE": "1"}),
                creationflags=no_window() | _low_priority(),
            )
        except OSError as error:
            self._stderr.close()
            raise not_python(started.python) from error
        assert self._process.stdin is not None and self._process.stdout is not None  # they are pipes
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # whoever works in Blender goes first; for Windows see _low_priority
                own = os.getpriority(os.PRIO_PROCESS, 0)
                os.setpriority(os.PRIO_PROCESS, self._process.pid, own + _NICENESS)
        self._reader = threading.Thread(target=self._read, name="video-to-pose", daemon=True)
        self._reader.start()
        self._send(protocol.encode_job(job))

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended and nothing of it is left."""
        return not self._reader.is_alive()

    def poll(self, wait_s: float = 0.0) -> list[protocol.Message]:
        """Messages since the last call, waiting at most `wait_s` for the first; the last one ever is `final`.

        A result is told as soon as it is there, while the process may still be tidying up; a cancelled one or a crash
        when the process has gone.
        """
        messages: list[protocol.Message] = []
        with contextlib.suppress(queue.Empty):
            line = self._queue.get(timeout=wait_s) if wait_s > 0 and self.final is None else self._queue.get_nowait()
            while self.final is None:
                message = self._ended() if line is None else self._decoded(line)
                messages.append(message)
                if isinstance(message, protocol.Final):
                    self._over(message)
                    break
                line = self._queue.get_nowait()
        if self.final is None and self._cancel_at is not None:
            late = time.monotonic() - self._cancel_at
            if late > 2 * GRACE_S:
                self._process.kill()
            elif late > GRACE_S:
                self._process.terminate()
        return messages

    @property
    def cancelling(self) -> bool:
        """Whether the worker was asked to stop."""
        return self._cancel_at is not None

    def cancel(self) -> None:
        """Ask the worker to stop; `poll` brings `Cancelled`, at the latest soon after the grace period."""
        if self._cancel_at is None and self.final is None:
            self._cancel_at = time.monotonic()
            self._send(protocol.CANCEL_LINE)

    def tell(self, line: str) -> None:
        """Say something further to a worker at its job, such as `protocol.encode_record`."""
        if self.final is None and not self.cancelling:
            self._send(line)

    def close(self) -> None:
        """End the worker now, if it still runs, and wait until it has gone."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        _end(self._process, _HASTE_S)
        self._reader.join(timeout=_HASTE_S)
        if self.final is None:
            self._over(protocol.Cancelled())

    def _over(self, message: protocol.Final) -> None:
        self.final = message
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._stderr.close()

    def _send(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a worker that has ended says why on its way out
            self._stdin.write(line.encode("ascii"))
            self._stdin.flush()

    def _read(self) -> None:
        """In a thread: hand on the lines, then see the process out, so that nobody else need wait for it."""
        with self._stdout:
            for line in self._stdout:
                self._queue.put(line)
        try:
            self._process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            _end(self._process, GRACE_S)
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
                exit_code=1,
            )

    def _ended(self) -> protocol.Message:
        """What it means that the worker ended without its last message."""
        if self._cancel_at is not None:
            return protocol.Cancelled()
        return protocol.Failed(
            f"The engine stopped unexpectedly (exit code {self._process.returncode}).",
            _MESSAGE_HINT,
            "engine-crashed",
            self._last_words(),
            exit_code=1,
        )

    def _last_words(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(self._before, size - 4000))
        return self._stderr.read().decode("utf-8", errors="replace")


def run(python: Engine | Path, job: protocol.Job, report: Callable[[protocol.Message], None]) -> Path:
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
    kind = {kind.exit_code: kind for kind in (InputError, SetupError)}.get(final.exit_code, VideoToPoseError)
    error = kind(final.message, final.hint, final.code)
    error.add_note(final.details)
    raise error


def _end(process: subprocess.Popen[bytes], grace_s: float = 2.0) -> None:
    """Terminate a process that still runs; kill it when that does not help."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def clean_environment() -> dict[str, str]:
    """This process's environment without the settings of its Python."""
    dropped = ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONPATH", "PYTHONUSERBASE", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def _low_priority() -> int:
    return subprocess.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 0


def no_window() -> int:
    """What keeps Windows from showing a console for a process."""
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW
    return 0


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
