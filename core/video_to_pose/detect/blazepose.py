# SPDX-License-Identifier: GPL-3.0-or-later
"""BlazePose run by ONNX Runtime: MediaPipe's networks without MediaPipe, on any Python, people in one batch.

The same two networks and the same steps as MediaPipe's Pose Landmarker: a detector finds people in the whole picture,
the landmarks network reads each one in a turned square crop, and the next frame's crop follows from the landmarks.
What differs: nobody is looked for on every frame while somebody is followed, and the silhouette is not calculated.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import weights
from ..errors import InputError, SetupError
from ..onnx_session import Network
from ..settings import DetectSettings
from ..skeleton import MEDIAPIPE_33
from ..video import Frame
from . import Detection
from . import blazepose_geometry as geometry
from .blazepose_onnx import output_name

Array = NDArray[Any]

_DETECTOR_MEMBER = "pose_detector.tflite"
_LANDMARKS_MEMBER = "pose_landmarks_detector.tflite"
_DETECTOR_OUTPUTS = (0, 1)  # boxes and points, scores
_LANDMARKS_OUTPUTS = (0, 1, 3, 4)  # landmarks, presence, heatmaps, metres; not 2, the silhouette
_LOOK_EVERY = 5  # frames between looks for more people while somebody is followed
_SAME_REGION = 0.5  # overlap from which a person found is one that is followed
_SAME_PERSON = 0.05  # mean distance of keypoints, in sides of the region, below which two are one person


class BlazePose:
    """The detector of `DETECTORS["blazepose"]`.

    It follows up to `settings.max_people` people from frame to frame, and looks for more while there are fewer: on
    every frame while there is nobody, on every fifth otherwise.

    Args:
        settings: `variant`, `model_path`, `min_score` and `max_people` as for MediaPipe, whose bundles it reads;
            `device` says where ONNX Runtime runs it.
        threads: of the processor; 0: as many as it has cores.

    Raises:
        InputError: `settings.model_path` does not exist, or the device has no such name.
        SetupError: a package, the model or the device is not to be had.
    """

    names = MEDIAPIPE_33

    def __init__(self, settings: DetectSettings, threads: int = 0) -> None:
        self._min_score = settings.min_score
        self._max_people = settings.max_people
        self._detector, self._landmarks = _open(settings, threads)
        whole, part = geometry.DETECTOR_PIXELS, geometry.LANDMARKS_PIXELS
        self._whole = np.empty((1, 3, whole, whole), np.float32)
        self._crops = np.empty((self._max_people, 3, part, part), np.float32)
        self._followed = np.zeros((0, 4))
        self._since_look = 0

    def __call__(self, frame: Frame) -> list[Detection]:
        """People in this frame; frames must come in order of time."""
        picture = _usable(frame.rgb)
        regions = self._followed
        self._since_look += 1
        if len(regions) < self._max_people and (not len(regions) or self._since_look >= _LOOK_EVERY):
            regions = self._with_new(regions, self._find(picture))
            self._since_look = 0
        people, self._followed = self._read(picture, regions)
        return people

    def still(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """People in a picture, (H, W, 3), that has nothing to do with the frames before or after it."""
        picture = _usable(picture)
        return self._read(picture, self._find(picture)[: self._max_people])[0]

    def close(self) -> None:
        """Nothing is held that the garbage collector does not free."""

    def __enter__(self) -> BlazePose:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _find(self, picture: NDArray[np.uint8]) -> Array:
        """(N, 4) regions of the people in the picture, surest first."""
        height, width = picture.shape[:2]
        whole = geometry.whole_picture(width, height)
        geometry.cut(picture, whole, self._whole[0], black_outside=True)
        self._whole /= np.float32(127.5)
        self._whole -= np.float32(1)
        numbers, logits = _answers(self._detector, self._whole, _DETECTOR_OUTPUTS)
        decoded = geometry.decode_boxes(numbers[0], logits[0, :, 0], self._min_score)
        _, points, _ = geometry.merge_boxes(*decoded)
        in_picture = geometry.to_picture(points, np.repeat(whole[None], len(points), axis=0))
        return geometry.body_region(in_picture[:, 0], in_picture[:, 1])

    def _with_new(self, followed: Array, found: Array) -> Array:
        """The regions followed, and those found where nobody is followed, up to as many as there may be."""
        boxes = geometry.region_boxes
        seen = geometry.overlap(boxes(found), boxes(followed)) > _SAME_REGION
        new = found[~seen.any(axis=1)]
        return np.concatenate([followed, new])[: self._max_people]

    def _read(self, picture: NDArray[np.uint8], regions: Array) -> tuple[list[Detection], Array]:
        """The people in these regions that are really there, and the regions to look for them next."""
        if not len(regions):
            return [], regions
        crops = self._crops[: len(regions)]
        for region, crop in zip(regions, crops, strict=True):
            geometry.cut(picture, region, crop)
        crops /= np.float32(255)
        landmarks, presence, heatmaps, metres = _answers(self._landmarks, crops, _LANDMARKS_OUTPUTS)
        count = geometry.LANDMARK_COUNT
        landmarks, metres = landmarks.reshape(-1, count, 5), metres.reshape(-1, count, 3)
        in_crop = [
            geometry.refine(each[:, :2] / crops.shape[-1], heat) for each, heat in zip(landmarks, heatmaps, strict=True)
        ]
        positions = geometry.to_picture(np.stack(in_crop), regions)
        world = geometry.turn(metres, regions[:, 3])
        # A keypoint's score is the lower of "it is in the picture" and "nothing hides it".
        scores = geometry.sigmoid(landmarks[:, :, 3:]).min(axis=-1)
        kept = distinct(positions[:, : len(self.names)], regions[:, 2], presence[:, 0], self._min_score)
        middle, end = (positions[kept, mark] for mark in geometry.NEXT_REGION)
        people = [self._detection(positions[i], scores[i], world[i]) for i in kept]
        return people, geometry.body_region(middle, end)

    def _detection(self, positions: Array, scores: Array, world: Array) -> Detection:
        keypoints = slice(len(self.names))
        return Detection(
            names=self.names,
            positions=positions[keypoints].astype(np.float32),
            scores=scores[keypoints].astype(np.float32),
            world_landmarks=world[keypoints].astype(np.float32),
        )


def distinct(positions: Array, sides: Array, presence: Array, min_presence: float) -> list[int]:
    """Which of N people are there, and are not a surer one seen a second time; in the order given.

    Args:
        positions: (N, K, 2) pixels.
        sides: (N,) pixels of their regions.
        presence: (N,) how sure it is that somebody is there.
        min_presence: from which on they are.
    """
    kept: list[int] = []
    for i in np.argsort(-presence, kind="stable"):
        apart = [np.linalg.norm(positions[i] - positions[j], axis=-1).mean() / sides[i] for j in kept]
        if presence[i] >= min_presence and all(each > _SAME_PERSON for each in apart):
            kept.append(int(i))
    return sorted(kept)


def _answers(network: Network, batch: Array, outputs: tuple[int, ...]) -> list[Array]:
    answers = network(batch, [output_name(output) for output in outputs], most=len(batch))
    return [answers[output_name(output)] for output in outputs]


def _usable(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows without padding, and at least two pixels each way, which sampling between pixels needs."""
    height, width = picture.shape[:2]
    if min(height, width) < 2:
        picture = np.pad(picture, ((0, int(height < 2)), (0, int(width < 2)), (0, 0)), mode="edge")
    return np.ascontiguousarray(picture)


