# SPDX-License-Identifier: GPL-3.0-or-later
"""A video's way to a Take: the stages in order, nothing else."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import platform
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import __version__, detect, lift, motion, track, video
from . import seen as store
from .detect import appearance
from .errors import InputError
from .seen import Seen
from .settings import PERSON_CHOICES, CaptureSettings, DetectSettings, VideoSettings
from .types import KeypointTrack, Take

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        stage: ``load``, ``detect``, ``lift`` or ``solve``.
        done: frames done.
        total: frames expected, None when unknown.
    """

    stage: str
    done: int
    total: int | None


Report = Callable[[Progress], None]


def capture(path: Path, settings: CaptureSettings, progress: Report | None = None, cache: Path | None = None) -> Take:
    """Everything that can be found of one person in a video.

    Args:
        path: the video.
        settings: of all stages.
        progress: called before and during stages; an exception it raises (`errors.Cancelled`) stops the work.
        cache: folder that keeps what was seen (`seen`), so that the same clip is watched once; None keeps nothing.

    Raises:
        InputError: the video, a model file or an option is wrong, or nobody is in it.
        SetupError: a package, model or device is missing.
    """
    report = progress or (lambda _: None)
    seconds: dict[str, float] = {}
    info, lifter = _open(path, settings, report, seconds)
    settings = _through_its_lens(settings, info)
    camera: dict[str, Any] = {}
    keypoints = find_keypoints(info, settings, report, seconds, cache, camera)
    _give_back_memory()
    take = lift_and_solve(keypoints, lifter, settings, report, seconds)
    return _told_whence(take, info, settings, seconds, camera)


def capture_people(
    path: Path, settings: CaptureSettings, progress: Report | None = None
) -> list[tuple[track.Person, Take]]:
    """As `capture`, for everybody in the video who moves, whom it is about first; it is watched once.

    Posters and mirror images are left out, and so are people who are seen in a single frame.
    """
    report = progress or (lambda _: None)
    seconds: dict[str, float] = {}
    info, lifter = _open(path, settings, report, seconds)
    settings = _through_its_lens(settings, info)
    seen = find_detections(info, settings, report, seconds)
    people = track.find_people(seen.times, seen.detections, seen.image_size, settings.track, seen.cuts)
    real = [person for person in people if not person.is_still and person.reflection_of is None] or people[:1]
    takes = []
    for person in [person for person in real if len(person.frames) > 1] or people[:1]:
        own = dict(seconds)
        began = time.perf_counter()
        keypoints = track.track_of(person, seen.times, seen.image_size, settings.track)
        own["track"] = time.perf_counter() - began
        named = replace(settings, track=replace(settings.track, person=str(person.number), at=None))
        take = lift_and_solve(keypoints, lifter, named, report, own)
        takes.append(
            (person, _told_whence(take, info, named, own, _camera_told(seen.times, seen.background, keypoints)))
        )
    return takes


def _open(
    path: Path, settings: CaptureSettings, report: Report, seconds: dict[str, float]
) -> tuple[video.VideoInfo, lift.Lifter]:
    began = time.perf_counter()
    report(Progress("load", 0, None))
    info = video.probe(path)
    lifter = lift.load(settings.lift)
    seconds["load"] = time.perf_counter() - began
    return info, lifter


def _through_its_lens(settings: CaptureSettings, info: video.VideoInfo) -> CaptureSettings:
    """The settings, assuming the field of view that the file tells; one that is given counts all the same."""
    if info.fov_degrees is None:
        return settings
    return replace(settings, camera=replace(settings.camera, assumed_fov_degrees=info.fov_degrees))


def _told_whence(
    take: Take,
    info: video.VideoInfo,
    settings: CaptureSettings,
    seconds: dict[str, float],
    camera: dict[str, Any],
) -> Take:
    """The Take with the video, the detector, the camera's sway and the seconds of each stage in its provenance."""
    path = info.path
    provenance = {
        **take.provenance,
        "video": {"name": path.name, "sha256": _sha256(path), "frame_rate": info.frame_rate, "codec": info.codec},
        "detector": _about_detector(settings.detect),
        "camera": {"fov_from": _lens_told_by(settings, info), **camera},
        "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
    }
    return replace(take, provenance=provenance)


def _lens_told_by(settings: CaptureSettings, info: video.VideoInfo) -> str:
    if settings.camera.fov_degrees is not None:
        return "option"
    return "assumption" if info.fov_degrees is None else "video"


