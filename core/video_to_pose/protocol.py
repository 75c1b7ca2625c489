# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender and the worker say to each other: one JSON object a line, ASCII only (standard library only).

Blender sends one `Job`, `Glance` or `Search`, and later perhaps `CANCEL_LINE`. The worker answers `Hello`, any number
of `Progress`, `Warning` and `Person`, then exactly one of `Result`, `Clip`, `Found`, `Failed`, `Cancelled`. Arrays
never travel here: a result names a Take file.
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
        cache: folder that keeps what was seen in clips; None keeps nothing.
    """

    video: Path
    settings: CaptureSettings
    take: Path
    cache: Path | None = None


@dataclass(frozen=True)
class Glance:
    """The worker is to say what a video is; it answers with `Clip`.

    Attributes:
        video: the file.
        picture: where a small picture of it is to be written (PNG).
    """

    video: Path
    picture: Path


@dataclass(frozen=True)
class Search:
    """The worker is to look who is in a video; it answers with `Person` for each, then `Found`.

    Attributes:
        video: the file.
        settings: which part of it, and how.
        cache: folder that keeps what was seen, and the portraits.
    """

    video: Path
    settings: CaptureSettings
    cache: Path


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
class Clip:
    """What a video is: the fields of `video.VideoInfo`.

    Attributes:
        picture: file with a small picture of it; it may be missing where nothing can be decoded.
    """

    width: int
    height: int
    duration_s: float
    frame_count: int
    frame_rate: float
    is_variable: bool
    codec: str
    picture: Path


@dataclass(frozen=True)
class Person:
    """Somebody who is in the clip: the fields of `lineup.Sighted`.

    Attributes:
        portraits: pairs of the second that is shown and the file (PNG), in order of time.
    """

    number: int
    first_s: float
    last_s: float
    seconds: float
    score: float
    still: bool
    reflection_of: int
    portraits: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Found:
    """All the people have been told.

    Attributes:
        people: how many.
    """

    people: int


@dataclass(frozen=True)
class Failed:
    """The work ended without a result: the fields of `errors.VideoToPoseError`.

    Attributes:
        message: one sentence: what is wrong and where.
        hint: one sentence: the mend.
        code: stable identifier.
        details: traceback or the worker's last words; empty where the message says all.
        exit_code: of the error: who can mend it.
    """

    message: str
    hint: str
    code: str
    details: str = ""
    exit_code: int = 2


@dataclass(frozen=True)
class Cancelled:
    """The work was stopped as asked; nothing was left behind."""


Order: TypeAlias = Job | Glance | Search
Message: TypeAlias = Hello | Progress | Warning | Person | Result | Clip | Found | Failed | Cancelled
Final: TypeAlias = Result | Clip | Found | Failed | Cancelled

_TYPES: dict[str, type] = {
    cls.__name__.lower(): cls for cls in (Hello, Progress, Warning, Person, Result, Clip, Found, Failed, Cancelled)
}
_ORDERS: dict[str, type] = {cls.__name__.lower(): cls for cls in (Job, Glance, Search)}
_NUMBER = (int, float)
_CHECKS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("done", "width", "height", "frame_count", "number", "reflection_of", "people", "exit_code"), (int,)
    ),
    **dict.fromkeys(("duration_s", "frame_rate", "first_s", "last_s", "seconds", "score"), _NUMBER),
    **dict.fromkeys(("is_variable", "still"), (bool,)),
    "total": (int, type(None)),
    "portraits": (list,),
}
_PATHS = ("take", "picture")


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
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise ValueError(f"{kind}: {name} may not be {value!r}")
        if name in _PATHS and isinstance(value, str):
            values[name] = Path(value)
    if cls is Person:
        values["portraits"] = tuple(map(_portrait, values["portraits"]))
    return cls(**values)


def _portrait(pair: Any) -> tuple[float, str]:
    if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], int | float) and isinstance(pair[1], str):
        return float(pair[0]), pair[1]
    raise ValueError(f"person: portraits may not hold {pair!r}")


def encode_job(job: Order) -> str:
    """A job as one line, its line end included."""
    values: dict[str, Any] = {"do": type(job).__name__.lower()}
    for field in fields(job):
        value = getattr(job, field.name)
        values[field.name] = value.to_dict() if isinstance(value, CaptureSettings) else value and str(value)
    return json.dumps(values) + "\n"


def decode_job(line: str | bytes) -> Order:
    """The job that a line holds; one that does not say what to do captures.

    Raises:
        ValueError: the line is no job; the text says why.
    """
    values = {"do": "job", **_object(line)}
    kind = values.pop("do")
    cls = _ORDERS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ValueError(f"unknown job {kind!r}")
    if cls is Job:
        values.setdefault("cache", None)
    expected = {field.name for field in fields(cls)}
    if set(values) != expected:
        raise ValueError(f"a {kind} has {', '.join(sorted(expected))}, got {sorted(values)}")
    for name, value in values.items():
        if name == "settings":
            if not isinstance(value, dict):
                raise ValueError("settings is an object")
            values[name] = CaptureSettings.from_dict(value)
        elif isinstance(value, str):
            values[name] = Path(value)
        elif value is not None or name != "cache":
            raise ValueError(f"{name} is a path")
    return cls(**values)


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
