# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen in a clip, and the folder that keeps it: people once looked for are not looked for again.

Each clip and way of looking has a folder of its own, named by `key`, in which others may put what belongs to it, such
as pictures of the people. What was not used for longest goes first when there is too much.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import __version__
from .detect import Detection
from .errors import InputError
from .files import written_whole
from .settings import DetectSettings, VideoSettings

MOST_BYTES = 2**30
"""How much is kept, over all clips: some twelve hours of two people."""

_FILE = "detections.npz"
_CHUNKS, _CHUNK_BYTES = 16, 2**16  # of a video are read to know it again
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen in a clip.

    Attributes:
        times: (F,) seconds.
        detections: for each frame the people in it, with what they look like.
        cuts: first frames of new shots.
        image_size: width, height in pixels.
        background: (F, 4) how it moved (`track.BackgroundWatcher.path`); (0, 4) where nobody looked at it.
    """

    times: NDArray[np.float64]
    detections: list[list[Detection]]
    cuts: list[int]
    image_size: tuple[int, int]
    background: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


def key(video: Path, part: VideoSettings, detect: DetectSettings) -> str:
    """Name of what is seen in this part of this video in this way; a copy of the video under another name has the same.

    Raises:
        InputError: a file cannot be read.
    """
    how = {name: str(value) for name, value in asdict(detect).items() if name != "device"}  # it changes but the speed
    for own in (detect.model_path, detect.card):
        if own is not None:
            how[str(own)] = _stamp(own)
    told = [__version__, _stamp(video), asdict(part), how]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]


def _stamp(path: Path) -> str:
    """A file's size and a sample of its content; a video's index, at its start or end, is in it."""
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            for start in np.linspace(0, max(0, size - _CHUNK_BYTES), _CHUNKS).astype(int).tolist():
                file.seek(start)
                digest.update(file.read(_CHUNK_BYTES))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}.", "Check that it is there.", "file-unreadable"
        ) from error
    return digest.hexdigest()


def load(folder: Path) -> Seen | None:
    """What `save` wrote into a folder; None where there is nothing, or nothing that can be read."""
    path = folder / _FILE
    try:
        with np.load(path) as kept:
            names = tuple(json.loads(str(kept["names"])))
            counts, positions, scores, looks = (kept[name] for name in ("counts", "positions", "scores", "looks"))
            ends = np.cumsum(counts).tolist()
            detections = [
                [
                    Detection(names, positions[n], scores[n], appearance=looks[n] if looks.shape[1] else None)
                    for n in range(end - count, end)
                ]
                for count, end in zip(counts.tolist(), ends, strict=True)
            ]
            width, height = kept["image_size"].tolist()
            seen = Seen(kept["times"], detections, kept["cuts"].tolist(), (width, height), kept["background"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile) as error:
        _log.warning("%s cannot be used and is made anew: %s", path, error)
        return None
    with suppress(OSError):
        folder.touch()  # used: it goes last
    return seen


def save(seen: Seen, folder: Path) -> None:
    """Keep what was seen in a folder, which is made; the detectors' own guesses in space are not kept.

    Raises:
        InputError: it cannot be written.
    """
    found = [person for people in seen.detections for person in people]
    names = found[0].names if found else ()
    nothing = np.zeros(0, np.float32)
    looks = [nothing if person.appearance is None else person.appearance for person in found]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be made: {error.strerror or error}.",
            "Check the free space and your rights there.",
            "output-unwritable",
        ) from error
    with written_whole(folder / _FILE) as partial:
        np.savez(
            partial,
            times=seen.times,
            counts=np.array([len(people) for people in seen.detections], np.int64),
            cuts=np.array(seen.cuts, np.int64),
            image_size=np.array(seen.image_size, np.int64),
            background=seen.background,
            names=json.dumps(names),
            positions=np.array([person.positions for person in found], np.float32).reshape(len(found), len(names), 2),
            scores=np.array([person.scores for person in found], np.float32).reshape(len(found), len(names)),
            looks=np.array(looks, np.float32).reshape(len(found), -1 if found else 0),
        )


def clean(store: Path, most_bytes: int = MOST_BYTES, keep: Path | None = None) -> None:
    """Drop what was not used for longest until no more than `most_bytes` are kept; `keep` stays."""
    folders = []
    with suppress(OSError):
        for folder in store.iterdir():
            with suppress(OSError):
                size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                folders.append((folder.stat().st_mtime, size, folder))
    total = sum(size for _, size, _ in folders)
    for _, size, folder in sorted(folders):
        if total <= most_bytes:
            return
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
