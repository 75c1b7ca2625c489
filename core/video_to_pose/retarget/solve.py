# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion onto a rig by world deltas from its own rest pose.

Each mapped bone is turned by frame(now) · frame(rest)ᵀ. For limbs both frames are built from joints, of the person
and of the rig, so a T-pose, an A-pose or a bent rest all end in the person's pose. For the trunk, where rigs place
their spine joints as they like, the rest is a person standing at ease, turned to where the rig faces. Then the feet
are planted on the rig's own proportions, and limbs share their twist among the bones that a rig has for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import bones
from ..rotation import axis_angle_to_matrix, matrix_to_quat, normalize, quat_to_matrix
from ..settings import RetargetSettings
from ..skeleton import BODY_22, BODY_32
from ..types import Motion, Rig, RigAnimation
from . import keys, twist
from .bone_map import BoneMap
from .frames import SIDES, Places, at_rest, flat_sole, limbs, over_time, trunk
from .limits import within_limits
from .plant import Leg, leg_turns, plant
from .repair import repair
from .rig import rest_places
from .smoothing import cutoff_hz, smooth_path, smooth_rotations
from .target import Target, leg_length, read_target

Array = NDArray[np.floating]
Turns = dict[str, Array]
"""Part (as in a bone map, or ``spine.0``, ``neck.0``, ``left_forearm.twist.0``) -> (F, 3, 3) world turn from rest."""

_FACING = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])  # a flat foot that faces -Y: x left, y ahead, z down


def solve(
    motion: Motion, rig: Rig, bone_map: BoneMap, settings: RetargetSettings, contacts: str = "stand"
) -> RigAnimation:
    """Keys that make the rig do what the person did.

    Args:
        motion: in `BODY_22`, or with the details of `BODY_32`.
        rig: target at rest; its object may be moved, turned and uniformly scaled.
        bone_map: which bone plays which part.
        settings: path, scale, feet, smoothing.
        contacts: what is known of the motion's contacts. ``stand``: its feet stay put there already, as a Take's do;
            so ``auto`` leaves legs of the person's own proportions alone, and the person's own rig repeats the Take
            exactly. ``found``: they were detected, and may be wrong here and there. ``said``: by a person.

    Returns:
        Rotation keys of every mapped bone and location keys of what carries the path.

    Raises:
        InputError: the armature object is mirrored or unevenly scaled, or the rig has no width.
        ValueError: the motion's skeleton has not the joints of `BODY_22`, or a setting has no such value.
    """
    body = solve_body(motion, rig, bone_map, settings, contacts)
    return keys.write_keys(body, settings)


@dataclass(frozen=True, eq=False)
class Body:
    """A rig in motion, in the world, before it becomes keys.

    Attributes:
        target: the rig at rest.
        motion: what is laid on it: repaired and turned as asked for.
        turns: away from rest, of every part.
        pelvis: (F, 3) middle between the hip joints, metres.
        floor: height of the floor that the rig moves on.
    """

    target: Target
    motion: Motion
    turns: Turns
    pelvis: Array
    floor: float

    @property
    def hips(self) -> Array:
        """(F, 3) head of the hips bone."""
        rest = self.target.heads[self.target.index[self.target.bone_map.single["hips"]]]
        return self.pelvis + self.turns["hips"] @ (rest - self.target.places["pelvis"][0])


def solve_body(
    motion: Motion, rig: Rig, bone_map: BoneMap, settings: RetargetSettings, contacts: str = "stand"
) -> Body:
    """The rig's turns and path in the world; see `solve`."""
    if motion.skeleton.joints not in (BODY_22.joints, BODY_32.joints):
        raise ValueError(f"retargeting needs {BODY_22.name} or {BODY_32.name}, not {motion.skeleton.name}")
    if settings.repair:
        motion, _ = repair(motion)
    if settings.facing == "front":
        motion = _turned_to_front(motion)
    elif settings.facing != "filmed":
        raise ValueError(f"unknown facing {settings.facing!r}")
    places = joint_places(motion)
    target = read_target(rig, bone_map, knuckles="left_index" in places)
    ease = {name: place @ target.standing.T for name, place in rest_places(motion.skeleton, motion.lengths).items()}
    turns = part_turns(places, target, ease, motion.frame_rate)
    turns = _smoothed(turns, motion, settings)
    if settings.joint_limits:
        turns = within_limits(turns, target)
    origin = _origin(target, settings)
    pelvis: Array = _pelvis_path(places, target, ease, settings) + origin
    if settings.smoothing != "off":
        pelvis = smooth_path(
            pelvis, motion.timestamps, cutoff_hz("trunk", settings.smoothing, dict(settings.smoothing_of_parts))
        )
    own = _alike(target.places, ease)
    if not (contacts == "stand" and settings.feet == "auto" and settings.scale == "leg_length" and own):
        turns, pelvis = _planted(turns, pelvis, target, motion, settings, sure=contacts == "said", own=own)
    return Body(target, motion, _twisted(turns, target), pelvis, float(origin[2]))


