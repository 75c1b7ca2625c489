# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure on rendered clips with exact truth: lifters against the detector's own 3D guess.

All contenders see the same detections and are measured on the frames in which the detector found the person.

- **Pose** (MPJPE, N-MPJPE, P-MPJPE, MPJVE, acceleration, bone lengths): 12 limb joints (shoulders, elbows, wrists,
  hips, knees, ankles) in camera axes, relative to the middle of the hips. The truth is the same points for everybody:
  the body's landmarks of these names lie in its joints.
  "In picture" is the MPJPE of what the picture shows: of what it cuts off, everybody can but guess.
- **Feet and hands**: angle between the frames of three points (`orientation`) in camera axes, mean over both sides.
  Each answer is compared by its own definition, on both sides alike, so that nobody needs calibration: MediaPipe's
  heel, ankle and tip of the toes (wrist, index, pinky) against the true landmarks of these names, ours' heel, ankle and
  base of the toes (wrist, index, little) against the true joints. A skeleton without heels or knuckles is compared by
  the direction from the ankle to the toe, or from the wrist to the middle of the knuckles.
- **Place** (root path, slide): an answer that has no place of its own in space (the detector's, and a lifter's before
  it is solved) is given one by reprojection, as the product does (`motion.root`); the detector's, which says nothing of
  gravity, is also given the true up. Slide is the mean speed over the floor while the true foot is planted; how deep
  feet sink into the floor is asked only where an answer has a floor. The path's error is explained in `trajectory`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import bones, lift, motion, pipeline
from ..data.clips import Truth, Watched
from ..data.rendered import JOINTS
from ..motion import ground
from ..motion.root import root_path
from ..retarget.plant import runs
from ..settings import CaptureSettings
from ..skeleton import SKELETONS, Skeleton
from ..types import KeypointTrack, frame_rate
from . import feet, metrics, orientation, trajectory

Array = NDArray[np.floating]

DETECTOR = "MediaPipe"
"""Name of the detector's own 3D among the contenders: MediaPipe's detectors are the ones that have it."""

_SIDES = ("left", "right")
_LEG = (("hip", "knee"), ("knee", "ankle"))
_SOLES = [f"{side}_{part}" for side in _SIDES for part in ("heel", "toe")]
_RESTING_PER_LEG = {"ankle": 0.090, "heel": 0.022, "toe": 0.021}  # of the test body at rest, above its flat soles
_BONES = [(0, 2), (1, 3), (2, 4), (3, 5), (6, 8), (7, 9), (8, 10), (9, 11), (6, 7)]

AIM_POSE, AIM_ACCELERATION, AIM_FEET_DEGREES = 0.65, 0.5, 12.0
"""The aim: errors of pose and of acceleration against the detector's own, and feet; bones do not stretch at all."""
_STRETCH_MM = 0.01  # what single precision makes of none


# --- contenders ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Answer:
    """What somebody says of a clip.

    Attributes:
        names: J names of joints or landmarks; those it shares with the truth are compared.
        joints: (F, J, 3) camera space, metres.
        up: (3,) against gravity, camera axes.
        says_up: whether that is its own finding.
        floor: height of the floor along `up` in camera space, None where it has none.
        height_m: standing height of the person, None where it says nothing of it.
    """

    names: tuple[str, ...]
    joints: Array
    up: Array
    says_up: bool = True
    floor: float | None = None
    height_m: float | None = None

    def points(self, names: Sequence[str]) -> Array:
        """(F, N, 3) of some of its names."""
        return self.joints[:, [self.names.index(name) for name in names]]

    def has(self, *names: str) -> bool:
        return all(name in self.names for name in names)


