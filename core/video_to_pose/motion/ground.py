# SPDX-License-Identifier: GPL-3.0-or-later
"""Upright on a floor: world axes from the up vector, the floor's height, foot contacts, and a calm root above them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rotation import normalize
from ..settings import MotionSettings
from ..skeleton import Skeleton
from . import filters
from .smooth import smooth

Array = NDArray[np.floating]

CONTACTS: dict[str, str] = {
    "left_heel": "left_ankle",
    "left_toe": "left_toe",
    "right_heel": "right_ankle",
    "right_toe": "right_toe",
}
"""What can touch the floor, and the joint above it where the skeleton has none of that name."""

_SOLE_PER_LEG = {"ankle": 0.092, "toe": 0.018, "heel": 0.022}  # joint above the sole against the leg's length
_GROUNDING_HZ = 0.7
_ANCHOR_HZ = 0.15
_SHORTEST_S = 0.1
_STAYS = 1.3  # times the thresholds, for what is planted already
_OF_WALK = 0.4  # of the body's speed: a planted foot never seems faster
_SLIDE_HZ = 7.0
_STILL_M_S, _STEP_S, _SOLE_NOISE_M = 0.5, 2.0, 0.04
_UP_PRIOR = 0.1  # tangent of about six degrees: how far the lifter's up is usually off
_TILT_LIMIT_DEGREES = 10.0
_FLOOR_WINDOW_S = 1.4
_DRIFT_M, _DRIFT_SLOPE = 0.04, 0.08  # how far the floor may seem to rise on the spot, and for a metre of way
_SINK_M, _UNSINK_S = 0.015, 0.2


def world_axes(up: ArrayLike) -> Array:
    """(3, 3) R_world_camera for an up vector in camera axes: Z is up, Y where the camera looks, X to its right."""
    z = normalize(np.asarray(up, dtype=np.float64))
    forward = np.array([0.0, 0.0, 1.0])
    if abs(z[2]) > 0.98:  # the camera looks straight down or up: its picture's top is forward
        forward = np.array([0.0, -1.0, 0.0])
    y = normalize(forward - (forward @ z) * z)
    return np.stack([np.cross(y, z), y, z])


def sole_heights(skeleton: Skeleton, joints: Array, leg_length: float) -> Array:
    """(F, C) height of the sole below each of `contact_joints`, as if the foot were flat."""
    columns = []
    for joint in contact_joints(skeleton).values():
        below = _SOLE_PER_LEG[joint.rpartition("_")[2]] * leg_length
        columns.append(joints[:, skeleton.index(joint), 2] - below)
    return np.stack(columns, axis=1) if columns else np.zeros((len(joints), 0))


def contact_joints(skeleton: Skeleton) -> dict[str, str]:
    """What of a skeleton can touch the floor -> the joint that tells: heels by themselves or else by the ankles."""
    return {
        name: name if name in skeleton.joints else joint
        for name, joint in CONTACTS.items()
        if name in skeleton.joints or joint in skeleton.joints
    }


def find_contacts(heights: Array, places: Array, rate: float, settings: MotionSettings) -> NDArray[np.bool_]:
    """(F, C) true where a sole is low and slow for at least a tenth of a second.

    What is planted stays so until it is clearly higher or faster than the thresholds. Who goes fast is seen less
    steadily, but swings the feet faster still: the speed threshold is at least two fifths of the body's speed.

    Args:
        heights: (F, C) above the floor, metres.
        places: (F, C, 3) of the joints, metres.
        rate: frames per second.
        settings: thresholds.
    """
    if len(places) < 2 or not heights.size:
        return heights < settings.contact_height_m
    speed = np.linalg.norm(np.gradient(smooth(places, rate, 5.0), axis=0), axis=-1) * rate
    body = np.linalg.norm(np.gradient(smooth(places[..., :2].mean(axis=1), rate, 0.5), axis=0), axis=-1) * rate
    slowness = np.maximum(settings.contact_speed_m_s, _OF_WALK * body)[:, None]
    low, slow = heights / settings.contact_height_m, speed / slowness
    planted = filters.spread((low < 1) & (slow < 1), (low < _STAYS) & (slow < _STAYS))
    lasting = max(1, round(_SHORTEST_S * rate))
    padded = np.pad(planted, ((lasting, lasting), (0, 0)), mode="edge")
    return filters.without_flashes(filters.without_gaps(padded, lasting), lasting)[lasting:-lasting]


def floor_tilt(places: Array, heights: Array, rate: float) -> Array:
    """(3,) unit normal, in world axes, of the plane that slow soles lie on, as far as it is seen.

    The lowest sole of every frame, weighted by how still it is and by how well it agrees with the others, is fitted by
    a plane. A prior keeps a person who stays on one spot, climbs or sits from tipping over: only soles that lie flat
    over a metre and more move the present up, and never by more than `_TILT_LIMIT_DEGREES`.

    Args:
        places: (F, C, 3) joints above the soles, metres.
        heights: (F, C) of the soles.
        rate: frames per second.
    """
    if len(places) < 2 or not heights.size:
        return np.array([0.0, 0.0, 1.0])
    lowest = heights.argmin(axis=1)
    frames = np.arange(len(places))
    speed = np.linalg.norm(np.gradient(smooth(places, rate, 5.0), axis=0), axis=-1)[frames, lowest] * rate
    still = 1.0 / (1.0 + (speed / _STILL_M_S) ** 4)
    flat, height = places[frames, lowest, :2], heights[frames, lowest]

    weight, noise, slope = still, _SOLE_NOISE_M, np.zeros(2)
    for _ in range(4):
        total = max(float(weight.sum()), 1e-9)
        x, y = flat - weight @ flat / total, height - weight @ height / total
        precision = 1.0 / (_STEP_S * rate) / noise**2  # of one frame: a step is one independent observation
        slope = np.linalg.solve(
            precision * (x.T * weight) @ x + np.eye(2) / _UP_PRIOR**2, precision * (x.T * weight) @ y
        )
        off = y - x @ slope
        noise = max(_SOLE_NOISE_M, float(np.sqrt(weight @ off**2 / total)))
        weight = still / (1.0 + (off / _SOLE_NOISE_M) ** 2)
    steepness = float(np.hypot(*slope))
    slope *= min(1.0, np.tan(np.radians(_TILT_LIMIT_DEGREES)) / max(steepness, 1e-9))
    return normalize(np.array([-slope[0], -slope[1], 1.0]))


def floor_line(heights: Array, places: Array, rate: float, flat: bool) -> Array:
    """(F,) height of the floor under every frame before it is moved to z = 0.

    With a flat floor it follows the lowest soles over about two steps, so that slow drift of depth or tilt does not
    lift or sink the person while jumps keep their height. Drift grows with the way covered: who rises without going
    anywhere climbs, and keeps the height. Without a flat floor it is one height for the clip.

    Args:
        heights: (F, C) of the soles, metres.
        places: (F, C, 3) of the joints above them.
        rate: frames per second.
        flat: whether everybody stands on one level.
    """
    if not heights.size:
        return np.zeros(len(heights))
    lowest = heights.min(axis=1)
    level = float(np.percentile(lowest, 10))
    if not flat or len(heights) < 2:
        return np.full(len(heights), level)
    width = max(1, round(_FLOOR_WINDOW_S * rate))
    envelope = filters.opened(smooth(lowest, rate, 4.0), width)
    path = places[..., :2].mean(axis=1)
    low = lowest <= np.percentile(lowest, 30)
    away = np.linalg.norm(path - np.median(path[low], axis=0), axis=-1)
    drift = np.clip(envelope - level, -np.inf, _DRIFT_M + _DRIFT_SLOPE * away)
    return level + smooth(drift, rate, 0.5 / _FLOOR_WINDOW_S)


def unsink(root: Array, heights: Array, rate: float) -> Array:
    """Root path (F, 3) raised smoothly wherever a sole is deeper than `_SINK_M` in the floor z = 0."""
    if not heights.size:
        return root
    depth = np.maximum(-_SINK_M - heights.min(axis=1), 0.0)
    width = max(1, round(_UNSINK_S * rate))
    raised = filters.mean(filters.highest(depth, 2 * width + 1), width)
    return root + raised[:, None] * [0.0, 0.0, 1.0]


def ground(root: Array, heights: Array, contacts: NDArray[np.bool_], rate: float) -> Array:
    """Root path (F, 3) raised or lowered slowly so that planted soles lie on z = 0. Jumps keep their height."""
    planted = contacts.any(axis=1)
    if not planted.any():
        return root
    error = np.where(contacts, heights, np.inf).min(axis=1)
    error = np.where(planted, error, 0.0)
    out = root.copy()
    frames = np.arange(len(root))
    # what is far from any contact keeps the correction of the nearest one
    held = np.interp(frames, frames[planted], error[planted])
    out[:, 2] -= smooth(held, rate, _GROUNDING_HZ, np.where(planted, 1.0, 0.02))
    return out


def anchor(root: Array, places: Array, contacts: NDArray[np.bool_], rate: float) -> Array:
    """Root path (F, 3) that does not slide under planted feet over a step, yet keeps its course over seconds.

    While feet are planted their horizontal motion is taken off the root's; the sum of what was taken off is then
    freed of all that is slower than a step, so that errors never add up to a drift.
    """
    if len(root) < 2 or not contacts.any():
        return root
    both = contacts[1:] & contacts[:-1]
    step = np.diff(places[..., :2], axis=0)
    count = both.sum(axis=1, keepdims=True)
    slide = np.where(count > 0, (step * both[..., None]).sum(axis=1) / np.maximum(count, 1), 0.0)
    slide = smooth(slide, rate, _SLIDE_HZ)  # feet shiver, bodies do not
    taken = np.concatenate([np.zeros((1, 2)), np.cumsum(slide, axis=0)])
    out = root.copy()
    out[:, :2] -= taken - smooth(taken, rate, _ANCHOR_HZ)
    return out