def joint_places(motion: Motion) -> Places:
    """Joint name -> (F, 3) world positions, double precision."""
    directions, lengths = motion.directions.astype(np.float64), motion.lengths.astype(np.float64)
    joints = bones.compose(motion.skeleton, directions, lengths, motion.root.astype(np.float64))
    return {name: joints[:, j] for j, name in enumerate(motion.skeleton.joints)}


def _turned_to_front(motion: Motion) -> Motion:
    """The clip turned about the vertical through its start, so that the pelvis faces -Y over its first moments."""
    places = joint_places(motion)
    first = motion.timestamps <= motion.timestamps[0] + 0.3
    left = (places["left_hip"] - places["right_hip"])[first].mean(axis=0)
    R = axis_angle_to_matrix(np.array([0.0, 0.0, 1.0]), -np.arctan2(left[1], left[0]))
    start = motion.root[0] * [1, 1, 0]
    return replace(motion, directions=motion.directions @ R.T, root=(motion.root - start) @ R.T + start)


def part_turns(places: Places, target: Target, ease: Places, rate: float) -> Turns:
    """World turns away from the rig's rest, of all parts but twist bones.

    Args:
        places: of the person.
        target: the rig.
        ease: the same person standing at ease as the rig stands.
        rate: frames per second.
    """
    now, rest = trunk(places), trunk(ease)
    middle = {part: now[part] @ np.swapaxes(rest[part], -1, -2) for part in now}
    now_limbs = limbs(places, now["hips"], now["chest"], over_time(rate))
    target_limbs = limbs(target.places, rest["hips"], rest["chest"], at_rest)
    ease_limbs = limbs(ease, rest["hips"], rest["chest"], at_rest)
    turns: Turns = {"hips": middle["hips"]}
    spine, neck = target.bone_map.spine, target.bone_map.neck
    turns |= _spread("spine", len(spine), middle["spine"], middle["chest"])
    if target.bone("head") is not None:
        turns |= _spread("neck", len(neck), middle["neck"], middle["neck"])
        turns["head"] = middle["head"]
    else:
        turns |= _spread("neck", len(neck), middle["chest"] if spine else middle["hips"], middle["head"])
    for part, frame in now_limbs.items():
        side, _, limb = part.partition("_")
        if limb == "shoulder":  # a clavicle's rest differs from rig to rig like a spine's
            rest_frame = ease_limbs[part]
        elif limb == "foot":  # soles are flat at rest, whatever their bones point at
            flat = {
                name: flat_sole(p[f"{side}_ankle"], p[f"{side}_toe"], target.standing)
                for name, p in (("ease", ease), ("rig", target.places))
            }
            rest_frame = flat["rig"] @ np.swapaxes(flat["ease"], -1, -2) @ ease_limbs[part]
        else:
            rest_frame = target_limbs[part]
        turns[part] = frame @ np.swapaxes(rest_frame, -1, -2)
    return turns


def _spread(chain: str, count: int, low: Array, high: Array) -> Turns:
    """A chain's bones share the turn from `low` (first bone) to `high` (last bone); a single bone takes the middle."""
    shares = np.linspace(0, 1, count) if count > 1 else np.full(count, 0.5)
    a, b = matrix_to_quat(low), matrix_to_quat(high)
    b = np.where(np.sum(a * b, axis=-1, keepdims=True) < 0, -b, b)
    return {
        f"{chain}.{n}": low
        if share == 0
        else high
        if share == 1
        else quat_to_matrix(normalize((1 - share) * a + share * b))
        for n, share in enumerate(shares)
    }


def _smoothed(turns: Turns, motion: Motion, settings: RetargetSettings) -> Turns:
    own = dict(settings.smoothing_of_parts)
    if settings.smoothing == "off" and not own:
        return turns
    cutoffs = {part: cutoff_hz(part.partition(".")[0], settings.smoothing, own) for part in turns}
    out = dict(turns)
    for hz in set(cutoffs.values()) - {0.0}:
        parts = [part for part, cutoff in cutoffs.items() if cutoff == hz]
        quats = matrix_to_quat(np.stack([turns[part] for part in parts], axis=1))
        smooth = quat_to_matrix(smooth_rotations(quats, motion.timestamps, hz))
        out |= {part: smooth[:, p] for p, part in enumerate(parts)}
    return out


