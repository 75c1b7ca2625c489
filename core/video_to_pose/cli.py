# SPDX-License-Identifier: GPL-3.0-or-later
"""``video-to-pose``: the door for people and scripts. Each command wraps one function of the core."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .errors import Cancelled, InputError, SetupError, VideoToPoseError
from .settings import (
    BVH_CHANNELS,
    BVH_PROFILES,
    FBX_PROFILES,
    REFERENCE_FRAMES,
    SMOOTHED_PARTS,
    SMOOTHINGS,
    CameraSettings,
    CaptureSettings,
    DetectSettings,
    ExportSettings,
    LiftSettings,
    MotionSettings,
    RetargetSettings,
    TrackSettings,
    VideoSettings,
)

Options = argparse.Namespace

VIDEO_ENDINGS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".wmv")
BLENDER_ENDINGS = (".fbx", ".blend", ".glb")
WRITTEN = (".bvh", ".npz", ".csv", ".trc", *BLENDER_ENDINGS)
DEFAULT_MODEL = "mediapipe-pose-full"


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit code."""
    return answer(_parser(), sys.argv[1:] if arguments is None else arguments)


def answer(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Run what the parsed options' ``run`` says and return the exit code.

    0 done, 1 a fault, 2 the user can mend it, 3 the installation lacks something, 4 some clips of a batch failed,
    130 stopped.
    """
    _speak_utf8()
    try:
        options = parser.parse_args(arguments)
    except InputError as wrong:
        return _fail(Options(json="--json" in arguments), wrong)
    logging.getLogger(__package__).handlers = [_WarningTeller(options)]
    try:
        error = _attempt(lambda: options.run(options), options)
    except KeyboardInterrupt:
        error = Cancelled("Stopped; nothing half-written is left.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return _fail(options, error) if error else 0


def _attempt(job: Callable[[], None], options: Options) -> VideoToPoseError | None:
    """Do a job and say in words what went wrong. A fault of ours is told like an error; --debug shows all of it."""
    try:
        job()
    except BrokenPipeError:
        raise
    except VideoToPoseError as error:
        told = error
    except Exception as error:
        told = VideoToPoseError(
            f"The program stopped at a fault of its own: {type(error).__name__}: {error}.",
            "Look at `video-to-pose doctor`; if all is well there, report what --debug prints.",
        )
        told.__cause__ = error
    else:
        return None
    if options.debug:
        traceback.print_exception(told)
    return told


class _WarningTeller(logging.Handler):
    """What the core warns of, as the other messages of a command."""

    def __init__(self, options: Options) -> None:
        super().__init__(logging.WARNING)
        self.options = options

    def emit(self, record: logging.LogRecord) -> None:
        if self.options.json:
            _say_json({"warning": record.getMessage()})
        else:
            print(f"warning: {record.getMessage()}", file=sys.stderr)


def _speak_utf8() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _fail(options: Options, error: VideoToPoseError) -> int:
    if getattr(options, "json", False):
        _say_json({"failed": {"message": error.message, "hint": error.hint, "code": error.code}})
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def _say_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


# --- the commands -----------------------------------------------------------------------------------------------


def _convert(options: Options) -> None:
    from . import pipeline, video

    source, settings = Path(options.video), capture_settings(options)
    outputs = [Path(out) for out in options.output]
    previews = [Path(options.preview)] if options.preview else []
    _check_endings(outputs, WRITTEN)
    _check_endings(previews, (".mp4",))
    _check_places([*outputs, *previews], [source])
    if options.all_people:
        from . import cli_people

        cli_people.convert_everybody(source, settings, outputs, previews, options)
        return
    _check_blender((out.suffix for out in outputs), options)
    video.probe(source)  # a missing or broken video is told before a model is fetched
    _fetch_model(settings, options)
    with _Bar(options) as bar:
        take = pipeline.capture(source, settings, bar.update)
    seconds = dict(take.provenance["seconds"])
    began = time.perf_counter()
    for out in outputs:
        _write(take, out, options)
    seconds["write"] = time.perf_counter() - began
    for out in previews:
        _write_preview(take, source, out, options)
    _tell_result(options, take, [*outputs, *previews], seconds)


def _detect(options: Options) -> None:
    from . import cli_formats, pipeline, video

    out, settings = Path(options.output), capture_settings(options)
    _check_endings([out], cli_formats.KEYPOINT_ENDINGS)
    _check_places([out], [Path(options.video)])
    info = video.probe(options.video)
    _fetch_model(settings, options)
    with _Bar(options) as bar:
        track = pipeline.find_keypoints(info, settings, bar.update, {})
    _make_folder(out)
    cli_formats.write_keypoints(track, out)
    _tell(options, f"{out}: {track.frame_count} frames of {len(track.names)} keypoints", {"outputs": [str(out)]})


def _lift(options: Options) -> None:
    from . import cli_formats

    out, settings = Path(options.output), capture_settings(options)
    _check_endings([out], WRITTEN)
    _check_places([out], [Path(options.keypoints)])
    _check_blender([out.suffix], options)
    take = cli_formats.lifted(options, settings)
    _write(take, out, options)
    _tell_result(options, take, [out])


def _retarget(options: Options) -> None:
    from .formats import take as take_format

    out = Path(options.output)
    _check_endings([out], tuple(ending for ending in WRITTEN if ending != ".npz"))
    _check_places([out], [Path(options.take)])
    take = take_format.load(options.take)
    _write(take, out, options)
    _tell_result(options, take, [out])


def _preview(options: Options) -> None:
    from .formats import take as take_format

    out, source = Path(options.output), Path(options.video)
    _check_endings([out], (".mp4",))
    _check_places([out], [source, Path(options.take)])
    take = take_format.load(options.take)
    _write_preview(take, source, out, options)
    _tell_result(options, take, [out])


def _weights(options: Options) -> None:
    from . import weights

    if options.action == "list":
        for status in weights.list_weights():
            entry, where = status.entry, str(status.path) if status.path else "not fetched"
            facts: dict[str, Any] = {
                "name": entry.name,
                "kind": entry.kind,
                "licence": entry.licence,
                "made": entry.made,
                "notice": entry.notice,
            }
            facts |= {"url": entry.url, "sha256": list(entry.sha256), "bytes": entry.size_bytes}
            size = f"{entry.size_bytes / 1e6:5.1f}" if entry.size_bytes else "    ?"
            line = f"{entry.name:22} {size} MB  {entry.label} ({entry.licence}): {where}"
            _tell(options, line, {**facts, "path": str(status.path) if status.path else None})
        return
    here = [status.entry.name for status in weights.list_weights() if status.path]
    for name in options.names or (here if options.action == "verify" else [DEFAULT_MODEL]):
        if options.action == "fetch":
            path = weights.fetch(name, _teller(options))
            _tell(options, f"{name}: {path}", {"name": name, "path": str(path)})
        elif weights.verify(name):
            _tell(options, f"{name}: as it should be", {"name": name, "ok": True})
        else:
            kept = weights.catalogue()[name].kind == "lifter"
            mend = "Install again." if kept else f"Run: video-to-pose weights fetch {name}"
            raise InputError(f"{name} is missing or damaged.", mend, "weights-damaged")


def _doctor(options: Options) -> None:
    from . import doctor

    checks = doctor.examine()
    if options.json:
        _say_json({"can_convert": doctor.can_convert(checks), "checks": [asdict(check) for check in checks]})
    else:
        print(doctor.report(checks))
    if not doctor.can_convert(checks):
        raise SetupError("Converting a video does not work here yet.", "Mend what is marked MEND above.", "doctor")


def _check_files(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise InputError(f"There is no file {path}.", "Check the path.", "file-missing")


# --- shared steps -----------------------------------------------------------------------------------------------


def _check_endings(outputs: Iterable[Path], endings: tuple[str, ...]) -> None:
    for out in outputs:
        if out.suffix.lower() not in endings:
            raise InputError(
                f"{out.name} has an ending that cannot be written here.",
                f"Use one of: {' '.join(endings)}.",
                "output-ending",
            )


def _check_places(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse before the long work what could not be written after it, and what would be written over.

    Nothing is made here: a folder that is missing is made when there is something to put into it.
    """
    taken = {path.resolve(): f"{path} is read here and must not be written over." for path in inputs}
    for out in outputs:
        try:
            place = out.resolve()
            if place.is_dir():
                raise InputError(f"{out} is a folder.", "Give a file name.", "output-unwritable")
            with tempfile.TemporaryFile(dir=next(folder for folder in place.parents if folder.exists())):
                pass
        except OSError as error:
            raise InputError(
                f"{out} cannot be written: {error.strerror}.", "Choose a folder you may write to.", "output-unwritable"
            ) from error
        if place in taken:
            raise InputError(taken[place], "Give every output a name of its own.", "output-taken")
        taken[place] = f"{out} is to be written twice."


def _check_blender(endings: Iterable[str], options: Options) -> None:
    """Look for Blender before the long work, where an ending needs it."""
    if any(ending.lower() in BLENDER_ENDINGS for ending in endings):
        from . import blender

        blender.find(options.blender)


def _make_folder(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{out.parent} cannot be made: {error.strerror}.", "Choose a folder you may write to.", "output-unwritable"
        ) from error


def _fetch_model(settings: CaptureSettings, options: Options) -> None:
    """Fetch the detector's model when it is not here yet, saying so."""
    from . import detect, pipeline

    pipeline.check_settings(settings)
    detect.fetch_models(settings.detect, _teller(options))


def _teller(options: Options) -> Callable[[str], None] | None:
    return None if options.quiet else lambda line: print(line, file=sys.stderr)


def _write(take: Any, out: Path, options: Options) -> None:
    """Write a Take as the ending says."""
    from . import cli_formats
    from .formats import take as take_format

    _make_folder(out)
    if out.suffix.lower() == ".npz":
        take_format.save(take, out)
    elif out.suffix.lower() == ".bvh":
        _write_bvh(take, out, options)
    elif out.suffix.lower() in cli_formats.JOINT_ENDINGS:
        cli_formats.write_joints(take, out)
    else:
        _through_blender(take, out, options)


def _write_preview(take: Any, source: Path, out: Path, options: Options) -> None:
    from .preview import write_preview

    _make_folder(out)
    with _Bar(options) as bar:
        write_preview(take, source, out, bar.update)


def _write_bvh(take: Any, out: Path, options: Options) -> None:
    from . import retarget
    from .formats import bvh

    rig = retarget.rig_from_motion(take.motion)
    animation = retarget.solve(take.motion, rig, retarget.BONE_MAP, retarget_settings(options))
    export = export_settings(options)
    bvh.write(
        animation,
        out,
        profile=bvh.BVH_PROFILES[export.bvh_profile],
        channels=export.bvh_channels,
        reference_frame=export.reference_frame,
    )


def _through_blender(take: Any, out: Path, options: Options) -> None:
    from . import blender

    blender.write(take, [out], blender.find(options.blender), retarget_settings(options), export_settings(options))


def _tell(options: Options, line: str, value: dict[str, Any]) -> None:
    if options.json:
        _say_json(value)
    elif not options.quiet:
        print(line)


def _height(facts: dict[str, Any]) -> str:
    spread = facts["height_spread_m"]
    told = f"about {facts['height_m']:.2f} m"
    return told if spread is None else f"{told} (frames differ by {spread:.2f} m; --height tells it)"


def _tell_result(options: Options, take: Any, outputs: list[Path], seconds: dict[str, float] | None = None) -> None:
    """What was found and written, and for a whole conversion how long each stage took."""
    from . import summary

    facts = summary.describe(take)
    if options.json:
        times = {"stage_seconds": {stage: round(value, 4) for stage, value in seconds.items()}} if seconds else {}
        _say_json({"result": {**facts, "outputs": [str(out) for out in outputs], **times}})
        return
    if options.quiet:
        return
    print(
        f"{facts['frames']} frames at {facts['frame_rate']:g} frames/s; "
        f"the person is {_height(facts)} tall; "
        f"mean confidence {100 * facts['mean_confidence']:.0f} %."
    )
    if seconds:
        total = sum(seconds.values())
        working = total - seconds.get("load", 0.0)
        share = ", ".join(
            f"{stage} {100 * value / working:.0f} %" for stage, value in seconds.items() if stage != "load"
        )
        print(f"{facts['frames'] / working:.1f} frames/s after {seconds.get('load', 0):.1f} s of loading ({share}).")
    if facts["check_these_s"]:
        spans = ", ".join(f"{a:g}-{b:g} s" for a, b in facts["check_these_s"])
        print(f"Check these: {spans} (the detector was unsure).")
    for out in outputs:
        print(f"wrote {out}")


class _Bar:
    """Progress as a bar on a terminal, JSON lines with --json, else nothing."""

    def __init__(self, options: Options, title: str = "") -> None:
        self.options, self.title, self.stage = options, title, ""
        self.bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def update(self, progress: Any) -> None:
        """Take a `pipeline.Progress`."""
        if self.options.json:
            _say_json({"progress": asdict(progress)})
        elif sys.stderr.isatty() and not self.options.quiet and progress.total:
            from tqdm import tqdm

            if self.bar is None or progress.stage != self.stage:
                self._close()
                name = f"{self.title} {progress.stage}".strip()
                self.bar = tqdm(total=progress.total, desc=name, unit="frame", leave=False)
                self.stage = progress.stage
            self.bar.update(progress.done - self.bar.n)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def __exit__(self, *_: object) -> None:
        self._close()


# --- options ----------------------------------------------------------------------------------------------------

STAGE_OPTIONS: dict[tuple[type, str], str] = {
    (VideoSettings, "start_s"): "--start",
    (VideoSettings, "end_s"): "--end",
    (DetectSettings, "detector"): "--detector",
    (DetectSettings, "variant"): "--variant",
    (DetectSettings, "model_path"): "--model",
    (DetectSettings, "min_score"): "--min-score",
    (DetectSettings, "max_people"): "--max-people",
    (DetectSettings, "card"): "--detector-card",
    (DetectSettings, "device"): "--device",
    (DetectSettings, "look_every"): "--look-every",
    (TrackSettings, "max_gap_s"): "--max-gap",
    (TrackSettings, "person"): "--person",
    (TrackSettings, "at"): "--at",
    (TrackSettings, "mend_sides"): "--mend-sides",
    (LiftSettings, "lifter"): "--lifter",
    (LiftSettings, "model_path"): "--lifter-model",
    (LiftSettings, "device"): "--device",
    (LiftSettings, "flip"): "--flip",
    (CameraSettings, "fov_degrees"): "--fov",
    (CameraSettings, "assumed_fov_degrees"): "--assumed-fov",
    (CameraSettings, "height_m"): "--height",
    (MotionSettings, "smoothing_cutoff_hz"): "--smoothing",
    (MotionSettings, "root_depth_cutoff_hz"): "--depth-smoothing",
    (MotionSettings, "contact_speed_m_s"): "--contact-speed",
    (MotionSettings, "contact_height_m"): "--contact-height",
    (MotionSettings, "flat_floor"): "--flat-floor",
    (MotionSettings, "mend_glitches"): "--mend-glitches",
    (MotionSettings, "even_sides"): "--even-sides",
    (MotionSettings, "plant_feet"): "--plant-feet",
    (RetargetSettings, "root_motion"): "--root-motion",
    (RetargetSettings, "scale"): "--scale",
    (RetargetSettings, "start"): "--place",
    (RetargetSettings, "facing"): "--facing",
    (RetargetSettings, "feet"): "--feet",
    (RetargetSettings, "smoothing"): "--rig-smoothing",
    (RetargetSettings, "smoothing_of_parts"): "--part-smoothing",
    (RetargetSettings, "repair"): "--repair",
    (RetargetSettings, "joint_limits"): "--joint-limits",
    (RetargetSettings, "limbs"): "--limbs",
    (RetargetSettings, "key_error_degrees"): "--key-error",
    (RetargetSettings, "key_error_centimetres"): "--key-distance",
    (ExportSettings, "fbx_profile"): "--fbx-profile",
    (ExportSettings, "bvh_profile"): "--bvh-profile",
    (ExportSettings, "bvh_channels"): "--bvh-channels",
    (ExportSettings, "reference_frame"): "--reference-frame",
}
"""Settings field -> command line option. A test keeps this table, the parser and `settings` together."""


def _dest(settings: type, field: str) -> str:
    return STAGE_OPTIONS[settings, field][2:].replace("-", "_")


def _from_options(settings: type, options: Options) -> Any:
    return settings(**{field: getattr(options, _dest(settings, field)) for s, field in STAGE_OPTIONS if s is settings})


def capture_settings(options: Options) -> CaptureSettings:
    """The settings of all stages that the options name; other stages keep their defaults."""
    stages = {
        "video": VideoSettings,
        "detect": DetectSettings,
        "track": TrackSettings,
        "lift": LiftSettings,
        "camera": CameraSettings,
        "motion": MotionSettings,
    }
    given = {
        stage: _from_options(settings, options)
        for stage, settings in stages.items()
        if all(hasattr(options, _dest(s, field)) for s, field in STAGE_OPTIONS if s is settings)
    }
    return CaptureSettings(**given)


def retarget_settings(options: Options) -> RetargetSettings:
    """How the motion is laid on the rig."""
    settings: RetargetSettings = _from_options(RetargetSettings, options)
    return settings


def export_settings(options: Options) -> ExportSettings:
    """For whom the files are written."""
    settings: ExportSettings = _from_options(ExportSettings, options)
    return settings


class _Parser(argparse.ArgumentParser):
    """argparse whose errors read like all the others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:].rstrip('.')}.", f"See: {self.prog} --help", "usage")


class _PartSmoothing(argparse.Action):
    """``arms=light`` and the like, gathered as pairs."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        part, _, preset = str(values).partition("=")
        if part not in SMOOTHED_PARTS or preset not in SMOOTHINGS:
            parser.error(
                f"{values} is not one of {', '.join(SMOOTHED_PARTS)}, then =, then one of {', '.join(SMOOTHINGS)}"
            )
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), (part, preset)))


