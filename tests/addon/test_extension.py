# SPDX-License-Identifier: GPL-3.0-or-later
"""The zip installs in a real Blender, shows its panel, and captures."""

from __future__ import annotations

import importlib.util
import os
import re
import tomllib
import zipfile
from pathlib import Path

import pytest

import build_addon
from tests.addon.conftest import Blender

ROOT = Path(__file__).resolve().parents[2]
VIDEO = ROOT / "examples" / "wave.mp4"
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
ENGINE = os.environ.get("VIDEO_TO_POSE_ENGINE_PYTHON", "")

INSTALL = """
import json, sys, importlib
from pathlib import Path
import bpy
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
NAME = "bl_ext.user_default.video_to_pose"
def part(name):
    return importlib.import_module(f"{NAME}.{name}")
def answer(value):
    print("ANSWER " + json.dumps(value), flush=True)
"""


@pytest.fixture
def blender(tmp_path) -> Blender:
    """A Blender in which nothing is installed yet."""
    home = tmp_path / "home"
    home.mkdir()
    return Blender(None, home)


def test_equal_sources_make_equal_bytes(extension, tmp_path):
    assert build_addon.build(tmp_path).read_bytes() == extension.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [extension.name]
    with zipfile.ZipFile(extension) as archive:
        assert archive.testzip() is None and "blender_manifest.toml" in archive.namelist()
    assert extension.stat().st_size < 60e6  # the lifters are 56 MB of it


def test_the_range_of_versions_is_the_one_that_is_tested(blender, extension):
    """CI's first and last Blender are what the add-on says it is for."""
    tested = [tuple(map(int, version.split(".")[:2])) for version in re.findall(r"(\d+\.\d+\.\d+):3\.", CI)]
    got = blender.run(
        """
versions = part("versions")
answer([versions.OLDEST, versions.NEWEST, versions.verdict(bpy.app.version),
        versions.verdict((4, 1, 0)), versions.verdict((6, 0, 1))])
""",
        extension,
        prelude=INSTALL,
    )
    assert [tuple(got[0]), tuple(got[1])] == [min(tested), max(tested)]
    assert got[2] == "" and "too old" in got[3] and "6.0 is newer" in got[4]
    with zipfile.ZipFile(extension) as archive:
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode("utf-8"))
    assert manifest["blender_version_min"] == ".".join(map(str, min(tested))) + ".0"


def test_the_engine_goes_with_the_extension_and_takes_stay(blender, extension):
    got = blender.run(
        """
import os
session, installed = part("session"), part("installed")
home = session.engine_environment()
user, takes = home.parent, session.user_folder("takes")
(home / "ab12cd" / "p").mkdir(parents=True)
installed.finish(home, installed.Installed("ab12cd", "3.11", "linux-x64", "cpu", (), 1, "online", "0"))
(takes / "mine.npz").write_text("work")
bpy.ops.preferences.addon_disable(module=NAME)
disabled = (home / "ab12cd").is_dir()
bpy.ops.preferences.addon_enable(module=NAME)
again = part("installed").read(home) is not None
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
updated = part("installed").read(home) is not None
repos = bpy.context.preferences.extensions.repos
index = next(i for i, repo in enumerate(repos) if repo.module == "user_default")
bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id="video_to_pose")
answer([disabled, again, updated, user.exists(), os.listdir(takes)])
""",
        extension,
        prelude=INSTALL,
    )
    assert got == [True, True, True, False, ["mine.npz"]]


def test_disabling_leaves_nothing_registered_and_enabling_again_works(blender, extension):
    got = blender.run(
        """
def registered():
    handlers = [name for name in dir(bpy.app.handlers) if isinstance(getattr(bpy.app.handlers, name), list)]
    ours = [name for name in handlers for one in getattr(bpy.app.handlers, name) if one.__module__.startswith(NAME)]
    owned = [f"{kind.__name__}.{name}" for kind in (bpy.types.Scene, bpy.types.Object, bpy.types.Action)
             for name in dir(kind) if "video_to_pose" in name]
    kinds = (bpy.types.Operator, bpy.types.Panel, bpy.types.UIList, bpy.types.FileHandler, bpy.types.PropertyGroup,
             bpy.types.AddonPreferences)
    classes = [one.__name__ for kind in kinds for one in kind.__subclasses__()
               if one.__module__.startswith(NAME) and one.is_registered]
    return sorted(ours + owned + classes)
states = [registered()]
for _ in range(2):
    bpy.ops.preferences.addon_disable(module=NAME)
    states.append(registered())
    bpy.ops.preferences.addon_enable(module=NAME)
    states.append(registered())
answer(states)
""",
        extension,
        prelude=INSTALL,
    )
    first, *later = got
    assert {"CaptureOperator", "ResultPanel", "Scene.video_to_pose", "Action.video_to_pose_checks"} <= set(first)
    assert later == [[], first, [], first]


