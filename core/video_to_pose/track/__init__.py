# SPDX-License-Identifier: GPL-3.0-or-later
"""People over time: which detections are one person, which person is meant, and what lies in between.

Pure numpy. `make_track` is the stage; `follow_people` and `choose_person` are its halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .settings import TrackSettings
from .types import KeypointTrack

Array = NDArray[Any]

_SEEN_SCORE = 0.3  # keypoints below it do not count towards a person's size
_NEAR = 0.25  # how far, in body sizes, a person may be from where they were seen last …
_NEAR_PER_S = 4.5  # … and how much farther for each second since (a sprinter at 8 m/s)
_NEAR_MOST = 1.0
_LENGTH_PATHS = [[f"{side}_{part}" for part in ("shoulder", "hip", "knee", "ankle")] for side in ("left", "right")]
_SIZE_RATIO = 2.0  # by which factor a person's size may differ from when they were seen last
_DOUBLE = 0.15  # two detections of one frame closer than this, in body sizes, are one person found twice
_FILLED_SCORE = 0.3  # factor on the scores of frames filled in between
_EVEN = 0.1  # share of a frame's length by which even timestamps may scatter (containers round them)


class Person2D(Protocol):
    """What is needed of a detection: see `detect.Detection`."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def positions(self) -> NDArray[np.float32]: ...
    @property
    def scores(self) -> NDArray[np.float32]: ...


@dataclass(eq=False)
class Sightings:
    """One person's detections: in which frames, and what was seen there."""

    frames: list[int] = field(default_factory=list)
    people: list[Person2D] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)

    def add(self, frame: int, person: Person2D) -> None:
        self.frames.append(frame)
        self.people.append(person)
        self.sizes.append(body_size(person.positions, person.scores))


def make_track(
    times: ArrayLike,
    detections: Sequence[Sequence[Person2D]],
    image_size: tuple[int, int],
    settings: TrackSettings | None = None,
) -> KeypointTrack:
    """The track of the person a clip is about: seen large and for long.

    Frames before the person is first seen and after they are last seen are left out. Gaps up to
    `settings.max_gap_s` are interpolated with low scores; longer ones stay missing (NaN, score 0). The result is
    evenly spaced in time: unevenly spaced frames are resampled at the clip's usual rate.

    Args:
        times: (F,) seconds, strictly increasing.
        detections: for each frame the people found in it.
        image_size: width, height in pixels.
        settings: None takes the defaults.

    Raises:
        InputError: nobody is in any frame (``no-person``), or there are fewer than two frames to make a motion
            from (``too-short``).
    """
    settings = settings or TrackSettings()
    times = np.asarray(times, dtype=float)
    if len(times) != len(detections):
        raise ValueError(f"{len(times)} times but {len(detections)} frames of detections")
    if len(times) < 2:
        raise InputError(
            "The video has a single frame; a motion needs at least two.", "Choose a longer video.", "too-short"
        )
    people = follow_people(times, detections)
    if not people:
        raise InputError(
            f"No person was found in any of the {len(times)} frames.",
            "Use a clip in which the whole body is seen, well lit and not too small.",
            "no-person",
        )
    chosen = choose_person(times, people)
    first, last = chosen.frames[0], chosen.frames[-1]
    if first == last:
        raise InputError(
            f"A person was found in only one of the {len(times)} frames (at {times[first]:.2f} s).",
            "Use a clip in which the whole body is seen for longer.",
            "too-short",
        )
    names = chosen.people[0].names
    positions = np.full((last - first + 1, len(names), 2), np.nan)
    scores = np.zeros((last - first + 1, len(names)))
    for frame, person in zip(chosen.frames, chosen.people, strict=True):
        positions[frame - first], scores[frame - first] = person.positions, person.scores
    seen_times = times[first : last + 1]
    filled = fill_gaps(seen_times, positions, scores, settings.max_gap_s)
    even_times, even_positions, even_scores = resample_evenly(seen_times, *filled, settings.max_gap_s)
    return KeypointTrack(even_times, names, even_positions, even_scores, image_size)


def follow_people(times: Array, detections: Sequence[Sequence[Person2D]]) -> list[Sightings]:
    """Join detections of neighbouring frames into people, nearest first.

    A detection too far from everybody, or of another size, is somebody new, so a detector that jumps to a
    bystander for a frame leaves a gap and no jump.
    """
    known: list[Sightings] = []
    for frame, found in enumerate(detections):
        people = _without_doubles(found)
        pairs = [
            (distance, i, j)
            for i, seen in enumerate(known)
            for j, person in enumerate(people)
            if (distance := _distance(seen, person)) <= _reach(times[frame] - times[seen.frames[-1]])
        ]
        free_known, free_people = set(range(len(known))), set(range(len(people)))
        for _, i, j in sorted(pairs):
            if i in free_known and j in free_people:
                known[i].add(frame, people[j])
                free_known.remove(i)
                free_people.remove(j)
        for j in sorted(free_people):
            known.append(Sightings())
            known[-1].add(frame, people[j])
    return known