def _add_device(group: argparse._ArgumentGroup) -> None:
    with contextlib.suppress(argparse.ArgumentError):  # a command that detects and lifts has it once, for both
        group.add_argument(
            "--device",
            default=LiftSettings.device,
            help="auto, cpu, cuda, tensorrt, directml or coreml; cuda,cpu falls back",
        )


def _add_detect_options(parser: argparse.ArgumentParser) -> None:
    from . import cli_people

    group = parser.add_argument_group("video and detection")
    group.add_argument("--start", type=float, default=VideoSettings.start_s, metavar="S", help="begin at this second")
    group.add_argument("--end", type=float, default=VideoSettings.end_s, metavar="S", help="end at this second")
    group.add_argument("--detector", default=DetectSettings.detector, help="which detector (default: %(default)s)")
    group.add_argument("--variant", default=DetectSettings.variant, help="lite, full or heavy (default: %(default)s)")
    group.add_argument(
        "--model", type=Path, default=DetectSettings.model_path, metavar="FILE", help="your own model file"
    )
    group.add_argument(
        "--detector-card",
        type=Path,
        default=DetectSettings.card,
        metavar="TOML",
        help="card of your own ONNX detector, in place of --detector; see docs/detectors.md",
    )
    _add_device(group)
    group.add_argument(
        "--look-every",
        type=int,
        default=DetectSettings.look_every,
        metavar="N",
        help="with rtmpose and the like: look for people in every Nth frame only; 3 to 5 is much faster",
    )
    group.add_argument("--min-score", type=float, default=DetectSettings.min_score, help="below it nobody is found")
    group.add_argument(
        "--max-people",
        type=int,
        default=DetectSettings.max_people,
        help="1 is fastest; 2 keeps to the actor beside a bystander",
    )
    group.add_argument(
        "--max-gap", type=float, default=TrackSettings.max_gap_s, metavar="S", help="longest gap that is filled"
    )
    cli_people.add_options(group)


