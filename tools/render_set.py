# SPDX-License-Identifier: GPL-3.0-or-later
"""Render many short clips with their truth: other bodies, clothes, places, cameras. Clips already there are kept.

python tools/render_set.py --mocap DIR/train --human DIR --count 100 --seed 7 --out sets/train
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.render_clip import Shot, look_at, pose, write
from tools.wardrobe import random_look
from video_to_pose.data import body as bodies
from video_to_pose.data import mocap, synthetic


def random_shot(
    body: bodies.Body, paths: list[Path], seconds: float, size: tuple[int, int], fps: float, rng: np.random.Generator
) -> Shot:
    """A stretch of a random clip before a random camera: mostly the whole person in view, sometimes cut."""
    while True:
        motion = mocap.load(paths[rng.integers(len(paths))])
        length = motion.frame_count / motion.frame_rate
        if length >= min(seconds, 0.9):
            break
    start = float(rng.uniform(0, max(length - seconds - 0.05, 0)))
    if rng.random() < 0.3:
        size = (size[1], size[0])
    fov = float(rng.uniform(35, 80))
    scales = synthetic.random_proportions(rng)
    camera = look_at([0, -3, 1], [0, 0, 1], size, fov)
    shot = Shot(motion, start, seconds, fps, camera, random_look(rng), scales)
    joints = bodies.joints(body, pose(body, shot))
    low, high = joints.min(axis=(0, 1)) - 0.1, joints.max(axis=(0, 1)) + 0.1
    middle = (low + high) / 2
    azimuth, pitch = rng.uniform(0, 2 * np.pi), np.radians(np.clip(rng.normal(-8, 9), -30, 15))
    away = np.array([np.cos(azimuth) * np.cos(pitch), np.sin(azimuth) * np.cos(pitch), -np.sin(pitch)])
    aside = np.abs([-np.sin(azimuth), np.cos(azimuth)]) @ (high - low)[:2]
    # share of the picture the motion takes; over 1 cuts it off
    fill = rng.uniform(0.55, 0.95) if rng.random() < 0.8 else rng.uniform(0.95, 1.4)
    distance = camera.focal_px * max((high[2] - low[2]) / size[1], aside / size[0]) / fill
    nearest = np.abs(away[:2]) @ (high - low)[:2] / 2
    distance = max(distance + 0.5 * nearest, 1.2)
    position = middle + distance * away
    position[2] = max(position[2], 0.15)
    aim = middle + rng.normal(0, 0.02, 3) * distance
    return replace(shot, camera=look_at(position, aim, size, fov, float(rng.normal(0, 3))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocap", type=Path, required=True, help="folder of BVH files")
    parser.add_argument("--human", type=Path, required=True, help="folder of the body")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    width, height = (int(value) for value in args.size.split("x"))
    args.out.mkdir(parents=True, exist_ok=True)
    body, paths = bodies.load_body(args.human), sorted(args.mocap.glob("*.bvh"))
    for number in range(args.count):
        out = args.out / f"clip_{number:04d}.mp4"
        if out.with_suffix(".npz").exists():
            continue
        began = time.monotonic()
        shot = random_shot(
            body, paths, args.seconds, (width, height), args.fps, np.random.default_rng([args.seed, number])
        )
        write(body, shot, out, args.seed)
        rate = len(shot.times) / (time.monotonic() - began)
        print(f"{out.name}  {shot.motion.name}  {len(shot.times)} frames  {rate:.1f} frames/s", flush=True)


if __name__ == "__main__":
    main()
