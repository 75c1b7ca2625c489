# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips for the benchmarks, made of the example: larger, with several people side by side, and as long as wanted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "wave.mp4"
RATE = 30


def make_loop(
    path: Path, people: int = 1, size: tuple[int, int] = (1920, 1080), frames: int | None = None, rate: int = RATE
) -> Path:
    """The example forwards and then backwards, so that it can be repeated without a jump.

    Args:
        path: .mp4 to write.
        people: copies side by side, each as large as fits.
        size: width and height.
        frames: this many from the start instead.
        rate: frames a second.
    """
    width, height = size
    with av.open(str(EXAMPLE)) as source:
        pictures = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    order = [*pictures, *pictures[-2:0:-1]][:frames]
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = RATE
        stream.codec_context.max_b_frames = 0  # packets in order of time can be repeated as they are
        for picture in order:
            target.mux(stream.encode(_side_by_side(picture, people, width, height)))
        target.mux(stream.encode())
    return path


def _side_by_side(picture: np.ndarray, people: int, width: int, height: int) -> av.VideoFrame:
    """The middle of the picture `people` times in a row."""
    each = width // people
    middle = picture.shape[1] // 2
    half = min(picture.shape[1], round(picture.shape[0] * each / height)) // 2
    cut = np.ascontiguousarray(picture[:, middle - half : middle + half])
    one = av.VideoFrame.from_ndarray(cut, format="rgb24").reformat(each, height, format="rgb24").to_ndarray()
    whole = np.zeros((height, width, 3), np.uint8)
    whole[:, : each * people] = np.tile(one, (1, people, 1))
    return av.VideoFrame.from_ndarray(whole, format="rgb24")


def repeat(loop: Path, path: Path, frames: int, rate: int = RATE) -> Path:
    """`frames` frames of a film from `make_loop`, over and over. Packets are copied: an hour takes seconds."""
    with av.open(str(loop)) as source:
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
        with av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            stream.time_base = Fraction(1, rate * 512)
            for index in range(frames):
                packet = av.Packet(packets[index % len(packets)])
                packet.pts = packet.dts = index * 512
                packet.time_base, packet.stream = stream.time_base, stream
                packet.is_keyframe = index % len(packets) % RATE == 0
                target.mux(packet)
    return path