def _add_solve_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("3D")
    group.add_argument("--lifter", default=LiftSettings.lifter, help="see: video-to-pose models (default: %(default)s)")
    group.add_argument(
        "--lifter-model", type=Path, default=LiftSettings.model_path, metavar="FILE", help="your own ONNX lifter"
    )
    _add_device(group)
    group.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        default=LiftSettings.flip,
        help="average with the mirrored picture",
    )
    add_motion_options(group)


def add_motion_options(group: argparse._ArgumentGroup) -> None:
    """Options of what comes after the lifter."""
    group.add_argument(
        "--fov", type=float, default=CameraSettings.fov_degrees, metavar="DEG", help="field of view, longer side"
    )
    group.add_argument(
        "--assumed-fov",
        type=float,
        default=CameraSettings.assumed_fov_degrees,
        metavar="DEG",
        help="used where neither --fov nor the file tells",
    )
    group.add_argument(
        "--height", type=float, default=CameraSettings.height_m, metavar="M", help="the person's height in metres"
    )
    group.add_argument(
        "--smoothing",
        type=float,
        default=MotionSettings.smoothing_cutoff_hz,
        metavar="HZ",
        help="cut-off, 0 turns it off",
    )
    group.add_argument(
        "--depth-smoothing",
        type=float,
        default=MotionSettings.root_depth_cutoff_hz,
        metavar="HZ",
        help="of the root's depth",
    )
    group.add_argument(
        "--contact-speed", type=float, default=MotionSettings.contact_speed_m_s, metavar="M/S", help="planted below"
    )
    group.add_argument(
        "--contact-height", type=float, default=MotionSettings.contact_height_m, metavar="M", help="planted below"
    )
    group.add_argument(
        "--flat-floor",
        action=argparse.BooleanOptionalAction,
        default=MotionSettings.flat_floor,
        help="the floor is one plane; turn it off for stairs and ladders",
    )
    group.add_argument(
        "--mend-glitches",
        action=argparse.BooleanOptionalAction,
        default=MotionSettings.mend_glitches,
        help="mend bones that leap away for a moment and exchanged sides",
    )
    group.add_argument(
        "--even-sides",
        action=argparse.BooleanOptionalAction,
        default=MotionSettings.even_sides,
        help="left and right limbs are equally long; turn it off for somebody whose are not",
    )
    group.add_argument(
        "--plant-feet",
        action=argparse.BooleanOptionalAction,
        default=MotionSettings.plant_feet,
        help="hold feet still while they are in contact with the floor",
    )


