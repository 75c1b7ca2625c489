# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clips: doing each of them once, here or on a cluster, whatever happens to some of them.

What is done with a clip is a function the caller gives (`Work`). This module knows of clips, attempts, processes, the
log and the report: a clip's outputs appear whole or not at all, its failure never stops the others, and a batch that
was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from . import __version__
from .errors import Cancelled, InputError, VideoToPoseError
from .files import written_whole

TRIES = 2
"""How often a clip is begun whose process dies of something else than too much memory."""
GRACE_S = 5.0
"""How long a process that is told to stop may take to tidy up."""
PROGRESS_S = 0.5
"""The least time between two tellings of how far a clip is."""
REPORT_S = 5.0
"""The least time between two writings of the report while clips are being done; it is always written at the end."""
TOO_MUCH_MEMORY = 77
"""Exit code of a process that ended itself because it held more memory than it may."""

Event = dict[str, Any]
"""What happened, for the log: ``event`` is a word, ``clip`` a name; plain JSON values."""
Tell = Callable[[Event], None]


@dataclass(frozen=True)
class Clip:
    """One thing to do.

    Attributes:
        name: of this clip alone in its batch; the same in every run, so that a later run knows it again.
        video: absolute path.
        outputs: absolute paths of what is to be there in the end.
        options: of the work; what has another value is another job.
    """

    name: str
    video: str
    outputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a clip ended.

    Attributes:
        clip, video: which.
        outcome: ``done``; ``kept``: done by an earlier run and unchanged since; ``failed``: the user can mend it;
            ``fault``: the program's own; ``waiting``: not yet, or stopped.
        seconds: the work took, in its last attempt.
        outputs: files that are there now, absolute paths.
        facts: what the work told, e.g. frames; plain JSON values.
        warnings: sentences the work logged.
        error, hint, code: of an `errors.VideoToPoseError`.
        details: a fault's traceback.
        attempts: how often it was begun.
        where: host and process of the last attempt.
        peak_megabytes: the most memory that process held until then; None where that is not known.
    """

    clip: str
    video: str
    outcome: str
    seconds: float = 0.0
    outputs: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    code: str = ""
    details: str = ""
    attempts: int = 1
    where: str = ""
    peak_megabytes: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; facts stand beside the rest, and what is empty is left out."""
        values = {key: value for key, value in asdict(self).items() if value not in ("", (), {}, None)}
        facts = values.pop("facts", {})
        return {**values, **{key: value for key, value in facts.items() if key not in values}}


Work = Callable[[Clip, Tell], dict[str, Any]]
"""Writes `Clip.outputs` and returns facts. A function of a module, so that other processes find it. It calls the
second argument every so often with how far it is; an exception from there stops it."""
Place = Callable[[Sequence[Clip], Work, Tell], Iterator[Outcome]]
"""Where work is done: gives an outcome for each clip, in any order, and stops everything when it is closed."""


# --- one clip -----------------------------------------------------------------------------------------------------


def attempt(work: Work, clip: Clip, tell: Tell) -> Outcome:
    """Do one clip and say how it ended. Nothing but `Cancelled` and what ends a process comes out as an exception."""
    began = time.perf_counter()
    about: dict[str, Any] = {"clip": clip.name, "video": clip.video, "where": f"{socket.gethostname()}:{os.getpid()}"}
    heard = _Warnings()
    logger = logging.getLogger(__package__)
    logger.addHandler(heard)
    try:
        with outputs_whole(clip) as unfinished:
            about["facts"] = work(replace(clip, outputs=unfinished), tell)
        about |= {"outcome": "done", "outputs": clip.outputs}
    except Cancelled:
        raise
    except VideoToPoseError as error:
        about |= {"outcome": "failed" if error.exit_code == InputError.exit_code else "fault"}
        about |= {"error": error.message, "hint": error.hint, "code": error.code}
    except Exception as error:
        sentence = f"The program stopped at a fault of its own: {type(error).__name__}: {error}."
        about |= {"outcome": "fault", "error": sentence, "code": "fault", "details": traceback.format_exc()}
        about |= {"hint": "Run video-to-pose convert on this clip with --debug and report what it prints."}
    finally:
        logger.removeHandler(heard)
    return Outcome(
        **about,
        seconds=round(time.perf_counter() - began, 3),
        warnings=tuple(heard.sentences),
        peak_megabytes=peak_megabytes(),
    )