def _open(settings: DetectSettings, threads: int) -> tuple[Network, Network]:
    """The detector's and the landmarks network."""
    path = _model(settings)
    try:
        from .blazepose_onnx import UnknownNetwork, to_onnx

        with zipfile.ZipFile(path) as bundle:
            made = (
                to_onnx(bundle.read(_DETECTOR_MEMBER), _DETECTOR_OUTPUTS),
                to_onnx(bundle.read(_LANDMARKS_MEMBER), _LANDMARKS_OUTPUTS),
            )
    except ImportError as error:
        raise SetupError(
            f"BlazePose needs a package that cannot be loaded ({error}).",
            "Run: pip install 'video-to-pose[blazepose]'",
            "no-onnx",
        ) from error
    except (zipfile.BadZipFile, KeyError, UnknownNetwork) as error:
        raise SetupError(
            f"{path.name} is no MediaPipe pose bundle that can be read ({error}).",
            f"Remove {path} and fetch it again: video-to-pose weights fetch mediapipe-pose-{settings.variant}",
            "model-damaged",
        ) from error
    with tempfile.TemporaryDirectory(prefix="video-to-pose-") as folder:
        files = [Path(folder) / f"{path.stem}_{part}.onnx" for part in ("detector", "landmarks")]
        for file, content in zip(files, made, strict=True):
            file.write_bytes(content)
        detector, landmarks = (Network.open(file, settings.device, threads, spin=False) for file in files)
    return detector, landmarks


def _model(settings: DetectSettings) -> Path:
    if settings.model_path is None:
        name = f"mediapipe-pose-{settings.variant}"
        return weights.find(name) or weights.fetch(name)
    path = Path(settings.model_path)
    if not path.is_file():
        raise InputError(f"There is no model file {path}.", "Check the path of the model.", "model-missing")
    return path
