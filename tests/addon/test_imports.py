# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's Python has numpy and nothing else: the add-on needs no more."""

from __future__ import annotations

import ast

BLOCKED = """
import importlib.abc, sys
NAMES = {"scipy", "av", "mediapipe", "onnxruntime", "torch", "platformdirs", "PIL", "tqdm", "cv2"}
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in NAMES:
            raise ModuleNotFoundError(f"{name} is not in Blender", name=name)
        if name == "video_to_pose":
            raise ModuleNotFoundError("the core is a part of the extension, not a module of Blender's", name=name)
sys.meta_path.insert(0, Blocker())
"""


def test_the_add_on_needs_numpy_alone(blender, save_take):
    got = blender.run(
        """
addon.register()
result = rigs.apply_take(bpy.context, take_file.load(sys.argv[1]), None, rigs.ApplySettings())
bvh.write(result.animation, Path(sys.argv[1]).with_suffix(".bvh"))
addon.unregister()
answer(sorted(name for name in sys.modules if name.split(".")[0] == "video_to_pose"))
""",
        save_take(frames=4),
        prelude=BLOCKED + blender.prelude,
    )
    assert got == []


def test_the_staged_tree_imports_the_core_relatively_and_the_core_never_blender(staged):
    for file in sorted(staged.rglob("*.py")):
        in_core = "core" in file.relative_to(staged).parts
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in ("video_to_pose", "core"), f"{file}: {name}"
                assert not (in_core and name.split(".")[0] in ("bpy", "mathutils")), f"{file}: {name}"
                assert name.split(".")[0] != "torch", f"{file}: {name}"


def test_what_ships_has_the_lifters_weights_and_no_training(staged):
    inside = {path.relative_to(staged).as_posix() for path in staged.rglob("*")}
    assert {"blender_manifest.toml", "__init__.py", "core/video_to_pose/worker.py", "LICENSE"} <= inside
    assert any(name.startswith("core/video_to_pose/lift/weights/") and name.endswith(".onnx") for name in inside)
    assert not any(name.split("/")[2:3] in (["nets"], ["training"], ["data"], ["evaluation"]) for name in inside)
    assert not any("__pycache__" in name for name in inside)