def _add_rig_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rig and files")
    group.add_argument(
        "--root-motion",
        choices=("hips", "root", "object", "in_place"),
        default=RetargetSettings.root_motion,
        help="what carries the path: hips, the rig's root bone, the armature object (not in .bvh), or nothing",
    )
    group.add_argument("--scale", choices=("leg_length", "metres"), default=RetargetSettings.scale)
    group.add_argument(
        "--place", choices=("rig", "world"), default=RetargetSettings.start, help="start at the origin, or as filmed"
    )
    group.add_argument(
        "--facing", choices=("filmed", "front"), default=RetargetSettings.facing, help="front: start facing the front"
    )
    group.add_argument(
        "--feet",
        choices=("auto", "always", "grounded", "never"),
        default=RetargetSettings.feet,
        help="stay put in contact; one always down; on the floor but sliding; left alone (default: %(default)s)",
    )
    group.add_argument(
        "--rig-smoothing",
        choices=SMOOTHINGS,
        default=RetargetSettings.smoothing,
        help="in rotation space, beyond the capture's (default: %(default)s)",
    )
    group.add_argument(
        "--part-smoothing",
        action=_PartSmoothing,
        default=RetargetSettings.smoothing_of_parts,
        metavar="PART=PRESET",
        help=f"a smoothing for one of {', '.join(SMOOTHED_PARTS)}; may be given again",
    )
    group.add_argument(
        "--repair",
        action=argparse.BooleanOptionalAction,
        default=RetargetSettings.repair,
        help="mend glitches and exchanged sides",
    )
    group.add_argument(
        "--joint-limits",
        action=argparse.BooleanOptionalAction,
        default=RetargetSettings.joint_limits,
        help="bend no joint further than people",
    )
    group.add_argument(
        "--limbs", choices=("fk", "ik"), default=RetargetSettings.limbs, help="what leads on a control rig"
    )
    group.add_argument(
        "--key-error",
        type=float,
        default=RetargetSettings.key_error_degrees,
        metavar="DEG",
        help="drop keys within this error, in Blender's files; 0 keeps all",
    )
    group.add_argument(
        "--key-distance",
        type=float,
        default=RetargetSettings.key_error_centimetres,
        metavar="CM",
        help="and no bone's end moves further than this",
    )
    group.add_argument(
        "--fbx-profile",
        choices=FBX_PROFILES,
        default=ExportSettings.fbx_profile,
        help="for whom an .fbx is: unreal is animation for a skeleton that is there already, unreal-mesh brings a mesh "
        "that makes one (default: %(default)s)",
    )
    group.add_argument(
        "--bvh-profile",
        choices=BVH_PROFILES,
        default=ExportSettings.bvh_profile,
        help="whose names and joints a .bvh has (default: %(default)s)",
    )
    group.add_argument(
        "--bvh-channels",
        choices=BVH_CHANNELS,
        default=ExportSettings.bvh_channels,
        help="order of a .bvh's rotation channels (default: the profile's)",
    )
    group.add_argument(
        "--reference-frame",
        choices=REFERENCE_FRAMES,
        default=ExportSettings.reference_frame,
        help="rest puts the rest pose before the first frame, in every format (default: the profile's; "
        "motionbuilder and cmu have it)",
    )


