# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a clip's people is meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..settings import PERSON_CHOICES, TrackSettings
from .people import Person2D, Sightings, body_box, body_size, during, overlapping

Array = NDArray[Any]

_LENGTH_PATHS = [[f"{side}_{part}" for part in ("shoulder", "hip", "knee", "ankle")] for side in ("left", "right")]
_STILL_S = 1.0  # seen this long …
_STILL = 0.006  # … and never moving a limb by more, in body sizes, is a picture of somebody
_STILL_WEIGHT = 0.02
_MIRRORED = 0.85  # correlation of one's left with the other's right from which one is the other's reflection …
_MIRRORED_BEFORE = 0.2  # … if it is by so much better than of left with left
_MIRROR_S = 1.0
_MOVING = 0.01  # body sizes a keypoint must move to say anything of mirrors
_AT_S = 0.5  # how far from the time of a click somebody may be seen
_AT_FAR = 0.3  # body sizes outside of somebody's box that a click may be
_PART = re.compile(r"([1-9]\d*)(?::(\d+(?:\.\d*)?)?-(\d+(?:\.\d*)?)?)?")


@dataclass(frozen=True, eq=False)
class Person:
    """One person of a clip: when and where they are seen. Give it to `track.track_of`.

    Attributes:
        number: 1 for whom the clip is about, then by weight; what ``--person 2`` names.
        identity: the same for tracks in several shots of people who look alike.
        shot: 0 before the first cut.
        first_s, last_s: when first and last seen.
        frames: (N,) indices of the frames in which they are seen.
        detections: N, one for each of them.
        best_frame: where they are seen best: for a thumbnail.
        box: x0, y0, x1, y1 in pixels in that frame.
        weight: seen large for long; the sum over the clip's people is 1.
        is_still: never moves a limb: a poster, a statue, or a person who might be one.
        reflection_of: number of the person whose mirror image this seems to be.
    """

    number: int
    identity: int
    shot: int
    first_s: float
    last_s: float
    frames: Array
    detections: tuple[Person2D, ...]
    best_frame: int
    box: tuple[float, float, float, float]
    weight: float
    is_still: bool = False
    reflection_of: int | None = None


def introduce(seen: Sightings, times: Array, tracks: Sequence[list[int]], identities: Sequence[int]) -> list[Person]:
    """The people of these tracks, whom the clip is about first."""
    if not tracks:
        return []
    lasts_s = np.gradient(times) if len(times) > 1 else np.ones(1)
    weights = np.array([_weight(seen, track, lasts_s) for track in tracks])
    still = [is_still(seen, track) for track in tracks]
    lasted = [float(seen.times[track[-1]] - seen.times[track[0]]) for track in tracks]
    if any(not stays and time >= _STILL_S for stays, time in zip(still, lasted, strict=True)):
        weights[still] *= _STILL_WEIGHT
    mirrors = _reflections(seen, tracks, weights)
    for image in mirrors:
        weights[image] *= _STILL_WEIGHT
    order = np.argsort(-weights, kind="stable")
    numbers = {int(i): number for number, i in enumerate(order, 1)}
    kinds: dict[int, int] = {}
    people = []
    for i in order:
        track = np.array(tracks[i])
        clear = track[~seen.crowded[track]]
        among = clear if len(clear) else track
        best = int(among[np.argmax(seen.sizes[among] * seen.scores[among].mean(axis=1))])
        low, high = body_box(seen.positions[best], seen.scores[best])
        people.append(
            Person(
                number=numbers[int(i)],
                identity=kinds.setdefault(identities[i], len(kinds) + 1),
                shot=int(seen.shots[track[0]]),
                first_s=float(seen.times[track[0]]),
                last_s=float(seen.times[track[-1]]),
                frames=seen.frames[track],
                detections=tuple(seen.found[sighting] for sighting in track),
                best_frame=int(seen.frames[best]),
                box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
                weight=float(weights[i] / max(weights.sum(), 1e-12)),
                is_still=still[i],
                reflection_of=numbers[mirrors[int(i)]] if int(i) in mirrors else None,
            )
        )
    return people


@dataclass(frozen=True)
class Part:
    """A stretch of a clip in which somebody is the person with this number.

    Attributes:
        number: as of `Person.number`.
        from_s, to_s: seconds; `to_s` is not included, None is the end.
    """

    number: int
    from_s: float = 0.0
    to_s: float | None = None


def parts_of(person: str) -> list[Part] | None:
    """What ``2``, ``1+3`` (two that are one) or ``1:0-2.5+3:2.5-`` (of each only these seconds) name.

    Returns None for what is none of these.
    """
    parts = []
    for word in person.split("+"):
        found = _PART.fullmatch(word.strip())
        if found is None:
            return None
        number, begin, end = found.groups()
        parts.append(Part(int(number), float(begin or 0), float(end) if end else None))
        if parts[-1].to_s is not None and parts[-1].to_s <= parts[-1].from_s:
            return None
    return parts


