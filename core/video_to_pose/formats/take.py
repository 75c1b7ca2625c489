# SPDX-License-Identifier: GPL-3.0-or-later
"""The Take: one ``.npz`` that holds everything found in a clip for one person (numpy only).

Fields, all without pickle; F frames, K keypoints, J joints, B = J - 1 bones, C contacts:

==================  =========================================================================
format_version      2
skeleton_name       e.g. ``body22``
timestamps          (F,) float64 seconds
keypoint_names      (K,) str
keypoints           (F, K, 2) pixels, NaN where missing
keypoint_scores     (F, K)
image_size          (2,) width, height
joint_names         (J,) str
parents             (J,) int, -1 for the root
joints_camera       (F, J, 3) metres, camera axes
joints_world        (F, J, 3) metres, world axes; exactly compose(directions, lengths) + root
bone_lengths        (B,) metres
bone_directions     (F, B, 3) world axes
root                (F, 3) world
contacts            (F, C) bool
contact_names       (C,) str
joint_confidence    (F, J)
focal_px            () pixels
centre_px           (2,)
R_world_camera      (3, 3)
camera_position     (3,)
provenance          () JSON text: video, detector, lifter, weights, versions, options
lifted_directions   (F, B, 3) camera axes, as the lifter said them, not smoothed
lifted_lengths      (B,) metres, as the lifter said them
lifted_confidence   (F, J)
lifted_up           (3,) against gravity, camera axes
==================  =========================================================================

From the four last the motion can be solved again (`resolve.solve_again`). They are left out together where nothing was
lifted; version 1 had none of them and is still read.

Fields that this version does not know are kept when a Take is loaded and saved again.
"""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import bones
from ..errors import InputError
from ..files import written_whole
from ..skeleton import Skeleton
from ..types import Camera, KeypointTrack, LiftedPose, Motion, Take

FORMAT_VERSION = 2
_Read = TypeVar("_Read")
_STRETCH_M = 1e-3
_DAMAGE = (KeyError, ValueError, IndexError, TypeError, SyntaxError, tokenize.TokenError)  # of fields missing or broken


def save(take: Take, path: str | Path) -> None:
    """Write a Take whole, or not at all.

    Raises:
        InputError: the target cannot be written.
    """
    with written_whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **_fields(take))


def load(path: str | Path) -> Take:
    """Read a Take.

    Raises:
        InputError: the file is missing, is no Take, is damaged, or was made by a newer version.
    """
    return _read(path, None, _take)


def load_keypoints(path: str | Path) -> KeypointTrack:
    """Read a Take's keypoints alone, which takes a fraction of the time.

    Raises:
        InputError: the file is missing, is no Take, is damaged, or was made by a newer version.
    """
    return _read(path, ("timestamps", "keypoint_names", "keypoints", "keypoint_scores", "image_size"), _track)