def choose_person(times: Array, people: Sequence[Sightings]) -> Sightings:
    """The person seen large for long: most body length cubed x score x time, so nearness counts more than time.

    Body length, not the box: raised arms make nobody nearer.
    """
    lasts_s = np.gradient(times)

    def weight(seen: Sightings) -> float:
        length = float(np.median([body_length(person) for person in seen.people]))
        scores = np.array([person.scores.mean() for person in seen.people])
        return length**3 * float(np.sum(scores * lasts_s[seen.frames]))

    return max(people, key=weight)


def body_length(person: Person2D) -> float:
    """Length in pixels of the path shoulder - hip - knee - ankle, mean of both sides (box size without these)."""
    if not set(_LENGTH_PATHS[0] + _LENGTH_PATHS[1]) <= set(person.names):
        return body_size(person.positions, person.scores)
    paths = [person.positions[[person.names.index(name) for name in path]] for path in _LENGTH_PATHS]
    return float(np.mean([np.linalg.norm(np.diff(path, axis=0), axis=-1).sum() for path in paths]))


def body_size(positions: Array, scores: Array) -> float:
    """Diagonal in pixels of the box around the keypoints that are seen (at least 1)."""
    seen = scores >= _SEEN_SCORE
    points = positions[seen] if seen.sum() >= 4 else positions
    return max(float(np.linalg.norm(np.ptp(points, axis=0))), 1.0)


def _reach(seconds: float) -> float:
    return min(_NEAR + _NEAR_PER_S * seconds, _NEAR_MOST)


def _distance(seen: Sightings, person: Person2D) -> float:
    """Mean distance of the keypoints from where the person was last, in body sizes; infinite for another size."""
    size = body_size(person.positions, person.scores)
    ratio = size / seen.sizes[-1]
    if not 1 / _SIZE_RATIO <= ratio <= _SIZE_RATIO:
        return float("inf")
    return _apart(seen.people[-1], person) / max(size, seen.sizes[-1])


def _apart(a: Person2D, b: Person2D) -> float:
    """Mean distance of two people's keypoints in pixels, counting the ones seen well."""
    weights = np.minimum(a.scores, b.scores) + 0.05
    return float(np.average(np.linalg.norm(a.positions - b.positions, axis=-1), weights=weights))


def _without_doubles(people: Sequence[Person2D]) -> list[Person2D]:
    """Of detections that lie on each other, the one with the best score."""
    kept: list[Person2D] = []
    for person in sorted(people, key=lambda person: -float(person.scores.mean())):
        size = body_size(person.positions, person.scores)
        if all(_apart(person, other) > _DOUBLE * size for other in kept):
            kept.append(person)
    return kept


def fill_gaps(times: Array, positions: Array, scores: Array, max_gap_s: float) -> tuple[Array, Array]:
    """Interpolate missing frames between two seen no more than `max_gap_s` apart.

    Args:
        times: (F,) seconds.
        positions: (F, K, 2), NaN in frames without the person.
        scores: (F, K).

    Returns:
        positions and scores; scores of filled frames are a fraction of the lower neighbour's.
    """
    positions, scores = positions.copy(), scores.copy()
    seen = np.flatnonzero(np.isfinite(positions).all(axis=(1, 2)))
    for before, after in pairwise(seen):
        if after - before < 2 or times[after] - times[before] > max_gap_s:
            continue
        inside = slice(before + 1, after)
        share = ((times[inside] - times[before]) / (times[after] - times[before]))[:, None, None]
        positions[inside] = (1 - share) * positions[before] + share * positions[after]
        scores[inside] = _FILLED_SCORE * np.minimum(scores[before], scores[after])
    return positions, scores


def resample_evenly(times: Array, positions: Array, scores: Array, max_gap_s: float) -> tuple[Array, Array, Array]:
    """Evenly spaced frames at the clip's usual rate; the first time is kept.

    Frames that are even but for the container's rounding keep their values and only have their times straightened.
    Otherwise positions are interpolated and scores are the lower neighbour's; between frames more than `max_gap_s`
    apart nothing is known (NaN, score 0).

    Args:
        times: (F,) seconds, F >= 2.
        positions: (F, K, 2).
        scores: (F, K).
    """
    steps = np.diff(times)
    usual = np.abs(steps - np.median(steps)) <= 0.25 * np.median(steps)
    step = float(steps[usual].mean())
    even = times[0] + np.arange(len(times)) * (times[-1] - times[0]) / (len(times) - 1)
    if np.abs(times - even).max() <= _EVEN * step:
        return even, positions, scores
    even = times[0] + np.arange(int((times[-1] - times[0]) / step + 1e-3) + 1) * step
    after = np.clip(np.searchsorted(times, even), 1, len(times) - 1)
    before = after - 1
    share = np.clip((even - times[before]) / (times[after] - times[before]), 0.0, 1.0)
    tolerance = 1e-3
    before = np.where(share > 1 - tolerance, after, before)  # a frame that is just there is taken as it is
    after = np.where(share < tolerance, before, after)
    share = np.where(before == after, 0.0, share)[:, None, None]
    unknown = times[after] - times[before] > max_gap_s
    new_positions = np.where(share == 0, positions[before], (1 - share) * positions[before] + share * positions[after])
    new_scores = np.minimum(scores[before], scores[after])
    new_positions[unknown] = np.nan
    new_scores[~np.isfinite(new_positions).all(axis=-1)] = 0.0
    return even, new_positions, new_scores
