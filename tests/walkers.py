# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic people walking through a picture, and a detector imitated with its faults: for tests and benchmarks.

People swing arms and legs, hide each other, leave and come back; the detector jitters, misses, loses who is hidden,
finds people twice, exchanges sides and now and then slides onto who is in front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from video_to_pose.detect import Detection
from video_to_pose.skeleton import MEDIAPIPE_33

SIZE = (1280, 720)
NAMES = MEDIAPIPE_33
SIDED = {name: i for i, name in enumerate(NAMES)}


@dataclass(frozen=True)
class Walker:
    """Somebody walking: where the middle of the body is at each time, how tall in pixels, and in what colours."""

    path: Callable[[np.ndarray], np.ndarray]
    height: float
    colours: np.ndarray
    phase: float = 0.0
    swing: float = 1.0
    period_s: float = 1.1


def standing() -> np.ndarray:
    """(33, 2) somebody one unit tall, about the middle of the body, facing the camera."""
    parts = {
        "nose": (0.0, -0.42), "eye_inner": (0.012, -0.44), "eye": (0.02, -0.44), "eye_outer": (0.03, -0.44),
        "ear": (0.045, -0.43), "mouth": (0.015, -0.40), "shoulder": (0.1, -0.32), "elbow": (0.13, -0.15),
        "wrist": (0.15, 0.0), "pinky": (0.155, 0.04), "index": (0.15, 0.045), "thumb": (0.14, 0.03),
        "hip": (0.055, 0.0), "knee": (0.06, 0.23), "ankle": (0.06, 0.45), "heel": (0.06, 0.475),
        "foot_index": (0.08, 0.5),
    }  # fmt: skip
    points = np.zeros((len(NAMES), 2))
    for i, name in enumerate(NAMES):
        bare = name.removeprefix("mouth_") if name.startswith("mouth_") else name
        side, _, part = bare.partition("_")
        x, y = parts["mouth" if name.startswith("mouth_") else part if side in ("left", "right") else name]
        points[i] = (x if side == "left" else -x if side == "right" else 0.0, y)
    return points


def pose(walker: Walker, times: np.ndarray) -> np.ndarray:
    """(F, 33, 2) pixels."""
    points = np.repeat(standing()[None], len(times), axis=0)
    angle = 2 * np.pi * times / walker.period_s + walker.phase
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = walker.swing * sign * np.sin(angle)
        for part, far in (("knee", 0.5), ("ankle", 1.0), ("heel", 1.0), ("foot_index", 1.0)):
            points[:, SIDED[f"{side}_{part}"], 0] += 0.14 * far * swing
        lifted = np.maximum(swing, 0) * 0.05
        for part, far in (("knee", 0.4), ("ankle", 1.0), ("heel", 1.0), ("foot_index", 0.8), ("wrist", 0.6)):
            points[:, SIDED[f"{side}_{part}"], 1] -= far * lifted
        for part, far in (("elbow", 0.5), ("wrist", 1.0), ("pinky", 1.1), ("index", 1.1), ("thumb", 1.1)):
            points[:, SIDED[f"{side}_{part}"], 0] -= 0.12 * far * swing
    points[..., 1] += 0.01 * walker.swing * np.sin(2 * angle)[:, None]
    return points * walker.height + walker.path(times)[:, None]


@dataclass(frozen=True)
class Detector:
    """How an imitated detector errs: see `detect`."""

    jitter: float = 0.006
    misses: float = 0.02
    hidden: float = 0.45  # share of a box covered from which somebody behind is lost …
    drifts: float = 0.4  # … and how often their detection then sits on who is in front
    doubles: float = 0.02
    exchanges: float = 0.0
    colour_jitter: float = 0.03
    most: int = 4


