# SPDX-License-Identifier: GPL-3.0-or-later
"""What the picture never shows is held at rest instead of guessed: legs below the frame, arms beside it.

A network answers for every joint, seen or not. Where a limb is out of the picture, or its keypoints have no score, for
most of a second and a half, its bones hang straight down, feet flat, and its joints have no confidence; shorter gaps
stay what the network makes of them, and so does what the body itself hides: there the network knows better than rest
(measured: 10 mm of MPJPE). Somebody who lies is at rest along the trunk.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..rotation import frame_from_axes, normalize
from ..skeleton import Skeleton
from ..types import KeypointTrack
from . import filters
from .smooth import smooth

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

_MOST_OF_S = 1.5
_HEADING_HZ = 0.3  # of where feet at rest point
_EASE_S = 0.4  # from rest to what is seen and back
_LYING = 0.5  # cosine of the trunk's lean, from which on gravity does not tell where legs hang

_LIMBS = (  # keypoint near the trunk, keypoint far from it, what the far one carries, least score of what is seen
    ("knee", "ankle", ("toe", "heel"), 0.08),  # detectors draw legs up into the picture, but with less than this
    ("elbow", "wrist", ("hand", "thumb", "index", "little"), 0.005),  # behind the back they have hardly more
)
_REST = {  # the left side's bones by the joint they end at; x to the left, y back, z up, as the body faces
    "knee": (0.0, 0.0, -1.0),
    "ankle": (0.0, 0.0, -1.0),
    "toe": (0.08, -0.92, -0.38),
    "heel": (0.03, 0.66, -0.75),
    "elbow": (0.12, 0.0, -1.0),
    "wrist": (0.05, -0.1, -1.0),
    "hand": (0.0, -0.1, -1.0),
    "index": (0.0, -0.4, -0.93),
    "little": (0.0, 0.24, -0.97),
    "thumb": (-0.1, -0.75, -0.65),
}


def unseen_joints(skeleton: Skeleton, track: KeypointTrack, rate: float) -> Mask:
    """(F, J) joints of arms and legs that the picture does not show for long.

    A joint nearer to the trunk than one that is seen counts as seen. Layouts without a limb's keypoints tell nothing
    of it: then it is not called unseen. Nor is anybody in frames in which nobody is found: there it is as before.

    Args:
        skeleton: of the answer.
        track: keypoints.
        rate: frames per second.
    """
    out = np.zeros((track.frame_count, skeleton.joint_count), dtype=bool)
    anybody = np.asarray((track.scores > 0).any(axis=1))
    if not anybody.any():
        return out
    frames = np.arange(len(anybody))
    before = np.maximum.accumulate(np.where(anybody, frames, -1))
    nearest = np.where(before < 0, int(np.argmax(anybody)), before)
    for near, far, carried, least in _LIMBS:
        for side in ("left", "right"):
            if f"{side}_{near}" not in track.names or f"{side}_{far}" not in track.names:
                continue
            far_seen = _seen(track, f"{side}_{far}", least)[nearest]
            near_seen = _seen(track, f"{side}_{near}", least)[nearest] | far_seen
            for joints, seen in (((near,), near_seen), ((far, *carried), far_seen)):
                hidden = ~_mostly(seen, rate)
                for joint in joints:
                    if f"{side}_{joint}" in skeleton.joints:
                        out[:, skeleton.index(f"{side}_{joint}")] = hidden
    return out


def without(track: KeypointTrack, skeleton: Skeleton, unseen: Mask) -> KeypointTrack:
    """The track without scores where joints (F, J) are unseen: what is guessed there tells not where somebody is."""
    scores = track.scores.copy()
    for k, name in enumerate(track.names):
        if name in skeleton.joints:
            scores[unseen[:, skeleton.index(name)], k] = 0.0
    return replace(track, scores=scores)


def held(skeleton: Skeleton, directions: Array, unseen: Mask, rate: float) -> Array:
    """World directions (F, B, 3) with unseen limbs at rest, eased into and out of where they are seen again.

    Args:
        skeleton: B bones.
        directions: (F, B, 3) world axes.
        unseen: (F, J).
        rate: frames per second.
    """
    if not unseen.any():
        return directions
    body = _standing(skeleton, directions, rate)
    out = directions.copy()
    for joint in np.flatnonzero(unseen.any(axis=0)):
        side, _, part = skeleton.joints[joint].partition("_")
        rest = normalize(np.array(_REST[part]) * (1.0 if side == "left" else -1.0, 1.0, 1.0))
        weight = eased(unseen[:, joint], rate)[:, None]
        mixed = (1 - weight) * out[:, joint - 1] + weight * (body @ rest)
        there = np.linalg.norm(mixed, axis=-1, keepdims=True) > 1e-3
        out[:, joint - 1] = np.where(there, normalize(mixed), body @ rest)
    return out


def eased(mask: Mask, rate: float) -> Array:
    """(F,) 1 where true, falling to 0 beside it, so that nothing jumps."""
    width = 2 * max(1, round(_EASE_S * rate / 2)) + 1
    weight: Array = filters.mean(filters.highest(mask.astype(np.float64), width), width)
    return np.where(mask, 1.0, weight * weight * (3 - 2 * weight))


def _seen(track: KeypointTrack, name: str, least: float) -> Mask:
    """(F,) whether a keypoint is in the picture with at least some score."""
    k = track.names.index(name)
    place = track.positions[:, k]
    with np.errstate(invalid="ignore"):
        inside = np.all((place >= 0) & (place <= np.array(track.image_size)), axis=-1)
    return inside & (track.scores[:, k] >= least)


def _mostly(seen: Mask, rate: float) -> Mask:
    """(F,) whether something is seen in at least half of the time around a frame."""
    kernel = np.ones(2 * max(1, round(_MOST_OF_S * rate / 2)) + 1)
    both = filters.correlate(np.stack([seen, np.ones_like(seen)], axis=1).astype(np.float64), kernel)
    return both[:, 0] >= 0.5 * both[:, 1]


def _standing(skeleton: Skeleton, directions: Array, rate: float) -> Array:
    """(F, 3, 3) axes of a body at rest in the world: x to its left, y back, z up or along a trunk that lies."""
    left = directions[:, skeleton.index("left_hip") - 1]
    trunk = normalize(directions[:, skeleton.index("spine") - 1])
    lies = float(np.median(trunk[:, 2])) < _LYING
    up = trunk if lies else np.broadcast_to([0.0, 0.0, 1.0], trunk.shape)
    flat = left - np.sum(left * up, axis=-1, keepdims=True) * up
    x = frame_from_axes(up, smooth(flat, rate, _HEADING_HZ))[..., 0]
    return np.stack([x, np.cross(up, x), up], axis=-1)
