# SPDX-License-Identifier: GPL-3.0-or-later
"""What networks answer, read as boxes and keypoints. Pure functions on arrays; N pictures, K keypoints.

Places are in the network's picture, as `crop.Cut` counts them: the middle of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import correlate1d

Array = NDArray[np.float32]

_FIT = 3  # bins on each side of a peak that its parabola is laid through


def simcc(x: ArrayLike, y: ArrayLike, split: float = 2.0) -> tuple[Array, Array]:
    """Keypoints of networks that answer one row of bins for x and one for y (SimCC: RTMPose, RTMW).

    The peak lies between bins: it is that of a parabola through the bins about the highest one, and at most half a
    bin away from it.

    Args:
        x, y: (N, K, w · split) and (N, K, h · split).
        split: bins a pixel.

    Returns:
        places (N, K, 2) and scores (N, K), the lower peak of the two. A keypoint without a peak above 0 scores 0.
    """
    columns, scores = [], []
    for bins in (np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)):
        peak = bins.argmax(axis=-1)
        columns.append((peak + _between(bins, peak)) / split)
        scores.append(np.take_along_axis(bins, peak[..., None], axis=-1)[..., 0])
    return np.stack(columns, axis=-1).astype(np.float32) + 0.5, np.maximum(np.minimum(*scores), 0.0)


def _between(bins: Array, peak: NDArray[np.intp]) -> NDArray[np.float64]:
    """How far from its highest bin the peak lies, -0.5 … 0.5: least squares of a parabola."""
    offsets = np.arange(-_FIT, _FIT + 1)
    index = peak[..., None] + offsets
    inside = (index >= 0) & (index < bins.shape[-1])
    values = np.take_along_axis(bins, index.clip(0, bins.shape[-1] - 1), axis=-1).astype(np.float64)
    design = np.linalg.pinv(np.vander(offsets, 3).astype(np.float64))  # a t² + b t + c
    curve, slope, _ = np.moveaxis(values @ design.T, -1, 0)
    good = inside.all(axis=-1) & (curve < 0)
    return np.where(good, np.clip(-slope / np.where(good, 2 * curve, 1.0), -0.5, 0.5), 0.0)


REFINEMENTS = ("none", "quarter", "dark")


def heatmaps(maps: ArrayLike, size: tuple[int, int], refine: str = "dark", align: str = "udp") -> tuple[Array, Array]:
    """Keypoints of networks that answer one heatmap for each (ViTPose, HRNet).

    Args:
        maps: (N, K, H, W).
        size: width, height of the network's picture.
        refine: what lies between the map's pixels: ``none``; ``quarter``: a quarter of one towards the higher
            neighbour; ``dark``: the peak of the Gaussian whose logarithm's derivatives are found there.
        align: how maps lie on the picture: ``udp``: middle of the first pixel on the first one's, and last on last;
            ``stride``: every pixel of the map stands for picture pixels in whole numbers, counted from the first.

    Returns:
        places (N, K, 2) and scores (N, K), the highest value, 0 … 1.
    """
    maps = np.asarray(maps, dtype=np.float32)
    height, width = maps.shape[-2:]
    peak = maps.reshape(*maps.shape[:2], -1).argmax(axis=-1)
    scores = np.take_along_axis(maps.reshape(*maps.shape[:2], -1), peak[..., None], axis=-1)[..., 0]
    row, column = np.divmod(peak, width)
    places = np.stack([column, row], axis=-1).astype(np.float64)
    if refine == "quarter":
        places += _quarter(maps, row, column)
    elif refine == "dark":
        places += _dark(maps, row, column)
    elif refine != "none":
        raise ValueError(f"refine must be one of {REFINEMENTS}, got {refine!r}")
    grid, picture = np.array([width, height]), np.array(size)
    scale = (picture - 1) / (grid - 1) if align == "udp" else picture / grid
    return (places * scale + 0.5).astype(np.float32), np.clip(scores, 0.0, 1.0)


def _around(maps: Array, row: NDArray[np.intp], column: NDArray[np.intp], reach: int) -> NDArray[np.float64]:
    """(N, K, 2 · reach + 1, 2 · reach + 1) of every map about its peak, 0 outside."""
    padded = np.pad(maps, [(0, 0), (0, 0), (reach, reach), (reach, reach)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1), axis=(2, 3))
    picture, keypoint = np.ogrid[: maps.shape[0], : maps.shape[1]]
    return windows[picture, keypoint, row, column].astype(np.float64)


def _quarter(maps: Array, row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float64]:
    near = _around(maps, row, column, 1)
    height, width = maps.shape[-2:]
    shift = 0.25 * np.sign(np.stack([near[..., 1, 2] - near[..., 1, 0], near[..., 2, 1] - near[..., 0, 1]], axis=-1))
    inner = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
    return np.where(inner[..., None], shift, 0.0)


_BLUR = 5  # pixels on each side that the smoothing reaches: kernel 11, as the networks' authors have it
_BLUR_SIGMA = 2.0


def _dark(maps: Array, row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float64]:
    """Newton's step from the highest pixel to the peak of the smoothed map's logarithm, at most a pixel and a half."""
    kernel = np.exp(-(np.arange(-_BLUR, _BLUR + 1) ** 2) / (2 * _BLUR_SIGMA**2))
    near = _around(maps, row, column, _BLUR + 1)
    for axis in (-2, -1):
        near = correlate1d(near, kernel / kernel.sum(), axis=axis, mode="constant")
    inner = near[..., _BLUR : _BLUR + 3, _BLUR : _BLUR + 3]
    # A smoothed peak is lower; where it stands does not change.
    top = np.maximum(inner.max(axis=(-2, -1), keepdims=True), 1e-12)
    log = np.log(np.clip(inner / top, 1e-6, None))
    slope_x, slope_y = (log[..., 1, 2] - log[..., 1, 0]) / 2, (log[..., 2, 1] - log[..., 0, 1]) / 2
    xx = log[..., 1, 2] - 2 * log[..., 1, 1] + log[..., 1, 0]
    yy = log[..., 2, 1] - 2 * log[..., 1, 1] + log[..., 0, 1]
    xy = (log[..., 2, 2] - log[..., 2, 0] - log[..., 0, 2] + log[..., 0, 0]) / 4
    determinant = xx * yy - xy**2
    height, width = maps.shape[-2:]
    inside = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
    good = inside & (xx < 0) & (determinant > 1e-9)
    below = np.where(good, determinant, 1.0)
    step = np.stack([xy * slope_y - yy * slope_x, xy * slope_x - xx * slope_y], axis=-1) / below[..., None]
    return np.where(good[..., None], np.clip(step, -1.5, 1.5), 0.0)


def yolox_boxes(
    output: ArrayLike, size: tuple[int, int], strides: tuple[int, ...] = (8, 16, 32)
) -> tuple[Array, Array]:
    """Boxes of a YOLOX that was exported without its last step.

    Args:
        output: (N, cells, 5 + classes): centre and logarithm of the size in cells, objectness, class scores.
        size: width, height of the network's picture.
        strides: pixels a cell, level after level.

    Returns:
        boxes (N, cells, 4) left, top, right, bottom and scores (N, cells) of the first class, a person.
    """
    output = np.asarray(output, dtype=np.float32)
    corners, steps = [], []
    for stride in strides:
        rows, columns = np.mgrid[: size[1] // stride, : size[0] // stride]
        corners.append(np.stack([columns.ravel(), rows.ravel()], axis=-1))
        steps.append(np.full((rows.size, 1), stride))
    step = np.concatenate(steps).astype(np.float32)
    centre = (output[..., :2] + np.concatenate(corners)) * step
    half = np.exp(output[..., 2:4]) * step / 2
    return np.concatenate([centre - half, centre + half], axis=-1), output[..., 4] * output[..., 5]


def listed_boxes(boxes: ArrayLike, labels: ArrayLike | None = None, person: int = 0) -> tuple[Array, Array]:
    """Boxes of a detector that lists what it found.

    Args:
        boxes: (N, found, 5) left, top, right, bottom, score.
        labels: (N, found) classes; None: there are only people.
        person: the class of people.

    Returns:
        boxes (N, found, 4) and scores (N, found), 0 for what is no person.
    """
    boxes = np.asarray(boxes, dtype=np.float32)
    scores = boxes[..., 4]
    if labels is not None:
        scores = np.where(np.asarray(labels) == person, scores, 0.0)
    return boxes[..., :4], scores


def keep_boxes(boxes: Array, scores: Array, least: float, overlap: float, most: int | None = None) -> NDArray[np.intp]:
    """Which of one picture's boxes are people, the best first (greedy non-maximum suppression).

    Args:
        boxes: (M, 4).
        scores: (M,).
        least: boxes below this score are nobody.
        overlap: of two boxes that share more than this of their union, the better one stays.
        most: how many are kept; None: all.
    """
    order = np.flatnonzero(scores >= max(least, 1e-9))
    order = order[np.argsort(-scores[order], kind="stable")]
    order = order[(boxes[order, 2] > boxes[order, 0]) & (boxes[order, 3] > boxes[order, 1])]
    kept: list[int] = []
    while len(order) and (most is None or len(kept) < most):
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[shared(boxes[best], boxes[order]) <= overlap]
    return np.array(kept, dtype=np.intp)


def shared(box: ArrayLike, others: ArrayLike) -> NDArray[np.floating]:
    """(M,) how much of their union a box (4,) and each of the others (M, 4) share."""
    box, others = np.asarray(box), np.asarray(others)
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.maximum(high - low, 0.0).prod(axis=-1)
    areas = np.maximum(others[:, 2:] - others[:, :2], 0.0).prod(axis=-1) + np.maximum(box[2:] - box[:2], 0.0).prod()
    return common / np.maximum(areas - common, 1e-9)
