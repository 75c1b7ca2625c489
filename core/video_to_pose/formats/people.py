# SPDX-License-Identifier: GPL-3.0-or-later
"""What keypoint files of other programs hold: people in pictures, not yet one person over a clip.

`track.make_track` makes one person of it, by the same rules as of a detector's people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..types import KeypointTrack
from .layouts import by_name

_SHARES_UP_TO = 1.5  # positions that are shares of the picture stay below it; pixels of a person never do


@dataclass(frozen=True, eq=False)
class Person:
    """One person in one picture.

    Attributes:
        names: K keypoint names, as lifters call them.
        positions: (K, 2) pixels. What was not found has score 0 and lies in the middle of what was.
        scores: (K,) 0 … 1.
    """

    names: tuple[str, ...]
    positions: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class People:
    """People in the pictures of one clip.

    Attributes:
        source: the file or folder they were read from.
        kind: what it is, for people: ``OpenPose JSON``.
        frames: numbers of the pictures, increasing, from 0 on or whatever the file counts from.
        found: for each of them the people in it.
        times: (F,) seconds, None where the file has none.
        image_size: width, height in pixels, None where the file has none.
        frame_rate: pictures a second, None where the file has none.
    """

    source: Path
    kind: str
    frames: tuple[int, ...]
    found: tuple[tuple[Person, ...], ...]
    times: NDArray[np.float64] | None = None
    image_size: tuple[int, int] | None = None
    frame_rate: float | None = None

    @property
    def most_at_once(self) -> int:
        return max((len(people) for people in self.found), default=0)

    def completed(self, image_size: tuple[int, int] | None = None, frame_rate: float | None = None) -> People:
        """With size and rate from elsewhere, which win over the file's, and positions in pixels.

        Raises:
            InputError: a size or rate that neither the file nor the caller has, or that cannot be.
        """
        size, rate = image_size or self.image_size, frame_rate or self.frame_rate
        if size is None:
            raise InputError(
                f"{self.source.name} ({self.kind}) does not say how large the picture was.",
                "Give the clip with --video, or --frame-size WIDTHxHEIGHT.",
                "frame-size-missing",
            )
        if min(size) < 1:
            raise InputError(
                f"{self.source.name} ({self.kind}) has pictures of {size[0]}x{size[1]} pixels.",
                "Give the clip with --video, or --frame-size WIDTHxHEIGHT.",
                "frame-size",
            )
        times = self.times
        if times is None or frame_rate is not None:
            if rate is None:
                raise InputError(
                    f"{self.source.name} ({self.kind}) does not say how many frames a second there are.",
                    "Give the clip with --video, or --frame-rate FRAMES.",
                    "frame-rate-missing",
                )
            times = np.array([number / rate for number in self.frames])
        return replace(self, found=_in_pixels(self, size), times=times, image_size=size, frame_rate=rate)


def _in_pixels(people: People, size: tuple[int, int]) -> tuple[tuple[Person, ...], ...]:
    """Positions that are shares of the picture times its size; others as they are."""
    seen = [person.positions[person.scores > 0] for found in people.found for person in found]
    places = np.concatenate(seen) if seen else np.zeros((0, 2))
    if not len(places) or np.abs(places).max() > _SHARES_UP_TO:
        return people.found
    if np.mean(places < 0) > 0.05:
        raise InputError(
            f"{people.source.name} ({people.kind}) has positions from -1 to 1, which is no place in a picture.",
            "Write pixels (OpenPose: --keypoint_scale 0).",
            "keypoints-scaled",
        )
    return tuple(
        tuple(replace(person, positions=person.positions * np.array(size, np.float32)) for person in found)
        for found in people.found
    )


def person(names: Sequence[str], positions: ArrayLike, scores: ArrayLike) -> Person | None:
    """A person from any program's keypoints; None when nothing of them is seen.

    Args:
        names: N names in that program's spelling.
        positions: (N, 2); what is not finite counts as missing.
        scores: (N,); brought to 0 … 1, 0 where missing.
    """
    known, place, score = by_name(names, np.asarray(positions, np.float64), np.asarray(scores, np.float64))
    score = np.where(np.isfinite(place).all(axis=-1) & np.isfinite(score), np.clip(score, 0.0, 1.0), 0.0)
    seen = score > 0
    if not seen.any():
        return None
    place = np.where(seen[:, None], place, place[seen].mean(axis=0))
    return Person(known, place.astype(np.float32), score.astype(np.float32))


def gather(
    source: Path,
    kind: str,
    found: Mapping[int, Sequence[Person]],
    *,
    times: Mapping[int, float] | None = None,
    image_size: tuple[int, int] | None = None,
    frame_rate: float | None = None,
) -> People:
    """People by the numbers of their pictures; pictures in between that are not there have nobody in them.

    Raises:
        InputError: nobody in any picture, or numbers that are no sequence.
    """
    kind = kind.strip()
    if not any(found.values()):
        raise InputError(
            f"{source.name} ({kind}) has no keypoints of a person.", "Choose another file.", "keypoints-empty"
        )
    names = tuple(dict.fromkeys(name for people in found.values() for one in people for name in one.names))
    numbers = sorted(found)
    if times is None:
        span = numbers[-1] - numbers[0] + 1
        if span > 20 * len(numbers) + 1000:
            raise InputError(
                f"{source.name} ({kind}) has {len(numbers)} pictures numbered {numbers[0]} to {numbers[-1]}, "
                "which is no sequence of frames.",
                "Give the frames of one clip, numbered one by one.",
                "keypoints-no-sequence",
            )
        numbers = list(range(numbers[0], numbers[-1] + 1))
    stamps = None if times is None else np.array([times[number] for number in numbers])
    if stamps is not None and not (np.isfinite(stamps).all() and np.all(np.diff(stamps) > 0)):
        raise InputError(
            f"The times in {source.name} ({kind}) do not increase from frame to frame.",
            "Write the file again, or leave the times out and give --frame-rate.",
            "keypoints-no-sequence",
        )
    return People(
        source,
        kind,
        tuple(numbers),
        tuple(tuple(_with_names(one, names) for one in found.get(number, ())) for number in numbers),
        stamps,
        image_size,
        frame_rate,
    )


def _with_names(one: Person, names: tuple[str, ...]) -> Person:
    """The person with all of a clip's names, in the same order for everybody."""
    if one.names == names:
        return one
    positions = np.tile(one.positions[one.scores > 0].mean(axis=0), (len(names), 1))
    scores = np.zeros(len(names), np.float32)
    index = [names.index(name) for name in one.names]
    positions[index], scores[index] = one.positions, one.scores
    return Person(names, positions, scores)


def without_placeholders(track: KeypointTrack) -> KeypointTrack:
    """The track with NaN where the score is 0: what was not found has no place."""
    positions = np.where(track.scores[..., None] > 0, track.positions, np.nan)
    return replace(track, positions=positions)


def frame_number(name: str) -> int | None:
    """The last number in a file's name, which counts the frames: 12 of ``clip_000000000012_keypoints.json``."""
    digits = re.findall(r"\d+", Path(name).stem)
    return int(digits[-1]) if digits else None
