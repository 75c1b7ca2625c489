# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clips, each in a Blender of its own: one that crashes or hangs takes nothing with it.

`Served` is the batch's end of the wire and `serve` the other one. One JSON object a line travels: a `batch.Clip` to the
process, its events and its `batch.Outcome` back. The end of its input means stop, so that a batch that was killed
leaves no process behind. What Blender prints goes to the clip's log.
"""

from __future__ import annotations

import _thread
import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from argparse import Namespace
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from .core.video_to_pose import batch, cli, cli_batch
from .core.video_to_pose.errors import Cancelled, SetupError

SERVE = "--serve"
"""The option of the script that makes it the other end."""
LAST_WORDS = 4000
"""So many characters of what a process printed are told when it ends badly."""


def conversion() -> Any:
    """The module of that name, which needs Blender.

    Raises:
        SetupError: this Python has none.
    """
    try:
        from . import conversion
    except ModuleNotFoundError as error:
        if error.name != "bpy":
            raise
        raise SetupError(
            "This Python has no Blender inside.",
            f"Run the script by Blender, or: {sys.executable} -m pip install bpy",
            "no-blender",
        ) from error
    return conversion


def run(options: Namespace, out: Path, kind: cli_batch.Kind) -> None:
    """Do a folder or a manifest.

    Args:
        options: of the command line.
        out: absolute path of the folder for outputs, report and log.
        kind: what is made of the clips.

    Raises:
        InputError: what was asked for cannot be; nothing has been done then.
        SetupError: there is no engine.
        ClipsFailed: some clips could not be done.
        Cancelled, KeyboardInterrupt: stopped.
    """
    clips = cli_batch.clips_of(Path(options.batch), out, options, kind)
    outputs = [Path(path) for clip in clips for path in clip.outputs]
    cli._check_places([out / "report.json", out / "log.jsonl", *outputs], {Path(clip.video) for clip in clips})
    workers = cli_batch.check_workers(options, len(clips))
    for clip in clips:
        cli.capture_settings(Namespace(**clip.options))
    chosen = options.engine_python
    if any(Path(clip.video).suffix.lower() != ".npz" for clip in clips):
        conversion().find_engine(chosen)  # missed now, and not by every clip
    command = [*program(), SERVE, *(["--engine-python", chosen] if chosen else [])]
    logs = Path(options.logs).absolute() if options.logs else None
    if logs is not None:
        cli._make_folder(logs / "log")
    place = batch.in_processes(workers, partial(Served, command, logs), options.time_limit)
    cli_batch.do(clips, _elsewhere, place, out, options, sys.stderr)


def _elsewhere(clip: batch.Clip, tell: batch.Tell) -> NoReturn:
    """The work is `conversion.convert`, but in the processes."""
    raise AssertionError(clip.name)


def program() -> list[str]:
    """How to run the script in another process like this one."""
    script, bpy = str(Path(__file__).with_name("headless.py")), sys.modules.get("bpy")
    if bpy is None or not bpy.app.binary_path:
        return [sys.executable, script]
    plain = ["--factory-startup"] if bpy.app.factory_startup else []
    return [bpy.app.binary_path, "--background", *plain, "--python", script, "--"]


# --- the batch's end --------------------------------------------------------------------------------------------------


class Served:
    """`batch.Link` to a process that runs `serve`.

    Args:
        command: that starts it.
        logs: folder for what it prints; None keeps its last words.
        clip: that it is for.

    Raises:
        SetupError: it cannot be started.
    """

    once = True

    def __init__(self, command: list[str], logs: Path | None, clip: batch.Clip) -> None:
        self._printed: Any = tempfile.TemporaryFile() if logs is None else log_of(clip, logs).open("w+b")  # noqa: SIM115
        apart: dict[str, Any] = {"start_new_session": True}  # Ctrl-C is for the batch, which tells us
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._printed, **apart
            )
        except OSError as error:
            self._printed.close()
            raise SetupError(
                f"{command[0]} cannot be started: {error.strerror}.", "Look at that program.", "program"
            ) from error
        self.hears, says = multiprocessing.Pipe(duplex=False)
        threading.Thread(target=self._pass_on, args=(says,), name="clip", daemon=True).start()

    def _pass_on(self, says: Any) -> None:
        assert self._process.stdout is not None
        with says, contextlib.suppress(OSError):  # nobody listens any more
            for line in self._process.stdout:
                with contextlib.suppress(ValueError, TypeError):  # not ours
                    said = json.loads(line)
                    says.send(_outcome(said["outcome"]) if "outcome" in said else said)

    def send(self, clip: batch.Clip) -> None:
        assert self._process.stdin is not None
        line = json.dumps({**asdict(clip), "options": dict(clip.options)}, default=str)
        self._process.stdin.write(line.encode("ascii") + b"\n")
        self._process.stdin.flush()

    def ask_to_stop(self, at_work: bool) -> None:
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def end(self) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(batch.GRACE_S + 1.0)  # after which it ends itself, and tidies up
        self._kill()
        self.ask_to_stop(at_work=False)
        return self._process.wait()

    def _kill(self) -> None:
        """It and its engine, which may hang and outlive it."""
        if sys.platform == "win32":
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(self._process.pid)], capture_output=True, check=False)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def last_words(self) -> str:
        with self._printed as printed:
            printed.seek(max(0, printed.seek(0, os.SEEK_END) - LAST_WORDS))
            return printed.read().decode("utf-8", errors="replace").strip()


def _outcome(values: dict[str, Any]) -> batch.Outcome:
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return batch.Outcome(**plain)


def log_of(clip: batch.Clip, folder: Path) -> Path:
    """The file to which a clip's process prints: named after the clip, in letters that every system takes."""
    safe = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", clip.name)
    mark = "" if safe == clip.name else "." + hashlib.sha256(clip.name.encode()).hexdigest()[:6]
    return folder / f"{safe}{mark}.log"


