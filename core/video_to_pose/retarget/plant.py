# SPDX-License-Identifier: GPL-3.0-or-later
"""Feet that stay put, solved on the rig's own proportions.

While heel or ball are in contact the foot stands on one spot; in between, what was moved is let go smoothly. The hips
follow so that knees keep their angles, and two-bone inverse kinematics bends the legs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..rotation import axis_angle_to_matrix, between, frame_from_axes, matrix_to_quat, normalize, quat_to_matrix

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

_RELEASE_S = 0.35  # in which a foot that was held comes back to its own path
_FLATTEN_S = 0.1
_DRIFT_M, _ANEW_S = 0.2, 0.2  # a foot that goes further while in contact has not stayed: it stands anew
_TURN_DEG, _TURNING_S = 25.0, 0.07  # a flat foot that turns further is turned on purpose
_STEEP_DEG = 12.0  # a foot that stands steeper has but one end on the floor
_LEAN_DEG, _LEANING_S = 5.0, 0.5  # smaller leans of a flat foot to its side are noise; steady over this time
_SHORTEST_S = 0.12
_HIPS_HZ, _HIPS_M = 2.5, 0.25
_STRAIGHT_DEG = 15.0  # a held knee is bent this much where the person's is, for straighter ones snap
_REACH = 0.9985  # of a straight leg
_LOW_M, _SLOW_M_S = 0.04, 1.0
_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class Leg:
    """One leg of a rig over a clip, world axes, metres, the floor at z = 0.

    Attributes:
        hip, knee, ankle: (F, 3).
        hinge: (F, 3) unit axis of the knee, to the left.
        foot: (F, 3, 3) turn of the foot away from standing flat and facing -Y.
        heel, ball: (3,) from the ankle, of the flat foot facing -Y.
    """

    hip: Array
    knee: Array
    ankle: Array
    hinge: Array
    foot: Array
    heel: Array
    ball: Array

    def point(self, offset: Array) -> Array:
        """(F, 3) a point of the foot."""
        return self.ankle + self.foot @ offset


@dataclass(frozen=True, eq=False)
class Planted:
    """Both legs as they shall be.

    Attributes:
        legs: with new ankles, feet, hips and knees.
        hips: (F, 3) how the hips are moved.
        toes: per leg (F, 3, 3) turn of the toes away from flat, facing -Y.
    """

    legs: tuple[Leg, Leg]
    hips: Array
    toes: tuple[Array, Array]


def plant(
    legs: tuple[Leg, Leg], contacts: tuple[Mask, Mask], rate: float, mode: str, sure: bool = False, lean: bool = False
) -> Planted:
    """Hold feet on the floor.

    Args:
        legs: left and right as the person moved them.
        contacts: for each (F, 2) whether heel and ball are in contact.
        rate: frames per second.
        mode: ``auto``: where there are contacts, feet stay put; ``always``: the lower foot is in contact at any time;
            ``grounded``: feet keep to the floor's height but may slide; ``never``: nothing is done.
        sure: contacts were said by a person, so feet are held however far they moved there.
        lean: feet with both ends on the floor may lean to their sides, as in a wide stance; else they lie flat.

    Raises:
        ValueError: there is no such mode.
    """
    if mode not in ("auto", "always", "grounded", "never"):
        raise ValueError(f"unknown mode of the feet {mode!r}")
    still = np.zeros_like(legs[0].hip)
    if mode == "never":
        return Planted(legs, still, (legs[0].foot, legs[1].foot))
    if mode == "always":
        contacts = _always(legs, contacts, rate)
    likely = [m if sure else _likely(leg, _settled(m, rate)) for leg, m in zip(legs, contacts, strict=True)]
    furthest = np.inf if sure else _DRIFT_M
    stances = [_stances(leg, mask, rate, furthest) for leg, mask in zip(legs, likely, strict=True)]
    held = [
        _hold(leg, mask, spans, rate, slide=mode == "grounded", lean=lean)
        for leg, mask, spans in zip(legs, likely, stances, strict=True)
    ]
    weights = [_ramp(_down(mask), round(_FLATTEN_S * rate)) for mask in likely]
    moved = _hips_moved(legs, held, weights, rate, np.inf if mode == "always" else _HIPS_M)
    out, toes = [], []
    for leg, foot, spans, mask in zip(legs, held, stances, likely, strict=True):
        carried = replace(leg, hip=leg.hip + moved, knee=leg.knee + moved, ankle=leg.ankle + moved)
        out.append(_let_go(carried, solve_leg(replace(foot, hip=carried.hip), carried), spans, rate))
        toes.append(_toes(out[-1], mask, rate))
    return Planted((out[0], out[1]), moved, (toes[0], toes[1]))


def _always(legs: tuple[Leg, Leg], contacts: tuple[Mask, Mask], rate: float) -> tuple[Mask, Mask]:
    """Contacts where at any time the lower foot, and the other too when it is as low and slow, are down."""
    heights = np.stack([np.stack([leg.point(p)[:, 2] for p in (leg.heel, leg.ball)], axis=1) for leg in legs], axis=1)
    speed = np.stack([_speed(leg.point(leg.ball), rate) for leg in legs], axis=1)
    lowest = heights.min(axis=2)
    down = (lowest <= lowest.min(axis=1, keepdims=True) + _LOW_M) & (speed < _SLOW_M_S)
    down[np.arange(len(down)), lowest.argmin(axis=1)] = True
    out = []
    for side in range(2):
        low = heights[:, side] <= lowest[:, side, None] + _LOW_M / 2
        out.append(contacts[side] | (low & _lasting(down[:, side], rate)[:, None]))
    return out[0], out[1]


def _settled(contact: Mask, rate: float) -> Mask:
    """Contacts (F, 2) without gaps that are too short for a foot to leave the floor and come back."""
    out = contact.copy()
    for first, last in runs(~_down(out)):
        if first > 0 and last < len(out) and last - first < _SHORTEST_S * rate:
            out[first:last] = out[first - 1] | out[last]
    return out


def _likely(leg: Leg, contact: Mask) -> Mask:
    """Contacts (F, 2) that go with how steeply the foot stands: no heel is down on tiptoe, no ball on the heel."""
    rise = (leg.foot @ (leg.heel - leg.ball))[:, 2] / np.linalg.norm(leg.heel - leg.ball)
    down = _down(contact)[:, None]
    free = np.stack([rise > np.sin(np.radians(_STEEP_DEG)), -rise > np.sin(np.radians(_STEEP_DEG))], axis=1)
    swapped = np.where(free.any(axis=1, keepdims=True), ~free, contact)
    return down & swapped


def _hold(leg: Leg, contact: Mask, stances: list[tuple[int, int]], rate: float, slide: bool, lean: bool) -> Leg:
    """The leg with foot and ankle where they shall be in its stances; the knee follows later."""
    ankle, foot = leg.ankle.copy(), leg.foot.copy()
    for first, last in stances:
        span = slice(first, last)
        both = contact[span, 0] & contact[span, 1]
        heading = _yaw(leg.foot[span])
        sure = both if both.any() else np.ones(last - first, dtype=bool)
        yaw, planted_yaw = (heading, heading) if slide else _headings(heading, sure, rate)
        level = axis_angle_to_matrix(_UP, yaw)
        own = axis_angle_to_matrix(_UP, yaw - heading) @ leg.foot[span]
        if lean and both.any():
            level = axis_angle_to_matrix(level[..., 1], _leans(level, own, both, rate)) @ level
        ball: Array = (leg.ankle[span] + leg.foot[span] @ leg.ball) * [1, 1, 0]
        heel: Array = (leg.ankle[span] + leg.foot[span] @ leg.heel) * [1, 1, 0]
        if not slide:
            across = axis_angle_to_matrix(_UP, planted_yaw) @ (leg.ball - leg.heel)
            ball, heel = _spots(ball, heel, across, contact[span], sure)
        on_ball = contact[span, 1]
        free = np.where(on_ball[:, None], leg.heel - leg.ball, leg.ball - leg.heel)
        foot[span] = _above_floor(_mix(own, level, _ramp(both, round(_FLATTEN_S * rate))), free)
        turned = foot[span]
        # pivoting about the heel until the ball is down, about the ball from then on
        ankle[span] = np.where(on_ball[:, None], ball - turned @ leg.ball, heel - turned @ leg.heel)
    return replace(leg, ankle=ankle, foot=foot)


def _spots(ball: Array, heel: Array, across: Array, contact: Mask, sure: Mask) -> tuple[Array, Array]:
    """(F, 3) where ball and heel of a foot in a stance are to be.

    The foot stands flat on one spot; if it turns on heel or ball to stand flat again, that end stays where it is.

    Args:
        ball, heel: (F, 3) where they are, on the floor.
        across: (F, 3) from heel to ball of the flat foot, as it shall face.
        contact: (F, 2) of heel and ball.
        sure: (F,) where the foot is flat, or everywhere.
    """
    spot, other = np.empty_like(ball), np.empty_like(heel)
    stands = runs(sure)
    place = np.zeros(3)
    for n, (first, last) in enumerate(stands):
        if n:
            gap = slice(stands[n - 1][1], first)
            spot[gap], other[gap] = spot[gap.start - 1], other[gap.start - 1]
            place = spot[gap.start - 1] if contact[gap, 1].any() else other[gap.start - 1] + across[first]
        spot[first:last], other[first:last] = place, place - across[first:last]
    first, last = stands[0][0], stands[-1][1]
    spot[:first], other[:first] = spot[first], other[first]
    spot[last:], other[last:] = spot[last - 1], other[last - 1]
    shift = ((ball + heel) - (spot + other))[sure].mean(axis=0) / 2
    return spot + shift, other + shift


def _leans(level: Array, own: Array, flat: Mask, rate: float) -> Array:
    """(F,) radians by which a foot rolls about its length while it is flat, calmed and without what is but noise.

    Args:
        level: (F, 3, 3) turns of the flat foot that faces as it shall.
        own: (F, 3, 3) turns as the person held it.
        flat: (F,) while both ends are down; at other times it leans as at the nearest of these.
        rate: frames per second.
    """
    side = np.einsum("fji,fj->fi", level, own[..., 0])  # in the flat foot's axes
    roll, frames = np.arctan2(-side[:, 2], side[:, 0]), np.arange(len(flat))
    for first, last in runs(flat):
        roll[first:last] = _blur(roll[first:last], _LEANING_S * rate)
    certain = 1 - 1 / (1 + (roll / np.radians(_LEAN_DEG)) ** 2)
    return np.interp(frames, frames[flat], (roll * certain)[flat])


def _headings(heading: Array, sure: Mask, rate: float) -> tuple[Array, Array]:
    """(F,) heading of a foot on one spot, and (F,) of its flat foot: constant while it is flat, its own in between."""
    frames, planted = np.arange(len(heading)), heading.copy()
    for first, last in runs(sure):
        begin = first
        for f in range(first, last + 1):
            if f == last or abs(heading[f] - heading[begin]) > np.radians(_TURN_DEG):
                planted[begin:f] = heading[begin:f].mean()
                begin = f
        planted[first:last] = _blur(planted[first:last], _TURNING_S * rate)
    offset = np.interp(frames, frames[sure], (planted - heading)[sure])
    return heading + offset, np.interp(frames, frames[sure], planted[sure])


def _above_floor(foot: Array, free: Array) -> Array:
    """Foot turns (F, 3, 3) whose free end, (F, 3) from the one that is down, is not below the floor."""
    v = np.einsum("fij,fj->fi", foot, free)
    above = v * [1, 1, 0] + np.maximum(v[:, 2:], 0.0) * _UP
    return between(normalize(v), normalize(above)) @ foot


def _stances(leg: Leg, contact: Mask, rate: float, furthest: float) -> list[tuple[int, int]]:
    """Frames [first, last) in which the foot stands on one spot."""
    out = []
    ends, apart = (leg.point(leg.heel)[:, :2], leg.point(leg.ball)[:, :2]), max(1, round(_ANEW_S * rate))
    for first, last in runs(_down(contact)):
        begin = first
        for f in range(first + 1, last):
            if f > begin and min(np.linalg.norm(end[f] - end[begin]) for end in ends) > furthest:
                out.append((begin, f - apart // 2))
                begin = f + (apart + 1) // 2
        out.append((begin, last))
    return [(first, last) for first, last in out if last - first >= 2]


def _let_go(leg: Leg, held: Leg, stances: list[tuple[int, int]], rate: float) -> Leg:
    """The leg as held in its stances; in between it eases to its own motion and to where it will be held.

    What eases is how the leg points, how its knee bends and how the foot is turned, so that no knee snaps.
    """
    thigh, shank, own_bend = _bend(leg)
    own, other = normalize(leg.ankle - leg.hip), normalize(held.ankle - held.hip)
    offset = np.column_stack(
        [_bend(held)[2] - own_bend, _log(between(own, other)), _log(held.foot @ np.swapaxes(leg.foot, -1, -2))]
    )
    inside, frames = np.zeros(len(own), dtype=bool), np.arange(len(own))
    for first, last in stances:
        inside[first:last] = True
    for first, last in runs(~inside):
        f, eased, length = frames[first:last], np.zeros((last - first, 7)), _RELEASE_S * rate
        if first > 0 and last < len(frames):
            length = min(length, last - first + 1)
        if first > 0:
            eased += offset[first - 1] * _ease(1 - (f - first + 1) / length)[:, None]
        if last < len(frames):
            eased += offset[last] * _ease(1 - (last - f) / length)[:, None]
        offset[first:last] = eased
    bend = np.clip(own_bend + offset[:, 0], 0.0, np.pi)
    reach = np.sqrt(thigh**2 + shank**2 + 2 * thigh * shank * np.cos(bend))
    along = np.einsum("fij,fj->fi", _exp(offset[:, 1:4]), own)
    swung = replace(leg, ankle=leg.hip + reach[:, None] * along, foot=_exp(offset[:, 4:]) @ leg.foot)
    ankle = np.where(inside[:, None], held.ankle, _unsunk(swung, inside, rate).ankle)
    return solve_leg(replace(swung, ankle=ankle), leg)


def _bend(leg: Leg) -> tuple[Array, Array, Array]:
    """(F,) lengths of thigh and shank, and radians by which the knee is bent."""
    thigh, shank = leg.knee - leg.hip, leg.ankle - leg.knee
    angle = np.arctan2(np.linalg.norm(np.cross(thigh, shank), axis=-1), np.sum(thigh * shank, axis=-1))
    return np.linalg.norm(thigh, axis=-1), np.linalg.norm(shank, axis=-1), angle


def _unsunk(leg: Leg, inside: Mask, rate: float) -> Leg:
    """The foot raised where its sole is in the floor while it swings."""
    lowest = np.minimum(leg.point(leg.heel)[:, 2], leg.point(leg.ball)[:, 2])
    depth = np.where(inside, 0.0, np.maximum(-lowest, 0.0))
    smooth = np.maximum(_blur(_largest(depth, round(0.05 * rate)), 0.04 * rate), depth)
    return replace(leg, ankle=leg.ankle + (np.where(inside, 0.0, smooth))[:, None] * _UP)


def _hips_moved(legs: tuple[Leg, Leg], held: list[Leg], weights: list[Array], rate: float, most: float) -> Array:
    """(F, 3) how the hips move so that held legs keep their length, and reach their feet without going straight.

    The least move that makes |hip - held ankle| what it was (Gauss-Newton), smoothed; then lowered where a leg would
    be straighter than the person's.
    """
    shift = np.zeros_like(legs[0].hip)
    own = [np.linalg.norm(leg.ankle - leg.hip, axis=-1) for leg in legs]
    for _ in range(3):
        normal, right = np.tile(0.02 * np.eye(3), (len(shift), 1, 1)), -0.02 * shift
        for leg, foot, length, w in zip(legs, held, own, weights, strict=True):
            span = foot.ankle - leg.hip - shift
            along = normalize(span)
            normal += w[:, None, None] * along[:, :, None] * along[:, None, :]
            right += (w * (np.linalg.norm(span, axis=-1) - length))[:, None] * along
        shift = shift + np.linalg.solve(normal, right[..., None])[..., 0]
    size = np.linalg.norm(shift, axis=-1, keepdims=True)
    shift = shift * np.minimum(1.0, most / np.maximum(size, 1e-9))
    sigma = rate / (2 * np.pi * _HIPS_HZ)
    sure = np.minimum(weights[0] + weights[1], 1.0) + 1e-3
    shift = np.column_stack([_blur(axis * sure, sigma) / _blur(sure, sigma) for axis in shift.T])
    above = np.zeros(len(shift))
    for leg, foot, w in zip(legs, held, weights, strict=True):
        thigh, shank, bend = _bend(leg)
        bend = np.minimum(bend, np.radians(_STRAIGHT_DEG))
        reach = _REACH**2 * (thigh**2 + shank**2 + 2 * thigh * shank * np.cos(bend))
        span = foot.ankle - leg.hip - shift
        highest = span[:, 2] + np.sqrt(np.maximum(reach - np.sum(span[:, :2] ** 2, axis=1), 0.0))
        above = np.maximum(above, np.where(w > 0.5, -highest, 0.0))
    lowered = np.maximum(_blur(_largest(above, round(3 * sigma)), sigma), above)
    return shift - lowered[:, None] * _UP


def solve_leg(leg: Leg, before: Leg) -> Leg:
    """Knee, and the hinge that goes with it, for a hip and an ankle; an ankle out of reach comes near.

    Args:
        leg: with the new hip, ankle and foot.
        before: the leg as it was, which tells where its knee points.
    """
    thigh = np.linalg.norm(before.knee - before.hip, axis=-1, keepdims=True)
    shank = np.linalg.norm(before.ankle - before.knee, axis=-1, keepdims=True)
    was, span = before.ankle - before.hip, leg.ankle - leg.hip
    distance = np.linalg.norm(span, axis=-1, keepdims=True)
    own = np.linalg.norm(was, axis=-1, keepdims=True)
    longest = np.maximum(_REACH * (thigh + shank), np.minimum(own, thigh + shank))
    r = np.clip(distance, np.abs(thigh - shank) * 1.01 + 1e-6, longest)
    along = normalize(span)
    R = between(normalize(was), along)
    hinge = np.einsum("fij,fj->fi", R, before.hinge)
    hinge = normalize(hinge - np.sum(hinge * along, axis=-1, keepdims=True) * along)
    knee = np.einsum("fij,fj->fi", R, before.knee - before.hip)
    side = knee - np.sum(knee * along, axis=-1, keepdims=True) * along
    bend = normalize(side + 0.02 * thigh * np.cross(along, hinge))
    a = (thigh**2 - shank**2 + r**2) / (2 * r)
    b = np.sqrt(np.maximum(thigh**2 - a**2, 0.0))
    return replace(leg, knee=leg.hip + a * along + b * bend, ankle=leg.hip + r * along, hinge=hinge)


def leg_turns(leg: Leg, before: Leg) -> tuple[Array, Array]:
    """(F, 3, 3) what thigh and shank turn, in the world, from one solution to another."""
    return tuple(
        frame_from_axes(getattr(leg, end) - getattr(leg, start), leg.hinge)
        @ np.swapaxes(frame_from_axes(getattr(before, end) - getattr(before, start), before.hinge), -1, -2)
        for start, end in (("hip", "knee"), ("knee", "ankle"))
    )  # type: ignore[return-value]


def _toes(leg: Leg, contact: Mask, rate: float) -> Array:
    """Toes lie flat while only the ball is down, else they go with the foot."""
    weight = _ramp(contact[:, 1], round(_FLATTEN_S * rate))
    level = axis_angle_to_matrix(_UP, _yaw(leg.foot))
    return _mix(leg.foot, level, weight)


def _down(contact: Mask) -> Mask:
    """(F,) whether heel or ball are in contact."""
    return contact[:, 0] | contact[:, 1]


def runs(mask: Mask) -> list[tuple[int, int]]:
    """[first, last) of every stretch of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _lasting(mask: Mask, rate: float) -> Mask:
    """Without gaps, then without stretches, shorter than `_SHORTEST_S`."""
    out = mask.copy()
    shortest = round(_SHORTEST_S * rate)
    for first, last in runs(~out):
        if last - first < shortest and first > 0 and last < len(out):
            out[first:last] = True
    for first, last in runs(out):
        if last - first < shortest:
            out[first:last] = False
    return out


