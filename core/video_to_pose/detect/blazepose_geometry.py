# SPDX-License-Identifier: GPL-3.0-or-later
"""BlazePose's geometry: from the detector's numbers to people, to turned square crops, and back to the picture.

Pure numpy. A region is a turned square: (centre x, centre y, side, angle), pixels and radians; the angle turns the
crop's axes clockwise as seen in the picture (y is down). Points in a crop are 0 … 1 along its sides.
The constants are those of the published graph (MediaPipe Pose) and its networks.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DETECTOR_PIXELS = 224
LANDMARKS_PIXELS = 256
LANDMARK_COUNT = 39
"""33 keypoints, two that say where the next frame's region lies, and four that MediaPipe does not use."""
NEXT_REGION = (33, 34)
"""The landmarks at the middle of the hips, and at the far end of the circle around the body."""

_STRIDES = (8, 16, 32, 32, 32)
_ANCHORS_PER_LAYER = 2  # a square one and one between two scales; sizes are fixed, so they fall together
_REGION_SCALE = 1.25
_LOGIT_LIMIT = 100.0
_PARTS = 32  # of a pixel, in which places to sample at are told apart
_BLOCK_ROWS = 64  # of a crop, made at once
_KERNEL = 7  # pixels of the heatmap looked at around a landmark
_REFINE_ABOVE = 0.5  # where the heatmap is nowhere surer than this, the landmark stays


@functools.cache
def anchors() -> NDArray[np.float32]:
    """(2254, 2) middles x, y of the detector's anchors, 0 … 1: grid after grid, row after row."""
    grids = []
    for stride in dict.fromkeys(_STRIDES):
        count = -(-DETECTOR_PIXELS // stride)
        middles = (np.arange(count) + 0.5) / count
        y, x = np.meshgrid(middles, middles, indexing="ij")
        grid = np.stack([x, y], axis=-1).reshape(-1, 2)
        grids.append(np.repeat(grid, _ANCHORS_PER_LAYER * _STRIDES.count(stride), axis=0))
    return np.concatenate(grids).astype(np.float32)


def sigmoid(values: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -_LOGIT_LIMIT, _LOGIT_LIMIT).astype(np.float64)))


def decode_boxes(numbers: Array, logits: Array, min_score: float) -> tuple[Array, Array, Array]:
    """What the detector's numbers mean, for the anchors that say "person".

    Args:
        numbers: (2254, 12) x, y, width, height and four points, in pixels of the input, from the anchor.
        logits: (2254,) of the score.
        min_score: less sure anchors are left out.

    Returns:
        boxes (M, 4) left, top, right, bottom; points (M, 4, 2); scores (M,). All in the detector's crop.
    """
    scores = sigmoid(logits)
    sure = np.flatnonzero(scores >= min_score)
    scaled, origin = numbers[sure] / DETECTOR_PIXELS, anchors()[sure]
    middle, half = scaled[:, :2] + origin, scaled[:, 2:4] / 2
    points = scaled[:, 4:].reshape(-1, 4, 2) + origin[:, None]
    return np.concatenate([middle - half, middle + half], axis=1), points, scores[sure]


