# SPDX-License-Identifier: GPL-3.0-or-later
"""Type checks of the Blender add-on: ``python tools/check_addon_types.py`` runs mypy on the tree that ships.

Blender's types come from fake-bpy-module. They know one version of Blender, take nearly everything for possibly
missing, and know nothing of properties that add-ons define: what follows from that alone is no fault and is not told.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "video_to_pose_extension"

_SETTINGS = """
[mypy]
python_version = 3.11
check_untyped_defs = true
disallow_incomplete_defs = true
warn_redundant_casts = true
ignore_missing_imports = true
strict_optional = false
show_error_codes = true
# properties stand in annotations; operators and panels redefine what Blender's types declare otherwise;
# an object's data is one of twelve kinds
disable_error_code = valid-type, override, misc, has-type, union-attr, var-annotated
[mypy-video_to_pose_extension.core.*]
follow_imports = silent
ignore_errors = true
"""

_NO_FAULT = (
    r'has no attribute "video_to_pose\w*"',  # our own properties of scenes, actions, armatures
    r'"(type\[)?_\w+\]?" has no attribute',  # halves of operators, which get the rest from Blender's class
    # what Blender hands out as the general kind
    r'"(Action|ActionStrip|AddonPreferences|Constraint|ID|Modifier|Property|Space)" has no attribute',
    r"expected \"(set\[)?Literal\[|expected \"Operator|\(got \"set\[Literal",  # words that Blender knows by name
    r"Literal\['Video to Pose'\]",
    r'"\*\*dict\[',  # options handed on by name
    r'"(list\[Any \| )?Matrix\]?"|incompatible type "Constraint"|bpy_prop|"Armature \| Camera',
    r'for in \("Action"\)|function of unknown type|of "(Armature|MetaBall)"  \[call-arg\]',
    r"ndarray\[tuple|_NestedSequence\[",  # numpy tells shapes apart that are known only at run time
    r"has no attribute \"\w*PRIORITY_CLASS\"|has no attribute \"CREATE_NO_WINDOW\"",  # Windows only
)


def faults(told: str) -> list[str]:
    """mypy's errors that are faults of the add-on."""
    errors = [line for line in told.splitlines() if ": error: " in line and f"{PACKAGE}/core/" not in line]
    return [line for line in errors if not any(re.search(pattern, line) for pattern in _NO_FAULT)]


def main() -> int:
    sys.path.insert(0, str(ROOT))
    import build_addon

    with tempfile.TemporaryDirectory(prefix="video-to-pose-types-") as scratch:
        folder = Path(scratch)
        build_addon.stage(folder / PACKAGE)
        (folder / "mypy.ini").write_text(_SETTINGS, encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-pretty", "-p", PACKAGE]
        command.append(f"--cache-dir={ROOT / '.mypy_cache' / 'addon'}")
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        print(done.stdout + done.stderr)
        return 1
    found = faults(done.stdout)
    print("\n".join(found))
    print(f"the add-on's types: {len(found)} fault(s), {done.stdout.count(': error: ')} message(s)")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
