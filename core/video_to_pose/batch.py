# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clips: doing each of them once, here or on a cluster, whatever happens to some of them.

What is done with a clip is a function the caller gives (`Work`). This module knows of clips, attempts, processes, the
log and the report: a clip's outputs appear whole or not at all, its failure never stops the others, and a batch that
was stopped goes on where it was.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import math
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
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from . import __version__
from .errors import Cancelled, InputError, SetupError, VideoToPoseError
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
        about |= {"outcome": "failed" if isinstance(error, InputError | SetupError) else "fault"}
        about |= {"error": error.message, "hint": error.hint, "code": error.code}
        about |= {"details": "\n".join(filter(None, getattr(error, "__notes__", ())))}
    except Exception as error:
        sentence = f"The program stopped at a fault of its own: {type(error).__name__}: {error}."
        about |= {"outcome": "fault", "error": sentence, "code": "fault", "details": traceback.format_exc()}
        about |= {"hint": "This is a fault of the program: please report it with the details that the report has."}
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
    place = ""
    try:
        for out in map(Path, clip.outputs):
            if out.parent not in folders:
                place = str(out)
                out.parent.mkdir(parents=True, exist_ok=True)
                folders[out.parent] = Path(tempfile.mkdtemp(prefix=_unfinished(clip), dir=out.parent))
        place, unfinished = "", tuple(str(folders[Path(out).parent] / Path(out).name) for out in clip.outputs)
        yield unfinished
        for source, place in zip(unfinished, clip.outputs, strict=True):
            Path(source).replace(place)
    except OSError as error:
        place = place or error.filename or clip.outputs[0]
        raise InputError(
            f"{place} cannot be written: {error.strerror or error}.",
            "Choose a folder you may write to, on a disk with room.",
            "output-unwritable",
        ) from error
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def target_of(unfinished: str | Path) -> Path:
    """Where a path of `outputs_whole` goes in the end."""
    return Path(unfinished).parent.parent / Path(unfinished).name


def clear_unfinished(clip: Clip) -> None:
    """Remove what attempts left behind that were killed."""
    for parent in {Path(out).parent for out in clip.outputs}:
        with contextlib.suppress(OSError):
            for left in parent.glob(f"{_unfinished(clip)}*"):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()


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


class Link(Protocol):
    """A process that does clips, as the batch sees it.

    Attributes:
        hears: where its events and outcomes come from; it ends when the process does.
        once: it does one clip and ends.
    """

    hears: Connection
    once: bool

    def send(self, clip: Clip) -> None:
        """Have it do a clip."""

    def ask_to_stop(self, at_work: bool) -> None:
        """Have it tidy up and end."""

    def end(self) -> int:
        """Wait `GRACE_S` for its end, kill it then, and return its exit code."""

    def last_words(self) -> str:
        """What it printed before its end; empty where nobody knows."""


def here(workers: int, megabytes: float | None = None, limit_s: float | None = None) -> Place:
    """Work in `workers` processes of this machine.

    Args:
        workers: clips at once.
        megabytes: memory each process may hold; None: no bound. The bound is not kept on Windows, nor by Blender,
            which is a process of its own.
        limit_s: seconds a clip may take; what takes longer is stopped and told. None: no limit.
    """

    def place(clips: Sequence[Clip], work: Work, tell: Tell) -> Iterator[Outcome]:
        for outcome in in_processes(workers, partial(_Spawned, work, megabytes), limit_s)(clips, work, tell):
            if outcome.code == "memory":
                error = f"{Path(outcome.video).name} needs more than the {megabytes:.0f} MB a process may hold."
                yield replace(outcome, error=error)
            else:
                yield outcome

    return place


def in_processes(workers: int, start: Callable[[Clip], Link], limit_s: float | None = None) -> Place:
    """Work in processes that `start` starts; it is given the first clip the process will do."""

    def place(clips: Sequence[Clip], work: Work, tell: Tell) -> Iterator[Outcome]:
        waiting = deque((clip, 1) for clip in clips)
        processes = [_Process(start, limit_s) for _ in range(min(workers, len(clips)))]
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
                for process in processes:
                    if process.clip is not None and time.monotonic() > process.due:
                        yield process.give_up()
        finally:
            for process in processes:
                process.ask_to_stop()
            for process in processes:
                process.stop()

    return place


