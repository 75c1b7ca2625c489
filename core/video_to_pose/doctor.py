# SPDX-License-Identifier: GPL-3.0-or-later
"""What works here, what does not, and the exact mend.

Only the standard library is needed to begin, so that it answers where packages are missing or do not load.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from importlib import metadata

from . import __version__
from .errors import VideoToPoseError
from .settings import DetectSettings, LiftSettings

_NEEDED = ("numpy", "scipy", "av", "mediapipe", "onnxruntime", "PIL", "platformdirs", "tqdm")
_LOADED = ("numpy", "scipy.optimize", "av", "onnxruntime", "PIL.Image")
_OPTIONAL = {"torch": "training", "bpy": "files of Blender", "moderngl": "rendering"}
_LIBRARIES = {"libEGL.so.1": "libegl1", "libGLESv2.so.2": "libgles2"}
"""What MediaPipe links to on Linux, though it does not draw -> Debian's package of it."""


_DEVICE_MENDS = {
    "cuda": "Update the graphics card's driver (580 or newer for CUDA 13), or go on with the processor.",
    "directml": "Update Windows and the graphics card's driver, or go on with the processor.",
}


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        name: what was looked at.
        ok: it works.
        needed: converting a video needs it.
        found: what is there.
        mend: what to do when it is not ok.
    """

    name: str
    ok: bool
    needed: bool
    found: str
    mend: str = ""


def examine(in_blender: bool = False) -> list[Check]:
    """All checks, in the order a person would mend them.

    Args:
        in_blender: asked by the Blender add-on: what concerns the shell alone is left out, and packages of its own
            engine are mended by its button.
    """
    checks = [_python(), *(_package(name) for name in _NEEDED), *_libraries()]
    if all(check.ok for check in checks) and (loads := _loads()).ok:
        checks += [_runtimes(), *_devices(), _detector_model(), _detector(), _lifters()]
    elif all(check.ok for check in checks):
        checks.append(loads)
    if importlib.util.find_spec("platformdirs"):
        checks.append(_cache())
    if in_blender:
        return [_for_blender(check) for check in checks]
    return [*checks, _blender(), *(_package(name, purpose) for name, purpose in _OPTIONAL.items())]


def _for_blender(check: Check) -> Check:
    """A check of the add-on's own engine (which runs without site-packages) with the mend that is a button there."""
    by_shell = ("pip", "video-to-pose", "Python 3.11", "package")
    if check.ok or not sys.flags.no_site or not any(word in check.mend for word in by_shell):
        return check
    return replace(check, mend="Press Install Engine: it is made anew.")


def _loads() -> Check:
    """Whether the packages can be loaded at all: a native library may be broken, or made for another processor."""
    mend = f"Run: {_pip('install', '--force-reinstall', *map(_requirement, _NEEDED))}"
    for name in _LOADED:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            return Check("packages load", False, True, f"{name} does not: {error}", mend)
    return Check("packages load", True, True, ", ".join(_LOADED))


def can_convert(checks: list[Check]) -> bool:
    """True when nothing that is needed is missing."""
    return all(check.ok for check in checks if check.needed)


def _python() -> Check:
    version = platform.python_version()
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    found = f"{version}, video-to-pose {__version__}, {platform.platform(terse=True)}"
    return Check("python", ok, True, found, "Use Python 3.11, 3.12 or 3.13.")


def _version(package: str) -> str | None:
    distributions = metadata.packages_distributions().get(package, [])
    if not distributions or importlib.util.find_spec(package) is None:
        return None
    return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(set(distributions)))


def _package(name: str, purpose: str = "") -> Check:
    version = _version(name)
    found = version or ("not installed" + (f" (only for {purpose})" if purpose else ""))
    return Check(name, version is not None, not purpose, found, f"Run: {_pip('install', _requirement(name))}")


def _requirement(package: str) -> str:
    """What pip is to install for an imported name, as this distribution asks for it."""
    distribution = {"PIL": "pillow"}.get(package, package)
    try:
        asked = metadata.requires("video-to-pose") or []
    except metadata.PackageNotFoundError:  # run from a source folder or out of the Blender extension
        asked = []
    plain = (line.partition(";")[0].strip() for line in asked)
    return next((line for line in plain if re.split(r"[^\w.-]", line)[0] == distribution), distribution)


