# SPDX-License-Identifier: GPL-3.0-or-later
"""What works here, what does not, and the exact mend."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata

from . import __version__, weights
from .errors import VideoToPoseError

_NEEDED = ("numpy", "scipy", "av", "mediapipe", "onnxruntime")
_OPTIONAL = {"torch": "training", "bpy": "blender", "moderngl": "render"}


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
    checks = [_python(), *(_package(name) for name in _NEEDED)]
    if all(check.ok for check in checks):
        checks += [_runtimes(), _providers(), _detector_model()]
    checks += [_lifters(), _cache(), _blender()]
    checks += [_package(name, extra) for name, extra in _OPTIONAL.items()]
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


def _package(name: str, extra: str = "") -> Check:
    version = _version(name)
    mend = f"pip install 'video-to-pose[{extra}]'" if extra else "pip install --force-reinstall video-to-pose"
    return Check(name, version is not None, not extra, version or "not installed", f"Run: {mend}")


def _runtimes() -> Check:
    installed = sorted(set(metadata.packages_distributions().get("onnxruntime", [])))
    return Check(
        "one ONNX Runtime",
        len(installed) == 1,
        False,
        ", ".join(installed),
        "Several ONNX Runtime packages share one folder: pip uninstall -y "
        + " ".join(installed)
        + ", then install one.",
    )


def _providers() -> Check:
    import onnxruntime

    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return Check("devices", "CPU" in names, True, ", ".join(names), "Reinstall onnxruntime.")


def _detector_model() -> Check:
    name = "mediapipe-pose-full"
    path = weights.find(name)
    ok = path is not None and weights.verify(name)
    found = str(path) if path else "not fetched yet (the first capture fetches it)"
    return Check("detector model", ok or path is None, True, found, f"Run: video-to-pose weights fetch {name}")


def _lifters() -> Check:
    names = [status.entry.name for status in weights.list_weights() if status.entry.kind == "lifter"]
    try:
        damaged = [name for name in names if not weights.verify(name)]
    except VideoToPoseError as error:
        return Check("lifters", False, True, error.message, error.hint)
    ok = bool(names) and not damaged
    found = ", ".join(names) if not damaged else f"damaged: {', '.join(damaged)}"
    return Check("lifters", ok, True, found or "none", "Install video-to-pose again.")


def _cache() -> Check:
    folder = weights.folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    ok = os.access(existing, os.W_OK)
    return Check("cache folder", ok, False, str(folder), f"Make {existing} writable or set {weights.FOLDER_VARIABLE}.")


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
