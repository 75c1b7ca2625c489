# SPDX-License-Identifier: GPL-3.0-or-later
"""The cameras of the benchmarks: pinholes with a distorting lens, known or found from exact pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..files import written_whole
from ..rotation import axis_angle_to_matrix, matrix_to_quat, quat_to_matrix

Array = NDArray[np.floating]

EXACT_PX = 0.5
"""Projections further than this (root mean square) from the keypoints are no exact pairs."""

_ENOUGH = 800
"""Pairs that fifteen numbers are solved from; more only take longer."""


@dataclass(frozen=True, eq=False)
class LensCamera:
    """A still camera. A point (X, Y, Z) of camera space has x = (X, Y) / Z, r² = |x|², and is seen at
    ``focal · (x (1 + k·(r², r⁴, r⁶) + t·x) + t r²) + centre``.

    Attributes:
        focal_px: (2,) focal length in pixels, x and y.
        centre_px: (2,) principal point.
        image_size: width, height in pixels.
        R_world_camera: (3, 3) maps camera axes (x right, y down, z forward) to world axes.
        position: (3,) in the world, metres.
        radial: (3,) k.
        tangential: (2,) t.
    """

    focal_px: Array
    centre_px: Array
    image_size: tuple[int, int]
    R_world_camera: Array
    position: Array
    radial: Array
    tangential: Array

    def to_camera(self, points_world: ArrayLike) -> Array:
        """(..., 3) world points to camera space, metres."""
        return (np.asarray(points_world, dtype=np.float64) - self.position) @ self.R_world_camera

    def project(self, points_camera: ArrayLike) -> Array:
        """(..., 3) camera-space points in front of the camera to (..., 2) pixels."""
        points = np.asarray(points_camera, dtype=np.float64)
        x = points[..., :2] / points[..., 2:]
        r2 = (x**2).sum(axis=-1, keepdims=True)
        stretch = 1 + r2 * (self.radial[0] + r2 * (self.radial[1] + r2 * self.radial[2]))
        bent = x * (stretch + (x * self.tangential).sum(axis=-1, keepdims=True)) + self.tangential * r2
        return bent * self.focal_px + self.centre_px


def calibrate(points_world: ArrayLike, pixels: ArrayLike, image_size: tuple[int, int]) -> LensCamera:
    """The camera that sees given points at given pixels: direct linear transform, then least squares on everything.

    Args:
        points_world: (N, 3) metres, in front of the camera, spread in depth.
        pixels: (N, 2) where they are seen, exactly (projected, not detected).
        image_size: width, height.

    Raises:
        InputError: fewer than 20 pairs in the picture, or no camera explains them to `EXACT_PX` (code
            ``benchmark-cameras``).
    """
    world, seen = np.asarray(points_world, dtype=np.float64), np.asarray(pixels, dtype=np.float64)
    inside = ((seen >= 0) & (seen <= image_size)).all(axis=1)  # outside the picture a lens formula means nothing
    world, seen = world[inside], seen[inside]
    if len(world) < 20:
        raise InputError(
            f"{len(world)} points in the picture are too few to find a camera.",
            "Give the cameras as a file.",
            "benchmark-cameras",
        )
    if len(world) > _ENOUGH:
        chosen = np.random.default_rng(0).choice(len(world), _ENOUGH, replace=False)
        world, seen = world[chosen], seen[chosen]
    half = image_size[0] / 2
    middle = np.array(image_size) / 2
    target = (seen - middle) / half  # pixels of order one condition both steps

    try:
        start = _linear_camera(world, target)
        values = _refine(start, world, target)
    except (np.linalg.LinAlgError, FloatingPointError) as error:
        raise _no_camera(float("nan")) from error
    camera = _from_values(values, half, middle, image_size)
    rms = float(np.sqrt(np.mean(np.sum((camera.project(camera.to_camera(world)) - seen) ** 2, axis=-1))))
    if not rms <= EXACT_PX:
        raise _no_camera(rms)
    return camera


def _no_camera(rms: float) -> InputError:
    return InputError(
        f"No camera sees the 3D joints where the 2D keypoints are (the best is {rms:.1f} pixels off).",
        "Detected keypoints cannot tell the camera: give cameras= a data_2d_…_gt.npz or a cameras.json (docs/data.md).",
        "benchmark-cameras",
    )


def _linear_camera(world: Array, target: Array) -> Array:
    """Fifteen values (see `_from_values`) without distortion."""
    centre, size = world.mean(axis=0), world.std()
    points = np.concatenate([(world - centre) / size, np.ones((len(world), 1))], axis=1)
    zeros = np.zeros_like(points)
    rows = np.concatenate(
        [
            np.concatenate([points, zeros, -target[:, :1] * points], axis=1),
            np.concatenate([zeros, points, -target[:, 1:] * points], axis=1),
        ]
    )
    P = np.linalg.svd(rows, full_matrices=False)[2][-1].reshape(3, 4)
    if np.mean(points @ P[2] > 0) < 0.5:  # the sign is free: the points are in front
        P = -P
    # P = K [R | -R c]: split the square part into upper triangular and rotation
    flip = np.eye(3)[::-1]
    q, r = np.linalg.qr((flip @ P[:, :3]).T)
    K, R = flip @ r.T @ flip, flip @ q.T
    signs = np.diag(np.where(np.diag(K) < 0, -1.0, 1.0))
    K, R = K @ signs, signs @ R
    position = -np.linalg.solve(P[:, :3], P[:, 3]) * size + centre
    K = K / K[2, 2]
    if np.linalg.det(R) < 0:  # seen in a mirror: no camera does that, so the pairs are not of one camera
        raise np.linalg.LinAlgError
    quat = matrix_to_quat(R.T)
    angle = 2 * np.arccos(np.clip(quat[0], -1, 1))
    axis = quat[1:] / max(float(np.linalg.norm(quat[1:])), 1e-12)
    return np.concatenate([K[[0, 1], [0, 1]], K[:2, 2], np.zeros(5), angle * axis, position])


def _refine(values: Array, world: Array, target: Array) -> Array:
    """Levenberg-Marquardt on the reprojection error."""

    def residual(v: Array) -> Array:
        camera = _from_values(v, 1.0, np.zeros(2), (2, 2))
        points = camera.to_camera(world)
        points[:, 2] = np.where(np.abs(points[:, 2]) < 1e-6, 1e-6, points[:, 2])
        return (camera.project(points) - target).ravel()

    damping, error = 1e-3, residual(values)
    for _ in range(60):
        steps = 1e-6 * np.maximum(np.abs(values), 1e-1)
        moved = [residual(values + step * unit) for step, unit in zip(steps, np.eye(len(values)), strict=True)]
        jacobian = (np.stack(moved, axis=1) - error[:, None]) / steps
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ error
        while damping < 1e8:
            trial = values - np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), gradient)
            trial_error = residual(trial)
            if trial_error @ trial_error < error @ error:
                break
            damping *= 4
        else:
            break
        gain = 1 - (trial_error @ trial_error) / (error @ error)
        values, error, damping = trial, trial_error, damping / 8
        if gain < 1e-9:
            break
    return values


def _from_values(values: Array, half: float, middle: Array, image_size: tuple[int, int]) -> LensCamera:
    """Focal (2), centre (2), radial (3), tangential (2), rotation vector (3), position (3)."""
    angle = float(np.linalg.norm(values[9:12]))
    axis = values[9:12] / angle if angle > 1e-12 else np.array([1.0, 0.0, 0.0])
    return LensCamera(
        focal_px=values[:2] * half,
        centre_px=values[2:4] * half + middle,
        image_size=image_size,
        R_world_camera=axis_angle_to_matrix(axis, angle),
        position=values[12:15],
        radial=values[4:7],
        tangential=values[7:9],
    )


_JSON_KEYS = (
    *("orientation", "translation", "focal_length", "center"),
    *("radial_distortion", "tangential_distortion", "res_w", "res_h"),
)


def write_cameras(cameras: Mapping[str, Sequence[LensCamera]], path: str | Path) -> None:
    """Keep each subject's cameras as JSON that `read_cameras` reads."""
    document = {
        subject: [
            {
                "orientation": matrix_to_quat(camera.R_world_camera).tolist(),
                "translation": np.asarray(camera.position).tolist(),
                "focal_length": np.asarray(camera.focal_px).tolist(),
                "center": np.asarray(camera.centre_px).tolist(),
                "radial_distortion": np.asarray(camera.radial).tolist(),
                "tangential_distortion": np.asarray(camera.tangential).tolist(),
                "res_w": camera.image_size[0],
                "res_h": camera.image_size[1],
            }
            for camera in several
        ]
        for subject, several in cameras.items()
    }
    with written_whole(path) as partial:
        partial.write_text(json.dumps(document, indent=1), encoding="utf-8")


