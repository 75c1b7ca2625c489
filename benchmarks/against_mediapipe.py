# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way to BVH against MediaPipe run alone: ``python benchmarks/against_mediapipe.py [VIDEO]``.

Alone: the plainest script there is, which reads with OpenCV, detects, and keeps the landmarks. Both run in turns, in
fresh processes, with the same model, for one person. Loading is part of both; frames a second are also given without
it, as the difference between a long and a short clip. With ``--json FILE`` each turn is kept as soon as it is done, and
what the file holds is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

from benchmarks import cost, films  # noqa: E402
from video_to_pose import weights  # noqa: E402

PLAIN = """
import sys
import cv2
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
options = vision.PoseLandmarkerOptions(
    base_options=BaseOptions(model_asset_path=sys.argv[2]), running_mode=vision.RunningMode.VIDEO
)
clip, found = cv2.VideoCapture(sys.argv[1]), []
rate = clip.get(cv2.CAP_PROP_FPS)
with vision.PoseLandmarker.create_from_options(options) as landmarker:
    while True:
        there, picture = clip.read()
        if not there:
            break
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        found.append(landmarker.detect_for_video(image, round(1000 * len(found) / rate)))
print(len(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", type=int, default=30, help="frames")
    parser.add_argument("--frames", type=int, default=230)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(1920, 1080))
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the turns there, and go on with those missing")
    given = parser.parse_args()
    turns: dict[str, Any] = json.loads(given.json.read_text()) if given.json and given.json.exists() else {}
    model = weights.fetch("mediapipe-pose-full")
    print(cost.machine())
    with tempfile.TemporaryDirectory() as folder:
        clips = [
            films.make_loop(Path(folder) / f"{frames}.mp4", 1, tuple(given.size), frames)
            for frames in (given.short, given.frames)
        ]
        out = ["-o", str(Path(folder) / "a.bvh"), "-q", "--max-people", "1"]
        programs = {
            "MediaPipe alone": lambda clip: [sys.executable, "-c", PLAIN, str(clip), str(model)],
            "the whole way": lambda clip: [sys.executable, "-m", "video_to_pose", "convert", str(clip), *out],
        }
        costs: dict[str, list[list[cost.Cost]]] = {name: [] for name in programs}
        for turn in range(given.runs):
            for name, command in programs.items():
                key = f"{name} {turn} {given.short} {given.frames} {given.size[0]}x{given.size[1]}"
                if key not in turns:
                    turns[key] = [asdict(cost.run(command(clip))) for clip in clips]
                    if given.json:
                        cost.keep(turns, given.json)
                costs[name].append([cost.Cost(**one) for one in turns[key]])
    more = given.frames - given.short
    print(f"{given.size[0]}x{given.size[1]}, {given.short} and {given.frames} frames, median of {given.runs} runs")
    print("                  frames/s   frames/s of processor time   seconds to the first frame   peak MB")
    rates = {}
    for name, runs in costs.items():
        wall = statistics.median((long.wall - short.wall) / more for short, long in runs)
        cpu = statistics.median((long.cpu - short.cpu) / more for short, long in runs)
        start = statistics.median(short.wall for short, _ in runs) - given.short * wall
        peak = max(long.megabytes for _, long in runs)
        rates[name] = (1 / wall, 1 / cpu)
        print(f"{name:16} {1 / wall:9.1f} {1 / cpu:28.1f} {start:28.2f} {peak:9.0f}")
    wall, cpu = (
        100 * ours / alone for ours, alone in zip(rates["the whole way"], rates["MediaPipe alone"], strict=True)
    )
    print(f"the whole way has {wall:.0f} % of its speed, {cpu:.0f} % by processor time")


if __name__ == "__main__":
    main()