def test_a_running_installation_ends_when_the_extension_is_disabled(blender, extension):
    got = blender.run(
        """
import time
session, installation = part("session"), part("installation")
home = session.engine_environment()
one = session.State.installation = installation.Installation(home, requirements=["no-such-package-of-ours"])
one.start()
while one._process is None and not one.finished:
    time.sleep(0.01)
bpy.ops.preferences.addon_disable(module=NAME)
answer([one.finished, one.done, sorted(path.name for path in home.iterdir())])
""",
        extension,
        prelude=INSTALL,
    )
    assert got == [True, False, []]


def test_blender_s_own_validator_accepts_the_zip_and_would_not_accept_any(blender, extension, tmp_path):
    module = Path(importlib.util.find_spec("bpy").origin).parent  # not imported: this process stays free of it
    validator = next(module.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    done = blender.python(validator, "validate", extension)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(extension) as archive:
        manifest = archive.read("blender_manifest.toml").decode("utf-8")
    (tmp_path / "broken").mkdir()
    broken = tmp_path / "broken" / "blender_manifest.toml"
    broken.write_text(manifest.replace("blender_version_min", "blender_version_wished"), encoding="utf-8")
    assert blender.python(validator, "validate", broken.parent).returncode != 0


def test_it_installs_shows_its_panel_and_leaves_cleanly(blender, extension):
    got = blender.run(
        """
addons = bpy.context.preferences.addons
PANEL = "VIDEO_TO_POSE_PT_capture"
panel = getattr(bpy.types, PANEL)
untold = []
for kind in (part("properties").VideoToPoseProperties, part("preferences").VideoToPosePreferences):
    fields = [p for p in kind.bl_rna.properties if p.identifier not in ("rna_type", "name", "bl_idname")]
    untold += [p.identifier for p in fields if not p.description]
operators = [name for name in dir(bpy.ops.video_to_pose)]
untold += [name for name in operators if not getattr(bpy.ops.video_to_pose, name).get_rna_type().description]
inside = {"enabled": NAME in addons, "category": panel.bl_category,
          "region": [panel.bl_space_type, panel.bl_region_type], "untold": untold, "fields": hasattr(bpy.types.Scene, "video_to_pose"),
          "folder": str(part("session").user_folder("takes")), "poll": bpy.ops.video_to_pose.capture.poll()}
bpy.ops.preferences.addon_disable(module=NAME)
inside["after"] = [hasattr(bpy.types, PANEL), hasattr(bpy.types.Scene, "video_to_pose"), NAME in addons]
bpy.ops.preferences.addon_enable(module=NAME)
inside["again"] = hasattr(bpy.types, PANEL)
answer(inside)
""",
        extension,
        prelude=INSTALL,
    )
    assert (
        got["enabled"] and got["fields"] and got["category"] == "Video to Pose" and got["region"] == ["VIEW_3D", "UI"]
    )
    assert got["untold"] == []
    assert str(blender.home) in got["folder"] and ".user" not in got["folder"]  # takes outlive the extension
    assert not got["poll"]  # no video yet
    assert got["after"] == [False, False, False] and got["again"]


def test_panel_defaults_are_the_settings_own(blender, extension):
    got = blender.run(
        """
properties, settings = part("properties"), part("core.video_to_pose.settings")
fields = bpy.context.scene.video_to_pose
default = properties.capture_settings(fields) == settings.CaptureSettings()
retarget = properties.retarget_settings(fields) == settings.RetargetSettings()
fields.height_m, fields.field_of_view, fields.end_s, fields.variant = 1.83, 0.8726646, 4.5, "heavy"
changed = properties.capture_settings(fields)
camera = changed.camera
answer([default, retarget, camera.height_m, camera.fov_degrees, changed.video.end_s, changed.detect.variant])
""",
        extension,
        prelude=INSTALL,
    )
    assert got == [True, True, 1.83, pytest.approx(50.0, abs=1e-3), 4.5, "heavy"]


def test_a_take_is_put_on_an_armature_and_errors_are_told(blender, extension, save_take):
    got = blender.run(
        """
fields = bpy.context.scene.video_to_pose
first = bpy.ops.video_to_pose.apply_take(filepath=sys.argv[2])
armature = bpy.context.object
fields.target, fields.armature = "EXISTING", armature
second = bpy.ops.video_to_pose.apply_take(filepath=sys.argv[2])
told = part("session").State.outcome.message
fields.armature = None
try:
    bpy.ops.video_to_pose.apply_take(filepath=sys.argv[2])
except RuntimeError as error:
    wrong = str(error)
answer({"done": [list(first), list(second)], "actions": len(bpy.data.actions), "armatures": len(bpy.data.armatures),
        "told": told, "wrong": wrong, "code": part("session").State.outcome.code, "name": armature.name})
""",
        extension,
        save_take(frames=8),
        prelude=INSTALL,
    )
    assert got["done"] == [["FINISHED"], ["FINISHED"]] and got["actions"] == 2 and got["armatures"] == 1
    assert got["name"] == "wave" and "frames on wave" in got["told"]
    assert "No armature is chosen" in got["wrong"] and got["code"] == "rig-missing"


def test_one_undo_takes_a_capture_back_and_what_was_told_of_it(blender, extension, save_take):
    got = blender.run(
        """
bpy.ops.ed.undo_push(message="before")
objects = len(bpy.data.objects)
bpy.ops.video_to_pose.apply_take("EXEC_DEFAULT", True, filepath=sys.argv[2])
made = len(bpy.data.objects)
told = [part("session").State.outcome is not None]
bpy.ops.ed.undo()
told.append(part("session").State.outcome is not None)
answer([made - objects, len(bpy.data.objects) - objects, len(bpy.data.actions), told])
""",
        extension,
        save_take(frames=4),
        prelude=INSTALL,
    )
    assert got == [1, 0, 0, [True, False]]


def test_the_installed_script_uses_the_extension_it_lies_in(blender, extension, save_take, tmp_path):
    script = blender.run(
        "answer(str(Path(part('rigs').__file__).with_name('headless.py')))\nbpy.ops.wm.save_userpref()",
        extension,
        prelude=INSTALL,
    )
    done = blender.python(script, "--take", save_take(frames=6), "--fbx", tmp_path / "out.fbx")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 frames on wave" in done.stdout and (tmp_path / "out.fbx").stat().st_size > 1000


def test_without_an_engine_the_capture_says_how_to_get_one(blender, extension):
    got = blender.run(
        """
engine = part("engine")
engine.PACKAGES = ("numpy", "no_such_package_here")
fields = bpy.context.scene.video_to_pose
fields.video = sys.argv[2]
try:
    bpy.ops.video_to_pose.capture()
except RuntimeError as error:
    code = part("session").State.outcome.code
    bpy.context.preferences.system.use_online_access = False
    try:
        bpy.ops.video_to_pose.install_engine()
    except RuntimeError as offline:
        answer([str(error), code, bpy.ops.video_to_pose.install_engine.poll(), str(offline)])
""",
        extension,
        VIDEO,
        prelude=INSTALL,
    )
    assert "engine is not installed" in got[0] and got[1] == "engine-missing"
    assert got[2] and "bundle" in got[3]  # installing needs leave to go online, or a bundle


@pytest.mark.slow
@pytest.mark.skipif(not ENGINE or not VIDEO.is_file(), reason="VIDEO_TO_POSE_ENGINE_PYTHON is not set")
def test_a_real_video_is_captured_through_the_installed_extension(blender, extension):
    got = blender.run(
        """
bpy.context.preferences.addons[NAME].preferences.engine_python = sys.argv[3]
fields = bpy.context.scene.video_to_pose
fields.video, fields.match_scene = sys.argv[2], True
done = bpy.ops.video_to_pose.capture()
armature = bpy.context.object
heights = []
for frame in range(1, 151, 10):
    bpy.context.scene.frame_set(frame)
    heights.append(armature.pose.bones["Head"].tail.z)
(job,) = part("session").State.jobs
answer({"done": list(done), "told": job.outcome.message, "range": list(armature.animation_data.action.frame_range), "heights": heights, "scene": [bpy.context.scene.render.fps, bpy.context.scene.frame_end]})
""",
        extension,
        VIDEO,
        ENGINE,
        prelude=INSTALL,
        timeout=600,
    )
    assert got["done"] == ["FINISHED"] and "150 frames" in got["told"]
    assert got["range"] == [1, 150] and got["scene"] == [30, 150]
    assert 1.2 < max(got["heights"]) < 2.3
