# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who walks, jumps or waves exactly, and what a still camera sees of it without error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from video_to_pose import bones
from video_to_pose.rotation import axis_angle_to_matrix, between, normalize
from video_to_pose.settings import CameraSettings, MotionSettings
from video_to_pose.skeleton import BODY_22
from video_to_pose.types import Camera, KeypointTrack, LiftedPose

RATE = 30.0
SIZE = (1280, 720)
FOV = 60.0
KEYPOINTS = ("nose",) + tuple(
    f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)  # of BODY_22's joints, what detectors show
THIGH, SHIN, HIP = 0.43, 0.40, 0.09
LEG = THIGH + SHIN
ANKLE, TOE = 0.092 * LEG, 0.018 * LEG  # heights of the joints when the foot stands flat
STEP_S, STANCE = 1.0, 0.6  # a foot's cycle and the part of it on the floor

UNSMOOTHED = MotionSettings(smoothing_cutoff_hz=0, root_depth_cutoff_hz=0)
KNOWN_CAMERA = CameraSettings(fov_degrees=FOV)


def walk(seconds: float = 4.0, speed: float = 0.7, heading: float = 0.0):
    """Joints (F, 22, 3) of an even walk and which feet are planted (F, 2): left, right.

    At heading 0 the person faces and goes along -Y; positive headings turn left. Planted feet stand flat and still.
    """
    time = np.arange(round(seconds * RATE)) / RATE
    pelvis = np.stack([0 * time, -speed * time, 0 * time + 0.9 * LEG + ANKLE], axis=1)
    ankles, planted = {}, []
    for side, sign, phase in (("left", 1.0, 0.0), ("right", -1.0, 0.5)):
        cycle = time / STEP_S + phase
        whole, part = np.floor(cycle), cycle % 1.0
        swing = np.clip((part - STANCE) / (1 - STANCE), 0, 1)
        reached = (whole - phase + STANCE / 2 + swing**2 * (3 - 2 * swing)) * STEP_S * speed
        lift = 0.12 * np.sin(np.pi * swing) ** 2
        ankles[side] = np.stack([0 * time + sign * HIP, -reached, ANKLE + lift], axis=1)
        planted.append(part < STANCE)
    return turned(_figure(time, pelvis, ankles), heading), np.stack(planted, axis=1)


def jump(height: float = 0.35):
    """Joints of a straight jump: a second standing, flight, a second standing; and when (F,) it is in the air."""
    flight = np.sqrt(8 * height / 9.81)
    time = np.arange(round((2 + flight) * RATE)) / RATE
    up = np.clip(time - 1, 0, flight)
    rise = np.maximum(9.81 / 2 * up * (flight - up), 0)
    ankles = {side: np.stack([0 * time + s * HIP, 0 * time, ANKLE + rise], axis=1) for side, s in _SIDES}
    pelvis = np.stack([0 * time, 0 * time, rise + 0.95 * LEG + ANKLE], axis=1)
    return _figure(time, pelvis, ankles), rise > 0.05


def turned(joints, angle: float):
    """Joints turned about the world's up through the origin."""
    return joints @ axis_angle_to_matrix([0.0, 0.0, 1.0], angle).T


_SIDES = (("left", 1.0), ("right", -1.0))