def _read(path: str | Path, wanted: tuple[str, ...] | None, made: Callable[[dict[str, Any]], _Read]) -> _Read:
    """What is made of some of a Take's fields, or of all."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"The Take {path} does not exist.", "Check the path.", "take-missing")
    try:
        with np.load(path, allow_pickle=False) as file:
            version = int(file["format_version"])
            fields = {name: file[name] for name in wanted or file.files}
    except (*_DAMAGE, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise InputError(
            f"{path} is not a Take, or it is damaged.", "Choose an .npz that video-to-pose wrote.", "take-invalid"
        ) from error
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path} was made by a newer version (format {version}, this one reads up to {FORMAT_VERSION}).",
            "Update video-to-pose.",
            "take-newer",
        )
    try:
        return made(fields)
    except _DAMAGE as error:
        raise InputError(f"{path} is a damaged Take: {error}.", "Convert the video again.", "take-invalid") from error


def _fields(take: Take) -> dict[str, Any]:
    motion, track, camera = take.motion, take.track, take.camera
    world = bones.compose(motion.skeleton, motion.directions, motion.lengths, motion.root)
    known = {
        "format_version": np.int64(FORMAT_VERSION),
        "skeleton_name": np.str_(motion.skeleton.name),
        "timestamps": motion.timestamps,
        "keypoint_names": np.array(track.names, dtype=np.str_),
        "keypoints": track.positions,
        "keypoint_scores": track.scores,
        "image_size": np.array(track.image_size),
        "joint_names": np.array(motion.skeleton.joints, dtype=np.str_),
        "parents": np.array(motion.skeleton.parents),
        "joints_camera": camera.to_camera(world).astype(np.float32),
        "joints_world": world,
        "bone_lengths": motion.lengths,
        "bone_directions": motion.directions,
        "root": motion.root,
        "contacts": motion.contacts,
        "contact_names": np.array(motion.contact_names, dtype=np.str_),
        "joint_confidence": motion.confidence,
        "focal_px": np.float64(camera.focal_px),
        "centre_px": camera.centre_px,
        "R_world_camera": camera.R_world_camera,
        "camera_position": camera.position,
        "provenance": np.str_(json.dumps(take.provenance, ensure_ascii=False, indent=1)),
    }
    if take.lifted is not None:
        known |= {f"lifted_{name}": getattr(take.lifted, name) for name in _LIFTED}
    return {**take.extra, **known}


_LIFTED = ("directions", "lengths", "confidence", "up")
_KNOWN = {
    *("format_version", "skeleton_name", "timestamps", "keypoint_names", "keypoints", "keypoint_scores", "image_size"),
    *("joint_names", "parents", "joints_camera", "joints_world", "bone_lengths", "bone_directions", "root"),
    *("contacts", "contact_names", "joint_confidence", "focal_px", "centre_px", "R_world_camera"),
    *("camera_position", "provenance"),
    *(f"lifted_{name}" for name in _LIFTED),
}


def _take(fields: dict[str, Any]) -> Take:
    size = (int(fields["image_size"][0]), int(fields["image_size"][1]))
    skeleton = Skeleton(
        str(fields["skeleton_name"]), _strings(fields["joint_names"]), tuple(int(p) for p in fields["parents"])
    )
    motion = Motion(
        skeleton=skeleton,
        timestamps=fields["timestamps"],
        directions=fields["bone_directions"],
        lengths=fields["bone_lengths"],
        root=fields["root"],
        confidence=fields["joint_confidence"],
        contact_names=_strings(fields["contact_names"]),
        contacts=fields["contacts"],
    )
    world = bones.compose(skeleton, motion.directions, motion.lengths, motion.root)
    camera = Camera(
        float(fields["focal_px"]), fields["centre_px"], size, fields["R_world_camera"], fields["camera_position"]
    )
    for name, joints in (("joints_world", world), ("joints_camera", camera.to_camera(world))):
        if not _agree(joints, fields[name]):
            raise ValueError(f"{name} are not bone directions times bone lengths")
    lifted = None
    if any(f"lifted_{name}" in fields for name in _LIFTED):
        said = {name: fields[f"lifted_{name}"] for name in _LIFTED}
        lifted = LiftedPose(skeleton=skeleton, timestamps=fields["timestamps"], **said)
    return Take(
        track=_track(fields),
        motion=motion,
        camera=camera,
        provenance=json.loads(str(fields["provenance"])),
        extra={name: value for name, value in fields.items() if name not in _KNOWN},
        lifted=lifted,
    )


def _track(fields: dict[str, Any]) -> KeypointTrack:
    size = (int(fields["image_size"][0]), int(fields["image_size"][1]))
    names = _strings(fields["keypoint_names"])
    return KeypointTrack(fields["timestamps"], names, fields["keypoints"], fields["keypoint_scores"], size)


def _agree(joints: np.ndarray, stored: np.ndarray) -> bool:
    return joints.shape == stored.shape and bool(np.all(np.abs(joints - stored) <= _STRETCH_M))


def _strings(values: np.ndarray) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
