# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed and memory of each stage from a 1080p clip to a Take and BVH: ``python benchmarks/end_to_end.py``.

Each run is a fresh process with the detector's model already fetched. Wall time is what a person waits; processor time
is what it costs, and all that can be compared on a machine that does other things as well.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

from benchmarks import cost, films  # noqa: E402

STAGES = ("load", "detect", "lift", "solve", "write")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", help="your own clip (default: the example at 1080p, people side by side)")
    parser.add_argument("--detector", nargs="+", default=["mediapipe"])
    parser.add_argument("--variant", default="full")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2], help="in the picture, and looked for")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stages", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stages:
        print(json.dumps(stages(Path(given.video), json.loads(given.stages))))
        return
    print(cost.machine())
    print("detector      people  stage   frames/s (wall)  ms/frame (processor)   peak MB")
    with tempfile.TemporaryDirectory() as folder:
        for detector in given.detector:
            for people in given.people:
                clip = Path(given.video) if given.video else Path(folder) / f"{people}.mp4"
                if not clip.exists():
                    films.make_loop(clip, people, frames=given.frames)
                settings = {"detector": detector, "variant": given.variant, "max_people": people}
                command = [sys.executable, __file__, str(clip), "--stages", json.dumps(settings)]
                runs = [json.loads(cost.run(command).out) for _ in range(given.runs)]
                table(f"{detector:12}  {people:6}", runs)


def table(head: str, runs: list[dict]) -> None:
    """One line a stage, the median of the runs."""
    frames = runs[0]["frames"]

    def middle(kind: str, *names: str) -> float:
        return statistics.median(sum(run[kind][name] for name in names) for run in runs)

    for stage in STAGES:
        wall, cpu = middle("wall", stage), middle("cpu", stage)
        peak = statistics.median(run["megabytes"][stage] for run in runs)
        speed = (
            f"{wall:11.2f} s   {cpu:17.2f} s  "
            if stage == "load"
            else f"{frames / wall:12.1f}   {1e3 * cpu / frames:19.2f}  "
        )
        print(f"{head}  {stage:6} {speed} {peak:8.0f}")
    wall, cpu = middle("wall", *STAGES[1:]), middle("cpu", *STAGES[1:])
    whole = max(max(run["megabytes"].values()) for run in runs)
    print(f"{head}  all    {frames / wall:12.1f}   {1e3 * cpu / frames:19.2f}   {whole:8.0f}   ({frames} frames)")


def stages(video: Path, detect: dict) -> dict:
    """Capture and write in this process; seconds and megabytes of each stage. Decoding counts as detecting."""
    meter = cost.Stages()
    with meter.watched(), tempfile.TemporaryDirectory() as folder:
        meter.enter("load")
        from video_to_pose import pipeline, retarget
        from video_to_pose.formats import bvh
        from video_to_pose.formats import take as take_file
        from video_to_pose.settings import CaptureSettings, DetectSettings, RetargetSettings

        settings = CaptureSettings(detect=DetectSettings(**detect))
        found = pipeline.capture(video, settings, lambda progress: meter.enter(progress.stage))
        meter.enter("write")
        rig = retarget.rig_from_motion(found.motion)
        bvh.write(
            retarget.solve(found.motion, rig, retarget.map_bones(rig), RetargetSettings()), Path(folder) / "a.bvh"
        )
        take_file.save(found, Path(folder) / "a.npz")
    return {
        "frames": found.motion.frame_count,
        "cpu": meter.cpu,
        "wall": meter.wall,
        "megabytes": meter.megabytes,
    }


if __name__ == "__main__":
    main()
