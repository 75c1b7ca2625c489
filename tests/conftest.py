# SPDX-License-Identifier: GPL-3.0-or-later
"""What many tests need: the detector's model and a short clip with a person."""

from pathlib import Path

import pytest

from video_to_pose import weights

EXAMPLE = Path(__file__).parents[1] / "examples" / "wave.mp4"


@pytest.fixture(scope="session")
def detector_model():
    """Tests that detect need MediaPipe's model, fetched once into the user's cache."""
    from video_to_pose.errors import SetupError

    try:
        return weights.fetch("mediapipe-pose-full")
    except SetupError as error:
        pytest.skip(f"no detector model: {error.message}")


@pytest.fixture(scope="session")
def short_example(tmp_path_factory):
    """The first 24 frames of the example clip."""
    av = pytest.importorskip("av")
    out = tmp_path_factory.mktemp("clips") / "short clip é.mp4"
    with av.open(str(EXAMPLE)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for i, frame in enumerate(source.decode(video=0)):
            if i == 24:
                break
            target.mux(stream.encode(frame.reformat(width=640, height=360, format="yuv420p")))
        target.mux(stream.encode())
    return out
