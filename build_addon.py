# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the Blender extension: ``python build_addon.py`` writes ``dist/video_to_pose-VERSION.zip``.

The extension is the add-on with the core inside, where Blender sees it as a part of the extension and the worker
process finds it on its path. Equal sources give equal bytes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="FOLDER", help="where the zip goes")
    print(build(parser.parse_args().output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