def read_cameras(path: str | Path) -> dict[str, list[LensCamera]]:
    """Cameras of each subject from JSON: subject -> list of cameras, with the field's names for their parameters.

    A camera has ``orientation`` (w x y z, camera to world), ``translation`` (its place in the world; metres, or
    millimetres when a number is over 100), ``focal_length``, ``center`` (pixels), ``radial_distortion`` (3),
    ``tangential_distortion`` (2; see `LensCamera`), ``res_w``, ``res_h``.

    Raises:
        InputError: the file is missing or a camera lacks something.
    """
    try:
        document: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        return {subject: [_camera(entry) for entry in several] for subject, several in document.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} holds no cameras: {error}.",
            f"Each camera needs {', '.join(_JSON_KEYS)}; docs/data.md shows one.",
            "benchmark-cameras",
        ) from error


def _camera(entry: Mapping[str, Any]) -> LensCamera:
    missing = [key for key in _JSON_KEYS if key not in entry]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")

    def numbers(key: str, count: int) -> Array:
        value = np.asarray(entry[key], dtype=np.float64)
        if value.shape != (count,) or not np.isfinite(value).all():
            raise ValueError(f"{key} needs {count} numbers")
        return value

    position = numbers("translation", 3)
    return LensCamera(
        focal_px=numbers("focal_length", 2),
        centre_px=numbers("center", 2),
        image_size=(int(entry["res_w"]), int(entry["res_h"])),
        R_world_camera=quat_to_matrix(numbers("orientation", 4) / np.linalg.norm(numbers("orientation", 4))),
        position=position / 1000 if np.abs(position).max() > 100 else position,
        radial=numbers("radial_distortion", 3),
        tangential=numbers("tangential_distortion", 2),
    )