class _Warnings(logging.Handler):
    """Keeps what the core warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(record.getMessage())


@contextlib.contextmanager
def outputs_whole(clip: Clip) -> Iterator[tuple[str, ...]]:
    """Paths to write a clip's outputs to; moved into place when the block ends well, removed when it does not.

    They lie in folders of this attempt alone beside the targets, so that two attempts never meet.
    """
    folders: dict[Path, Path] = {}
    try:
        for out in map(Path, clip.outputs):
            if out.parent not in folders:
                out.parent.mkdir(parents=True, exist_ok=True)
                folders[out.parent] = Path(tempfile.mkdtemp(prefix=_unfinished(clip), dir=out.parent))
        unfinished = tuple(str(folders[Path(out).parent] / Path(out).name) for out in clip.outputs)
        yield unfinished
        for source, target in zip(unfinished, clip.outputs, strict=True):
            Path(source).replace(target)
    except OSError as error:
        place = error.filename or clip.outputs[0]
        raise InputError(
            f"{place} cannot be written: {error.strerror or error}.",
            "Choose a folder you may write to, on a disk with room.",
            "output-unwritable",
        ) from error
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def clear_unfinished(clip: Clip) -> None:
    """Remove what attempts left behind that were killed."""
    for parent in {Path(out).parent for out in clip.outputs}:
        with contextlib.suppress(OSError):
            for folder in parent.glob(f"{_unfinished(clip)}*"):
                shutil.rmtree(folder, ignore_errors=True)


def _unfinished(clip: Clip) -> str:
    """How the folders of this clip's attempts begin."""
    return f".unfinished-{hashlib.sha256(clip.name.encode()).hexdigest()[:12]}-"


def peak_megabytes() -> float | None:
    """The most memory this process held so far (None on Windows)."""
    if sys.platform == "win32":
        return None
    with contextlib.suppress(OSError):  # Linux: getrusage would count what the parent held when it started us
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return round(float(line.split()[1]) / 1024, 1)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


# --- processes of this machine ------------------------------------------------------------------------------------


def here(workers: int, megabytes: float | None = None) -> Place:
    """Work in `workers` processes of this machine, each of which may hold `megabytes` of memory (None: no bound).

    The bound is not kept on Windows, nor by Blender, which is a process of its own.
    """

    def place(clips: Sequence[Clip], work: Work, tell: Tell) -> Iterator[Outcome]:
        waiting = deque((clip, 1) for clip in clips)
        processes = [_Process(work, megabytes) for _ in range(min(workers, len(clips)))]
        try:
            while waiting or any(process.clip for process in processes):
                for process in processes:
                    if process.clip is None and waiting:
                        clip, tries = waiting.popleft()
                        process.begin(clip, tries)
                        tell({"event": "started", "clip": clip.name, "attempt": tries})
                for process in _ready(processes):
                    said = process.hear()
                    if isinstance(said, Outcome):
                        yield said
                    elif isinstance(said, dict):
                        tell(said)
                    else:
                        clip, tries = said
                        tell({"event": "again", "clip": clip.name, "why": "its process died"})
                        waiting.append((clip, tries + 1))
        finally:
            for process in processes:
                process.ask_to_stop()
            for process in processes:
                process.stop()

    return place


def _ready(processes: Sequence[_Process]) -> list[_Process]:
    """Those that said something or died; waits no longer than a person who pressed Ctrl-C likes to (Windows)."""
    busy = [process for process in processes if process.clip]
    heard = wait([process.pipe for process in busy], timeout=0.5)
    return [process for process in busy if process.pipe in heard]


