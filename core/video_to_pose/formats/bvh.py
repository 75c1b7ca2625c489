# SPDX-License-Identifier: GPL-3.0-or-later
"""BVH out (Y up, centimetres, one root) and in (any channel order per joint), and its forward kinematics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import written_whole
from ..kinematics import pose_matrices
from ..types import RigAnimation

_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Maps the world's axes (Z up, front at -Y) to BVH's (Y up, front at +Z)."""
_CM = 100.0
_LOCKED = 1e-4
"""Below this cosine of the middle angle the outer two are told apart by noise only."""
_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}


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
        head, _, tail = path.read_text(encoding="utf-8-sig", errors="replace").partition("\nMOTION")
        return _parse(head.split(), tail.split())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path.", "bvh-missing") from error
    except (ValueError, IndexError, KeyError) as error:
        raise InputError(
            f"{path} is not a BVH file.", "Choose a .bvh file with HIERARCHY and MOTION.", "bvh-broken"
        ) from error


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
    if any(channel.lower() not in _CHANNELS for names in channels for channel in names):
        raise ValueError("unknown channel")
    if open_joints or in_end_site or parents.count(-1) != 1:
        raise ValueError("unbalanced braces, or not one root")
    if [word.lower() for word in (tail[0], *tail[2:4])] != ["frames:", "frame", "time:"]:
        raise ValueError("no Frames and Frame Time")
    frames, frame_time = int(tail[1]), float(tail[4])
    values = np.array(tail[5:], dtype=np.float64).reshape(frames, sum(map(len, channels)))
    if not (np.isfinite(values).all() and np.isfinite(offsets).all() and 0 < frame_time < np.inf):
        raise ValueError("numbers that are none")
    return BvhClip(tuple(names), tuple(parents), np.array(offsets), tuple(channels), end_sites, frame_time, values)


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


def write(animation: RigAnimation, path: str | Path, *, rest_frame: bool = False) -> None:
    """Write a rig's keys as BVH: Y up, facing +Z at rest, centimetres, channels Z X Y.

    Joints are the bone whose location is keyed (the first root, if none is) and the bones below it, in the rig's
    own rest pose (where all rotations are zero); a bone without children ends in an end site at its tail. The
    armature object's place is left out, its scale is kept.

    Args:
        animation: the keys.
        path: target; it is replaced whole.
        rest_frame: put the rest pose before the first frame.

    Raises:
        InputError: the target cannot be written.
    """
    rig = animation.rig
    scale = float(np.linalg.norm(rig.world[:3, 0]))
    matrices = pose_matrices(animation)
    root = animation.located[0] if animation.located else 0
    order = _depth_first(rig.parents, root)
    turns = _Y_UP @ matrices[..., :3, :3] @ np.swapaxes(rig.rest[:, :3, :3], -1, -2) @ _Y_UP.T
    heads = rig.rest[:, :3, 3] @ _Y_UP.T * scale * _CM
    tails = (rig.rest[:, :3, 3] + rig.rest[:, :3, 1] * rig.lengths[:, None]) @ _Y_UP.T * scale * _CM
    above = np.swapaxes(turns[:, [rig.parents[b] for b in order[1:]]], -1, -2)
    local = np.concatenate([turns[:, [root]], above @ turns[:, order[1:]]], axis=1)
    place = matrices[:, root, :3, 3] @ _Y_UP.T * scale * _CM
    values = np.concatenate([place, _euler_zxy(local).reshape(len(local), -1)], axis=1)
    if rest_frame:
        rest = np.zeros((1, values.shape[1]))
        rest[0, :3] = heads[root]
        values = np.concatenate([rest, values])
    text = _hierarchy(rig.names, rig.parents, root, heads, tails)
    text += f"MOTION\nFrames: {len(values)}\nFrame Time: {1.0 / animation.frame_rate:.9f}\n"
    line = " ".join(["%.5f"] * values.shape[1]) + "\n"
    text += (line * len(values)) % tuple(values.ravel().tolist())
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _depth_first(parents: tuple[int, ...], root: int) -> list[int]:
    """A bone and those below it, in the order a BVH lists them."""
    order: list[int] = []
    waiting = [root]
    while waiting:
        bone = waiting.pop()
        order.append(bone)
        waiting += [child for child in range(len(parents) - 1, bone, -1) if parents[child] == bone]
    return order


def _hierarchy(
    names: tuple[str, ...],
    parents: tuple[int, ...],
    root: int,
    heads: NDArray[np.float64],
    tails: NDArray[np.float64],
) -> str:
    def block(bone: int, depth: int) -> str:
        tab = "\t" * depth
        offset = heads[bone] - (heads[parents[bone]] if depth else 0.0)
        kind, channels = ("JOINT", 3) if depth else ("ROOT", 6)
        position = "Xposition Yposition Zposition " if depth == 0 else ""
        text = f"{tab}{kind} {names[bone]}\n{tab}{{\n{tab}\tOFFSET {_numbers(offset)}\n"
        text += f"{tab}\tCHANNELS {channels} {position}Zrotation Xrotation Yrotation\n"
        children = [child for child, parent in enumerate(parents) if parent == bone]
        for child in children:
            text += block(child, depth + 1)
        if not children:
            end = _numbers(tails[bone] - heads[bone])
            text += f"{tab}\tEnd Site\n{tab}\t{{\n{tab}\t\tOFFSET {end}\n{tab}\t}}\n"
        return text + f"{tab}}}\n"

    return "HIERARCHY\n" + block(root, 0)


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def _euler_zxy(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F, J, 3, 3) to degrees (F, J, 3) with R = Rz Rx Ry, continuous in time."""
    across, along = -rotations[..., 0, 1], rotations[..., 1, 1]
    z = np.arctan2(across, along)
    free = np.hypot(across, along) < _LOCKED  # any z will do here: keep the one before, or the first there is
    frames = np.arange(len(z))[:, None]
    source = np.maximum.accumulate(np.where(free, -1, frames), axis=0)
    source = np.where(source < 0, np.argmin(free, axis=0), source)
    z = np.take_along_axis(z, source, axis=0)
    # of the two solutions (z, x, y) and (z + pi, pi - x, y + pi), keep to the one at hand
    x, y = _xy_under(z, rotations)
    here = np.stack([z, x, y], axis=-1)
    there = np.stack([z + np.pi, np.pi - x, y + np.pi], axis=-1)
    stay, swap = (np.abs(_wrapped(to[1:] - here[:-1])).sum(axis=-1) for to in (here, there))
    swapped = np.zeros(z.shape, dtype=bool)
    swapped[1:] = np.cumsum(swap < stay, axis=0) % 2 == 1
    return np.degrees(np.unwrap(np.where(swapped[..., None], there, here), axis=0))


def _xy_under(z: NDArray[np.float64], rotations: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Angles x and y of R = Rz Rx Ry for a given z; well defined in every pose."""
    c, s, R = np.cos(z), np.sin(z), rotations
    x = np.arctan2(R[..., 2, 1], c * R[..., 1, 1] - s * R[..., 0, 1])
    y = np.arctan2(c * R[..., 0, 2] + s * R[..., 1, 2], c * R[..., 0, 0] + s * R[..., 1, 0])
    return x, y


def _wrapped(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """To -pi … pi."""
    return (angles + np.pi) % (2 * np.pi) - np.pi
