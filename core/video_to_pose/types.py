# SPDX-License-Identifier: GPL-3.0-or-later
"""The frozen values that travel between stages, checked once at birth.

Arrays are made read-only and float32 (timestamps float64, quaternions float32); a wrong shape raises
``ValueError`` naming what was expected and what came. Frames and axes:

* image: pixels, origin top left, x right, y down;
* camera: x right, y down, z forward, metres;
* world: Z up, right-handed, metres, floor at z = 0, a person at rest faces -Y.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .skeleton import Skeleton

Floats = NDArray[np.floating[Any]]
"""Stored as float32; any float is taken and converted at birth."""


def _frozen(value: ArrayLike, shape: tuple[int | None, ...], what: str, dtype: Any = np.float32) -> NDArray[Any]:
    array = np.array(value, dtype=dtype, order="C")
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{what}: expected shape {shape}, got {array.shape}")
    array.setflags(write=False)
    return array


def _set(instance: object, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def frame_rate(timestamps: NDArray[np.float64]) -> float:
    """Frames per second of (F,) seconds; 30.0 for a single frame, which has no rate of its own."""
    if len(timestamps) < 2:
        return 30.0
    return float((len(timestamps) - 1) / (timestamps[-1] - timestamps[0]))


@dataclass(frozen=True, eq=False)
class KeypointTrack:
    """2D keypoints of one person over a clip.

    Attributes:
        timestamps: (F,) seconds, strictly increasing.
        names: K keypoint names.
        positions: (F, K, 2) pixels; NaN where missing.
        scores: (F, K) 0 … 1; 0 where missing.
        image_size: width, height in pixels after the container's rotation.
    """

    timestamps: NDArray[np.float64]
    names: tuple[str, ...]
    positions: Floats
    scores: Floats
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        times = _frozen(self.timestamps, (None,), "timestamps", np.float64)
        count, names = len(times), tuple(self.names)
        if count > 1 and not np.all(np.diff(times) > 0):
            raise ValueError("timestamps must increase")
        positions = _frozen(self.positions, (count, len(names), 2), "positions")
        scores = _frozen(self.scores, (count, len(names)), "scores")
        if np.any(~np.isfinite(positions).all(axis=-1) & (scores > 0)):
            raise ValueError("a keypoint with a score must have a position")
        _set(self, timestamps=times, names=names, positions=positions, scores=scores)

    @property
    def frame_count(self) -> int:
        return len(self.timestamps)

    @property
    def frame_rate(self) -> float:
        return frame_rate(self.timestamps)


@dataclass(frozen=True, eq=False)
class Camera:
    """A still pinhole camera.

    Attributes:
        focal_px: focal length in pixels, equal on both axes.
        centre_px: (2,) principal point.
        image_size: width, height in pixels.
        R_world_camera: (3, 3) maps camera axes to world axes.
        position: (3,) camera centre in the world, metres.
    """

    focal_px: float
    centre_px: Floats
    image_size: tuple[int, int]
    R_world_camera: Floats = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    position: Floats = field(default_factory=lambda: np.zeros(3, dtype=np.float32))

    def __post_init__(self) -> None:
        _set(
            self,
            centre_px=_frozen(self.centre_px, (2,), "centre_px"),
            R_world_camera=_frozen(self.R_world_camera, (3, 3), "R_world_camera"),
            position=_frozen(self.position, (3,), "position"),
        )

    def project(self, points_camera: ArrayLike) -> NDArray[np.floating]:
        """(..., 3) camera-space metres to (..., 2) pixels."""
        points = np.asarray(points_camera)
        return self.focal_px * points[..., :2] / points[..., 2:] + self.centre_px

    def to_world(self, points_camera: ArrayLike) -> NDArray[np.floating]:
        """(..., 3) camera-space points to world points."""
        return np.asarray(points_camera) @ self.R_world_camera.T + self.position

    def to_camera(self, points_world: ArrayLike) -> NDArray[np.floating]:
        """(..., 3) world points to camera space."""
        return (np.asarray(points_world) - self.position) @ self.R_world_camera


@dataclass(frozen=True, eq=False)
class LiftedPose:
    """What a lifter says of one person: bone directions in camera axes and one set of lengths.

    Attributes:
        skeleton: J joints, B = J - 1 bones.
        timestamps: (F,) seconds.
        directions: (F, B, 3) unit vectors parent -> child, camera axes.
        lengths: (B,) metres.
        confidence: (F, J) 0 … 1, from the keypoints' scores.
        up: (3,) unit vector against gravity in camera axes, as the lifter sees it over the clip.
        height_spread_m: standard deviation of the standing height that single frames tell, weighted as `lengths` are;
            None where it is not known. A Take tells it in its provenance alone.
    """

    skeleton: Skeleton
    timestamps: NDArray[np.float64]
    directions: Floats
    lengths: Floats
    confidence: Floats
    up: Floats
    height_spread_m: float | None = None

    def __post_init__(self) -> None:
        times = _frozen(self.timestamps, (None,), "timestamps", np.float64)
        bones = self.skeleton.bone_count
        directions = _frozen(self.directions, (len(times), bones, 3), "directions")
        lengths = _frozen(self.lengths, (bones,), "lengths")
        _check_bones(directions, lengths)
        _set(
            self,
            timestamps=times,
            directions=directions,
            lengths=lengths,
            confidence=_frozen(self.confidence, (len(times), bones + 1), "confidence"),
            up=_frozen(self.up, (3,), "up"),
        )


@dataclass(frozen=True, eq=False)
class Motion:
    """A person's motion in the world. Joint positions are derived by `bones.compose`, never stored.

    Attributes:
        skeleton: J joints, B = J - 1 bones.
        timestamps: (F,) seconds, evenly spaced.
        directions: (F, B, 3) unit vectors parent -> child, world axes.
        lengths: (B,) metres, one set for the clip.
        root: (F, 3) position of joint 0 in the world, metres.
        confidence: (F, J) 0 … 1.
        contact_names: C names of what can touch the floor, e.g. ``left_heel``.
        contacts: (F, C) true while planted.
    """

    skeleton: Skeleton
    timestamps: NDArray[np.float64]
    directions: Floats
    lengths: Floats
    root: Floats
    confidence: Floats
    contact_names: tuple[str, ...]
    contacts: NDArray[np.bool_]

    def __post_init__(self) -> None:
        times = _frozen(self.timestamps, (None,), "timestamps", np.float64)
        frames, bones, names = len(times), self.skeleton.bone_count, tuple(self.contact_names)
        directions = _frozen(self.directions, (frames, bones, 3), "directions")
        lengths = _frozen(self.lengths, (bones,), "lengths")
        _check_bones(directions, lengths)
        _set(
            self,
            timestamps=times,
            directions=directions,
            lengths=lengths,
            root=_frozen(self.root, (frames, 3), "root"),
            confidence=_frozen(self.confidence, (frames, bones + 1), "confidence"),
            contact_names=names,
            contacts=_frozen(self.contacts, (frames, len(names)), "contacts", np.bool_),
        )

    @property
    def frame_count(self) -> int:
        return len(self.timestamps)

    def contact(self, name: str) -> NDArray[np.bool_]:
        """(F,) whether what has this name is planted; never, where it is not among `contact_names`."""
        if name not in self.contact_names:
            return np.zeros(self.frame_count, dtype=np.bool_)
        return self.contacts[:, self.contact_names.index(name)]

    @property
    def frame_rate(self) -> float:
        return frame_rate(self.timestamps)


def _check_bones(directions: Floats, lengths: Floats) -> None:
    norms = np.linalg.norm(directions, axis=-1)
    if not np.allclose(norms, 1.0, atol=1e-3):
        raise ValueError(f"directions must be unit vectors, got lengths {norms.min():.4f} to {norms.max():.4f}")
    if not np.all(lengths > 0):
        raise ValueError("bone lengths must be positive")


@dataclass(frozen=True, eq=False)
class Rig:
    """An armature at rest, as read from Blender or made by us.

    Attributes:
        names: N bone names, parents before children.
        parents: N parent indices, -1 for a root.
        rest: (N, 4, 4) armature-space rest matrix of each bone (Blender's ``Bone.matrix_local``:
            origin at the head, y along the bone).
        lengths: (N,) bone lengths in armature units.
        world: (4, 4) armature object's world matrix.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: NDArray[np.float64]
    lengths: NDArray[np.float64]
    world: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))

    def __post_init__(self) -> None:
        count = len(self.names)
        if any(parent >= child for child, parent in enumerate(self.parents)):
            raise ValueError("a rig's parents must come before their children")
        _set(
            self,
            names=tuple(self.names),
            parents=tuple(int(parent) for parent in self.parents),
            rest=_frozen(self.rest, (count, 4, 4), "rest", np.float64),
            lengths=_frozen(self.lengths, (count,), "lengths", np.float64),
            world=_frozen(self.world, (4, 4), "world", np.float64),
        )
        if len(self.parents) != count:
            raise ValueError(f"{count} bones but {len(self.parents)} parents")