class _Process:
    """A process that does clips one after the other, started anew when it died."""

    def __init__(self, work: Work, megabytes: float | None) -> None:
        self.work, self.megabytes = work, megabytes
        self.clip: Clip | None = None
        self.tries = 0
        self.process: Any = None
        self.pipe: Connection

    def begin(self, clip: Clip, tries: int) -> None:
        clear_unfinished(clip)
        if self.process is None:
            context = multiprocessing.get_context("spawn")  # nothing is shared; the same on every system
            self.pipe, theirs = context.Pipe()  # type: ignore[assignment]
            self.process = context.Process(
                target=_serve, args=(theirs, self.work, self.megabytes), name="batch", daemon=True
            )
            self.process.start()
            theirs.close()  # so that its end is heard here
        self.clip, self.tries = clip, tries
        with contextlib.suppress(OSError):  # it died while idle: heard when listened to
            self.pipe.send(clip)

    def hear(self) -> Outcome | Event | tuple[Clip, int]:
        """An outcome, an event, or the clip and its tries when it is to be done again."""
        assert self.clip is not None
        clip, tries = self.clip, self.tries
        try:
            said: Outcome | Event = self.pipe.recv()
        except (EOFError, OSError):
            code = self._bury()
            clear_unfinished(clip)
            if code != TOO_MUCH_MEMORY and tries < TRIES:
                return clip, tries
            return self._died(clip, tries, code)
        if isinstance(said, Outcome):
            self.clip = None
            return replace(said, attempts=tries)
        return said

    def _died(self, clip: Clip, tries: int, code: int) -> Outcome:
        about: dict[str, Any] = {"clip": clip.name, "video": clip.video, "attempts": tries}
        if code == TOO_MUCH_MEMORY:
            error = f"{Path(clip.video).name} needs more than the {self.megabytes or 0:.0f} MB a process may hold."
            hint = "Give more with --memory, with fewer --workers, or convert parts of it with --start and --end."
            return Outcome(**about, outcome="failed", error=error, hint=hint, code="memory")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        error = f"The process that worked on {Path(clip.video).name} died {tries} times ({how})."
        hint = "If the system was short of memory, use fewer --workers; else report this clip."
        return Outcome(**about, outcome="fault", error=error, hint=hint, code="process-died")

    def _bury(self) -> int:
        """Its exit code."""
        self.process.join(GRACE_S)
        if self.process.is_alive():  # it closed its pipe and does not end
            self.process.kill()
            self.process.join()
        code = int(self.process.exitcode)
        self.pipe.close()
        self.process, self.clip = None, None
        return code

    def ask_to_stop(self) -> None:
        if self.process is not None:
            if self.clip is None:
                self.pipe.close()  # idle: it ends by itself
            else:
                self.process.terminate()

    def stop(self) -> None:
        if self.process is None:
            return
        clip = self.clip
        self._bury()
        if clip is not None:
            clear_unfinished(clip)


def _serve(pipe: Connection, work: Work, megabytes: float | None) -> None:
    """A process's life: clips in, outcomes out, until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    signal.signal(signal.SIGTERM, _leave)
    if megabytes is not None:
        threading.Thread(target=_watch_memory, args=(megabytes,), name="memory", daemon=True).start()
    last = [0.0]

    def tell(event: Event) -> None:
        now = time.monotonic()
        if now - last[0] < PROGRESS_S:
            return
        last[0] = now
        try:
            pipe.send({"event": "progress", "clip": clip.name, **event})
        except OSError as error:  # nobody waits for this any more
            raise Cancelled from error

    while True:
        try:
            clip: Clip = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(attempt(work, clip, tell))
        except (Cancelled, OSError):
            return


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(Cancelled.exit_code)  # what is unfinished is removed on the way out


def _watch_memory(megabytes: float) -> None:
    while (peak := peak_megabytes()) is not None and peak <= megabytes:
        time.sleep(0.2)
    if peak is not None:
        os._exit(TOO_MUCH_MEMORY)


# --- log, report, going on ----------------------------------------------------------------------------------------


class Log:
    """JSON lines, one an event, added to by every run. A line that was cut off by a kill is passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def done_before(self) -> dict[str, dict[str, Any]]:
        """Clip's name -> the last record of its being done."""
        found: dict[str, dict[str, Any]] = {}
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return found
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be read: {error.strerror}.", "Choose another folder.", "log"
            ) from error
        for line in text.splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict) and record.get("event") == "done" and "fingerprint" in record:
                    found[str(record.get("clip"))] = record
        return found

    def write(self, event: Event) -> None:
        """Add an event with the time it happened.

        Raises:
            InputError: it cannot be written.
        """
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **event}
        try:
            with self.path.open("a+b") as file:  # opened for each: the folder may lie on a network
                file.seek(0, os.SEEK_END)
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":  # cut off by a kill
                        file.write(b"\n")
                file.write(json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n")
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written: {error.strerror}.", "Choose a folder you may write to.", "log"
            ) from error


def fingerprint(clip: Clip) -> dict[str, Any]:
    """What makes a clip another job: its video, outputs, options, the files these name, the version."""
    named = [value for value in clip.options.values() if isinstance(value, Path)]
    plain = json.loads(json.dumps(dict(clip.options), default=str, sort_keys=True))
    files = {str(path): _stamp(path) for path in (Path(clip.video), *named)}
    return {"version": __version__, "options": plain, "outputs": list(clip.outputs), "files": files}


def _stamp(path: str | Path) -> list[int] | None:
    """Size and time of the last change; None for what is not there."""
    try:
        about = Path(path).stat()
    except (OSError, ValueError):
        return None
    return [about.st_size, about.st_mtime_ns]


