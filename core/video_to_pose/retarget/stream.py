# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig that follows a person pose by pose, while it happens (numpy only: it runs inside Blender).

Each pose is solved together with the few before it, which keep elbows and knees steady; what would need to know what
comes next is left out: feet are not held, and nothing is smoothed or mended. A recording is solved whole afterwards.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..settings import RetargetSettings
from ..skeleton import Skeleton
from ..types import Motion, Rig, RigAnimation
from .bone_map import BoneMap
from .solve import solve

Array = NDArray[np.floating]

_WINDOW = 8
_LONGEST_S = 0.5  # poses farther apart say nothing of each other


class Stream:
    """Poses in, keys of one moment out.

    Args:
        rig: target at rest.
        bone_map: which bone plays which part.
        skeleton: of the poses.
        settings: joint limits, scale, start and limbs are heeded; a path that is not left out lies on the hips.

    Raises:
        InputError: with the first pose, as of `solve`.
    """

    def __init__(self, rig: Rig, bone_map: BoneMap, skeleton: Skeleton, settings: RetargetSettings) -> None:
        self.rig = mapped_part(rig, bone_map)
        self._bone_map, self._skeleton = bone_map, skeleton
        self._settings = replace(
            settings,
            root_motion="in_place" if settings.root_motion == "in_place" else "hips",
            facing="filmed",
            feet="never",
            smoothing="off",
            smoothing_of_parts=(),
            repair=False,
        )
        self._poses: deque[tuple[float, Array, Array]] = deque(maxlen=_WINDOW)

    def note(self, time_s: float, directions: Array, root: Array) -> None:
        """Take in a pose that need not be shown.

        Args:
            time_s: later than the last one; others are left out.
            directions: (B, 3) unit vectors, world axes.
            root: (3,) metres.
        """
        if self._poses and time_s <= self._poses[-1][0]:
            return
        if self._poses and time_s - self._poses[-1][0] > _LONGEST_S:
            self._poses.clear()
        self._poses.append((time_s, directions, root))

    def solve(self, lengths: Array) -> RigAnimation:
        """Keys of the newest pose: one moment of `self.rig`.

        Args:
            lengths: (B,) metres.

        Raises:
            ValueError: there was no pose yet.
        """
        if not self._poses:
            raise ValueError("no pose yet")
        times, directions, roots = (np.array(column) for column in zip(*self._poses, strict=True))
        motion = Motion(
            skeleton=self._skeleton,
            timestamps=times,
            directions=directions,
            lengths=lengths,
            root=roots,
            confidence=np.ones((len(times), self._skeleton.joint_count)),
            contact_names=(),
            contacts=np.zeros((len(times), 0), dtype=bool),
        )
        keys = solve(motion, self.rig, self._bone_map, self._settings)
        return replace(
            keys, timestamps=keys.timestamps[-1:], rotations=keys.rotations[-1:], locations=keys.locations[-1:]
        )


def mapped_part(rig: Rig, bone_map: BoneMap) -> Rig:
    """The bones that play a part and those they hang on: control rigs have hundreds of others."""
    needed: set[int] = set()
    for name in bone_map.bones:
        bone = rig.names.index(name)
        while bone >= 0 and bone not in needed:
            needed.add(bone)
            bone = rig.parents[bone]
    kept = sorted(needed)
    place = {-1: -1} | {bone: place for place, bone in enumerate(kept)}
    return Rig(
        names=tuple(rig.names[bone] for bone in kept),
        parents=tuple(place[rig.parents[bone]] for bone in kept),
        rest=rig.rest[kept],
        lengths=rig.lengths[kept],
        world=rig.world,
    )
