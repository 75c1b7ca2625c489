# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered clips: the exact truth beside a video, and what a detector said of it, watched once and kept.

A clip is a video and an ``.npz`` of the same name, as ``tools/render_clip.py`` writes them.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import detect, seen, track, video
from ..errors import InputError
from ..files import written_whole
from ..settings import CaptureSettings
from ..types import Camera, KeypointTrack

Array = NDArray[np.floating]

_LANDMARK_OF = {"little": "pinky"}  # joints that files of old lack, where the skin's landmark is named otherwise


@dataclass(frozen=True, eq=False)
class Truth:
    """What a clip really shows.

    Attributes:
        timestamps: (F,) seconds.
        joint_names: J names of `skeleton.BODY_32`, in older files of `skeleton.BODY_22`.
        joints: (F, J, 3) camera space, metres.
        landmark_names: L names of `body.LANDMARKS`.
        landmarks: (F, L, 3) points on the skin or in the joints, camera space, metres.
        landmarks_2d: (F, L, 2) the same in the picture, pixels; may lie outside it.
        camera: the still camera, in the world (floor at z = 0).
        source: the captured clip.
    """

    timestamps: NDArray[np.float64]
    joint_names: tuple[str, ...]
    joints: Array
    landmark_names: tuple[str, ...]
    landmarks: Array
    landmarks_2d: Array
    camera: Camera
    source: str

    @property
    def up(self) -> Array:
        """(3,) against gravity, camera axes."""
        return np.asarray(self.camera.R_world_camera[2], dtype=np.float64)

    @property
    def fov_degrees(self) -> float:
        """Field of view along the longer side."""
        return float(np.degrees(2 * np.arctan(max(self.camera.image_size) / 2 / self.camera.focal_px)))

    def has(self, name: str) -> bool:
        """Whether there is a joint of this name, or a landmark at its place."""
        return name in self.joint_names or _landmark(name) in self.landmark_names

    def point(self, name: str) -> Array:
        """(F, 3) a joint, or the landmark at its place where the file has no such joint; camera space, metres."""
        if name in self.joint_names:
            return self.joints[:, self.joint_names.index(name)]
        return self.landmarks[:, self.landmark_names.index(_landmark(name))]

    def points(self, names: Sequence[str]) -> Array:
        """(F, N, 3) several of them."""
        return np.stack([self.point(name) for name in names], axis=1)

    def at(self, times: NDArray[np.float64]) -> Truth:
        """The truth at the frames nearest to these times."""
        nearest = np.abs(self.timestamps[None] - np.asarray(times)[:, None]).argmin(axis=1)
        return replace(
            self,
            timestamps=self.timestamps[nearest],
            joints=self.joints[nearest],
            landmarks=self.landmarks[nearest],
            landmarks_2d=self.landmarks_2d[nearest],
        )


def _landmark(joint: str) -> str:
    side, _, part = joint.rpartition("_")
    return f"{side}_{_LANDMARK_OF.get(part, part)}" if side else joint


def load_truth(path: Path) -> Truth:
    """The truth beside a clip.

    Args:
        path: of the video or of the ``.npz``.

    Raises:
        InputError: the file is no clip's truth.
    """
    path = path.with_suffix(".npz")
    try:
        with np.load(path) as told:
            width, height = (int(value) for value in told["image_size"])
            camera = Camera(
                float(told["focal_px"]),
                told["centre_px"],
                (width, height),
                told["R_world_camera"],
                told["camera_position"],
            )
            return Truth(
                timestamps=np.asarray(told["timestamps"], dtype=np.float64),
                joint_names=tuple(str(name) for name in told["joint_names"]),
                joints=told["joints_camera"].astype(np.float64),
                landmark_names=tuple(str(name) for name in told["landmark_names"]),
                landmarks=told["landmarks_camera"].astype(np.float64),
                landmarks_2d=told["landmarks_2d"].astype(np.float64),
                camera=camera,
                source=str(told["source"]),
            )
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} does not hold a clip's truth: {error}.",
            "Render the clip again with tools/render_clip.py.",
            "truth-unreadable",
        ) from error


@dataclass(frozen=True, eq=False)
class Watched:
    """What a detector said of a clip.

    Attributes:
        name: of the clip.
        track: keypoints of the person.
        world: (F, K, 3) the detector's own 3D of the track's keypoints, metres, camera axes, about the hips; NaN where
            it found nobody, and everywhere for a detector that has none.
    """

    name: str
    track: KeypointTrack
    world: Array


def watch(path: Path, settings: CaptureSettings, cache: Path | None = None) -> Watched:
    """Run the detector over a clip, or take from `cache` what it said before.

    Args:
        path: the video.
        settings: of the video, the detector and the choice of the person; the rest does not matter here.
        cache: folder that keeps one file for each clip and way of watching; None keeps nothing.

    Raises:
        InputError: the video cannot be read, or nobody is in it.
        SetupError: the detector's package or model is missing.
    """
    kept = None if cache is None else cache / f"{path.stem}-{_key(path, settings)}.npz"
    if kept is not None and kept.is_file():
        with suppress(OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):  # damaged: made anew
            return _load(kept, path.stem)
    watched = _watch(path, settings)
    if kept is not None:
        _save(watched, kept)
    return watched


def _watch(path: Path, settings: CaptureSettings) -> Watched:
    info = video.probe(path)
    times: list[float] = []
    detections: list[list[detect.Detection]] = []
    with detect.load(settings.detect) as detector:
        for frame in video.read_frames(path, settings.video):
            times.append(frame.time_s)
            detections.append(detector(frame))
    person = track.make_track(np.asarray(times), detections, (info.width, info.height), settings.track)
    world = np.full((person.frame_count, len(person.names), 3), np.nan)
    for f, time in enumerate(person.timestamps):
        for found in detections[int(np.abs(np.asarray(times) - time).argmin())]:
            same = np.nanmedian(np.abs(found.positions - person.positions[f])) < 0.01 * max(info.width, info.height)
            if same and found.world_landmarks is not None:
                world[f] = found.world_landmarks
    return Watched(path.stem, person, world)


def _key(path: Path, settings: CaptureSettings) -> str:
    told = [seen.key(path, settings.video, settings.detect), asdict(settings.track)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _save(watched: Watched, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {path.parent} cannot be made: {error.strerror or error}.",
            "Check the free space and your rights there.",
            "output-unwritable",
        ) from error
    with written_whole(path) as partial:
        np.savez_compressed(
            partial,
            timestamps=watched.track.timestamps,
            names=np.array(watched.track.names),
            positions=watched.track.positions,
            scores=watched.track.scores,
            image_size=np.array(watched.track.image_size),
            world=watched.world.astype(np.float32),
        )


def _load(path: Path, name: str) -> Watched:
    with np.load(path) as kept:
        width, height = (int(value) for value in kept["image_size"])
        names = tuple(str(each) for each in kept["names"])
        person = KeypointTrack(kept["timestamps"], names, kept["positions"], kept["scores"], (width, height))
        return Watched(name, person, kept["world"].astype(np.float64))
