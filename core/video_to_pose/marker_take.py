# SPDX-License-Identifier: GPL-3.0-or-later
"""A Take from points in space that somebody else measured: nothing is lifted.

Markers become the joints of `skeleton.BODY_22` by their names. What a file must have: shoulders, elbows, wrists, hips,
knees and ankles of both sides. What it may lack is put where people of that size have it and has confidence 0: spine
(always, unless the file has it), head, nose, hands and feet. One length is taken for every bone over the whole clip, so
bones that the file stretches do not; a marker therefore lies up to that stretch away from its joint. The floor is where
the feet are lowest; if it is flat, the soles of who walks about level it, by 10 degrees at most. There was no picture,
so the Take has no keypoints and a camera that merely stands in front.

A file with every joint of `BODY_22` or of `BODY_32`, as video-to-pose writes it, is taken as it stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import __version__, bones, motion
from .errors import InputError
from .formats.layouts import common_name
from .formats.markers import Markers
from .motion import ground
from .motion.rigid import even_hips
from .rotation import between, normalize
from .settings import CaptureSettings
from .skeleton import BODY_22, BODY_32, Skeleton
from .types import Camera, KeypointTrack, Motion, Take

Array = NDArray[np.floating]

NEEDED = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)
"""Markers without which there is no person."""

# Places in the axes of trunk, head or foot, against the trunk's length or the foot's; measured on the body that
# lifters are trained with (13 rendered people, who differ by 0.01).
_SPINE = 0.473, 0.012  # from the middle of the hips: up, forward
_THORAX = -0.009, 0.116  # from the middle of the shoulders
_HEAD = -0.055, -0.058  # from the middle of the ears
_CROWN = 0.236, -0.137
_NOSE = 0.0, 0.258
_BALL = 0.76, 0.088  # from the heel: along to the tip of the big toe, outward
_NECK_SHARE = 0.37  # how far above the thorax the head is where there are no ears
_FOOT_SHARE, _HAND_SHARE = 0.36, 0.36  # against shank and forearm
_FOOT_FORWARD, _FOOT_DOWN = 0.92, 0.38
_STAND_IN_SIZE = (1920, 1080)


def take_from_markers(markers: Markers, settings: CaptureSettings | None = None) -> Take:
    """A Take whose motion is what the markers did.

    Args:
        markers: with times and z up (`Markers.completed`).
        settings: camera.height_m scales the person; motion's contact thresholds tell planted feet.

    Raises:
        InputError: markers that are needed are lacking, or are never all seen.
    """
    settings = settings or CaptureSettings()
    if markers.times is None:
        raise ValueError("the markers have no times; see Markers.completed")
    if len(markers.times) < 2:
        raise InputError(
            f"{markers.source.name} has a single frame; a motion needs at least two.",
            "Give a longer file.",
            "too-short",
        )
    times, markers = _evenly(_ever_seen(markers))
    own = next((known for known in (BODY_32, BODY_22) if set(_spelled(known)) <= set(markers.names)), None)
    skeleton = own or BODY_22
    joints, confidence = _own(markers, own) if own else _joints(markers)
    joints = _bridged(skeleton, joints, times)
    directions, lengths = bones.decompose(skeleton, joints)
    lengths = even_hips(skeleton, np.median(lengths, axis=0))
    if not np.all(lengths > 1e-4):
        bone = skeleton.joints[1 + int(lengths.argmin())]
        raise InputError(
            f"{markers.source.name} has {bone} at the place of its neighbour.", "Check the markers.", "markers-same"
        )
    directions = normalize(np.where(np.linalg.norm(directions, axis=-1, keepdims=True) > 0.5, directions, [0.0, 0, -1]))
    root = joints[:, 0]
    if settings.camera.height_m is not None:
        scale = settings.camera.height_m / motion.standing_height(skeleton, lengths)
        lengths, root = lengths * scale, root * scale
    rate = float((len(times) - 1) / (times[-1] - times[0]))
    sure = confidence.max(axis=0) > 0
    heights, places = _soles(skeleton, directions, lengths, root, sure)
    if not own:
        if settings.motion.flat_floor:
            R = between(ground.floor_tilt(places, heights, rate), np.array([0.0, 0.0, 1.0]))
            directions, root = directions @ R.T, root @ R.T
            heights, places = _soles(skeleton, directions, lengths, root, sure)
        level = ground.floor_line(heights, places, rate, flat=False)
        root, heights = root - level[:, None] * [0.0, 0.0, 1.0], heights - level[:, None]
    solved = Motion(
        skeleton=skeleton,
        timestamps=times,
        directions=directions,
        lengths=lengths,
        root=root,
        confidence=confidence,
        contact_names=tuple(ground.contact_joints(skeleton)),
        contacts=ground.find_contacts(heights, places, rate, settings.motion),
    )
    track = KeypointTrack(times, (), np.zeros((len(times), 0, 2)), np.zeros((len(times), 0)), _STAND_IN_SIZE)
    made_up = [joint for j, joint in enumerate(skeleton.joints) if not confidence[:, j].any()]
    provenance = {
        "markers": {"name": markers.source.name, "kind": markers.kind, "joints_by_proportion": made_up},
        "camera": {"stand-in": "there was no picture"},
        "versions": {"video-to-pose": __version__},
        "options": settings.to_dict(),
    }
    return Take(track, solved, _camera_in_front(root), provenance)


def _ever_seen(markers: Markers) -> Markers:
    """Without the markers that no frame has."""
    keep = np.flatnonzero(np.isfinite(markers.positions).all(axis=-1).any(axis=0))
    names = tuple(markers.names[k] for k in keep)
    return Markers(markers.source, markers.kind, names, markers.positions[:, keep], markers.times)


def _spelled(skeleton: Skeleton) -> tuple[str, ...]:
    """Names of the joints as `Markers` have them."""
    return tuple(common_name(joint) for joint in skeleton.joints)


def _own(markers: Markers, skeleton: Skeleton) -> tuple[Array, Array]:
    joints = markers.positions[:, [markers.names.index(name) for name in _spelled(skeleton)]]
    return joints, np.isfinite(joints).all(axis=-1).astype(float)


def _joints(markers: Markers) -> tuple[Array, Array]:
    """Joints (F, 22, 3) of `BODY_22` and confidence (F, 22): 1 where markers were, 0 where proportion put them."""
    if lacking := [name for name in NEEDED if name not in markers.names]:
        raise InputError(
            f"{markers.source.name} ({markers.kind}) has no marker {', '.join(lacking)}.",
            "Name markers as MediaPipe and COCO do: left_shoulder, left_elbow, …",
            "markers-lacking",
        )

    def marker(*names: str) -> Array | None:
        return next((markers.mean([name]) for name in names if name in markers.names), None)

    def middle(*names: str) -> Array | None:
        return markers.mean(list(names)) if set(names) <= set(markers.names) else None

    at: dict[str, Array] = {name: markers.mean([name]) for name in NEEDED}
    guessed: set[str] = set()

    def put(joint: str, measured: Array | None, otherwise: Array) -> None:
        at[joint] = otherwise if measured is None else measured
        guessed.update({joint} if measured is None else ())

    at["pelvis"] = (at["left_hip"] + at["right_hip"]) / 2
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    trunk = shoulders - at["pelvis"]
    long = np.nanmedian(np.linalg.norm(trunk, axis=-1))
    up = normalize(trunk)
    forward = normalize(np.cross(up, at["right_shoulder"] - at["left_shoulder"]))

    def off(place: tuple[float, float], up: Array, forward: Array) -> Array:
        return long * (place[0] * up + place[1] * forward)

    own_thorax = marker("thorax")
    at["thorax"] = shoulders + off(_THORAX, up, forward) if own_thorax is None else own_thorax
    put("spine", marker("spine"), at["pelvis"] + off(_SPINE, up, forward))
    ears, nose = middle("left_ear", "right_ear"), marker("nose")
    face, crown = forward, up
    if ears is not None and nose is not None:
        face = normalize(nose - ears)
        crown = normalize(np.cross(face, markers.mean(["left_ear"]) - ears))
    middle_of_head = at["thorax"] + _NECK_SHARE * long * up - off(_HEAD, crown, face) if ears is None else ears
    put("head", None if ears is None else ears + off(_HEAD, crown, face), middle_of_head + off(_HEAD, crown, face))
    put("nose", nose, middle_of_head + off(_NOSE, crown, face))
    put("head_top", marker("head_top"), middle_of_head + off(_CROWN, crown, face))
    for side, outward in (("left", 1.0), ("right", -1.0)):
        knee, ankle, elbow, wrist = (at[f"{side}_{part}"] for part in ("knee", "ankle", "elbow", "wrist"))
        shank, forearm = ankle - knee, wrist - elbow
        tip, heel = marker(f"{side}_foot_index"), marker(f"{side}_heel")
        ball = tip
        if tip is not None and heel is not None:
            sole = tip - heel
            aside = outward * normalize(np.cross(sole, shank))
            size = np.linalg.norm(sole, axis=-1, keepdims=True)
            ball = heel + _BALL[0] * sole + _BALL[1] * size * aside
        down = normalize(shank)
        ahead = normalize(forward - np.sum(forward * down, axis=-1, keepdims=True) * down)
        length = _FOOT_SHARE * np.nanmedian(np.linalg.norm(shank, axis=-1))
        foot = ankle + length * (_FOOT_FORWARD * ahead + _FOOT_DOWN * down)
        put(f"{side}_toe", marker(f"{side}_toe") if ball is None else ball, foot)
        knuckles = middle(f"{side}_index", f"{side}_pinky")
        palm = wrist + _HAND_SHARE * np.nanmedian(np.linalg.norm(forearm, axis=-1)) * normalize(forearm)
        put(f"{side}_hand", marker(f"{side}_hand") if knuckles is None else knuckles, palm)
    joints = np.stack([at[joint] for joint in BODY_22.joints], axis=1)
    confidence = np.isfinite(joints).all(axis=-1).astype(float)
    confidence[:, [BODY_22.index(joint) for joint in guessed]] = 0.0
    if not np.isfinite(joints).all(axis=-1).any(axis=0).all():
        raise InputError(
            f"{markers.source.name} has markers that are never seen together.", "Check the markers.", "markers-lacking"
        )
    return joints, confidence


def _bridged(skeleton: Skeleton, joints: Array, times: Array) -> Array:
    """Joints with gaps in time bridged linearly, each relative to its parent so that limbs keep their size."""
    out = np.array(joints, dtype=np.float64)
    parents = np.array(skeleton.parents)
    offsets = out.copy()
    offsets[:, 1:] -= out[:, parents[1:]]
    for j in range(offsets.shape[1]):
        seen = np.isfinite(offsets[:, j]).all(axis=-1)
        if not seen.all() and seen.any():
            for axis in range(3):
                offsets[~seen, j, axis] = np.interp(times[~seen], times[seen], offsets[seen, j, axis])
    for j, parent in enumerate(skeleton.parents):
        out[:, j] = offsets[:, j] + (out[:, parent] if parent >= 0 else 0.0)
    return out


def _evenly(markers: Markers) -> tuple[NDArray[np.float64], Markers]:
    """Evenly spaced times and the markers at them; markers of even times stay as they are."""
    times = np.asarray(markers.times, dtype=np.float64)
    even = np.linspace(times[0], times[-1], len(times))
    step = even[1] - even[0]
    if np.abs(times - even).max() <= 0.1 * step:
        return even, markers
    flat = markers.positions.reshape(len(times), -1)
    resampled = np.stack([np.interp(even, times, column) for column in flat.T], axis=1)
    return even, Markers(markers.source, markers.kind, markers.names, resampled.reshape(markers.positions.shape), even)


def _soles(
    skeleton: Skeleton, directions: Array, lengths: Array, root: Array, sure: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Heights (F, C) of the soles and places (F, C, 3) of the joints above them.

    Where the ball of a foot was put by proportion (`sure` (J,) is false), its ankle speaks for it.
    """
    joints = bones.compose(skeleton, directions, lengths, root)
    leg = float(sum(lengths[skeleton.index(joint) - 1] for joint in ("left_knee", "left_ankle")))
    above = [skeleton.index(joint) for joint in ground.contact_joints(skeleton).values()]
    speaks = [
        c if sure[joint] else above.index(skeleton.index(skeleton.joints[joint].replace("toe", "ankle")))
        for c, joint in enumerate(above)
    ]
    return ground.sole_heights(skeleton, joints, leg)[:, speaks], joints[:, above][:, speaks]


def _camera_in_front(root: Array) -> Camera:
    """A level camera before the person's first place, far enough to see the whole path."""
    far = 4.0 + float(np.abs(root[:, :2] - root[0, :2]).max())
    focal = _STAND_IN_SIZE[0] / 2 / np.tan(np.radians(30.0))
    R = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # image x, y, depth as world columns
    return Camera(focal, np.array(_STAND_IN_SIZE) / 2, _STAND_IN_SIZE, R, root[0] * [1, 1, 0] + [0.0, -far, 1.0])
