# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the camera moves: how the background shifts, turns and grows from frame to frame, people left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

_CELLS, _BLOCK = 48, 3  # along the longer side, each the mean of 3 by 3 pixels
_MARGIN = 0.15  # of a person's box is left out around it
_LEAST = 0.1  # of the picture must be background
_PASSES = 2  # of reweighting: what moves by itself loses its say
_CALM = 2.0  # levels of grey that cells differ by through noise alone
_ANEW_CELLS, _ANEW_FRAMES = 0.7, 300  # after so much, or so long, the picture is held against a newer one
_MOVES_SHIFT, _MOVES_ZOOM, _MOVES_ROLL = 0.02, 0.05, 0.035  # of the picture's long side; of its size; radians


class BackgroundWatcher:
    """Shown every frame in order with the people in it, it says how the background moved.

    Two small pictures are held against each other, and the shift, growth and turn that bring the one to the other are
    solved from brightness and its slopes (Lucas and Kanade), with robust weights. The earlier picture stays the same
    until the background has moved on, so that a still camera does not seem to drift.
    """

    def __init__(self) -> None:
        self._reference: tuple[Array, NDArray[np.bool_]] | None = None
        self._age = 0
        self._left: Array = np.zeros(4)
        self._places: list[Array] = []

    def __call__(self, rgb: NDArray[np.uint8], people: Iterable[Array] = ()) -> None:
        """Look at the next frame.

        Args:
            rgb: (H, W, 3).
            people: (K, 2) keypoints of each person in it, pixels.
        """
        now, size = (_cells(rgb), _free(rgb.shape[:2], people)), max(rgb.shape[:2])
        step: Array = np.zeros(4)
        if self._reference is not None:
            step = _step(self._reference[0], now[0], self._reference[1] & now[1])
        gone = float(np.hypot(*step[:2])) + _CELLS / 2 * float(np.abs(step[2:]).max())
        step[:2] *= size / _CELLS
        self._places.append(self._left + step)
        self._age += 1
        if self._reference is None or gone > _ANEW_CELLS or self._age > _ANEW_FRAMES:
            self._reference, self._age, self._left = now, 0, self._places[-1]

    def path(self) -> NDArray[np.float32]:
        """(F, 4) since the first frame: shift in pixels to the right and down, growth (logarithm), turn (radians)."""
        return np.array(self._places, dtype=np.float32).reshape(-1, 4)


@dataclass(frozen=True)
class Sway:
    """How far a camera moved while it saw somebody.

    Attributes:
        moves: more than a held-still camera could.
        shift_px: widest distance between two places of the background.
        zoom: its largest size against the smallest, less 1.
        roll_degrees: its widest turn.
    """

    moves: bool
    shift_px: float
    zoom: float
    roll_degrees: float


def sway(path: NDArray[np.floating[Any]], image_size: tuple[int, int]) -> Sway:
    """What the path (F, 4) of the background comes to, by its far ends but for a frame in a hundred."""
    reach = np.subtract(*np.percentile(path.astype(np.float64), [99.5, 0.5], axis=0)) if len(path) else np.zeros(4)
    shift, zoom, roll = float(np.hypot(*reach[:2])), float(np.expm1(reach[2])), float(reach[3])
    moves = shift > _MOVES_SHIFT * max(image_size) or zoom > _MOVES_ZOOM or roll > _MOVES_ROLL
    return Sway(moves, shift, zoom, float(np.degrees(roll)))


def _shape(height: int, width: int) -> tuple[int, int]:
    """Cells down and across: `_CELLS` along the longer side, and along the other as goes with it."""
    scale = _CELLS / max(height, width)
    return max(4, round(height * scale)), max(4, round(width * scale))


def _cells(rgb: NDArray[np.uint8]) -> Array:
    """(h, w) mean green about each cell."""
    height, width = rgb.shape[:2]
    h, w = _shape(height, width)
    rows = np.arange(h * _BLOCK) * height // (h * _BLOCK)
    columns = np.arange(w * _BLOCK) * width // (w * _BLOCK)
    green = rgb[rows[:, None], columns, 1]
    cells = green.reshape(h, _BLOCK, w, _BLOCK).mean(axis=(1, 3), dtype=np.float32)
    for _ in range(2):  # slopes from cell to cell are true of what is smooth alone
        cells = np.pad(cells, 1, mode="edge")
        cells = (cells[:-2] + 2 * cells[1:-1] + cells[2:])[:, 1:-1] / 4
        cells = np.pad(cells, ((0, 0), (1, 1)), mode="edge")
        cells = (cells[:, :-2] + 2 * cells[:, 1:-1] + cells[:, 2:]) / 4
    return cells


def _free(size: tuple[int, int], people: Iterable[Array]) -> NDArray[np.bool_]:
    """(h, w) cells without anybody."""
    h, w = _shape(*size)
    out = np.ones((h, w), dtype=bool)
    for points in people:
        low, high = points.min(axis=0), points.max(axis=0)
        around = _MARGIN * float(np.max(high - low))
        left, top = np.floor((low - around) * [w / size[1], h / size[0]]).astype(int)
        right, bottom = np.ceil((high + around) * [w / size[1], h / size[0]]).astype(int)
        out[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = False
    return out


def _step(before: Array, after: Array, free: NDArray[np.bool_]) -> Array:
    """(4,) shift in cells, growth and turn from one small picture to the next."""
    inner = free[1:-1, 1:-1]
    if before.shape != after.shape or inner.mean() < _LEAST:
        return np.zeros(4)
    middle = (before + after) / 2
    gx = (middle[1:-1, 2:] - middle[1:-1, :-2])[inner] / 2
    gy = (middle[2:, 1:-1] - middle[:-2, 1:-1])[inner] / 2
    rows, columns = np.nonzero(inner)
    scale = max(before.shape) / 2
    x, y = (columns + 1 - before.shape[1] / 2) / scale, (rows + 1 - before.shape[0] / 2) / scale
    slopes = np.stack([gx, gy, gx * x + gy * y, gy * x - gx * y, np.ones_like(gx)], axis=1)  # the last: exposure
    off = (before - after)[1:-1, 1:-1][inner]
    weight, step = np.ones_like(off), np.zeros(5)
    for _ in range(_PASSES):
        weighed = slopes * weight[:, None]
        step = np.linalg.solve(weighed.T @ slopes + np.eye(5) * _CALM**2 * len(off) / 100, weighed.T @ off)
        weight = 1.0 / (1.0 + ((off - slopes @ step) / _CALM) ** 2)
    return step[:4] / [1.0, 1.0, scale, scale]
