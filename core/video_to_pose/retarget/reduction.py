# SPDX-License-Identifier: GPL-3.0-or-later
"""Fewer keys within a stated bound: degrees for every bone's rotation, centimetres for every bone's head and tail.

What is bounded is what Blender shows of the reduced curves, not the curves themselves: linear interpolation of each
channel between the keys that stay, normalised, carried down the bone tree into the world, at every moment of the
animation. Keys are added where that is furthest off, until it holds everywhere (numpy only).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kinematics import bone_tails, pose_matrices
from ..rotation import normalize, quat_multiply
from ..types import RigAnimation

Array = NDArray[np.floating]
Kept = tuple[NDArray[np.intp], ...]

Channels = Mapping[int, tuple[str, Array]]
"""For bones that are not keyed as quaternions: position in ``animation.bones`` -> Blender's rotation mode
(``AXIS_ANGLE`` or an Euler order like ``XYZ``) and the (F, 4) or (F, 3) values that are keyed."""

_SAFE = 0.999  # of the bounds, for Blender's single precision
_STEP = 0.8  # by which a bone's share of the bounds shrinks where bones of a chain add up


def reduce_keys(
    animation: RigAnimation,
    degrees: float,
    centimetres: float,
    frames: ArrayLike | None = None,
    channels: Channels | None = None,
) -> Kept:
    """Which keys to write, so that nothing shows further off than the bounds.

    Args:
        animation: F moments of M bones.
        degrees: bound on the rotation of every bone of the rig, keyed or carried, against its parent and in the world.
        centimetres: bound on the place of every bone's head and tail in the world, of which a unit is a metre.
        frames: (F,) scene frames that the moments are keyed at, where they are not as even as the timestamps.
        channels: of bones keyed in other modes than quaternions. Without it the bound holds only where bones are keyed
            as quaternions: Euler angles and axis-angles between two keys take another way than quaternions do.

    Returns:
        For each of ``animation.bones`` the moments (indices, first and last among them) whose keys stay, for rotation
        and location alike. A located bone that is not among ``animation.bones`` keeps all its keys.

    Raises:
        ValueError: a bound that is not above 0.
    """
    if not (degrees > 0 and centimetres > 0):
        raise ValueError(f"bounds must be above 0, got {degrees} degrees and {centimetres} cm")
    lanes = _lanes(animation, frames, channels)
    bound = _Bound(animation, np.radians(degrees) * _SAFE, centimetres / 100 * _SAFE)
    everything = np.arange(len(animation.timestamps))
    kept = np.zeros((len(everything), len(animation.bones)), dtype=bool)
    kept[:1] = kept[-1:] = True
    wrong, checked, share = np.ones_like(kept), everything, 1.0
    while wrong.any():
        for lane in lanes:
            _add_keys(lane, kept, wrong, bound, share)
        off = bound.world_excess(_shown(animation, lanes, kept, checked), checked) > 1
        if not off.any() and len(checked) < len(everything):  # what was wrong is mended: look at the whole again
            checked = everything
            off = bound.world_excess(_shown(animation, lanes, kept, checked), checked) > 1
        wrong = np.zeros_like(kept)
        wrong[checked] = off
        checked, share = checked[off.any(axis=1)], share * _STEP
        if share < 1e-6:
            kept |= wrong  # finer than numbers are
    return tuple(np.flatnonzero(column) for column in kept.T)


def resample(
    animation: RigAnimation,
    kept: Sequence[NDArray[np.intp]],
    frames: ArrayLike | None = None,
    channels: Channels | None = None,
) -> RigAnimation:
    """What Blender shows of an animation of which only some keys are written, at all its moments.

    Args:
        animation: F moments of M bones.
        kept: of `reduce_keys`.
        frames, channels: as for `reduce_keys`.

    Raises:
        ValueError: not one list of moments a bone, or one that lacks the first or the last.
    """
    moments = np.arange(len(animation.timestamps))
    mask = np.zeros((len(moments), len(animation.bones)), dtype=bool)
    if len(kept) != len(animation.bones):
        raise ValueError(f"{len(animation.bones)} bones need as many lists of kept moments, got {len(kept)}")
    for column, keys in zip(mask.T, kept, strict=True):
        column[keys] = True
    if len(moments) and not (mask[0].all() and mask[-1].all()):
        raise ValueError("the first and the last moment of every bone must be kept")
    return _shown(animation, _lanes(animation, frames, channels), mask, moments)


@dataclass(frozen=True, eq=False)
class _Lane:
    """Bones keyed alike, their F moments one bone after the other in one row of n = F · bones places.

    Attributes:
        columns: positions of the bones in ``animation.bones``.
        mode: rotation mode of the channels.
        times: (n,) when, in frames or seconds.
        values: (C, n) rotation channels.
        true: (4, n) rotations they stand for.
        locations: (3, n) location channels, of a single bone, or None.
        located: position of that bone in ``animation.located``.
    """

    columns: NDArray[np.intp]
    mode: str
    times: Array
    values: Array
    true: Array
    locations: Array | None = None
    located: int = -1

    def between(
        self, at: NDArray[np.intp], before: NDArray[np.intp], after: NDArray[np.intp]
    ) -> tuple[Array, Array | None]:
        """Rotations (4, k) and locations (3, k) at k places of the row between keys at others, as Blender has them."""
        span = self.times[after] - self.times[before]
        share = (self.times[at] - self.times[before]) / np.where(span > 0, span, 1.0)

        def linear(row: Array) -> Array:
            start = row[:, before]
            return start + share * (row[:, after] - start)

        places = None if self.locations is None else linear(self.locations)
        return _quaternions(linear(self.values), self.mode), places


def _lanes(animation: RigAnimation, frames: ArrayLike | None, channels: Channels | None) -> list[_Lane]:
    """The animation's bones: those that only turn, in quaternions, together; each other by itself."""
    times = animation.timestamps if frames is None else np.asarray(frames, dtype=np.float64)
    if times.shape != animation.timestamps.shape:
        raise ValueError(f"{len(animation.timestamps)} moments need as many frames, got shape {times.shape}")
    channels = channels or {}
    rotations = np.moveaxis(normalize(animation.rotations.astype(np.float64)), -1, 0)  # (4, F, M)
    located = [animation.located.index(bone) if bone in animation.located else -1 for bone in animation.bones]
    alone = [m for m in range(len(located)) if m in channels or located[m] >= 0]
    together = np.setdiff1d(np.arange(len(located)), alone)
    row = np.swapaxes(rotations[..., together], 1, 2).reshape(4, -1)
    lanes = [_Lane(together, "QUATERNION", np.tile(times, len(together)), row, row)] if len(together) else []
    for m in alone:
        true, i = rotations[..., m], located[m]
        mode, values = channels.get(m, ("QUATERNION", true.T))
        locations = animation.locations[:, i].astype(np.float64).T if i >= 0 else None
        lanes.append(_Lane(np.array([m]), mode, times, np.asarray(values, np.float64).T, true, locations, i))
    return lanes


