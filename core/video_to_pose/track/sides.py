# SPDX-License-Identifier: GPL-3.0-or-later
"""Left and right: frames in which a detector exchanged a person's sides are found and put right.

Arms and legs are asked separately, because detectors exchange one without the other. What is kept is the reading of
the whole clip in which joints change their speed least; a frame read as exchanged costs a little, so the detector is
believed in the long run, and where left and right lie on each other.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_GROUPS = {
    "legs": ("hip", "knee", "ankle", "heel", "foot", "toe"),
    "arms": ("shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hand"),
    "face": ("eye", "ear", "mouth"),
}
_EXCHANGED = 0.02  # what reading a frame as exchanged costs, in body sizes
_MOST = 0.15  # body sizes of change of speed that count, so that a glitch is no proof
_APART_S = 0.15  # frames farther apart say nothing of each other


def mend_sides(names: tuple[str, ...], times: Array, positions: Array, scores: Array, sizes: Array) -> list[Array]:
    """For each of legs, arms and face (F,) true where left and right are exchanged; changes the arrays in place.

    Args:
        names: K keypoint names; sides are told by ``left_`` and ``right_``.
        times: (F,) seconds of the frames in which the person is seen.
        positions: (F, K, 2).
        scores: (F, K).
        sizes: (F,) body sizes in pixels.
    """
    found = []
    grouped = [_group(name) for name in names]
    for group in _GROUPS:
        lefts = [name for name, its in zip(names, grouped, strict=True) if its == group and name.startswith("left_")]
        pairs = [
            (names.index(left), names.index("right_" + left[5:])) for left in lefts if "right_" + left[5:] in names
        ]
        if not pairs or len(times) < 3:
            found.append(np.zeros(len(times), dtype=bool))
            continue
        left, right = (list(side) for side in zip(*pairs, strict=True))
        exchanged = exchanged_frames(times, positions[:, left], positions[:, right],
                                     np.minimum(scores[:, left], scores[:, right]), sizes)  # fmt: skip
        at = np.flatnonzero(exchanged)[:, None]
        for values in (positions, scores):
            values[at, left], values[at, right] = values[at, right], values[at, left]
        found.append(exchanged)
    return found


def _group(name: str) -> str | None:
    return next((group for group, parts in _GROUPS.items() if any(part in name for part in parts)), None)


def exchanged_frames(times: Array, left: Array, right: Array, scores: Array, sizes: Array) -> Array:
    """(F,) true where what is called left is right: the reading with the least change of speed.

    Args:
        times: (F,) seconds.
        left, right: (F, P, 2) points of both sides.
        scores: (F, P).
        sizes: (F,) body sizes in pixels.
    """
    count = len(times)
    readings = np.stack([np.stack([left, right]), np.stack([right, left])])  # (kept or exchanged, side, F, P, 2)
    before, after = times[1:-1] - times[:-2], times[2:] - times[1:-1]
    share = (after / before)[:, None, None]
    weights = np.minimum(np.minimum(scores[:-2], scores[1:-1]), scores[2:]) + 0.02
    weights /= weights.sum(axis=1, keepdims=True)
    linked = (before <= _APART_S) & (after <= _APART_S)
    near = times[1:] - times[:-1] <= _APART_S

    costs = np.zeros((2, 2, 2, count))  # of three frames' readings, at the last of them
    steps = np.zeros((2, 2, count))  # of two: where there is no third, they are all there is
    pair_weights = np.minimum(scores[:-1], scores[1:]) + 0.02
    pair_weights /= pair_weights.sum(axis=1, keepdims=True)
    for a, b in product((0, 1), repeat=2):
        moved = np.linalg.norm(readings[b][:, 1:] - readings[a][:, :-1], axis=-1).mean(axis=0)
        moved = np.minimum(moved / sizes[1:, None], _MOST)
        steps[a, b, 1:] = np.where(near, (moved * pair_weights).sum(axis=1), 0.0)
        for c in (0, 1):
            bent = readings[c][:, 2:] - readings[b][:, 1:-1] - share * (readings[b][:, 1:-1] - readings[a][:, :-2])
            bend = np.minimum(np.linalg.norm(bent, axis=-1).mean(axis=0) / sizes[2:, None], _MOST)
            costs[a, b, c, 2:] = np.where(linked, (bend * weights).sum(axis=1), 0.0)
    costs[:, :, :, 2:] += 0.1 * steps[None, :, :, 2:]
    costs[:, :, 1] += _EXCHANGED
    total = steps[:, :, 1] + _EXCHANGED * np.array([[0.0, 1.0], [1.0, 2.0]])
    came = np.zeros((count, 2, 2), dtype=int)
    for frame in range(2, count):
        ways = total[:, :, None] + costs[:, :, :, frame]  # (a, b, c)
        came[frame] = ways.argmin(axis=0)
        total = ways.min(axis=0)
    states = np.zeros(count, dtype=bool)
    b, c = divmod(int(total.argmin()), 2)
    for frame in range(count - 1, 1, -1):
        states[frame] = c
        b, c = int(came[frame, b, c]), b
    states[0], states[1] = b, c
    return states
