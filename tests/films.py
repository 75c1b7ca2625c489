# SPDX-License-Identifier: GPL-3.0-or-later
"""Small real films of every kind, made with PyAV."""

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

H264 = "libx264" if "libx264" in av.codecs_available else "mpeg4"


def picture(width, height, level=0):
    """Red in the top left quarter; the rest grey of a given level."""
    rgb = np.full((height, width, 3), level, np.uint8)
    rgb[: height // 2, : width // 2] = (255, 0, 0)
    return rgb


def write_video(
    path, stamps=range(10), size=(64, 48), codec=H264, pix_fmt="yuv420p", aspect=None, still=False, **options
):
    """A small film; `stamps` are presentation times in 1/30 s."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = Fraction(1, 3000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for i, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(picture(*size, level=0 if still else 10 * (i % 20)), format="rgb24")
            frame.pts, frame.time_base = round(stamp * 100), Fraction(1, 3000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Path(path)


def write_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for i in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, i * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def set_display_matrix(path, a, b, c, d):
    """Rotate an MP4 as a phone does: by the matrix in its track header alone."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    assert data[at] == 0, "a version 0 track header"
    one = 1 << 16
    data[at + 40 : at + 76] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
