# SPDX-License-Identifier: GPL-3.0-or-later
"""Having Blender write what only Blender writes: a Take as FBX, .blend or GLB, by the extension's ``headless.py``."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import Cancelled, InputError, SetupError, VideoToPoseError
from .formats import take as take_file
from .settings import ExportSettings, RetargetSettings
from .types import Take

ENDINGS = (".fbx", ".blend", ".glb")

_PLAIN = ExportSettings()
_ABOVE = Path(__file__).resolve().parents[2]  # a source checkout, or the installed extension


def find(program: str | None = None) -> list[str]:
    """The command that runs ``headless.py``, without its arguments.

    Args:
        program: Blender, or a Python that has `bpy`; None looks for Blender where it is usually installed, then for
            `bpy` in this Python.

    Raises:
        InputError: the program does not exist.
        SetupError: there is no Blender, or the extension is not beside this installation.
    """
    script = next((path for path in (_ABOVE / "addon" / "headless.py", _ABOVE / "headless.py") if path.is_file()), None)
    if script is None:
        raise SetupError(
            "The Blender extension, which writes FBX, .blend and .glb, is not beside this installation.",
            "Install with `pip install -e .` in the project's folder, or write .bvh and import that in Blender.",
            "no-extension",
        )
    found = _executable(program) if program else shutil.which("blender") or _usual_place()
    if program and found is None:
        raise InputError(
            f"There is no program {program}.", "Give the path of Blender's executable with --blender.", "no-blender"
        )
    if found is not None:
        if Path(found).name.lower().startswith("python"):
            return [found, str(script)]
        return [found, "--background", "--python", str(script), "--"]
    if importlib.util.find_spec("bpy"):
        return [sys.executable, str(script)]
    raise SetupError(
        "FBX, .blend and .glb need Blender, and none was found.",
        f"Pass --blender PATH, put blender on PATH, or run: {sys.executable} -m pip install bpy",
        "no-blender",
    )


def _executable(program: str) -> str | None:
    if program.rstrip("/").endswith(".app"):  # what a person drags from macOS's Applications
        program = str(Path(program) / "Contents" / "MacOS" / "Blender")
    return shutil.which(program)


def _usual_place() -> str | None:
    """Blender where its installers for macOS and Windows put it; the newest of several."""
    places = [
        *Path("/Applications").glob("Blender*.app/Contents/MacOS/Blender"),
        *Path("C:/Program Files/Blender Foundation").glob("Blender */blender.exe"),
    ]
    return str(max(places)) if places else None


def _options_of(settings: RetargetSettings) -> list[str]:
    """The script's options for these settings."""
    return [
        *("--root-motion", settings.root_motion),
        *("--scale", settings.scale),
        *("--place", settings.start),
        *("--facing", settings.facing),
        *("--feet", settings.feet),
        *("--rig-smoothing", settings.smoothing),
        *(word for part in settings.smoothing_of_parts for word in ("--part-smoothing", "=".join(part))),
        "--repair" if settings.repair else "--no-repair",
        "--joint-limits" if settings.joint_limits else "--no-joint-limits",
        *("--limbs", settings.limbs),
        *("--key-error", f"{settings.key_error_degrees:g}"),
        *("--key-distance", f"{settings.key_error_centimetres:g}"),
    ]


def write(
    take: Take,
    outputs: Sequence[Path],
    command: Sequence[str],
    settings: RetargetSettings,
    export: ExportSettings = _PLAIN,
) -> None:
    """Write a Take on an armature of its own to `outputs`, one file an ending of `ENDINGS`, in one run of Blender.

    Args:
        take: what was captured.
        outputs: files to write; their folders exist.
        command: from `find`.
        settings: how the motion is laid on the armature.
        export: for whom the files are written.

    Raises:
        InputError, Cancelled, VideoToPoseError: what the script in Blender said.
    """
    with tempfile.TemporaryDirectory(prefix="video-to-pose-") as folder:
        saved = Path(folder) / "take.npz"
        take_file.save(take, saved)
        whole = [*command, "--take", str(saved), *_options_of(settings)]
        whole += ["--fbx-profile", export.fbx_profile]
        whole += ["--reference-frame", export.reference_frame] if export.reference_frame else []
        for out in outputs:
            whole += [f"--{out.suffix.lower()[1:]}", str(out.resolve())]
        try:
            done = subprocess.run(whole, capture_output=True, encoding="utf-8", errors="replace", check=False)
        except OSError as reason:
            raise InputError(
                f"{command[0]} cannot be started: {reason.strerror}.", "Give Blender's executable.", "no-blender"
            ) from reason
    if done.returncode == Cancelled.exit_code:
        raise Cancelled("Stopped in Blender.")
    missing = [out.name for out in outputs if not out.is_file()]
    if done.returncode or missing:
        said = dict(line.split(": ", 1) for line in done.stderr.splitlines() if line.startswith(("error: ", "hint: ")))
        names = ", ".join(missing or [out.name for out in outputs])
        kinds = {kind.exit_code: kind for kind in (InputError, SetupError)}
        kind = kinds.get(done.returncode, VideoToPoseError) if said else VideoToPoseError
        error = kind(
            said.get("error", f"Blender ended with exit code {done.returncode} instead of writing {names}."),
            said.get("hint", "Run again with --debug to see what Blender said."),
            "blender-failed",
        )
        error.add_note(f"{done.stdout}\n{done.stderr}")
        raise error
