# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenPose JSON (``--write_json``): a folder with one file a frame, models BODY_25 and COCO, with or without hands.

AlphaPose's ``--format open`` and ``--format cmu`` are the same people in one file or many, and read here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..skeleton import BODY_25, COCO_18
from .layouts import hand_names
from .people import People, Person, frame_number, gather, person

KIND = "OpenPose JSON"
_MODELS = {len(model): model for model in (BODY_25, COCO_18)}
_HANDS = ("left", "right")


def is_frame(content: Any) -> bool:
    """Whether this is one frame's file."""
    return isinstance(content, dict) and isinstance(content.get("people", content.get("bodies")), list)


def is_clip(content: Any) -> bool:
    """Whether this is AlphaPose's single file: picture name -> frame."""
    return isinstance(content, dict) and bool(content) and all(is_frame(frame) for frame in content.values())


def read(source: Path, contents: Mapping[str, Any]) -> People:
    """People of frames: file or picture name -> what one frame's file holds.

    Raises:
        InputError: a list of another length than the models have.
    """
    found: dict[int, list[Person]] = {}
    for order, (name, content) in enumerate(contents.items()):
        number = frame_number(name)
        number = order if number is None else number
        if number in found:
            raise InputError(
                f"{source.name} ({KIND}) has two files of frame {number}, such as {name}.",
                "Give a folder with the files of one clip.",
                "keypoints-twice",
            )
        if not is_frame(content):
            raise InputError(
                f"{name} in {source.name} has no list of people.", "Leave other files out.", "keypoints-invalid"
            )
        people = [_person(name, values) for values in content.get("people", content.get("bodies"))]
        found[number] = [one for one in people if one is not None]
    return gather(source, KIND, found)


def _person(file: str, values: Any) -> Person | None:
    if not isinstance(values, dict):
        raise InputError(f"A person in {file} is no list of keypoints.", "Write the file again.", "keypoints-invalid")
    body = values.get("pose_keypoints_2d", values.get("pose_keypoints", values.get("joints", [])))
    if not body:  # hands alone
        return None
    points = triples(file, body)
    if len(points) not in _MODELS:
        raise InputError(
            f"{file} has {len(points)} keypoints a person, and OpenPose's models known here have "
            f"{' or '.join(str(count) for count in sorted(_MODELS))}.",
            "Run OpenPose with --model_pose BODY_25 or COCO.",
            "keypoints-count",
        )
    names, parts = list(_MODELS[len(points)]), [points]
    for side in _HANDS:
        hand = triples(file, values.get(f"hand_{side}_keypoints_2d") or [0.0] * 63)
        if len(hand) != 21:
            raise InputError(
                f"{file} has {len(hand)} keypoints of a hand, and OpenPose writes 21.",
                "Write the file again.",
                "keypoints-count",
            )
        names += hand_names(side)
        parts.append(hand)
    points = np.concatenate(parts)
    return person(names, points[:, :2], points[:, 2])


def triples(file: str, values: Any) -> np.ndarray:
    """(N, 3) x, y and score out of a flat list of numbers.

    Raises:
        InputError: something else, or a number that is left over.
    """
    try:
        flat = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        flat = np.zeros((0, 0))
    if flat.ndim != 1 or len(flat) % 3:
        raise InputError(
            f"Keypoints in {file} are no flat list of x, y and score"
            + (f" (it has {len(flat)} numbers)." if flat.ndim == 1 else "."),
            "Write the file again.",
            "keypoints-count",
        )
    return flat.reshape(-1, 3)