def detectors_answer(watched: Watched, truth: Truth, settings: CaptureSettings) -> Answer:
    """The detector's own 3D, placed by reprojection, with the true up; frames without it hold the nearest one."""
    found = np.flatnonzero(_found(watched))
    nearest = found[np.abs(np.arange(len(watched.world))[:, None] - found[None]).argmin(axis=1)]
    joints = watched.world[nearest]
    known = np.isfinite(joints).all(axis=(0, 2))
    names = tuple(name for name, there in zip(watched.track.names, known, strict=True) if there)
    star, joints = Skeleton("landmarks", names, (-1, *[0] * (len(names) - 1))), joints[:, known]
    return Answer(star.joints, joints + _place(star, joints, watched.track, settings)[:, None], truth.up, says_up=False)


def lifters_answers(track: KeypointTrack, lifter: lift.Lifter, settings: CaptureSettings) -> tuple[Answer, Answer]:
    """What a lifter says, placed by reprojection, and what becomes of it in the Take."""
    take = pipeline.lift_and_solve(track, lifter, settings)
    pose = take.lifted
    assert pose is not None  # a Take that was just lifted has it
    joints = bones.compose(pose.skeleton, pose.directions, pose.lengths)
    raw = Answer(
        pose.skeleton.joints,
        joints + _place(pose.skeleton, joints, track, settings)[:, None],
        np.asarray(pose.up, dtype=np.float64),
        height_m=motion.standing_height(pose.skeleton, pose.lengths),
    )
    moved, camera = take.motion, take.camera
    world = bones.compose(moved.skeleton, moved.directions.astype(np.float64), moved.lengths, moved.root)
    up = np.asarray(camera.R_world_camera[2], dtype=np.float64)
    solved = Answer(
        moved.skeleton.joints,
        camera.to_camera(world),
        up,
        floor=-float(camera.position[2]),
        height_m=motion.standing_height(moved.skeleton, moved.lengths),
    )
    return raw, solved


def _place(skeleton: Skeleton, joints: Array, track: KeypointTrack, settings: CaptureSettings) -> Array:
    focal, centre = motion.intrinsics(track.image_size, settings.camera)
    return root_path(
        skeleton,
        joints,
        track,
        focal,
        centre,
        depth_cutoff_hz=settings.motion.root_depth_cutoff_hz,
        cutoff_hz=settings.motion.smoothing_cutoff_hz,
    )


def _found(watched: Watched) -> NDArray[np.bool_]:
    """(F,) frames that are measured: the detector found the person there, and said where in space."""
    if np.isfinite(watched.world).any():
        limbs = [watched.track.names.index(name) for name in JOINTS]
        return np.asarray(np.isfinite(watched.world[:, limbs]).all(axis=(1, 2)))
    return np.asarray((watched.track.scores > 0).any(axis=1))


# --- measuring ----------------------------------------------------------------------------------------------------


def compare(
    watched: Watched,
    truth: Truth,
    lifters: Mapping[str, lift.Lifter],
    settings: CaptureSettings,
    *,
    true_fov: bool = False,
    true_height: bool = False,
) -> dict[str, Any]:
    """Figures of all contenders on one clip.

    Args:
        watched: what the detector said.
        truth: of the clip, at any frames.
        lifters: name -> lifter.
        settings: of the 3D stages.
        true_fov: tell the true field of view.
        true_height: tell the person's true standing height.

    Returns:
        ``clip``, ``facts`` (see `facts`), ``frames`` that are measured, ``contenders``: name -> figures
        (`side_by_side.MEASURES`, and ``joints_mm``: error of every joint), and ``aim``: name -> what is reached
        (see `verdict`). Lifters stand there twice: ``NAME, raw`` and, as in the Take, ``NAME``. NaN where something
        cannot be said.
    """
    truth = truth.at(watched.track.timestamps)
    camera = replace(
        settings.camera,
        fov_degrees=truth.fov_degrees if true_fov else settings.camera.fov_degrees,
        height_m=standing_height(truth) if true_height else settings.camera.height_m,
    )
    settings = replace(settings, camera=camera)
    found = _found(watched)
    answers = {}
    if np.isfinite(watched.world).any():
        answers[DETECTOR] = detectors_answer(watched, truth, settings)
    for name, lifter in lifters.items():
        answers[f"{name}, raw"], answers[name] = lifters_answers(watched.track, lifter, settings)
    contenders = {name: figures(answer, truth, found) for name, answer in answers.items()}
    own = contenders.get(DETECTOR)
    return {
        "clip": watched.name,
        "frames": int(found.sum()),
        "facts": facts(truth),
        "contenders": contenders,
        "aim": {} if own is None else {name: verdict(row, own) for name, row in contenders.items() if name != DETECTOR},
    }


