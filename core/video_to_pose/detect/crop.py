# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting what a network sees out of a picture, and bringing what it says back, exact to a fraction of a pixel.

A point of a picture is given in pixels from its top left corner: the middle of the first pixel is (0.5, 0.5). A
`Cut` is the affine map from a network's picture to the whole one in these coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cut:
    """A part of a picture as a network sees it.

    Attributes:
        matrix: (2, 3) from points of the network's picture to points of the whole one.
        size: width, height of the network's picture.
    """

    matrix: Array
    size: tuple[int, int]

    def to_picture(self, points: ArrayLike) -> Array:
        """(…, 2) points of the network's picture -> the whole picture."""
        return np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def from_picture(self, points: ArrayLike) -> Array:
        """(…, 2) points of the whole picture -> the network's."""
        back = np.linalg.inv(self.matrix[:, :2])
        return (np.asarray(points, dtype=np.float64) - self.matrix[:, 2]) @ back.T


def letterbox(picture_size: tuple[int, int], size: tuple[int, int], centred: bool = False) -> Cut:
    """The whole picture, as large as it fits, with bars to the right or below, or on both sides where `centred`."""
    width, height = picture_size
    scale = max(width / size[0], height / size[1])
    start = (np.array([width, height]) - scale * np.array(size)) / 2 if centred else np.zeros(2)
    return Cut(np.array([[scale, 0.0, start[0]], [0.0, scale, start[1]]]), size)


def region(
    centre: ArrayLike, extent: ArrayLike, size: tuple[int, int], angle: float = 0.0, padding: float = 1.0
) -> Cut:
    """A rectangle of the picture, widened on two sides to the shape of the network's picture.

    Args:
        centre: (2,) its middle.
        extent: (2,) its width and height in pixels.
        size: of the network's picture.
        angle: radians by which it is turned, clockwise as seen.
        padding: factor on its extent.
    """
    width, height = np.maximum(np.asarray(extent, dtype=np.float64) * padding, 1.0)
    scale = max(width / size[0], height / size[1])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.asarray(centre, dtype=np.float64) - turn @ (np.array(size) / 2)
    return Cut(np.column_stack([turn, middle]), size)


def box_region(box: ArrayLike, size: tuple[int, int], padding: float = 1.0) -> Cut:
    """The `region` of a box (4,): left, top, right, bottom."""
    left_top, right_bottom = np.asarray(box, dtype=np.float64).reshape(2, 2)
    return region((left_top + right_bottom) / 2, right_bottom - left_top, size, padding=padding)


def cut_out(picture: Image.Image, cut: Cut, fill: int = 0) -> NDArray[np.uint8]:
    """(h, w, 3) what the network sees, bilinear, with `fill` outside the picture."""
    coefficients = tuple(float(value) for value in cut.matrix.ravel())
    seen = picture.transform(
        cut.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=(fill, fill, fill)
    )
    return np.asarray(seen)


@dataclass(frozen=True)
class Normalisation:
    """How a network wants its numbers.

    Attributes:
        mean, std: of each channel, in the order of `channels`: (value - mean) / std of values 0 … 255.
        channels: ``rgb`` or ``bgr``.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: str = "rgb"


def tensor(pictures: Sequence[NDArray[np.uint8]], normalisation: Normalisation) -> NDArray[np.float32]:
    """(N, 3, h, w) from N pictures (h, w, 3) of one size."""
    height, width = pictures[0].shape[:2]
    batch = np.empty((len(pictures), 3, height, width), dtype=np.float32)
    order = (0, 1, 2) if normalisation.channels == "rgb" else (2, 1, 0)
    for row, picture in zip(batch, pictures, strict=True):
        for channel, source in enumerate(order):
            mean, std = normalisation.mean[channel], normalisation.std[channel]
            if (mean, std) == (0.0, 1.0):
                row[channel] = picture[..., source]
            else:
                np.multiply(picture[..., source], np.float32(1 / std), out=row[channel])
                row[channel] -= np.float32(mean / std)
    return batch
