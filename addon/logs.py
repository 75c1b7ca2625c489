# SPDX-License-Identifier: GPL-3.0-or-later
"""One text file a capture, to which both Blender and the worker write: what was asked, on what, and how it went.

Nothing here imports bpy.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from pathlib import Path

KEPT = 30
"""So many logs are kept; older ones go when a new one begins."""

_SHOWN = 400_000  # bytes of a log's end; more is slow to show and nobody reads it


class Log:
    """A log that was begun; the worker appends to the same file.

    Args:
        path: the file, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> None:
        """Add lines, with the time; a log that cannot be written is no reason to stop."""
        stamp = time.strftime("%H:%M:%S")
        lines = "".join(f"{stamp} {line}\n" for line in text.splitlines())
        with contextlib.suppress(OSError), self.path.open("ab") as file:
            file.write(lines.encode("utf-8", errors="replace"))

    def read(self) -> str:
        """All of it, or the end of a very long one; empty when the file is gone."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _SHOWN))
                return file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""


def begin(folder: Path, name: str) -> Log:
    """A new log in a folder, named after what it is about and the time.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _forget_old(folder)
    safe = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)
    stem = f"{time.strftime('%Y-%m-%d %H.%M.%S')} {safe}"
    for number in itertools.count(1):
        path = folder / (f"{stem}.txt" if number == 1 else f"{stem} {number}.txt")
        with contextlib.suppress(FileExistsError):
            path.touch(exist_ok=False)
            return Log(path)
    raise AssertionError("counting ended")


def _forget_old(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for path in sorted(folder.glob("*.txt"), key=lambda path: path.stat().st_mtime)[: -(KEPT - 1)]:
            path.unlink(missing_ok=True)
