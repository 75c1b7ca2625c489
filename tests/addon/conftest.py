# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Blender, a fresh process for each state, with the zip that users install: what is tested is what ships.

The zip is installed once, by Blender itself; each test gets the installed extension in user folders of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import build_addon
from video_to_pose import bones
from video_to_pose.formats import take as take_file
from video_to_pose.skeleton import BODY_32
from video_to_pose.types import Camera, KeypointTrack, Motion, Take

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "bl_ext.user_default.video_to_pose"
ALIAS = "video_to_pose_extension"
"""What programs of tests call the extension."""

_INSTALL = """
import bpy, sys
print(bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=False))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.blender)
            if importlib.util.find_spec("bpy") is None:
                item.add_marker(pytest.mark.skip(reason="bpy is not installed"))


# Blender 4.2 as a module may crash while it shuts down, after as little as registering one operator
EPILOGUE = """
import os, sys
sys.stdout.flush()
os._exit(0)
"""

PRELUDE = f"""
import json, sys
from pathlib import Path
import bpy
import numpy as np
import {PACKAGE} as addon
from {PACKAGE} import actions, engine, exports, operators, preferences, properties, rigs, session
from {PACKAGE}.core.video_to_pose import errors, kinematics, protocol, retarget, settings
from {PACKAGE}.core.video_to_pose.formats import bvh, take as take_file

def clear():
    for ob in list(bpy.data.objects):
        bpy.data.objects.remove(ob)

def posed_heads(armature, frames):
    \"\"\"(F, N, 3) world heads of pose bones, as Blender evaluates them.\"\"\"
    out = []
    for frame in frames:
        whole = int(np.floor(frame))
        bpy.context.scene.frame_set(whole, subframe=float(frame - whole))
        out.append([(armature.matrix_world @ bone.matrix).translation[:] for bone in armature.pose.bones])
    return np.array(out)

def snapshot():
    \"\"\"What a user would miss or find too much.\"\"\"
    scene = bpy.context.scene
    return {{
        "objects": sorted(bpy.data.objects.keys()), "armatures": sorted(bpy.data.armatures.keys()),
        "actions": sorted((a.name, a.users, a.use_fake_user) for a in bpy.data.actions),
        "render": (scene.render.fps, scene.render.fps_base, scene.frame_start, scene.frame_end, scene.frame_current),
        "selected": sorted(ob.name for ob in bpy.context.selected_objects),
        "active": (bpy.context.view_layer.objects.active.name, bpy.context.view_layer.objects.active.mode)
        if bpy.context.view_layer.objects.active else None,
        "assigned": {{ob.name: ob.animation_data.action.name if ob.animation_data and ob.animation_data.action else None
                     for ob in bpy.data.objects}},
        "data": {{ob.name: ob.animation_data is not None for ob in bpy.data.objects}},
        "poses": {{ob.name: [[list(r) for r in b.matrix_basis] for b in ob.pose.bones]
                  for ob in bpy.data.objects if ob.pose}},
    }}

def answer(value):
    print("ANSWER " + json.dumps(value), flush=True)
"""


class Blender:
    """Runs code in a Blender of its own, with user folders of its own in which the extension is installed.

    Args:
        staged: an installed extension; None: Blender begins without.
        home: the user folders.
    """

    prelude = PRELUDE

    def __init__(self, staged: Path | None, home: Path) -> None:
        self.staged, self.home = staged, home
        if staged is not None:
            installed = home / "extensions" / "user_default" / staged.name
            shutil.copytree(staged, installed, copy_function=os.link)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BLENDER_"))}
        home = {"BLENDER_USER_RESOURCES": str(self.home), "TMPDIR": str(self.home / "tmp")}
        return {**kept, **home, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, code: str, *arguments: object, prelude: str = prelude, timeout: float = 240) -> object:
        """Run code and return what it handed to ``answer``."""
        done = self.python(
            "-c",
            f"STAGED = {str(self.staged)!r}\n{prelude}{textwrap.dedent(code)}".replace(ALIAS, PACKAGE) + EPILOGUE,
            *arguments,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
        assert answers, done.stdout + done.stderr
        return json.loads(answers[-1].removeprefix("ANSWER "))

    def python(self, *arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run this Python with the isolated environment."""
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment(),
            cwd=self.home,
            check=False,
        )


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip that users install."""
    return build_addon.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def staged(extension: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension as Blender has installed it from the zip."""
    home = tmp_path_factory.mktemp("installed")
    done = Blender(None, home).python("-c", _INSTALL + EPILOGUE, extension)
    assert "{'FINISHED'}" in done.stdout, done.stdout + done.stderr
    return home / "extensions" / "user_default" / "video_to_pose"


@pytest.fixture
def blender(staged: Path, tmp_path: Path) -> Blender:
    home = tmp_path / "home"
    home.mkdir()
    return Blender(staged, home)


def make_take(frames: int = 40, rate: float = 30.0, name: str = "wave.mp4") -> Take:
    """A Take of the example clip's true motion; its truth stands in for a capture that would take a while."""
    with np.load(ROOT / "examples" / "wave.npz") as truth:
        assert tuple(truth["joint_names"]) == BODY_32.joints
        joints = truth["joints_world"][10 : 10 + frames].astype(np.float64)
    count = len(joints)
    times = np.arange(count) / rate
    directions, lengths = bones.decompose(BODY_32, joints)
    motion = Motion(
        BODY_32, times, directions, lengths.mean(axis=0), joints[:, 0], np.ones((count, BODY_32.joint_count)), (),
        np.zeros((count, 0), bool),
    )  # fmt: skip
    track = KeypointTrack(times, ("nose",), np.zeros((count, 1, 2)), np.ones((count, 1)), (64, 48))
    return Take(track, motion, Camera(50.0, np.array([32.0, 24.0]), (64, 48)), {"video": {"name": name}})


@pytest.fixture
def save_take(tmp_path: Path) -> Callable[..., Path]:
    def save(**options: object) -> Path:
        path = tmp_path / "sample take.npz"
        take_file.save(make_take(**options), path)
        return path

    return save
