# SPDX-License-Identifier: GPL-3.0-or-later
"""``video-to-pose lift`` of what other programs wrote, and what is written for them."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from .errors import InputError
from .settings import CaptureSettings, TrackSettings
from .types import KeypointTrack, Take

Options = argparse.Namespace

KEYPOINT_ENDINGS = (".npz", ".json", ".csv")
"""What keypoints are written as: ours, COCO JSON, a table."""
JOINT_ENDINGS = (".csv", ".trc")
"""What a Take's joints are written as."""
UP_AXES = ("x", "y", "z", "-x", "-y", "-z")

_log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What keypoint files of other programs do not say, and which of their people is meant."""
    from . import cli_people

    group = parser.add_argument_group("keypoints of other programs")
    group.add_argument("--video", metavar="CLIP", help="the clip they are of: tells frame size and rate")
    group.add_argument("--frame-size", type=size, metavar="WIDTHxHEIGHT", help="of the pictures, in pixels")
    group.add_argument("--frame-rate", type=float, metavar="FRAMES", help="pictures a second")
    group.add_argument(
        "--up", choices=UP_AXES, help="axis of a 3D file that points up, as --up=-y (default: from feet to shoulders)"
    )
    group.add_argument(
        "--max-gap", type=float, default=TrackSettings.max_gap_s, metavar="S", help="longest gap that is filled"
    )
    cli_people.add_options(group)


def size(text: str) -> tuple[int, int]:
    """``1920x1080`` as width and height."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no size in pixels, like 1920x1080")
    return int(parts[0]), int(parts[1])


def lifted(options: Options, settings: CaptureSettings) -> Take:
    """The Take of a file of keypoints, lifted, or of points in space, taken over.

    Raises:
        InputError: the file is none that is known, or lacks what no option tells.
        SetupError: the lifter's device is missing.
    """
    from . import lift, marker_take, pipeline, track
    from .formats import recorded
    from .formats.markers import Markers
    from .formats.people import People, without_placeholders

    pipeline.check_settings(settings)
    if options.frame_rate is not None and not 0.1 <= options.frame_rate <= 10000:
        raise InputError(
            f"A rate of {options.frame_rate:g} frames a second is not possible.", "Give 0.1 to 10000.", "frame-rate"
        )
    found = recorded.read(options.keypoints)
    if isinstance(found, Markers):
        rate = options.frame_rate or (_clip(options)[1] if found.times is None and options.video else None)
        return marker_take.take_from_markers(found.completed(rate, options.up), settings)
    about = {"name": Path(options.keypoints).name, "kind": "video-to-pose"}
    if isinstance(found, People):
        of_clip, its_rate = _clip(options) if options.video else (None, None)
        people = found.completed(options.frame_size or of_clip, options.frame_rate or its_rate)
        assert people.times is not None and people.image_size is not None  # `completed` sees to it
        about |= {"kind": people.kind, "people": str(people.most_at_once)}
        found = without_placeholders(track.make_track(people.times, people.found, people.image_size, settings.track))
    lifter = lift.load(settings.lift)
    if lacking := [name for name in lifter.keypoints if name not in found.names or not _seen(found, name)]:
        about["lacking"] = " ".join(lacking)
        _log.warning(
            f"{about['name']} has no {', '.join(lacking)}, which the lifter {settings.lift.lifter} reads: "
            "what hangs on them is guessed and has no confidence."
        )
    take = pipeline.lift_and_solve(found, lifter, settings)
    return replace(take, provenance={**take.provenance, "keypoints": about})


def _seen(track: KeypointTrack, name: str) -> bool:
    return bool(track.scores[:, track.names.index(name)].any())


def _clip(options: Options) -> tuple[tuple[int, int], float]:
    from . import video

    info = video.probe(options.video)
    return (info.width, info.height), info.frame_rate


def write_keypoints(track: KeypointTrack, out: Path) -> None:
    """Write keypoints as the ending says."""
    from .formats import coco, keypoints, table

    {".npz": keypoints.save, ".json": coco.write, ".csv": table.write_keypoints}[out.suffix.lower()](track, out)


def write_joints(take: Take, out: Path) -> None:
    """Write where a Take's joints are, as the ending says."""
    from .formats import table, trc

    {".csv": table.write_take, ".trc": trc.write}[out.suffix.lower()](take, out)
