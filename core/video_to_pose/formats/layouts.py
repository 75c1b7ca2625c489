# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs' keypoints under the names that lifters read.

Every layout is a row of names. What a program calls otherwise is renamed; what no lifter reads (neck, fingertips, small
toes, the face's outline) is left out; what a layout lacks is not made up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..skeleton import COMMON_NAMES, HALPE_26, KEYPOINT_LAYOUTS, MEDIAPIPE_33

_KNOWN = frozenset(MEDIAPIPE_33)
_HAND = {2: "thumb", 5: "index", 17: "pinky"}  # knuckles among the 21 points of a hand, wrist first
_SPELLINGS = {"pinky_1": "pinky", "index_1": "index", "index_mcp": "index", "pinky_mcp": "pinky", "little": "pinky"}
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\s\-.]+")


def hand_names(side: str) -> tuple[str, ...]:
    """21 names of a hand as OpenPose, Halpe and COCO-WholeBody count it: the wrist, then thumb to little finger."""
    return tuple(f"{side}_{_HAND[i]}" if i in _HAND else f"{side}_hand_{i}" for i in range(21))


HALPE_136: tuple[str, ...] = (
    *HALPE_26,
    *(f"face_{i}" for i in range(68)),
    *hand_names("left"),
    *hand_names("right"),
)
"""Halpe's full body: body with feet, face, hands, in its order."""

BY_COUNT: dict[int, tuple[str, ...]] = {len(layout): layout for layout in (*KEYPOINT_LAYOUTS.values(), HALPE_136)}
"""Number of keypoints -> the layout that has so many, for files that name none."""


def common_name(name: str) -> str:
    """A keypoint's name as `skeleton.MEDIAPIPE_33` has it: ``LBigToe`` is ``left_foot_index``.

    A name that means nothing there comes back in the same spelling: lower case, words with underscores between.
    """
    plain = _WORDS.sub("_", name.strip()).lower().removeprefix("body_")
    side, _, part = plain.partition("_")
    if part and side in ("l", "r", "left", "right"):
        side = {"l": "left", "r": "right"}.get(side, side)
        plain = f"{side}_{_SPELLINGS.get(part, part)}"
    return COMMON_NAMES.get(plain, plain)


def by_name(
    names: Sequence[str], positions: ArrayLike, scores: ArrayLike
) -> tuple[tuple[str, ...], NDArray[np.floating], NDArray[np.floating]]:
    """The keypoints that lifters know, under their names.

    Args:
        names: N names in any program's spelling.
        positions: (N, D).
        scores: (N,).

    Returns:
        K names, positions (K, D) and scores (K,). Of several points of one name the first is taken.
    """
    known, index = _known(tuple(names))
    return known, np.asarray(positions)[index], np.asarray(scores)[index]


@cache
def _known(names: tuple[str, ...]) -> tuple[tuple[str, ...], list[int]]:
    common = [common_name(name) for name in names]
    index = [i for i, name in enumerate(common) if name in _KNOWN and common.index(name) == i]
    return tuple(common[i] for i in index), index
