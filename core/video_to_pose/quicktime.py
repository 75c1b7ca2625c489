# SPDX-License-Identifier: GPL-3.0-or-later
"""The focal length that telephones write into their films, which FFmpeg does not tell.

Apple's cameras keep it as that of the like lens on 35 mm film in the metadata of the movie or of its video track: atoms
``keys`` and ``ilst`` in a ``meta`` (QuickTime File Format Specification, "Metadata").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_KEY = b"com.apple.quicktime.camera.focal_length.35mm_equivalent"
_MOST_BYTES = 1 << 26
_POSSIBLE_MM = (6.0, 400.0)
_NUMBERS = {21: ">i", 22: ">I", 23: ">f", 24: ">d", 65: ">b", 66: ">h", 67: ">i", 75: ">B", 76: ">H", 77: ">I"}


def focal_length_35mm(path: Path) -> float | None:
    """Millimetres that the file states; None where it states none, or none that can be.

    Args:
        path: any file; only QuickTime and MP4 have it.
    """
    try:
        with path.open("rb") as file:
            movie = _movie(file)
        places = [movie, *_contents(movie, b"trak")]
        stated = [mm for place in places for meta in _contents(place, b"meta") for mm in _stated(meta)]
    except (OSError, struct.error, ValueError, KeyError):
        return None
    return next((mm for mm in stated if _POSSIBLE_MM[0] <= mm <= _POSSIBLE_MM[1]), None)


def _movie(file: BinaryIO) -> bytes:
    """What the file's ``moov`` atom holds; the pictures are passed over."""
    while header := file.read(8):
        size, kind = struct.unpack(">I4s", header)
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", file.read(8))[0], 16
        if kind == b"moov":
            return file.read(min(size - head, _MOST_BYTES) if size else _MOST_BYTES)
        if size < head or not kind.isalnum():  # the last atom, or no atom at all
            break
        file.seek(size - head, 1)
    return b""


def _atoms(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents of the atoms that follow each other."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _contents(data: bytes, kind: bytes) -> list[bytes]:
    """Of all atoms of one kind."""
    return [content for found, content in _atoms(data) if found == kind]


def _stated(meta: bytes) -> Iterator[float]:
    """Values of `_KEY` in what a ``meta`` atom holds, which in MP4 begins with a version."""
    parts = dict(_atoms(meta if meta[4:8] in (b"hdlr", b"keys", b"ilst") else meta[4:]))
    names = [name for _, name in _atoms(parts.get(b"keys", b"")[8:])]
    for item, value in _atoms(parts.get(b"ilst", b"")):
        number = int.from_bytes(item, "big")
        if not 0 < number <= len(names) or names[number - 1] != _KEY:
            continue
        for data in _contents(value, b"data"):
            kind, content = int.from_bytes(data[:4], "big"), data[8:]
            yield float(content) if kind == 1 else float(struct.unpack(_NUMBERS[kind], content)[0])
