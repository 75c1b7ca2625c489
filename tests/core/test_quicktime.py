# SPDX-License-Identifier: GPL-3.0-or-later
"""What a telephone says of its lens is found where it writes it, and nowhere else."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from video_to_pose import video
from video_to_pose.quicktime import focal_length_35mm

KEY = b"com.apple.quicktime.camera.focal_length.35mm_equivalent"
WAVE = Path(__file__).parents[2] / "examples" / "wave.mp4"


def atom(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def metadata(kind: int, value: bytes, key: bytes = KEY, version: bytes = b"") -> bytes:
    keys = atom(b"keys", struct.pack(">II", 0, 2) + atom(b"mdta", b"com.apple.quicktime.make") + atom(b"mdta", key))
    item = struct.pack(">II", 8 + 16 + len(value), 2) + atom(b"data", struct.pack(">II", kind, 0) + value)
    return atom(b"meta", version + atom(b"hdlr", bytes(8) + b"mdta" + bytes(13)) + keys + atom(b"ilst", item))


def film(path: Path, meta: bytes, place: bytes = b"trak") -> Path:
    """A film of a few black pictures with metadata of its only track or of the movie."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((90, 160, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    start = data.rindex(b"moov") - 4  # FFmpeg writes it last, so that nothing else moves
    movie = data[start + 8 :]
    if place == b"trak":
        at = movie.index(b"trak") - 4
        size = int.from_bytes(movie[at : at + 4], "big")
        movie = movie[:at] + atom(b"trak", movie[at + 8 : at + size] + meta) + movie[at + size :]
    else:
        movie += meta
    path.write_bytes(data[:start] + atom(b"moov", movie))
    return path


@pytest.mark.parametrize("place", [b"trak", b"moov"])
@pytest.mark.parametrize("ending", ["mov", "mp4"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [(1, b"26"), (21, struct.pack(">i", 26)), (23, struct.pack(">f", 26)), (67, struct.pack(">i", 26))],
    ids=["text", "integer", "float", "int32"],
)
def test_the_focal_length_is_found_however_it_is_written(tmp_path, place, ending, kind, value):
    assert focal_length_35mm(film(tmp_path / f"a.{ending}", metadata(kind, value), place)) == 26


def test_metadata_of_mp4_begins_with_a_version(tmp_path):
    assert focal_length_35mm(film(tmp_path / "a.mp4", metadata(1, b"26", version=bytes(4)))) == 26


@pytest.mark.parametrize(
    "meta",
    [b"", metadata(1, b"-13"), metadata(1, b"wide"), metadata(99, b"26"), metadata(1, b"26", key=b"com.apple.x")],
    ids=["nothing", "impossible", "no number", "unknown kind", "another key"],
)
def test_what_tells_nothing_is_passed_over(tmp_path, meta):
    assert focal_length_35mm(film(tmp_path / "a.mov", meta)) is None


def test_files_that_are_no_films_and_films_that_say_nothing_tell_nothing(tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("no film at all, " * 9)
    assert focal_length_35mm(text) is None and focal_length_35mm(WAVE) is None
    assert focal_length_35mm(tmp_path / "missing.mov") is None


def test_the_field_of_view_is_that_of_the_pictures_longer_side(tmp_path):
    info = video.probe(film(tmp_path / "a.mov", metadata(1, b"26")))
    diagonal = 2 * np.degrees(np.arctan(43.2666 / 2 / 26))  # of 36 mm by 24 mm
    across = 2 * np.degrees(np.arctan(np.tan(np.radians(diagonal) / 2) * 160 / np.hypot(160, 90)))
    assert info.fov_degrees == pytest.approx(across, abs=0.01)
    assert video.probe(WAVE).fov_degrees is None
