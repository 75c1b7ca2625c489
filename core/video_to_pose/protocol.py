# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender and the worker say to each other: one JSON object a line, ASCII only (standard library only).

Blender sends one `Job`, and later perhaps `CANCEL_LINE`. The worker answers `Hello`, any number of `Progress` and
`Warning`, then exactly one of `Result`, `Failed`, `Cancelled`. Arrays never travel here: a result names a Take file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from .settings import CaptureSettings

CANCEL_LINE = '{"cancel": true}\n'


@dataclass(frozen=True)
class Job:
    """What the worker is to do.

    Attributes:
        video: file to capture from.
        settings: of all stages.
        take: where the Take is to be written.
    """

    video: Path
    settings: CaptureSettings
    take: Path


@dataclass(frozen=True)
class Hello:
    """The worker runs, with this version of the library under this Python."""

    version: str
    python: str


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        stage: e.g. ``"detect"``.
        done: finished steps, mostly frames.
        total: all steps; None while nobody knows.
    """

    stage: str
    done: int
    total: int | None


@dataclass(frozen=True)
class Warning:
    """One sentence the person should see; the work goes on."""

    message: str


@dataclass(frozen=True)
class Result:
    """The work is done.

    Attributes:
        take: the written Take.
    """

    take: Path


@dataclass(frozen=True)
class Failed:
    """The work ended without a result: the fields of `errors.VideoToPoseError`.

    Attributes:
        message: one sentence: what is wrong and where.
        hint: one sentence: the mend.
        code: stable identifier.
        details: traceback or the worker's last words; empty where the message says all.
    """

    message: str
    hint: str
    code: str
    details: str = ""


@dataclass(frozen=True)
class Cancelled:
    """The work was stopped as asked; nothing was left behind."""


Message: TypeAlias = Hello | Progress | Warning | Result | Failed | Cancelled
Final: TypeAlias = Result | Failed | Cancelled

_TYPES: dict[str, type] = {cls.__name__.lower(): cls for cls in (Hello, Progress, Warning, Result, Failed, Cancelled)}
_CHECKS: dict[str, tuple[type, ...]] = {"done": (int,), "total": (int, type(None))}


def encode(message: Message) -> str:
    """A message as one line, its line end included."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    values = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return json.dumps({"type": type(message).__name__.lower(), **values}) + "\n"


def decode(line: str | bytes) -> Message:
    """The message that a line holds.

    Raises:
        ValueError: the line is no message; the text says why.
    """
    values = _object(line)
    kind = values.pop("type", None)
    cls = _TYPES.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ValueError(f"unknown message type {kind!r}")
    expected = {field.name for field in fields(cls)}
    if set(values) != expected:
        raise ValueError(f"{kind} has the fields {sorted(expected)}, got {sorted(values)}")
    for name, value in values.items():
        allowed = _CHECKS.get(name, (str,))
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise ValueError(f"{kind}: {name} may not be {value!r}")
    if cls is Result:
        values["take"] = Path(values["take"])
    return cls(**values)


def encode_job(job: Job) -> str:
    """A job as one line, its line end included."""
    return json.dumps({"video": str(job.video), "settings": job.settings.to_dict(), "take": str(job.take)}) + "\n"


def decode_job(line: str | bytes) -> Job:
    """The job that a line holds.

    Raises:
        ValueError: the line is no job; the text says why.
    """
    values = _object(line)
    if set(values) != {"video", "settings", "take"}:
        raise ValueError(f"a job has video, settings and take, got {sorted(values)}")
    if not isinstance(values["video"], str) or not isinstance(values["take"], str):
        raise ValueError("video and take are paths")
    if not isinstance(values["settings"], dict):
        raise ValueError("settings is an object")
    return Job(Path(values["video"]), CaptureSettings.from_dict(values["settings"]), Path(values["take"]))


def is_cancel(line: str | bytes) -> bool:
    """Whether a line asks to stop; what is no JSON asks for nothing."""
    try:
        return _object(line).get("cancel") is True
    except ValueError:
        return False


def _object(line: str | bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {line[:80]!r}") from error
    if not isinstance(values, dict):
        raise ValueError(f"not a JSON object: {line[:80]!r}")
    return values
