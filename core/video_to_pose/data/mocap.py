# SPDX-License-Identifier: GPL-3.0-or-later
"""Captured motion (CMU, two BVH conversions) as bone rotations of one common naming.

Both conversions stand in a T-pose facing +Z with Y up when all rotations are zero. Here they come out in
the world's axes (Z up, facing -Y) and under the names of CMU's own skeleton, so that a body rigged with those
names (`data.body`) can follow either.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..formats import bvh

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Maps Y-up axes with the front at +Z to Z-up axes with the front at -Y."""

_STANDARD_FIGURE = {  # CMU name -> name in the conversion to one standard figure (root "hip")
    "Hips": "hip",
    "LowerBack": "abdomen",
    "Spine": "abdomen",
    "Spine1": "chest",
    "Neck": "neck",
    "Neck1": "neck",
    "Head": "head",
    **{
        f"{side}{cmu}": f"{initial}{figure}"
        for side, initial in (("Left", "l"), ("Right", "r"))
        for cmu, figure in (
            ("Shoulder", "Collar"),
            ("Arm", "Shldr"),
            ("ForeArm", "ForeArm"),
            ("Hand", "Hand"),
            ("UpLeg", "Thigh"),
            ("Leg", "Shin"),
            ("Foot", "Foot"),
        )
    },
}

BONES = tuple(_STANDARD_FIGURE)
"""Bones whose rotation a `MocapClip` gives: torso, then left and right shoulder, arm, leg, foot."""

_LIMBS = ("Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot")


@dataclass(frozen=True, eq=False)
class MocapClip:
    """One captured clip.

    Attributes:
        name: file name without its ending.
        frame_rate: frames per second.
        rotations: bone name -> (F, 3, 3) world rotation away from the T-pose, Z up.
        rest_directions: limb bone name -> (3,) unit direction of the bone in the T-pose, Z up.
        hips: (F, 3) middle of the hip joints in metres, Z up.
        leg_length: hip joint to knee to ankle, metres.
    """

    name: str
    frame_rate: float
    rotations: dict[str, NDArray[np.float64]]
    rest_directions: dict[str, NDArray[np.float64]]
    hips: NDArray[np.float64]
    leg_length: float

    @property
    def frame_count(self) -> int:
        return len(self.hips)


def load(path: Path) -> MocapClip:
    """Read one BVH of either conversion (they are told apart by the root's name).

    Raises:
        InputError: the file is not BVH.
        ValueError: its root is neither ``Hips`` nor ``hip``.
    """
    clip = bvh.read(path)
    root = clip.names[0]
    if root not in ("Hips", "hip"):
        raise ValueError(f"{path}: root {root!r} belongs to neither conversion")
    source = {name: (name if root == "Hips" else figure) for name, figure in _STANDARD_FIGURE.items()}
    rotations, positions = bvh.forward(clip)
    index = {name: clip.names.index(joint) for name, joint in source.items()}

    def child_offset(joint: int) -> NDArray[np.float64]:
        offsets = [clip.offsets[child] for child, parent in enumerate(clip.parents) if parent == joint]
        offsets += [clip.end_sites[joint]] if joint in clip.end_sites else []
        for offset in list(offsets):  # CMU puts some joints on top of their parent: look through them
            if np.linalg.norm(offset) < 1e-6:
                for child, parent in enumerate(clip.parents):
                    if parent == joint and np.linalg.norm(clip.offsets[child]) < 1e-6:
                        offsets.append(child_offset(child))
        return max(offsets, key=lambda offset: float(np.linalg.norm(offset)))

    rest = {}
    for side in ("Left", "Right"):
        for limb in _LIMBS:
            direction = Z_UP @ child_offset(index[side + limb])
            rest[side + limb] = direction / np.linalg.norm(direction)
    knee, ankle = index["LeftLeg"], index["LeftFoot"]
    leg = np.linalg.norm(clip.offsets[knee]) + np.linalg.norm(clip.offsets[ankle])
    hips = (positions[:, index["LeftUpLeg"]] + positions[:, index["RightUpLeg"]]) / 2
    return MocapClip(
        name=Path(path).stem,
        frame_rate=1.0 / clip.frame_time,
        rotations={name: Z_UP @ rotations[:, joint] @ Z_UP.T for name, joint in index.items()},
        rest_directions=rest,
        hips=hips @ Z_UP.T / 100.0,
        leg_length=float(leg) / 100.0,
    )


_UPPER = ("Spine", "Neck", "Head", "Shoulder", "Arm", "ForeArm", "Hand")


def recombined(lower: MocapClip, upper: MocapClip) -> MocapClip:
    """The hips and legs of one clip under the trunk and arms of another, which turns with the hips below it.

    Rare poses are made of common halves (SRNet, section 3). Where the upper clip is the shorter one it goes back and
    forth; the two clips' frame rates must agree.
    """
    count, length = lower.frame_count, upper.frame_count
    frames = np.arange(count) % max(2 * length - 2, 1)
    frames = np.minimum(frames, 2 * length - 2 - frames) if length > 1 else np.zeros(count, dtype=int)
    turn = lower.rotations["Hips"] @ np.swapaxes(upper.rotations["Hips"][frames], -1, -2)

    def above(bone: str) -> bool:
        return any(bone.removeprefix("Left").removeprefix("Right").startswith(part) for part in _UPPER)

    return MocapClip(
        name=f"{lower.name}+{upper.name}",
        frame_rate=lower.frame_rate,
        rotations={
            bone: turn @ upper.rotations[bone][frames] if above(bone) else rotation
            for bone, rotation in lower.rotations.items()
        },
        rest_directions={
            bone: (upper if above(bone) else lower).rest_directions[bone] for bone in lower.rest_directions
        },
        hips=lower.hips,
        leg_length=lower.leg_length,
    )
