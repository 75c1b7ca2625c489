# SPDX-License-Identifier: GPL-3.0-or-later
"""``video-to-pose solve``: a Take's motion with other settings, without looking at the video again."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from . import cli
from .settings import CameraSettings, CaptureSettings, MotionSettings

Options = argparse.Namespace


def add_command(command: Callable[[str, Callable[[Options], None], str], argparse.ArgumentParser]) -> None:
    """Add the command to the parser.

    Args:
        command: (name, what runs it, what it is about) -> the parser of its options.
    """
    sub = command("solve", _solve, "solve a Take's motion again with other smoothing, floor, height or field of view")
    sub.add_argument("take")
    sub.add_argument(
        "-o", "--output", action="append", required=True, help=f"{' '.join(cli.WRITTEN)}; may be given again"
    )
    cli.add_motion_options(sub.add_argument_group("3D; what is not given stays as the Take was solved"))
    sub.set_defaults(
        **{cli._dest(stage, field.name): None for stage in (CameraSettings, MotionSettings) for field in fields(stage)}
    )
    cli._add_rig_options(sub)
    cli.add_blender_option(sub)


def _solve(options: Options) -> None:
    from . import pipeline, resolve
    from .formats import take as take_format

    outputs = [Path(out) for out in options.output]
    cli._check_endings(outputs, cli.WRITTEN)
    cli._check_places(outputs, [Path(options.take)])
    cli._check_blender((out.suffix for out in outputs), options)
    take = take_format.load(options.take)
    camera, motion = (_changed(stage, options) for stage in resolve.solved_with(take))
    pipeline.check_settings(CaptureSettings(camera=camera, motion=motion))
    began = time.perf_counter()
    take = resolve.solve_again(take, camera, motion)
    seconds = {"solve": time.perf_counter() - began}
    began = time.perf_counter()
    for out in outputs:
        cli._write(take, out, options)
    cli._tell_result(options, take, outputs, {**seconds, "write": time.perf_counter() - began})


def _changed(stage: Any, options: Options) -> Any:
    """A stage's settings with the options that were given."""
    given = {field.name: getattr(options, cli._dest(type(stage), field.name)) for field in fields(stage)}
    return replace(stage, **{name: value for name, value in given.items() if value is not None})
