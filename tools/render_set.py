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
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.render_clip import Shot, look_at, pose, write
from tools.wardrobe import random_look
from video_to_pose.data import body as bodies
from video_to_pose.data import mocap, synthetic
from video_to_pose.skeleton import BODY_32
from video_to_pose.types import Camera

FRAME_RATES = (24.0, 25.0, 30.0, 50.0, 60.0)
_FRAME_RATE_SHARES = (0.08, 0.08, 0.7, 0.07, 0.07)
_CUT = 0.15
"""Share of landmarks outside the picture, mean over the clip, from which a person counts as cut by the frame."""


def random_shot(
    body: bodies.Body,
    paths: list[Path],
    seconds: float,
    size: tuple[int, int],
    fps: float | None,
    rng: np.random.Generator,
    rolled: bool = False,
    cut: bool = False,
) -> Shot:
    """A stretch of a random clip before a still camera as users hold one.

    Three quarters show the whole person, the rest are cut by the frame, a few at the waist. One in five is rolled
    by up to 30°.

    Args:
        body, paths: who moves, and BVH files of how.
        seconds: at most; shorter clips are taken whole.
        size: of the picture in pixels, exchanged for three clips in ten.
        fps: of the video; None draws one, mostly 30.
        rng: source of chance.
        rolled: the camera is rolled by 10 to 30°.
        cut: the frame cuts the person.
    """
    while True:
        motion = mocap.load(paths[rng.integers(len(paths))])
        length = motion.frame_count / motion.frame_rate
        if length >= min(seconds, 0.9):
            break
    start = float(rng.uniform(0, max(length - seconds - 0.05, 0)))
    if rng.random() < 0.3:
        size = (size[1], size[0])
    frame_rate = float(rng.choice(FRAME_RATES, p=_FRAME_RATE_SHARES)) if fps is None else fps
    scales = synthetic.random_proportions(rng)
    camera = look_at([0, -3, 1], [0, 0, 1], size, 50.0)
    shot = Shot(motion, start, seconds, frame_rate, camera, random_look(rng), scales)
    joints = bodies.joints(body, pose(body, shot), BODY_32)
    while True:
        camera = _random_camera(joints, size, rng, rolled, cut)
        outside = share_outside(camera, joints)
        nearest = camera.to_camera(joints)[..., 2].min()
        if nearest > 0.4 and (_CUT <= outside < 0.55 if cut else outside < 0.6):
            return replace(shot, camera=camera)


def share_outside(camera: Camera, joints: NDArray[np.floating]) -> float:
    """Share of joints (F, J, 3), world, that the picture does not show."""
    pixels = camera.project(camera.to_camera(joints))
    return float(np.mean(((pixels < 0) | (pixels >= camera.image_size)).any(axis=-1)))


def _random_camera(
    joints: NDArray[np.floating], size: tuple[int, int], rng: np.random.Generator, rolled: bool, cut: bool
) -> Camera:
    fov = float(rng.uniform(35, 80) if rng.random() < 0.8 else rng.uniform(25, 100))
    low, high = joints.min(axis=(0, 1)) - 0.1, joints.max(axis=(0, 1)) + 0.1
    target = (low + high) / 2
    pitch = np.radians(np.clip(rng.normal(-8, 12), -40, 30))
    azimuth = rng.uniform(0, 2 * np.pi)
    away = np.array([np.cos(azimuth) * np.cos(pitch), np.sin(azimuth) * np.cos(pitch), -np.sin(pitch)])
    aside = np.abs([-np.sin(azimuth), np.cos(azimuth)]) @ (high - low)[:2]
    # share of the picture the motion takes; over 1 cuts it off
    kind = rng.choice(["whole", "cut", "half body"], p=[0.0, 0.6, 0.4] if cut else [0.76, 0.16, 0.08])
    fill = rng.uniform(*{"whole": (0.45, 0.95), "cut": (0.95, 1.5), "half body": (1.4, 2.0)}[kind])
    if kind == "half body":
        target[2] = low[2] + 0.78 * (high[2] - low[2])
    focal = max(size) / 2 / np.tan(np.radians(fov) / 2)
    distance = focal * max((high[2] - low[2]) / size[1], aside / size[0]) / fill
    distance = max(distance + 0.25 * np.abs(away[:2]) @ (high - low)[:2], 1.2)
    position = target + distance * away
    position[2] = max(position[2], 0.15)
    aim = target + rng.normal(0, 0.1 if kind == "cut" else 0.02, 3) * distance
    roll = rng.uniform(10, 30) * rng.choice([-1, 1]) if rolled else rng.normal(0, 3)
    if not rolled and rng.random() < 0.2:
        roll = rng.uniform(-30, 30)
    return look_at(position, aim, size, fov, float(roll))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocap", type=Path, required=True, help="folder of BVH files")
    parser.add_argument("--human", type=Path, required=True, help="folder of the body")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--fps", type=float, help="of every clip; without it drawn for each, mostly 30")
    parser.add_argument("--rolled", type=int, default=0, help="the first so many clips are rolled by 10 to 30 degrees")
    parser.add_argument("--cut", type=int, default=0, help="so many clips after those are cut by the frame")
    parser.add_argument("--samples", type=int, default=4, help="of multisampling; 0 is near twice as fast")
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
            body,
            paths,
            args.seconds,
            (width, height),
            args.fps,
            np.random.default_rng([args.seed, number]),
            rolled=number < args.rolled,
            cut=args.rolled <= number < args.rolled + args.cut,
        )
        write(body, shot, out, args.seed, samples=args.samples)
        rate = len(shot.times) / (time.monotonic() - began)
        print(f"{out.name}  {shot.motion.name}  {len(shot.times)} frames  {rate:.1f} frames/s", flush=True)


if __name__ == "__main__":
    main()
