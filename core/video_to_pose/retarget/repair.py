# SPDX-License-Identifier: GPL-3.0-or-later
"""What a camera's eye got wrong for a moment, found by how bodies move and mended before smoothing (numpy only).

Two faults are known: left and right change places for some frames, and a bone leaps away and back. Both show at their
two ends: the motion breaks there, and goes on unbroken with the sides exchanged or with the leap left out. Each end is
judged by what is before and after it, each side's course carried on to the middle (`_breaks`): sudden moves alone,
however fast, do not look like this. Motion in which nothing is wrong comes back as it is, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..rotation import normalize
from ..skeleton import Skeleton, mirror_indices
from ..types import Motion

Array = NDArray[np.floating]

_SWAP_S = 0.6  # sides exchanged for longer than this are left: what is right would be a guess
_SWAP_DEGREES = 20.0  # both breaks together, over all bones of both limbs
_SWAP_RATIO = 3.0  # by how much exchanging sides must mend both breaks together; captured motion stays below 1.7
_BLURRED_S = 0.1  # frames between right and exchanged that belong to neither, where smoothing ran over them
_BLURRED_PENALTY = 0.5  # of the logarithm of the ratio, for each such frame
_CALM_DEGREES = 3.0  # breaks as small as this are noise

_SPIKE_S = 0.1
_SPIKE_DEGREES = {"foot": 55.0, "": 25.0}  # at 30 frames a second or more; captured feet tremble
_SPIKE_RATIO = 3.5  # of the leap to the break that is left without it; captured motion stays below 3.1
_SPIKE_CALM_DEGREES = 5.0
_SPIKE_PASSES = 3  # a leap may hide another beside it

_LIMBS = {"arms": ("shoulder", ("elbow", "wrist", "hand")), "legs": ("hip", ("knee", "ankle", "toe"))}
_ENDS = {"hand": ("thumb", "index", "middle", "ring", "little"), "ankle": ("heel",)}  # go with the limb where there are
_PARTS = (
    (("elbow", "wrist", "shoulder"), "arm"),
    (("hand", "thumb", "index", "middle", "ring", "little"), "hand"),
    (("knee", "ankle"), "leg"),
    (("toe", "heel"), "foot"),
    (("head", "nose", "ear", "eye"), "head"),
)


@dataclass(frozen=True)
class Repair:
    """One thing that was mended.

    Attributes:
        kind: ``swap``: left and right were exchanged; ``spike``: bones leapt away and back.
        part: ``arms`` or ``legs`` of a swap; ``trunk``, ``head``, ``left_arm``, ``right_foot`` … of a spike.
        start_s, end_s: first and last moment that was wrong, seconds.
    """

    kind: str
    part: str
    start_s: float
    end_s: float


def repair(motion: Motion) -> tuple[Motion, tuple[Repair, ...]]:
    """Mend exchanged sides (up to 0.6 s) and leaps of bones (up to 0.1 s).

    Where sides were exchanged, contacts and confidence change sides too. Leaps are bridged from before to after.

    Args:
        motion: in any skeleton; limbs are known by the names of their joints.

    Returns:
        The mended motion and what was done, by time; `motion` itself and nothing where nothing was wrong.
    """
    directions = motion.directions.astype(np.float64)
    contacts, confidence = motion.contacts, motion.confidence
    done: list[Repair] = []

    def note(kind: str, part: str, start: int, end: int) -> None:
        done.append(Repair(kind, part, float(motion.timestamps[start]), float(motion.timestamps[end - 1])))

    rate = motion.frame_rate
    for limbs in _LIMBS:
        bones = _limb_bones(motion.skeleton, limbs)
        for swap in _swaps(directions, bones, rate) if bones else []:
            contacts, confidence = _exchange(
                motion.skeleton, motion.contact_names, contacts, confidence, directions, swap
            )
            note("swap", limbs, swap.start, swap.end)
    spikes: dict[str, list[tuple[int, int]]] = {}
    for _ in range(_SPIKE_PASSES):
        found = _mend_spikes(directions, _parts(motion.skeleton), rate)
        if not found:
            break
        for part, start, end in found:
            spikes.setdefault(part, []).append((start, end))
    for part, spans in spikes.items():
        for start, end in _merged(spans):
            note("spike", part, start, end)
    if not done:
        return motion, ()
    mended = np.where(np.isclose(directions, motion.directions, rtol=0, atol=0), motion.directions, directions)
    mended_motion = replace(motion, directions=mended, contacts=contacts, confidence=confidence)
    return mended_motion, tuple(sorted(done, key=lambda r: (r.start_s, r.kind, r.part)))
