# SPDX-License-Identifier: GPL-3.0-or-later
"""BVH: the reader (any channel order per joint) and forward kinematics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


@dataclass(frozen=True, eq=False)
class BvhClip:
    """A BVH file as it stands, in its own units and axes.

    Attributes:
        names: J joint names, parents before children.
        parents: J parent indices, -1 for the root.
        offsets: (J, 3) from the parent.
        channels: for each joint its channel names in order.
        end_sites: joint index -> (3,) offset of its end site.
        frame_time: seconds.
        values: (F, C) channel values in file order.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: NDArray[np.float64]
    channels: tuple[tuple[str, ...], ...]
    end_sites: dict[int, NDArray[np.float64]]
    frame_time: float
    values: NDArray[np.float64]


def read(path: str | Path) -> BvhClip:
    """Read a BVH file.

    Raises:
        InputError: the file is missing or is not BVH.
    """
    path = Path(path)
    try:
        head, _, tail = path.read_text(encoding="utf-8", errors="replace").partition("MOTION")
        return _parse(head.split(), tail.split())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.", "bvh-missing") from error
    except (ValueError, IndexError, KeyError) as error:
        raise InputError(f"{path} is not a BVH file.", "Choose a .bvh file with HIERARCHY and MOTION.", "bvh-broken") from error


def _parse(head: list[str], tail: list[str]) -> BvhClip:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    end_sites: dict[int, NDArray[np.float64]] = {}
    open_joints: list[int] = []
    in_end_site = False
    if head[0] != "HIERARCHY":
        raise ValueError("no HIERARCHY")
    i = 1
    while i < len(head):
        token = head[i]
        if token in ("ROOT", "JOINT"):
            parents.append(open_joints[-1] if open_joints else -1)
            name_end = head.index("{", i)
            names.append(" ".join(head[i + 1 : name_end]))
            offsets.append([0.0, 0.0, 0.0])
            channels.append(())
            open_joints.append(len(names) - 1)
            i = name_end + 1
        elif token == "End":
            in_end_site = True
            i += 3
        elif token == "}":
            if in_end_site:
                in_end_site = False
            else:
                open_joints.pop()
            i += 1
        elif token == "OFFSET":
            offset = [float(value) for value in head[i + 1 : i + 4]]
            if in_end_site:
                end_sites[open_joints[-1]] = np.array(offset)
            else:
                offsets[open_joints[-1]] = offset
            i += 4
        elif token == "CHANNELS":
            count = int(head[i + 1])
            channels[open_joints[-1]] = tuple(head[i + 2 : i + 2 + count])
            i += 2 + count
        else:
            raise ValueError(f"unexpected {token!r}")
    frames, frame_time = int(tail[1]), float(tail[4])
    values = np.array(tail[5:], dtype=np.float64).reshape(frames, sum(map(len, channels)))
    return BvhClip(
        tuple(names), tuple(parents), np.array(offsets), tuple(channels), end_sites, frame_time, values
    )


def forward(clip: BvhClip) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Global rotations (F, J, 3, 3) and positions (F, J, 3), in the file's units and axes."""
    frames, joints = len(clip.values), len(clip.names)
    rotations = np.empty((frames, joints, 3, 3))
    positions = np.empty((frames, joints, 3))
    column = 0
    for joint, parent in enumerate(clip.parents):
        local = np.broadcast_to(np.eye(3), (frames, 3, 3))
        offset = np.broadcast_to(clip.offsets[joint], (frames, 3)).copy()
        for channel in clip.channels[joint]:
            value = clip.values[:, column]
            column += 1
            axis = "XYZ".index(channel[0].upper())
            if channel.lower().endswith("position"):
                offset[:, axis] = value
            else:
                local = local @ _about_axis(axis, np.radians(value))
        if parent < 0:
            rotations[:, joint], positions[:, joint] = local, offset
        else:
            rotations[:, joint] = rotations[:, parent] @ local
            positions[:, joint] = positions[:, parent] + np.einsum("fij,fj->fi", rotations[:, parent], offset)
    return rotations, positions


def _about_axis(axis: int, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F, 3, 3) rotations about a coordinate axis."""
    matrix = np.zeros((len(angle), 3, 3))
    j, k = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1.0
    matrix[:, j, j] = matrix[:, k, k] = np.cos(angle)
    matrix[:, k, j] = np.sin(angle)
    matrix[:, j, k] = -np.sin(angle)
    return matrix
