# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house, held by tests."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "video_to_pose"
FILES = sorted(CORE.rglob("*.py"))


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Absolute name or empty for relative, level, and whether it stands inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    checking = {
        id(node)
        for f in ast.walk(tree)
        if isinstance(f, ast.If) and "TYPE_CHECKING" in ast.dump(f.test)
        for node in ast.walk(f)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, 0, id(node) in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.level, id(node) in inside))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_imports_inside_the_core_are_relative_and_never_of_blender(path):
    for name, level, _ in imports(path):
        assert level > 0 or not name.startswith("video_to_pose"), f"absolute import of {name}"
        assert name.split(".")[0] != "bpy"


HOMES = {
    "av": {"video.py", "live_source.py", "preview.py"},
    "mediapipe": {"detect/mediapipe_pose.py", "mediapipe_bundle.py"},
    "onnxruntime": {"onnx_session.py", "doctor.py"},
}
"""The modules that may know of a package, so that another can take its place there."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_heavy_packages_are_imported_where_they_belong(path):
    folder = path.relative_to(CORE).parts[0]
    for name, level, in_function in imports(path):
        package = name.split(".")[0]
        if level == 0 and package == "torch":
            assert folder in ("nets", "training")
        if level == 0 and package in HOMES:
            assert in_function, f"{package} must be imported inside the function that needs it"
            assert path.relative_to(CORE).as_posix() in HOMES[package], f"{package} has modules of its own"


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT / "core", check=False)


def test_what_blender_imports_needs_numpy_alone():
    blocked = ("scipy", "av", "mediapipe", "onnxruntime", "torch", "platformdirs", "PIL", "tqdm", "onnx")
    code = BLOCKED.format(blocked=blocked) + (
        "from video_to_pose import bones, errors, kinematics, motion, protocol, retarget, rotation, settings\n"
        "from video_to_pose import resample, resolve, review, skeleton, types\n"
        "from video_to_pose.formats import bvh, keypoints, take\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_converting_a_video_never_imports_torch():
    code = (
        BLOCKED.format(blocked=("torch", "onnx")) + "from video_to_pose import cli, pipeline, preview, worker, doctor\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_layers_and_contracts_hold():
    pytest.importorskip("importlinter")
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "core")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_that_converting_needs_pins_what_blender_or_others_have():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [line.partition(">")[0] for line in project["dependencies"]]
    assert not {"torch", "jax", "onnx", "opencv-python", "bpy"} & set(names)
    assert not [line for line in project["dependencies"] if "<" in line or "==" in line]


def test_the_readmes_commands_are_one_line_each_and_ci_runs_the_second():
    lines = [
        line
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("python3 -m venv")
    ]
    assert len(lines) == 2 and "pytest" in lines[1]
    assert r"grep -E '^python3 -m venv \.venv-dev' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
