# SPDX-License-Identifier: GPL-3.0-or-later
"""Captured motion before virtual cameras, as `rendered.compare` takes clips: exact, and as a detector would see it.

Nothing is rendered and no detector runs: landmarks are projected, and the errors of a detector are drawn from the model
that was measured (`data.detector_errors`). That makes far more footage than can be rendered, of every test motion.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import track
from ..data import body as bodies
from ..data.clips import Truth, Watched
from ..data.detector_errors import draw_errors
from ..data.lens import LensCamera
from ..data.mocap import load
from ..data.synthetic import random_proportions
from ..data.virtual import VirtualCameras, place_cameras
from ..errors import InputError
from ..lift.normalize import LIFTER_KEYPOINTS
from ..settings import TrackSettings
from ..skeleton import BODY_32
from ..types import Camera, KeypointTrack

Array = NDArray[np.floating]

CAMERAS = VirtualCameras(count=1, fov_degrees=(35.0, 80.0), pitch_degrees=(-30.0, 10.0), roll_degrees=8.0)
"""Cameras as users hold them, but with all of the person in the picture. Three in ten stand upright."""

_SIZE, _PORTRAIT = (1280, 720), 0.3


def virtual_clips(
    mocap: Path, human: Path, *, views: int = 1, rate: float = 30.0, seed: int = 0, every: int = 1
) -> Iterator[tuple[Truth, Watched, Watched]]:
    """Every clip of a folder of captured motion on a body of its own, seen by its cameras.

    The same files and seed give the same clips.

    Args:
        mocap: folder of BVH files.
        human: folder of the skinned body (see `data.body`).
        views: cameras for each clip.
        rate: frames per second: the clips' own is divided by a whole number to be near it.
        seed: another one gives other bodies, cameras and errors.
        every: every n-th clip only.

    Yields:
        The truth; the exact keypoints, all with score 1; and keypoints with the errors and scores of a detector.

    Raises:
        InputError: there is no BVH file.
    """
    paths = sorted(mocap.glob("*.bvh"))[::every]
    if not paths:
        raise InputError(f"There is no BVH file in {mocap}.", "Give a folder of them.", "mocap-missing")
    body = bodies.load_body(human)
    order = [bodies.LANDMARKS.index(name) for name in LIFTER_KEYPOINTS]
    for path in paths:
        clip = load(path)
        rng = np.random.default_rng([seed, zlib.crc32(clip.name.encode())])
        step = max(1, round(clip.frame_rate / rate))
        frames = np.arange(0, clip.frame_count, step)
        posed = bodies.pose(body, clip, frames, random_proportions(rng))
        joints, landmarks = bodies.joints(body, posed, BODY_32), bodies.landmarks(body, posed)[:, order]
        times = frames / clip.frame_rate
        for number in range(views):
            size = _SIZE[::-1] if rng.random() < _PORTRAIT else _SIZE
            (lens,) = place_cameras(np.concatenate([joints, landmarks], axis=1), replace(CAMERAS, image_size=size), rng)
            truth = _truth(times, joints, landmarks, lens, clip.name)
            name = f"{clip.name}-{number}"
            yield truth, _exact(truth, name), _detected(truth, name, clip.frame_rate / step, rng)


def _truth(times: NDArray[np.float64], joints: Array, landmarks: Array, lens: LensCamera, source: str) -> Truth:
    camera = Camera(
        float(lens.focal_px[0]), lens.centre_px, lens.image_size, lens.R_world_camera, np.asarray(lens.position)
    )
    seen = camera.to_camera(landmarks)
    return Truth(
        timestamps=times,
        joint_names=BODY_32.joints,
        joints=camera.to_camera(joints),
        landmark_names=LIFTER_KEYPOINTS,
        landmarks=seen,
        landmarks_2d=camera.project(seen),
        camera=camera,
        source=source,
    )


def _exact(truth: Truth, name: str) -> Watched:
    return _watched(truth, name, truth.landmarks_2d, np.ones(truth.landmarks_2d.shape[:2]))


def _detected(truth: Truth, name: str, rate: float, rng: np.random.Generator) -> Watched:
    centre = np.asarray(truth.camera.centre_px)
    noisy, scores = draw_errors(
        (truth.landmarks_2d - centre)[None], truth.landmarks[None], centre[None], rng, frame_rate=rate
    )
    gone = ~(scores[0] > 0).any(axis=1)
    positions = np.where(gone[:, None, None], np.nan, noisy[0] + centre)
    positions, filled = track.fill_gaps(truth.timestamps, positions, scores[0], TrackSettings().max_gap_s)
    return _watched(truth, name, positions, filled)


def _watched(truth: Truth, name: str, positions: Array, scores: Array) -> Watched:
    person = KeypointTrack(truth.timestamps, LIFTER_KEYPOINTS, positions, scores, truth.camera.image_size)
    return Watched(name, person, np.full((*positions.shape[:2], 3), np.nan))
