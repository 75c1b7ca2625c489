# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person looks like in one picture: the colours of seven parts of the body.

Cheap enough for every detection of every frame (some 70 pixels are read), and enough to tell two people of a clip
apart when they cross or come back. Parts of both sides are taken together, so exchanged sides change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from . import Detection

_LIMBS = {
    "thighs": ("hip", "knee"),
    "shanks": ("knee", "ankle"),
    "upper_arms": ("shoulder", "elbow"),
    "forearms": ("elbow", "wrist"),
}
PARTS = ("head", "chest", "belly", *_LIMBS)
_SEEN_SCORE = 0.3
_FEWEST = 2  # pixels of a part, else it is not known


def look(rgb: NDArray[np.uint8], people: Sequence[Detection]) -> list[Detection]:
    """The same people with `Detection.appearance` measured in the picture (see `measure`)."""
    return [replace(person, appearance=measure(rgb, person)) for person in people]


def measure(rgb: NDArray[np.uint8], person: Detection) -> NDArray[np.float32]:
    """(7 x 3,) brightness, red-green and yellow-blue (each about -1 … 1) of `PARTS`; NaN where a part is not seen.

    Args:
        rgb: (H, W, 3) the picture.
        person: in its pixels.
    """
    mixing, part_of = _samples(person.names)
    colours = np.full((len(PARTS), 3), np.nan, np.float32)
    if not len(mixing):
        return colours.reshape(-1)
    points = np.rint(mixing @ person.positions).astype(np.int64)
    unseen = (person.scores < _SEEN_SCORE).astype(np.float32)
    height, width = rgb.shape[:2]
    usable = (np.abs(mixing) @ unseen < 1e-6) & (points >= 0).all(axis=1)
    usable &= (points[:, 0] < width) & (points[:, 1] < height)
    red, green, blue = rgb[points[usable, 1], points[usable, 0]].astype(np.float32).T / 255.0
    opponent = np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], axis=1)
    # Parts' samples stand together, so that each is a run to sort; the middle one is the median.
    ends = np.cumsum(np.bincount(part_of[usable], minlength=len(PARTS)))
    for part, (first, last) in enumerate(pairwise([0, *ends.tolist()])):
        if last - first >= _FEWEST:
            ordered = np.sort(opponent[first:last], axis=0)
            middle = (last - first) // 2
            colours[part] = (ordered[middle] + ordered[(last - first - 1) // 2]) / 2
    return colours.reshape(-1)


@lru_cache(maxsize=8)
def _samples(names: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(S, K) how each sampled point is mixed from keypoints, and (S,) the part it belongs to."""
    rows: list[NDArray[np.float32]] = []
    parts: list[int] = []

    def add(part: str, **shares: float) -> None:
        if set(shares) <= set(names):
            row = np.zeros(len(names), np.float32)
            for name, share in shares.items():
                row[names.index(name)] += share
            rows.append(row)
            parts.append(PARTS.index(part))

    for above in (0.0, 0.3, 0.6):  # from between the ears towards the top of the head
        ear, shoulder = (1 + above) / 2, -above / 2
        add("head", left_ear=ear, right_ear=ear, left_shoulder=shoulder, right_shoulder=shoulder)
    add("head", nose=1.0)
    for part, downs in (("chest", (0.1, 0.25, 0.4)), ("belly", (0.55, 0.7, 0.85))):
        for down in downs:
            for across in (0.2, 0.5, 0.8):
                left, right = 1 - across, across
                shares = {"left_shoulder": left * (1 - down), "right_shoulder": right * (1 - down)}
                add(part, **shares, left_hip=left * down, right_hip=right * down)
    for part, (near, far) in _LIMBS.items():
        for side in ("left", "right"):
            for along in (0.2, 0.35, 0.5, 0.65, 0.8):
                add(part, **{f"{side}_{near}": 1 - along, f"{side}_{far}": along})
    order = np.argsort(parts, kind="stable")
    return np.array(rows, np.float32).reshape(-1, len(names))[order], np.array(parts, np.int64)[order]
