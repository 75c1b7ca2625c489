# SPDX-License-Identifier: GPL-3.0-or-later
"""A Take as a capture leaves it: keypoints, what was lifted, motion, camera, settings; with faults if wanted."""

from __future__ import annotations

from pathlib import Path

from tests import walker
from video_to_pose import motion
from video_to_pose.formats import take as take_file
from video_to_pose.settings import CameraSettings, CaptureSettings, MotionSettings
from video_to_pose.types import KeypointTrack, LiftedPose, Take

UNSURE, UNSEEN = slice(20, 32), slice(50, 54)
"""Frames in which the left arm, and everybody, is badly seen where faults are wanted."""


def take(frames: int = 60, faults: bool = False, video: str = "walk.mp4") -> Take:
    """A noisy walk seen by a camera of a known field of view."""
    view = walker.noisy(walker.seen(walker.walk(frames / walker.RATE)[0]), 4.0, 2.0)
    pose, track = view.pose, view.track
    confidence, scores = pose.confidence.copy(), track.scores.copy()
    if faults:
        arm = [pose.skeleton.index(joint) for joint in ("left_elbow", "left_wrist", "left_hand")]
        confidence[UNSURE, arm] = 0.1
        confidence[UNSEEN], scores[UNSEEN] = 0.0, 0.0
    pose = LiftedPose(pose.skeleton, pose.timestamps, pose.directions, pose.lengths, confidence, pose.up)
    track = KeypointTrack(track.timestamps, track.names, track.positions, scores, track.image_size)
    settings = CaptureSettings(camera=CameraSettings(fov_degrees=walker.FOV), motion=MotionSettings())
    solved, camera = motion.solve(track, pose, settings.camera, settings.motion)
    return Take(track, solved, camera, {"video": {"name": video}, "options": settings.to_dict()}, lifted=pose)


def saved(path: Path, frames: int = 60, faults: bool = False) -> Path:
    """`take` in a file."""
    take_file.save(take(frames, faults), path)
    return path
