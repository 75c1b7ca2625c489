# SPDX-License-Identifier: GPL-3.0-or-later
"""Every lifter that ships: its weights are whole, told of, and lift a person who stands."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.core.lift.test_net_lifter import CENTRE, make_track
from video_to_pose import lift
from video_to_pose.settings import LiftSettings
from video_to_pose.skeleton import BODY_22

README = Path(__file__).resolve().parents[3] / "weights" / "README.md"


@pytest.mark.parametrize("name", lift.LIFTERS)
def test_a_standing_person_stands(name):
    lifter = lift.load(LiftSettings(lifter=name, device="cpu"))
    pose = lifter(make_track(40), 1000.0, CENTRE)
    skeleton = pose.skeleton
    assert set(BODY_22.joints) <= set(skeleton.joints) and pose.directions.shape == (40, skeleton.bone_count, 3)
    assert np.allclose(np.linalg.norm(pose.directions, axis=-1), 1, atol=1e-4)
    assert pose.lengths.min() > 0.01 and pose.lengths.max() < 0.8
    for joint in ("left_knee", "right_knee", "left_ankle", "right_ankle"):  # legs point down
        assert np.median(pose.directions[:, skeleton.index(joint) - 1, 1]) > 0.7
    for joint in ("thorax", "head"):  # and trunk and neck up
        assert np.median(pose.directions[:, skeleton.index(joint) - 1, 1]) < -0.5
    assert pose.up[1] < -0.8
    thigh, shin = (pose.lengths[skeleton.index(joint) - 1] for joint in ("left_knee", "left_ankle"))
    assert 0.3 < thigh < 0.55 and 0.3 < shin < 0.55


@pytest.mark.parametrize("name", lift.LIFTERS)
def test_the_catalogue_says_who_looks_ahead(name):
    lifter, track = lift.load(LiftSettings(lifter=name, device="cpu", flip=False)), make_track(40)
    assert lift.LIFTERS[name].causal == lifter.causal
    positions = track.positions.copy()
    positions[20:, :, 0] += 50 * np.sin(np.arange(33))
    other = lifter(dataclasses.replace(track, positions=positions), 1000.0, CENTRE)
    changes = np.abs(other.directions - lifter(track, 1000.0, CENTRE).directions).max(axis=(1, 2)) > 1e-3
    assert changes[20:].any()
    if name in ("default", "light", "causal"):  # the papers' networks are framed by the whole clip
        assert changes[:20].any() != lifter.causal


@pytest.mark.parametrize("name", lift.LIFTERS)
def test_weights_are_the_ones_that_are_told_of(name):
    entry = lift.LIFTERS[name]
    digest = hashlib.sha256(entry.path.read_bytes()).hexdigest()
    assert f"{digest}  {entry.path.name}" in (lift.WEIGHTS / "SHA256SUMS").read_text(encoding="utf-8")
    assert entry.path.stat().st_size < 20e6
    assert f"`{entry.path.name}`" in README.read_text(encoding="utf-8")
