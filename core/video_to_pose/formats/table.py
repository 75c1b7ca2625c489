# SPDX-License-Identifier: GPL-3.0-or-later
"""Comma-separated tables with a line of names: 2D keypoints, 3D markers (FreeMoCap's and others'), Takes.

One row a frame, columns ``left_knee_x``, ``left_knee_y`` and so on; FreeMoCap's long form, one row a frame and
point, is read too. What a table holds is told by its columns: with ``_z`` points in space, unless a score stands
beside them (MediaPipe's own landmarks, whose z is no place); without ``_z`` keypoints in a picture.
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import written_whole
from ..types import KeypointTrack, Take
from .markers import Markers, of_take, spelled
from .people import People, Person, gather, person

KIND = "CSV"
_COLUMN = re.compile(r"^(?P<name>.+)[_. ](?P<axis>x|y|z|score|visibility|likelihood|confidence)$", re.IGNORECASE)
_SCORES = ("score", "visibility", "likelihood", "confidence")
_TIMES = ("time_s", "time", "timestamp", "timestamp_s", "seconds", "timestamp_ms", "time_ms")
_FRAMES = ("frame", "frame_number", "frame_id", "frame_index", "#frame")
_TALL = {"frame", "keypoint", "x", "y", "z"}
_TRUNK_M = 5.0, 100.0  # a trunk longer than these is measured in centimetres, in millimetres

Columns = dict[str, list[str]]


def read(path: Path, text: str) -> People | Markers:
    """Keypoints or markers of a table's text, as its columns say.

    Raises:
        InputError: no such table, a row that is cut off, or something that is no number.
    """
    columns = _columns(path, text)
    if set(columns) >= _TALL:
        return _tall(path, columns)
    points: dict[str, dict[str, str]] = defaultdict(dict)
    for column in columns:
        if match := _COLUMN.match(column):
            points[match["name"]][match["axis"].lower()] = column
    points = {name: axes for name, axes in points.items() if {"x", "y"} <= set(axes)}
    if not points:
        raise InputError(
            f"{path.name} has no columns of keypoints.",
            "Name them left_knee_x, left_knee_y, left_knee_score (or left_knee_z in 3D), and so on.",
            "csv-invalid",
        )
    scored = any({"score", "visibility", "likelihood"} & set(axes) for axes in points.values())
    if not scored and all("z" in axes for axes in points.values()):
        xyz = [[_numbers(path, columns, axes[axis]) for axis in "xyz"] for axes in points.values()]
        return _markers(path, list(points), np.array(xyz).transpose(2, 0, 1), _times(columns))
    return _people(path, columns, points)


def _columns(path: Path, text: str) -> Columns:
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if len(rows) < 2:
        raise InputError(f"{path.name} has no rows below its names.", "Write the file again.", "csv-invalid")
    names = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise InputError(
                f"Line {number} of {path.name} has {len(row)} values for {len(names)} columns.",
                "Write the file again; it may be cut off.",
                "csv-invalid",
            )
    lower = [name if _COLUMN.match(name) else name.lower() for name in names]
    return {name: list(values) for name, values in zip(lower, zip(*rows[1:], strict=True), strict=True) if name}


def _numbers(path: Path, columns: Columns, name: str) -> np.ndarray:
    try:
        return np.array([float(value) if value.strip() else np.nan for value in columns[name]])
    except ValueError as error:
        raise InputError(
            f"The column {name} of {path.name} has something that is no number.", "Write the file again.", "csv-invalid"
        ) from error


def _times(columns: Columns, rows: list[int] | None = None) -> np.ndarray | None:
    """Seconds of the rows; None without a column of increasing numbers. Steps of 1 and more are milliseconds."""
    name = next((name for name in _TIMES if name in columns), None)
    if name is None:
        return None
    try:
        times = np.array([float(columns[name][row]) for row in (rows or range(len(columns[name])))])
    except ValueError:
        return None
    if len(times) < 2 or not np.all(np.diff(times) > 0):
        return None
    times = times - times[0] if times[0] > 1e6 else times  # since 1970
    return times / 1000 if name.endswith("_ms") or np.median(np.diff(times)) >= 1 else times


def _people(path: Path, columns: Columns, points: dict[str, dict[str, str]]) -> People:
    places = np.stack([[_numbers(path, columns, axes[axis]) for axis in "xy"] for axes in points.values()])
    scores = np.ones((len(points), places.shape[-1]))
    for k, axes in enumerate(points.values()):
        if column := next((axes[axis] for axis in _SCORES if axis in axes), None):
            scores[k] = _numbers(path, columns, column)
    counted = next((name for name in _FRAMES if name in columns), None)
    rows = places.shape[-1]
    numbers = [int(n) for n in np.nan_to_num(_numbers(path, columns, counted))] if counted else list(range(rows))
    found: dict[int, list[Person]] = defaultdict(list)
    first: dict[int, int] = {}
    for row, number in enumerate(numbers):
        one = person(list(points), places[..., row], scores[:, row])
        found[number] += [one] if one else []
        first.setdefault(number, row)
    order = sorted(first)
    times = _times(columns, [first[number] for number in order])
    size = None
    if "image_width" in columns and "image_height" in columns:
        size = tuple(int(_numbers(path, columns, name)[0]) for name in ("image_width", "image_height"))
    return gather(
        path,
        KIND,
        found,
        times=None if times is None else dict(zip(order, times.tolist(), strict=True)),
        image_size=size,  # type: ignore[arg-type]
    )


def _tall(path: Path, columns: Columns) -> Markers:
    """FreeMoCap's by-frame table: the body's points of every frame."""
    models = columns.get("model", [""] * len(columns["frame"]))
    rows = [i for i, model in enumerate(models) if "body" in model.lower()] or list(range(len(models)))
    frames = _numbers(path, columns, "frame")
    xyz = np.stack([_numbers(path, columns, axis) for axis in "xyz"], axis=1)
    numbers = sorted({int(frames[row]) for row in rows})
    names = list(dict.fromkeys(columns["keypoint"][row] for row in rows))
    positions = np.full((len(numbers), len(names), 3), np.nan)
    place = {number: i for i, number in enumerate(numbers)}
    first: dict[int, int] = {}
    for row in rows:
        positions[place[int(frames[row])], names.index(columns["keypoint"][row])] = xyz[row]
        first.setdefault(int(frames[row]), row)
    return _markers(path, names, positions, _times(columns, [first[number] for number in numbers]))


def _markers(path: Path, names: list[str], positions: np.ndarray, times: np.ndarray | None) -> Markers:
    markers = Markers(path, KIND, spelled(names), positions, times)
    trunk = markers.mean(["left_shoulder", "right_shoulder"]) - markers.mean(["left_hip", "right_hip"])
    seen = np.isfinite(trunk).all(axis=-1)
    length = float(np.median(np.linalg.norm(trunk[seen], axis=-1))) if seen.any() else 0.5
    unit = 1.0 if length < _TRUNK_M[0] else 0.01 if length < _TRUNK_M[1] else 0.001
    return Markers(path, KIND, markers.names, positions * unit, times)


def write_keypoints(track: KeypointTrack, path: str | Path) -> None:
    """Write keypoints as a table, whole or not at all: pixels, empty cells where nothing was found.

    Raises:
        InputError: the target cannot be written.
    """
    names = ["frame", "time_s", "image_width", "image_height"]
    names += [f"{name}_{axis}" for name in track.names for axis in ("x", "y", "score")]
    seen = np.isfinite(track.positions[..., 0])
    rows = []
    for f, time in enumerate(track.timestamps):
        row = [str(f), f"{time:.9g}", *(str(value) for value in track.image_size)]
        for k in range(len(track.names)):
            x, y = track.positions[f, k]
            row += [f"{x:.3f}", f"{y:.3f}"] if seen[f, k] else ["", ""]
            row.append(f"{track.scores[f, k]:.6g}")
        rows.append(row)
    _write(path, names, rows)


def write_take(take: Take, path: str | Path) -> None:
    """Write a Take's joints as a table, whole or not at all: metres, z up, with confidence and contacts.

    Raises:
        InputError: the target cannot be written.
    """
    motion = take.motion
    joints, world = of_take(take)
    names = ["frame", "time_s", *(f"{joint}_{axis}" for joint in joints for axis in "xyz")]
    names += [f"{joint}_confidence" for joint in joints] + [f"{name}_contact" for name in motion.contact_names]
    rows = [
        [
            str(f),
            f"{time:.9g}",
            *(f"{value:.6f}" for value in world[f].ravel()),
            *(f"{value:.4g}" for value in motion.confidence[f]),
            *(str(int(value)) for value in motion.contacts[f]),
        ]
        for f, time in enumerate(motion.timestamps)
    ]
    _write(path, names, rows)


def _write(path: str | Path, names: list[str], rows: list[list[str]]) -> None:
    with written_whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