def _origin(target: Target, settings: RetargetSettings) -> Array:
    """(3,) the place on the floor where the clip's origin comes to lie; the floor is the armature object's origin."""
    if settings.start == "world":
        return np.zeros(3)
    if settings.start != "rig":
        raise ValueError(f"unknown start {settings.start!r}")
    return np.array([*target.places["pelvis"][0, :2], target.rig.world[2, 3]])


def origin_of(rig: Rig, bone_map: BoneMap) -> Array:
    """(3,) where in the scene a clip that starts at the rig has its origin."""
    return _origin(read_target(rig, bone_map, knuckles=False), RetargetSettings())


def _pelvis_path(places: Places, target: Target, ease: Places, settings: RetargetSettings) -> Array:
    """(F, 3) world path of the middle between the hip joints, from the clip's origin.

    What is above the ankles is scaled by the legs, what is below is the rig's own.
    """
    pelvis = places["pelvis"].copy()
    ratio = target.leg / leg_length(places)
    up = target.standing[:, 2]
    ankle = sum(float(ease[f"{side}_ankle"][0] @ up) for side in SIDES) / 2
    pelvis[:, 2] = (pelvis[:, 2] - ankle) * ratio + target.ankle_height
    if settings.root_motion == "in_place":
        pelvis[:, :2] = 0.0
    elif settings.root_motion in ("hips", "root", "object"):
        if settings.scale not in ("leg_length", "metres"):
            raise ValueError(f"unknown scale {settings.scale!r}")
        pelvis[:, :2] *= ratio if settings.scale == "leg_length" else 1.0
    else:
        raise ValueError(f"unknown root_motion {settings.root_motion!r}")
    return pelvis


def plant_feet(body: Body, settings: RetargetSettings) -> tuple[Turns, Array]:
    """Turns and pelvis of a body whose feet were left alone, with the feet held where contacts were found.

    Only for rigs without twist bones in their legs; others are planted while they are solved (`solve_body`).
    """
    return _planted(body.turns, body.pelvis, body.target, body.motion, settings, sure=False, own=True)


def _planted(
    turns: Turns, pelvis: Array, target: Target, motion: Motion, settings: RetargetSettings, sure: bool, own: bool
) -> tuple[Turns, Array]:
    """Legs, feet and hips with the feet held where they are in contact.

    On the person's own legs feet may lean to their sides, where heels tell how far; on others they lie flat.
    """
    if settings.feet == "never" or settings.root_motion == "in_place":
        return turns, pelvis
    floor = np.array([0.0, 0.0, target.rig.world[2, 3] if settings.start == "rig" else 0.0])
    legs = tuple(_leg(side, turns, pelvis - floor, target) for side in SIDES)
    contacts = tuple(np.stack([motion.contact(f"{side}_{end}") for end in ("heel", "toe")], axis=1) for side in SIDES)
    lean = own and "left_heel" in motion.skeleton.joints
    planted = plant((legs[0], legs[1]), (contacts[0], contacts[1]), motion.frame_rate, settings.feet, sure, lean)
    out = dict(turns)
    for side, before, leg, toes in zip(SIDES, legs, planted.legs, planted.toes, strict=True):
        thigh, shank = leg_turns(leg, before)
        out[f"{side}_upper_leg"] = thigh @ turns[f"{side}_upper_leg"]
        out[f"{side}_lower_leg"] = shank @ turns[f"{side}_lower_leg"]
        flat = _flat(side, target)
        out[f"{side}_foot"] = leg.foot @ _FACING @ flat.T
        out[f"{side}_toe"] = toes @ _FACING @ flat.T
    return out, pelvis + planted.hips


def _alike(rig: Places, person: Places) -> bool:
    """Whether the rig's legs and feet are the person's own, to a thousandth."""
    bones_of_legs = [
        (f"{s}_{a}", f"{s}_{b}") for s in SIDES for a, b in (("hip", "knee"), ("knee", "ankle"), ("ankle", "toe"))
    ]
    return all(
        np.isclose(np.linalg.norm(rig[b] - rig[a]), np.linalg.norm(person[b] - person[a]), rtol=1e-3)
        for a, b in [("left_hip", "right_hip"), *bones_of_legs]
    )


