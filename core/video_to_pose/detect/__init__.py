# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoint detectors: what they give (`Detection`), which there are (`DETECTORS`), and how one is opened (`load`).

One file a detector; each imports its package inside the function that needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..settings import DetectSettings
from ..skeleton import MEDIAPIPE_33

if TYPE_CHECKING:
    from ..video import Frame


@dataclass(frozen=True, eq=False)
class Detection:
    """One person in one frame.

    Attributes:
        names: K keypoint names.
        positions: (K, 2) pixels; may lie outside the picture.
        scores: (K,) 0 … 1.
        world_landmarks: (K, 3) the detector's own 3D guess in metres, camera axes, about the hips; kept for
            comparison, None where a detector has none.
        appearance: (A,) what the person looks like, NaN where that is not seen (see `appearance`); None before
            anybody looked.
    """

    names: tuple[str, ...]
    positions: NDArray[np.float32]
    scores: NDArray[np.float32]
    world_landmarks: NDArray[np.float32] | None = None
    appearance: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if self.positions.shape != (count, 2) or self.scores.shape != (count,):
            raise ValueError(f"{count} names, positions {self.positions.shape}, scores {self.scores.shape}")


class Detector(Protocol):
    """An opened detector. Frames are given in order of time; close it, or use it in a ``with`` block."""

    @property
    def names(self) -> tuple[str, ...]:
        """Keypoint names of every detection."""
        ...

    def __call__(self, frame: Frame) -> list[Detection]:
        """People in this frame, in no particular order."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Detector: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class DetectorEntry:
    """A line of the catalogue.

    Attributes:
        id: what `DetectSettings.detector` names.
        label: for people.
        needs: package that must be installed.
        variants: models to choose from (`DetectSettings.variant`), fastest first.
        weights: variant -> name in `weights.WEIGHTS`.
        licence: of package and models.
        keypoints: names of what it finds.
        load: opens it.
    """

    id: str
    label: str
    needs: str
    variants: tuple[str, ...]
    weights: dict[str, str]
    licence: str
    keypoints: tuple[str, ...]
    load: Callable[[DetectSettings], Detector]


def _load_mediapipe(settings: DetectSettings) -> Detector:
    from .mediapipe_pose import MediaPipePose

    return MediaPipePose(settings)


DETECTORS: dict[str, DetectorEntry] = {
    "mediapipe": DetectorEntry(
        id="mediapipe",
        label="MediaPipe Pose Landmarker",
        needs="mediapipe",
        variants=("lite", "full", "heavy"),
        weights={variant: f"mediapipe-pose-{variant}" for variant in ("lite", "full", "heavy")},
        licence="Apache-2.0",
        keypoints=MEDIAPIPE_33,
        load=_load_mediapipe,
    ),
}


def load(settings: DetectSettings) -> Detector:
    """Open the detector the settings name, fetching its model when it is not there yet.

    Raises:
        InputError: no such detector or variant, or the given model file is missing.
        SetupError: its package or model cannot be had.
    """
    entry = DETECTORS.get(settings.detector)
    if entry is None:
        raise InputError(
            f"There is no detector called {settings.detector!r}.",
            f"Choose one of: {', '.join(DETECTORS)}.",
            "detector-unknown",
        )
    if settings.variant not in entry.variants:
        raise InputError(
            f"{entry.label} has no model {settings.variant!r}.",
            f"Choose one of: {', '.join(entry.variants)}.",
            "variant-unknown",
        )
    return entry.load(settings)
