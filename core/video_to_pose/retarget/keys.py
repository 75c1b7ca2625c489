# SPDX-License-Identifier: GPL-3.0-or-later
"""World turns and paths of a rig as keys in its bones' own axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..rotation import (
    axis_angle_to_matrix,
    make_continuous,
    matrix_to_quat,
    normalize,
    quat_conjugate,
    quat_multiply,
    quat_to_matrix,
)
from ..settings import RetargetSettings
from ..types import Rig, RigAnimation
from .frames import SIDES
from .smoothing import smooth_path
from .target import Target

if TYPE_CHECKING:
    from .solve import Body

Array = NDArray[np.floating]

_UP = np.array([0.0, 0.0, 1.0])
_HEADING_HZ, _PATH_HZ = 1.0, 1.5  # of what carries the path: calmer than the hips


def write_keys(body: Body, settings: RetargetSettings) -> RigAnimation:
    """Keys that bring the rig to where `body` has it.

    Raises:
        InputError: the path is to lie on a root bone and the rig has none.
        ValueError: a setting has no such value.
    """
    target = body.target
    rig, bone_map, index = target.rig, target.bone_map, target.index
    turns = {index[name]: body.turns[part] for part, name in _bones_of(target).items() if part in body.turns}
    for toe, names in bone_map.toes.items():
        turns |= {index[name]: body.turns[toe] for name in names if toe in body.turns}
    hips = index[bone_map.single["hips"]]
    heads = {hips: body.hips}
    for name in bone_map.beside_hips:
        b = index[name]
        turns.setdefault(b, body.turns["hips"])
        heads[b] = body.hips + body.turns["hips"] @ (target.heads[b] - target.heads[hips])
    objects = None
    if settings.root_motion == "root":
        if not bone_map.root:
            raise InputError(
                "This armature has no root bone above its hips to carry the path.",
                "Put the path on the hips or on the armature object.",
                "rig-rootless",
            )
        root = index[bone_map.root]
        turns[root], carry = _carrier(body)
        heads[root] = carry(target.heads[root])
    elif settings.root_motion == "object":
        objects = np.tile(np.eye(4), (len(body.pelvis), 1, 1))
        objects[:, :3, :3], carry = _carrier(body)
        objects[:, :3, 3] = carry(np.zeros(3))
        objects = objects @ rig.world
    if settings.limbs == "ik" and bone_map.controls:
        controlled, placed = _controls(body)
        turns |= controlled
        heads |= placed
    elif settings.limbs not in ("fk", "ik"):
        raise ValueError(f"unknown limbs {settings.limbs!r}")
    switches = tuple((s.bone, s.prop, s.ik if settings.limbs == "ik" else s.fk) for s in bone_map.switches)
    keyed, located = tuple(sorted(turns)), tuple(sorted(heads))
    rotations, locations = _to_local(rig, target, turns, heads, objects)
    return RigAnimation(
        rig=rig,
        timestamps=body.motion.timestamps,
        bones=keyed,
        rotations=np.stack([rotations[b] for b in keyed], axis=1),
        located=located,
        locations=np.stack([locations[b] for b in located], axis=1),
        object_world=objects,
        switches=switches,
    )


def _bones_of(target: Target) -> dict[str, str]:
    """Part, as `solve.Turns` names it -> bone."""
    bone_map = target.bone_map
    out = dict(bone_map.single)
    for chain in ("spine", "neck"):
        out |= {f"{chain}.{n}": name for n, name in enumerate(getattr(bone_map, chain))}
    for limb, names in bone_map.twist.items():
        out |= {f"{limb}.twist.{n}": name for n, name in enumerate(names)}
    return out


def _carrier(body: Body) -> tuple[Array, Callable[[Array], Array]]:
    """What carries the path with the person: its turn (F, 3, 3) from rest, and where it brings a point (3,) at rest."""
    target = body.target
    facing = body.turns["hips"] @ target.standing
    heading: Array = np.unwrap(np.arctan2(facing[:, 1, 0], facing[:, 0, 0]))
    path: Array = body.pelvis * [1, 1, 0] + [0, 0, body.floor]
    times = body.motion.timestamps
    heading, path = smooth_path(heading, times, _HEADING_HZ), smooth_path(path, times, _PATH_HZ)
    turn = axis_angle_to_matrix(_UP, heading) @ target.standing.T
    up = target.standing[:, 2]
    pelvis = target.places["pelvis"][0]
    below = pelvis + (target.floor - pelvis @ up) * up

    def carry(point: Array) -> Array:
        return path + turn @ (point - below)

    return turn, carry


def _controls(body: Body) -> tuple[dict[int, Array], dict[int, Array]]:
    """Turns and heads of IK controls: hands and feet go with what they control, poles with the limb before them."""
    target = body.target
    turns, heads = {}, {}
    for side in SIDES:
        for end, upper, lower, joints in (
            ("foot", "upper_leg", "lower_leg", ("hip", "knee", "ankle")),
            ("hand", "upper_arm", "forearm", ("shoulder", "elbow", "wrist")),
        ):
            start, middle, tip = (target.places[f"{side}_{joint}"][0] for joint in joints)
            base = _above(body, side, end, start)
            bend = base + body.turns[f"{side}_{upper}"] @ (middle - start)
            last = bend + body.turns[f"{side}_{lower}"] @ (tip - middle)
            if name := target.bone_map.controls.get(f"{side}_{end}"):
                b = target.index[name]
                turns[b] = body.turns[f"{side}_{end}"]
                heads[b] = last + turns[b] @ (target.heads[b] - tip)
            pole = {"foot": "knee", "hand": "elbow"}[end]
            if name := target.bone_map.controls.get(f"{side}_{pole}"):
                b = target.index[name]
                heads[b] = bend + body.turns[f"{side}_{upper}"] @ (target.heads[b] - middle)
    return turns, heads


def _above(body: Body, side: str, end: str, start: Array) -> Array:
    """(F, 3) where a limb begins."""
    target = body.target
    place, turn, before = body.pelvis, body.turns["hips"], target.places["pelvis"][0]
    if end == "foot":
        return place + turn @ (start - before)
    chain = [*(f"spine.{n}" for n in range(len(target.bone_map.spine))), f"{side}_shoulder"]
    bones = _bones_of(target)
    for part in chain:
        if part in bones and part in body.turns:
            head = target.heads[target.index[bones[part]]]
            place, turn, before = place + turn @ (head - before), body.turns[part], head
    return place + turn @ (start - before)


def _to_local(
    rig: Rig, target: Target, turns: dict[int, Array], heads: dict[int, Array], objects: Array | None
) -> tuple[dict[int, Array], dict[int, Array]]:
    """World turns and heads to rotations (F, 4) and locations (F, 3) in the bones' own axes."""
    frames = len(next(iter(heads.values())))
    worlds = rig.world[None] if objects is None else objects
    to_object = np.linalg.inv(worlds)
    now = matrix_to_quat(worlds[:, :3, :3] / target.scale)
    at_rest = matrix_to_quat(target.rotation)
    rest = matrix_to_quat(normalize(rig.rest[:, :3, :3], axis=-2))
    followed = _with_ancestors(rig, heads)
    pose: list[Array] = []
    places: dict[int, Array] = {}
    rotations: dict[int, Array] = {}
    locations: dict[int, Array] = {}
    for b, parent in enumerate(rig.parents):
        if parent < 0:
            carried = np.broadcast_to(rest[b], (frames, 4))
        else:
            carried = quat_multiply(pose[parent], quat_multiply(quat_conjugate(rest[parent]), rest[b]))
        if b in followed:
            if parent < 0:
                place = np.broadcast_to(rig.rest[b, :3, 3], (frames, 3))
            else:
                offset = rig.rest[parent, :3, :3].T @ (rig.rest[b, :3, 3] - rig.rest[parent, :3, 3])
                place = places[parent] + quat_to_matrix(pose[parent]) @ offset
            if b in heads:
                wanted = np.einsum("fij,fj->fi", to_object[:, :3, :3], heads[b]) + to_object[:, :3, 3]
                locations[b] = np.einsum("fji,fj->fi", quat_to_matrix(carried), wanted - place)
                place = wanted
            places[b] = place
        if b in turns:
            world = quat_multiply(matrix_to_quat(turns[b]), quat_multiply(at_rest, rest[b]))
            posed = quat_multiply(quat_conjugate(now), world)
            rotations[b] = make_continuous(quat_multiply(quat_conjugate(carried), posed))
            pose.append(posed)
        else:
            pose.append(carried)
    return rotations, locations


def _with_ancestors(rig: Rig, bones: dict[int, Array]) -> set[int]:
    out = set()
    for bone in bones:
        while bone >= 0:
            out.add(bone)
            bone = rig.parents[bone]
    return out
