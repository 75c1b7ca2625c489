# SPDX-License-Identifier: GPL-3.0-or-later
"""People over time: which detections are one person, which person is meant, and what lies in between.

`find_people` follows everybody through the clip, `choose` says who is meant, `track_of` makes that person's track;
`make_track` is all three. Numpy and scipy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..settings import TrackSettings
from ..types import KeypointTrack
from .background import BackgroundWatcher, Sway, sway
from .choice import Part, Person, choose, introduce, parts_of
from .cuts import ShotWatcher
from .gaps import fill_gaps, resample_evenly
from .people import Person2D, alike, body_size, follow, gather, look_spread
from .sides import mend_sides

__all__ = [
    "BackgroundWatcher",
    "Part",
    "Person",
    "Person2D",
    "ShotWatcher",
    "Sway",
    "choose",
    "fill_gaps",
    "find_people",
    "make_track",
    "mend_sides",
    "parts_of",
    "resample_evenly",
    "sway",
    "track_of",
]

Array = NDArray[Any]

_LEAST_S = 0.3  # who is seen shorter is no person of the clip, unless there is nobody else
_SAME_PLACE = 0.05  # body sizes by which somebody may move over a cut and show that it was none


def make_track(
    times: ArrayLike,
    detections: Sequence[Sequence[Person2D]],
    image_size: tuple[int, int],
    settings: TrackSettings | None = None,
    cuts: Sequence[int] = (),
) -> KeypointTrack:
    """The track of the person a clip is about, or of the one the settings name.

    Frames before the person is first seen and after they are last seen are left out, and so are other shots. Gaps up
    to `settings.max_gap_s` are interpolated with low scores; longer ones stay missing (NaN, score 0). The result is
    evenly spaced in time: unevenly spaced frames are resampled at the clip's usual rate.

    Args:
        times: (F,) seconds, strictly increasing.
        detections: for each frame the people found in it.
        image_size: width, height in pixels.
        settings: None takes the defaults.
        cuts: first frames of new shots (`ShotWatcher.cuts`).

    Raises:
        InputError: nobody is in any frame (``no-person``), there are fewer than two frames to make a motion
            from (``too-short``), or the person that the settings name is not there.
    """
    settings = settings or TrackSettings()
    people = find_people(times, detections, image_size, settings, cuts)
    chosen = choose(people, np.asarray(times, dtype=float), image_size, settings)
    return track_of(chosen, times, image_size, settings)


def find_people(
    times: ArrayLike,
    detections: Sequence[Sequence[Person2D]],
    image_size: tuple[int, int],
    settings: TrackSettings | None = None,
    cuts: Sequence[int] = (),
) -> list[Person]:
    """Everybody in a clip, whom it is about first; a person in several shots is listed once for each.

    Arguments as of `make_track`.

    Raises:
        InputError: nobody is in any frame (``no-person``), or there is a single frame (``too-short``).
    """
    times = np.asarray(times, dtype=float)
    if len(times) != len(detections):
        raise ValueError(f"{len(times)} times but {len(detections)} frames of detections")
    if len(times) < 2:
        raise InputError(
            "The video has a single frame; a motion needs at least two.", "Choose a longer video.", "too-short"
        )
    seen = gather(times, detections, [cut for cut in cuts if not _goes_on(detections, cut)])
    if not seen.found:
        raise InputError(
            f"No person was found in any of the {len(times)} frames.",
            "Use a clip in which the whole body is seen, well lit and not too small.",
            "no-person",
        )
    tracks = follow(seen)
    step = float(np.median(np.diff(times)))
    long = [track for track in tracks if len(track) * step >= _LEAST_S]
    tracks = long or tracks
    identities = [0] * len(tracks)
    for identity, group in enumerate(alike(seen, tracks, look_spread(seen, tracks))):
        for i in group:
            identities[i] = identity
    return introduce(seen, times, tracks, identities)


def track_of(
    person: Person, times: ArrayLike, image_size: tuple[int, int], settings: TrackSettings | None = None
) -> KeypointTrack:
    """One person's track: sides put right, short gaps filled, evenly spaced in time.

    Raises:
        InputError: the person is seen in a single frame (``too-short``).
    """
    settings, times = settings or TrackSettings(), np.asarray(times, dtype=float)
    first, last = int(person.frames[0]), int(person.frames[-1])
    if first == last:
        raise InputError(
            f"A person was found in only one of the {len(times)} frames (at {times[first]:.2f} s).",
            "Use a clip in which the whole body is seen for longer.",
            "too-short",
        )
    names = person.detections[0].names
    found = np.array([detection.positions for detection in person.detections], dtype=float)
    found_scores = np.array([detection.scores for detection in person.detections], dtype=float)
    sizes = np.array([body_size(*both) for both in zip(found, found_scores, strict=True)])
    if settings.mend_sides:
        mend_sides(names, times[person.frames], found, found_scores, sizes)
    positions = np.full((last - first + 1, len(names), 2), np.nan)
    scores = np.zeros((last - first + 1, len(names)))
    positions[person.frames - first], scores[person.frames - first] = found, found_scores
    seen_times = times[first : last + 1]
    filled = fill_gaps(seen_times, positions, scores, settings.max_gap_s)
    even_times, even_positions, even_scores = resample_evenly(seen_times, *filled, settings.max_gap_s)
    return KeypointTrack(even_times, names, even_positions, even_scores, image_size)


def _goes_on(detections: Sequence[Sequence[Person2D]], cut: int) -> bool:
    """True when somebody moves on over a cut as if there were none: then only the light changed."""
    if not 0 < cut < len(detections):
        return True

    def same(before: Person2D, after: Person2D) -> bool:
        apart = np.linalg.norm(before.positions - after.positions, axis=1)
        weights = np.minimum(before.scores, after.scores) + 0.01
        return float(np.average(apart, weights=weights)) < _SAME_PLACE * body_size(after.positions, after.scores)

    return any(same(before, after) for before in detections[cut - 1] for after in detections[cut])
