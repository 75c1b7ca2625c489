# SPDX-License-Identifier: GPL-3.0-or-later
"""From a lifted pose to motion in the world: rigid parts, smoothing, root path, up, floor, contacts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .. import bones
from ..errors import InputError
from ..rotation import normalize
from ..settings import CameraSettings, MotionSettings
from ..skeleton import Skeleton
from ..types import Camera, KeypointTrack, LiftedPose, Motion
from . import ground
from .camera import intrinsics
from .rigid import rigid_parts
from .root import root_path
from .smooth import smooth

_HEIGHT_PER_CHAIN = 1.03
"""Standing height against ankle–knee–hip plus pelvis–spine–thorax–head–crown: soles and scalp less the spine's curve."""


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
    skeleton, lengths = pose.skeleton, pose.lengths.astype(np.float64)
    if camera.height_m is not None:
        if not 0.3 <= camera.height_m <= 3.0:
            raise InputError(
                f"A height of {camera.height_m:g} m is not possible.", "Give metres between 0.3 and 3.", "height-range"
            )
        lengths *= camera.height_m / standing_height(skeleton, lengths)
    focal, centre = intrinsics(track.image_size, camera)
    rate = (track.frame_count - 1) / np.ptp(track.timestamps) if track.frame_count > 1 else 30.0

    trust = 0.05 + pose.confidence[:, 1:, None]
    directions = rigid_parts(skeleton, pose.directions)
    directions = rigid_parts(skeleton, normalize(smooth(directions, rate, settings.smoothing_cutoff_hz, trust)))
    root_camera = root_path(
        skeleton,
        bones.compose(skeleton, directions, lengths),
        track,
        focal,
        centre,
        depth_cutoff_hz=settings.root_depth_cutoff_hz,
        cutoff_hz=settings.smoothing_cutoff_hz,
    )

    R = ground.world_axes(pose.up)
    directions = directions @ R.T
    root = root_camera @ R.T
    position = -root[0] * [1.0, 1.0, 0.0]
    root += position
    root, contacts, floor = _stand(skeleton, directions, lengths, root, float(rate), settings)
    position[2] -= floor
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
    return motion, Camera(focal, centre.astype(np.float32), track.image_size, R, position)


def _stand(
    skeleton: Skeleton,
    directions: np.ndarray,
    lengths: np.ndarray,
    root: np.ndarray,
    rate: float,
    settings: MotionSettings,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Root path above the floor z = 0, contacts (F, C) and the floor's height before."""
    index = [skeleton.index(joint) for joint in ground.contact_joints(skeleton).values()]
    leg = float(lengths[skeleton.index("left_knee") - 1] + lengths[skeleton.index("left_ankle") - 1])

    def feet(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        joints = bones.compose(skeleton, directions, lengths, path)
        return ground.sole_heights(skeleton, joints, leg), joints[:, index]

    heights, _ = feet(root)
    floor = ground.floor_height(heights)
    root = root - [0.0, 0.0, floor]
    heights, places = feet(root)
    contacts = ground.find_contacts(heights, places, rate, settings)
    root = ground.ground(root, heights, contacts, rate)
    _, places = feet(root)
    return ground.anchor(root, places, contacts, rate), contacts, floor


__all__ = ["intrinsics", "solve", "standing_height"]
