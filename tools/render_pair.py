# SPDX-License-Identifier: GPL-3.0-or-later
"""Render several people in one place, crossing each other: a clip and its exact truth in an ``.npz`` beside it.

    python tools/render_pair.py --mocap DIR --human DIR --out pair.mp4 \
        --person 07_03,0,-2.2,0.3,0 --person 08_04,0,2.2,-0.4,180 --seed 3

Each person is a clip, its start in seconds, where the walk's middle is (x, y in metres, y away from the camera) and the
direction of the walk in degrees from the picture's right. Everybody is drawn alone and laid over the others by
depth. The truth holds ``timestamps``, ``landmark_names``, ``landmarks_2d`` (P, F, L, 2) and ``depth`` (P, F).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.rasterizer import Scene
from tools.render_clip import Shot, look_at, pose
from tools.wardrobe import random_look
from video_to_pose.data import body as bodies
from video_to_pose.data import mocap, synthetic
from video_to_pose.rotation import axis_angle_to_matrix

_PLACE = ("light", "sun", "ambient", "warmth", "contact", "room", "floor_kind", "floor", "tile_m", "wall", "wall_2",
          "haze", "sky", "trees", "turn", "place_seed")  # fmt: skip
_DIFFERENT = 10  # of 255: a pixel that a person or their shadow changed


def walk_along(posed: bodies.Posed, middle: tuple[float, float], degrees: float) -> bodies.Posed:
    """The same walk with its middle there, going in that direction (0 is +x)."""
    path = posed.positions[:, 0, :2]
    going = path[-1] - path[0]
    turn = axis_angle_to_matrix([0.0, 0.0, 1.0], np.radians(degrees) - np.arctan2(going[1], going[0]))
    centre = np.array([*((path[0] + path[-1]) / 2), 0.0])
    positions = (posed.positions - centre) @ turn.T + np.array([*middle, 0.0])
    return bodies.Posed(turn @ posed.rotations, positions, posed.scales)


def laid_over(pictures: list[NDArray[np.uint8]], empty: list[NDArray[np.uint8]], depths: NDArray) -> NDArray[np.uint8]:
    """One picture of everybody, the nearest on top."""
    result = empty[0].copy()
    for person in np.argsort(-depths):
        changed = np.abs(pictures[person].astype(int) - empty[person]).max(axis=-1) > _DIFFERENT
        result[changed] = pictures[person][changed]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocap", type=Path, required=True, help="folder of BVH files")
    parser.add_argument("--human", type=Path, required=True, help="folder of the body")
    parser.add_argument("--person", action="append", required=True, metavar="CLIP,START,X,Y,DEGREES")
    parser.add_argument("--seconds", type=float, default=3.3)
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--size", default="960x540")
    parser.add_argument("--distance", type=float, default=5.0)
    parser.add_argument("--fov", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    width, height = (int(value) for value in args.size.split("x"))
    camera = look_at([0.0, -args.distance, 1.4], [0.0, 0.0, 0.9], (width, height), args.fov)
    body, rng = bodies.load_body(args.human), np.random.default_rng(args.seed)
    place, scenes, walks = random_look(rng), [], []
    for text in args.person:
        clip, *numbers = text.split(",")
        start, x, y, degrees = map(float, numbers)
        look = replace(random_look(rng), **{name: getattr(place, name) for name in _PLACE})
        shot = Shot(mocap.load(args.mocap / f"{clip}.bvh"), start, args.seconds, args.fps, camera, look,
                    synthetic.random_proportions(rng))  # fmt: skip
        walks.append(walk_along(pose(body, shot), (x, y), degrees))
        scenes.append(Scene(body, look, camera.image_size, [[-4, -2], [4, 3]]))
    frames = min(len(walk.positions) for walk in walks)
    landmarks = np.array([camera.to_camera(bodies.landmarks(body, walk))[:frames] for walk in walks])
    depths = landmarks[..., 2].mean(axis=2)
    partial = args.out.with_suffix(".partial.mp4")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(args.fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "23", "preset": "fast"}
        empty = []
        for scene in scenes:
            with scene.gl:
                empty.append(scene.draw_empty(camera).copy())
        for frame in range(frames):
            pictures = []
            for scene, walk in zip(scenes, walks, strict=True):
                with scene.gl:  # each has a context of its own
                    pictures.append(scene.draw(walk, frame, camera).copy())
            picture = np.ascontiguousarray(laid_over(pictures, empty, depths[:, frame]))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    np.savez_compressed(args.out.with_suffix(".npz"), timestamps=np.arange(frames) / args.fps,
                        landmark_names=np.array(bodies.LANDMARKS), depth=depths,
                        landmarks_2d=camera.project(landmarks).astype(np.float32))  # fmt: skip
    partial.replace(args.out)
    print(f"{args.out}: {frames} frames of {len(walks)} people")


if __name__ == "__main__":
    main()
