# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert videos with a network of the papers (`onnx_net`): the clip is shown to it as its training showed clips.

Such a network knows plain keypoints of the joints it answers, in the picture of a still camera that looks at the middle
of the clip. So the landmarks are taken for joints (`joint_keypoints`), and the camera is turned and zoomed, once for
the clip, until it sees the person so; turning and zooming change no perspective. The answer is turned back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import bones
from ..errors import InputError
from ..rotation import between, normalize
from ..skeleton import BODY_22, Skeleton
from ..types import KeypointTrack, LiftedPose
from .joint_keypoints import joint_confidence, joint_keypoints
from .normalize import LIFTER_KEYPOINTS
from .onnx_lifter import FILLED_SCORE, phases, select_keypoints, stand_ins
from .onnx_net import Lift, OnnxNet, flip_augmented

Floats = NDArray[np.floating]

FRAME_RATE = 30.0
"""Frames per second that networks are trained at, where their file does not say."""

FILLED = 0.8
"""Share of the picture that the clip fills; cameras of the training are 1.05 to 1.7 times as far as need be."""

_ROLL, _PITCH = 0.3, 0.8
"""How much of the person's sideways and forward lean is the camera's. On captured motion this is 7° from the true up
on average, a level camera 12°, the whole lean 9°."""


@dataclass(frozen=True, eq=False)
class NetLifter:
    """A network as a lifter; call it with a track and the camera's intrinsics.

    Attributes:
        net: the loaded network.
        flip: average with the mirrored picture.

    Raises:
        InputError: the network answers in another skeleton than `BODY_22`.
    """

    net: OnnxNet
    flip: bool

    def __post_init__(self) -> None:
        if self.net.skeleton.joints != BODY_22.joints:
            raise InputError(
                f"{self.path.name} answers in {self.net.skeleton.name}, which has not all that a character needs.",
                "Train it with --skeleton body22; `video-to-pose evaluate` measures networks of any skeleton.",
                "lifter-skeleton",
            )

    @property
    def path(self) -> Path:
        return self.net.path

    @property
    def skeleton(self) -> Skeleton:
        return self.net.skeleton

    @property
    def keypoints(self) -> tuple[str, ...]:
        return LIFTER_KEYPOINTS

    @property
    def receptive_field(self) -> int:
        return self.net.receptive_field

    @property
    def frame_rate(self) -> float:
        return float(self.net.metadata.get("frame_rate", FRAME_RATE))

    @property
    def causal(self) -> bool:
        return self.net.target == self.net.receptive_field - 1

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.net.metadata

    def __call__(self, track: KeypointTrack, focal_px: float, centre_px: ArrayLike) -> LiftedPose:
        """Directions of every frame, one set of lengths, and the clip's up vector, in camera axes.

        Raises:
            InputError: the track lacks keypoints that the network reads.
        """
        skeleton = self.net.skeleton
        positions, scores = stand_ins(*select_keypoints(track, LIFTER_KEYPOINTS), LIFTER_KEYPOINTS)
        keypoints, trust = joint_keypoints(positions, scores, skeleton)
        screen, R_camera_view = framed((keypoints - np.asarray(centre_px)) / focal_px)
        joints = np.empty((track.frame_count, skeleton.joint_count, 3), dtype=np.float32)
        for part in phases(track, self.frame_rate):
            joints[part] = self._answer(np.concatenate([screen[part], trust[part, :, None]], axis=-1))
        joints = joints @ R_camera_view.T.astype(np.float32)
        directions, lengths = bones.decompose(skeleton, joints)
        seen = (scores > FILLED_SCORE).any(axis=1)
        told = lengths[seen] if seen.any() else lengths
        return LiftedPose(
            skeleton=skeleton,
            timestamps=track.timestamps,
            directions=normalize(directions),
            lengths=clip_lengths(skeleton, told),
            confidence=joint_confidence(skeleton, track),
            up=leaning_up(skeleton, joints),
            height_spread_m=float(np.std(bones.standing_height(skeleton, told))),
        )

    def _answer(self, keypoints: Floats) -> Floats:
        """(F, J, 3) of (F, J, 3) screen coordinates and scores."""
        skeleton, channels = self.net.skeleton, 3 if self.net.needs_scores else 2
        lift: Lift = flip_augmented(self.net, skeleton.mirror, skeleton.mirror) if self.flip else self.net
        return lift(keypoints[..., :channels])


def framed(rays: Floats) -> tuple[Floats, Floats]:
    """A clip as a camera sees it that looks at its middle and is zoomed to it.

    Args:
        rays: (F, K, 2) x / z and y / z in camera axes.

    Returns:
        (F, K, 2) screen coordinates, within ±`FILLED` but for outliers, and R_camera_view (3, 3).
    """
    low, high = np.percentile(rays.reshape(-1, 2), [1, 99], axis=0)
    R = between(np.array([0.0, 0.0, 1.0]), normalize(np.append((low + high) / 2, 1.0)))
    turned = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1) @ R
    flat = turned[..., :2] / np.maximum(turned[..., 2:], 0.1)
    reach = np.percentile(np.abs(flat).max(axis=-1), 99)
    return flat * (FILLED / max(float(reach), 1e-6)), R


def clip_lengths(skeleton: Skeleton, lengths: Floats) -> Floats:
    """(B,) one set for the clip, alike left and right, from every frame's (F, B): the median."""
    middle = np.median(lengths, axis=0)
    mirror = skeleton.mirror[1:] - 1
    one_set: Floats = np.maximum((middle + middle[mirror]) / 2, 1e-3)
    return one_set


def leaning_up(skeleton: Skeleton, joints: Floats) -> Floats:
    """(3,) up in camera axes, from how the person leans when standing up straight; joints (F, J, 3).

    People stand upright and cameras are held level, both more or less.
    """
    ankles = [skeleton.index(f"{side}_ankle") for side in ("left", "right")]
    shoulders = [skeleton.index(f"{side}_shoulder") for side in ("left", "right")]
    axis = joints[:, shoulders].mean(axis=1) - joints[:, ankles].mean(axis=1)
    tall = np.linalg.norm(axis, axis=-1)
    upright = np.clip(tall / max(float(np.percentile(tall, 95)), 1e-6) - 0.8, 0.0, None)
    lean = (upright[:, None] * normalize(axis)).sum(axis=0)
    if lean[1] > -0.5 * np.linalg.norm(lean):  # lying, or upside down: nothing to be learnt
        return np.array([0.0, -1.0, 0.0])
    return normalize(lean * [_ROLL, 1.0, _PITCH])
