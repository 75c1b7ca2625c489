# SPDX-License-Identifier: GPL-3.0-or-later
"""``video-to-pose live``: poses of one person while it happens, for other programs, and recorded as a Take."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from . import cli
from .errors import InputError
from .lifters import LIFTERS
from .settings import LiftSettings, LiveSettings

if TYPE_CHECKING:
    from .live import Live, LivePose, Moment

Options = argparse.Namespace


def add_command(command: Callable[[str, Callable[[Options], None], str], argparse.ArgumentParser]) -> None:
    """Add the command to the parser; arguments as of `cli_batch.add_command`."""
    sub = command("live", _live, "follow one person while it happens; Ctrl-C ends it")
    sub.add_argument(
        "source",
        help="camera, camera:1, camera:NAME, a device, or a file, which is played at its own speed",
    )
    sub.add_argument("-o", "--output", metavar="NPZ", help="record all of it into a Take of full quality")
    group = sub.add_argument_group("following")
    group.add_argument(
        "--growing", action="store_true", help="the file is still being written (.ts or .mkv): follow its end"
    )
    group.add_argument("--seconds", type=float, metavar="S", help="stop by itself after so many")
    group.add_argument(
        "--delay",
        type=int,
        default=LiveSettings.delay_frames,
        metavar="FRAMES",
        help="thirtieths of a second that poses are behind, unless the lifter is causal; 8 is most exact, 0 is "
        "quickest (default: %(default)s)",
    )
    group.add_argument(
        "--settle",
        type=float,
        default=LiveSettings.settle_s,
        metavar="S",
        help="measure bone lengths for so long, then keep them (default: %(default)s)",
    )
    group.add_argument(
        "--take-lifter",
        choices=LIFTERS,
        default=LiftSettings.lifter,
        metavar="LIFTER",
        help="lifter of what is recorded; --lifter is the one that follows (default: %(default)s)",
    )
    cli._add_detect_options(sub)
    cli._add_solve_options(sub)
    # looking for others in every frame costs time that is not there
    sub.set_defaults(max_people=1, lifter=LiveSettings.lifter)


def live_settings(options: Options) -> LiveSettings:
    """What the options say of following.

    Raises:
        InputError: what cannot be.
    """
    if not 0 <= options.delay <= 30:
        raise InputError(f"A delay of {options.delay} frames is not possible.", "Give 0 to 30.", "setting-range")
    if not 0 <= options.settle <= 60:
        raise InputError(f"Settling for {options.settle:g} s is not possible.", "Give 0 to 60.", "setting-range")
    return LiveSettings(options.lifter, delay_frames=options.delay, settle_s=options.settle)


def _live(options: Options) -> None:
    from . import detect, lift, pipeline
    from .live import Live, follow, following_lift
    from .live_source import source_of

    settings, live = cli.capture_settings(options), live_settings(options)
    settings = replace(settings, lift=replace(settings.lift, lifter=options.take_lifter))
    pipeline.check_settings(settings)
    outputs = [Path(options.output)] if options.output else []
    cli._check_endings(outputs, (".npz",))
    cli._check_places(outputs, [Path(options.source)])
    source = source_of(options.source, options.growing, settings.video)
    cli._fetch_model(settings, options)
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(_StopsBySignal(stop))
        detector = stack.enter_context(detect.load(settings.detect))
        lifter = lift.load(following_lift(settings, live))
        following = Live(detector, lifter, settings, live)
        teller = stack.enter_context(_Teller(options, following))
        began: float | None = None
        for moment in follow(following, source, stop):
            if following.recording is None and outputs:
                following.record(settle=False)
            teller(moment)
            began = moment.at_s if began is None else began
            if options.seconds is not None and moment.at_s - began >= options.seconds:
                break
    if outputs:
        _write(following, outputs[0], options)


def _write(following: Live, out: Path, options: Options) -> None:
    from .formats import take as take_file

    recording = following.stop_recording()
    if recording is None:
        raise InputError("Nothing came from the source, so nothing was recorded.", "Choose another one.", "no-frames")
    take = following.take(recording, out.stem)
    cli._make_folder(out)
    take_file.save(take, out)
    cli._tell_result(options, take, [out])


class _StopsBySignal:
    """Ctrl-C ends following, not the program: what was recorded is still written. A second one ends it."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        self._before: Any = signal.signal(signal.SIGINT, self._on_signal)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._stop.set()


class _Teller:
    """Poses as JSON lines, or one line on the terminal that says how it goes."""

    def __init__(self, options: Options, following: Live) -> None:
        self._options, self._following, self._begun = options, following, False

    def __enter__(self) -> _Teller:
        return self

    def __exit__(self, *_: object) -> None:
        if self._begun and not self._options.json and sys.stderr.isatty():
            print(file=sys.stderr)

    def __call__(self, moment: Moment) -> None:
        if self._options.json:
            if not self._begun:
                skeleton = self._following.lifter.skeleton
                cli._say_json({"skeleton": {"joints": list(skeleton.joints), "parents": list(skeleton.parents)}})
            cli._say_json({"pose": self._pose(moment)})
        elif not self._options.quiet and sys.stderr.isatty():
            state = "nobody in view" if moment.pose is None or not moment.pose.is_seen else "following"
            print(
                f"\r{state:15} {moment.frames_per_s:5.1f} frames/s  {1e3 * moment.latency_s:4.0f} ms behind  "
                f"{moment.dropped} dropped ",
                end="",
                file=sys.stderr,
                flush=True,
            )
        self._begun = True

    def _pose(self, moment: Moment) -> dict[str, Any]:
        told: dict[str, Any] = {
            "latency_s": round(moment.latency_s, 4),
            "frames_per_s": round(moment.frames_per_s, 2),
            "dropped": moment.dropped,
        }
        pose = moment.pose
        if pose is None:
            return {"seen": False, **told}
        return {"time_s": round(pose.time_s, 4), "seen": pose.is_seen, "settled": pose.settled, **told} | _places(
            pose, self._following
        )


def _places(pose: LivePose, following: Live) -> dict[str, Any]:
    """Joints in the world, metres, and how well each is seen."""
    from . import bones

    joints = bones.compose(following.lifter.skeleton, pose.directions, pose.lengths, pose.root)
    return {
        "joints_m": [[round(float(value), 4) for value in joint] for joint in joints],
        "confidence": [round(float(value), 2) for value in pose.confidence],
    }
