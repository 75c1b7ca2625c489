# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen wrongly for a moment, told by how bodies move and mended before smoothing (numpy only).

Two faults are known: left and right change places for some frames, and a bone leaps away and back. Either breaks the
motion at its two ends, and there the motion goes on unbroken with the sides exchanged or the leap left out. A break is
what remains between the courses before and after, both carried on to the middle; so fast moves alone are none.
Motion in which nothing is wrong comes back as it is, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..rotation import normalize
from ..skeleton import Skeleton
from ..types import Motion

Array = NDArray[np.floating]

_LIMBS = {"arms": "shoulder", "legs": "hip"}  # joint that a limb hangs on; it may have kept its side

_SWAP_S = 0.6  # sides exchanged for longer are left as they are: which of them are right would be a guess
_SWAP_DEGREES = 20.0  # that exchanging must mend at both ends together, summed in squares over all bones of both limbs
_SWAP_RATIO = 3.0  # by which exchanging must lessen both breaks, multiplied
_CALM_DEGREES = 3.0  # breaks as small as this may be noise
_BLUR_S = 0.1  # smoothing before may have blurred the ends: frames that belong to neither side
_BLUR_COST = 0.5  # of the ratio's logarithm, for every such frame

_LEAP_S = 0.1
_LEAP_DEGREES = 25.0  # at both its ends, at 30 frames a second or more
_FOOT_LEAP_DEGREES = 55.0  # feet hit the floor, and tremble in captured motion
_LEAP_RATIO = 3.5  # of the leap to what remains of the break when it is left out
_LEAP_CALM_DEGREES = 5.0
_STEADY_S = 0.07  # over which the course of what trembles is taken
_LEAP_PASSES = 3  # leaps hide others beside them