def figures(answer: Answer, truth: Truth, found: NDArray[np.bool_]) -> dict[str, Any]:
    """All of `side_by_side.MEASURES` of one answer, and ``joints_mm``; NaN where it says nothing of the kind.

    Args:
        answer: F frames.
        truth: of the same frames.
        found: (F,) those that count; differences in time never reach across the others.
    """
    rate = frame_rate(truth.timestamps)
    predicted, true = _about_hips(answer.points(JOINTS), truth.points(JOINTS))
    result: dict[str, Any] = _pose(predicted, true, found, rate)
    inside = _inside(truth, truth.camera.project(truth.points(JOINTS)), truth.points(JOINTS)) & found[:, None]
    shown = metrics.joint_errors(predicted, true)[inside]
    result["inside_mpjpe_mm"] = 1000 * float(shown.mean()) if shown.size else math.nan
    result["size_percent"] = 100 * (_limbs(predicted[found]) / _limbs(true[found]) - 1)
    for part, frames_of in (("feet", _foot_degrees), ("hands", _hand_degrees)):
        result[f"{part}_degrees"] = float(np.mean([frames_of(answer, truth, side)[found].mean() for side in _SIDES]))
    result |= _placed(answer, truth, found, rate)
    result["up_degrees"] = float(orientation.angle_degrees(answer.up, truth.up)) if answer.says_up else math.nan
    height = math.nan if answer.height_m is None else answer.height_m
    result["height_error_cm"] = 100 * (height - standing_height(truth))
    shared = [name for name in answer.names if truth.has(name)]
    predicted, true = _about_hips(answer.points(shared), truth.points(shared), answer, truth)
    errors = 1000 * metrics.joint_errors(predicted[found], true[found]).mean(axis=0)
    result["joints_mm"] = {name: float(error) for name, error in zip(shared, errors, strict=True)}
    return result


def _pose(predicted: Array, true: Array, found: NDArray[np.bool_], rate: float) -> dict[str, float]:
    measures: dict[str, Callable[[Array, Array], float]] = {
        "mpjpe_mm": metrics.mpjpe,
        "n_mpjpe_mm": metrics.n_mpjpe,
        "p_mpjpe_mm": metrics.p_mpjpe,
        "acceleration_m_s2": lambda a, b: metrics.acceleration_error(a, b, rate),
        "mpjve_mm_per_frame": metrics.mpjve,
    }
    parts = [slice(*run) for run in runs(found) if run[1] - run[0] > 2]
    if not parts:
        return dict.fromkeys((*measures, "bone_deviation_mm"), math.nan)
    weights = [part.stop - part.start for part in parts]
    result = {
        name: float(np.average([measure(predicted[part], true[part]) for part in parts], weights=weights))
        for name, measure in measures.items()
    }
    result["bone_deviation_mm"] = metrics.bone_length_deviation(predicted[found], _BONES)
    return result