def _ramp(mask: Mask, width: int) -> Array:
    """(F,) 1 inside, falling smoothly to 0 over `width` frames outside."""
    if not mask.any():
        return np.zeros(len(mask))
    frames, inside = np.arange(len(mask)), np.flatnonzero(mask)
    at = np.searchsorted(inside, frames)
    after = np.abs(inside[np.minimum(at, len(inside) - 1)] - frames)
    before = np.abs(frames - inside[np.maximum(at - 1, 0)])
    return _ease(1 - np.minimum(after, before) / max(width + 1, 1))


def _ease(x: Array) -> Array:
    """0 … 1 with level ends; clipped outside."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * x * (10 - 15 * x + 6 * x * x)


def _largest(values: Array, reach: int) -> Array:
    """(F,) maximum over `reach` frames on both sides."""
    if reach < 1:
        return values
    padded = np.pad(values, reach, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)


def _blur(values: Array, sigma: float) -> Array:
    """(F,) Gaussian average over time, the ends held; what is nowhere negative stays so."""
    reach = min(int(3 * sigma), len(values) - 1)
    if reach < 1:
        return values
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def _speed(points: Array, rate: float) -> Array:
    if len(points) < 2:
        return np.zeros(len(points))
    return np.linalg.norm(np.gradient(points, axis=0), axis=-1) * rate


def _yaw(foot: Array) -> Array:
    """(F,) heading of a turn away from facing -Y."""
    ahead = -foot[..., :, 1]
    return np.unwrap(np.arctan2(ahead[..., 0], -ahead[..., 1]))


def _mix(a: Array, b: Array, weight: Array) -> Array:
    """(F, 3, 3) from `a` (weight 0) to `b` (weight 1)."""
    p, q = matrix_to_quat(a), matrix_to_quat(b)
    q = np.where(np.sum(p * q, axis=-1, keepdims=True) < 0, -q, q)
    return quat_to_matrix(normalize(p + weight[:, None] * (q - p)))


def _log(turn: Array) -> Array:
    """(F, 3) rotation vectors."""
    quat = matrix_to_quat(turn)
    angle = 2 * np.arctan2(np.linalg.norm(quat[:, 1:], axis=-1), quat[:, 0])
    return normalize(quat[:, 1:]) * angle[:, None]


def _exp(vectors: Array) -> Array:
    return axis_angle_to_matrix(normalize(vectors), np.linalg.norm(vectors, axis=-1))
