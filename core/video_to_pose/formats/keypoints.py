# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoints of one person as ``.npz``: the same fields as in a Take (see `formats.take`), without the rest."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import written_whole
from ..types import KeypointTrack


def save(track: KeypointTrack, path: str | Path) -> None:
    """Write keypoints whole, or not at all.

    Raises:
        InputError: the target cannot be written.
    """
    with written_whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            timestamps=track.timestamps,
            keypoint_names=np.array(track.names, dtype=np.str_),
            keypoints=track.positions,
            keypoint_scores=track.scores,
            image_size=np.array(track.image_size),
        )


def load(path: str | Path) -> KeypointTrack:
    """Read keypoints, also out of a Take.

    Raises:
        InputError: the file is missing or holds no keypoints.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            width, height = (int(value) for value in file["image_size"])
            return KeypointTrack(
                file["timestamps"],
                tuple(str(name) for name in file["keypoint_names"]),
                file["keypoints"],
                file["keypoint_scores"],
                (width, height),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} holds no keypoints.",
            "Give an .npz that video-to-pose detect or convert wrote.",
            "keypoints-invalid",
        ) from error
