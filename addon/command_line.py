# SPDX-License-Identifier: GPL-3.0-or-later
"""What the work without a window is told to do: the options of ``headless.py`` and ``blender --command video_to_pose``.

The options of a clip are the core's own; a character's are added here. Only what is about to be done is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import farm
from .core.video_to_pose import batch, cli, cli_batch
from .core.video_to_pose.errors import InputError, VideoToPoseError

ENDINGS = (".fbx", ".bvh", ".glb", ".blend", ".npz")
PROGRAM = "blender -b [FILE] --python headless.py --"
EXIT_CODES = (
    "Exit codes: 0 all done, 1 a fault of the program, 2 something you can mend, 3 the installation lacks something, "
    "4 some clips of a batch failed, 130 stopped."
)


def main(arguments: list[str]) -> int:
    """Do what the command line says and return the exit code."""
    with _ctrl_c_heard():
        return cli.answer(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = cli._Parser(prog=PROGRAM, description="Motion capture from videos, without a window.", epilog=EXIT_CODES)
    parser.set_defaults(run=_run)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--video", type=Path, help="video to capture from")
    source.add_argument("--take", type=Path, help="Take (.npz) that was captured before")
    source.add_argument(
        "--batch", metavar="SOURCE", help="many: a folder, or a .csv or .json table with a column video"
    )
    source.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        action="append",
        default=[],
        metavar="OUT",
        help=f"file to write: {' '.join(ENDINGS)}; may be given again. With --batch the folder for results, "
        "report.json and log.jsonl",
    )
    parser.add_argument("--fbx", type=Path, metavar="OUT", help="write the animated armature as FBX")
    parser.add_argument("--bvh", type=Path, metavar="OUT", help="write the animated armature as BVH")
    parser.add_argument("--glb", type=Path, metavar="OUT", help="write the animated armature as binary glTF")
    parser.add_argument("--blend", type=Path, metavar="OUT", help="write the scene as .blend")
    parser.add_argument("--save-take", type=Path, metavar="OUT", help="keep the Take (.npz) of the video")
    parser.add_argument("--engine-python", default="", metavar="PATH", help="Python with video-to-pose installed")
    parser.add_argument("--json", action="store_true", help="JSON lines on standard output; each begins with {")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--debug", action="store_true", help="show where an error came from")
    group = parser.add_argument_group("many clips (--batch)")
    cli_batch.add_batch_options(group, "fbx,npz")
    group.add_argument("--logs", type=Path, metavar="FOLDER", help="what Blender printed, a file a clip")
    add_clip_options(parser)
    return parser


def add_clip_options(parser: argparse.ArgumentParser) -> None:
    """The core's options of a clip, and the character's; in a manifest they are columns."""
    group = parser.add_argument_group("character")
    group.add_argument(
        "--armature-file",
        "--file",
        type=Path,
        metavar="FILE",
        help="file with the character: a .blend, which is opened, or .fbx, .bvh, .glb",
    )
    group.add_argument(
        "--armature",
        metavar="NAME",
        help="armature to animate; without it the one of --armature-file, or else a new one is made",
    )
    group.add_argument("--bone-map", type=Path, metavar="JSON", help="which bone plays which part, as saved in Blender")
    group.add_argument(
        "--camera",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="add the camera that filmed, with the video behind",
    )
    group.add_argument("--scene", type=Path, help=argparse.SUPPRESS)  # of a batch begun in an open file
    cli._add_detect_options(parser)
    cli._add_solve_options(parser)
    cli._add_rig_options(parser)


KIND = cli_batch.Kind(add_clip_options, ENDINGS, PROGRAM)


def _run(options: argparse.Namespace) -> None:
    if options.serve:
        farm.serve(options)
    files = [*options.output, options.save_take, options.bvh, options.fbx, options.glb, options.blend]
    outputs = [out.absolute() for out in files if out is not None]
    if options.batch is None:
        with cli_batch.stopped_by_a_farm():
            _convert(options, outputs)
        return
    if len(options.output) != 1 or len(outputs) != 1:
        raise InputError(
            "A batch has one folder for its results.",
            "Give it with -o, and what is to be written with --formats.",
            "usage",
        )
    if options.armature_file is not None:
        options.armature_file = options.armature_file.absolute()
    else:
        options.scene = _open_file()
    farm.run(options, outputs[0], KIND)


def _open_file() -> Path | None:
    """The .blend file that Blender was started with."""
    bpy = sys.modules.get("bpy")
    return Path(bpy.data.filepath) if bpy is not None and bpy.data.filepath else None


def _convert(options: argparse.Namespace, outputs: list[Path]) -> None:
    """One clip, in this process."""
    source = (options.video or options.take).absolute()
    if options.take and source.suffix.lower() != ".npz":
        raise InputError(f"{source} is not a Take.", "A Take is an .npz file that was captured before.", "take")
    cli._check_endings(outputs, ENDINGS)
    cli._check_places(outputs, [source])
    of_clip = {action.dest: getattr(options, action.dest) for action in KIND.parser()._actions}
    name = " | ".join(map(str, (source, *outputs)))  # of this very job: two of them never meet
    clip = batch.Clip(name, str(source), tuple(map(str, outputs)), of_clip)
    batch.clear_unfinished(clip)
    try:
        with batch.outputs_whole(clip) as unfinished:
            tell = _Progress(options).tell
            facts = farm.conversion().convert(replace(clip, outputs=unfinished), tell, options.engine_python)
    except VideoToPoseError as error:
        for note in filter(None, getattr(error, "__notes__", ())):
            print(note, file=sys.stderr)
        raise
    except Exception:
        if not options.debug:  # a fault of ours, and nobody may be there to ask for it
            traceback.print_exc()
        raise
    _tell(options, outputs, facts)


def _tell(options: argparse.Namespace, outputs: list[Path], facts: dict[str, Any]) -> None:
    if options.json:
        cli._say_json({"result": {**facts, "outputs": [str(out) for out in outputs]}})
    elif not options.quiet:
        print(f"{facts['action']}: {facts['frames']} frames on {facts['armature']}, {facts['bones']} bones keyed")
        for limb, (mean, worst) in sorted(facts["limb_errors_degrees"].items()):
            print(f"{limb.replace('_', ' ')}: {mean:.2f} degrees off the take on average, {worst:.2f} at worst")
        for out in outputs:
            print(f"wrote {out}")


class _Progress:
    """Progress as lines on stderr, a line a stage and one every tenth of a long one; or as JSON lines."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._said = options, ""

    def tell(self, event: batch.Event) -> None:
        """Take a progress event."""
        if self._options.json:
            cli._say_json({"progress": event})
        elif not self._options.quiet:
            line = event["stage"]
            if event["total"]:
                line += f" {min(100, event['done'] * 100 // event['total'] // 10 * 10)} %"
            if line != self._said:
                print(line, file=sys.stderr, flush=True)
                self._said = line


@contextlib.contextmanager
def _ctrl_c_heard() -> Iterator[None]:
    """Blender keeps Ctrl-C to itself in the background."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