def choose(people: Sequence[Person], times: Array, image_size: tuple[int, int], settings: TrackSettings) -> Person:
    """Who is meant by `settings.at`, or else by `settings.person`.

    Raises:
        InputError: there is nobody at that point (``nobody-there``), no such number (``no-such-person``), or they are
            not seen in the part of the clip that is named (``nobody-there``).
    """
    if settings.at is not None:
        return _at(people, times, *settings.at)
    if (parts := parts_of(settings.person)) is not None:
        return _joined(people, times, parts)
    real = [person for person in people if not person.is_still and person.reflection_of is None]
    if not any(person.last_s - person.first_s >= _STILL_S for person in real):
        real = list(people)

    def size(person: Person) -> float:
        return float(np.median([body_length(found) for found in person.detections]))

    def off_centre(person: Person) -> float:
        middles = [np.mean(body_box(found.positions, found.scores), axis=0) for found in person.detections]
        return float(np.mean(np.linalg.norm(np.array(middles) - np.array(image_size) / 2, axis=1)))

    if settings.person == "largest":
        return max(real, key=size)
    if settings.person == "longest":
        return max(real, key=lambda person: (len(person.frames), person.weight))
    if settings.person == "central":
        # Whoever is there for a moment only is not meant.
        long = max(len(person.frames) for person in real)
        return min((person for person in real if len(person.frames) >= 0.25 * long), key=off_centre)
    return people[0]


def _joined(people: Sequence[Person], times: Array, parts: Sequence[Part]) -> Person:
    """The person that these parts make together; where two show them in one frame, the first counts."""
    named = {person.number: person for person in people}
    for part in parts:
        if part.number not in named:
            raise InputError(
                f"There is no person {part.number}: {_count(len(people))} found.",
                f"Give {_numbers(len(people))}, or one of: {', '.join(PERSON_CHOICES)}.",
                "no-such-person",
            )
    first = named[parts[0].number]
    if parts == [Part(first.number)]:
        return first
    found: dict[int, Person2D] = {}
    for part in parts:
        person = named[part.number]
        for frame, detection in zip(person.frames.tolist(), person.detections, strict=True):
            if part.from_s <= times[frame] and (part.to_s is None or times[frame] < part.to_s):
                found.setdefault(frame, detection)
    if not found:
        raise InputError(
            f"Person {first.number} is not seen in the part of the clip that was named.",
            f"They are seen from {first.first_s:.1f} to {first.last_s:.1f} s.",
            "nobody-there",
        )
    frames = np.array(sorted(found))
    detections = tuple(found[frame] for frame in frames.tolist())
    sizes = [body_size(seen.positions, seen.scores) * float(seen.scores.mean()) for seen in detections]
    best = first.best_frame if first.best_frame in found else int(frames[int(np.argmax(sizes))])
    low, high = body_box(found[best].positions, found[best].scores)
    return replace(
        first,
        first_s=float(times[frames[0]]),
        last_s=float(times[frames[-1]]),
        frames=frames,
        detections=detections,
        best_frame=best,
        box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        weight=sum(named[number].weight for number in {part.number for part in parts}),
    )


def _at(people: Sequence[Person], times: Array, time: float, x: float, y: float) -> Person:
    distances = []
    for person in people:
        frame = int(np.argmin(np.abs(times[person.frames] - time)))
        found = person.detections[frame]
        if abs(times[person.frames[frame]] - time) > _AT_S:
            continue
        low, high = body_box(found.positions, found.scores)
        outside = float(np.hypot(*np.maximum(np.maximum(low - (x, y), (x, y) - high), 0)))
        size = body_size(found.positions, found.scores)
        nearest = float(np.linalg.norm(found.positions - (x, y), axis=1).min())
        if outside <= _AT_FAR * size:
            distances.append((nearest / size, person))
    if distances:
        return min(distances, key=lambda pair: pair[0])[1]
    spans = "; ".join(
        f"{person.number} from {person.first_s:.1f} to {person.last_s:.1f} s" for person in list(people)[:5]
    )
    raise InputError(
        f"Nobody was found at {x:g},{y:g} at {time:g} s.",
        f"Point at somebody's body. Found: person {spans}." if spans else "Point at somebody's body.",
        "nobody-there",
    )


def _numbers(people: int) -> str:
    return "1" if people == 1 else f"a number from 1 to {people}"


def _count(people: int) -> str:
    return "1 person was" if people == 1 else f"{people} people were"


