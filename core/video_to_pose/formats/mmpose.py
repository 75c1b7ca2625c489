# SPDX-License-Identifier: GPL-3.0-or-later
"""MMPose's predictions: ``{"meta_info", "instance_info"}`` of its demos, the bare list of its inferencer, and the
inferencer's folder with one file a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .layouts import BY_COUNT
from .people import People, Person, frame_number, gather, person

KIND = "MMPose JSON"


def is_clip(content: Any) -> bool:
    """Whether this holds frames with instances."""
    if isinstance(content, dict):
        content = content.get("instance_info")
    return isinstance(content, list) and bool(content) and all(_is_frame(frame) for frame in content)


def is_picture(content: Any) -> bool:
    """Whether this holds the people of one picture."""
    if isinstance(content, dict):
        content = content.get("instance_info")
    return isinstance(content, list) and all(
        isinstance(one, dict) and "keypoints" in one and "image_id" not in one for one in content
    )


def _is_frame(frame: Any) -> bool:
    return isinstance(frame, dict) and "frame_id" in frame and isinstance(frame.get("instances"), list)


def read(source: Path, content: Any) -> People:
    """People of a clip's predictions. Raises InputError: 3D predictions, or a layout that is not known."""
    frames = content["instance_info"] if isinstance(content, dict) else content
    names = _named(content)
    found: dict[int, list[Person]] = {}
    for frame in frames:
        found[int(frame["frame_id"])] = _people(source.name, frame["instances"], names)
    return gather(source, KIND, found)


def read_pictures(source: Path, contents: Mapping[str, Any]) -> People:
    """People of a folder: file name -> what one picture's file holds. Raises InputError as `read` does."""
    found: dict[int, list[Person]] = {}
    for order, (name, content) in enumerate(contents.items()):
        if not is_picture(content):
            raise InputError(
                f"{name} in {source.name} is no prediction of MMPose.", "Leave other files out.", "keypoints-invalid"
            )
        number = frame_number(name)
        people = content["instance_info"] if isinstance(content, dict) else content
        found[order if number is None else number] = _people(name, people, _named(content))
    return gather(source, KIND, found)


def _named(content: Any) -> tuple[str, ...] | None:
    """Names that the file gives its keypoints, in order."""
    about = content.get("meta_info", {}) if isinstance(content, dict) else {}
    table = about.get("keypoint_id2name") if isinstance(about, dict) else None
    if not isinstance(table, dict) or not all(str(key).isdigit() for key in table):
        return None
    return tuple(str(table[key]) for key in sorted(table, key=int))


def _people(file: str, instances: list[Any], names: tuple[str, ...] | None) -> list[Person]:
    people = []
    for one in instances:
        try:
            points = np.array(one["keypoints"], dtype=np.float64)
            scores = np.array(one.get("keypoint_scores", np.ones(len(points))), dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"A person in {file} ({KIND}) has no list of keypoints.", "Write the file again.", "keypoints-invalid"
            ) from error
        if points.ndim == 2 and points.shape[1] == 3:
            raise InputError(
                f"{file} ({KIND}) has keypoints in 3D, relative to the person.",
                "Give the predictions of a 2D model; they are lifted here.",
                "keypoints-3d",
            )
        layout = names or BY_COUNT.get(len(points), ())
        if points.ndim != 2 or points.shape[1] != 2 or scores.shape != (len(points),) or len(layout) != len(points):
            raise InputError(
                f"{file} ({KIND}) has {len(points)} keypoints and {scores.size} scores a person, which is no layout "
                "known here.",
                f"Layouts with these counts are read: {', '.join(str(count) for count in sorted(BY_COUNT))}.",
                "keypoints-count",
            )
        found = person(layout, points, scores)
        people += [found] if found else []
    return people
