# SPDX-License-Identifier: GPL-3.0-or-later
"""What works here, what does not, and the exact mend."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import re
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata

from . import __version__, detect, lift, weights
from .errors import VideoToPoseError
from .onnx_session import PROVIDERS
from .settings import DetectSettings, LiftSettings

_NEEDED = ("numpy", "scipy", "av", "mediapipe", "onnxruntime", "PIL", "platformdirs", "tqdm")
_OPTIONAL = {"torch": "training", "bpy": "files of Blender", "moderngl": "rendering"}
_LIBRARIES = {"libEGL.so.1": "libegl1", "libGLESv2.so.2": "libgles2"}
"""What MediaPipe links to on Linux, though it does not draw -> Debian's package of it."""


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


def examine() -> list[Check]:
    """All checks, in the order a person would mend them."""
    checks = [_python(), *(_package(name) for name in _NEEDED), *_libraries()]
    if all(check.ok for check in checks):
        checks += [_runtimes(), _devices(), _detector_model(), _detector(), _lifters()]
    checks += [_cache(), _blender()]
    checks += [_package(name, purpose) for name, purpose in _OPTIONAL.items()]
    return checks


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


def _devices() -> Check:
    import onnxruntime

    available = onnxruntime.get_available_providers()
    names = [name for name, provider in PROVIDERS.items() if provider in available]
    mend = f"Run: {_pip('install', '--force-reinstall', 'onnxruntime')}"
    return Check("devices", "cpu" in names, True, ", ".join(names) or "none", mend)


def _detector_model() -> Check:
    name = detect.DETECTORS["mediapipe"].weights[DetectSettings.variant]
    path = weights.find(name)
    ok = path is None or weights.verify(name)
    found = f"{path}{'' if ok else ' is damaged'}" if path else "not fetched yet (the first capture fetches it)"
    return Check("detector model", ok, True, found, f"Run: video-to-pose weights fetch {name}")


def _detector() -> Check:
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
    mend = "Install this package again from its folder: pip install --force-reinstall --no-deps ."
    damaged = [name for name in lift.LIFTERS if not weights.verify(name)]
    if damaged:
        return Check("lifters", False, True, f"missing or damaged: {', '.join(damaged)}", mend)
    for name in lift.LIFTERS:
        try:
            lift.load(LiftSettings(lifter=name))
        except VideoToPoseError as error:
            return Check("lifters", False, True, error.message, error.hint)
    return Check("lifters", True, True, ", ".join(lift.LIFTERS))


def _cache() -> Check:
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