def _weight(seen: Sightings, track: list[int], lasts_s: Array) -> float:
    """Body length cubed x score x time, so nearness counts more than time.

    Body length, not the box: raised arms make nobody nearer.
    """
    length = float(np.median([body_length(seen.found[sighting]) for sighting in track]))
    return length**3 * float(np.sum(seen.scores[track].mean(axis=1) * lasts_s[seen.frames[track]]))


def body_length(person: Person2D) -> float:
    """Length in pixels of the path shoulder - hip - knee - ankle, mean of both sides (box size without these)."""
    if not set(_LENGTH_PATHS[0] + _LENGTH_PATHS[1]) <= set(person.names):
        return body_size(person.positions, person.scores)
    paths = [person.positions[[person.names.index(name) for name in path]] for path in _LENGTH_PATHS]
    return float(np.mean([np.linalg.norm(np.diff(path, axis=0), axis=-1).sum() for path in paths]))


def is_still(seen: Sightings, track: list[int]) -> bool:
    """True for what never moves a limb, wherever it is carried: what jitters about one place is still."""
    if seen.times[track[-1]] - seen.times[track[0]] < _STILL_S:
        return False
    clear = [sighting for sighting in track if not seen.crowded[sighting]]
    if len(clear) < 10:
        return False
    shapes = _shapes(seen, clear)
    well = np.median(seen.scores[clear], axis=0) >= 0.5
    if well.sum() < 4:
        return False
    # Medians over a third of a second: a detector's jitter is faster than people.
    blocks = np.array_split(shapes[:, well], max(2, int((seen.times[clear[-1]] - seen.times[clear[0]]) / 0.33)))
    held = np.array([np.median(block, axis=0) for block in blocks if len(block)])
    return bool(np.quantile(np.linalg.norm(held.std(axis=0), axis=-1), 0.8) < _STILL)


def _shapes(seen: Sightings, track: Array | list[int]) -> Array:
    """(N, K, 2) keypoints about the body's centre in (median) body sizes."""
    size = np.median(seen.sizes[track])
    return (seen.positions[track] - seen.centres[track][:, None]) / size


def _reflections(seen: Sightings, tracks: Sequence[list[int]], weights: Array) -> dict[int, int]:
    """Track -> the track that it mirrors: its left side moves as the other's right side does, at the same time."""
    found: dict[int, int] = {}
    rank = np.empty(len(tracks), dtype=int)
    rank[np.argsort(-weights)] = np.arange(len(tracks))
    pairs = [(i, j) if rank[i] < rank[j] else (j, i) for i, j in overlapping(seen, tracks)]
    indices = [np.array(track) for track in tracks]
    for i, j in sorted(pairs, key=lambda pair: (rank[pair[0]], rank[pair[1]])):
        if i not in found and j not in found and mirrors(seen, indices[i], indices[j]):
            found[j] = i
    return found


def mirrors(seen: Sightings, one: Array, other: Array) -> bool:
    """Whether two tracks move as somebody and their mirror image do: up and down at once, left as right."""
    first, last = max(seen.times[t[0]] for t in (one, other)), min(seen.times[t[-1]] for t in (one, other))
    one, other = (during(seen, np.asarray(t), first, last) for t in (one, other))
    names = seen.found[one[0]].names
    sided = [(names.index(n), names.index("right_" + n[5:])) for n in names if n.startswith("left_")]
    sided = [pair for pair in sided if any(part in names[pair[0]] for part in ("wrist", "elbow", "knee", "ankle"))]
    _, a, b = np.intersect1d(seen.frames[one], seen.frames[other], return_indices=True)
    if len(a) < 10 or not sided:
        return False
    times = seen.times[one[a]]
    if times[-1] - times[0] < _MIRROR_S:
        return False
    left, right = (list(side) for side in zip(*sided, strict=True))
    heights = [_shapes(seen, track[part])[..., 1] for track, part in ((one, a), (other, b))]
    mine = np.concatenate([heights[0][:, left], heights[0][:, right]], axis=1)
    same = np.concatenate([heights[1][:, left], heights[1][:, right]], axis=1)
    crossed = np.concatenate([heights[1][:, right], heights[1][:, left]], axis=1)
    moving = mine.std(axis=0) > _MOVING
    if moving.sum() < 2:
        return False

    def agreement(theirs: Array) -> float:
        x, y = mine[:, moving] - mine[:, moving].mean(axis=0), theirs[:, moving] - theirs[:, moving].mean(axis=0)
        return float(
            np.median((x * y).sum(axis=0) / np.maximum(np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0)), 1e-9))
        )

    mirrored = agreement(crossed)
    return mirrored >= _MIRRORED and mirrored >= agreement(same) + _MIRRORED_BEFORE