def _figure(time, pelvis, ankles):
    """All joints above given pelvis and ankle paths: knees bend forward, arms swing."""
    at = {"pelvis": pelvis}
    forward = np.array([0.0, -1.0, 0.0])
    for side, sign in _SIDES:
        hip = pelvis + [sign * HIP, 0, 0]
        leg = ankles[side] - hip
        reach = np.linalg.norm(leg, axis=1, keepdims=True)
        along = (THIGH**2 - SHIN**2 + reach**2) / (2 * reach)
        out = normalize(forward - np.sum(forward * leg, axis=1, keepdims=True) / reach**2 * leg)
        knee = hip + along * leg / reach + np.sqrt(np.maximum(THIGH**2 - along**2, 0)) * out
        at |= {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankles[side]}
        at[f"{side}_toe"] = ankles[side] + [0, -0.13, TOE - ANKLE]
    at["spine"] = pelvis + [0, 0.02, 0.24]
    at["thorax"] = at["spine"] + [0, -0.02, 0.25]
    at["head"] = at["thorax"] + [0, -0.02, 0.18]
    at["head_top"] = at["head"] + [0, 0, 0.15]
    at["nose"] = at["head"] + [0, -0.12, 0.03]
    for side, sign in _SIDES:
        swing = sign * 0.5 * np.sin(2 * np.pi * time / STEP_S)
        upper = np.stack([0 * time + 0.15 * sign, -np.sin(swing), -np.cos(swing)], axis=1)
        lower = np.stack([0 * time, -np.sin(swing + 0.5), -np.cos(swing + 0.5)], axis=1)
        at[f"{side}_shoulder"] = at["thorax"] + [0.18 * sign, 0.02, -0.03]
        at[f"{side}_elbow"] = at[f"{side}_shoulder"] + 0.28 * normalize(upper)
        at[f"{side}_wrist"] = at[f"{side}_elbow"] + 0.25 * lower
        at[f"{side}_hand"] = at[f"{side}_wrist"] + 0.09 * lower
    return np.stack([at[joint] for joint in BODY_22.joints], axis=1)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a camera at known place sees of exact joints."""

    joints: np.ndarray
    track: KeypointTrack
    pose: LiftedPose
    camera: Camera


def seen(joints, position=(1.5, -6.0, 1.5), target=(0.0, -1.4, 0.9), roll: float = 0.0) -> Seen:
    """Exact keypoints, directions, lengths and up of world joints (F, 22, 3)."""
    forward = normalize(np.subtract(target, position))
    right = normalize(np.cross(forward, [0.0, 0.0, 1.0]))
    R = np.stack([right, np.cross(forward, right), forward], axis=1) @ axis_angle_to_matrix([0, 0, 1.0], roll)
    focal = SIZE[0] / 2 / np.tan(np.radians(FOV) / 2)
    camera = Camera(focal, np.array(SIZE) / 2, SIZE, R, np.array(position))
    pixels = focal * _in_camera(joints, R, position)[..., :2] / _in_camera(joints, R, position)[..., 2:]
    pixels = (pixels + np.array(SIZE) / 2)[:, [BODY_22.index(name) for name in KEYPOINTS]]
    directions, lengths = bones.decompose(BODY_22, joints)
    times = np.arange(len(joints)) / RATE
    ones = np.ones((len(joints), len(KEYPOINTS)))
    pose = LiftedPose(BODY_22, times, directions @ R, lengths[0], np.ones(joints.shape[:2]), R[2])
    return Seen(joints, KeypointTrack(times, KEYPOINTS, pixels, ones, SIZE), pose, camera)


def _in_camera(joints, R, position):
    return (joints - np.asarray(position)) @ R


def expected(view: Seen):
    """Where `motion.solve` defines those joints to be: the camera looks along +Y, the first root is at x = y = 0."""
    forward = view.camera.R_world_camera[:, 2].astype(float)
    turn = between(normalize(forward * [1, 1, 0]), [0.0, 1.0, 0.0])
    joints = view.joints @ turn.T
    return joints - joints[0, 0] * [1, 1, 0]


def noisy(view: Seen, degrees: float, pixels: float, seed: int = 0) -> Seen:
    """The same with directions and keypoints off by so much (standard deviation)."""
    rng = np.random.default_rng(seed)
    directions = view.pose.directions + np.radians(degrees) * rng.normal(size=view.pose.directions.shape) / np.sqrt(2)
    positions = view.track.positions + pixels * rng.normal(size=view.track.positions.shape)
    pose, track = view.pose, view.track
    pose = LiftedPose(pose.skeleton, pose.timestamps, normalize(directions), pose.lengths, pose.confidence, pose.up)
    track = KeypointTrack(track.timestamps, track.names, positions, track.scores, track.image_size)
    return Seen(view.joints, track, pose, view.camera)
