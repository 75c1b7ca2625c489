# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's .fbx, .glb and .blend come out of a real Blender."""

import sys

from tests.addon.conftest import make_take
from video_to_pose import blender
from video_to_pose.settings import RetargetSettings


def test_a_take_is_written_in_every_format_in_one_run(tmp_path):
    outputs = [tmp_path / f"my wave é{ending}" for ending in (".fbx", ".glb", ".blend")]
    blender.write(make_take(10), outputs, blender.find(sys.executable), RetargetSettings())
    fbx, glb, blend = (out.read_bytes() for out in outputs)
    assert fbx.startswith(b"Kaydara") and glb.startswith(b"glTF") and len(blend) > 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(out.name for out in outputs)
