# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip before anything is captured: what it is and a picture of it (`glance`), and who is in it (`line_up`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import pipeline, track, video
from . import seen as store
from .errors import InputError
from .files import written_whole
from .settings import CaptureSettings, VideoSettings

MOST_PEOPLE = 24
"""So many people are lined up, whom the clip is about first; crowds have no end."""

_PICTURES = 6  # of a person, spread over the time in which they are seen
_PERSON_PX, _CLIP_PX = 160, 512
_ROOM = 0.12  # of a person's size around them in their picture
_WIDEST = 4 / 3
_CLIP_AT = 0.1  # of its length: the first frames are often black
_SEEK_S = 8.0  # frames farther apart than this are sought, nearer ones reached by reading on


@dataclass(frozen=True)
class Portrait:
    """A picture of a person: the file, and the second of the clip that it shows."""

    time_s: float
    path: Path


@dataclass(frozen=True)
class Sighted:
    """Somebody who is in a clip.

    Attributes:
        number: 1 for whom the clip is about; `settings.TrackSettings.person` takes it.
        first_s, last_s: when first and last seen.
        seconds: for how long they are seen, gaps left out.
        score: mean of the keypoints' scores, 0 … 1.
        still: never moves: a poster, a statue.
        reflection_of: number of the person whose mirror image this seems to be; 0 for nobody's.
        portraits: in order of time.
    """

    number: int
    first_s: float
    last_s: float
    seconds: float
    score: float
    still: bool
    reflection_of: int
    portraits: tuple[Portrait, ...]


def glance(path: Path, picture: Path) -> video.VideoInfo:
    """Describe a video file and write a small picture of it (PNG).

    Raises:
        InputError: it is missing or no video that can be read, or the picture cannot be written.
    """
    info = video.probe(path)
    for time_s in (_CLIP_AT * info.duration_s, 0.0):  # where a clip breaks off early, its start is there
        with suppress(InputError), closing(video.read_frames(path, VideoSettings(time_s))) as frames:  # type: ignore[type-var]
            _write_picture(_middle(next(iter(frames)).rgb), picture, _CLIP_PX)
            break
    return info


def _middle(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A wide picture's middle: panels show pictures in squares, which would leave little of one."""
    height, width = rgb.shape[:2]
    cut = min(max(0, width - round(height * _WIDEST)), width // 4) // 2
    return rgb[:, cut : width - cut]


def line_up(
    path: Path, settings: CaptureSettings, cache: Path, progress: pipeline.Report | None = None
) -> list[Sighted]:
    """Look through the clip for everybody in it, whom it is about first; what was seen stays in `cache` for `capture`.

    Args:
        path: the video.
        settings: which part of it is looked at, and how.
        cache: folder that keeps what was seen and the portraits.
        progress: called on the way; an exception it raises stops the work.

    Raises:
        InputError: the video or an option is wrong, or nobody is in it.
        SetupError: a package, model or device is missing.
    """
    report = progress or (lambda _: None)
    report(pipeline.Progress("load", 0, None))
    info = video.probe(path)
    seen = pipeline.find_detections(info, settings, report, {}, cache)
    people = track.find_people(seen.times, seen.detections, seen.image_size, settings.track, seen.cuts)[:MOST_PEOPLE]
    folder = cache / store.key(path, settings.video, settings.detect)
    shown = {person.number: _shown(person) for person in people}
    _draw(path, folder, people, shown, seen.times, report)
    lasts_s = np.gradient(seen.times)
    return [
        Sighted(
            number=person.number,
            first_s=person.first_s,
            last_s=person.last_s,
            seconds=float(lasts_s[person.frames].sum()),
            score=float(np.mean([found.scores.mean() for found in person.detections])),
            still=person.is_still,
            reflection_of=person.reflection_of or 0,
            portraits=tuple(
                Portrait(float(seen.times[person.frames[i]]), file)
                for i in shown[person.number]
                if (file := _portrait(folder, person, i)).is_file()
            ),
        )
        for person in people
    ]


def _shown(person: track.Person) -> list[int]:
    """Which of a person's sightings are drawn: the best one about the middle of each part of the time they are seen."""
    sizes = [_size(found) * float(found.scores.mean()) for found in person.detections]
    edges = np.unique(np.linspace(0, len(sizes), _PICTURES + 1).astype(int)).tolist()
    middles = [(begin + (end - begin) // 4, end - (end - begin) // 4) for begin, end in pairwise(edges)]
    return [begin + int(np.argmax(sizes[begin:end])) for begin, end in middles]


def _size(found: track.Person2D) -> float:
    low, high = found.positions.min(axis=0), found.positions.max(axis=0)
    return float(np.linalg.norm(high - low))


def _portrait(folder: Path, person: track.Person, i: int) -> Path:
    return folder / f"person-{person.number}-{int(person.frames[i])}.png"


def _draw(
    path: Path,
    folder: Path,
    people: Sequence[track.Person],
    shown: dict[int, list[int]],
    times: NDArray[np.float64],
    report: pipeline.Report,
) -> None:
    """Write the portraits that are not there yet."""
    wanted: dict[int, list[tuple[track.Person, int]]] = {}
    for person in people:
        for i in shown[person.number]:
            if not _portrait(folder, person, i).is_file():
                wanted.setdefault(int(person.frames[i]), []).append((person, i))
    order = sorted(wanted)
    for done, (frame, rgb) in enumerate(zip(order, _pictures(path, times[order]), strict=False)):
        report(pipeline.Progress("portraits", done, len(order)))
        for person, i in wanted[frame]:
            _write_picture(_cut_out(rgb, person.detections[i]), _portrait(folder, person, i), _PERSON_PX)


def _pictures(path: Path, times: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) the frames at these increasing times; the clip is read from one to the next where they are near."""
    starts = [0, *(i for i in range(1, len(times)) if times[i] - times[i - 1] > _SEEK_S), len(times)]
    for begin, end in pairwise(starts):
        waiting = times[begin:end].tolist()
        if not waiting:
            continue
        part = VideoSettings(max(0.0, waiting[0] - 0.01))
        with closing(video.read_frames(path, part)) as frames:  # type: ignore[type-var]
            for frame in frames:
                while waiting and frame.time_s >= waiting[0] - 1e-3:
                    waiting.pop(0)
                    yield frame.rgb
                if not waiting:
                    break


def _cut_out(rgb: NDArray[np.uint8], found: track.Person2D) -> NDArray[np.uint8]:
    """(S, S, 3) a square around a person; what lies beyond the picture is grey."""
    sure = found.scores >= 0.3
    points = found.positions[sure] if sure.sum() >= 4 else found.positions
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(16, int(np.ceil(max(high - low) * (1 + 2 * _ROOM))))
    left, top = np.rint((low + high - side) / 2).astype(int).tolist()
    height, width = rgb.shape[:2]
    square = np.full((side, side, 3), 48, np.uint8)
    x0, x1, y0, y1 = max(0, left), min(width, left + side), max(0, top), min(height, top + side)
    if x0 < x1 and y0 < y1:
        square[y0 - top : y1 - top, x0 - left : x1 - left] = rgb[y0:y1, x0:x1]
    return square


def _write_picture(rgb: NDArray[np.uint8], path: Path, most_px: int) -> None:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((most_px, most_px))
    with written_whole(path) as partial:
        image.save(partial, "PNG")
