# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever of people's movement other programs wrote, told apart by what is in it and never by its name."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..types import KeypointTrack
from . import coco, keypoints, mmpose, openpose, table, trc
from .markers import Markers
from .people import People

KINDS = (
    "keypoints of video-to-pose (.npz, .csv), a folder of OpenPose JSON, COCO, AlphaPose or MMPose JSON, "
    "FreeMoCap's or another table (.csv), or TRC"
)


def read(path: str | Path) -> KeypointTrack | People | Markers:
    """Keypoints of one person, of several people, or points in space, as the file or folder holds them.

    Raises:
        InputError: it is missing, cut off, or none of `KINDS`.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist.", "Check the path.", "keypoints-missing")
    if zipfile.is_zipfile(path) or path.suffix.lower() == ".npz":
        return keypoints.load(path)
    text = _text(path)
    if not text.strip():
        raise InputError(f"{path.name} is empty.", "Write the file again.", "keypoints-empty")
    if text.lstrip()[0] in "[{":
        content = _parsed(path, text)
        return _understood(path, lambda: _read_json(path, content))
    if text.startswith(trc.FIRST_WORD):
        return trc.read(path, text)
    if "," in text.lstrip().splitlines()[0]:
        return table.read(path, text)
    raise _unknown(path)


def _understood(path: Path, read: Callable[[], People]) -> People:
    """What `read` gives; what it stumbles over in a file of the right kind is told as damage."""
    try:
        return read()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path.name} is damaged: {type(error).__name__} {error}.", "Write the file again.", "keypoints-invalid"
        ) from error


def _read_json(path: Path, content: Any) -> People:
    if openpose.is_frame(content):
        raise InputError(
            f"{path.name} is a single frame of OpenPose.", "Give the folder that it lies in.", "keypoints-one-frame"
        )
    if openpose.is_clip(content):
        return openpose.read(path, content)
    if coco.is_annotations(content):
        return coco.read_annotations(path, content)
    if coco.is_results(content):
        return coco.read_results(path, content)
    if mmpose.is_clip(content):
        return mmpose.read(path, content)
    if mmpose.is_picture(content) and content:
        raise InputError(
            f"{path.name} is a single picture of MMPose.", "Give the folder that it lies in.", "keypoints-one-frame"
        )
    raise _unknown(path)


def _read_folder(folder: Path) -> People:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".json" and path.is_file())
    if not files:
        raise InputError(
            f"There is no JSON file in {folder}.",
            "Give a folder with one file a frame, as OpenPose writes.",
            "folder-empty",
        )
    contents = {path.name: _parsed(path, _text(path)) for path in files}
    return _understood(folder, lambda: _read_frames(folder, contents))


def _read_frames(folder: Path, contents: dict[str, Any]) -> People:
    name, first = next(iter(contents.items()))
    if openpose.is_frame(first):
        return openpose.read(folder, contents)
    if len(contents) == 1:
        return _read_json(folder / name, first)
    if mmpose.is_picture(first):
        return mmpose.read_pictures(folder, contents)
    raise InputError(
        f"The JSON files in {folder} are not one frame each of OpenPose or MMPose ({name} is not).",
        "Give one file, or a folder with nothing but the frames' files.",
        "keypoints-unknown",
    )


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unknown(path) from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", "Check its rights.", "keypoints-unreadable"
        ) from error


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(
            f"{path.name} is cut off or no JSON{where}.", "Write the file again.", "keypoints-cut-off"
        ) from error


def _unknown(path: Path) -> InputError:
    return InputError(f"{path.name} holds no keypoints that are known here.", f"Give {KINDS}.", "keypoints-unknown")
