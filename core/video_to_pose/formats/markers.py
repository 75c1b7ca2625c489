# SPDX-License-Identifier: GPL-3.0-or-later
"""Named points in space over time: what TRC files and tables with x, y, z hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import bones
from ..errors import InputError
from ..types import Take
from .layouts import common_name

_AXES = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True, eq=False)
class Markers:
    """Points in space over a clip.

    Attributes:
        source: the file.
        kind: what it is, for people: ``TRC``.
        names: N names, spelled as `layouts.common_name` does.
        positions: (F, N, 3) metres in the file's own axes; NaN where missing.
        times: (F,) seconds, None where the file has none.
    """

    source: Path
    kind: str
    names: tuple[str, ...]
    positions: NDArray[np.float64]
    times: NDArray[np.float64] | None = None

    def completed(self, frame_rate: float | None = None, up: str | None = None) -> Markers:
        """With times, and turned so that z points up.

        Args:
            frame_rate: wins over the file's times.
            up: which of the file's axes points up: ``x``, ``y``, ``z``, ``-x``, ``-y`` or ``-z``; None looks where
                shoulders are above ankles.

        Raises:
            InputError: a rate that neither the file nor the caller has.
        """
        times = self.times
        if frame_rate is not None:
            times = np.arange(len(self.positions)) / frame_rate
        if times is None:
            raise InputError(
                f"{self.source.name} ({self.kind}) does not say how many frames a second there are.",
                "Give --frame-rate FRAMES.",
                "frame-rate-missing",
            )
        axis, sign = (_AXES[up[-1]], -1.0 if up[0] == "-" else 1.0) if up else self._upward()
        x, y, z = np.moveaxis(self.positions, -1, 0)
        turned = ((y, z, x), (x, -z, y), (x, y, z))[axis]  # rotations all, so that left and right stay what they are
        positions = np.stack(turned, axis=-1) * (1.0 if sign > 0 else [1.0, -1.0, -1.0])
        return replace(self, positions=positions, times=times)

    def _upward(self) -> tuple[int, float]:
        """The axis along which shoulders are above ankles for most of the clip, and its sign."""
        high, low = (self.mean([f"left_{part}", f"right_{part}"]) for part in ("shoulder", "ankle"))
        seen = np.isfinite(high - low).all(axis=-1)
        if not seen.any():
            return 2, 1.0
        rise = np.median((high - low)[seen], axis=0)
        axis = int(np.abs(rise).argmax())
        return axis, 1.0 if rise[axis] > 0 else -1.0

    def mean(self, names: list[str]) -> NDArray[np.float64]:
        """(F, 3) middle of the markers of these names; NaN where one is missing."""
        if lacking := [name for name in names if name not in self.names]:
            raise InputError(
                f"{self.source.name} ({self.kind}) has no marker {' and no '.join(lacking)}.",
                "Name markers as MediaPipe and COCO do: left_shoulder, left_hip, left_knee, …",
                "markers-lacking",
            )
        return self.positions[:, [self.names.index(name) for name in names]].mean(axis=1)


def spelled(names: list[str]) -> tuple[str, ...]:
    """Names as `layouts.common_name` spells them, each once: a second one of a name keeps its own spelling."""
    out: list[str] = []
    for name in names:
        common = common_name(name)
        out.append(name if common in out else common)
    return tuple(out)


def of_take(take: Take) -> tuple[tuple[str, ...], NDArray[np.floating]]:
    """Names and world places (F, J, 3) of a Take's joints, metres, z up."""
    motion = take.motion
    return motion.skeleton.joints, bones.compose(motion.skeleton, motion.directions, motion.lengths, motion.root)
