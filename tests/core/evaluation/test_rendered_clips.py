# SPDX-License-Identifier: GPL-3.0-or-later
"""Lifters against the detector's own 3D, on made-up answers whose errors are known and on the example clip."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from video_to_pose import cli, lift, weights
from video_to_pose.data import clips
from video_to_pose.errors import SetupError
from video_to_pose.evaluation import rendered, side_by_side
from video_to_pose.rotation import axis_angle_to_matrix
from video_to_pose.settings import CaptureSettings, LiftSettings
from video_to_pose.skeleton import BODY_32

EXAMPLE = Path(__file__).parents[3] / "examples" / "wave.mp4"


@pytest.fixture(scope="module")
def truth() -> clips.Truth:
    return clips.load_truth(EXAMPLE)


def perfect(truth: clips.Truth) -> rendered.Answer:
    """The truth as somebody's answer."""
    camera, names = truth.camera, tuple(name for name in BODY_32.joints if truth.has(name))
    return rendered.Answer(
        names,
        truth.points(names),
        truth.up,
        floor=-float(camera.position[2]),
        height_m=rendered.standing_height(truth),
    )


def everywhere(truth: clips.Truth) -> np.ndarray:
    return np.ones(len(truth.timestamps), dtype=bool)


def test_a_perfect_answer_has_no_error(truth):
    row = rendered.figures(perfect(truth), truth, everywhere(truth))
    slide = row.pop("slide_cm_s")
    assert slide == pytest.approx(rendered.facts(truth)["slide_cm_s"], abs=1e-3)  # captured feet are not quite still
    assert max(row.pop("joints_mm").values()) < 1e-6
    deviation = row.pop("bone_deviation_mm")
    assert deviation < 0.1
    assert all(abs(value) < 1e-3 for value in row.values()), row


def test_an_answer_that_is_too_large_is_so_in_every_figure_that_tells_of_size(truth):
    large = perfect(truth)
    large = replace(large, joints=1.1 * large.joints, floor=1.1 * large.floor, height_m=1.1 * large.height_m)
    row = rendered.figures(large, truth, everywhere(truth))
    assert row["size_percent"] == pytest.approx(10)
    assert row["height_error_cm"] == pytest.approx(10 * rendered.standing_height(truth))
    assert row["mpjpe_mm"] > 20 and row["n_mpjpe_mm"] < 1e-6 and row["p_mpjpe_mm"] < 1e-6
    assert row["path_error_percent"] > 1 and row["feet_degrees"] < 1e-4


def test_an_answer_that_is_turned_is_so_much_off(truth):
    R = axis_angle_to_matrix(np.cross(truth.up, [0.0, 0.0, 1.0]) / np.hypot(*truth.up[:2]), np.radians(8))
    turned = perfect(truth)
    turned = replace(turned, joints=turned.joints @ R.T, up=R @ turned.up)
    row = rendered.figures(turned, truth, everywhere(truth))
    for part in ("feet_degrees", "up_degrees"):
        assert row[part] == pytest.approx(8, abs=1e-3)
    assert row["p_mpjpe_mm"] < 1e-6 < row["n_mpjpe_mm"]
    assert row["path_error_percent"] == pytest.approx(0, abs=1e-6)  # its up is turned with it


def test_feet_in_the_floor_are_told_by_how_deep(truth):
    sunken = perfect(truth)
    sunken = replace(sunken, joints=sunken.joints - 0.03 * truth.up)
    row = rendered.figures(sunken, truth, everywhere(truth))
    assert 0 < row["sink_cm"] <= row["deepest_cm"] == pytest.approx(3, abs=0.2)
    without = rendered.figures(replace(sunken, floor=None), truth, everywhere(truth))
    assert np.isnan(without["sink_cm"]) and without["slide_cm_s"] == pytest.approx(row["slide_cm_s"])


def test_only_frames_with_the_person_count(truth):
    broken = perfect(truth)
    joints = broken.joints.copy()
    joints[40:50] += np.random.default_rng(1).normal(size=joints[40:50].shape)
    found = everywhere(truth)
    found[40:50] = False
    row = rendered.figures(replace(broken, joints=joints), truth, found)
    assert row["mpjpe_mm"] < 1e-6 and row["acceleration_m_s2"] < 1e-6 and row["path_error_cm"] < 1e-6


def test_a_detectors_feet_and_hands_are_compared_by_its_own_landmarks(truth):
    own = rendered.Answer(truth.landmark_names, truth.landmarks, truth.up, says_up=False)
    row = rendered.figures(own, truth, everywhere(truth))
    assert row["feet_degrees"] < 1e-4 and row["hands_degrees"] < 1e-4
    assert np.isnan(row["up_degrees"]) and np.isnan(row["sink_cm"]) and np.isnan(row["height_error_cm"])