def detect(
    walkers: Sequence[Walker], times: np.ndarray, errs: Detector, rng: np.random.Generator
) -> tuple[list[list[Detection]], list[list[int]]]:
    """Detections of every frame in random order, and whose each is. Later walkers are nearer to the camera."""
    poses = [pose(walker, times) for walker in walkers]
    found, owners = [], []
    for frame in range(len(times)):
        people: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
        for who, walker in enumerate(walkers):
            points = poses[who][frame]
            inside = ((points >= 0) & (points < SIZE)).all(axis=1)
            if inside.mean() < 0.4 or rng.random() < errs.misses:
                continue
            covered, nearer = max(((_covered(points, poses[k][frame]), k) for k in range(who + 1, len(walkers))),
                                  default=(0.0, who))  # fmt: skip
            colours = walker.colours
            if covered > errs.hidden:
                if rng.random() >= errs.drifts:
                    continue
                mix = rng.uniform(0.3, 0.9)
                points = (1 - mix) * points + mix * poses[nearer][frame]
            if covered > 0.15:
                colours = (1 - covered) * colours + covered * walkers[nearer].colours
            points = points + rng.normal(0, errs.jitter * walker.height, points.shape)
            scores = np.where(inside, 0.9, 0.2) * (1 - 0.6 * covered)
            people.append((who, points, scores, colours + rng.normal(0, errs.colour_jitter, 21)))
            if rng.random() < errs.doubles:
                people.append((who, points + rng.normal(0, 4, (1, 2)), 0.8 * scores, colours))
        for k, (who, points, scores, colours) in enumerate(people):
            if rng.random() < errs.exchanges:
                people[k] = (who, exchanged(points), scores, colours)
        rng.shuffle(people)  # type: ignore[arg-type]
        people = people[: errs.most]
        found.append([Detection(NAMES, p.astype(np.float32), s.astype(np.float32), None, c.astype(np.float32))
                      for _, p, s, c in people])  # fmt: skip
        truths = [pose_of[frame] for pose_of in poses]
        owners.append([nearest(p, truths) for _, p, *_ in people])
    return found, owners


def nearest(points: np.ndarray, truths: Sequence[np.ndarray]) -> int:
    """Whose a detection is: of whoever it lies upon best, sides aside."""
    return int(
        np.argmin([min(np.abs(points - truth).mean(), np.abs(exchanged(points) - truth).mean()) for truth in truths])
    )


def exchanged(points: np.ndarray) -> np.ndarray:
    """The same with left called right."""
    mirror = [NAMES.index(n.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")) for n in NAMES]
    return points[mirror]


def _covered(one: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(one.min(0), other.min(0)), np.minimum(one.max(0), other.max(0))
    return float(np.clip(high - low, 0, None).prod() / np.ptp(one, axis=0).prod())


# --- scenes --------------------------------------------------------------------------------------------------------


def line(x0: float, speed: float, y: float = 380.0) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t: np.stack([x0 + speed * t, np.full_like(t, y)], axis=1)


def bounce(x0: float, speed: float, turn_s: float, y: float) -> Callable[[np.ndarray], np.ndarray]:
    """Walks to a meeting, turns round there and goes back."""
    return lambda t: np.stack([x0 + speed * np.where(t < turn_s, t, 2 * turn_s - t), np.full_like(t, y)], axis=1)


def scenes(rng: np.random.Generator) -> dict[str, list[Walker]]:
    """Walkers of each kind of meeting; the nearer comes last."""
    colours = rng.uniform(-0.25, 0.25, (4, 21)) + np.tile([0.5, 0, 0], 7)
    alike = colours[0] + rng.normal(0, 0.02, 21)
    fast, slow = rng.uniform(180, 320, 2)
    tall = rng.uniform(320, 420)

    def walker(path: Callable, who: int, scale: float = 1.0, **more: float) -> Walker:
        return Walker(path, tall * scale, colours[who], rng.uniform(0, 6.3), **more)

    a, b = walker(line(60, slow), 0, 0.9), walker(line(1220, -fast), 1)
    middle = 1160 / 2 / slow

    def leaving(t: np.ndarray) -> np.ndarray:  # out at the right side, back after a while
        x = 700 + 220 * np.where(t < 4, t, 8 - t)
        return np.stack([np.where((t > 2.2) & (t < 5.8), x + 500, x), np.full_like(t, 380.0)], axis=1)

    return {
        "crossing": [a, b],
        "crossing, alike": [a, replace(b, colours=alike)],
        "meet and turn back": [
            walker(bounce(80, slow, middle, 370), 0, 0.9), walker(bounce(1240, -slow, middle, 390), 1),
        ],
        "two behind, one passes": [
            walker(line(450, 8), 0, 0.8), walker(line(800, -6), 1, 0.8), walker(line(60, fast), 2),
        ],
        "spectator behind": [walker(line(700, 4), 1, 0.75, swing=0.1), walker(bounce(300, 200, 2.6, 380), 0)],
        "leaves and returns": [walker(line(350, 10), 1, 0.9), walker(leaving, 0)],
        "four in a crowd": [
            walker(line(100, 150), 0, 0.85), walker(line(1200, -170), 1, 0.9),
            walker(line(640, 20), 2, 0.95), walker(line(300, 210), 3),
        ],
    }  # fmt: skip