@dataclass(frozen=True, eq=False)
class RigAnimation:
    """Keys for a rig: the one exit for Blender actions and BVH.

    Attributes:
        rig: the rig the keys belong to.
        timestamps: (F,) seconds.
        bones: M indices into ``rig.names`` of the bones that are keyed.
        rotations: (F, M, 4) w x y z relative to the rest pose in the bone's own axes
            (Blender's ``PoseBone.rotation_quaternion``), sign-continuous in time.
        located: L indices of the bones whose location is keyed too.
        locations: (F, L, 3) offsets from rest in the bone's own axes (``PoseBone.location``).
        object_world: (F, 4, 4) world matrices of the armature object when it carries the path, else None.
        switches: custom properties (pose bone, property, value) that a control rig needs, so that these keys lead.
    """

    rig: Rig
    timestamps: NDArray[np.float64]
    bones: tuple[int, ...]
    rotations: Floats
    located: tuple[int, ...]
    locations: Floats
    object_world: NDArray[np.float64] | None = None
    switches: tuple[tuple[str, str, float], ...] = ()

    def __post_init__(self) -> None:
        times = _frozen(self.timestamps, (None,), "timestamps", np.float64)
        _set(
            self,
            timestamps=times,
            bones=tuple(self.bones),
            located=tuple(self.located),
            rotations=_frozen(self.rotations, (len(times), len(self.bones), 4), "rotations"),
            locations=_frozen(self.locations, (len(times), len(self.located), 3), "locations"),
            switches=tuple(self.switches),
        )
        if self.object_world is not None:
            _set(self, object_world=_frozen(self.object_world, (len(times), 4, 4), "object_world", np.float64))

    @property
    def frame_rate(self) -> float:
        return frame_rate(self.timestamps)


@dataclass(frozen=True, eq=False)
class Take:
    """Everything found in a clip for one person: the project's file (see `formats.take`).

    Attributes:
        track: the 2D keypoints.
        motion: the solved motion in the world.
        camera: the camera that saw it, placed in the world.
        provenance: video name and hash, detector, lifter, weights hash, versions, options.
        extra: fields of a Take file that this version does not know, kept as they are.
        lifted: what the lifter said before anything was smoothed or placed, from which the motion can be solved again
            (`resolve`); None where nothing was lifted, and in Takes of old.
    """

    track: KeypointTrack
    motion: Motion
    camera: Camera
    provenance: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)
    lifted: LiftedPose | None = None

    def __post_init__(self) -> None:
        if not np.array_equal(self.track.timestamps, self.motion.timestamps):
            raise ValueError("track and motion must share their timestamps")
        if self.lifted is not None and not np.array_equal(self.lifted.timestamps, self.motion.timestamps):
            raise ValueError("lifted pose and motion must share their timestamps")
