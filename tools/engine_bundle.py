# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels and the detector's model in one zip, from which the Blender add-on installs its engine without a network.

One bundle is for one platform and one Python. pip downloads by name; since it reads conditions such as "only on
Windows" for the machine it runs on, what the bundle's own machine needs is worked out here from the wheels.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell
FORMAT = 1


@dataclass(frozen=True)
class Platform:
    """A system that Blender runs on.

    Attributes:
        tags: of wheels that run there, the best first.
        markers: what conditions of requirements ask for.
        pythons: those that Blender brings there and all packages exist for.
    """

    tags: tuple[str, ...]
    markers: dict[str, str]
    pythons: tuple[str, ...]


def _linux(machine: str) -> tuple[str, ...]:
    return (*(f"manylinux_2_{minor}_{machine}" for minor in range(28, 16, -1)), f"manylinux2014_{machine}")


PLATFORMS = {
    "linux-x64": Platform(
        (*_linux("x86_64"), "manylinux2010_x86_64", "manylinux1_x86_64"),
        {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"},
        ("3.11", "3.13"),
    ),
    "windows-x64": Platform(
        ("win_amd64",),
        {"sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64", "os_name": "nt"},
        ("3.11", "3.13"),
    ),
    "macos-arm64": Platform(
        tuple(f"macosx_{major}_0_{arch}" for major in (13, 12, 11) for arch in ("arm64", "universal2")),
        {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64", "os_name": "posix"},
        ("3.11", "3.13"),
    ),
}
"""What bundles can be made for. (MediaPipe has no package for Macs with Intel processors.)"""


class BundleError(Exception):
    """A bundle could not be made; the message says why."""


def make(
    folder: Path,
    platform: str,
    python: str,
    runtime: str,
    requirements: Sequence[str],
    version: str,
    model: Path | None,
) -> Path:
    """Write one bundle, whole or not at all.

    Args:
        folder: where it goes.
        platform: a name in `PLATFORMS`.
        python: version such as ``3.11``.
        runtime: the device its ONNX Runtime is for, as the add-on names it.
        requirements: what is bundled, one requirement each.
        version: of Video to Pose.
        model: the detector's model; None leaves it out.

    Raises:
        BundleError: a package cannot be had.
    """
    path = folder / f"video_to_pose-engine-{version}-{runtime}-{platform}-py{python.replace('.', '')}.zip"
    with tempfile.TemporaryDirectory(prefix="video-to-pose-bundle-") as scratch:
        wheels = collect(Path(scratch), PLATFORMS[platform], python, [*requirements, "pip"])
        files = {f"wheels/{wheel.name}": wheel for wheel in wheels}
        if model is not None:
            files[f"models/{model.name}"] = model
        told = {"format": FORMAT, "version": version, "platform": platform, "python": python, "runtime": runtime}
        partial = path.with_name(path.name + ".partial")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _write(partial, told, files)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return path


def collect(folder: Path, platform: Platform, python: str, requirements: Sequence[str]) -> list[Path]:
    """Download wheels for a platform until everything that they need there is there.

    Raises:
        BundleError: pip cannot find one.
    """
    asked = list(requirements)
    while True:
        _download(folder, platform, python, asked)
        wheels = {_canonical(path.name.split("-")[0]): path for path in folder.glob("*.whl")}
        needed, missing = _closure(wheels, requirements, _environment(platform, python))
        if not missing:
            return sorted(wheels[name] for name in needed)
        if set(missing) <= set(asked):
            raise BundleError(f"pip did not bring {', '.join(missing)}.")
        asked += missing


def _download(folder: Path, platform: Platform, python: str, requirements: Sequence[str]) -> None:
    for path in folder.glob("*.whl"):
        path.unlink()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", f"--dest={folder}"]
    command += [*(f"--platform={tag}" for tag in platform.tags), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        faults = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise BundleError(faults[-1].removeprefix("ERROR:").strip() if faults else done.stderr.strip()[-400:])


def _closure(
    wheels: dict[str, Path], requirements: Iterable[str], environment: dict[str, str]
) -> tuple[set[str], list[str]]:
    """Names of the wheels that are needed, and requirements that no wheel is there for."""
    parse = _packaging("requirements").Requirement
    needed: set[str] = set()
    missing: list[str] = []
    seen: set[tuple[str, str]] = set()
    waiting = [parse(line) for line in requirements]
    while waiting:
        requirement = waiting.pop()
        name = _canonical(requirement.name)
        if name not in wheels:
            requirement.marker = None
            if str(requirement) not in missing:
                missing.append(str(requirement))
            continue
        needed.add(name)
        asked = _requires(wheels[name])
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for line in asked:
                more = parse(line)
                if more.marker is None or more.marker.evaluate({**environment, "extra": extra}):
                    waiting.append(more)
    return needed, missing


def _requires(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
    return [str(line) for line in told.get_all("Requires-Dist") or []]


def _environment(platform: Platform, python: str) -> dict[str, str]:
    plain: dict[str, str] = _packaging("markers").default_environment()
    versions = {"python_version": python, "python_full_version": f"{python}.0", "implementation_version": f"{python}.0"}
    return {**plain, **platform.markers, **versions, "implementation_name": "cpython"}


def _packaging(module: str) -> Any:
    """A module of packaging, or of the copy inside pip, which is there in any case."""
    try:
        return importlib.import_module(f"packaging.{module}")
    except ImportError:
        return importlib.import_module(f"pip._vendor.packaging.{module}")


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _write(path: Path, told: dict[str, Any], files: dict[str, Path]) -> None:
    """Wheels are compressed already, so nothing is compressed again; equal wheels give equal bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        sums = []
        for name in sorted(files):
            digest = hashlib.sha256()
            with files[name].open("rb") as source, archive.open(_entry(name), "w") as target:
                while block := source.read(2**20):
                    digest.update(block)
                    target.write(block)
            sums.append(f"{digest.hexdigest()}  {name}\n")
        archive.writestr(_entry("SHA256SUMS"), "".join(sums))
        archive.writestr(_entry("bundle.json"), json.dumps(told, indent=1) + "\n")


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # Unix, on every system
    entry.external_attr = 0o644 << 16
    return entry
