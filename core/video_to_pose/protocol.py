# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender and the worker say to each other: one JSON object a line, ASCII only (standard library only).

Blender sends one `Job`, `Glance`, `Search` or `Follow`, and later perhaps `CANCEL_LINE`. The worker answers `Hello`,
any number of `Progress`, `Warning` and `Person`, then exactly one of `Result`, `Clip`, `Found`, `Followed`, `Failed`,
`Cancelled`. A `Follow` is answered by `Actor` and a stream of `Pose`, and may be told to record (`encode_record`).
Arrays never travel here, but for the few hundred bytes of a pose: a result names a Take file.
"""

from __future__ import annotations

import array
import base64
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from .settings import LIVE_SOURCES, CaptureSettings, LiveSettings

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
class Follow:
    """The worker is to follow a person while it happens, until it is cancelled or the source ends.

    Attributes:
        source: one of `settings.LIVE_SOURCES`.
        name: the file, or the camera.
        settings: of all stages.
        live: of following.
    """

    source: str
    name: str
    settings: CaptureSettings
    live: LiveSettings


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
    fov_degrees: float | None = None


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
class Actor:
    """Somebody is looked for; poses will be of this skeleton.

    Attributes:
        skeleton: its name.
        joints, parents: see `skeleton.Skeleton`.
        delay_s: by which poses are behind what is seen.
    """

    skeleton: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    delay_s: float


@dataclass(frozen=True)
class Pose:
    """A frame was worked on: the fields of `live.Moment` and its `live.LivePose`.

    Attributes:
        time_s: the moment that the pose shows.
        numbers: directions, lengths, root and confidence, one after the other, as `packed`; empty before anybody was
            seen.
        settled: bone lengths will not change any more.
        latency_s: from when the picture that the pose shows could be had.
        frames_per_s: worked on a second.
        dropped: frames that there was no time for.
    """

    time_s: float
    numbers: str
    settled: bool
    latency_s: float
    frames_per_s: float
    dropped: int


@dataclass(frozen=True)
class Recorded:
    """A recording was solved with all that came before and after at hand.

    Attributes:
        take: the written Take.
    """

    take: Path


@dataclass(frozen=True)
class Followed:
    """The source has ended.

    Attributes:
        dropped: frames that there was no time for.
    """

    dropped: int


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


Order: TypeAlias = Job | Glance | Search | Follow
Final: TypeAlias = Result | Clip | Found | Followed | Failed | Cancelled
Message: TypeAlias = Hello | Progress | Warning | Person | Actor | Pose | Recorded | Final

_TYPES: dict[str, type] = {
    cls.__name__.lower(): cls
    for cls in (
        *(Hello, Progress, Warning, Person, Actor, Pose, Recorded),
        *(Result, Clip, Found, Followed, Failed, Cancelled),
    )
}
_ORDERS: dict[str, type] = {cls.__name__.lower(): cls for cls in (Job, Glance, Search, Follow)}
_NUMBER = (int, float)
_CHECKS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("done", "width", "height", "frame_count", "number", "reflection_of", "people", "exit_code"), (int,)
    ),
    **dict.fromkeys(("duration_s", "frame_rate", "first_s", "last_s", "seconds", "score"), _NUMBER),
    **dict.fromkeys(("time_s", "latency_s", "frames_per_s", "delay_s"), _NUMBER),
    **dict.fromkeys(("is_variable", "still", "settled"), (bool,)),
    "dropped": (int,),
    "total": (int, type(None)),
    "fov_degrees": (*_NUMBER, type(None)),
    **dict.fromkeys(("portraits", "joints", "parents"), (list,)),
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
    if cls is Actor:
        values |= {name: tuple(values[name]) for name in ("joints", "parents")}
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
        if isinstance(value, CaptureSettings):
            value = value.to_dict()
        elif isinstance(value, LiveSettings):
            value = asdict(value)
        values[field.name] = str(value) if isinstance(value, Path) else value
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
        elif name == "live":
            values[name] = _live_settings(value)
        elif cls is Follow:
            if not isinstance(value, str) or (name == "source" and value not in LIVE_SOURCES):
                raise ValueError(f"follow: {name} may not be {value!r}")
        elif isinstance(value, str):
            values[name] = Path(value)
        elif value is not None or name != "cache":
            raise ValueError(f"{name} is a path")
    return cls(**values)


def _live_settings(value: Any) -> LiveSettings:
    known = {field.name for field in fields(LiveSettings)}
    if not isinstance(value, dict) or set(value) - known:
        raise ValueError(f"live settings are {', '.join(sorted(known))}, got {value!r}")
    return LiveSettings(**value)


def encode_record(take: Path | None) -> str:
    """The line that tells a `Follow` to record into a Take, or, with None, to end the recording and write it."""
    return json.dumps({"record": None if take is None else str(take)}) + "\n"


def decode_record(line: str | bytes) -> Path | None:
    """What `encode_record` wrote.

    Raises:
        ValueError: the line is no such line.
    """
    values = _object(line)
    if set(values) != {"record"} or not isinstance(values["record"], str | None):
        raise ValueError(f"not about recording: {line[:80]!r}")
    return None if values["record"] is None else Path(values["record"])


def packed(*parts: Iterable[float]) -> str:
    """Numbers as text: float32, little-endian, one part after the other, in base 64."""
    flat = array.array("f", [float(value) for part in parts for value in part])
    if sys.byteorder == "big":
        flat.byteswap()
    return base64.b64encode(flat.tobytes()).decode("ascii")


def unpacked(text: str, *counts: int) -> list[list[float]]:
    """The parts that `packed` wrote, with so many numbers each.

    Raises:
        ValueError: the text is not such parts, or not all numbers are finite.
    """
    flat = array.array("f")
    flat.frombytes(base64.b64decode(text, validate=True))
    if sys.byteorder == "big":
        flat.byteswap()
    if len(flat) != sum(counts) or not all(map(math.isfinite, flat)):
        raise ValueError(f"{len(flat)} numbers, expected {sum(counts)} finite ones")
    starts = [sum(counts[:n]) for n in range(len(counts))]
    return [flat[start : start + count].tolist() for start, count in zip(starts, counts, strict=True)]


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
