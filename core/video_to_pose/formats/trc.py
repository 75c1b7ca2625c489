# SPDX-License-Identifier: GPL-3.0-or-later
"""TRC, the marker files of OpenSim, Cortex and Pose2Sim: text, tabs, y up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import written_whole
from ..types import Take
from .markers import Markers, of_take, spelled

KIND = "TRC"
FIRST_WORD = "PathFileType"
_METRES = {"m": 1.0, "mm": 1e-3, "cm": 1e-2, "meters": 1.0, "millimeters": 1e-3}
_HEADER_LINES = 5


def read(path: Path, text: str) -> Markers:
    """Markers of a TRC file's text, in metres and the file's own axes.

    Raises:
        InputError: the text is cut off or contradicts its own counts, or its unit is unknown.
    """
    lines = text.splitlines()
    if len(lines) <= _HEADER_LINES:
        raise _damaged(path, f"it ends after {len(lines)} lines")
    fields = dict(zip(lines[1].split(), lines[2].split(), strict=False))
    try:
        frames, count = int(float(fields["NumFrames"])), int(float(fields["NumMarkers"]))
        unit = fields.get("Units", "mm").lower()
    except (KeyError, ValueError, OverflowError) as error:
        raise _damaged(path, "its second and third lines do not name NumFrames and NumMarkers") from error
    if unit not in _METRES:
        raise _damaged(path, f"its unit {unit!r} is not known")
    names = [cell.strip() for cell in lines[3].split("\t")[2:] if cell.strip()]
    if len(names) != count:
        raise _damaged(path, f"it says {count} markers and names {len(names)}")
    rows = [line for line in lines[_HEADER_LINES:] if line.strip()]
    if len(rows) != frames:
        raise _damaged(path, f"it says {frames} frames and has {len(rows)}")
    table = np.full((frames, 2 + 3 * count), np.nan)
    for i, row in enumerate(rows):
        cells = row.rstrip("\r\n").split("\t")
        try:
            values = [float(cell) if cell.strip() else np.nan for cell in cells[: table.shape[1]]]
        except ValueError as error:
            raise _damaged(path, f"frame {i + 1} has something that is no number") from error
        if i == frames - 1 and len(values) < table.shape[1] - 3:
            raise _damaged(path, f"its last line has {len(values)} of {table.shape[1]} numbers")
        table[i, : len(values)] = values
    times = table[:, 1]
    if not np.isfinite(times).all() or (frames > 1 and not np.all(np.diff(times) > 0)):
        rate = float(fields.get("DataRate", 0) or 0)
        if rate <= 0:
            raise _damaged(path, "its times do not increase and it has no DataRate")
        times = np.arange(frames) / rate
    positions = table[:, 2:].reshape(frames, count, 3) * _METRES[unit]
    return Markers(path, KIND, spelled(names), positions, times)


def write(take: Take, path: str | Path) -> None:
    """Write a Take's joints, whole or not at all: metres, y up; a person at rest faces +z.

    Raises:
        InputError: the target cannot be written.
    """
    names, world = of_take(take)
    times, rate, count = take.motion.timestamps, take.motion.frame_rate, take.motion.frame_count
    places = np.stack([world[..., 0], world[..., 2], -world[..., 1]], axis=-1)  # z up to y up
    values = f"{rate:.6g}\t{rate:.6g}\t{count}\t{len(names)}\tm\t{rate:.6g}\t1\t{count}"
    lines = [
        f"{FIRST_WORD}\t4\t(X/Y/Z)\t{Path(path).name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        values,
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{i}" for i in range(1, len(names) + 1) for axis in "XYZ"),
        "",
    ]
    for i, (time, frame) in enumerate(zip(times, places, strict=True), start=1):
        lines.append(f"{i}\t{time:.6f}\t" + "\t".join(f"{value:.6f}" for value in frame.ravel()))
    with written_whole(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path.name} is no whole TRC file: {why}.", "Write the file again.", "trc-invalid")
