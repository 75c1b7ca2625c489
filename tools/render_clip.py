# SPDX-License-Identifier: GPL-3.0-or-later
"""Render a person doing a captured motion: an H.264 clip and its exact truth in an ``.npz`` beside it.

    python tools/render_clip.py --mocap DIR --human DIR --clip 14_05 --start 1.0 --seconds 5 --out clip.mp4

The truth file holds ``timestamps``, ``joint_names``, ``parents``, ``joints_world``, ``joints_camera``,
``landmark_names``, ``landmarks_camera``, ``landmarks_2d``, ``image_size``, ``focal_px``, ``centre_px``,
``R_world_camera``, ``camera_position``, ``source`` and ``seed``; metres and pixels, axes as in `video_to_pose.types`.
Joints are those of `BODY_32`; files written before it existed hold `BODY_22`, so read them by ``joint_names``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import ArrayLike, NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.rasterizer import Scene
from tools.wardrobe import Look, random_look
from video_to_pose.data import body as bodies
from video_to_pose.data import mocap, synthetic
from video_to_pose.rotation import axis_angle_to_matrix, normalize
from video_to_pose.skeleton import BODY_22, BODY_32
from video_to_pose.types import Camera


@dataclass(frozen=True, eq=False)
class Shot:
    """What is filmed and how.

    Attributes:
        motion: the captured clip.
        start_s, seconds: part of it.
        frame_rate: of the video.
        camera: a still one.
        look: colours and light.
        scales: sizes of body parts (see `bodies.pose`).
    """

    motion: mocap.MocapClip
    start_s: float
    seconds: float
    frame_rate: float
    camera: Camera
    look: Look = field(default_factory=Look)
    scales: dict[str, float] = field(default_factory=dict)

    @property
    def times(self) -> NDArray[np.float64]:
        """(F,) seconds from the shot's start."""
        left = (self.motion.frame_count - 1) / self.motion.frame_rate - self.start_s
        return np.arange(int(min(self.seconds, left) * self.frame_rate + 1e-6)) / self.frame_rate


def look_at(
    position: ArrayLike, target: ArrayLike, size: tuple[int, int], fov_degrees: float, roll_degrees: float = 0.0
) -> Camera:
    """A camera at `position` whose axis goes through `target`; field of view along the longer side."""
    position = np.asarray(position, dtype=float)
    forward = normalize(np.asarray(target, dtype=float) - position)
    right = normalize(np.cross(forward, [0.0, 0.0, 1.0]))
    R = np.stack([right, np.cross(forward, right), forward], axis=1)
    R = R @ axis_angle_to_matrix([0.0, 0.0, 1.0], np.radians(roll_degrees))
    focal = max(size) / 2 / np.tan(np.radians(fov_degrees) / 2)
    return Camera(float(focal), np.array(size) / 2, size, R, position)


def pose(body: bodies.Body, shot: Shot) -> bodies.Posed:
    """The body in every frame of the shot, on the floor."""
    frames = np.round((shot.start_s + shot.times) * shot.motion.frame_rate).astype(int)
    whole = bodies.pose(body, shot.motion, scales=shot.scales)  # the floor is found over the whole clip
    posed = bodies.Posed(whole.rotations[frames], whole.positions[frames].copy(), whole.scales)
    # captured floors are uneven by centimetres, which shows as floating; more than that is a jump or a seat
    gap = np.percentile(bodies.skin(body, posed, body.sole)[..., 2].min(axis=1), 20)
    if abs(gap) < 0.04:
        posed.positions[..., 2] -= gap
    return posed


def pictures(body: bodies.Body, shot: Shot, posed: bodies.Posed, samples: int = 4) -> Iterable[NDArray[np.uint8]]:
    """(H, W, 3) pictures of every frame; `samples` smooth their edges, 0 is near twice as fast in software."""
    reach = posed.positions[..., :2]
    area = [reach.min(axis=(0, 1)), reach.max(axis=(0, 1))]
    scene = Scene(body, shot.look, shot.camera.image_size, area, samples)
    try:
        for f in range(len(posed.positions)):
            yield scene.draw(posed, f, shot.camera)
    finally:
        scene.close()


def truth(body: bodies.Body, shot: Shot, posed: bodies.Posed, seed: int) -> dict[str, Any]:
    """Fields of the truth file."""
    camera = shot.camera
    joints, landmarks = bodies.joints(body, posed, BODY_32), bodies.landmarks(body, posed)
    return {
        "timestamps": shot.times,
        "joint_names": np.array(BODY_32.joints),
        "parents": np.array(BODY_32.parents),
        "joints_world": joints.astype(np.float32),
        "joints_camera": camera.to_camera(joints).astype(np.float32),
        "landmark_names": np.array(bodies.LANDMARKS),
        "landmarks_camera": camera.to_camera(landmarks).astype(np.float32),
        "landmarks_2d": camera.project(camera.to_camera(landmarks)).astype(np.float32),
        "image_size": np.array(camera.image_size),
        "focal_px": np.float64(camera.focal_px),
        "centre_px": camera.centre_px,
        "R_world_camera": camera.R_world_camera,
        "camera_position": camera.position,
        "source": np.str_(f"CMU mocap {shot.motion.name}, {shot.start_s:g} s"),
        "seed": np.int64(seed),
    }


