# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that is installed here: where its packages lie and what they are.

Each engine is made in a folder of its own, and exists from the moment one small file names that folder. So there is
never half an engine, whatever ends an installation, and no folder of thousands of files need be renamed. Packages lie
in a plain folder that Blender's own Python is pointed at: no copied interpreter, no absolute path, nothing that
breaks when Blender is updated or moved.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

_RECORD = "installed.json"
_ALIVE = "alive"
_ABANDONED_S = 60.0
"""An unfinished folder that was not touched for so long has no installation at work on it."""


@dataclass(frozen=True)
class Installed:
    """A whole engine.

    Attributes:
        folder: its name inside the engine's home.
        python: version it is made for, such as ``3.11``.
        platform: such as ``linux-x64``.
        runtime: a name in `runtimes.RUNTIMES`.
        requirements: what was asked for, one requirement each.
        size_bytes: on disk.
        source: ``"online"`` or the bundle's file name.
        version: of Video to Pose.
    """

    folder: str
    python: str
    platform: str
    runtime: str
    requirements: tuple[str, ...]
    size_bytes: int
    source: str
    version: str


def read(home: Path) -> Installed | None:
    """The engine installed in a home; None when there is none, or what is there cannot be read."""
    try:
        known = json.loads((home / _RECORD).read_text("utf-8"))
        found = Installed(**{**known, "requirements": tuple(known["requirements"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if packages(home, found).is_dir() else None


def packages(home: Path, found: Installed) -> Path:
    """The folder of packages to put on the path."""
    return home / found.folder / "p"


def begin(home: Path) -> Path:
    """Make a folder for a new engine. Its name is short: Windows counts the letters of a path.

    Raises:
        OSError: it cannot be made.
    """
    folder = home / uuid.uuid4().hex[:6]
    folder.mkdir(parents=True)
    keep_alive(folder)
    return folder


def keep_alive(folder: Path) -> None:
    """Tell other Blenders that an installation still works on a folder."""
    (folder / _ALIVE).touch()


def finish(home: Path, made: Installed) -> None:
    """From now on this is the engine; what was before is removed.

    Raises:
        OSError: the record cannot be written; then nothing has changed.
    """
    record = home / _RECORD
    partial = record.with_name(f".{_RECORD}.partial")
    partial.write_text(json.dumps(asdict(made), indent=1), "utf-8")
    before = read(home)
    partial.replace(record)
    (home / made.folder / _ALIVE).unlink(missing_ok=True)
    if before is not None and before.folder != made.folder:
        discard(home / before.folder)


def leftovers(home: Path) -> list[Path]:
    """Folders of installations that ended with their Blender."""
    found = read(home)
    kept = found.folder if found is not None else ""
    return [path for path in _folders(home) if path.name != kept and _abandoned(path)]


def _folders(home: Path) -> list[Path]:
    return [path for path in home.iterdir() if path.is_dir()] if home.is_dir() else []


def _abandoned(folder: Path) -> bool:
    try:
        return time.time() - (folder / _ALIVE).stat().st_mtime > _ABANDONED_S
    except OSError:
        return True


def remove(home: Path) -> None:
    """Remove the engine and all that belongs to it."""
    with contextlib.suppress(OSError):
        (home / _RECORD).unlink(missing_ok=True)
    discard(home)


def discard(folder: Path) -> None:
    """Remove a folder as far as it goes; on Windows what still runs from it stays until next time."""
    shutil.rmtree(folder, ignore_errors=True)


def size_bytes(folder: Path) -> int:
    """What the files of a folder hold together; files that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(f"{parent}{os.sep}{name}").st_size  # noqa: PTH116 (thousands of files, every second)
    return total
