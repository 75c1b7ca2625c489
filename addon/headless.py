# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture without a window: videos -> armatures -> FBX, BVH, GLB, .blend. Three ways in, the same options and results:

    blender -b [FILE] --python addon/headless.py -- --video clip.mp4 [--armature NAME] --fbx out.fbx
    blender --command video_to_pose --video clip.mp4 --fbx out.fbx      (where the extension is enabled)
    python addon/headless.py --video clip.mp4 --fbx out.fbx             (a Python in which bpy is installed)

This file only finds the add-on; `command_line` has the options, and says what the exit codes mean.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import traceback
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
PACKAGE = "video_to_pose_extension"


def _package() -> str:
    """Name of the add-on as a package: the enabled extension we lie in, or else made here of our own folder."""
    for name, module in list(sys.modules.items()):
        places = getattr(module, "__path__", ())
        if name.startswith("bl_ext.") and any(Path(place).resolve() == HERE for place in places):
            return name
    package = ModuleType(PACKAGE)
    package.__path__ = [str(HERE), *([] if (HERE / "core").is_dir() else [str(HERE.parent)])]  # in a checkout
    package.__package__ = PACKAGE
    sys.modules[PACKAGE] = package
    return PACKAGE


def _leave(code: int) -> None:
    """End the process with an exit code.

    Blender as a Python module may crash while it shuts down (4.2: one registered operator, or a glTF export of its own
    start-up scene, is enough) or wait for ever for a thread of its own (4.5, in a destructor). All is written by then,
    so there the process ends without a shutdown.
    """
    bpy = sys.modules.get("bpy")
    if bpy is not None and not bpy.app.binary_path:
        shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run_script() -> int:
    """Exit code of the whole: Blender would print a fault of ours and then exit as if all were well."""
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    try:
        return int(importlib.import_module(f"{_package()}.command_line").main(arguments))
    except Exception as error:
        traceback.print_exc()
        print(f"error: It stopped at a fault: {type(error).__name__}: {error}", file=sys.stderr)
        print("hint: This is a fault of the program: please report it with the text above.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    _leave(_run_script())