_POSSIBLE = {
    "video.start_s": ("start", 0.0, np.inf, "seconds"),
    "detect.min_score": ("least score", 0.0, 1.0, ""),
    "detect.max_people": ("number of people", 1, np.inf, ""),
    "detect.look_every": ("number of frames from look to look", 1, np.inf, ""),
    "track.max_gap_s": ("longest gap", 0.0, np.inf, "seconds"),
    "camera.height_m": ("height", 0.3, 3.0, "metres"),
    "motion.smoothing_cutoff_hz": ("smoothing cut-off", 0.0, np.inf, "hertz"),
    "motion.root_depth_cutoff_hz": ("smoothing cut-off of the depth", 0.0, np.inf, "hertz"),
    "motion.contact_speed_m_s": ("contact speed", 0.0, np.inf, "metres a second"),
    "motion.contact_height_m": ("contact height", 0.0, np.inf, "metres"),
}
"""What a setting may be: its name for people, least, most, unit."""


def check_settings(settings: CaptureSettings) -> None:
    """Refuse what cannot be before the long work, and not after it.

    Raises:
        InputError: a number out of its range.
    """
    for place, (name, least, most, unit) in _POSSIBLE.items():
        stage, field = place.split(".")
        value = getattr(getattr(settings, stage), field)
        if value is not None and not least <= value <= most:
            allowed = f"{least:g} to {most:g}" if np.isfinite(most) else f"{least:g} or more"
            raise InputError(
                f"A {name} of {value:g} is not possible.", f"Give {allowed} {unit}".rstrip() + ".", "setting-range"
            )
    person = settings.track.person
    if person not in PERSON_CHOICES and track.parts_of(person) is None:
        raise InputError(
            f"There is no way to choose a person called {person!r}.",
            f"Give a number from 1, or one of: {', '.join(PERSON_CHOICES)}.",
            "setting-range",
        )
    motion.intrinsics((1, 1), settings.camera)  # knows which fields of view there are


def _about_detector(settings: DetectSettings) -> dict[str, Any]:
    files = detect.model_files(settings)
    model = {"model": files[-1].name, "sha256": _sha256(files[-1])} if files else {}
    if len(files) > 1:
        model |= {"people_model": files[0].name, "people_sha256": _sha256(files[0])}
    named = {"card": settings.card.name} if settings.card else {"variant": settings.variant}
    return {"id": settings.card.stem if settings.card else settings.detector, **named, **model}


def expected_frames(info: video.VideoInfo, part: VideoSettings) -> int:
    """About how many frames lie between start and end."""
    end = info.duration_s if part.end_s is None else min(part.end_s, info.duration_s)
    share = (end - part.start_s) / info.duration_s if info.duration_s > 0 else 1.0
    return max(1, round(info.frame_count * min(1.0, max(0.0, share))))


def find_keypoints(
    info: video.VideoInfo,
    settings: CaptureSettings,
    report: Report,
    seconds: dict[str, float],
    cache: Path | None = None,
    camera: dict[str, Any] | None = None,
) -> KeypointTrack:
    """Decode, detect and follow one person. Adds the stages' seconds to `seconds`, and what is told of the camera."""
    seen = find_detections(info, settings, report, seconds, cache)
    began = time.perf_counter()
    people = track.find_people(seen.times, seen.detections, seen.image_size, settings.track, seen.cuts)
    chosen = track.choose(people, seen.times, seen.image_size, settings.track)
    if "+" not in settings.track.person and any(person.shot != chosen.shot for person in people):
        _log.warning(
            f"The camera cuts to another picture; of the chosen person only the shot from {chosen.first_s:.1f} to "
            f"{chosen.last_s:.1f} s is used."
        )
    times, size, background = seen.times, seen.image_size, seen.background
    del seen, people  # everybody else's hour need not be held while this one's is made
    person = track.track_of(chosen, times, size, settings.track)
    if camera is not None:
        camera.update(_camera_told(times, background, person))
    seconds["track"] = time.perf_counter() - began
    return person


def _camera_told(times: NDArray[np.float64], background: NDArray[np.float32], person: KeypointTrack) -> dict[str, Any]:
    """What provenance says of the camera while somebody was seen; a moving one is warned of, once."""
    first, last = np.searchsorted(times, person.timestamps[[0, -1]] + [-1e-3, 1e-3])
    if len(background) != len(times):
        return {}
    found = track.sway(background[first:last], person.image_size)
    if found.moves:
        _log.warning(
            f"The camera moves (the background by {found.shift_px:.0f} pixels): the person's path is told as if it "
            "stood still, so the camera's way is in it. Film from a tripod, or take the path in place."
        )
    return {
        "moves": found.moves,
        "shift_px": round(found.shift_px, 1),
        "zoom": round(found.zoom, 3),
        "roll_degrees": round(found.roll_degrees, 1),
    }