def _placed(answer: Answer, truth: Truth, found: NDArray[np.bool_], rate: float) -> dict[str, float]:
    """What is measured in the world: the path of the hips, and feet on the floor."""
    predicted, true = ground.world_axes(answer.up), truth.camera.R_world_camera
    hips = [f"{side}_hip" for side in _SIDES]
    path = answer.points(hips).mean(axis=1)[found] @ predicted.T
    true_path = truth.points(hips).mean(axis=1)[found] @ true.T
    contacts = planted(truth) & found[:, None]
    names = [_foot_name(answer, name) for name in _SOLES]
    points = answer.points(names) @ predicted.T
    result = {
        "slide_cm_s": feet.foot_slide(points, contacts, rate) if contacts.any() else math.nan,
        "path_error_percent": trajectory.path_error_percent(path, true_path),
        "path_error_cm": 100 * trajectory.path_error_m(path, true_path),
        "sink_cm": math.nan,
        "deepest_cm": math.nan,
    }
    if answer.floor is not None:
        resting = _resting(truth, names)
        points[..., 2] -= answer.floor
        result["sink_cm"] = float(feet.penetrations(points, resting)[found].mean())
        result["deepest_cm"] = feet.penetration(points[found], resting)
    return result


def _foot_name(answer: Answer, name: str) -> str:
    """What stands in an answer for a heel or the base of the toes."""
    side, _, part = name.partition("_")
    others = {"heel": ("heel", "ankle"), "toe": ("toe", "foot_index", "ankle")}[part]
    return next(f"{side}_{other}" for other in others if answer.has(f"{side}_{other}"))


def planted(truth: Truth) -> NDArray[np.bool_]:
    """(F, 4) whether heel and base of the toes, left and right, really stand on the floor (`feet.true_contacts`)."""
    soles = truth.camera.to_world(truth.points(_SOLES))
    return feet.true_contacts(soles, _resting(truth, _SOLES), frame_rate(truth.timestamps))


def _resting(truth: Truth, names: Sequence[str]) -> Array:
    """(C,) heights of these joints of feet that stand flat on the floor, metres."""
    legs = [truth.point(f"{side}_{a}") - truth.point(f"{side}_{b}") for side in _SIDES for a, b in _LEG]
    leg = sum(float(np.median(np.linalg.norm(bone, axis=-1))) for bone in legs) / 2
    return np.array([leg * _RESTING_PER_LEG[name.rpartition("_")[2]] for name in names])


def _foot_degrees(answer: Answer, truth: Truth, side: str) -> Array:
    """(F,) how much a foot is turned wrongly."""
    ankle, heel = f"{side}_ankle", f"{side}_heel"
    toe = f"{side}_toe" if answer.has(f"{side}_toe") else f"{side}_foot_index"
    return _turned(answer, truth, orientation.foot_frames, (ankle, heel, toe), (ankle, toe))


def _hand_degrees(answer: Answer, truth: Truth, side: str) -> Array:
    """(F,) how much a hand is turned wrongly."""
    wrist, index = f"{side}_wrist", f"{side}_index"
    little = f"{side}_little" if answer.has(f"{side}_little") else f"{side}_pinky"
    return _turned(answer, truth, orientation.hand_frames, (wrist, index, little), (wrist, f"{side}_hand"))


def _turned(
    answer: Answer, truth: Truth, frames: Callable[..., Array], names: tuple[str, ...], direction: tuple[str, str]
) -> Array:
    """(F,) degrees between the frames of three points or, where there are none, between directions; else NaN."""
    if answer.has(*names):
        a, b = (np.moveaxis(source.points(names), 1, 0) for source in (answer, truth))
        return orientation.turn_degrees(frames(*a), frames(*b))
    if answer.has(*direction):
        a, b = (source.points(direction) for source in (answer, truth))
        return orientation.angle_degrees(a[:, 1] - a[:, 0], b[:, 1] - b[:, 0])
    return np.full(len(answer.joints), math.nan)


def _about_hips(
    predicted: Array, true: Array, answer: Answer | None = None, truth: Truth | None = None
) -> tuple[Array, Array]:
    """Both (F, J, 3) relative to the middle of their hips."""
    hips = [JOINTS.index("left_hip"), JOINTS.index("right_hip")]
    if answer is None or truth is None:
        middles = predicted[:, hips].mean(axis=1), true[:, hips].mean(axis=1)
    else:
        names = ("left_hip", "right_hip")
        middles = answer.points(names).mean(axis=1), truth.points(names).mean(axis=1)
    return predicted - middles[0][:, None], true - middles[1][:, None]