def _shown(
    animation: RigAnimation, lanes: Sequence[_Lane], kept: NDArray[np.bool_], moments: NDArray[np.intp]
) -> RigAnimation:
    """Some moments of the animation as Blender shows them with the keys of `kept` (F, M) alone."""
    rotations, locations = animation.rotations[moments].copy(), animation.locations[moments].copy()
    for lane in lanes:
        at = (np.arange(len(lane.columns))[:, None] * len(kept) + moments).ravel()
        before, after = _neighbours(kept[:, lane.columns].T.ravel())
        turns, places = lane.between(at, before[at], after[at])
        shown = turns.reshape(4, len(lane.columns), len(moments)).transpose(2, 1, 0)
        as_keyed = kept[np.ix_(moments, lane.columns)][..., None]
        rotations[:, lane.columns] = np.where(as_keyed, rotations[:, lane.columns], shown)
        if places is not None:
            locations[:, lane.located] = places.T
    return replace(animation, timestamps=animation.timestamps[moments], rotations=rotations, locations=locations)


def _neighbours(keyed: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(n,) the key at or before each place of a row, and the key at or after it; its ends are keys."""
    place = np.arange(len(keyed))
    before = np.maximum.accumulate(np.where(keyed, place, 0))
    after = np.minimum.accumulate(np.where(keyed, place, len(keyed))[::-1])[::-1]
    return before, after


def _add_keys(lane: _Lane, kept: NDArray[np.bool_], wrong: NDArray[np.bool_], bound: _Bound, share: float) -> None:
    """Add keys to `kept` (F, M) where these bones are furthest off, until none uses up its share where `wrong`."""
    keyed = kept[:, lane.columns].T.ravel()
    at = np.flatnonzero(wrong[:, lane.columns].T.ravel() & ~keyed)
    before, after = (keys[at] for keys in _neighbours(keyed))
    while len(at):
        excess = bound.own_excess(lane, at, before, after) / share
        first = np.flatnonzero(np.diff(before, prepend=-1))  # of each span between two keys
        span = np.repeat(np.arange(len(first)), np.diff(first, append=len(at)))
        worst = np.maximum.reduceat(excess, first)
        hit = np.flatnonzero(excess == worst[span])
        key = at[hit[np.unique(span[hit], return_index=True)[1]]]
        keyed[key[worst > 1]] = True
        new = key[span]
        open_ = (worst[span] > 1) & (at != new)
        at, before, after, new = at[open_], before[open_], after[open_], new[open_]
        before, after = np.where(at > new, new, before), np.where(at < new, new, after)
    kept[:, lane.columns] = keyed.reshape(len(lane.columns), -1).T


def _quaternions(values: Array, mode: str) -> Array:
    """(4, n) rotations that a bone's channels (C, n) give in Blender: quaternions, axis-angles or Euler angles."""
    if mode == "QUATERNION":
        return values / np.maximum(np.sqrt(np.einsum("in,in->n", values, values)), 1e-9)
    if mode == "AXIS_ANGLE":
        half = values[:1] / 2
        return np.concatenate([np.cos(half), np.sin(half) * normalize(values[1:], axis=0)])
    out = np.array([1.0, 0.0, 0.0, 0.0])
    for letter in mode:  # the first letter's rotation comes first
        axis = "XYZ".index(letter)
        turn = np.zeros((values.shape[1], 4))
        turn[:, 0], turn[:, 1 + axis] = np.cos(values[axis] / 2), np.sin(values[axis] / 2)
        out = quat_multiply(turn, out)
    return out.T


class _Bound:
    """How far an animation is off the true one, in shares of the bounds."""

    def __init__(self, animation: RigAnimation, radians: float, metres: float) -> None:
        self.animation, self.radians, self.metres = animation, radians, metres
        self.matrices = pose_matrices(animation)
        self.tails = bone_tails(animation, self.matrices)
        self.to_world = animation.rig.world[:3, :3]
        self.scale = float(np.linalg.norm(self.to_world, 2))
        self.per_radian = np.maximum(1 / radians, self._reach() / metres)

    def _reach(self) -> Array:
        """(M,) furthest that anything a keyed bone carries gets from its head, metres."""
        heads = self.matrices[::8, :, :3, 3]
        reach = np.zeros(len(self.animation.bones))
        for m, bone in enumerate(self.animation.bones):
            carried = _carried(self.animation.rig.parents, bone)
            for ends in (heads, self.tails[::8]):
                away = np.linalg.norm(ends[:, carried] - heads[:, None, bone], axis=-1)
                reach[m] = max(reach[m], away.max(initial=0.0))
        return reach * self.scale

    def own_excess(self, lane: _Lane, at: NDArray[np.intp], before: NDArray[np.intp], after: NDArray[np.intp]) -> Array:
        """(k,) of each bone alone: its rotation, what that moves at its furthest, and its location."""
        turns, places = lane.between(at, before, after)
        cosine = np.abs(np.einsum("in,in->n", turns, lane.true[:, at]))  # both unit in double precision
        angle = 4 * np.arcsin(np.sqrt(np.clip(1 - cosine, 0, 1) / 2))
        excess = angle * self.per_radian[lane.columns[at // (len(lane.times) // len(lane.columns))]]
        if places is not None and lane.locations is not None:
            moved = np.linalg.norm(places - lane.locations[:, at], axis=0) * self.scale
            excess = np.maximum(excess, moved / self.metres)
        return excess

    def world_excess(self, shown: RigAnimation, moments: NDArray[np.intp]) -> Array:
        """(k, M) the most that anything a keyed bone carries, itself included, is off in the world at some moments."""
        matrices, true = pose_matrices(shown), self.matrices[moments]
        apart = matrices[..., :3, :3] - true[..., :3, :3]
        turned = np.sqrt(np.einsum("fnij,fnij->fn", apart, apart))
        excess = 2 * np.arcsin(np.minimum(turned / np.sqrt(8), 1.0)) / self.radians
        for ends, off in (
            (true[..., :3, 3], matrices[..., :3, 3]),
            (self.tails[moments], bone_tails(shown, matrices)),
        ):
            excess = np.maximum(excess, np.linalg.norm((ends - off) @ self.to_world.T, axis=-1) / self.metres)
        for bone, parent in reversed(list(enumerate(self.animation.rig.parents))):
            if parent >= 0:
                excess[:, parent] = np.maximum(excess[:, parent], excess[:, bone])
        a, b = shown.rotations, self.animation.rotations[moments]
        chord = np.sqrt(np.minimum(*(np.einsum("fmi,fmi->fm", c, c) for c in (a - b, a + b))))
        own = 4 * np.arcsin(np.minimum(chord / 2, 1.0)) / self.radians
        return np.maximum(excess[:, list(self.animation.bones)], own)


def _carried(parents: Sequence[int], bone: int) -> list[int]:
    """A bone and all that hangs on it."""
    out = {bone}
    for child in range(bone + 1, len(parents)):
        if parents[child] in out:
            out.add(child)
    return sorted(out)
