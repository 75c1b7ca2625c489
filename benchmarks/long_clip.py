# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and time against a clip's length: ``python benchmarks/long_clip.py [SECONDS …]``.

A synthetic 1080p video, a loop repeated, is captured and written as Take and BVH, each length in a fresh process.
``--detect S`` runs the detector for the first S seconds only and repeats what it found, and ``--decode S`` does the
same for decoding, so that an hour's memory can be measured without an hour's work: all else is done in full.

``--walkers`` takes synthetic people in place of a video and a detector (`tests.walkers`, who walk about, hide each
other and are missed now and then), so that what follows detection is measured at any length in minutes.

``--whole LOG`` leaves nothing out: ``video-to-pose convert`` takes the clip (an hour, if no length is given) from the
first frame to the last, and how far it is and what it holds is written to LOG as it goes. Options after ``--`` are
those of ``convert``: ``python benchmarks/long_clip.py --whole hour.jsonl --rate 24 -- --max-people 1``.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

import numpy as np  # noqa: E402

from benchmarks import cost, films  # noqa: E402

STAGES = ("load", "detect", "follow", "lift", "solve", "write")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="*", help="lengths (default: 10 20 40)")
    parser.add_argument("--detect", type=float, metavar="S", help="detect in the first S seconds only")
    parser.add_argument("--decode", type=float, metavar="S", help="decode the first S seconds only")
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--walkers", action="store_true", help="synthetic detections in place of a video")
    parser.add_argument("--everybody", action="store_true", help="a Take of each, not of the main person alone")
    parser.add_argument("--whole", type=Path, metavar="LOG", help="convert everything, and watch it")
    parser.add_argument("--rate", type=int, default=films.RATE, help="frames a second, with --whole")
    parser.add_argument("--clip", type=Path, help="with --whole: where the clip is, or is made and kept")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:split])
    if given.whole:
        whole(given, words[split + 1 :])
        return
    given.seconds = given.seconds or [10, 20, 40]
    if given.one:
        print(json.dumps(one(Path(given.one), given)))
        return
    print(cost.machine())
    parts = {"--detect": given.detect, "--decode": given.decode}
    some = [word for name, value in parts.items() if value is not None for word in (name, f"{value:g}")]
    some += ["--everybody"] if given.everybody else []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        loop = films.EXAMPLE if given.walkers else films.make_loop(Path(folder) / "loop.mp4", given.people)
        for seconds in given.seconds:
            clip = loop
            if not given.walkers:
                clip = films.repeat(loop, Path(folder) / "long.mp4", round(seconds * films.RATE))
            command = [sys.executable, __file__, "--one", str(clip), "--people", str(given.people), *some]
            command += ["--walkers", f"{seconds:g}"] if given.walkers else []
            spent = cost.run(command)
            about = json.loads(spent.out)
            rows.append((about["frames"], spent.wall, spent.cpu, spent.megabytes))
            there = [stage for stage in STAGES if stage in about["cpu"]]
            peaks = ", ".join(f"{stage} {about['megabytes'][stage]:.0f}" for stage in there)
            used = ", ".join(f"{stage} {about['cpu'][stage]:.1f}" for stage in there)
            print(
                f"{about['frames']:7} frames ({about['frames'] / films.RATE / 60:.1f} min): {spent.wall:.1f} s, "
                f"{spent.cpu:.1f} s of processor time ({used}), peak {spent.megabytes:.0f} MB ({peaks}); "
                f"following {1e6 * about['cpu']['follow'] / about['frames']:.0f} µs a frame",
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

        cost.mark_following(meter)
        if given.walkers:
            pipeline._detect = lambda *_: walking(given.people, given.seconds[0])  # type: ignore[assignment]
        if given.detect is not None:
            entry = detect.DETECTORS["mediapipe"]
            frames = round(given.detect * films.RATE)
            detect.DETECTORS["mediapipe"] = replace(entry, load=lambda s: Repeating(entry.load(s), frames))  # type: ignore[arg-type]
        if given.decode is not None:
            video.read_frames = repeating_frames(video.read_frames, round(given.decode * films.RATE))
        settings = CaptureSettings(detect=DetectSettings(max_people=given.people))

        def report(progress: pipeline.Progress) -> None:
            meter.enter(progress.stage)

        if given.everybody:
            takes = [take for _, take in pipeline.capture_people(clip, settings, report)]
        else:
            takes = [pipeline.capture(clip, settings, report)]
        meter.enter("write")
        for take in takes:
            take_file.save(take, Path(folder) / "a.npz")
            rig = retarget.rig_from_motion(take.motion)
            bvh.write(
                retarget.solve(take.motion, rig, retarget.map_bones(rig), RetargetSettings()), Path(folder) / "a.bvh"
            )
    frames = round(given.seconds[0] * films.RATE) if given.walkers else takes[0].motion.frame_count
    return {"frames": frames, "cpu": meter.cpu, "megabytes": meter.megabytes}


def walking(people: int, seconds: float) -> Any:
    """What a detector may have seen of people who walk to and fro before each other, as `pipeline._detect` says it."""
    from tests import walkers
    from video_to_pose.detect import Detection
    from video_to_pose.seen import Seen

    rng = np.random.default_rng(0)

    def pacing(period: float, start: float) -> Any:
        return lambda t: np.stack([640 + 480 * np.sin(2 * np.pi * t / period + start), np.full_like(t, 380.0)], axis=1)

    crowd = [
        walkers.Walker(
            pacing(period, 1.3 * who), 330.0 + 15 * who, rng.uniform(-0.25, 0.25, 21) + np.tile([0.5, 0, 0], 7)
        )
        for who, period in zip(range(people), (20.0, 15.0, 30.0, 12.0), strict=False)
    ]
    crowd = [replace(walker, period_s=1.2) for walker in crowd]
    # One minute of them, again and again: all their periods divide it, so nobody leaps where it begins anew.
    minute = np.arange(60 * films.RATE) / films.RATE
    seen, _ = walkers.detect(crowd, minute, walkers.Detector(), rng)
    count = round(seconds * films.RATE)
    assert all(person.appearance is not None for found in seen for person in found)
    again = [
        [Detection(p.names, p.positions.copy(), p.scores.copy(), None, np.array(p.appearance)) for p in found]
        for found in (seen[index % len(seen)] for index in range(count))
    ]
    return Seen(np.arange(count) / films.RATE, again, [], walkers.SIZE)


# --- nothing left out ----------------------------------------------------------------------------------------------


def whole(given: argparse.Namespace, options: list[str]) -> None:
    """Convert a long clip with the program itself; progress and memory go to a file as it runs."""
    seconds = given.seconds[0] if given.seconds else 3600.0
    print(cost.machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        clip = given.clip or Path(folder) / "long.mp4"
        if not clip.exists():
            loop = films.make_loop(Path(folder) / "loop.mp4", given.people, rate=given.rate)
            films.repeat(loop, clip, round(seconds * given.rate), given.rate)
        outputs = ["-o", str(Path(folder) / "long.bvh"), "-o", str(Path(folder) / "long.npz")]
        command = [sys.executable, "-m", "video_to_pose", "convert", str(clip), *outputs, "--json", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "core")}
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, encoding="utf-8")
        with given.whole.open("w") as log:
            log.write(json.dumps({"options": options, "bytes": clip.stat().st_size, "machine": cost.machine()}) + "\n")
            result, peaks = follow(child, began, log)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode or result is None:
            raise SystemExit(f"convert ended with {child.returncode}: see {given.whole}")
        wall, spent = time.perf_counter() - began, used.ru_utime + used.ru_stime
        sizes = [Path(out).stat().st_size / 1e6 for out in result["outputs"]]
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in result["stage_seconds"].items())
    print(
        f"{result['frames']} frames ({result['seconds'] / 60:.1f} min) in {wall / 60:.1f} min: "
        f"{result['frames'] / wall:.1f} frames/s; {spent / 60:.1f} min of processor time\n"
        f"seconds: {stages}\n"
        f"most megabytes, at the end of each stage: "
        f"{', '.join(f'{stage} {peak:.0f}' for stage, peak in peaks.items())}\n"
        f"written: {', '.join(f'{size:.0f} MB' for size in sizes)}"
    )


