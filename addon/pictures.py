# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture files as icons that panels can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import bpy
import bpy.utils.previews

_MOST = 256


class _Loaded:
    collection: ClassVar[Any] = None


def icon_of(path: str | Path) -> int:
    """Number of the icon that shows a picture file; 0, which shows nothing, where there is no such file."""
    try:
        stamp = Path(path).stat().st_mtime_ns
    except OSError:
        return 0
    if _Loaded.collection is None or len(_Loaded.collection) > _MOST:
        forget()
        _Loaded.collection = bpy.utils.previews.new()
    key = f"{path} {stamp}"
    found = _Loaded.collection.get(key) or _Loaded.collection.load(key, str(path), "IMAGE")
    return int(found.icon_id)


def forget() -> None:
    """Free all pictures."""
    if _Loaded.collection is not None:
        bpy.utils.previews.remove(_Loaded.collection)
        _Loaded.collection = None


def register() -> None:
    """Nothing: pictures are loaded when they are first shown."""


def unregister() -> None:
    forget()