def _leg(side: str, turns: Turns, pelvis: Array, target: Target) -> Leg:
    rest = {joint: target.places[f"{side}_{joint}"][0] for joint in ("hip", "knee", "ankle")}
    hip = pelvis + turns["hips"] @ (rest["hip"] - target.places["pelvis"][0])
    knee = hip + turns[f"{side}_upper_leg"] @ (rest["knee"] - rest["hip"])
    ankle = knee + turns[f"{side}_lower_leg"] @ (rest["ankle"] - rest["knee"])
    flat = _flat(side, target)
    heel, ball = (_FACING @ flat.T @ (point - rest["ankle"]) for point in target.soles(side))
    hinge = turns[f"{side}_upper_leg"] @ _rest_hinge(side, target)
    return Leg(hip, knee, ankle, hinge, turns[f"{side}_foot"] @ flat @ _FACING.T, heel, ball)


def _rest_hinge(side: str, target: Target) -> Array:
    """(3,) the knee's axis at rest, to the left."""
    rest = {joint: target.places[f"{side}_{joint}"][0] for joint in ("hip", "knee", "ankle")}
    thigh = normalize(rest["knee"] - rest["hip"])
    x = target.standing[:, 0]
    return normalize(x - (x @ thigh) * thigh)


def _flat(side: str, target: Target) -> Array:
    """(3, 3) frame of the rig's flat foot at rest."""
    return flat_sole(target.places[f"{side}_ankle"], target.places[f"{side}_toe"], target.standing)[0]


_SHARING = {  # limb -> what its twist is measured against, and where it ends
    "upper_arm": ("shoulder", "shoulder", "elbow"),
    "upper_leg": ("hips", "hip", "knee"),
    "forearm": ("hand", "elbow", "wrist"),
    "lower_leg": ("foot", "knee", "ankle"),
}
_ALONE = 0.5  # a forearm without twist bones takes half of the hand's twist


def _twisted(turns: Turns, target: Target) -> Turns:
    """Turns of twist bones, and of the limbs that lead into them."""
    out = dict(turns)
    chest = [turns[part] for part in turns if part.startswith("spine.")][-1:] or [turns["hips"]]
    for side in SIDES:
        for limb, (other, start, end) in _SHARING.items():
            part = f"{side}_{limb}"
            ends = [target.places[f"{side}_{joint}"][0] for joint in (start, end)]
            length = float(np.linalg.norm(ends[1] - ends[0]))
            axis = (ends[1] - ends[0]) / length
            names = target.bone_map.twist.get(part, ())
            along = [float((target.heads[target.index[name]] - ends[0]) @ axis) / length for name in names]
            shares, in_chain = _shares(len(names), along), _carries(target, part, names)
            if limb in ("upper_arm", "upper_leg"):
                if not names:
                    continue
                above = turns["hips"] if limb == "upper_leg" else turns.get(f"{side}_{other}", chest[0])
                own = 1.0
                if in_chain:  # the elbow or knee hangs on the last of them
                    own, shares = 0.0, [(n + 1) / len(names) for n in range(len(names))]
                solved = twist.near_joint(above, turns[part], axis, np.array([own, *shares]))
            else:
                below = turns.get(f"{side}_{other}")
                if below is None or target.bone(f"{side}_{other}") is None:
                    continue
                own = 0.0 if names or limb == "lower_leg" else _ALONE
                solved = twist.near_end(turns[part], below, axis, np.array([own, *shares]))
            if in_chain:
                heads = [ends[0], *(target.heads[target.index[name]] for name in names), ends[1]]
                solved = twist.pointing(solved, np.diff(heads, axis=0), turns[part] @ axis)
            out[part] = solved[0]
            out |= {f"{part}.twist.{n}": turn for n, turn in enumerate(solved[1:])}
    return out


def _shares(count: int, along: list[float]) -> list[float]:
    """How much of the twist each bone takes: as far along as it lies; bones on one spot are spread evenly."""
    even = [(n + 1) / (count + 1) for n in range(count)]
    if count > 1 and min(np.diff(along), default=0.0) < 0.02:
        return even
    return [float(np.clip(a if a > 0.02 else e, 0.0, 1.0)) for a, e in zip(along, even, strict=True)]


def _carries(target: Target, part: str, names: tuple[str, ...]) -> bool:
    """Whether the next part of the limb hangs on the twist bones, as on MakeHuman's rigs, not beside them."""
    side, _, limb = part.partition("_")
    following = {"upper_arm": "forearm", "forearm": "hand", "upper_leg": "lower_leg", "lower_leg": "foot"}[limb]
    below = target.bone(f"{side}_{following}")
    while below is not None and below >= 0:
        if target.rig.names[below] in names:
            return True
        below = target.rig.parents[below]
    return False