def is_unchanged(clip: Clip, record: Mapping[str, Any] | None) -> bool:
    """Whether the clip was done as this record of the log says, and neither it nor its outputs changed since."""
    if record is None or record.get("fingerprint") != fingerprint(clip):
        return False
    written = record.get("written")
    return isinstance(written, dict) and all(
        written.get(out) is not None and written[out] == _stamp(out) for out in clip.outputs
    )


def run(
    clips: Sequence[Clip], work: Work, place: Place, out: Path, tell: Tell | None = None, again: bool = False
) -> list[Outcome]:
    """Do all clips and return their outcomes, in the order of `clips`.

    Args:
        clips: with names and outputs that differ.
        work: what is done with each.
        place: from `here` or `cluster.on_cluster`.
        out: folder of ``report.json`` and ``log.jsonl``; it exists.
        tell: called with every event; an exception it raises stops the batch.
        again: do also what is done already.

    Raises:
        InputError, SetupError: log or report cannot be written, or the place cannot be reached.
        Cancelled, KeyboardInterrupt: stopped; report and log say how far it came.
    """
    if len({clip.name for clip in clips}) < len(clips):
        raise ValueError("two clips of a batch have one name")
    log, began = Log(out / "log.jsonl"), time.perf_counter()
    report = _Report(out / "report.json", clips)
    before = {} if again else log.done_before()

    def note(event: Event) -> None:
        if event["event"] != "progress":
            log.write(event)
        if tell:
            tell(event)

    def end(outcome: Outcome, **more: Any) -> None:
        report.add(outcome)
        note({"event": outcome.outcome, **outcome.to_dict(), **more})

    note({"event": "begin", "clips": len(clips), "version": __version__, "where": f"{socket.gethostname()}"})
    ended = "fault"
    try:
        todo = []
        for clip in clips:
            if is_unchanged(clip, record := before.get(clip.name)):
                assert record is not None
                end(_kept(clip, record))
            else:
                todo.append(clip)
        marks = {clip.name: (clip, fingerprint(clip)) for clip in todo}  # of the videos before they are read
        if todo:
            with contextlib.closing(place(todo, work, note)) as outcomes:  # type: ignore[type-var]
                for outcome in outcomes:
                    clip, mark = marks.pop(outcome.clip)
                    clear_unfinished(clip)
                    done = {"fingerprint": mark, "written": {path: _stamp(path) for path in clip.outputs}}
                    end(outcome, **(done if outcome.outcome == "done" else {}))
        ended = "done"
    except (Cancelled, KeyboardInterrupt):
        ended = "stopped"
        raise
    finally:
        report.write(ended)
        counts = report.counts()
        note({"event": "end", "ended": ended, "seconds": round(time.perf_counter() - began, 3), "counts": counts})
    return report.outcomes()


def _kept(clip: Clip, record: Mapping[str, Any]) -> Outcome:
    """The outcome of a clip that an earlier run did, from its record in the log."""
    same = ("seconds", "attempts", "where", "peak_megabytes")
    about: dict[str, Any] = {key: record[key] for key in same if key in record}
    about["warnings"] = tuple(record.get("warnings", ()))
    known = {*Outcome.__dataclass_fields__, "event", "time", "fingerprint", "written"}
    about["facts"] = {key: value for key, value in record.items() if key not in known}
    return Outcome(clip.name, clip.video, "kept", outputs=clip.outputs, **about)


class _Report:
    """``report.json``: what became of every clip."""

    def __init__(self, path: Path, clips: Sequence[Clip]) -> None:
        self.path = path
        self._began, self._clock = datetime.now(UTC), time.perf_counter()
        self._outcomes = {clip.name: Outcome(clip.name, clip.video, "waiting", attempts=0) for clip in clips}
        self._written = 0.0

    def add(self, outcome: Outcome) -> None:
        self._outcomes[outcome.clip] = outcome
        if time.perf_counter() - self._written > REPORT_S:
            self.write("")

    def outcomes(self) -> list[Outcome]:
        return list(self._outcomes.values())

    def counts(self) -> dict[str, int]:
        return dict(Counter(outcome.outcome for outcome in self._outcomes.values()))

    def write(self, ended: str) -> None:
        """`ended`: ``done``, ``stopped`` or ``fault``; empty while it goes on."""
        content = {
            "version": __version__,
            "began": self._began.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._clock, 3),
            "ended": ended or "running",
            "counts": self.counts(),
            "clips": [outcome.to_dict() for outcome in self.outcomes()],
        }
        with written_whole(self.path) as partial:
            text = json.dumps(content, ensure_ascii=False, indent=1, default=str)
            partial.write_text(text, encoding="utf-8", errors="replace")
        self._written = time.perf_counter()