EVERY_S = 10.0


def follow(child: subprocess.Popen[str], began: float, log: TextIO) -> tuple[dict[str, Any] | None, dict[str, float]]:
    """The program's result, and the most megabytes it had held by the end of each stage (Linux)."""
    result, peaks, last, stage = None, {}, -EVERY_S, ""
    assert child.stdout is not None
    for line in child.stdout:
        said = json.loads(line)
        about, now = said.get("progress", {}), time.perf_counter() - began
        result = said.get("result", result)
        held, most = memory(child.pid)
        peaks[stage or "start"] = max(peaks.get(stage or "start", 0.0), most)
        if about and about["stage"] == stage and now - last < EVERY_S:
            continue
        last, stage = now, about.get("stage", stage)
        log.write(json.dumps({"s": round(now, 1), **said, "megabytes": held, "most_megabytes": most}) + "\n")
        log.flush()
    return result, {name: peak for name, peak in peaks.items() if peak}


def memory(process: int) -> tuple[float, float]:
    """Megabytes that a process holds, and the most it held; zeros where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    facts = dict(line.split(":", 1) for line in lines)
    return tuple(round(int(facts.get(name, "0 kB").split()[0]) / 1024, 1) for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


# --- an hour without an hour's work --------------------------------------------------------------------------------


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
