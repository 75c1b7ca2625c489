# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and time against a clip's length: ``python benchmarks/long_clip.py [SECONDS …]``.

A synthetic 1080p video, a loop repeated, is captured and written as Take and BVH, each length in a fresh process.
``--detect S`` runs the detector for the first S seconds only and repeats what it found, and ``--decode S`` does the
same for decoding, so that an hour's memory can be measured without an hour's work: all else is done in full.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

import numpy as np  # noqa: E402

from benchmarks import cost, films  # noqa: E402

STAGES = ("load", "detect", "lift", "solve", "write")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="*", default=[10, 20, 40], help="lengths (default: %(default)s)")
    parser.add_argument("--detect", type=float, metavar="S", help="detect in the first S seconds only")
    parser.add_argument("--decode", type=float, metavar="S", help="decode the first S seconds only")
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(Path(given.one), given)))
        return
    print(cost.machine())
    parts = {"--detect": given.detect, "--decode": given.decode}
    some = [word for name, value in parts.items() if value is not None for word in (name, f"{value:g}")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        loop = films.make_loop(Path(folder) / "loop.mp4", given.people)
        for seconds in given.seconds:
            clip = films.repeat(loop, Path(folder) / "long.mp4", round(seconds * films.RATE))
            command = [sys.executable, __file__, "--one", str(clip), "--people", str(given.people), *some]
            spent = cost.run(command)
            about = json.loads(spent.out)
            rows.append((about["frames"], spent.wall, spent.cpu, spent.megabytes))
            peaks = ", ".join(f"{stage} {about['megabytes'][stage]:.0f}" for stage in STAGES)
            used = ", ".join(f"{stage} {about['cpu'][stage]:.1f}" for stage in STAGES)
            print(
                f"{about['frames']:7} frames ({about['frames'] / films.RATE / 60:.1f} min): {spent.wall:.1f} s, "
                f"{spent.cpu:.1f} s of processor time ({used}), peak {spent.megabytes:.0f} MB ({peaks})",
                flush=True,
            )
    if len(rows) > 2:
        frames, _, cpu, peak = map(np.array, zip(*rows, strict=True))
        for name, values, unit, kind in (("processor time", 1e3 * cpu, "ms", "s"), ("memory", 1e3 * peak, "kB", "MB")):
            slope, start = np.polyfit(frames, values, 1)
            off = np.abs(values - slope * frames - start).max() / np.abs(values).max()
            line = f"{slope:.2f} {unit} a frame and {start / 1e3:.1f} {kind} at the start"
            print(f"{name}: {line}; off that line by {100 * off:.1f} % at most")


def one(clip: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Capture and write a clip in this process."""
    meter = cost.Stages()
    with meter.watched(), tempfile.TemporaryDirectory() as folder:
        meter.enter("load")
        from video_to_pose import detect, pipeline, retarget, video
        from video_to_pose.formats import bvh
        from video_to_pose.formats import take as take_file
        from video_to_pose.settings import CaptureSettings, DetectSettings, RetargetSettings

        if given.detect is not None:
            entry = detect.DETECTORS["mediapipe"]
            frames = round(given.detect * films.RATE)
            detect.DETECTORS["mediapipe"] = replace(entry, load=lambda s: Repeating(entry.load(s), frames))  # type: ignore[arg-type]
        if given.decode is not None:
            video.read_frames = repeating_frames(video.read_frames, round(given.decode * films.RATE))
        settings = CaptureSettings(detect=DetectSettings(max_people=given.people))
        found = pipeline.capture(clip, settings, lambda progress: meter.enter(progress.stage))
        meter.enter("write")
        take_file.save(found, Path(folder) / "a.npz")
        rig = retarget.rig_from_motion(found.motion)
        bvh.write(
            retarget.solve(found.motion, rig, retarget.map_bones(rig), RetargetSettings()), Path(folder) / "a.bvh"
        )
    return {"frames": found.motion.frame_count, "cpu": meter.cpu, "megabytes": meter.megabytes}


class Repeating:
    """A detector that looks at the first frames and then gives copies of what it found there, forwards and back."""

    def __init__(self, detector: Any, frames: int) -> None:
        self.detector, self.frames, self.found = detector, frames, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.detector, name)

    def __call__(self, frame: Any) -> list[Any]:
        if len(self.found) < self.frames:
            self.found.append(self.detector(frame))
            return self.found[-1]
        index = frame.index % (2 * self.frames - 2)
        people = self.found[min(index, 2 * self.frames - 2 - index)]
        return [copy.deepcopy(person) for person in people]

    def __enter__(self) -> Repeating:
        return self

    def __exit__(self, *_: object) -> None:
        self.detector.close()


def repeating_frames(read: Any, frames: int) -> Any:
    """`video.read_frames` that decodes the first frames and then gives the last of them again and again."""

    def read_some(path: Path, settings: Any = None, warn: Any = None) -> Iterator[Any]:
        from video_to_pose import video

        last, count = None, video.probe(path).frame_count
        source = read(path, settings, warn)
        for frame in source:
            last = frame
            yield frame
            if frame.index + 1 == frames:
                break
        source.close()
        if last is not None:
            for index in range(last.index + 1, count):
                yield replace(last, index=index, time_s=index / films.RATE)

    return read_some


if __name__ == "__main__":
    main()