def _pip(*arguments: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", *arguments])


def _libraries() -> list[Check]:
    if sys.platform != "linux":
        return []
    missing = []
    for library in _LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(library)
    packages = " ".join(_LIBRARIES[library] for library in missing)
    found = f"missing: {', '.join(missing)}" if missing else ", ".join(_LIBRARIES)
    mend = f"Run: sudo apt-get install {packages} (Debian, Ubuntu; elsewhere the packages that hold these files)"
    return [Check("system libraries", not missing, True, found, mend)]


def _runtimes() -> Check:
    installed = sorted(set(metadata.packages_distributions().get("onnxruntime", [])))
    keep = next((name for name in installed if name != "onnxruntime"), "onnxruntime")
    mend = f"They share one folder. Run: {_pip('uninstall', '-y', *installed)} and then: {_pip('install', keep)}"
    return Check("one ONNX Runtime", len(installed) == 1, False, ", ".join(installed), mend)


def _devices() -> list[Check]:
    """Every device that this ONNX Runtime is made for, opened once with a small network."""
    from . import lift
    from .onnx_session import available_devices, open_session

    mend = f"Run: {_pip('install', '--force-reinstall', 'onnxruntime')}"
    names = available_devices()
    if "cpu" not in names:
        return [Check("devices", False, True, ", ".join(names) or "none", mend)]
    works, checks = [], []
    smallest = min((entry.path for entry in lift.LIFTERS.values()), key=lambda path: path.stat().st_size)
    for name in names:
        if name == "tensorrt":  # builds an engine for minutes
            continue
        try:
            open_session(smallest, name)
            works.append(name)
        except VideoToPoseError as error:
            checks.append(Check(f"device {name}", False, False, error.message, _DEVICE_MENDS.get(name, error.hint)))
    return [Check("devices", "cpu" in works, True, ", ".join(works) or "none", mend), *checks]


def _detector_model() -> Check:
    from . import detect, weights

    name = detect.DETECTORS["mediapipe"].weights[DetectSettings.variant]
    path = weights.find(name)
    ok = path is None or weights.verify(name)
    found = f"{path}{'' if ok else ' is damaged'}" if path else "not fetched yet (the first capture fetches it)"
    return Check("detector model", ok, True, found, f"Run: video-to-pose weights fetch {name}")


def _detector() -> Check:
    from . import detect, weights

    name = detect.DETECTORS["mediapipe"].weights[DetectSettings.variant]
    if weights.find(name) is None or not weights.verify(name):
        return Check("detector", True, True, "not tried: its model is not here")
    try:
        detect.load(DetectSettings()).close()
    except VideoToPoseError as error:
        return Check("detector", False, True, error.message, error.hint)
    except (ImportError, OSError) as error:  # a native library of its package does not load
        return Check("detector", False, True, str(error), f"Run: {_pip('install', '--force-reinstall', 'mediapipe')}")
    return Check("detector", True, True, detect.DETECTORS["mediapipe"].label + " opens")


def _lifters() -> Check:
    from . import lift, weights

    mend = "Install this package again from its folder: pip install --force-reinstall --no-deps ."
    here = weights.catalogue()  # which lists the files that are there
    damaged = [name for name in lift.LIFTERS if name not in here or not weights.verify(name)]
    if damaged:
        return Check("lifters", False, True, f"missing or damaged: {', '.join(damaged)}", mend)
    for name in lift.LIFTERS:
        try:
            lift.load(LiftSettings(lifter=name))
        except VideoToPoseError as error:
            return Check("lifters", False, True, error.message, error.hint)
    return Check("lifters", True, True, ", ".join(lift.LIFTERS))


def _cache() -> Check:
    from . import weights

    folder = weights.folder()
    mend = f"Make room or give permission there, or set {weights.FOLDER_VARIABLE} to another folder."
    try:
        with tempfile.TemporaryFile(dir=next(path for path in (folder, *folder.parents) if path.exists())):
            return Check("cache folder", True, False, str(folder))
    except OSError as error:
        return Check("cache folder", False, False, f"{folder} cannot be written: {error.strerror}", mend)


def _blender() -> Check:
    program = shutil.which("blender")
    found = program or ("bpy module" if importlib.util.find_spec("bpy") else "")
    return Check(
        "Blender",
        bool(found),
        False,
        found or "not found",
        "Put blender on PATH or pass --blender (only for .fbx, .blend, .glb).",
    )


def main(arguments: Iterable[str] | None = None) -> int:
    """``python -m video_to_pose.doctor``: as ``video-to-pose doctor``, and it starts where that does not."""
    parser = argparse.ArgumentParser(prog="python -m video_to_pose.doctor", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one line for programs")
    parser.add_argument("--in-blender", action="store_true", help="for the engine of the Blender add-on")
    options = parser.parse_args(None if arguments is None else list(arguments))
    checks = examine(options.in_blender)
    if options.json:
        print(json.dumps({"can_convert": can_convert(checks), "checks": [asdict(check) for check in checks]}))
    else:
        print(report(checks))
    return 0 if can_convert(checks) else 2


def report(checks: Iterable[Check]) -> str:
    """The checks for people, one or two lines each."""
    lines = []
    for check in checks:
        mark = "ok  " if check.ok else ("MEND" if check.needed else "-   ")
        lines.append(f"{mark}  {check.name}: {check.found}" + ("" if check.ok else f"\n        {check.mend}"))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
