# SPDX-License-Identifier: GPL-3.0-or-later
"""``video-to-pose``: which person of a clip is meant, and all of them at once."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

from .errors import InputError
from .settings import PERSON_CHOICES, CaptureSettings, TrackSettings


def add_options(group: argparse._ArgumentGroup) -> None:
    """Options that choose a person and mend their track."""
    group.add_argument(
        "--person",
        default=TrackSettings.person,
        metavar="WHO",
        help=f"{', '.join(PERSON_CHOICES)}, or a number: 1 is the main person; 1+3 are "
        "two that are one, 1:0-2.5 only these seconds of one (default: %(default)s)",
    )
    group.add_argument(
        "--at",
        type=moment,
        default=TrackSettings.at,
        metavar="TIME,X,Y",
        help="who is seen at this second at this pixel, as 3.2s,640,360; goes before --person",
    )
    group.add_argument(
        "--mend-sides",
        action=argparse.BooleanOptionalAction,
        default=TrackSettings.mend_sides,
        help="put right frames in which the detector exchanged left and right",
    )


def moment(text: str) -> tuple[float, float, float]:
    """``3.2s,640,360`` as seconds and pixels."""
    parts = text.split(",")
    try:
        time_s, x, y = (
            float(part.strip().removesuffix("s")) if i == 0 else float(part) for i, part in enumerate(parts)
        )
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time and a pixel, like 3.2s,640,360") from None
    if not all(map(math.isfinite, (time_s, x, y))):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time and a pixel, like 3.2s,640,360")
    return time_s, x, y


def numbered(out: Path, number: int) -> Path:
    """``walk.bvh`` as ``walk.2.bvh``."""
    return out.with_name(f"{out.stem}.{number}{out.suffix}")


def convert_everybody(
    source: Path, settings: CaptureSettings, outputs: list[Path], previews: list[Path], options: argparse.Namespace
) -> None:
    """``convert --all-people``: a set of outputs for each person.

    Raises:
        InputError: a person was chosen as well, and what `pipeline.capture_people` raises.
    """
    from . import cli, pipeline, video

    if settings.track != TrackSettings(max_gap_s=settings.track.max_gap_s, mend_sides=settings.track.mend_sides):
        raise InputError("--all-people chooses everybody.", "Leave out --person and --at.", "usage")
    cli._check_blender((out.suffix for out in outputs), options)
    video.probe(source)
    cli._fetch_model(settings, options)
    with cli._Bar(options) as bar:
        found = pipeline.capture_people(source, settings, bar.update)
    cli._check_places(
        [numbered(out, place + 1) for out in [*outputs, *previews] for place in range(len(found))], [source]
    )
    for place, (person, take) in enumerate(found, 1):
        seconds = dict(take.provenance["seconds"])
        began = time.perf_counter()
        for out in outputs:
            cli._write(take, numbered(out, place), options)
        seconds["write"] = time.perf_counter() - began
        for out in previews:
            cli._write_preview(take, source, numbered(out, place), options)
        if not (options.json or options.quiet):
            print(f"Person {place}, from {person.first_s:.1f} to {person.last_s:.1f} s:")
        cli._tell_result(options, take, [numbered(out, place) for out in [*outputs, *previews]], seconds)