_PART_OF = (  # words in the name of the joint a bone ends at -> part
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
        part: of a swap ``arms`` or ``legs``; of a spike ``trunk``, ``head``, ``left_arm``, ``right_foot`` and so on.
        start_s, end_s: first and last moment that was wrong, seconds.
    """

    kind: str
    part: str
    start_s: float
    end_s: float


def repair(motion: Motion) -> tuple[Motion, tuple[Repair, ...]]:
    """Mend sides exchanged for up to 0.6 s and leaps of bones for up to 0.1 s.

    Where sides are exchanged back, so are their contacts and confidence; leaps are bridged from before to after.

    Args:
        motion: in any skeleton; limbs are known by the names of their joints.

    Returns:
        The mended motion and what was done, in order of time; `motion` itself and nothing where nothing was wrong.
    """
    directions = motion.directions.astype(np.float64)
    contacts, confidence = motion.contacts.copy(), motion.confidence.copy()
    found: list[tuple[str, str, int, int]] = []
    for limbs, root in _LIMBS.items():
        for swap in _swaps(directions, _both_sides(motion.skeleton, root), motion.frame_rate):
            _exchange(swap, motion, directions, contacts, confidence)
            found.append(("swap", limbs, swap.start, swap.end))
    parts = [_part(joint) for joint in motion.skeleton.joints[1:]]
    leaps: list[tuple[str, str, int, int]] = []
    for _ in range(_LEAP_PASSES):
        new = list(_leaps(directions, parts, motion.frame_rate))
        if not new:
            break
        for bone, start, end in new:
            _bridge(directions, [bone], start, end)
        leaps += [("spike", parts[bone], start, end) for bone, start, end in new]
    found += _merged(leaps)
    if not found:
        return motion, ()
    times = motion.timestamps
    repairs = [Repair(kind, part, float(times[start]), float(times[end - 1])) for kind, part, start, end in found]
    repairs.sort(key=lambda repair: (repair.start_s, repair.kind, repair.part))
    return replace(motion, directions=directions, contacts=contacts, confidence=confidence), tuple(repairs)


def _part(joint: str) -> str:
    """The part of the body that the bone ending at a joint belongs to."""
    side = next((side for side in ("left_", "right_") if joint.startswith(side)), "")
    name = joint.removeprefix(side)
    part = next((part for words, part in _PART_OF if name.startswith(words)), "trunk")
    return part if part in ("trunk", "head") else side + part


def _merged(spans: Iterable[tuple[str, str, int, int]]) -> list[tuple[str, str, int, int]]:
    """Spans of frames of the same kind and part that touch, as one."""
    out: list[tuple[str, str, int, int]] = []
    for kind, part, start, end in sorted(spans):
        if out and out[-1][:2] == (kind, part) and start <= out[-1][3]:
            out[-1] = (kind, part, out[-1][2], max(end, out[-1][3]))
        else:
            out.append((kind, part, start, end))
    return out


@dataclass(frozen=True)
class _Swap:
    """Limbs whose sides are exchanged in frames start … end - 1, the outermost of which are blurred.

    Attributes:
        bones: (2, n) bones of the one side and their counterparts.
        start, end: frames.
        blurred: how many of them belong to neither side, at the start and at the end.
        worth: how surely.
    """

    bones: NDArray[np.intp]
    start: int
    end: int
    blurred: tuple[int, int]
    worth: float


def _both_sides(skeleton: Skeleton, root: str) -> list[NDArray[np.intp]]:
    """Bones (2, n) of the left and right limb that may have changed sides: from `root` on, and with `root` itself."""
    names = skeleton.joints
    if f"left_{root}" not in names or f"right_{root}" not in names:
        return []
    top = names.index(f"left_{root}")
    below = {top}
    for joint, parent in enumerate(skeleton.parents):
        if parent in below:
            below.add(joint)
    left = [joint for joint in sorted(below) if names[joint].replace("left_", "right_", 1) in names]
    both = np.array([[joint, names.index(names[joint].replace("left_", "right_", 1))] for joint in left]).T - 1
    return [both[:, 1:], both] if len(left) > 1 else []


def _swaps(directions: Array, limbs: Sequence[NDArray[np.intp]], rate: float) -> list[_Swap]:
    """The likeliest swaps of two limbs, in order of time, none of which touch."""
    frames, longest = len(directions), max(1, round(_SWAP_S * rate))
    candidates: list[_Swap] = []
    for bones in limbs:
        lessened, gained, blurred = _ends(directions, limbs[-1], bones, max(1, round(_BLUR_S * rate)))
        for length in range(1, min(longest, frames - 1) + 1):
            start = np.arange(frames + 1 - length)
            end = start + length
            worth = lessened[start] + lessened[end] - np.log(_SWAP_RATIO)
            sure = (worth > 0) & (gained[start] + gained[end] > _SWAP_DEGREES**2) & (length > blurred[start])
            at_an_end = (start == 0) | (end == frames)  # and seen from one side only
            sure &= ~at_an_end | (length <= longest // 2)
            candidates += [
                _Swap(
                    bones, int(s), int(s + length + blurred[s + length]), (int(blurred[s]), int(blurred[s + length])), w
                )
                for s, w in zip(start[sure], worth[sure], strict=True)
            ]
    return _best(candidates)


def _best(candidates: Sequence[_Swap]) -> list[_Swap]:
    """Of spans that overlap, those that are worth most together (weighted interval scheduling)."""
    ordered = sorted(candidates, key=lambda swap: (swap.end, -swap.start))
    ends = [swap.end for swap in ordered]
    total, chosen = [0.0], [False]
    for i, swap in enumerate(ordered):
        before = int(np.searchsorted(ends[:i], swap.start, side="left"))  # a gap of a frame between
        chosen.append(total[before] + swap.worth > total[i])
        total.append(max(total[i], total[before] + swap.worth))
    out, i = [], len(ordered)
    while i > 0:
        if chosen[i]:
            out.append(ordered[i - 1])
            i = int(np.searchsorted(ends[: i - 1], ordered[i - 1].start, side="left"))
        else:
            i -= 1
    return out[::-1]


def _ends(
    directions: Array, limbs: NDArray[np.intp], bones: NDArray[np.intp], widest: int
) -> tuple[Array, Array, NDArray[np.intp]]:
    """What exchanging some bones' sides from each frame on would mend.

    Args:
        directions: (F, B, 3).
        limbs: (2, n) bones whose breaks count.
        bones: (2, n or fewer) those of them that are exchanged.
        widest: how many frames may be blurred.

    Returns:
        (F + 1,) logarithm of how many times smaller the break before the frame becomes, square degrees it becomes
        smaller by, and after how many blurred frames; nothing at the clip's ends, where one cannot know.
    """
    frames = len(directions)
    source = np.arange(directions.shape[1])
    source[np.ravel(bones)] = np.ravel(bones[::-1])
    now, other = directions[:, np.ravel(limbs)], directions[:, source[np.ravel(limbs)]]
    lessened, gained = np.full(frames + 1, -np.inf), np.zeros(frames + 1)
    blurred = np.zeros(frames + 1, dtype=np.intp)
    for blur in range(widest + 1):
        i = np.arange(max(0, frames - 1 - blur))
        j = i + 1 + blur
        kept, exchanged = (_degrees(_break(now, after, i, j)) for after in (now, other))
        ratio = np.log((kept + _CALM_DEGREES) / (exchanged + _CALM_DEGREES)) - _BLUR_COST * blur
        better = i[ratio > lessened[i + 1]]
        lessened[better + 1], blurred[better + 1] = ratio[better], blur
        gained[better + 1] = kept[better] ** 2 - exchanged[better] ** 2
    lessened[[0, -1]] = 0.0
    return lessened, gained, blurred


def _break(before: Array, after: Array, i: NDArray[np.intp], j: NDArray[np.intp]) -> Array:
    """(k, n, 3) what remains between `before` at frames i and `after` at frames j > i, their courses carried on."""
    past, following = np.maximum(i - 1, 0), np.minimum(j + 1, len(after) - 1)
    course = (before[i] - before[past] + after[following] - after[j]) / 2
    return after[j] - before[i] - (j - i)[:, None, None] * course


def _degrees(vectors: Array) -> Array:
    """(k,) degrees that differences of unit vectors (k, n, 3) come to, summed in squares."""
    return np.degrees(np.sqrt(np.einsum("knc,knc->k", vectors, vectors)))


def _exchange(swap: _Swap, motion: Motion, directions: Array, contacts: NDArray[np.bool_], confidence: Array) -> None:
    """Put the sides right, in place; what is blurred is bridged."""
    one, other = swap.bones
    here = slice(swap.start + swap.blurred[0], swap.end - swap.blurred[1])
    for values, a, b in ((directions, one, other), (confidence, one + 1, other + 1)):
        values[here, a], values[here, b] = values[here, b].copy(), values[here, a].copy()
    names = motion.contact_names
    touched = {motion.skeleton.joints[bone + 1] for bone in one}
    for c, name in enumerate(names):
        counterpart = name.replace("left_", "right_", 1)
        if (name in touched or (name == "left_heel" and "left_ankle" in touched)) and counterpart in names:
            d = names.index(counterpart)
            contacts[here, c], contacts[here, d] = contacts[here, d].copy(), contacts[here, c].copy()
    _bridge(directions, np.ravel(swap.bones), swap.start, here.start)
    _bridge(directions, np.ravel(swap.bones), here.stop, swap.end)


def _leaps(directions: Array, parts: Sequence[str], rate: float) -> Iterator[tuple[int, int, int]]:
    """Bone, first frame and frame after the last of each leap, none of which touch on the same bone."""
    frames = len(directions)
    allowed = np.array([_FOOT_LEAP_DEGREES if part.endswith("foot") else _LEAP_DEGREES for part in parts])
    allowed = allowed * max(1.0, 30.0 / rate) ** 2  # what is fast and real bends more between rarer frames
    found: list[tuple[float, int, int, int]] = []
    steady = max(2, round(_STEADY_S * rate))
    for length in range(1, max(1, round(_LEAP_S * rate)) + 1):
        i = np.arange(max(0, frames - 1 - length))
        j = i + 1 + length
        past, following = np.maximum(i - 1, 0), np.minimum(j + 1, frames - 1)
        away = np.linalg.norm(directions[i + 1] - 2 * directions[i] + directions[past], axis=-1)
        back = np.linalg.norm(directions[j - 1] - 2 * directions[j] + directions[following], axis=-1)
        leap = np.degrees(np.minimum(away, back))
        likely = np.flatnonzero((leap > allowed).any(axis=1))
        i, j, leap = i[likely], j[likely], leap[likely]
        left_out = np.degrees(np.minimum(*(_left_out(directions, i, j, pace) for pace in (1, steady))))
        ratio = leap / (left_out + _LEAP_CALM_DEGREES)
        for k, bone in zip(*np.nonzero((leap > allowed) & (ratio > _LEAP_RATIO)), strict=True):
            found.append((float(ratio[k, bone]), int(bone), int(i[k]) + 1, int(j[k])))
    taken = np.zeros((frames, len(parts)), dtype=bool)
    for _, bone, start, end in sorted(found, reverse=True):
        if not taken[start - 1 : end + 1, bone].any():
            taken[start - 1 : end + 1, bone] = True
            yield bone, start, end


def _left_out(directions: Array, i: NDArray[np.intp], j: NDArray[np.intp], pace: int) -> Array:
    """(k, B) how much the motion breaks, or its course changes, from frames i to j when what is between is left out.

    The course is taken over `pace` frames: one is true to what is fast, several to what trembles.
    """
    past, following = np.maximum(i - pace, 0), np.minimum(j + pace, len(directions) - 1)
    before = (directions[i] - directions[past]) / pace
    after = (directions[following] - directions[j]) / pace
    gap = directions[j] - directions[i] - (j - i)[:, None, None] * (before + after) / 2
    return np.maximum(np.linalg.norm(gap, axis=-1), np.linalg.norm(after - before, axis=-1) / 2)


def _bridge(directions: Array, bones: Sequence[int] | NDArray[np.intp], start: int, end: int) -> None:
    """Lead bones through frames start … end - 1 from their course before to their course after, in place."""
    if end <= start:
        return
    i, j, span = start - 1, end, end - start + 1
    a, b = directions[i, bones], directions[j, bones]
    past, following = directions[max(i - 1, 0), bones], directions[min(j + 1, len(directions) - 1), bones]
    leaving, arriving = (a - past) * span, (following - b) * span
    u = (np.arange(1, span) / span)[:, None, None]
    course = (2 * u**3 - 3 * u**2 + 1) * a + (u**3 - 2 * u**2 + u) * leaving
    course = course + (3 * u**2 - 2 * u**3) * b + (u**3 - u**2) * arriving
    lost = np.linalg.norm(course, axis=-1, keepdims=True) < 1e-3
    directions[start:end, bones] = np.where(lost, a, normalize(course))
