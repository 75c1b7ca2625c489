# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a detector's errors on rendered clips and write the table that `data.detector_errors` draws from.

    python tools/measure_detector.py --clips sets/train [--clips …] --cache sets/watched

Clips are videos with their truth as ``tools/render_set.py`` makes them; never those that anything is tested on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from video_to_pose.data import clips as rendered
from video_to_pose.data.detector_errors import (
    EVENTS,
    GROUP_OF,
    GROUPS,
    KIND_OF,
    KINDS,
    TABLE,
    DetectorErrors,
    draw_errors,
)
from video_to_pose.data.detector_fit import Observed, fit
from video_to_pose.errors import InputError, VideoToPoseError
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.settings import CaptureSettings, DetectSettings


def observe(path: Path, settings: CaptureSettings, cache: Path | None) -> Observed:
    """A clip's truth and what the detector says of it.

    Raises:
        InputError: the clip or its truth cannot be read, lacks landmarks, or nobody is found.
    """
    truth = rendered.load_truth(path)
    lacking = [name for name in LIFTER_KEYPOINTS if name not in truth.landmark_names]
    if lacking:
        raise InputError(
            f"The truth of {path.name} lacks {', '.join(lacking)}.",
            "Render it again with tools/render_set.py.",
            "truth-outdated",
        )
    track = rendered.watch(path, settings, cache).track
    truth = truth.at(track.timestamps)
    order = [truth.landmark_names.index(name) for name in LIFTER_KEYPOINTS]
    columns = [track.names.index(name) for name in LIFTER_KEYPOINTS]
    return Observed(
        pixels=truth.landmarks_2d[:, order] - truth.camera.centre_px,
        landmarks=truth.landmarks[:, order],
        half_size=np.array(truth.camera.image_size) / 2,
        found=track.positions[:, columns] - truth.camera.centre_px,
        scores=track.scores[:, columns],
        frame_rate=1.0 / float(np.median(np.diff(track.timestamps))),
    )


def summary(observed: list[Observed], table: DetectorErrors) -> str:
    """Measured and drawn errors side by side, in % of the person's size, and how often events are."""
    rng = np.random.default_rng(1)
    measured, drawn, scores = [], [], []
    for clip in observed:
        size = np.sqrt(np.mean(np.sum((clip.pixels - clip.pixels.mean(axis=1, keepdims=True)) ** 2, -1), 1))[:, None]
        noisy, score = draw_errors(
            clip.pixels[None], clip.landmarks[None], clip.half_size[None], rng, clip.frame_rate, table
        )
        measured.append(np.linalg.norm(clip.found - clip.pixels, axis=-1) / size)
        drawn.append(np.linalg.norm(noisy[0] - clip.pixels, axis=-1) / size)
        scores.append((clip.scores, score[0]))
    here, made = np.concatenate(measured), np.concatenate(drawn)
    told, given = (np.concatenate([pair[i] for pair in scores]) for i in (0, 1))
    frames = len(here)
    lines = [f"{len(observed)} clips, {frames} frames", "% of the person's size: median / 95 %, measured and drawn"]
    for kind, name in enumerate(KINDS):
        mine = kind == KIND_OF
        lines.append(
            f"  {name:<11}"
            + "  ".join(
                f"{100 * np.nanmedian(each[:, mine]):5.1f} /{100 * np.nanquantile(each[:, mine], 0.95):6.1f}"
                for each in (here, made)
            )
            + f"   score {np.mean(told[:, mine]):.2f}, {np.mean(given[:, mine]):.2f}"
        )
    for group, name in enumerate(GROUPS):
        mine = GROUP_OF[KIND_OF] == group
        lines.append(
            f"  {name}: {100 * np.nanmedian(here[:, mine]):.1f}, {100 * np.nanmedian(made[:, mine]):.1f}; noise of the "
            f"clip {table.shares[group, 0]:.2f}, lasting {table.shares[group, 1]:.2f}, of each frame "
            f"{table.shares[group, 2]:.2f}; it lasts a way of {table.lasting[group, 0]:.2f} and "
            f"{table.lasting[group, 1]:.1f} s"
        )
    for event, name in enumerate(EVENTS):
        front, side, behind = 100 * table.event_rate[event]
        lines.append(
            f"  {name}: {front:.1f} % of frames from the front, {side:.1f} from the side, {behind:.1f} from behind, "
            f"{table.event_s[event]:.2f} s"
        )
    lines.append(f"  nobody found: {100 * float(table.missing):.1f} % of frames")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, action="append", required=True, help="folder of rendered clips")
    parser.add_argument("--cache", type=Path, help="folder that keeps what the detector said")
    parser.add_argument("--out", type=Path, default=TABLE)
    args = parser.parse_args()
    settings = CaptureSettings(detect=DetectSettings(max_people=1))
    observed = []
    for path in (path for folder in args.clips for path in sorted(folder.glob("*.npz"))):
        if not path.with_suffix(".mp4").exists():
            continue
        try:
            observed.append(observe(path.with_suffix(".mp4"), settings, args.cache))
        except VideoToPoseError as error:
            print(f"{path.name} left out: {error.message}", file=sys.stderr)
    table = fit(observed)
    table.save(args.out)
    print(summary(observed, table))
    print(f"{args.out} ({args.out.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
