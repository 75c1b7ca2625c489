# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture that was asked for: what it is to do, how far it is and how it ended.

Jobs outlive undo and files, so they hold nothing of Blender's data but names and ``session_uid`` numbers.
"""

from __future__ import annotations

import enum
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .core.video_to_pose import protocol
from .core.video_to_pose.settings import CaptureSettings

if TYPE_CHECKING:
    from .engine import Engine
    from .logs import Log
    from .rigs import ApplySettings

_STAGES = {
    "load": "Getting ready",
    "detect": "Looking for the person",
    "lift": "Finding the third dimension",
    "solve": "Placing feet on the floor",
    "save": "Writing the take",
}

_numbers = itertools.count(1)


class Status(enum.Enum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    CAPTURED = "captured"
    """The takes are there and come into the scene as soon as nothing is in the way."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (Status.DONE, Status.FAILED, Status.CANCELLED)


@dataclass
class Outcome:
    """How work ended, in words for the panel.

    Attributes:
        message: one sentence.
        hint: the mend; empty when all went well.
        code: the error's code; empty when all went well.
        details: for a bug report.
        warnings: what to look at.
        take: the captured Take, for another armature.
    """

    message: str
    hint: str = ""
    code: str = ""
    details: str = ""
    warnings: list[str] = field(default_factory=list)
    take: Path | None = None


@dataclass(frozen=True)
class Order:
    """What was asked for, as it was when it was asked.

    Attributes:
        python: interpreter of the engine.
        video: what to capture from.
        settings: of all stages.
        apply: how the Take comes into the scene.
        scene, scene_name: ``session_uid`` and name of the scene that asked.
        target, target_name: of the armature; None and empty to make one.
        file: path of the .blend file that was open; empty for one that was never saved.
    """

    python: Engine | Path
    video: Path
    settings: CaptureSettings
    apply: ApplySettings
    scene: int
    scene_name: str
    target: int | None = None
    target_name: str = ""
    file: str = ""


class Pace:
    """How fast frames go by, over the last few seconds.

    Args:
        clock: seconds that only grow.
    """

    SPAN_S = 6.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque()
        self.total: int | None = None

    def note(self, done: int, total: int | None) -> None:
        """So many frames are done now."""
        now = self._clock()
        self.total = total
        self._marks.append((now, done))
        while len(self._marks) > 2 and self._marks[0][0] < now - self.SPAN_S:
            self._marks.popleft()

    @property
    def rate(self) -> float | None:
        """Frames a second; None while nobody can tell."""
        if len(self._marks) < 2:
            return None
        (then, before), (now, done) = self._marks[0], self._marks[-1]
        return (done - before) / (now - then) if now - then > 0.5 and done > before else None

    @property
    def left_s(self) -> float | None:
        """Seconds until the last frame; None while nobody can tell."""
        rate = self.rate
        if rate is None or self.total is None:
            return None
        return max(0.0, (self.total - self._marks[-1][1]) / rate)


@dataclass
class Job:
    """A capture in the queue.

    Attributes:
        name: of the clip.
        order: what was asked.
        log: everything, for who wants to know.
        number: tells jobs apart; never used twice.
        status: where it stands.
        stage: words for the panel.
        done: share of the stage, None while unknown.
        frames: which frame it is at, in words; empty where there are none to count.
        hindrance: what it waits for to come into the scene, in words; empty when for nothing.
        pace: of the detection.
        warnings: what to look at.
        takes: captured and kept, one a person.
        brought: how many of them are in the scene.
        outcome: how it ended, once it has.
        unfolded: whether the panel shows more than one line of it.
    """

    name: str
    order: Order
    log: Log
    number: int = field(default_factory=lambda: next(_numbers))
    status: Status = Status.WAITING
    stage: str = "Waiting"
    done: float | None = None
    frames: str = ""
    hindrance: str = ""
    pace: Pace = field(default_factory=Pace)
    warnings: list[str] = field(default_factory=list)
    takes: list[Path] = field(default_factory=list)
    brought: int = 0
    outcome: Outcome | None = None
    unfolded: bool = True

    def note(self, message: protocol.Message) -> None:
        """Take in what the worker says."""
        if isinstance(message, protocol.Progress):
            self._note_progress(message)
        elif isinstance(message, protocol.Warning):
            self.warnings.append(message.message)
            self.log.write(f"warning: {message.message}")

    def _note_progress(self, message: protocol.Progress) -> None:
        stage = _STAGES.get(message.stage, message.stage.capitalize())
        self.done = min(message.done / message.total, 1.0) if message.total else None
        self.frames = ""
        if message.stage == "detect":
            self.pace.note(message.done, message.total)
            if message.total:
                self.frames = f"Frame {message.done} of {message.total}"
        if self.stage != stage:
            self.log.write(stage)
        self.stage = stage

    def tell_pace(self) -> str:
        """Frames a second and the time left, while frames go by; otherwise empty."""
        rate, left = self.pace.rate, self.pace.left_s
        if self.status is not Status.RUNNING or not self.frames or rate is None or left is None:
            return ""
        return f"{rate:.{0 if rate >= 10 else 1}f} frames/s, {told_time(left)} left"

    def end(self, status: Status, outcome: Outcome) -> None:
        """It is over, like this."""
        self.status, self.outcome = status, outcome
        self.stage, self.frames, self.hindrance, self.done = "", "", "", None
        self.unfolded = status is not Status.CANCELLED or bool(outcome.hint)
        told = outcome.code in ("engine-crashed", "engine-answer")  # these details are what the log says already
        code, details = f"[{outcome.code}]" if outcome.code else "", "" if told else outcome.details
        lines = (outcome.message, outcome.hint, code, details)
        self.log.write("\n".join(filter(None, (*lines, *outcome.warnings))))

    def restart(self, order: Order) -> None:
        """Once more from where it got to: kept takes come into the scene, without takes it is captured again."""
        self.order, self.outcome, self.done, self.pace = order, None, None, Pace()
        self.status = Status.CAPTURED if len(self.takes) > self.brought else Status.WAITING
        if self.status is Status.WAITING:
            self.takes, self.brought, self.warnings = [], 0, []
        self.stage, self.unfolded = "Waiting", True
        self.log.write("Once more")


def told_time(seconds: float) -> str:
    """Seconds as people say them: ``8 s``, ``2 min 5 s``, ``1 h 4 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