def find_detections(
    info: video.VideoInfo,
    settings: CaptureSettings,
    report: Report,
    seconds: dict[str, float],
    cache: Path | None = None,
) -> Seen:
    """Decode and detect everybody, or take from `cache` what was seen before. Adds the stages' seconds to `seconds`."""
    check_settings(settings)
    if cache is None:
        return _detect(info, settings, report, seconds)
    began = time.perf_counter()
    folder = cache / store.key(info.path, settings.video, settings.detect)
    known = store.load(folder)
    if known is not None:
        report(Progress("detect", len(known.times), len(known.times)))
        seconds["detect"] = time.perf_counter() - began
        return known
    found = _detect(info, settings, report, seconds)
    try:
        store.save(found, folder)
    except InputError as error:  # a full disk must not cost the work that is done
        _log.warning("What was seen is not kept: %s", error.message)
    store.clean(cache, keep=folder)
    return found


def _detect(info: video.VideoInfo, settings: CaptureSettings, report: Report, seconds: dict[str, float]) -> Seen:
    clock = time.perf_counter
    began = clock()
    times: list[float] = []
    detections: list[list[detect.Detection]] = []
    watch, background = track.ShotWatcher(), track.BackgroundWatcher()
    total, waited = expected_frames(info, settings.video), [0.0]
    with detect.load(settings.detect) as detector:
        seconds["load"] = seconds.get("load", 0.0) + clock() - began
        began = clock()
        with closing(detect.stream(detector, _timed(video.read_frames(info.path, settings.video), waited))) as seen:
            for frame, people in seen:
                times.append(frame.time_s)
                detections.append(_without_space(appearance.look(frame.rgb, people)))
                watch(frame.rgb)
                background(frame.rgb, [person.positions for person in people])
                report(Progress("detect", len(times), max(total, len(times))))
    _give_back_memory()
    seconds["decode"] = waited[0]
    seconds["detect"] = max(clock() - began - waited[0], 0.0)  # where the two overlap, the rest
    return Seen(np.asarray(times), detections, watch.cuts(), (info.width, info.height), background.path())


def _without_space(people: list[detect.Detection]) -> list[detect.Detection]:
    """Without the detector's own guess in space, which nothing here asks for: over an hour it is a third of all."""
    return [replace(person, world_landmarks=None) for person in people]


def _timed(frames: Iterator[video.Frame], waited: list[float]) -> Generator[video.Frame, None, None]:
    """The frames; the seconds that they were waited for are added to `waited`."""
    with closing(frames) as source:  # type: ignore[type-var]
        while True:
            asked = time.perf_counter()
            frame = next(source, None)
            waited[0] += time.perf_counter() - asked
            if frame is None:
                return
            yield frame


def lift_and_solve(
    keypoints: KeypointTrack,
    lifter: lift.Lifter,
    settings: CaptureSettings,
    report: Report | None = None,
    seconds: dict[str, float] | None = None,
) -> Take:
    """From keypoints to a Take, with the lifter, the options and the versions in its provenance."""
    check_settings(settings)
    report, seconds = report or (lambda _: None), {} if seconds is None else seconds
    count = keypoints.frame_count
    began = time.perf_counter()
    report(Progress("lift", 0, count))
    focal, centre = motion.intrinsics(keypoints.image_size, settings.camera)
    pose = lifter(keypoints, focal, centre)
    seconds["lift"] = time.perf_counter() - began
    began = time.perf_counter()
    report(Progress("solve", 0, count))
    solved, camera = motion.solve(keypoints, pose, settings.camera, settings.motion)
    seconds["solve"] = time.perf_counter() - began
    report(Progress("solve", count, count))
    name = settings.lift.model_path.name if settings.lift.model_path else settings.lift.lifter
    about_lifter = {"id": name, "sha256": _sha256(lifter.path)}
    about_lifter |= {key: lifter.metadata[key] for key in ("architecture", "training_commit") if key in lifter.metadata}
    provenance: dict[str, Any] = {"lifter": about_lifter, "versions": _versions(), "options": settings.to_dict()}
    if pose.height_spread_m is not None:
        estimate = motion.standing_height(pose.skeleton, pose.lengths)
        provenance["height"] = {"estimate_m": round(estimate, 4), "spread_m": round(pose.height_spread_m, 4)}
    return Take(keypoints, solved, camera, provenance, lifted=pose)


def _versions() -> dict[str, str]:
    found = {"video-to-pose": __version__, "python": platform.python_version()}
    for package in ("numpy", "scipy", "av", "mediapipe", "onnxruntime"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _give_back_memory() -> None:
    """Hand freed memory to the system, where glibc keeps it: an hour's detections are many small arrays."""
    with suppress(OSError, AttributeError, TypeError):  # other systems have no such call, and no such need
        ctypes.CDLL(None).malloc_trim(0)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
