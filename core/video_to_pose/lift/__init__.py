# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoints of one person to bone directions and lengths, by a network in an ONNX file.

A lifter is no code: its file says in its metadata which keypoints it reads, which skeleton it answers in, its
receptive field, frame rate, normalisation and how it was trained. `LIFTERS` lists the ones that ship.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..settings import LiftSettings
from .onnx_lifter import Lifter, load_file

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class LifterEntry:
    """A lifter that ships with the package.

    Attributes:
        id: what ``--lifter`` takes.
        label: for people.
        file: ONNX file in `WEIGHTS`.
        licence: of the weights.
    """

    id: str
    label: str
    file: str
    licence: str

    @property
    def path(self) -> Path:
        return WEIGHTS / self.file


LIFTERS = {
    entry.id: entry
    for entry in (
        LifterEntry(
            "anatomy3d",
            "Anatomy3D, first cut: 27 frames, body with feet and hands",
            "anatomy3d.onnx",
            "GPL-3.0-or-later",
        ),
    )
}


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


__all__ = ["LIFTERS", "WEIGHTS", "Lifter", "LifterEntry", "load"]
