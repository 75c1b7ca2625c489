# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoint detectors: what they give (`Detection`), which there are (`DETECTORS`), and how one is opened (`load`).

One file a detector; each imports its package inside the function that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import weights
from ..errors import InputError
from ..settings import DetectSettings
from ..skeleton import COCO_17, COCO_WHOLEBODY_133, HALPE_26, MEDIAPIPE_33, common_names

if TYPE_CHECKING:
    from ..video import Frame
    from .card import Card


@dataclass(frozen=True, eq=False, slots=True)  # slots: an hour holds hundreds of thousands
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
        weights: variant -> name in `weights.catalogue`; what is not there is the user's to give.
        licence: of package and models.
        keypoints: names of what it finds.
        load: opens it.
        cards: variant -> its model card, of those that ship.
    """

    id: str
    label: str
    needs: str
    variants: tuple[str, ...]
    weights: dict[str, str]
    licence: str
    keypoints: tuple[str, ...]
    load: Callable[[DetectSettings], Detector]
    cards: dict[str, str] = field(default_factory=dict)


def _load_mediapipe(settings: DetectSettings) -> Detector:
    from .mediapipe_pose import MediaPipePose

    return MediaPipePose(settings)


def _load_blazepose(settings: DetectSettings) -> Detector:
    from .blazepose import BlazePose

    return BlazePose(settings)


def _load_onnx(settings: DetectSettings) -> Detector:
    from .onnx_pose import OnnxPose

    card = _card(settings)
    assert card is not None
    return OnnxPose(card, settings)


def _of_cards(id: str, label: str, keypoints: tuple[str, ...], cards: dict[str, str]) -> DetectorEntry:
    return DetectorEntry(
        id=id,
        label=label,
        needs="onnxruntime",
        variants=tuple(cards),
        weights=cards,
        licence="Apache-2.0",
        keypoints=common_names(keypoints),
        load=_load_onnx,
        cards=cards,
    )


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
    "blazepose": DetectorEntry(
        id="blazepose",
        label="BlazePose, MediaPipe's networks without MediaPipe",
        needs="onnx",
        variants=("lite", "full", "heavy"),
        weights={variant: f"mediapipe-pose-{variant}" for variant in ("lite", "full", "heavy")},
        licence="Apache-2.0",
        keypoints=MEDIAPIPE_33,
        load=_load_blazepose,
    ),
    **{
        entry.id: entry
        for entry in (
            _of_cards("rtmpose", "RTMPose, body with feet", HALPE_26, {"full": "rtmpose-m-halpe26"}),
            _of_cards(
                "rtmpose-coco",
                "RTMPose, body",
                COCO_17,
                {"lite": "rtmpose-s-coco", "full": "rtmpose-m-coco", "heavy": "rtmpose-x-coco"},
            ),
            _of_cards("rtmw", "RTMW, whole body with hands and face", COCO_WHOLEBODY_133, {"full": "rtmw-l-wholebody"}),
            _of_cards("vitpose", "ViTPose, body", COCO_17, {"full": "vitpose-b-coco"}),
            _of_cards("rtmo", "RTMO, body, one stage", COCO_17, {"lite": "rtmo-s-coco", "full": "rtmo-m-coco"}),
        )
    },
}


def entry_of(settings: DetectSettings) -> DetectorEntry:
    """The line of the catalogue that the settings name.

    Raises:
        InputError: no such detector or variant.
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
    return entry


def _card(settings: DetectSettings) -> Card | None:
    """The model card: the user's own, or the one of the catalogue; None for detectors that are code."""
    from .card import read_card

    if settings.card is not None:
        return read_card(settings.card)
    entry = entry_of(settings)
    return read_card(entry.cards[settings.variant]) if entry.cards else None


def load(settings: DetectSettings) -> Detector:
    """Open the detector the settings name, fetching its models when they are not there yet.

    Raises:
        InputError: no such detector, variant or device, or a given model file or card is missing or wrong.
        SetupError: its package, model or device cannot be had.
    """
    return _load_onnx(settings) if settings.card is not None else entry_of(settings).load(settings)


def model_files(settings: DetectSettings) -> list[Path]:
    """The model files that these settings use, as far as they are here; the one that gives keypoints comes last."""
    card = _card(settings)
    if card is not None:
        files = [network.file for network in card.networks()]
        files[-1] = settings.model_path or files[-1]
    else:
        found = settings.model_path or weights.find(entry_of(settings).weights[settings.variant])
        files = [found] if found else []
    return [path for path in files if path.is_file()]


def fetch_models(settings: DetectSettings, report: weights.Report | None = None) -> None:
    """Fetch what the settings use and is not here yet.

    Args:
        settings: a detector or card, and where the user's own model is.
        report: told in sentences what is done.

    Raises:
        InputError: there is no such detector, variant or card, or a model is the user's to give.
        SetupError: a model cannot be fetched.
    """
    card = _card(settings)
    if card is not None:
        for network in card.networks()[: -1 if settings.model_path else None]:
            network.fetched(report)
    elif settings.model_path is None:
        name = entry_of(settings).weights[settings.variant]
        if weights.find(name) is None:
            weights.fetch(name, report)


def stream(detector: Detector, frames: Iterator[Frame]) -> Generator[tuple[Frame, list[Detection]], None, None]:
    """Every frame with the people in it, in order.

    Detectors that have a `stream` of their own take several frames at once and overlap their steps; they take frames
    in another thread. `frames` is closed at the end.
    """
    own: Any = getattr(detector, "stream", None)
    if own is not None:
        yield from own(frames)
        return
    try:
        for frame in frames:
            yield frame, detector(frame)
    finally:
        close = getattr(frames, "close", None)
        if close is not None:
            close()
