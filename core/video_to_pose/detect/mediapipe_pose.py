# SPDX-License-Identifier: GPL-3.0-or-later
"""MediaPipe Pose Landmarker (Tasks API, video mode): 33 keypoints a person, on the CPU."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .. import weights
from ..errors import InputError, SetupError
from ..settings import DetectSettings
from ..skeleton import MEDIAPIPE_33
from ..video import Frame
from . import Detection


class MediaPipePose:
    """The detector of `DETECTORS["mediapipe"]`.

    It follows up to `settings.max_people` people from frame to frame and looks for new ones only while there are
    fewer. Pictures are given whole: MediaPipe scales them itself, faster than it could be done before.

    Raises:
        InputError: `settings.model_path` does not exist.
        SetupError: mediapipe is not installed, or no model can be had or opened.
    """

    names = MEDIAPIPE_33

    def __init__(self, settings: DetectSettings) -> None:
        try:
            import mediapipe as mp  # type: ignore[import-untyped]
            from mediapipe.tasks.python import BaseOptions, vision  # type: ignore[import-untyped]
        except ImportError as error:
            raise SetupError(
                f"The package mediapipe cannot be loaded ({error}).",
                "Run: pip install 'mediapipe>=1.2'",
                "no-mediapipe",
            ) from error
        path = _model(settings)
        options = vision.PoseLandmarkerOptions(
            # Read here, because MediaPipe cannot open every path (non-ASCII names on Windows).
            base_options=BaseOptions(model_asset_buffer=path.read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
            num_poses=settings.max_people,
            min_pose_detection_confidence=settings.min_score,
            min_pose_presence_confidence=settings.min_score,
            min_tracking_confidence=settings.min_score,
        )
        self._image = mp.Image
        self._format = mp.ImageFormat.SRGB
        self._last_ms = -1
        self._started = False
        try:
            with _quiet():
                self._landmarker = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise SetupError(
                f"MediaPipe cannot open the model {path.name}: {str(error).splitlines()[0]}",
                f"Remove {path} and fetch it again: video-to-pose weights fetch mediapipe-pose-{settings.variant}",
                "model-damaged",
            ) from error

    def __call__(self, frame: Frame) -> list[Detection]:
        """People in this frame; frames must come in order of time."""
        height, width = frame.rgb.shape[:2]
        # Rows with padding make MediaPipe find nobody, silently.
        image = self._image(image_format=self._format, data=np.ascontiguousarray(frame.rgb))
        self._last_ms = max(self._last_ms + 1, round(frame.time_s * 1000))
        # The first picture with somebody in it makes MediaPipe's last start-up remarks.
        with contextlib.nullcontext() if self._started else _quiet():
            found = self._landmarker.detect_for_video(image, self._last_ms)
        self._started = self._started or bool(found.pose_landmarks)
        return [
            _detection(landmarks, world, (width, height))
            for landmarks, world in zip(found.pose_landmarks, found.pose_world_landmarks, strict=True)
        ]

    def close(self) -> None:
        self._landmarker.close()

    def __enter__(self) -> MediaPipePose:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _model(settings: DetectSettings) -> Path:
    if settings.model_path is None:
        name = f"mediapipe-pose-{settings.variant}"
        return weights.find(name) or weights.fetch(name)
    path = Path(settings.model_path)
    if not path.is_file():
        raise InputError(f"There is no model file {path}.", "Check the path of the model.", "model-missing")
    return path


def _detection(landmarks: list[Any], world: list[Any], size: tuple[int, int]) -> Detection:
    """A keypoint's score is the lower of "it is in the picture" (presence) and "nothing hides it" (visibility)."""
    points = np.array([(mark.x, mark.y, mark.visibility, mark.presence) for mark in landmarks], dtype=np.float32)
    return Detection(
        names=MEDIAPIPE_33,
        positions=points[:, :2] * np.array(size, dtype=np.float32),
        scores=np.clip(points[:, 2:].min(axis=1), 0.0, 1.0),
        world_landmarks=np.array([(mark.x, mark.y, mark.z) for mark in world], dtype=np.float32),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence native start-up remarks on stderr, which no logging option of MediaPipe reaches."""
    try:
        kept = os.dup(2)
    except OSError:  # no stderr at all (a windowed program)
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
