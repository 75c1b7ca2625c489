# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoints of one person to bone directions and lengths, by a network in an ONNX file.

A lifter is no code: its file says in its metadata which keypoints it reads, which skeleton it answers in, its
receptive field, frame rate, normalisation and how it was trained. `lifters.LIFTERS` lists the ones that ship.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from numpy.typing import ArrayLike

from ..errors import InputError
from ..lifters import LIFTERS, WEIGHTS, LifterEntry
from ..settings import LiftSettings
from ..skeleton import Skeleton
from ..types import KeypointTrack, LiftedPose
from . import onnx_lifter, onnx_net
from .net_lifter import NetLifter


class Lifter(Protocol):
    """What turns a track into directions and lengths."""

    @property
    def path(self) -> Path:
        """The ONNX file."""

    @property
    def skeleton(self) -> Skeleton:
        """What it answers in."""

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names it reads, in order."""

    @property
    def receptive_field(self) -> int:
        """Frames around a frame that it looks at."""

    @property
    def frame_rate(self) -> float:
        """Frames per second it was trained for."""

    @property
    def causal(self) -> bool:
        """Whether it looks at nothing that comes after a frame."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Everything the file says of itself."""

    def __call__(self, track: KeypointTrack, focal_px: float, centre_px: ArrayLike) -> LiftedPose:
        """Directions of every frame, one set of lengths, and the clip's up vector, in camera axes."""


def load(settings: LiftSettings) -> Lifter:
    """The lifter that the settings name: an ONNX file of the user's, or a shipped one.

    Raises:
        InputError: unknown id, or a file that is not a lifter.
        SetupError: the wanted device is missing.
    """
    if settings.model_path is not None:
        return load_file(settings.model_path, device=settings.device, flip=settings.flip)
    if settings.lifter not in LIFTERS:
        raise InputError(
            f"There is no lifter named {settings.lifter!r}.", f"Choose one of: {', '.join(LIFTERS)}.", "lifter-unknown"
        )
    return load_file(LIFTERS[settings.lifter].path, device=settings.device, flip=settings.flip)


def load_file(path: Path, *, device: str = "auto", flip: bool = True) -> Lifter:
    """Open an ONNX file of either kind: a `onnx_lifter.Lifter`, or a network of the papers.

    Raises:
        InputError: the file is missing or is no lifter this version can run.
        SetupError: the device asked for is not available to ONNX Runtime.
    """
    session = onnx_lifter.open_session(path, device)
    if session.get_modelmeta().custom_metadata_map.get("normalization") == onnx_net.NORMALIZATION:
        return NetLifter(onnx_net.from_session(path, session), flip)
    return onnx_lifter.from_session(path, session, flip)


__all__ = ["LIFTERS", "WEIGHTS", "Lifter", "LifterEntry", "load", "load_file"]
