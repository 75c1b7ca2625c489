# SPDX-License-Identifier: GPL-3.0-or-later
"""BlazePose run by ONNX Runtime: MediaPipe's networks without MediaPipe, on any Python, people in one batch.

The same two networks and the same steps as MediaPipe's Pose Landmarker: a detector finds people in the whole picture,
the landmarks network reads each one in a turned square crop, and the next frame's crop follows from the landmarks.
What differs: nobody is looked for on every frame while somebody is followed, and the silhouette is not calculated.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import weights
from ..errors import InputError, SetupError
from ..settings import DetectSettings
from ..skeleton import MEDIAPIPE_33
from ..video import Frame
from . import Detection, blazepose_geometry

Array = NDArray[Any]

_DETECTOR_MEMBER = "pose_detector.tflite"
_LANDMARKS_MEMBER = "pose_landmarks_detector.tflite"
_LANDMARKS_OUTPUTS = (0, 1, 3, 4)  # landmarks, presence, heatmaps, metres; not 2, the silhouette
_LOOK_EVERY = 5  # frames between looks for more people while somebody is followed
_SAME_REGION = 0.5  # overlap from which a person found is one that is followed
_SAME_PERSON = 0.05  # mean distance of keypoints, in sides of the region, below which two are one person
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}


class BlazePose:
    """The detector of `DETECTORS["blazepose"]`.

    It follows up to `settings.max_people` people from frame to frame, and looks for more while there are fewer: on
    every frame while there is nobody, on every fifth otherwise.

    Args:
        settings: `variant`, `model_path`, `min_score` and `max_people` as for MediaPipe, whose bundles it reads.
        threads: of the processor; 0: as many as it has cores.

    Raises:
        InputError: `settings.model_path` does not exist, or the device has no such name.
        SetupError: a package, the model or the device is not to be had.
    """

    names = MEDIAPIPE_33

    def __init__(self, settings: DetectSettings, threads: int = 0) -> None:
        self._min_score = settings.min_score
        self._max_people = settings.max_people
        device: str = getattr(settings, "device", "auto")
        detector, landmarks = _networks(settings)
        self._detector = _session(detector, device, threads)
        self._landmarks = _session(landmarks, device, threads)
        whole, part = blazepose_geometry.DETECTOR_PIXELS, blazepose_geometry.LANDMARKS_PIXELS
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
        whole = blazepose_geometry.whole_picture(width, height)
        blazepose_geometry.cut(picture, whole, self._whole[0], black_outside=True)
        self._whole /= np.float32(127.5)
        self._whole -= np.float32(1)
        numbers, logits = self._detector.run(None, {"picture": self._whole})
        decoded = blazepose_geometry.decode_boxes(numbers[0], logits[0, :, 0], self._min_score)
        _, points, _ = blazepose_geometry.merge_boxes(*decoded)
        in_picture = blazepose_geometry.to_picture(points, np.repeat(whole[None], len(points), axis=0))
        return blazepose_geometry.body_region(in_picture[:, 0], in_picture[:, 1])

    def _with_new(self, followed: Array, found: Array) -> Array:
        """The regions followed, and those found where nobody is followed, up to as many as there may be."""
        boxes = blazepose_geometry.region_boxes
        seen = blazepose_geometry.overlap(boxes(found), boxes(followed)) > _SAME_REGION
        new = found[~seen.any(axis=1)]
        return np.concatenate([followed, new])[: self._max_people]

    def _read(self, picture: NDArray[np.uint8], regions: Array) -> tuple[list[Detection], Array]:
        """The people in these regions that are really there, and the regions to look for them next."""
        if not len(regions):
            return [], regions
        crops = self._crops[: len(regions)]
        for region, crop in zip(regions, crops, strict=True):
            blazepose_geometry.cut(picture, region, crop)
        crops /= np.float32(255)
        landmarks, presence, heatmaps, metres = self._landmarks.run(None, {"picture": crops})
        count = blazepose_geometry.LANDMARK_COUNT
        landmarks, metres = landmarks.reshape(-1, count, 5), metres.reshape(-1, count, 3)
        in_crop = [
            blazepose_geometry.refine(each[:, :2] / crops.shape[-1], heat)
            for each, heat in zip(landmarks, heatmaps, strict=True)
        ]
        positions = blazepose_geometry.to_picture(np.stack(in_crop), regions)
        world = blazepose_geometry.turn(metres, regions[:, 3])
        # A keypoint's score is the lower of "it is in the picture" and "nothing hides it".
        scores = blazepose_geometry.sigmoid(landmarks[:, :, 3:]).min(axis=-1)
        kept = distinct(positions[:, : len(self.names)], regions[:, 2], presence[:, 0], self._min_score)
        middle, end = (positions[kept, mark] for mark in blazepose_geometry.NEXT_REGION)
        return [self._detection(positions[i], scores[i], world[i]) for i in kept], blazepose_geometry.body_region(
            middle, end
        )

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


def _usable(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows without padding, and at least two pixels each way, which sampling between pixels needs."""
    height, width = picture.shape[:2]
    if min(height, width) < 2:
        picture = np.pad(picture, ((0, int(height < 2)), (0, int(width < 2)), (0, 0)), mode="edge")
    return np.ascontiguousarray(picture)


def _networks(settings: DetectSettings) -> tuple[bytes, bytes]:
    """Detector and landmarks network as ONNX."""
    path = _model(settings)
    try:
        from .blazepose_onnx import UnknownNetwork, to_onnx

        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as bundle:
            detector, landmarks = bundle.read(_DETECTOR_MEMBER), bundle.read(_LANDMARKS_MEMBER)
        return to_onnx(detector), to_onnx(landmarks, _LANDMARKS_OUTPUTS)
    except ImportError as error:
        raise SetupError(
            f"BlazePose needs a package that cannot be loaded ({error}).",
            "Run: pip install 'video-to-pose[blazepose]'",
            "no-onnx",
        ) from error
    except (zipfile.BadZipFile, KeyError, UnknownNetwork) as error:
        raise SetupError(
            f"{path.name} is no MediaPipe pose bundle that can be read: {error}.",
            f"Remove {path} and fetch it again: video-to-pose weights fetch mediapipe-pose-{settings.variant}",
            "model-damaged",
        ) from error


def _model(settings: DetectSettings) -> Path:
    if settings.model_path is None:
        name = f"mediapipe-pose-{settings.variant}"
        return weights.find(name) or weights.fetch(name)
    path = Path(settings.model_path)
    if not path.is_file():
        raise InputError(f"There is no model file {path}.", "Check the path of the model.", "model-missing")
    return path


def _session(model: bytes, device: str, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SetupError(
            f"The package onnxruntime cannot be loaded ({error}).", "Run: pip install onnxruntime", "no-onnxruntime"
        ) from error
    if device != "auto" and device not in _PROVIDERS:
        raise InputError(
            f"There is no device called {device!r}.", f"Choose one of: auto, {', '.join(_PROVIDERS)}.", "device-unknown"
        )
    there = onnxruntime.get_available_providers()
    wanted = [_PROVIDERS[device]] if device != "auto" else [_PROVIDERS["cuda"], _PROVIDERS["cpu"]]
    usable = [provider for provider in wanted if provider in there]
    if not usable:
        raise SetupError(
            f"ONNX Runtime has no {device} here (it has {', '.join(there)}).",
            "Install the onnxruntime package made for it (onnxruntime-gpu, onnxruntime-directml), or choose cpu.",
            "device-missing",
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=usable)
