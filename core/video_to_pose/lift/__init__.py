# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoints of one person to bone directions and lengths, by a network in an ONNX file.

A lifter is no code: its file says in its metadata which keypoints it reads, which skeleton it answers in, its
receptive field, frame rate, normalisation and how it was trained. `LIFTERS` lists the ones that ship.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from numpy.typing import ArrayLike

from ..errors import InputError
from ..settings import LiftSettings
from ..skeleton import Skeleton
from ..types import KeypointTrack, LiftedPose
from . import onnx_lifter, onnx_net
from .net_lifter import NetLifter

WEIGHTS = Path(__file__).parent / "weights"


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
    def metadata(self) -> Mapping[str, str]:
        """Everything the file says of itself."""

    def __call__(self, track: KeypointTrack, focal_px: float, centre_px: ArrayLike) -> LiftedPose:
        """Directions of every frame, one set of lengths, and the clip's up vector, in camera axes."""


@dataclass(frozen=True)
class LifterEntry:
    """A lifter that ships with the package.

    Attributes:
        id: what ``--lifter`` takes.
        label: for people.
        licence: of the weights.
    """

    id: str
    label: str
    licence: str

    @property
    def path(self) -> Path:
        return WEIGHTS / f"{self.id}.onnx"


_OURS = "GPL-3.0-or-later"

LIFTERS = {
    entry.id: entry
    for entry in (
        LifterEntry("default", "directions and lengths after Anatomy3D, learnt from rendered clips too", _OURS),
        LifterEntry("anatomy3d", "Anatomy3D (Chen et al. 2021), a small one", _OURS),
        LifterEntry("rie", "RIE (Shan et al. 2021), a small one", _OURS),
        LifterEntry("srnet", "SRNet (Zeng et al. 2020), a small one", _OURS),
        LifterEntry("seq2seq", "Seq2Seq (Hossain & Little 2018), a small one, from the past alone", _OURS),
        LifterEntry("gla_gcn", "GLA-GCN (Yu et al. 2023), a small one, slow", _OURS),
        LifterEntry("tcn", "VideoPose3D's convolutions (Pavllo et al. 2019), small and quick", _OURS),
        LifterEntry("fc", "frame by frame (Martinez et al. 2017), a small one", _OURS),
    )
}
"""Every one answers in `body22`. How good each is stands in docs/results.md; how it was made in weights/README.md."""


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
