# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed and memory of each stage from a 1080p clip to a Take and BVH: ``python benchmarks/end_to_end.py``.

Each run is a fresh process with the detector's model already fetched. Wall time is what a person waits; processor time
is what it costs, and all that can be compared on a machine that does other things as well. Detectors are named
``NAME:VARIANT``; ``stand-in:rtmpose``, ``stand-in:rtmo`` and ``stand-in:vitpose`` have no weights and say what
surrounds such networks costs (`stand_ins`). What cannot run here is listed with the reason. With ``--json FILE`` each
row is written as soon as it is there, and what the file holds is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

from benchmarks import cost, films  # noqa: E402

STAGES = ("load", "detect", "follow", "lift", "solve", "write")
DETECTORS = ("mediapipe:lite", "mediapipe:full", "mediapipe:heavy", "blazepose:lite", "blazepose:full",
             "blazepose:heavy", "stand-in:rtmpose", "stand-in:rtmo", "stand-in:vitpose")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", help="your own clip (default: the example at 1080p, people side by side)")
    parser.add_argument("--detector", nargs="+", default=["mediapipe:full"], help="or all")
    parser.add_argument("--models", type=Path, metavar="DIR", help="where lite.task and the like lie, if not fetched")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2], help="in the picture, and looked for")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the rows there, and go on with those missing")
    parser.add_argument("--stages", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stages:
        print(json.dumps(stages(Path(given.video), json.loads(given.stages))))
        return
    rows: dict[str, Any] = json.loads(given.json.read_text()) if given.json and given.json.exists() else {}
    print(cost.machine())
    print("detector          people  stage   frames/s (wall)  ms/frame (processor)   peak MB")
    with tempfile.TemporaryDirectory() as folder:
        for detector in DETECTORS if given.detector == ["all"] else given.detector:
            for people in given.people:
                key = f"{detector} {people} {given.frames} {given.video or ''}".strip()
                if "runs" not in rows.get(key, {}):
                    try:
                        rows[key] = measured(detector, people, given, Path(folder))
                    except (SystemExit, FileNotFoundError) as error:
                        rows[key] = {"failed": str(error).strip().splitlines()[-1]}
                    if given.json:
                        cost.keep(rows, given.json)
                table(f"{detector:16}  {people:6}", rows[key])


def measured(detector: str, people: int, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The runs of one row, and the machine then."""
    clip = Path(given.video) if given.video else folder / f"{people}.mp4"
    if not clip.exists():
        films.make_loop(clip, people, frames=given.frames)
    name, _, variant = detector.partition(":")
    settings: dict[str, Any] = {"max_people": people}
    if name == "stand-in":
        from benchmarks import stand_ins
        from video_to_pose import video

        info = video.probe(clip)
        card = stand_ins.write(folder / f"{variant}_{people}", variant, people, (info.width, info.height))
        settings |= {"card": str(card)}
    else:
        from video_to_pose import weights

        variant = variant or "full"
        settings |= {"detector": name, "variant": variant}
        entry = f"mediapipe-pose-{variant}"
        if name in ("mediapipe", "blazepose") and weights.find(entry) is None:
            own = (given.models or Path()) / f"{variant}.task"
            if not own.is_file():
                raise FileNotFoundError(f"{entry} is not fetched, and there is no {own.name} in --models")
            settings |= {"model_path": str(own)}
    command = [sys.executable, __file__, str(clip), "--stages", json.dumps(settings)]
    return {"machine": cost.machine(), "runs": [json.loads(cost.run(command).out) for _ in range(given.runs)]}


def table(head: str, row: dict[str, Any]) -> None:
    """One line a stage, the median of the runs."""
    if "failed" in row:
        print(f"{head}  not run: {row['failed']}", flush=True)
        return
    runs = row["runs"]
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
    print(
        f"{head}  all    {frames / wall:12.1f}   {1e3 * cpu / frames:19.2f}   {whole:8.0f}   ({frames} frames)",
        flush=True,
    )


def stages(video: Path, detect: dict) -> dict:
    """Capture and write in this process; seconds and megabytes of each stage. Decoding counts as detecting."""
    meter = cost.Stages()
    with meter.watched(), tempfile.TemporaryDirectory() as folder:
        meter.enter("load")
        from video_to_pose import pipeline, retarget
        from video_to_pose.formats import bvh
        from video_to_pose.formats import take as take_file
        from video_to_pose.settings import CaptureSettings, DetectSettings, RetargetSettings

        paths = {name: Path(value) for name, value in detect.items() if name in ("card", "model_path")}
        settings = CaptureSettings(detect=DetectSettings(**(detect | paths)))
        cost.mark_following(meter)
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