def overlap(boxes: Array, others: Array) -> Array:
    """(N, M) area shared by two boxes over the area of both together; boxes are left, top, right, bottom."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.clip(each[:, 2:] - each[:, :2], 0, None).prod(axis=-1) for each in (boxes, others)]
    together = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, together, out=np.zeros_like(shared), where=together > 0)


def merge_boxes(boxes: Array, points: Array, scores: Array, min_overlap: float = 0.5) -> tuple[Array, Array, Array]:
    """One box a person: the surest, averaged with those that overlap it, weighted by their scores.

    Returns:
        boxes, points and scores as given, surest first; each score is its surest box's.
    """
    left = np.argsort(-scores, kind="stable")
    merged: list[tuple[Array, Array, Array]] = []
    while len(left):
        alike = overlap(boxes[left[:1]], boxes[left])[0] > min_overlap
        alike[0] = True  # a box without an area is still like itself
        group = left[alike]
        weights = scores[group] / scores[group].sum()
        merged.append((weights @ boxes[group], np.tensordot(weights, points[group], 1), scores[group[0]]))
        left = left[~alike]
    if not merged:
        return boxes[:0], points[:0], scores[:0]
    return tuple(np.stack(column) for column in zip(*merged, strict=True))  # type: ignore[return-value]


def whole_picture(width: int, height: int) -> Array:
    """(4,) the upright square region that the picture just fits in."""
    return np.array([width / 2, height / 2, max(width, height), 0.0])


def body_region(middle: Array, end: Array) -> Array:
    """(…, 4) region of people, from the middle of their hips and a point as far above it as the body reaches.

    Args:
        middle, end: (…, 2) pixels. The crop is turned so that `end` comes to lie straight above `middle`.
    """
    along = end - middle
    side = 2 * np.linalg.norm(along, axis=-1) * _REGION_SCALE
    angle = np.pi / 2 - np.arctan2(-along[..., 1], along[..., 0])
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return np.concatenate([middle, side[..., None], angle[..., None]], axis=-1)


def region_boxes(regions: Array) -> Array:
    """(N, 4) left, top, right, bottom of regions as if they were not turned, which is how they are compared."""
    half = regions[:, 2:3] / 2
    return np.concatenate([regions[:, :2] - half, regions[:, :2] + half], axis=1)


def turn(points: Array, angles: Array) -> Array:
    """(N, K, 2 or 3) points with x, y turned clockwise (y is down) by (N,) radians."""
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    turned = points.copy()
    turned[..., 0] = cos * points[..., 0] - sin * points[..., 1]
    turned[..., 1] = sin * points[..., 0] + cos * points[..., 1]
    return turned


def to_picture(points: Array, regions: Array) -> Array:
    """(N, K, 2) points of N crops in pixels of the picture."""
    return turn(points - 0.5, regions[:, 3]) * regions[:, None, 2:3] + regions[:, None, :2]


def to_crop(points: Array, regions: Array) -> Array:
    """(N, K, 2) pixels of the picture as points of N crops: the inverse of `to_picture`."""
    return turn((points - regions[:, None, :2]) / regions[:, None, 2:3], -regions[:, 3]) + 0.5


def cut(
    picture: NDArray[np.uint8], region: Array, crop: NDArray[np.float32], black_outside: bool = False
) -> NDArray[np.float32]:
    """Fill `crop` with a region of the picture: whole numbers 0 … 255, sampled bilinearly.

    The networks' answers hang on how the crop is made, so it is made as MediaPipe makes it: the crop's pixel ``i``
    of ``n`` shows the picture's pixel at ``i / n`` of the region's side, found to 1/32 pixel, and is rounded.

    Args:
        picture: (H, W, 3), C-contiguous, at least 2 x 2.
        region: (4,).
        crop: (3, n, n), C-contiguous, which is written and returned.
        black_outside: black beyond the picture; otherwise its outermost pixels go on.
    """
    pixels = crop.shape[-1]
    step = min(pixels, _BLOCK_ROWS)
    # Memory touched for the first time costs more than the arithmetic: a few rows at a time, in the same place.
    room = np.empty((2, 6, step * pixels), np.float32)
    for first in range(0, pixels, step):
        rows = slice(first, min(first + step, pixels))
        _cut_rows(picture, region, crop, rows, black_outside, room)
    return crop


def _cut_rows(
    picture: NDArray[np.uint8], region: Array, crop: NDArray[np.float32], rows: slice, black_outside: bool, room: Array
) -> None:
    height, width = picture.shape[:2]
    x, y = _samples(region, crop.shape[-1], rows)
    shown = None
    if black_outside:
        shown = np.clip(1 + np.minimum(x, width - 1 - x), 0, 1) * np.clip(1 + np.minimum(y, height - 1 - y), 0, 1)
    # Just short of the last pixel, so that each sample has one to its right and one below.
    np.clip(x, 0, np.nextafter(np.float32(width - 1), np.float32(0)), out=x)
    np.clip(y, 0, np.nextafter(np.float32(height - 1), np.float32(0)), out=y)
    left, top = x.astype(np.int32), y.astype(np.int32)
    x -= left
    y -= top
    place = top * width + left
    # Two neighbouring pixels are six bytes in a row, fetched at once.
    pairs: Array = np.ndarray((height * width - 1,), "V6", picture, 0, (3,))
    upper, lower = room[:, :, : x.size]
    upper[...] = pairs[place].view(np.uint8).reshape(-1, 6).T
    lower[...] = pairs[place + width].view(np.uint8).reshape(-1, 6).T
    lower -= upper
    lower *= y.reshape(-1)
    upper += lower
    before, after = upper[:3], upper[3:]
    after -= before
    after *= x.reshape(-1)
    before += after
    if shown is not None:
        before *= shown.reshape(-1)
    before += np.float32(0.5)
    np.floor(before.reshape(3, *x.shape), out=crop[:, rows])


def _samples(region: Array, pixels: int, rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y in the picture of the pixels in some of a crop's rows, both (rows, pixels)."""
    x, y, side, angle = (float(value) for value in region)
    steps = np.arange(pixels) * (side / pixels) - side / 2
    along, across = np.cos(angle) * steps, np.sin(angle) * steps
    places = (x + along)[None, :] - across[rows, None], (y + across)[None, :] + along[rows, None]
    xs, ys = ((np.rint(each * _PARTS) / _PARTS).astype(np.float32) for each in places)
    return xs, ys


def refine(points: Array, heatmaps: Array) -> Array:
    """Landmarks moved to the middle of mass of their heatmap around them, where it is sure of itself.

    Args:
        points: (L, 2) in the crop.
        heatmaps: (L, H, W) logits over the crop.
    """
    count, height, width = heatmaps.shape
    column, row = (points * (width, height)).astype(int).T
    reach = np.arange(_KERNEL) - _KERNEL // 2
    rows, columns = row[:, None] + reach, column[:, None] + reach  # (L, 7)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    window = heatmaps[
        np.arange(count)[:, None, None],
        np.clip(rows, 0, height - 1)[:, :, None],
        np.clip(columns, 0, width - 1)[:, None, :],
    ]
    sureness = np.where(inside, sigmoid(window), 0.0)
    total = np.maximum(sureness.sum(axis=(1, 2)), 1e-12)
    found = np.stack(
        [
            (sureness.sum(axis=1) * columns).sum(axis=1) / total / width,
            (sureness.sum(axis=2) * rows).sum(axis=1) / total / height,
        ],
        axis=1,
    )
    in_map = (points >= 0).all(axis=1) & (column < width) & (row < height)
    sure = in_map & (sureness.max(axis=(1, 2)) >= _REFINE_ABOVE)
    return np.where(sure[:, None], found, points)
