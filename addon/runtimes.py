# SPDX-License-Identifier: GPL-3.0-or-later
"""What networks can run on here: the processor or a graphics card, and which package of ONNX Runtime does it.

Nothing is loaded to find out: a driver's file says enough, and loading it inside Blender could disturb Blender.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Runtime:
    """One way to run networks.

    Attributes:
        label: for people.
        requirement: what pip is asked for in place of plain ``onnxruntime``.
        about: what to know before choosing it.
        download_mb: about how much an engine with it downloads, for the progress bar and the button's tooltip.
        disk_mb: about how much room the making of it takes.
    """

    label: str
    requirement: str
    about: str
    download_mb: int
    disk_mb: int


RUNTIMES: dict[str, Runtime] = {
    "cpu": Runtime("Processor", "onnxruntime", "Works everywhere", 260, 1300),
    "cuda": Runtime(
        "NVIDIA (CUDA)",
        "onnxruntime-gpu[cuda,cudnn]",
        "For NVIDIA cards with a driver for CUDA 13 (580 or newer). Brings NVIDIA's libraries: a large download",
        1700,
        5000,
    ),
    "directml": Runtime("DirectX 12 (DirectML)", "onnxruntime-directml", "For any graphics card on Windows", 260, 1300),
    "coreml": Runtime("Apple (CoreML)", "onnxruntime", "For Apple silicon; part of the plain package", 240, 1300),
}
"""Every runtime by the name that ``--device`` has for it."""


def this_platform(system: str = sys.platform, machine: str | None = None) -> str:
    """The system and processor as Blender names them, such as ``linux-x64``, ``windows-arm64``, ``macos-arm64``."""
    named = {"win32": "windows", "darwin": "macos"}.get(system, system)
    word = (machine or platform.machine()).lower()
    return f"{named}-{ {'x86_64': 'x64', 'amd64': 'x64', 'aarch64': 'arm64'}.get(word, word) }"


def usable(where: str | None = None) -> list[str]:
    """The runtimes that there are packages of for a platform (default: this one), the plainest first."""
    where = where or this_platform()
    more = {
        "linux-x64": ["cuda"],
        "windows-x64": ["directml", "cuda"],
        "windows-arm64": ["directml"],
        "macos-arm64": ["coreml"],
    }
    return ["cpu", *more.get(where, [])]


def detect(where: str | None = None, root: Path | None = None) -> tuple[str, str]:
    """The runtime that fits this machine, and why, in words for the preferences.

    Args:
        where: platform; default this one.
        root: folder that stands for the root of the file system (or of the Windows folder), for tests.
    """
    where = where or this_platform()
    if where == "macos-arm64":
        return "coreml", "Apple silicon"
    if where.startswith("windows"):
        windows = root or Path(os.environ.get("SYSTEMROOT", "C:\\Windows"))
        if where == "windows-x64" and (windows / "System32" / "nvcuda.dll").is_file():
            return "cuda", "an NVIDIA driver is installed"
        if (windows / "System32" / "d3d12.dll").is_file():
            return "directml", "DirectX 12 is installed"
    if where == "linux-x64":
        cards = (root or Path("/")) / "proc" / "driver" / "nvidia" / "gpus"
        if cards.is_dir() and any(cards.iterdir()):
            return "cuda", "an NVIDIA card and its driver are here"
    return "cpu", "no graphics card that can be used was found"


def requirements(listed: str, runtime: str) -> list[str]:
    """The engine's requirements with the runtime's package in place of plain ``onnxruntime``.

    Args:
        listed: one requirement a line.
        runtime: a name in `RUNTIMES`.
    """
    lines = [line.strip() for line in listed.splitlines() if line.strip() and not line.startswith("#")]
    bounds = {line: line.removeprefix("onnxruntime") for line in lines if line.startswith("onnxruntime")}
    return [RUNTIMES[runtime].requirement + bounds[line] if line in bounds else line for line in lines]