def _ready(processes: Sequence[_Process]) -> list[_Process]:
    """Those that said something or died; waits no longer than a person who pressed Ctrl-C likes to (Windows)."""
    busy = {id(process.link.hears): process for process in processes if process.clip and process.link}
    heard = wait([process.link.hears for process in busy.values() if process.link], timeout=0.5)
    return [busy[id(pipe)] for pipe in heard]


class _Process:
    """A process that does clips one after the other, started anew when it died."""

    def __init__(self, start: Callable[[Clip], Link], limit_s: float | None) -> None:
        self.start, self.limit_s = start, limit_s
        self.clip: Clip | None = None
        self.tries = 0
        self.due = math.inf
        self.link: Link | None = None

    def begin(self, clip: Clip, tries: int) -> None:
        clear_unfinished(clip)
        if self.link is None:
            self.link = self.start(clip)
        self.clip, self.tries = clip, tries
        self.due = math.inf if self.limit_s is None else time.monotonic() + self.limit_s
        with contextlib.suppress(OSError):  # it died while idle: heard when listened to
            self.link.send(clip)

    def hear(self) -> Outcome | Event | tuple[Clip, int]:
        """An outcome, an event, or the clip and its tries when it is to be done again."""
        assert self.clip is not None and self.link is not None
        clip, tries = self.clip, self.tries
        try:
            said: Outcome | Event = self.link.hears.recv()
        except (EOFError, OSError):
            code, words = self._bury()
            clear_unfinished(clip)
            if code != TOO_MUCH_MEMORY and tries < TRIES:
                return clip, tries
            return _died(clip, tries, code, words)
        if isinstance(said, Outcome):
            self.clip = None
            if self.link.once:
                self._bury()
            return replace(said, attempts=tries)
        return said

    def give_up(self) -> Outcome:
        """End it, because its clip takes longer than it may."""
        assert self.clip is not None and self.link is not None and self.limit_s is not None
        clip, tries = self.clip, self.tries
        self.link.ask_to_stop(at_work=True)
        _, words = self._bury()
        clear_unfinished(clip)
        return replace(took_too_long(clip, self.limit_s), attempts=tries, details=words)

    def _bury(self) -> tuple[int, str]:
        """Its exit code and last words."""
        assert self.link is not None
        code, words = self.link.end(), self.link.last_words()
        self.link.hears.close()
        self.link, self.clip = None, None
        return code, words

    def ask_to_stop(self) -> None:
        if self.link is not None:
            self.link.ask_to_stop(at_work=self.clip is not None)

    def stop(self) -> None:
        clip = self.clip
        if self.link is not None:
            self._bury()
        if clip is not None:
            clear_unfinished(clip)


def _died(clip: Clip, tries: int, code: int, words: str) -> Outcome:
    about: dict[str, Any] = {"clip": clip.name, "video": clip.video, "attempts": tries, "details": words}
    if code == TOO_MUCH_MEMORY:
        error = f"{Path(clip.video).name} needs more memory than a process may hold."
        hint = "Give more with --memory, with fewer --workers, or convert parts of it with --start and --end."
        return Outcome(**about, outcome="failed", error=error, hint=hint, code="memory")
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    error = f"The process that worked on {Path(clip.video).name} died {tries} times ({how})."
    hint = "If the system was short of memory, use fewer --workers; else report this clip."
    return Outcome(**about, outcome="fault", error=error, hint=hint, code="process-died")


def took_too_long(clip: Clip, limit_s: float) -> Outcome:
    """The outcome of a clip that was stopped for its time."""
    return Outcome(
        clip.name,
        clip.video,
        "failed",
        seconds=limit_s,
        error=f"{Path(clip.video).name} was not done after {limit_s:g} s and was stopped.",
        hint="Give more with --time-limit, or convert parts of it with --start and --end.",
        code="time-limit",
    )


class _Spawned:
    """`Link` to a process of this Python."""

    once = False

    def __init__(self, work: Work, megabytes: float | None, _: Clip) -> None:
        context = multiprocessing.get_context("spawn")  # nothing is shared; the same on every system
        self.hears, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work, megabytes), name="batch", daemon=True)
        self._process.start()
        theirs.close()  # so that its end is heard here

    def send(self, clip: Clip) -> None:
        self.hears.send(clip)

    def ask_to_stop(self, at_work: bool) -> None:
        if at_work:
            self._process.terminate()
        else:
            self.hears.close()  # it ends by itself

    def end(self) -> int:
        self._process.join(GRACE_S)
        if self._process.is_alive():  # it hears nothing any more
            self._process.kill()
            self._process.join()
        return int(self._process.exitcode or 0)

    def last_words(self) -> str:
        return ""


