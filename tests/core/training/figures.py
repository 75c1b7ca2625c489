# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up sequences to train on: a figure of any skeleton that turns while its joints swing, before a still camera."""

import zlib

import numpy as np

from video_to_pose import bones
from video_to_pose.data.lens import LensCamera
from video_to_pose.data.sequences import Sequence2D3D
from video_to_pose.skeleton import H36M_17, Skeleton


def figure(
    name: str = "a", frames: int = 60, skeleton: Skeleton = H36M_17, subject: str = "S1", **changes
) -> Sequence2D3D:
    """A sequence that its name decides. Bones swing about a rest direction, the root walks 4 m before the camera."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    time = np.arange(frames)[:, None, None] / 30
    rest = np.random.default_rng(7).normal(size=(skeleton.bone_count, 3))
    directions = rest + 0.5 * np.sin(2 * np.pi * (rng.uniform(0.2, 1, (skeleton.bone_count, 3)) * time + rng.random()))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    angle = rng.uniform(-0.4, 0.4) + 0.1 * time[:, 0, 0]
    turn = np.zeros((frames, 3, 3))
    turn[:, 0, 0] = turn[:, 2, 2] = np.cos(angle)
    turn[:, 0, 2], turn[:, 2, 0], turn[:, 1, 1] = np.sin(angle), -np.sin(angle), 1
    root = np.array([0.3, 0.1, 4.0]) + np.stack([0.3 * np.sin(angle), 0 * angle, 0 * angle], axis=-1)
    joints = bones.compose(skeleton, np.einsum("fij,fbj->fbi", turn, directions), np.full(skeleton.bone_count, 0.25))
    joints = joints + root[:, None]
    lens = LensCamera(
        np.full(2, 1100.0), np.array([500.0, 500.0]), (1000, 1000), np.eye(3), np.zeros(3), np.zeros(3), np.zeros(2)
    )
    values = {
        "subject": subject,
        "action": f"Swing {name} 1",
        "camera": "0",
        "rate": 30.0,
        "skeleton": skeleton,
        "keypoint_names": skeleton.joints,
        "keypoints": lens.project(joints),
        "scores": np.ones((frames, skeleton.joint_count)),
        "joints": joints,
        "image_size": (1000, 1000),
        "lens": lens,
    }
    return Sequence2D3D(**{**values, **changes})


SMALL = {
    "fc": {"channels": 32},
    "tcn": {"channels": 16},
    "seq2seq": {"hidden": 32},
    "srnet": {"channels": 40},
    "anatomy3d": {"channels": 16, "sampled_frames": 6},
    "rie": {"channels": 16, "latent": 16, "width": 32},
    "gla_gcn": {"channels": 8},
}
"""Settings that make each network of the catalogue small."""

FRAMES = {"fc": 1, "tcn": 27, "seq2seq": 5, "srnet": 27, "anatomy3d": 9, "rie": 27, "gla_gcn": 9}
"""A receptive field for each."""


def small(entry, **changes):
    """A small network's settings."""
    return entry.settings_for(FRAMES[entry.id], **SMALL[entry.id], **changes)
