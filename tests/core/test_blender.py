# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender is found where it is, and its refusals are told as ours. What it writes is tested in tests/addon."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.motions import standing
from video_to_pose import blender, errors
from video_to_pose.settings import ExportSettings, RetargetSettings
from video_to_pose.types import Camera, KeypointTrack, Take

HEADLESS = Path(__file__).parents[2] / "addon" / "headless.py"


def a_take() -> Take:
    motion = standing(2)
    track = KeypointTrack(motion.timestamps, ("nose",), np.zeros((2, 1, 2)), np.ones((2, 1)), (64, 48))
    return Take(track, motion, Camera(50.0, np.array([32.0, 24.0]), (64, 48)), {})


def program(path: Path, body: str) -> str:
    """A stand-in for Blender that does what `body` says."""
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_blender_gets_the_script_in_the_background_and_a_python_gets_it_plain(tmp_path):
    assert blender.find(program(tmp_path / "blender", ""))[1:] == ["--background", "--python", str(HEADLESS), "--"]
    assert blender.find(sys.executable)[1:] == [str(HEADLESS)]


def test_the_folder_of_an_application_is_its_program(tmp_path):
    inside = tmp_path / "Blender.app" / "Contents" / "MacOS"
    inside.mkdir(parents=True)
    found = program(inside / "Blender", "")
    assert blender.find(str(tmp_path / "Blender.app"))[0] == found


def test_a_program_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="no program"):
        blender.find(str(tmp_path / "blender"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a script that can be started")
@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("print('error: No armature.\\nhint: Make one.', file=sys.stderr); sys.exit(2)", errors.InputError, "No arm"),
        ("sys.exit(1)", errors.VideoToPoseError, "exit code 1 instead of writing a.fbx"),
        ("", errors.VideoToPoseError, "exit code 0 instead of writing a.fbx"),  # Blender, when a script fails
        ("sys.exit(130)", errors.Cancelled, "Stopped"),
    ],
)
def test_what_blender_refuses_is_told_in_its_words(tmp_path, body, kind, said):
    command = blender.find(program(tmp_path / "blender", body))
    with pytest.raises(errors.VideoToPoseError, match=said) as caught:
        blender.write(a_take(), [tmp_path / "a.fbx"], command, RetargetSettings())
    assert type(caught.value) is kind


@pytest.mark.skipif(sys.platform == "win32", reason="needs a script that can be started")
def test_blender_is_told_for_whom_the_files_are(tmp_path):
    told = tmp_path / "told"
    body = f"open({str(told)!r}, 'w').write(' '.join(sys.argv)); open({str(tmp_path / 'a.fbx')!r}, 'w')"
    command = blender.find(program(tmp_path / "blender", body))
    blender.write(a_take(), [tmp_path / "a.fbx"], command, RetargetSettings(), ExportSettings("unreal"))
    assert "--fbx-profile unreal" in told.read_text() and "--reference-frame" not in told.read_text()
    export = ExportSettings(reference_frame="rest")
    blender.write(a_take(), [tmp_path / "a.fbx"], command, RetargetSettings(), export)
    assert "--fbx-profile plain --reference-frame rest" in told.read_text()