def paced(send: Callable[[Event], None]) -> Tell:
    """Passes events on, one in `PROGRESS_S` at most; stops the work when nobody listens any more."""
    last = [0.0]

    def tell(event: Event) -> None:
        now = time.monotonic()
        if now - last[0] < PROGRESS_S:
            return
        last[0] = now
        try:
            send(event)
        except OSError as error:
            raise Cancelled from error

    return tell


def _serve(pipe: Connection, work: Work, megabytes: float | None) -> None:
    """A process's life: clips in, outcomes out, until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    signal.signal(signal.SIGTERM, _leave)
    if megabytes is not None:
        threading.Thread(target=_watch_memory, args=(megabytes,), name="memory", daemon=True).start()
    tell = paced(lambda event: pipe.send({"event": "progress", "clip": clip.name, **event}))
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

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other batch writes to this folder meanwhile. The system sees to it: however a process ends, it is over.

        Raises:
            InputError: another one does.
        """
        try:
            file = self.path.open("ab")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        with file:
            if not _locked(file):
                raise InputError(
                    f"Another batch is writing to {self.path.parent}{self._whose()}.",
                    "Wait for its end, stop it, or choose another folder with -o.",
                    "output-busy",
                )
            yield

    def _whose(self) -> str:
        """Of whom the last beginning tells."""
        with contextlib.suppress(OSError, ValueError, KeyError, StopIteration):
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            begin = json.loads(next(line for line in reversed(lines) if '"event": "begin"' in line))
            since = begin["time"][:19].replace("T", " ")
            return f" (process {begin['process']} on {begin['where']}, since {since} UTC)"
        return ""

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
            raise _unwritable(self.path, error) from error


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be written: {error.strerror}.", "Choose a folder you may write to.", "log")


def _locked(file: BinaryIO) -> bool:
    """Lock an open file for this process; False when another has it. Where disks know no locks, nothing is locked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 40)  # beyond what anybody reads or writes: such locks bind
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
    return True


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
    return isinstance(written, dict) and all(_is_as_written(out, written.get(out)) for out in clip.outputs)


def _content(path: str | Path) -> list[Any] | None:
    """`_stamp` and what is in the file, which stays the same where it is copied to."""
    try:
        with Path(path).open("rb") as file:
            return [*(_stamp(path) or ()), hashlib.file_digest(file, "sha256").hexdigest()]
    except OSError:
        return None


def _is_as_written(path: str, content: Any) -> bool:
    now = _stamp(path)
    if now is None or not isinstance(content, list):
        return False
    return now == content[:2] or (now[:1] == content[:1] and (_content(path) or [])[2:] == content[2:])


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
        InputError, SetupError: another batch writes there, log or report cannot be written, or the place cannot be
            reached.
        Cancelled, KeyboardInterrupt: stopped; report and log say how far it came.
    """
    if len({clip.name for clip in clips}) < len(clips):
        raise ValueError("two clips of a batch have one name")
    log = Log(out / "log.jsonl")
    with log.alone():
        return _run(clips, work, place, out, tell, {} if again else log.done_before())


def _run(
    clips: Sequence[Clip],
    work: Work,
    place: Place,
    out: Path,
    tell: Tell | None,
    before: Mapping[str, Mapping[str, Any]],
) -> list[Outcome]:
    log, began = Log(out / "log.jsonl"), time.perf_counter()
    report = _Report(out / "report.json", clips)

    def note(event: Event) -> None:
        if event["event"] != "progress":
            log.write(event)
        if tell:
            tell(event)

    def end(outcome: Outcome, **more: Any) -> None:
        report.add(outcome)
        note({"event": outcome.outcome, **outcome.to_dict(), **more})

    about = {"clips": len(clips), "version": __version__, "where": socket.gethostname(), "process": os.getpid()}
    note({"event": "begin", **about})
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
                    done = {"fingerprint": mark, "written": {path: _content(path) for path in clip.outputs}}
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
