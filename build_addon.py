# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the Blender extension: ``python build_addon.py`` writes ``dist/video_to_pose-VERSION.zip``.

The extension is the add-on with the core inside, where Blender sees it as a part of the extension and the worker
process finds it on its path. Equal sources give equal bytes. ``--bundle`` also writes what the add-on's engine is
installed from where there is no network: one zip for each platform and Python.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

from tools import engine_bundle

ROOT = Path(__file__).resolve().parent

# what neither Blender nor the worker needs: training, and what is only for measuring
_LEFT_OUT = {"nets", "training", "data", "evaluation"}
_JUNK = shutil.ignore_patterns("__pycache__", "*.pyc", "*.partial", ".*")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell


def stage(target: Path) -> Path:
    """Put the extension's tree together in `target`, which must not exist yet. Returns `target`.

    Raises:
        ValueError: the manifest's version is not the core's.
    """
    core = ROOT / "core" / "video_to_pose"
    manifest = tomllib.loads((ROOT / "addon" / "blender_manifest.toml").read_text(encoding="utf-8"))
    if f'__version__ = "{manifest["version"]}"' not in (core / "__init__.py").read_text(encoding="utf-8"):
        raise ValueError(f"blender_manifest.toml says version {manifest['version']}, video_to_pose/__init__.py another")

    def ignored(folder: str, names: list[str]) -> set[str]:
        return _JUNK(folder, names) | (_LEFT_OUT & set(names) if Path(folder) == core else set())

    shutil.copytree(ROOT / "addon", target, ignore=_JUNK)
    shutil.copytree(core, target / "core" / "video_to_pose", ignore=ignored)
    shutil.copy(ROOT / "LICENSE", target / "LICENSE")
    (target / "engine_requirements.txt").write_text(engine_requirements(), encoding="utf-8")
    return target


def engine_requirements() -> str:
    """The packages the worker needs, one a line: the distribution's base dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return "\n".join(project["dependencies"]) + "\n"


def build(folder: Path) -> Path:
    """Write the extension's zip into `folder`, whole or not at all. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / ".staged"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        stage(staged)
        manifest = tomllib.loads((staged / "blender_manifest.toml").read_text(encoding="utf-8"))
        path = folder / f"{manifest['id']}-{manifest['version']}.zip"
        partial = path.with_name(path.name + ".partial")
        _write_zip(staged, partial)
        partial.replace(path)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return path


def _write_zip(tree: Path, path: Path) -> None:
    files = sorted((file for file in tree.rglob("*") if file.is_file()), key=lambda file: file.relative_to(tree).parts)
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(tree).as_posix(), _EPOCH)
            entry.create_system = 3  # Unix, on every system
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def build_bundles(folder: Path, platforms: list[str], pythons: list[str], runtime: str, model: bool) -> list[Path]:
    """Write an engine bundle for each platform and Python. Returns their paths.

    Args:
        folder: where they go.
        platforms: names in `engine_bundle.PLATFORMS`.
        pythons: versions such as ``3.11``.
        runtime: a name in the add-on's `runtimes.RUNTIMES`; one that a platform has not becomes its plainest.
        model: whether the detector's model goes in, too.

    Raises:
        engine_bundle.BundleError: a package or the model cannot be had.
    """
    runtimes = _module("runtimes", ROOT / "addon" / "runtimes.py")
    version = tomllib.loads((ROOT / "addon" / "blender_manifest.toml").read_text(encoding="utf-8"))["version"]
    found = _model() if model else None
    made = []
    for platform in platforms:
        fitting = runtime if runtime in runtimes.usable(platform) else "cpu"
        wanted = runtimes.requirements(engine_requirements(), fitting)
        for python in pythons:
            made.append(engine_bundle.make(folder, platform, python, fitting, wanted, version, found))
    return made


def _module(name: str, path: Path) -> ModuleType:
    """A module of the add-on that needs neither Blender nor its package."""
    spec = importlib.util.spec_from_file_location(f"video_to_pose_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _model() -> Path:
    sys.path.insert(0, str(ROOT / "core"))
    from video_to_pose import weights
    from video_to_pose.errors import VideoToPoseError

    name = "mediapipe-pose-full"
    try:
        return weights.find(name) or weights.fetch(name)
    except VideoToPoseError as error:
        raise engine_bundle.BundleError(f"{error.message} {error.hint} (--no-model leaves it out.)") from error
    finally:
        sys.path.pop(0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="FOLDER", help="where the zips go")
    parser.add_argument("--stage", type=Path, metavar="FOLDER", help="only put the extension's tree there")
    parser.add_argument("--bundle", action="store_true", help="also make engine bundles, which install offline")
    add = parser.add_argument_group("engine bundles").add_argument
    names = list(engine_bundle.PLATFORMS)
    add("--platform", default=",".join(names), help=f"of {', '.join(names)}, with commas (default: all)")
    add("--python", default="3.11,3.13", help="with commas (default: 3.11 for Blender to 5.0, 3.13 from 5.1 on)")
    add("--device", default="cpu", help="cpu, cuda, directml or coreml; cpu where a platform has not that one")
    add("--no-model", action="store_true", help="leave the detector's model out")
    options = parser.parse_args()
    if options.stage is not None:
        print(stage(options.stage))
        return 0
    print(build(options.output))
    if options.bundle:
        platforms = options.platform.split(",")
        if unknown := set(platforms) - set(names):
            parser.error(f"no platform {', '.join(sorted(unknown))}; there are {', '.join(names)}")
        try:
            for path in build_bundles(
                options.output, platforms, options.python.split(","), options.device, not options.no_model
            ):
                print(path)
        except engine_bundle.BundleError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
