# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed example clip and its truth keep what examples/README.md promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.tools.pairs import check_pair
from video_to_pose.skeleton import BODY_32

CLIP = Path(__file__).resolve().parents[2] / "examples" / "wave.mp4"


class TestExample:
    def test_is_small_and_as_its_readme_says(self):
        assert CLIP.stat().st_size < 1.5e6
        check_pair(CLIP, frames=150, size=(1280, 720))

    def test_the_whole_body_is_in_view_in_every_frame(self):
        with np.load(CLIP.with_suffix(".npz")) as truth:
            width, height = truth["image_size"]
            assert np.all(truth["landmarks_2d"] > 5)
            assert np.all(truth["landmarks_2d"] < [width - 5, height - 5])

    def test_the_person_moves_about(self):
        with np.load(CLIP.with_suffix(".npz")) as truth:
            wrist = truth["joints_world"][:, BODY_32.index("left_wrist")]
            assert np.ptp(wrist[:, 2]) > 0.5
