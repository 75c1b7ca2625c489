# SPDX-License-Identifier: GPL-3.0-or-later
"""``video-to-pose solve``: what is given changes, what is not stays, and the Take stays whole."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests import walker
from video_to_pose import cli, motion, resolve
from video_to_pose.formats import bvh, take
from video_to_pose.settings import CameraSettings, CaptureSettings, MotionSettings
from video_to_pose.types import Take


@pytest.fixture
def saved(tmp_path):
    view = walker.noisy(walker.seen(walker.walk()[0][:40]), 5.0, 2.0)
    camera, settings = CameraSettings(fov_degrees=walker.FOV, height_m=1.8), MotionSettings(smoothing_cutoff_hz=5.0)
    solved, placed = motion.solve(view.track, view.pose, camera, settings)
    made = {"options": CaptureSettings(camera=camera, motion=settings).to_dict()}
    path = tmp_path / "a täke.npz"
    take.save(Take(view.track, solved, placed, made, lifted=view.pose), path)
    return path


def run(*arguments) -> int:
    return cli.main(["solve", *map(str, arguments)])


def test_what_is_not_given_stays_as_it_was(saved, tmp_path):
    assert run(saved, "-o", tmp_path / "same.npz", "-q") == 0
    np.testing.assert_array_equal(take.load(tmp_path / "same.npz").motion.root, take.load(saved).motion.root)
    assert run(saved, "-o", tmp_path / "new" / "o.npz", "--smoothing", 2, "--no-flat-floor", "-q") == 0
    camera, settings = resolve.solved_with(take.load(tmp_path / "new" / "o.npz"))
    assert (camera.height_m, camera.fov_degrees) == (1.8, walker.FOV)
    assert settings == MotionSettings(smoothing_cutoff_hz=2.0, flat_floor=False)


def test_animation_and_take_are_written_together_and_told(saved, tmp_path, capsys):
    assert run(saved, "-o", tmp_path / "o.bvh", "-o", tmp_path / "o.npz", "--height", 1.6, "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["result"]
    assert told["height_m"] == 1.6 and set(told["stage_seconds"]) == {"solve", "write"}
    assert len(bvh.read(tmp_path / "o.bvh").values) == 40


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--height", "9"), "height of 9"), (("--fov", "2"), "field of view of 2"), (("--smoothing", "-1"), "cut-off")],
)
def test_what_cannot_be_is_refused(saved, tmp_path, capsys, options, said):
    assert run(saved, "-o", tmp_path / "o.npz", *options) == 2
    told = capsys.readouterr().err
    assert said in told and "hint: " in told and not (tmp_path / "o.npz").exists()


def test_the_take_itself_is_never_written_over_and_old_takes_are_told(saved, tmp_path, capsys):
    assert run(saved, "-o", saved) == 2
    take.save(replace(take.load(saved), lifted=None), tmp_path / "old.npz")
    assert run(tmp_path / "old.npz", "-o", tmp_path / "o.npz") == 2
    assert "does not hold what was lifted" in capsys.readouterr().err
