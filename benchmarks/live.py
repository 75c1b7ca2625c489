# SPDX-License-Identifier: GPL-3.0-or-later
"""Latency of following a person while it happens, and what looking ahead costs and brings.

``python benchmarks/live.py`` plays the example at its own speed through the whole chain — decoding, detection, lifting,
filters, the worker's message and the solving of a rig as Blender does it — and prints how far behind the pose is and
how many pictures there was no time for. ``--accuracy SET`` measures the delays on rendered clips with exact truth
(``tools/render_set.py``) against the same detections solved with the whole clip at hand.
"""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

import numpy as np  # noqa: E402

from benchmarks import cost  # noqa: E402
from video_to_pose import bones, detect, lift, live, motion, protocol, retarget, video  # noqa: E402
from video_to_pose.data.rendered import JOINTS, Detected, detect_clip  # noqa: E402
from video_to_pose.evaluation import metrics  # noqa: E402
from video_to_pose.retarget.stream import Stream  # noqa: E402
from video_to_pose.settings import CaptureSettings, DetectSettings, LiveSettings, RetargetSettings  # noqa: E402
from video_to_pose.skeleton import Skeleton  # noqa: E402
from video_to_pose.types import Motion  # noqa: E402

BUDGET_MS = 200.0
"""From picture to posed rig, of 95 poses in 100, with the default look ahead (67 ms)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path, default=ROOT / "examples" / "wave.mp4")
    parser.add_argument("--variant", default=DetectSettings.variant)
    parser.add_argument("--delays", type=int, nargs="+", default=[0, 2, 4, 8])
    parser.add_argument("--accuracy", type=Path, metavar="SET", help="folder of rendered clips")
    given = parser.parse_args()
    settings = CaptureSettings(detect=DetectSettings(variant=given.variant, max_people=1))
    print(cost.machine())
    if given.accuracy:
        accuracy(sorted(given.accuracy.glob("*.mp4")), given.delays, settings)
    else:
        latency(given.video, given.delays, settings)


def latency(path: Path, delays: list[int], settings: CaptureSettings) -> None:
    """A line for each delay."""
    info = video.probe(path)
    print(
        f"{path.name}: {info.width} x {info.height}, {info.frame_rate:g} frames/s, at real speed, "
        f"detector {settings.detect.detector} {settings.detect.variant}"
    )
    print(
        f"budget: {BUDGET_MS:.0f} ms from picture to posed rig (95 %), "
        f"{LiveSettings.delay_frames} frames of look ahead included"
    )
    print("look ahead   picture -> rig ms: median   95 %   of these work: median   95 %   frames/s   left out")
    for delay in delays:
        run = followed(path, settings, LiveSettings(delay_frames=delay))
        middle, most = np.percentile(run.behind_ms, [50, 95])
        ahead = 1e3 * run.delay_s
        print(
            f"{delay:2} ({ahead:3.0f} ms)  {middle:25.0f} {most:6.0f} {middle - ahead:22.0f} {most - ahead:6.0f}"
            f" {run.frames_per_s:10.1f} {run.dropped:5} of {info.frame_count}",
            flush=True,
        )


@dataclass(frozen=True)
class Run:
    """What became of a clip: milliseconds from picture to posed rig of every pose after the first second, and so on."""

    behind_ms: list[float]
    delay_s: float
    frames_per_s: float
    dropped: int


def followed(path: Path, settings: CaptureSettings, live_settings: LiveSettings) -> Run:
    """The worker follows, as for Blender; this process poses a rig of the person's own, the newest pose each time."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "core")}
    worker = subprocess.Popen(
        [sys.executable, "-m", "video_to_pose.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(protocol.encode_job(protocol.Follow("file", str(path), settings, live_settings)).encode())
    worker.stdin.flush()
    lines: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
    out = worker.stdout

    def read() -> None:
        for line in out:
            lines.put((time.monotonic(), line))
        lines.put((0.0, b""))

    threading.Thread(target=read, daemon=True).start()
    behind: list[float] = []
    stream: Stream | None = None
    actor: protocol.Actor | None = None
    rate, dropped = 0.0, 0
    while True:
        waiting = [lines.get()]
        while not lines.empty():
            waiting.append(lines.get())
        poses = []
        for came, line in waiting:
            message = protocol.decode(line) if line else None
            if isinstance(message, protocol.Actor):
                actor = message
            elif isinstance(message, protocol.Pose):
                rate, dropped = message.frames_per_s, message.dropped
                poses += [(came, message)] if message.numbers else []
            elif isinstance(message, protocol.Failed):
                raise SystemExit(message.message)
        if poses and actor is not None:
            skeleton = Skeleton(actor.skeleton, actor.joints, actor.parents)
            bone_count = skeleton.bone_count
            for _, message in poses:
                parts = protocol.unpacked(message.numbers, 3 * bone_count, bone_count, 3, skeleton.joint_count)
                directions, lengths, root = (
                    np.reshape(parts[0], (bone_count, 3)),
                    np.array(parts[1]),
                    np.array(parts[2]),
                )
                stream = stream or _stream(skeleton, directions, lengths)
                stream.note(message.time_s, directions, root)
            assert stream is not None
            stream.solve(lengths)
            if message.time_s > 1.0:
                behind.append(1e3 * (message.latency_s + time.monotonic() - poses[-1][0]))
        if not waiting[-1][1]:
            worker.stdin.close()
            worker.wait()
            return Run(behind, actor.delay_s if actor else 0.0, rate, dropped)


def _stream(skeleton: Skeleton, directions: np.ndarray, lengths: np.ndarray) -> Stream:
    one = Motion(
        skeleton, np.zeros(1), directions[None], lengths, np.zeros((1, 3)), np.ones((1, skeleton.joint_count)), (),
        np.zeros((1, 0), bool),
    )  # fmt: skip
    return Stream(retarget.rig_from_motion(one), retarget.BONE_MAP, skeleton, RetargetSettings())


def accuracy(clips: list[Path], delays: list[int], settings: CaptureSettings) -> None:
    """Errors of each delay, and of the whole clip at hand, weighted by frames."""
    lifter = lift.load(settings.lift)
    seen = [detect_clip(path, settings) for path in clips]
    print(f"{len(seen)} clips, {sum(clip.track.frame_count for clip in seen)} frames")
    print("| look ahead | MPJPE mm | P-MPJPE mm | acceleration error m/s² |\n|---|---|---|---|")
    for delay in delays:
        _row(f"{delay} frames", [_errors(clip, *online(clip, lifter, settings, delay), lifter) for clip in seen], seen)
    _row("the whole clip", [_errors(clip, *offline(clip, lifter, settings), lifter) for clip in seen], seen)


def _row(name: str, errors: list[tuple[float, ...]], seen: list[Detected]) -> None:
    means = np.average(errors, axis=0, weights=[clip.track.frame_count for clip in seen])
    print(f"| {name} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |", flush=True)


def online(clip: Detected, lifter: lift.Lifter, settings: CaptureSettings, delay: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and joints in camera axes, with lengths and tilt that have settled before."""
    solver = live.LiveSolver(lifter, clip.track.image_size, settings, LiveSettings(delay_frames=delay))
    people = [
        detect.Detection(clip.track.names, positions, scores)
        for positions, scores in zip(clip.track.positions, clip.track.scores, strict=True)
    ]
    times, joints = [], []
    later = clip.track.timestamps[-1] + 5.0
    for again in (False, True):
        for time_s, person in zip(clip.track.timestamps + again * later, people, strict=True):
            pose = solver(float(time_s), person if np.isfinite(person.positions).all() else None)
            if pose is not None and again:
                times.append(pose.time_s - later)
                world = bones.compose(lifter.skeleton, pose.directions, pose.lengths)
                joints.append(world @ solver.R_world_camera)
        solver.settle()
    return np.array(times), np.array(joints)


def offline(clip: Detected, lifter: lift.Lifter, settings: CaptureSettings) -> tuple[np.ndarray, np.ndarray]:
    """Times and joints in camera axes, as they go into a Take."""
    focal, centre = motion.intrinsics(clip.track.image_size, settings.camera)
    solved, camera = motion.solve(clip.track, lifter(clip.track, focal, centre), settings.camera, settings.motion)
    return solved.timestamps, camera.to_camera(
        bones.compose(solved.skeleton, solved.directions, solved.lengths, solved.root)
    )


def _errors(clip: Detected, times: np.ndarray, joints: np.ndarray, lifter: lift.Lifter) -> tuple[float, ...]:
    at = np.abs(clip.track.timestamps[None] - times[:, None]).argmin(axis=1)
    true = _rooted(clip.joints[at][:, [clip.joint_names.index(name) for name in JOINTS]])
    own = _rooted(joints[:, [lifter.skeleton.index(name) for name in JOINTS]])
    rate = (clip.track.frame_count - 1) / float(np.ptp(clip.track.timestamps))
    return metrics.mpjpe(own, true), metrics.p_mpjpe(own, true), metrics.acceleration_error(own, true, rate)


def _rooted(joints: np.ndarray) -> np.ndarray:
    return joints - joints[:, 6:8].mean(axis=1, keepdims=True)


if __name__ == "__main__":
    main()
