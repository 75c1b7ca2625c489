# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender makes of the keys: posed joints are read back and compared with the Take and with the solution."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import bpy
import numpy as np
from numpy.typing import NDArray

from .core.video_to_pose.kinematics import pose_matrices
from .core.video_to_pose.retarget import BoneMap
from .core.video_to_pose.retarget.fidelity import limb_errors_of
from .core.video_to_pose.types import Motion, RigAnimation
from .steps import Steps

_SAMPLES = 9
_STEP_S = 0.02
_LIMIT_DEG, _LIMIT_SHARE = 3.0, 0.005  # of a limb's direction; of the rig's extent, for joints


@dataclass(frozen=True)
class Check:
    """How true a baked action is, over moments spread evenly through the clip.

    Attributes:
        limb_errors: limb -> degrees between where it points in Blender and in the Take: mean and worst.
        elsewhere: bones that are not where the keys put them, worst first.
        worst_at: scene frame at which each limb, and each bone that is elsewhere, is worst.
    """

    limb_errors: dict[str, tuple[float, float]]
    elsewhere: tuple[str, ...]
    worst_at: dict[str, float] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What an animator should know, as sentences."""
        out = []
        if self.elsewhere:
            names = ", ".join(self.elsewhere[:3]) + (" and others" if len(self.elsewhere) > 3 else "")
            out.append(f"{names} do not follow their keys: look for constraints, drivers or muted channels.")
        off = {limb: mean for limb, (mean, _) in self.limb_errors.items() if mean > _LIMIT_DEG}
        if off and not self.elsewhere:
            worst = max(off, key=lambda limb: off[limb])
            out.append(f"{worst.replace('_', ' ').capitalize()} points {off[worst]:.0f}° off the person's on average.")
        return out

    @property
    def findings(self) -> list[tuple[float, str]]:
        """Scene frames that want a look, and what is wrong there."""
        if self.elsewhere:
            return [(self.worst_at[bone], f"{bone} does not follow its keys") for bone in self.elsewhere[:3]]
        return [
            (self.worst_at[limb], f"{limb.replace('_', ' ').capitalize()} points {worst:.0f}° off")
            for limb, (mean, worst) in self.limb_errors.items()
            if mean > _LIMIT_DEG
        ]


def check_pose(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    motion: Motion,
    animation: RigAnimation,
    bone_map: BoneMap,
    frames: NDArray[np.float64],
) -> Steps[Check]:
    """Read the pose back at some moments; the scene's current frame is as it was after each step.

    Args:
        context: with the scene that shows the action.
        armature: with its new action.
        motion: what it should do.
        animation: the keys, solved for that.
        bone_map: of the armature.
        frames: (F,) scene frames of the keys.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(_SAMPLES, len(frames))).round().astype(int))
    posed = yield from _posed(context.scene, armature, animation.rig.names, frames[chosen])
    part = replace(
        animation,
        timestamps=animation.timestamps[chosen],
        rotations=animation.rotations[chosen],
        locations=animation.locations[chosen],
        object_world=None if animation.object_world is None else animation.object_world[chosen],
    )
    moments = replace(
        motion,
        timestamps=motion.timestamps[chosen],
        directions=motion.directions[chosen],
        root=motion.root[chosen],
        confidence=motion.confidence[chosen],
        contacts=motion.contacts[chosen],
    )
    errors = limb_errors_of(moments, part, bone_map, posed)
    distances = np.linalg.norm(posed[..., :3, 3] - pose_matrices(part)[..., :3, 3], axis=-1)
    away = distances.max(axis=0)
    extent = float(np.ptp(animation.rig.rest[:, :3, 3], axis=0).max()) or 1.0
    keyed = sorted(animation.bones, key=lambda b: -away[b])
    lost = [b for b in keyed if away[b] > _LIMIT_SHARE * extent]
    worst = {limb: float(frames[chosen[e.argmax()]]) for limb, e in errors.items()}
    worst |= {animation.rig.names[b]: float(frames[chosen[distances[:, b].argmax()]]) for b in lost}
    return Check(
        limb_errors={limb: (round(float(e.mean()), 2), round(float(e.max()), 2)) for limb, e in errors.items()},
        elsewhere=tuple(animation.rig.names[b] for b in lost),
        worst_at=worst,
    )


def _posed(
    scene: bpy.types.Scene, armature: bpy.types.Object, names: tuple[str, ...], frames: NDArray[np.float64]
) -> Steps[NDArray[np.float64]]:
    """(n, N, 4, 4) armature-space pose matrices as Blender evaluates them, as many at a step as take little time."""
    out = np.empty((len(frames), len(names), 4, 4))
    done = 0
    while done < len(frames):
        began = time.perf_counter()
        current, subframe = scene.frame_current, scene.frame_subframe
        try:
            while done < len(frames) and time.perf_counter() - began < _STEP_S:
                whole = int(np.floor(frames[done]))
                scene.frame_set(whole, subframe=float(frames[done] - whole))
                bones = armature.pose.bones
                out[done] = [bones[name].matrix for name in names]
                done += 1
        finally:
            scene.frame_set(current, subframe=subframe)
        yield None
    return out
