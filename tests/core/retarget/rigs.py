# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs of others to lay motion on: one made up, and the CC0 body's Mixamo-named one where it is at hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import namings
from tests.core.retarget.motions import about, degrees_between
from video_to_pose.kinematics import pose_matrices
from video_to_pose.retarget import map_bones
from video_to_pose.retarget.target import read_target
from video_to_pose.rotation import frame_from_axes
from video_to_pose.types import Rig, RigAnimation

Array = NDArray[np.floating]
Bones = dict[str, tuple[str | None, Array, Array]]
"""Bone name -> parent, head, tail, parents first, metres, Z up."""


def rig_of(bones: Bones, roll_seed: int = 0, world: Array | None = None, unit: float = 1.0) -> Rig:
    """A rig with random rolls.

    Args:
        bones: the rig as it stands in the world.
        roll_seed: of the rolls.
        world: object matrix; the bones are put into its space, so that the rig stands in the world as before.
        unit: armature units a metre; the object's scale makes up for it.
    """
    rng = np.random.default_rng(roll_seed)
    world = np.eye(4) if world is None else world.copy()
    world[:3, :3] /= unit
    inverse = np.linalg.inv(world)
    names = list(bones)
    rest, lengths = [], []
    for _, head, tail in bones.values():
        ends = [inverse[:3, :3] @ end + inverse[:3, 3] for end in (head, tail)]
        span = ends[1] - ends[0]
        matrix = np.eye(4)
        matrix[:3, :3] = frame_from_axes(span, np.eye(3)[np.argmin(np.abs(span))]) @ about("y", rng.uniform(0, 360))
        matrix[:3, 3] = ends[0]
        rest.append(matrix)
        lengths.append(np.linalg.norm(span))
    parents = tuple(names.index(parent) if parent else -1 for parent, _, _ in bones.values())
    return Rig(tuple(names), parents, np.array(rest), np.array(lengths), world)


def a_pose() -> Bones:
    """A short-legged figure in an A-pose, elbows and knees a little bent, under Unreal's names, with extra bones."""
    points: dict[str, tuple[str | None, tuple[float, float, float], tuple[float, float, float]]] = {
        "root": (None, (0, 0, 0), (0, -0.2, 0)),
        "pelvis": ("root", (0, 0.02, 0.8), (0, 0.02, 0.9)),
        "spine_01": ("pelvis", (0, 0.02, 0.9), (0, 0, 1.0)),
        "spine_02": ("spine_01", (0, 0, 1.0), (0, 0.01, 1.12)),
        "spine_03": ("spine_02", (0, 0.01, 1.12), (0, 0.03, 1.3)),
        "neck_01": ("spine_03", (0, 0.03, 1.3), (0, 0.01, 1.38)),
        "head": ("neck_01", (0, 0.01, 1.38), (0, 0.01, 1.6)),
    }
    for s, m in (("l", 1), ("r", -1)):
        points |= {
            f"clavicle_{s}": ("spine_03", (m * 0.02, 0, 1.27), (m * 0.17, 0.03, 1.29)),
            f"upperarm_{s}": (f"clavicle_{s}", (m * 0.17, 0.03, 1.29), (m * 0.36, 0.05, 1.11)),
            f"upperarm_twist_01_{s}": (f"upperarm_{s}", (m * 0.26, 0.04, 1.2), (m * 0.3, 0.04, 1.16)),
            f"lowerarm_{s}": (f"upperarm_{s}", (m * 0.36, 0.05, 1.11), (m * 0.52, -0.01, 0.95)),
            f"hand_{s}": (f"lowerarm_{s}", (m * 0.52, -0.01, 0.95), (m * 0.57, -0.03, 0.9)),
            f"index_01_{s}": (f"hand_{s}", (m * 0.57, -0.05, 0.9), (m * 0.6, -0.06, 0.87)),
            f"thigh_{s}": ("pelvis", (m * 0.1, 0.01, 0.78), (m * 0.12, -0.02, 0.42)),
            f"calf_{s}": (f"thigh_{s}", (m * 0.12, -0.02, 0.42), (m * 0.13, 0.03, 0.08)),
            f"foot_{s}": (f"calf_{s}", (m * 0.13, 0.03, 0.08), (m * 0.14, -0.1, 0.02)),
            f"ball_{s}": (f"foot_{s}", (m * 0.14, -0.1, 0.02), (m * 0.14, -0.16, 0.02)),
        }
    return {name: (parent, np.array(head), np.array(tail)) for name, (parent, head, tail) in points.items()}


def mixamo() -> Bones:
    """The CC0 body's rig with Mixamo's names; skips where it is not at hand."""
    if not namings.has_mpfb():
        pytest.skip("the CC0 body's files are not here")
    return namings.mpfb("mixamo")


def sized(bones: Bones, size: float) -> Bones:
    """The rig as tall as `size` times itself."""
    return {name: (parent, size * head, size * tail) for name, (parent, head, tail) in bones.items()}


def heads_in_world(animation: RigAnimation) -> tuple[Array, Array]:
    """(F, N, 3) heads and (F, N, 3, 3) turns from rest of all bones, in the world."""
    matrices = pose_matrices(animation)
    world = animation.rig.world[None] if animation.object_world is None else animation.object_world
    R = world[:, None, :3, :3] / np.linalg.norm(world[:, None, :3, :1], axis=-2, keepdims=True)
    rest = animation.rig.world[:3, :3] / np.linalg.norm(animation.rig.world[:3, 0])
    turns = R @ matrices[..., :3, :3] @ np.swapaxes(rest @ animation.rig.rest[:, :3, :3], -1, -2)
    heads = np.einsum("fij,fnj->fni", world[:, :3, :3], matrices[..., :3, 3]) + world[:, None, :3, 3]
    return heads, turns


def feet_of(animation: RigAnimation) -> Array:
    """(F, 4, 3) left heel, left ball, right heel, right ball: points of the soles, in the world."""
    target = read_target(animation.rig, map_bones(animation.rig), knuckles=False)
    heads, turns = heads_in_world(animation)
    points = []
    for side in ("left", "right"):
        b = target.bone(f"{side}_foot")
        points += [heads[:, b] + turns[:, b] @ (point - target.heads[b]) for point in target.soles(side)]
    return np.stack(points, axis=1)


def knees_of(animation: RigAnimation) -> Array:
    """(F, 2) degrees by which the knees are bent."""
    bone_map, (heads, _) = map_bones(animation.rig), heads_in_world(animation)
    bends = []
    for side in ("left", "right"):
        hip, knee, ankle = (
            heads[:, animation.rig.names.index(bone_map.single[f"{side}_{part}"])]
            for part in ("upper_leg", "lower_leg", "foot")
        )
        bends.append(degrees_between(knee - hip, ankle - knee))
    return np.stack(bends, axis=1)


TARGETS = {"a_pose": a_pose, "mixamo": mixamo}
