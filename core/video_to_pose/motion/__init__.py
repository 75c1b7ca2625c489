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
from .rigid import even_hips, even_sides, rigid_parts
from .root import root_path
from .smooth import bridge, smooth, smooth_directions
from .unseen import eased, held, unseen_joints, without


def standing_height(skeleton: Skeleton, lengths: ArrayLike) -> float:
    """Height in metres of a person with these bone lengths, sole to scalp."""
    return float(bones.standing_height(skeleton, np.asarray(lengths, dtype=np.float64)))


def solve(
    track: KeypointTrack, pose: LiftedPose, camera: CameraSettings, settings: MotionSettings
) -> tuple[Motion, Camera]:
    """One person's motion in the world, and the still camera that saw it.

    Arms and legs that the picture does not show are at rest and have no confidence; where no foot is seen, the hips are
    as high as the legs at rest.

    Args:
        track: keypoints of the same frames as `pose`.
        pose: directions in camera axes, lengths, up.
        camera: field of view and the person's height, where known.
        settings: smoothing and contact thresholds.

    Raises:
        InputError: a field of view or height that cannot be.
    """
    skeleton = pose.skeleton
    lengths = (even_sides if settings.even_sides else even_hips)(skeleton, pose.lengths)
    if camera.height_m is not None:
        if not 0.3 <= camera.height_m <= 3.0:
            raise InputError(
                f"A height of {camera.height_m:g} m is not possible.", "Give metres between 0.3 and 3.", "height-range"
            )
        lengths *= camera.height_m / standing_height(skeleton, lengths)
    focal, centre = intrinsics(track.image_size, camera)
    rate = track.frame_rate

    seen = np.any(pose.confidence > 0, axis=1, keepdims=True)
    unseen = unseen_joints(skeleton, track, rate)
    directions = _mended(pose)[0] if settings.mend_glitches else _bridged(pose)
    directions = smooth_directions(directions, rate, settings.smoothing_cutoff_hz, pose.confidence[:, 1:])
    directions = rigid_parts(skeleton, directions, lengths)
    root_camera = root_path(
        skeleton,
        bones.compose(skeleton, directions, lengths),
        without(track, skeleton, unseen),
        focal,
        centre,
        depth_cutoff_hz=settings.root_depth_cutoff_hz,
        cutoff_hz=settings.smoothing_cutoff_hz,
    )

    feet = _Feet(skeleton, lengths, ~unseen)
    R: NDArray[np.floating] = ground.world_axes(pose.up)
    if settings.flat_floor and feet.seen.any():
        heights, places = feet(directions @ R.T, root_camera @ R.T)
        R = ground.world_axes(R.T @ ground.floor_tilt(places, heights, rate))
    directions, root = directions @ R.T, root_camera @ R.T

    floor = ground.floor_line(*feet(directions, root), rate, settings.flat_floor)
    root = root - floor[:, None] * [0.0, 0.0, 1.0]
    heights, places = feet(directions, root)
    contacts = ground.find_contacts(heights, places, rate, settings) & seen & feet.seen
    root = ground.ground(root, heights, contacts, rate)
    root = ground.unsink(root, feet(directions, root)[0], rate)
    root = ground.anchor(root, feet(directions, root)[1], contacts, rate)
    directions = held(skeleton, directions, unseen, rate)
    footless = np.asarray(~feet.seen.any(axis=1))
    root = _stood(skeleton, directions, lengths, root, footless, rate)
    root = root - root[0] * [1.0, 1.0, 0.0]
    position = np.median(root - root_camera @ R.T, axis=0)  # a still camera, where most frames put it
    motion = Motion(
        skeleton=skeleton,
        timestamps=track.timestamps,
        directions=directions,
        lengths=lengths,
        root=root,
        confidence=np.where(unseen, 0.0, pose.confidence),
        contact_names=feet.names,
        contacts=contacts,
    )
    if settings.plant_feet and not footless.all():
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
    return bridge(rigid_parts(pose.skeleton, pose.directions, pose.lengths), np.any(pose.confidence > 0, axis=1))


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


def _stood(
    skeleton: Skeleton,
    directions: NDArray[np.floating],
    lengths: NDArray[np.floating],
    root: NDArray[np.floating],
    footless: NDArray[np.bool_],
    rate: float,
) -> NDArray[np.floating]:
    """Root path (F, 3) so high, where no foot is seen (F,), that what hangs or lies lowest is on the floor z = 0."""
    if not footless.any():
        return root
    joints = bones.compose(skeleton, directions, lengths)
    heights = np.concatenate([ground.sole_heights(skeleton, joints, _leg(skeleton, lengths)), joints[..., 2]], axis=1)
    low = -smooth(heights.min(axis=1), rate, 1.0, footless)
    return root + (eased(footless, rate) * (low - root[:, 2]))[:, None] * [0.0, 0.0, 1.0]


def _leg(skeleton: Skeleton, lengths: NDArray[np.floating]) -> float:
    """Metres of thigh and shank."""
    return float(sum(lengths[skeleton.index(joint) - 1] for joint in ("left_knee", "left_ankle")))


class _Feet:
    """Heights (F, C) of the soles and places (F, C, 3) of the joints above them.

    Where a foot is not seen, both go evenly from where it was to where it will be; one that is never seen is where the
    others are.

    Attributes:
        names: C things that can touch the floor.
        seen: (F, C) whether they are seen.
    """

    def __init__(self, skeleton: Skeleton, lengths: NDArray[np.floating], seen: NDArray[np.bool_]) -> None:
        self.skeleton, self.lengths = skeleton, lengths
        joints = ground.contact_joints(skeleton)
        self.names, self.index = tuple(joints), [skeleton.index(joint) for joint in joints.values()]
        self.seen = seen[:, self.index]
        self.leg = _leg(skeleton, lengths)

    def __call__(
        self, directions: NDArray[np.floating], root: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        joints = bones.compose(self.skeleton, directions, self.lengths, root)
        heights, places = ground.sole_heights(self.skeleton, joints, self.leg), joints[:, self.index]
        if self.seen.all() or not self.seen.any():
            return heights, places
        frames, ever = np.arange(len(places)), self.seen.any(axis=0)
        for c in np.flatnonzero(ever):
            known = self.seen[:, c]
            heights[:, c] = np.interp(frames, frames[known], heights[known, c])
            for axis in range(3):
                places[:, c, axis] = np.interp(frames, frames[known], places[known, c, axis])
        one = int(np.argmax(ever))
        heights[:, ~ever], places[:, ~ever] = heights[:, [one]], places[:, [one]]
        return heights, places


__all__ = ["intrinsics", "repairs", "solve", "standing_height"]