def add_blender_option(parser: argparse.ArgumentParser) -> None:
    """Which Blender writes what only Blender can write."""
    parser.add_argument("--blender", metavar="PROGRAM", help="Blender, or a Python with bpy, for .fbx, .blend and .glb")


def _parser() -> argparse.ArgumentParser:
    from . import cli_batch, cli_formats, cli_live, cli_solve, cli_training

    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON lines on standard output")
    common.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    common.add_argument("--debug", action="store_true", help="show where an error came from")

    parser = _Parser(prog="video-to-pose", description="Motion capture from an ordinary video.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Options], None], about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[common], help=about, description=about)
        sub.set_defaults(run=run)
        return sub

    sub = command("convert", _convert, "turn a video into animation")
    sub.add_argument("video")
    sub.add_argument("-o", "--output", action="append", required=True, help=f"{' '.join(WRITTEN)}; may be given again")
    sub.add_argument("--preview", metavar="MP4", help="also write a picture-beside-skeleton video")
    sub.add_argument(
        "--all-people", action="store_true", help="everybody who is followed: OUT.1.bvh is the main person's, and so on"
    )
    _add_detect_options(sub)
    _add_solve_options(sub)
    _add_rig_options(sub)
    add_blender_option(sub)

    cli_batch.add_command(command)
    cli_live.add_command(command)

    sub = command("detect", _detect, "find the 2D keypoints of one person")
    sub.add_argument("video")
    sub.add_argument("-o", "--output", required=True, help="keypoints: .npz, .json (COCO) or .csv")
    _add_detect_options(sub)

    sub = command("lift", _lift, "turn keypoints into a Take or animation")
    sub.add_argument("keypoints", help="from video-to-pose detect, or another program's; see docs/formats.md")
    sub.add_argument("-o", "--output", required=True, help=".npz (Take), .bvh, .csv, .trc, .fbx, .blend or .glb")
    cli_formats.add_options(sub)
    _add_solve_options(sub)
    _add_rig_options(sub)
    add_blender_option(sub)

    cli_solve.add_command(command)

    sub = command("retarget", _retarget, "write a Take as animation")
    sub.add_argument("take")
    sub.add_argument("-o", "--output", required=True, help=".bvh, .csv, .trc, .fbx, .blend or .glb")
    _add_rig_options(sub)
    add_blender_option(sub)

    sub = command("preview", _preview, "draw a Take beside its video")
    sub.add_argument("take")
    sub.add_argument("--video", required=True)
    sub.add_argument("-o", "--output", required=True, help=".mp4")

    sub = command("weights", _weights, "list, fetch or verify model files")
    sub.add_argument("action", choices=("list", "fetch", "verify"))
    sub.add_argument("names", nargs="*", help=f"default: fetch {DEFAULT_MODEL}, verify all that are here")
    command("doctor", _doctor, "say what works here and how to mend what does not")

    cli_training.add_commands(command)
    return parser
