# SPDX-License-Identifier: GPL-3.0-or-later
"""One person's pose while it happens: frames go in one by one, poses in the world come out.

Nothing here looks further ahead than `LiveSettings.delay_frames`. Bone lengths and the camera's tilt are measured while
the person is first in view and then kept, so that bones never stretch; directions and path are calmed by 1 € filters;
the floor is where the lowest soles of the last seconds were. What was seen can be recorded, and becomes a Take of full
quality by the same stages as a file does.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import bones, detect, lift, live_source, motion, pipeline, track
from .errors import InputError
from .motion import ground
from .motion.one_euro import OneEuro
from .motion.rigid import even_hips, rigid_parts
from .motion.root import root_path
from .settings import CaptureSettings, LiftSettings, LiveSettings
from .skeleton import Skeleton
from .track.people import body_size
from .types import KeypointTrack, Take
from .video import Frame

Array = NDArray[np.floating]

_NEAR, _NEAR_PER_S, _NEAR_MOST = 0.3, 4.5, 1.0  # body sizes that a person may be from where they were last
_SLOW = 1.25  # times: a track with fewer frames a second than the lifter's rate by more than this is filled in
_SIZE_RATIO = 1.6  # by which somebody may have grown or shrunk since
_MEASURE_EVERY_S = 0.5  # while lengths and tilt settle
_MEASURE_LEAST = 5  # frames
_LOWEST_SHARE = 20  # per cent: the floor among the lowest soles
_FLOOR_HZ = 0.7
_LEAST_TRUST = 0.1


@dataclass(frozen=True, eq=False)
class LivePose:
    """A person at one moment, in the world: Z up, floor at z = 0, metres.

    Attributes:
        time_s: the moment it shows, in the source's time: behind the newest frame by the delay.
        directions: (B, 3) unit vectors parent -> child.
        lengths: (B,).
        root: (3,) of joint 0.
        confidence: (J,) 0 … 1; all 0 while the person is lost and the last pose is held.
        settled: lengths and tilt will not change any more.
    """

    time_s: float
    directions: Array
    lengths: Array
    root: Array
    confidence: Array
    settled: bool

    @property
    def is_seen(self) -> bool:
        """Whether the person is in view."""
        return bool(self.confidence.any())


@dataclass(frozen=True, eq=False)
class Moment:
    """What is known after a frame.

    Attributes:
        pose: None before anybody was seen.
        at_s: when that was, by `time.monotonic`.
        latency_s: from when the frame that the pose shows could be had to now: the work, and the look ahead.
        frames_per_s: frames worked on a second, lately.
        dropped: frames of the source that there was no time for, since the start.
    """

    pose: LivePose | None
    at_s: float
    latency_s: float
    frames_per_s: float
    dropped: int


class Recording:
    """What was seen from one moment to another, and the Take that becomes of it."""

    def __init__(self, image_size: tuple[int, int]) -> None:
        self._image_size = image_size
        self._times: list[float] = []
        self._people: list[list[detect.Detection]] = []

    def add(self, time_s: float, person: detect.Detection | None) -> None:
        """A further frame."""
        self._times.append(time_s)
        self._people.append([] if person is None else [person])

    @property
    def frame_count(self) -> int:
        return len(self._times)

    def take(self, name: str, lifter: lift.Lifter, settings: CaptureSettings, live: LiveSettings) -> Take:
        """The recording solved as a file is: with all that came before and after at hand.

        Args:
            name: what stands for the video's.
            lifter, settings: as for a file.
            live: how it was followed, for the provenance.

        Raises:
            InputError: nobody was in it, or it is too short.
        """
        keypoints = at_least(self._track(settings), lifter.frame_rate)
        take = pipeline.lift_and_solve(keypoints, lifter, settings)
        about = {"video": {"name": name}, "detector": {"id": settings.detect.detector}, "live": asdict(live)}
        return replace(take, provenance={**take.provenance, **about})

    def _track(self, settings: CaptureSettings) -> KeypointTrack:
        """Who it is is known here: nobody need be told from others, however few frames there was time for."""
        frames = [f for f, people in enumerate(self._people) if people]
        if not frames:
            raise InputError(
                f"No person was found in any of the {self.frame_count} frames.",
                "Record while the whole body is in view.",
                "no-person",
            )
        person = track.Person(
            number=1,
            identity=0,
            shot=0,
            first_s=self._times[frames[0]],
            last_s=self._times[frames[-1]],
            frames=np.array(frames),
            detections=tuple(self._people[f][0] for f in frames),
            best_frame=frames[0],
            box=(0.0, 0.0, 0.0, 0.0),
            weight=1.0,
        )
        return track.track_of(person, self._times, self._image_size, settings.track)


def at_least(seen: KeypointTrack, rate: float) -> KeypointTrack:
    """A track with so many frames a second or more: lifters know no slower ones. Gaps stay gaps."""
    if seen.frame_rate > rate / _SLOW:
        return seen
    count = int(float(np.ptp(seen.timestamps)) * rate + 1e-6) + 1
    times = seen.timestamps[0] + np.arange(count) / rate
    after = np.clip(np.searchsorted(seen.timestamps, times), 1, seen.frame_count - 1)
    share = (times - seen.timestamps[after - 1]) / (seen.timestamps[after] - seen.timestamps[after - 1])
    share = np.clip(share, 0.0, 1.0)[:, None, None]
    positions = (1 - share) * seen.positions[after - 1] + share * seen.positions[after]
    scores = np.minimum(seen.scores[after - 1], seen.scores[after])
    scores = np.where(np.isfinite(positions).all(axis=-1), scores, 0.0)
    return KeypointTrack(times, seen.names, positions, scores, seen.image_size)


class Live:
    """Frames, one by one, to poses of one person.

    Args:
        detector: opened; closing it is the caller's part.
        lifter: of `following_lift`; see `LiveSolver`.
        settings: of the capture.
        live: of following.
    """

    def __init__(
        self, detector: detect.Detector, lifter: lift.Lifter, settings: CaptureSettings, live: LiveSettings
    ) -> None:
        self.detector, self.lifter, self.settings, self.live = detector, lifter, settings, live
        self.solver: LiveSolver | None = None
        self.recording: Recording | None = None
        self._follower: Follower | None = None

    @property
    def delay_s(self) -> float:
        """Seconds that poses are behind the newest frame, because the lifter looks ahead."""
        return delay_frames(self.lifter, self.live) / self.lifter.frame_rate

    def __call__(self, frame: Frame) -> LivePose | None:
        """The pose after a frame; see `LiveSolver`.

        Raises:
            InputError: what the detector finds is not enough for the lifter.
        """
        if self.solver is None or self._follower is None:
            size = (frame.rgb.shape[1], frame.rgb.shape[0])
            self.solver = LiveSolver(self.lifter, size, self.settings, self.live)
            self._follower = Follower(size, self.settings.track.person == "central", self.live.lost_s)
        person = self._follower(frame.time_s, self.detector(frame))
        if self.recording is not None:
            self.recording.add(frame.time_s, person)
        return self.solver(frame.time_s, person)

    def record(self, *, settle: bool = True) -> bool:
        """Begin to record. False before the first frame.

        Args:
            settle: keep the bone lengths of poses from now on as they are known; a recording's own are measured anew.
        """
        if self.solver is None:
            return False
        if settle:
            self.solver.settle()
        self.recording = Recording(self.solver.image_size)
        return True

    def stop_recording(self) -> Recording | None:
        """End the recording and hand it over."""
        recording, self.recording = self.recording, None
        return recording

    def take(self, recording: Recording, name: str) -> Take:
        """A recording's Take, by the lifter of `CaptureSettings.lift`, which sees what came next; see `Recording.take`.

        Raises:
            InputError: nobody was in it, it is too short, or there is no such lifter.
        """
        own = self.settings.lift
        lifter = self.lifter if following_lift(self.settings, self.live) == own else lift.load(own)
        return recording.take(name, lifter, self.settings, self.live)


def follow(live: Live, source: live_source.Source, stop: threading.Event) -> Generator[Moment, None, None]:
    """A moment for every frame there was time for, until the source ends or `stop` is set.

    Raises:
        InputError: the source cannot be opened, or what the detector finds is not enough for the lifter.
    """
    arrived: deque[tuple[float, float]] = deque(maxlen=64)  # source's time, when it came
    done: deque[float] = deque(maxlen=30)
    with closing(live_source.watch(source, stop)) as arrivals:
        for arrival in arrivals:
            arrived.append((arrival.frame.time_s, arrival.at_s))
            pose = live(arrival.frame)
            now = time.monotonic()
            done.append(now)
            shown = arrival.frame.time_s if pose is None else pose.time_s
            times, came = zip(*arrived, strict=True)
            rate = (len(done) - 1) / (done[-1] - done[0]) if len(done) > 1 else 0.0
            yield Moment(pose, now, now - float(np.interp(shown, times, came)), rate, arrival.dropped)


class Follower:
    """Keeps to one person from frame to frame.

    Args:
        image_size: width, height in pixels.
        central: who stands nearest to the middle is meant, not who is largest.
        lost_s: out of view for longer than this, anybody may be the person.
    """

    def __init__(self, image_size: tuple[int, int], central: bool, lost_s: float) -> None:
        self._image_size, self._central, self._lost_s = image_size, central, lost_s
        self._last: detect.Detection | None = None
        self._last_s = -np.inf

    def __call__(self, time_s: float, people: Sequence[detect.Detection]) -> detect.Detection | None:
        """The person among those in a frame; None when out of view."""
        away = time_s - self._last_s
        if self._last is None or away > self._lost_s:
            found = max(people, key=self._rank, default=None)
        else:
            found = min(people, key=lambda one: self._apart(one), default=None)
            if found is not None and self._apart(found) > min(_NEAR + _NEAR_PER_S * away, _NEAR_MOST):
                found = None
        if found is not None:
            self._last, self._last_s = found, time_s
        return found

    def _rank(self, one: detect.Detection) -> float:
        if not self._central:
            return body_size(one.positions, one.scores)
        return -float(np.linalg.norm(np.median(one.positions, axis=0) - np.array(self._image_size) / 2))

    def _apart(self, one: detect.Detection) -> float:
        """Body sizes from where the person was last; infinite for somebody of quite another size."""
        assert self._last is not None
        own, before = (body_size(person.positions, person.scores) for person in (one, self._last))
        if max(own, before) > _SIZE_RATIO * min(own, before):
            return np.inf
        weights = np.minimum(one.scores, self._last.scores) + 0.01
        distance = np.linalg.norm(one.positions - self._last.positions, axis=1)
        return float(np.average(distance, weights=weights)) / before


def following_lift(settings: CaptureSettings, live: LiveSettings) -> LiftSettings:
    """Which lifter follows, and where: `LiveSettings.lifter`, unless the user brings a file, which serves for all."""
    return settings.lift if settings.lift.model_path is not None else replace(settings.lift, lifter=live.lifter)


def delay_frames(lifter: lift.Lifter, live: LiveSettings) -> int:
    """By how many frames of its rate poses are behind: causal lifters look at nothing that comes."""
    return 0 if lifter.causal else live.delay_frames


class LiveSolver:
    """Detections of one person, one by one, to poses.

    Args:
        lifter: causal, or one that looks both ways and then sees `live.delay_frames` of what comes next.
        image_size: width, height in pixels.
        settings: of the camera, and whether sides are mended.
        live: everything else.

    Raises:
        InputError: a field of view or height that cannot be.
    """

    def __init__(
        self, lifter: lift.Lifter, image_size: tuple[int, int], settings: CaptureSettings, live: LiveSettings
    ) -> None:
        self.lifter, self.image_size, self.settings, self.live = lifter, image_size, settings, live
        self.skeleton: Skeleton = lifter.skeleton
        self.is_settled = False
        self._delay = delay_frames(lifter, live)
        self._reach = lifter.receptive_field - 1 if lifter.causal else lifter.receptive_field // 2
        self._focal, self._centre = motion.intrinsics(image_size, settings.camera)
        self._seen: deque[tuple[float, detect.Detection]] = deque()
        self._measure_at = -np.inf
        self._seen_s = 0.0
        self._lengths: Array | None = None
        self.R_world_camera: Array = np.eye(3)
        self._origin: Array | None = None
        self._lowest: deque[tuple[float, float]] = deque()
        self._floor = OneEuro(_FLOOR_HZ, 0.0)
        self._turn = OneEuro(live.min_cutoff_hz, live.beta, unit=True)
        self._side = OneEuro(live.root_min_cutoff_hz, live.root_beta)
        self._depth = OneEuro(live.depth_cutoff_hz, 0.0)
        self._pose: LivePose | None = None

    def settle(self) -> None:
        """Keep lengths and tilt as they are known now, for good (once anybody has been seen)."""
        self.is_settled = self._lengths is not None

    def __call__(self, time_s: float, person: detect.Detection | None) -> LivePose | None:
        """The pose after a frame; the last one, held, where nobody is seen; None before anybody was.

        Args:
            time_s: of the frame, later than the one before.
            person: what was found in it.
        """
        if person is None:
            return self._held(time_s)
        if self._seen and time_s - self._seen[-1][0] > self.settings.track.max_gap_s:
            self._seen.clear()  # nothing is known of what lies in between
        if self._seen:
            self._seen_s += time_s - self._seen[-1][0]
        self._seen.append((time_s, person))
        if not self.is_settled:
            self._measure(time_s)
        self._forget_before(time_s)
        assert self._lengths is not None
        return self._solve(time_s)

    def _held(self, time_s: float) -> LivePose | None:
        if self._pose is None:
            return None
        nothing = np.zeros_like(self._pose.confidence)
        self._pose = replace(
            self._pose,
            time_s=time_s - self._delay / self.lifter.frame_rate,
            confidence=nothing,
            settled=self.is_settled,
        )
        return self._pose

    def _forget_before(self, time_s: float) -> None:
        """Drop what neither the lifter nor the measuring looks at any more."""
        kept = (self._reach + self._delay + 2) / self.lifter.frame_rate
        if not self.is_settled:
            kept = max(kept, self.live.settle_s)
        while len(self._seen) > 2 and self._seen[1][0] < time_s - kept:
            self._seen.popleft()

    def _track(self, times: NDArray[np.float64]) -> KeypointTrack:
        """What was seen, at these times."""
        names = self._seen[-1][1].names
        own = np.array([time for time, _ in self._seen])
        positions = np.array([person.positions for _, person in self._seen], dtype=np.float64)
        scores = np.array([person.scores for _, person in self._seen], dtype=np.float64)
        if self.settings.track.mend_sides:
            sizes = np.array([body_size(*both) for both in zip(positions, scores, strict=True)])
            track.mend_sides(names, own, positions, scores, sizes)
        after = (
            np.clip(np.searchsorted(own, times), 1, max(len(own) - 1, 1)) if len(own) > 1 else np.zeros(len(times), int)
        )
        before = np.maximum(after - 1, 0)
        span = np.where(after > before, own[after] - own[before], 1.0)
        share = np.clip((times - own[before]) / span, 0.0, 1.0)[:, None]
        share = np.where(after[:, None] > before[:, None], share, 0.0)
        there = (1 - share[..., None]) * positions[before] + share[..., None] * positions[after]
        scored = (1 - share) * scores[before] + share * scores[after]
        return KeypointTrack(times, names, there, scored, self.image_size)

    def _grid(self, time_s: float, frames: float) -> NDArray[np.float64]:
        """Up to so many times at the lifter's rate that end with the newest, none before the first that was seen."""
        rate = self.lifter.frame_rate
        count = int(min(frames, (time_s - self._seen[0][0]) * rate + 1e-3)) + 1
        return time_s - np.arange(count)[::-1] / rate

    def _measure(self, time_s: float) -> None:
        """Lengths and tilt from all that was seen so far, every now and then, and for the last time."""
        last = self._seen_s >= self.live.settle_s
        if self._lengths is not None and not last and time_s < self._measure_at:
            return
        self._measure_at = time_s + _MEASURE_EVERY_S
        seen = self._track(self._grid(time_s, np.inf))
        lifted = self.lifter(seen, self._focal, self._centre)
        self.R_world_camera = ground.world_axes(lifted.up)
        if seen.frame_count >= _MEASURE_LEAST:
            quick = replace(self.settings.motion, mend_glitches=False, plant_feet=False)
            solved, camera = motion.solve(seen, lifted, self.settings.camera, quick)
            self._lengths, self.R_world_camera = solved.lengths.astype(np.float64), camera.R_world_camera
        else:
            self._lengths = even_hips(self.skeleton, lifted.lengths)
        self._lowest.clear()
        self._origin = None
        if last:
            self.settle()

    def _solve(self, time_s: float) -> LivePose:
        assert self._lengths is not None
        window = self._track(self._grid(time_s, self._reach + self._delay))
        lifted = self.lifter(window, self._focal, self._centre)
        at = max(window.frame_count - 1 - self._delay, 0)
        shown_s = float(window.timestamps[at])
        if self._pose is not None:  # just after a gap there may be nothing so long ago
            shown_s = max(shown_s, self._pose.time_s + 1e-6)
        directions = rigid_parts(self.skeleton, lifted.directions, self._lengths)[at]
        confidence = lifted.confidence[at]
        trust = np.clip(confidence[1:], _LEAST_TRUST, 1.0)
        directions = self._turn(shown_s, directions, trust)
        directions = rigid_parts(self.skeleton, directions[None], self._lengths)[0]

        joints = bones.compose(self.skeleton, directions, self._lengths)
        part = slice(at, at + 1)
        one = replace(
            window,
            timestamps=window.timestamps[part],
            positions=window.positions[part],
            scores=window.scores[part],
        )
        path = root_path(
            self.skeleton, joints[None], one, self._focal, self._centre, depth_cutoff_hz=0.0, cutoff_hz=0.0
        )[0]
        side = self._side(shown_s, path[None, :2] / path[2])[0]
        depth = float(np.exp(self._depth(shown_s, np.log(path[None, 2:])))[0, 0])
        root_camera = np.array([*side, 1.0]) * depth

        R = self.R_world_camera
        directions, root = directions @ R.T, R @ root_camera
        root = root - [0.0, 0.0, self._floor_under(shown_s, directions, root)]
        if self._origin is None:
            self._origin = root * [1.0, 1.0, 0.0]
        self._pose = LivePose(shown_s, directions, self._lengths, root - self._origin, confidence, self.is_settled)
        return self._pose

    def _floor_under(self, time_s: float, directions: Array, root: Array) -> float:
        """Height of the floor before it is moved to z = 0."""
        assert self._lengths is not None
        leg = float(sum(self._lengths[self.skeleton.index(joint) - 1] for joint in ("left_knee", "left_ankle")))
        joints = bones.compose(self.skeleton, directions, self._lengths, root)
        heights = ground.sole_heights(self.skeleton, joints[None], leg)
        if not heights.size:
            return 0.0
        if not self._lowest:
            self._floor.forget()
        self._lowest.append((time_s, float(heights.min())))
        while self._lowest[0][0] < time_s - self.live.floor_s:
            self._lowest.popleft()
        level = np.percentile([height for _, height in self._lowest], _LOWEST_SHARE)
        return float(self._floor(time_s, np.array([[level]]))[0, 0])