def test_the_aim_is_reached_in_all_or_told_in_which_not():
    own = {"mpjpe_mm": 100.0, "p_mpjpe_mm": 80.0, "acceleration_m_s2": 10.0}
    row = {"mpjpe_mm": 65.0, "p_mpjpe_mm": 52.1, "acceleration_m_s2": 5.0, "bone_deviation_mm": 0.0}
    assert rendered.verdict({**row, "feet_degrees": 12.1}, own) == {
        "MPJPE": True,
        "P-MPJPE": False,
        "acceleration": True,
        "bones": True,
        "feet": False,
    }


def test_means_weigh_frames_and_leave_out_what_is_not_said():
    one = dict.fromkeys(side_by_side.MEASURES, 1.0)
    rows = [
        {"frames": 10, "contenders": {"x": {**one, "mpjpe_mm": 10.0, "path_error_percent": 5.0, "size_percent": -4.0}}},
        {"frames": 30, "contenders": {"x": {**one, "mpjpe_mm": 30.0, "path_error_percent": np.nan}}},
    ]
    means = side_by_side.mean(rows)["x"]
    assert means["mpjpe_mm"] == pytest.approx(25)
    assert means["path_error_percent"] == pytest.approx(5)
    assert means["size_percent"] == pytest.approx((4 * 10 + 1 * 30) / 40)


def test_what_cannot_be_said_is_null_in_json():
    assert side_by_side.plain({"a": [np.nan, 1.0], "b": {"c": float("inf")}}) == {"a": [None, 1.0], "b": {"c": None}}


def test_facts_tell_how_the_example_was_filmed(truth):
    told = rendered.facts(truth)
    assert told["fov"] == pytest.approx(50, abs=0.1) and told["roll"] == pytest.approx(0, abs=0.1)
    assert told["cut_percent"] == 0 and not told["portrait"] and told["pitch"] < 0
    assert 1.5 < told["height_m"] < 1.9 and 1 < told["path_m"] < 3 and told["planted_percent"] > 30


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """The folder that keeps what the detector said of the example."""
    try:
        weights.fetch("mediapipe-pose-full")
    except SetupError as error:
        pytest.skip(f"no detector model: {error.message}")
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def watched(kept) -> clips.Watched:
    return clips.watch(EXAMPLE, CaptureSettings(), kept)


def test_the_shipped_lifter_beats_the_detectors_own_3d_on_the_example(watched, truth):
    result = rendered.compare(watched, truth, {"default": lift.load(LiftSettings())}, CaptureSettings())
    own, solved = result["contenders"][rendered.DETECTOR], result["contenders"]["default"]
    for measure in ("mpjpe_mm", "p_mpjpe_mm", "acceleration_m_s2", "feet_degrees", "hands_degrees", "slide_cm_s"):
        assert solved[measure] < own[measure], measure
    assert solved["bone_deviation_mm"] < 0.01 < own["bone_deviation_mm"]
    table = side_by_side.tables([result])
    assert "| wave | CMU mocap 14_17" in table and "| default, raw |" in table and "0 of 1" in table.splitlines()[-1]


def test_told_the_truth_the_lifter_has_the_true_height(watched, truth):
    lifters = {"default": lift.load(LiftSettings())}
    told = rendered.compare(watched, truth, lifters, CaptureSettings(), true_fov=True, true_height=True)
    assert told["contenders"]["default"]["height_error_cm"] == pytest.approx(0, abs=0.01)


def test_the_command_compares_several_lifters_and_detects_once(watched, kept, tmp_path, capsys):
    out = tmp_path / "new" / "figures.json"
    told = ["evaluate", str(EXAMPLE), "--cache", str(kept), "-o", str(out)]
    assert cli.main([*told, "--lifters", "default", "fc", str(lift.LIFTERS["fc"].path)]) == 0
    said = capsys.readouterr().out
    assert said.count("| fc, raw |") == 2 and "| fc.onnx |" in said and "| clip | motion |" in said
    assert len(list(kept.iterdir())) == 1
    result = json.loads(out.read_text(encoding="utf-8"))
    (clip,) = result["clips"]
    assert set(result["mean"]) == {
        rendered.DETECTOR,
        *(n + r for n in ("default", "fc", "fc.onnx") for r in ("", ", raw")),
    }
    assert clip["contenders"]["fc"] == clip["contenders"]["fc.onnx"] and clip["aim"]["default"]["bones"]
    assert clip["contenders"][rendered.DETECTOR]["up_degrees"] is None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [(("-o", "a.csv"), ".json"), (("--lifters", "nosuch"), "nosuch"), (("--lifters", "no.onnx"), "no.onnx")],
)
def test_what_cannot_be_compared_is_named(wrong, named, capsys):
    assert cli.main(["evaluate", str(EXAMPLE), *wrong]) == 2
    assert named in capsys.readouterr().err