# --- the process's end ------------------------------------------------------------------------------------------------


def serve(options: Namespace) -> NoReturn:
    """Do the clip that comes on stdin, tell of it on stdout, and end this process."""
    wires = _Wires()
    code = Cancelled.exit_code
    try:
        _do_one(wires, options)
        code = 0
    except (Cancelled, KeyboardInterrupt, OSError):
        print("Stopped.", file=sys.stderr, flush=True)
    _end(code)


def _do_one(wires: _Wires, options: Namespace) -> None:
    values = json.loads(wires.input.readline() or "null")
    if values is None:
        raise Cancelled
    clip = batch.Clip(**{**values, "outputs": tuple(values["outputs"])})
    awake = threading.Event()
    threading.Thread(target=_watch, args=(wires.input, awake), name="stdin", daemon=True).start()
    print(f"{clip.name}: {clip.video} -> {', '.join(clip.outputs)}", file=sys.stderr, flush=True)
    tell = batch.paced(lambda event: wires.send({"event": "progress", "clip": clip.name, **event}))
    work = partial(conversion().convert, engine_python=options.engine_python)
    awake.set()
    outcome = batch.attempt(work, clip, tell)
    for line in (*outcome.warnings, outcome.error, outcome.hint, outcome.details):
        if line:
            print(line, file=sys.stderr)
    print(f"{clip.name}: {outcome.outcome} after {outcome.seconds:.1f} s", file=sys.stderr, flush=True)
    wires.send({"outcome": asdict(outcome)})


def _watch(stdin: io.FileIO, awake: threading.Event) -> None:
    """The end of stdin stops the work; what does not hear of it is ended.

    A Blender that is just being loaded would take the interruption for an error of the part it is at, and go on.
    """
    while stdin.read(4096):
        pass
    if awake.wait(batch.GRACE_S):
        _thread.interrupt_main(signal.SIGINT)
        time.sleep(batch.GRACE_S)
    _end(Cancelled.exit_code)


def _end(code: int) -> NoReturn:
    """At once: nothing is left to do, and Blender takes its time, or crashes, shutting down."""
    app = getattr(sys.modules.get("bpy"), "app", None)
    if app is not None:
        shutil.rmtree(app.tempdir, ignore_errors=True)
    os._exit(code)


class _Wires:
    """Private copies of stdin and stdout; what Blender or a library prints goes to stderr."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self.input = io.FileIO(os.dup(0), "r")
        self._output = io.FileIO(os.dup(1), "w")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)

    def send(self, value: dict[str, Any]) -> None:
        left = memoryview(json.dumps(value, default=str).encode("ascii") + b"\n")
        while left:
            left = left[self._output.write(left) or 0 :]