def write(body: bodies.Body, shot: Shot, out: Path, seed: int, crf: int = 23, samples: int = 4) -> None:
    """Write the clip and its truth; the truth comes last, so a pair that is there is whole."""
    posed = pose(body, shot)
    video, facts = out.with_suffix(".partial.mp4"), out.with_suffix(".partial.npz")
    try:
        with av.open(str(video), "w", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=Fraction(shot.frame_rate).limit_denominator(1001))
            stream.width, stream.height = shot.camera.image_size
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": str(crf), "preset": "medium"}
            for picture in pictures(body, shot, posed, samples):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            container.mux(stream.encode())
        np.savez_compressed(facts, **truth(body, shot, posed, seed))
        video.replace(out)
        facts.replace(out.with_suffix(".npz"))
    finally:
        video.unlink(missing_ok=True)
        facts.unlink(missing_ok=True)


def front_camera(
    body: bodies.Body, shot: Shot, distance: float, azimuth_degrees: float, height: float, fov: float, roll: float
) -> Camera:
    """A camera that looks at the middle of where the person moves, by azimuth from their front at the shot's start."""
    joints = bodies.joints(body, pose(body, shot), BODY_22)
    low, high = joints.min(axis=(0, 1)), joints.max(axis=(0, 1))
    left = (joints[0, BODY_22.index("left_hip")] - joints[0, BODY_22.index("right_hip")])[:2]
    front = np.arctan2(-left[0], left[1]) + np.radians(azimuth_degrees)
    middle = (low + high)[:2] / 2
    position = np.array([*(middle + distance * np.array([np.cos(front), np.sin(front)])), height])
    return look_at(position, [*middle, 0.5 * (high[2] + 0.05)], shot.camera.image_size, fov, roll)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocap", type=Path, required=True, help="folder of BVH files")
    parser.add_argument("--human", type=Path, required=True, help="folder of the body")
    parser.add_argument("--clip", required=True, help="BVH file without its ending")
    parser.add_argument("--start", type=float, default=0.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT in pixels, both even")
    parser.add_argument("--fov", type=float, default=50.0, help="degrees along the longer side")
    parser.add_argument("--distance", type=float, default=4.2, help="metres from the person")
    parser.add_argument("--azimuth", type=float, default=25.0, help="degrees from the person's front to their left")
    parser.add_argument("--height", type=float, default=1.5, help="camera height in metres")
    parser.add_argument("--roll", type=float, default=0.0, help="degrees")
    parser.add_argument("--camera", help="X,Y,Z in the world, metres, instead of distance, azimuth and height")
    parser.add_argument("--look-at", default="0,0,0.9", help="X,Y,Z the camera of --camera looks at")
    parser.add_argument("--seed", type=int, default=0, help="0: the plain look and body; else random ones")
    parser.add_argument("--crf", type=int, default=23, help="H.264 quality, lower is better")
    parser.add_argument("--out", type=Path, required=True, help="an .mp4; the truth goes beside it")
    args = parser.parse_args()
    width, height = (int(value) for value in args.size.split("x"))
    source = args.mocap / f"{args.clip}.bvh"
    if width % 2 or height % 2:
        parser.error(f"--size {args.size}: H.264 needs even width and height")
    if not source.exists():
        parser.error(f"there is no {source}")
    motion = mocap.load(source)
    if args.start >= (motion.frame_count - 2) / motion.frame_rate:
        parser.error(f"--start {args.start:g} s: {args.clip} lasts {motion.frame_count / motion.frame_rate:.1f} s")
    body = bodies.load_body(args.human)
    position = [float(value) for value in (args.camera or "0,-4,1.5").split(",")]
    target = [float(value) for value in args.look_at.split(",")]
    rng = np.random.default_rng(args.seed)
    shot = Shot(
        motion=motion,
        start_s=args.start,
        seconds=args.seconds,
        frame_rate=args.fps,
        camera=look_at(position, target, (width, height), args.fov, args.roll),
        look=random_look(rng) if args.seed else Look(),
        scales=synthetic.random_proportions(rng) if args.seed else {},
    )
    if not args.camera:
        camera = front_camera(body, shot, args.distance, args.azimuth, args.height, args.fov, args.roll)
        shot = replace(shot, camera=camera)
    write(body, shot, args.out, args.seed, args.crf)
    print(f"{args.out} ({args.out.stat().st_size / 1e6:.2f} MB, {len(shot.times)} frames) and its truth")


if __name__ == "__main__":
    main()
