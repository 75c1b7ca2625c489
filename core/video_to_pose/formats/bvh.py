# SPDX-License-Identifier: GPL-3.0-or-later
"""BVH out (Y up, centimetres, one root) and in (any channel order per joint), and its forward kinematics."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import written_whole
from ..kinematics import pose_matrices
from ..retarget.bone_map import BoneMap, map_bones
from ..settings import BVH_CHANNELS, REFERENCE_FRAMES
from ..types import RigAnimation
from .bvh_profiles import BVH_PROFILES, BvhProfile, Joint, joint_tree

_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Maps the world's axes (Z up, front at -Y) to BVH's (Y up, front at +Z)."""
_CM = 100.0
_LOCKED = 1e-4
"""Below this cosine of the middle angle the outer two are told apart by noise only."""
_LINES = 2000  # written at once
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


def write(
    animation: RigAnimation,
    path: str | Path,
    *,
    profile: BvhProfile = BVH_PROFILES["plain"],
    bone_map: BoneMap | None = None,
    channels: str | None = None,
    reference_frame: str | None = None,
) -> None:
    """Write a rig's keys as BVH: Y up, facing +Z at rest, centimetres.

    Joints are the topmost bone whose location is keyed (the first root, if none is) and the bones below it, in the
    rig's own rest pose (where all rotations are zero); a bone without children ends in an end site at its tail. The
    armature object's place is left out, its scale and what it travels are kept. White space in names becomes ``_``:
    most readers cut a name off there.

    Args:
        animation: the keys.
        path: target; it is replaced whole.
        profile: names, joints and order that a program expects, one of `BVH_PROFILES`.
        bone_map: the rig's parts, for profiles that rename; None finds them, and keeps the names of a rig that cannot
            be mapped.
        channels: order of the rotation channels, one of `settings.BVH_CHANNELS`; None is the profile's.
        reference_frame: ``rest`` puts the rest pose before the first frame, ``none`` does not; None is the profile's.

    Raises:
        InputError: the target cannot be written, or an option is none of those there are.
    """
    order = _one_of(channels or profile.channels, BVH_CHANNELS, "an order of rotation channels", "bvh-channels")
    reference = _one_of(
        reference_frame or profile.reference_frame, REFERENCE_FRAMES, "a reference frame", "reference-frame"
    )
    rig = animation.rig
    if profile.spine and bone_map is None:
        with suppress(InputError):
            bone_map = map_bones(rig)
    root = _root(animation, profile, bone_map)
    tree = joint_tree(rig, root, profile, bone_map)
    joints = tree.walk()
    located = [j == 0 or (joint.bone in animation.located and not joint.rigid) for j, joint in enumerate(joints)]
    to_file = _Y_UP * float(np.linalg.norm(rig.world[:3, 0])) * _CM
    values = _values(animation, joints, located, to_file, order)
    if reference == "rest":
        values = np.concatenate([_rest_values(joints, located, to_file), values])

    text = "HIERARCHY\n" + _block(tree, tree, to_file, order, {joints[j] for j in np.flatnonzero(located)}, 0)
    text += f"MOTION\nFrames: {len(values)}\nFrame Time: {1.0 / animation.frame_rate:.9f}\n"
    line = " ".join(["%.5f"] * values.shape[1]) + "\n"
    with written_whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write(text)
        for first in range(0, len(values), _LINES):
            block = values[first : first + _LINES]
            file.write((line * len(block)) % tuple(block.ravel().tolist()))


def _values(
    animation: RigAnimation, joints: list[Joint], located: list[bool], to_file: NDArray[np.float64], order: str
) -> NDArray[np.float64]:
    """(F, C) channel values in file order."""
    rig, matrices = animation.rig, pose_matrices(animation)
    if animation.object_world is not None:  # the object's own place is left out, its way is not
        matrices = (np.linalg.inv(rig.world) @ animation.object_world)[:, None] @ matrices

    def turn_and_place(joint: Joint) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        matrix, rest = matrices[:, joint.bone], rig.rest[joint.bone]
        turn = _Y_UP @ matrix[:, :3, :3] @ rest[:3, :3].T @ _Y_UP.T
        return turn, matrix[:, :3, 3] @ to_file.T + turn @ (to_file @ (joint.place - rest[:3, 3]))

    blocks = []
    for j, parent in enumerate(_parents(joints)):  # one by one: all at once takes much memory for a long clip
        turn, shift = turn_and_place(joints[j])
        if parent >= 0:
            above, origin = turn_and_place(joints[parent])
            turn = np.swapaxes(above, -1, -2) @ turn
            shift = np.einsum("fba,fb->fa", above, shift - origin)
        blocks += [shift] if located[j] else []
        blocks.append(_eulers(turn, order))
    return np.concatenate(blocks, axis=1)


