# SPDX-License-Identifier: GPL-3.0-or-later
"""From a lifted pose to motion in the world: rigid parts, smoothing, root path, up, floor, contacts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import bones, retarget
from ..errors import InputError
from ..retarget import Repair
from ..rotation import normalize
from ..settings import CameraSettings, MotionSettings
from ..skeleton import Skeleton
from ..types import Camera, KeypointTrack, LiftedPose, Motion
from . import ground
from .camera import intrinsics
from .rigid import even_hips, rigid_parts
from .root import root_path
from .smooth import bridge, smooth_directions

_HEIGHT_PER_CHAIN = 1.03
"""Standing height against ankle-knee-hip plus pelvis-spine-thorax-head-crown: soles, scalp, less the spine's curve."""


def standing_height(skeleton: Skeleton, lengths: ArrayLike) -> float:
    """Height in metres of a person with these bone lengths, sole to scalp."""
    lengths = np.asarray(lengths)
    chain = ("left_knee", "left_ankle", "spine", "thorax", "head", "head_top")
    if "head" not in skeleton.joints:
        chain = ("left_knee", "left_ankle", "spine", "thorax", "nose", "head_top")
    return float(sum(lengths[skeleton.index(joint) - 1] for joint in chain)) * _HEIGHT_PER_CHAIN


def solve(
    track: KeypointTrack, pose: LiftedPose, camera: CameraSettings, settings: MotionSettings
) -> tuple[Motion, Camera]:
    """One person's motion in the world, and the still camera that saw it.

    Args:
        track: keypoints of the same frames as `pose`.
        pose: directions in camera axes, lengths, up.
        camera: field of view and the person's height, where known.
        settings: smoothing and contact thresholds.

    Raises:
        InputError: a field of view or height that cannot be.
    """
    skeleton, lengths = pose.skeleton, even_hips(pose.skeleton, pose.lengths)
    if camera.height_m is not None:
        if not 0.3 <= camera.height_m <= 3.0:
            raise InputError(
                f"A height of {camera.height_m:g} m is not possible.", "Give metres between 0.3 and 3.", "height-range"
            )
        lengths *= camera.height_m / standing_height(skeleton, lengths)
    focal, centre = intrinsics(track.image_size, camera)
    rate = float((track.frame_count - 1) / np.ptp(track.timestamps)) if track.frame_count > 1 else 30.0

    seen = np.any(pose.confidence > 0, axis=1, keepdims=True)
    directions = _mended(pose)[0] if settings.mend_glitches else _bridged(pose)
    directions = smooth_directions(directions, rate, settings.smoothing_cutoff_hz, pose.confidence[:, 1:])
    directions = rigid_parts(skeleton, directions)
    root_camera = root_path(
        skeleton,
        bones.compose(skeleton, directions, lengths),
        track,
        focal,
        centre,
        depth_cutoff_hz=settings.root_depth_cutoff_hz,
        cutoff_hz=settings.smoothing_cutoff_hz,
    )

    feet = _Feet(skeleton, lengths)
    R: NDArray[np.floating] = ground.world_axes(pose.up)
    if settings.flat_floor:
        heights, places = feet(directions @ R.T, root_camera @ R.T)
        R = ground.world_axes(R.T @ ground.floor_tilt(places, heights, rate))
    directions, root = directions @ R.T, root_camera @ R.T

    floor = ground.floor_line(*feet(directions, root), rate, settings.flat_floor)
    root = root - floor[:, None] * [0.0, 0.0, 1.0]
    heights, places = feet(directions, root)
    contacts = ground.find_contacts(heights, places, rate, settings) & seen
    root = ground.ground(root, heights, contacts, rate)
    root = ground.unsink(root, feet(directions, root)[0], rate)
    root = ground.anchor(root, feet(directions, root)[1], contacts, rate)
    root = root - root[0] * [1.0, 1.0, 0.0]
    position = np.median(root - root_camera @ R.T, axis=0)  # a still camera, where most frames put it
    motion = Motion(
        skeleton=skeleton,
        timestamps=track.timestamps,
        directions=directions,
        lengths=lengths,
        root=root,
        confidence=pose.confidence,
        contact_names=tuple(ground.contact_joints(skeleton)),
        contacts=contacts,
    )
    if settings.plant_feet:
        motion = retarget.planted(motion)
    return motion, Camera(focal, centre.astype(np.float32), track.image_size, R, position)


def repairs(pose: LiftedPose) -> tuple[Repair, ...]:
    """What `solve` mends of a pose when it is asked to mend glitches, in order of time."""
    return _mended(pose)[1]


@lru_cache(maxsize=1)  # of one and the same pose, however often it is solved and asked after
def _mended(pose: LiftedPose) -> tuple[NDArray[np.floating], tuple[Repair, ...]]:
    """`_bridged` with leaps and exchanged sides mended while they are still sharp, and what was mended."""
    mended, repairs = retarget.repair(_rough(pose, _bridged(pose)))
    return mended.directions.astype(np.float64), repairs


def _bridged(pose: LiftedPose) -> NDArray[np.floating]:
    """Directions (F, B, 3) with rigid pelvis and head, turning evenly through frames without anybody."""
    return bridge(rigid_parts(pose.skeleton, pose.directions), np.any(pose.confidence > 0, axis=1))


def _rough(pose: LiftedPose, directions: NDArray[np.floating]) -> Motion:
    """Directions (F, B, 3), still sharp, as a motion that stays on the spot: leaps and exchanged sides show in it."""
    frames, unit = len(directions), normalize(directions)
    return Motion(
        skeleton=pose.skeleton,
        timestamps=pose.timestamps,
        directions=np.where(unit.any(axis=-1, keepdims=True), unit, pose.directions),
        lengths=pose.lengths,
        root=np.zeros((frames, 3)),
        confidence=pose.confidence,
        contact_names=(),
        contacts=np.zeros((frames, 0), dtype=bool),
    )


class _Feet:
    """Heights (F, C) of the soles and places (F, C, 3) of the joints above them."""

    def __init__(self, skeleton: Skeleton, lengths: NDArray[np.floating]) -> None:
        self.skeleton, self.lengths = skeleton, lengths
        self.index = [skeleton.index(joint) for joint in ground.contact_joints(skeleton).values()]
        self.leg = float(sum(lengths[skeleton.index(joint) - 1] for joint in ("left_knee", "left_ankle")))

    def __call__(
        self, directions: NDArray[np.floating], root: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        joints = bones.compose(self.skeleton, directions, self.lengths, root)
        return ground.sole_heights(self.skeleton, joints, self.leg), joints[:, self.index]


__all__ = ["intrinsics", "repairs", "solve", "standing_height"]
