# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the picture changes at once to another one: hard cuts between shots. Dissolves are not found."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SAMPLE = (54, 96)  # pixels looked at
_BLOCK = 6  # of them, averaged to a cell of the layout
_BINS = 8  # a colour channel, in the histogram: its upper three bits
_OFFSETS = np.arange(3, dtype=np.uint8) * np.uint8(_BINS)
_LAYOUT_CHANGE = 0.08  # least mean change of the layout, of 0 … 1 …
_HISTOGRAM_CHANGE = 0.28  # … and least share of pixels whose colour is gone …
_OTHER_LAYOUT = 0.2  # … or a change of the layout that says enough
_OUTSTANDING = 3.0  # times what changes usually, shortly before and after
_RELAXED = 0.7  # of that must be left a frame later
_AROUND = 8  # frames on each side that say what is usual


class ShotWatcher:
    """Shown every frame in order, it says where shots begin. Keeps two small pictures and four numbers a frame."""

    def __init__(self) -> None:
        self._last: deque[tuple[Array, Array]] = deque(maxlen=2)
        self._changes: list[tuple[float, float, float, float]] = []

    def __call__(self, rgb: NDArray[np.uint8]) -> None:
        """Look at the next frame, (H, W, 3)."""
        seen = _summary(rgb)
        to_last = _change(self._last[-1], seen) if self._last else (0.0, 0.0)
        to_second = _change(self._last[0], seen) if len(self._last) == 2 else (0.0, 0.0)
        self._changes.append((*to_last, *to_second))
        self._last.append(seen)

    def cuts(self) -> list[int]:
        """Indices of the first frames of new shots (never 0)."""
        changes = np.array(self._changes).reshape(-1, 4)
        found = []
        for i in map(int, np.flatnonzero(_is_other(changes[:, :2]))):
            if i + 1 >= len(changes) or not all(_is_other(changes[k, 2:] / _RELAXED) for k in range(max(i, 2), i + 2)):
                continue  # a flash: before and after it the picture is the same
            around = np.concatenate([changes[max(i - _AROUND, 1) : i, :2], changes[i + 1 : i + 1 + _AROUND, :2]])
            usual = np.median(around, axis=0) if len(around) else np.zeros(2)
            if changes[i, 0] >= _OUTSTANDING * usual[0]:
                found.append(i)
        return found


def _is_other(changes: Array) -> Array:
    """(...,) whether a change (..., 2) of layout and histogram makes another picture."""
    layout, histogram = changes[..., 0], changes[..., 1]
    return (layout >= _LAYOUT_CHANGE) & (histogram >= _HISTOGRAM_CHANGE) | (layout >= _OTHER_LAYOUT)


def _summary(rgb: NDArray[np.uint8]) -> tuple[Array, Array]:
    """(9, 16, 3) layout of 0 … 1 and (24,) histogram that sums to 1."""
    height, width = rgb.shape[:2]
    if height >= 4 * _SAMPLE[0] and width >= 4 * _SAMPLE[1]:  # slices are many times as fast, and miss only an edge
        small = rgb[:: height // _SAMPLE[0], :: width // _SAMPLE[1]][: _SAMPLE[0], : _SAMPLE[1]]
    else:
        rows = np.arange(_SAMPLE[0]) * height // _SAMPLE[0]
        columns = np.arange(_SAMPLE[1]) * width // _SAMPLE[1]
        small = rgb[rows[:, None], columns]
    cells = np.add.reduceat(small.astype(np.float32), np.arange(0, _SAMPLE[0], _BLOCK), axis=0)
    cells = np.add.reduceat(cells, np.arange(0, _SAMPLE[1], _BLOCK), axis=1)
    layout = cells / (255.0 * _BLOCK**2)
    levels = (small >> 5) + _OFFSETS
    histogram = np.bincount(levels.reshape(-1), minlength=3 * _BINS) / levels.size
    return layout, histogram


def _change(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[float, float]:
    layout = float(np.abs(before[0] - after[0]).mean())
    return layout, float(np.abs(before[1] - after[1]).sum() / 2)