def _rest_values(joints: list[Joint], located: list[bool], to_file: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1, C) channel values of the rest pose."""
    places = np.array([joint.place for joint in joints]) @ to_file.T
    shifts = places - np.concatenate([np.zeros((1, 3)), places[_parents(joints)[1:]]])
    return np.concatenate(
        [part for j in range(len(joints)) for part in ([shifts[j]] if located[j] else []) + [np.zeros(3)]]
    )[None]


def _parents(joints: list[Joint]) -> list[int]:
    above = {child: parent for parent, joint in enumerate(joints) for child in joint.children}
    return [above.get(joint, -1) for joint in joints]


def _one_of(value: str, allowed: tuple[str, ...], what: str, code: str) -> str:
    if value not in allowed:
        raise InputError(f"{value} is not {what}.", f"Use one of: {', '.join(allowed)}.", code)
    return value


def _root(animation: RigAnimation, profile: BvhProfile, bone_map: BoneMap | None) -> int:
    """The bone the file starts at."""
    if profile.from_hips and bone_map is not None:
        return animation.rig.names.index(bone_map.single["hips"])
    return min(animation.located, default=0)  # parents come before their children


def _block(
    joint: Joint, parent: Joint, to_file: NDArray[np.float64], order: str, located: set[Joint], depth: int
) -> str:
    """A joint's lines and those of all below it."""
    tab = "\t" * depth
    offset = joint.place - (parent.place if depth else 0.0)
    angles = " ".join(f"{axis}rotation" for axis in order)
    position = "Xposition Yposition Zposition " if joint in located else ""
    text = f"{tab}{'JOINT' if depth else 'ROOT'} {joint.name}\n{tab}{{\n{tab}\tOFFSET {_numbers(to_file @ offset)}\n"
    text += f"{tab}\tCHANNELS {6 if position else 3} {position}{angles}\n"
    text += "".join(_block(child, joint, to_file, order, located, depth + 1) for child in joint.children)
    if joint.end is not None and not joint.children:
        end = _numbers(to_file @ (joint.end - joint.place))
        text += f"{tab}\tEnd Site\n{tab}\t{{\n{tab}\t\tOFFSET {end}\n{tab}\t}}\n"
    return text + f"{tab}}}\n"


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def _eulers(rotations: NDArray[np.float64], order: str) -> NDArray[np.float64]:
    """(F, 3, 3) to degrees (F, 3) about the axes of `order`, R = R_first R_second R_third, continuous in time."""
    i, j, k = ("XYZ".index(axis) for axis in order)
    sign = 1.0 if (i, j, k) in {(0, 1, 2), (1, 2, 0), (2, 0, 1)} else -1.0
    across, along = -sign * rotations[..., j, k], rotations[..., k, k]
    first = np.arctan2(across, along)
    free = np.hypot(across, along) < _LOCKED  # any first angle will do here: keep the one before, or the first there is
    source = np.maximum.accumulate(np.where(free, -1, np.arange(len(first))))
    first = first[np.where(source < 0, np.argmin(free), source)]
    # of the two solutions (a, b, c) and (a + pi, pi - b, c + pi), keep to the one at hand
    c, s, R = np.cos(first), sign * np.sin(first), rotations  # the other two angles follow from the first in every pose
    second = np.arctan2(sign * R[..., i, k], c * R[..., k, k] - s * R[..., j, k])
    third = np.arctan2(sign * (c * R[..., j, i] + s * R[..., k, i]), c * R[..., j, j] + s * R[..., k, j])
    here = np.stack([first, second, third], axis=-1)
    there = np.stack([first + np.pi, np.pi - second, third + np.pi], axis=-1)
    stay, swap = (np.abs(_wrapped(to[1:] - here[:-1])).sum(axis=-1) for to in (here, there))
    swapped = np.zeros(first.shape, dtype=bool)
    swapped[1:] = np.cumsum(swap < stay, axis=0) % 2 == 1
    return np.degrees(np.unwrap(np.where(swapped[..., None], there, here), axis=0))


def _wrapped(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """To -pi … pi."""
    return (angles + np.pi) % (2 * np.pi) - np.pi
