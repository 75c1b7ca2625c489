# SPDX-License-Identifier: GPL-3.0-or-later
"""How well people are told apart over a clip: exchanged identities and misses on synthetic crossings with exact truth.

python -m benchmarks.tracking                  (any Python with the project's base packages)
python -m benchmarks.tracking --rendered DIR   (also a real detector on clips of `tools/render_pair.py`)

People and detector of the first table are synthetic (`tests.walkers`). `nearest` is what a plain script does: join each
detection to the nearest one of the frame before.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

from tests.walkers import NAMES, SIDED, SIZE, Detector, Walker, detect, exchanged, line, pose, scenes  # noqa: E402
from video_to_pose import track  # noqa: E402
from video_to_pose.detect import Detection  # noqa: E402

RATE = 30.0

# --- figures -------------------------------------------------------------------------------------------------------


@dataclass
class Figures:
    """Of one clip: seen sightings, identity switches, misses (sightings given to nobody), people too many."""

    sightings: int = 0
    switches: int = 0
    misses: int = 0
    wrong: int = 0
    extra: int = 0

    def add(self, other: Figures) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def judge(tracks: list[list[tuple[int, int]]], owners: list[list[int]], people: int) -> Figures:
    """Tracks as lists of (frame, place in it), against whose each detection is.

    A switch: a track goes on with somebody else, or somebody goes on in another track. Wrong: sightings in a track
    that is mostly somebody else's.
    """
    at: dict[tuple[int, int], int] = {}
    for number, sightings in enumerate(tracks):
        at.update(dict.fromkeys(sightings, number))
    result = Figures(extra=max(0, len(tracks) - people))
    for who in range(people):
        last = None
        for frame, there in enumerate(owners):
            places = [place for place, owner in enumerate(there) if owner == who]
            if not places:
                continue
            result.sightings += 1
            given = [at[frame, place] for place in places if (frame, place) in at]
            if not given:
                result.misses += 1
            elif last not in given:
                result.switches += last is not None
                last = given[0]
    for sightings in tracks:
        whose = np.array([owners[frame][place] for frame, place in sightings])
        result.wrong += int((whose != np.bincount(whose).argmax()).sum()) if len(whose) else 0
    return result


def by_this(
    times: np.ndarray, found: list[list[Detection]], size: tuple[int, int] = SIZE, cuts: Sequence[int] = ()
) -> list[list[tuple[int, int]]]:
    places = {id(person): (frame, place) for frame, people in enumerate(found) for place, person in enumerate(people)}
    return [[places[id(person)] for person in p.detections] for p in track.find_people(times, found, size, None, cuts)]


def by_nearest(times: np.ndarray, found: list[list[Detection]]) -> list[list[tuple[int, int]]]:
    """Each detection goes to the nearest of the people seen so far, within a body size."""
    tracks: list[list[tuple[int, int]]] = []
    for frame, people in enumerate(found):
        pairs = sorted(
            (float(np.linalg.norm(person.positions - found[t[-1][0]][t[-1][1]].positions, axis=1).mean()), i, j)
            for i, t in enumerate(tracks)
            for j, person in enumerate(people)
        )
        free, new = set(range(len(tracks))), set(range(len(people)))
        for apart, i, j in pairs:
            if i in free and j in new and apart < 0.5 * np.ptp(people[j].positions[:, 1]):
                tracks[i].append((frame, j))
                free.discard(i)
                new.discard(j)
        tracks += [[(frame, j)] for j in sorted(new)]
    return tracks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rendered", type=Path, nargs="*", default=[], metavar="DIR")
    options = parser.parse_args()
    times = np.arange(int(options.seconds * RATE)) / RATE
    print(f"{options.seeds} clips of {options.seconds:g} s at {RATE:g} frames/s for each scene: sums over them")
    print(
        f"{'scene':24} {'sightings':>9}   {'switches':>8} {'misses':>7} {'wrong':>6} {'extra':>6}   "
        "nearest: switches, wrong, extra"
    )
    totals = [Figures(), Figures()]
    spent = frames = 0.0
    for name in scenes(np.random.default_rng(0)):
        mine, plain = Figures(), Figures()
        for seed in range(options.seeds):
            rng = np.random.default_rng(seed)
            walkers = scenes(rng)[name]
            found, owners = detect(walkers, times, Detector(), rng)
            began = time.process_time()
            tracks = by_this(times, found)
            spent += time.process_time() - began
            frames += len(times)
            mine.add(judge(tracks, owners, len(walkers)))
            plain.add(judge(by_nearest(times, found), owners, len(walkers)))
        print(f"{name:24} {mine.sightings:9d}   {mine.switches:8d} {mine.misses:7d} {mine.wrong:6d} {mine.extra:6d}"
              f"   {plain.switches:17d} {plain.wrong:6d} {plain.extra:6d}")  # fmt: skip
        totals[0].add(mine)
        totals[1].add(plain)
    print(f"{'all':24} {totals[0].sightings:9d}   {totals[0].switches:8d} {totals[0].misses:7d} {totals[0].wrong:6d} "
          f"{totals[0].extra:6d}   {totals[1].switches:17d} {totals[1].wrong:6d} {totals[1].extra:6d}")  # fmt: skip
    print(f"{1e6 * spent / frames:.0f} µs of CPU a frame")
    sides(times, options.seeds)
    for folder in options.rendered:
        rendered(folder)


def rendered(folder: Path) -> None:
    """The default detector on rendered clips of several people: whose a detection is, exact truth says."""
    from video_to_pose import pipeline, video
    from video_to_pose.settings import CaptureSettings, DetectSettings

    print(
        f"{'clip':24} {'sightings':>9}   {'switches':>8} {'misses':>7} {'wrong':>6} {'extra':>6}   "
        "unseen, person by person; nearest: switches, wrong, extra"
    )
    for clip in sorted(folder.glob("*.mp4")):
        with np.load(clip.with_suffix(".npz")) as truth:
            names, points = [str(n) for n in truth["landmark_names"]], truth["landmarks_2d"]
        settings = CaptureSettings(detect=DetectSettings(max_people=len(points)))
        seen = pipeline.find_detections(video.probe(clip), settings, lambda _: None, {})
        common = [name for name in names if name in NAMES]
        here, there = [NAMES.index(name) for name in common], [names.index(name) for name in common]
        owners = [
            [
                int(np.argmin(np.median(np.linalg.norm(points[:, f, there] - p.positions[here], axis=-1), axis=1)))
                for p in found
            ]
            for f, found in enumerate(seen.detections)
        ]
        mine = judge(by_this(seen.times, seen.detections, seen.image_size, seen.cuts), owners, len(points))
        plain = judge(by_nearest(seen.times, seen.detections), owners, len(points))
        unseen = [sum(who not in there for there in owners) for who in range(len(points))]
        print(f"{clip.stem:24} {mine.sightings:9d}   {mine.switches:8d} {mine.misses:7d} {mine.wrong:6d} "
              f"{mine.extra:6d}   {unseen} of {len(owners)}; {plain.switches}, {plain.wrong}, "
              f"{plain.extra}")  # fmt: skip


def sides(times: np.ndarray, seeds: int) -> None:
    """Bursts of exchanged sides: how many frames are put right, and how many are spoilt."""
    wrong = left = spoilt = whole = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        walker = Walker(line(100, 120), 400.0, np.zeros(21), rng.uniform(0, 6.3))
        truth = pose(walker, times) + rng.normal(0, 0.006 * 400, (len(times), len(NAMES), 2))
        points, bad = truth.copy(), np.zeros(len(times), dtype=bool)
        for start in rng.integers(5, len(times) - 20, 5):
            bad[start : start + rng.integers(1, 12)] = True
        points[bad] = [exchanged(p) for p in points[bad]]
        scores = np.full(points.shape[:2], 0.9)
        track.mend_sides(NAMES, times, points, scores, np.full(len(times), 400.0))
        limbs = [SIDED[f"{s}_{p}"] for s in ("left", "right") for p in ("shoulder", "wrist", "hip", "ankle")]
        amiss = np.abs(points - truth)[:, limbs].max(axis=(1, 2)) > 1e-9
        wrong, whole = wrong + int(bad.sum()), whole + int((~bad).sum())
        left, spoilt = left + int((amiss & bad).sum()), spoilt + int((amiss & ~bad).sum())
    print(
        f"sides: of {wrong} exchanged frames {left} stay exchanged in some limb; "
        f"of {whole} right ones {spoilt} are spoilt"
    )


if __name__ == "__main__":
    main()