def _limbs(joints: Array) -> float:
    """How long the limbs and the hips' width are together, metres; the median over frames."""
    ends = np.asarray(_BONES)
    lengths = np.linalg.norm(joints[:, ends[:, 0]] - joints[:, ends[:, 1]], axis=-1)
    return float(np.median(lengths.sum(axis=1)))


# --- the clip and the aim -----------------------------------------------------------------------------------------


def standing_height(truth: Truth) -> float:
    """The person's true standing height, metres, by the same formula as the product's estimate."""
    names = truth.joint_names
    skeleton = next(one for one in SKELETONS.values() if set(one.joints) == set(names))
    lengths = bones.decompose(skeleton, truth.points(skeleton.joints))[1]
    return motion.standing_height(skeleton, np.median(lengths, axis=0))


def facts(truth: Truth) -> dict[str, Any]:
    """What a clip is like.

    ``source``, ``rate`` (1/s); ``fov``, ``pitch`` (up is positive) and ``roll`` of the camera, degrees;
    ``distance_m`` of the hips, median; ``portrait``; ``cut_percent``: share of true landmarks outside the picture;
    ``path_m``: way over the floor; ``height_m``; ``planted_percent``: share of heels and toes that are planted;
    ``slide_cm_s``: how much these truly slide.
    """
    width, height = truth.camera.image_size
    right, down, forward = truth.camera.R_world_camera[2]
    inside = _inside(truth, truth.landmarks_2d, truth.landmarks)
    hips = truth.points(("left_hip", "right_hip")).mean(axis=1)
    rate, contacts = frame_rate(truth.timestamps), planted(truth)
    return {
        "source": truth.source,
        "rate": round(rate, 3),
        "fov": truth.fov_degrees,
        "pitch": float(np.degrees(np.arcsin(np.clip(forward, -1, 1)))),
        "roll": float(np.degrees(np.arctan2(right, -down))),
        "distance_m": float(np.median(np.linalg.norm(hips, axis=-1))),
        "portrait": bool(height > width),
        "cut_percent": 100 * float((~inside).mean()),
        "path_m": trajectory.path_length(truth.camera.to_world(hips)),
        "height_m": standing_height(truth),
        "planted_percent": 100 * float(contacts.mean()),
        "slide_cm_s": feet.foot_slide(truth.camera.to_world(truth.points(_SOLES)), contacts, rate),
    }


def _inside(truth: Truth, pixels: Array, points: Array) -> NDArray[np.bool_]:
    """(...) whether the picture shows places at `pixels` (..., 2) that are at `points` (..., 3) in camera space."""
    in_picture = (pixels >= 0).all(axis=-1) & (pixels <= np.asarray(truth.camera.image_size)).all(axis=-1)
    return np.asarray(in_picture & (points[..., 2] > 0))


def verdict(row: Mapping[str, float], own: Mapping[str, float]) -> dict[str, bool]:
    """What of the aim is reached: MPJPE and P-MPJPE at least 35 % below the detector's own 3D, at most half of its
    acceleration error, bones that do not stretch, feet within 12°.
    """
    return {
        "MPJPE": row["mpjpe_mm"] <= AIM_POSE * own["mpjpe_mm"],
        "P-MPJPE": row["p_mpjpe_mm"] <= AIM_POSE * own["p_mpjpe_mm"],
        "acceleration": row["acceleration_m_s2"] <= AIM_ACCELERATION * own["acceleration_m_s2"],
        "bones": row["bone_deviation_mm"] < _STRETCH_MM,
        "feet": row["feet_degrees"] <= AIM_FEET_DEGREES,
    }
