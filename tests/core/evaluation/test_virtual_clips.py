# SPDX-License-Identifier: GPL-3.0-or-later
"""Captured motion before virtual cameras, on real motion where it is at hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from video_to_pose import cli
from video_to_pose.errors import InputError
from video_to_pose.evaluation import rendered
from video_to_pose.evaluation.virtual_clips import virtual_clips
from video_to_pose.skeleton import BODY_32

SHARED = Path(__file__).parents[4] / "shared"
real = pytest.mark.skipif(not (SHARED / "data" / "mocap").is_dir(), reason="no captured motion beside the project")


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """A folder of one short clip."""
    folder = tmp_path_factory.mktemp("mocap")
    shutil.copy(SHARED / "data" / "mocap" / "test" / "09_10.bvh", folder)
    return folder


@real
def test_a_clip_is_seen_exactly_and_as_a_detector_would(short):
    ((truth, exact, detected),) = virtual_clips(short, SHARED / "human")
    assert truth.joint_names == BODY_32.joints and truth.source == "09_10"
    assert np.abs(np.diff(truth.timestamps) - 1 / 30).max() < 1e-6
    assert np.allclose(exact.track.positions, truth.camera.project(truth.landmarks), atol=1e-2)
    assert (exact.track.scores == 1).all() and rendered.facts(truth)["cut_percent"] == 0
    off = np.linalg.norm(detected.track.positions - exact.track.positions, axis=-1)
    assert 1 < np.nanmean(off) < 100 and 0.3 < detected.track.scores.mean() < 1
    assert np.isnan(exact.world).all() and np.isnan(detected.world).all()


@real
def test_the_same_seed_gives_the_same_clips(short):
    clips = {seed: list(virtual_clips(short, SHARED / "human", views=2, seed=seed))[1] for seed in (0, 1)}
    again = list(virtual_clips(short, SHARED / "human", views=2, seed=0))[1]
    assert np.array_equal(clips[0][2].track.positions, again[2].track.positions)
    assert not np.array_equal(clips[0][1].track.positions, clips[1][1].track.positions)


@real
def test_the_command_measures_lifters_on_captured_motion(short, tmp_path, capsys):
    out = tmp_path / "figures.json"
    told = ["evaluate", str(short), "--human", str(SHARED / "human"), "--views", "1", "-o", str(out)]
    assert cli.main([*told, "--lifters", "default", "--true-fov"]) == 0
    said = capsys.readouterr().out
    assert "Exact keypoints, 1 clips" in said and "| default, raw |" in said and "aim" not in said
    result = json.loads(out.read_text(encoding="utf-8"))
    assert set(result["mean"]) == {"exact", "detected"} and result["true_fov"]
    assert 20 < result["mean"]["exact"]["default"]["mpjpe_mm"] < 200
    assert result["clips"]["detected"][0]["contenders"]["default"]["joints_mm"]["left_wrist"] > 0


def test_a_folder_without_motion_is_refused(tmp_path):
    with pytest.raises(InputError) as refused:
        next(virtual_clips(tmp_path, tmp_path))
    assert refused.value.code == "mocap-missing"
