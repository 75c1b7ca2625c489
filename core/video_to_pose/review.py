# SPDX-License-Identifier: GPL-3.0-or-later
"""What in a Take wants a look: spans of time in which somebody was not seen, hardly seen, or mended (numpy only)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import motion
from .retarget.plant import runs
from .skeleton import Skeleton
from .types import Motion, Take

_BELOW, _SHORTEST_S = 0.5, 0.2
_TOGETHER_S = 0.2  # spans of one kind that are nearer than this are one

KINDS = ("unseen", "unsure", "swap", "spike")

_PARTS = {
    "left arm": ("left_elbow", "left_wrist"),
    "right arm": ("right_elbow", "right_wrist"),
    "left leg": ("left_knee", "left_ankle"),
    "right leg": ("right_knee", "right_ankle"),
}
_LOWER = {part: part.replace("arm", "forearm").replace("leg", "lower leg") for part in _PARTS}


@dataclass(frozen=True)
class Doubt:
    """A span of time worth a look.

    Attributes:
        kind: ``unseen``: nobody was found, the motion is bridged, or a limb was out of view, and rests; ``unsure``: the
            detector saw it badly; ``swap``: left and right were exchanged, and are put right; ``spike``: something
            leapt away, and is bridged.
        part: ``body``, ``left arm``, ``arms``, … what it is about.
        start_s, end_s: first and last moment, seconds as the Take's timestamps are.
        confidence: mean of what it is about, 0 … 1.
    """

    kind: str
    part: str
    start_s: float
    end_s: float
    confidence: float


def doubts(take: Take) -> list[Doubt]:
    """Everything in a Take that wants a look, in order of time."""
    found = [*_hardly_seen(take), *_mended(take)]
    return sorted(found, key=lambda doubt: (doubt.start_s, KINDS.index(doubt.kind), doubt.part))


def confidence_spans(take: Take, below: float = _BELOW, shortest_s: float = _SHORTEST_S) -> list[tuple[float, float]]:
    """Spans (start, end) in seconds where the mean joint confidence is low: frames worth a look."""
    times = take.motion.timestamps
    spans = _spans(sureness(take.motion) < below)
    return [(float(times[a]), float(times[b])) for a, b in spans if times[b] - times[a] >= shortest_s]


def sureness(motion: Motion) -> NDArray[np.floating]:
    """(F,) mean confidence of the joints that are seen at all: not every detector looks at fingers and heels."""
    ever = motion.confidence.any(axis=0)
    mean: NDArray[np.floating] = motion.confidence[:, ever].mean(axis=1) if ever.any() else motion.confidence[:, 0]
    return mean


def never_seen(moved: Motion) -> tuple[str, ...]:
    """Arms and legs that no frame shows, which are held at rest; where the rest of one is seen, its lower half.

    Answers some of ``left arm``, ``left forearm``, ``left leg``, ``left lower leg`` and their likes on the right;
    nothing where nobody is seen at all.
    """
    ever: NDArray[np.bool_] = np.any(moved.confidence > 0, axis=0)
    found = []
    for part, joints in _PARTS.items() if ever.any() else ():
        seen = [bool(ever[column]) for column in _columns(moved.skeleton, joints)]
        if seen and not seen[-1]:
            found.append(_LOWER[part] if any(seen) else part)
    return tuple(found)


def _hardly_seen(take: Take) -> Iterator[Doubt]:
    """Of nested spans the widest meaning: nobody, then the whole body, then single limbs."""
    moved = take.motion
    nobody = ~np.any(moved.confidence > 0, axis=1)
    whole = sureness(moved)
    yield from _of("unseen", "body", nobody, whole, take, 0.0)
    dim = (whole < _BELOW) & ~nobody
    yield from _of("unsure", "body", dim, whole, take)
    for part, joints in _PARTS.items():
        columns = _columns(moved.skeleton, joints)
        if columns:
            own = moved.confidence[:, columns].mean(axis=1)
            away = (own == 0) & ~nobody
            yield from _of("unseen", part, away, own, take)
            yield from _of("unsure", part, (own < _BELOW) & ~away & ~dim & ~nobody, own, take)


def _columns(skeleton: Skeleton, joints: tuple[str, ...]) -> list[int]:
    return [skeleton.index(joint) for joint in joints if joint in skeleton.joints]


def _of(
    kind: str,
    part: str,
    where: NDArray[np.bool_],
    sure: NDArray[np.floating],
    take: Take,
    shortest_s: float = _SHORTEST_S,
) -> Iterator[Doubt]:
    times = take.motion.timestamps
    for a, b in _joined(_spans(where), times):
        if times[b] - times[a] >= shortest_s:
            yield Doubt(kind, part, float(times[a]), float(times[b]), float(sure[a : b + 1].mean()))


def _joined(spans: list[tuple[int, int]], times: NDArray[np.float64]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for a, b in spans:
        if out and times[a] - times[out[-1][1]] <= _TOGETHER_S:
            out[-1] = (out[-1][0], b)
        else:
            out.append((a, b))
    return out


def _spans(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last frame of each true run of a mask (F,)."""
    return [(first, last - 1) for first, last in runs(mask)]


def _mended(take: Take) -> Iterator[Doubt]:
    if take.lifted is None:
        return
    times = take.motion.timestamps
    whole = sureness(take.motion)
    for repair in motion.repairs(take.lifted):
        part = repair.part.replace("_", " ")
        here = (times >= repair.start_s) & (times <= repair.end_s)
        if _at_rest(take.motion, part, here):
            continue
        yield Doubt(repair.kind, part, repair.start_s, repair.end_s, float(whole[here].mean()))


def _at_rest(moved: Motion, part: str, here: NDArray[np.bool_]) -> bool:
    """Whether a part was out of view, though somebody was there: then nothing of it was used, and nothing mended."""
    limbs = [name for name in _PARTS if name == part or name.endswith(f" {part.removesuffix('s')}")]
    columns = [column for limb in limbs for column in _columns(moved.skeleton, _PARTS[limb])]
    return bool(columns) and not moved.confidence[here][:, columns].any() and bool(moved.confidence[here].any())
