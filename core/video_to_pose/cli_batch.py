# SPDX-License-Identifier: GPL-3.0-or-later
"""``video-to-pose batch``: a folder of videos, or the videos a manifest names, on this machine or on a cluster.

A manifest is a CSV or JSON table of one clip a row. Its columns: ``video`` (from the manifest's folder), ``outputs``
(from the output folder; ``|`` between several in CSV), ``options`` (as on the command line); every other column is
named like an option of ``convert`` (``start``, ``height``, ``max-people``, …), and an empty cell leaves what the
command line says.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shlex
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from . import batch, cli
from .errors import ClipsFailed, InputError

Options = argparse.Namespace

MANIFEST_ENDINGS = (".csv", ".json")
CLIP_MEGABYTES = 1500
"""How much memory a clip takes at most; benchmarks/long_clip.py measures it."""
CLIP_CORES = 2
"""How many cores a clip keeps busy."""


@dataclass(frozen=True)
class Kind:
    """What a batch makes of its clips; `addon.command_line` has one of its own.

    Attributes:
        add_options: adds the options that a clip has to a parser; they are the manifest's columns.
        written: endings that can be written.
        program: for the hint which columns there are.
    """

    add_options: Callable[[argparse.ArgumentParser], None]
    written: tuple[str, ...]
    program: str

    def parser(self) -> argparse.ArgumentParser:
        """Of one clip's options."""
        parser = cli._Parser(prog=self.program, add_help=False, allow_abbrev=False)
        self.add_options(parser)
        return parser


def add_command(command: Callable[[str, Callable[[Options], None], str], argparse.ArgumentParser]) -> None:
    """Add the command to the parser.

    Args:
        command: (name, what runs it, what it is about) -> the parser of its options.
    """
    sub = command("batch", _batch, "convert every video of a folder or a manifest")
    sub.add_argument("source", help="a folder, or a manifest: a .csv or .json table with a column video")
    sub.add_argument("-o", "--output", required=True, help="folder for the results, report.json and log.jsonl")
    add_batch_options(sub, "bvh,npz")
    sub.add_argument(
        "--memory", type=float, metavar="GB", help="the most a clip's process may hold (default: its share of all)"
    )
    sub.add_argument("--scheduler", metavar="ADDRESS", help="work on this Dask cluster, e.g. tcp://farm:8786")
    _add_clip_options(sub)


def add_batch_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup, formats: str) -> None:
    """Options of a batch as a whole, wherever it works."""
    parser.add_argument("--formats", default=formats, help="endings, with commas between (default: %(default)s)")
    parser.add_argument("--recursive", action="store_true", help="the folder's folders too")
    parser.add_argument(
        "--resume",
        dest="again",
        action="store_false",
        default=False,
        help="keep what is done and unchanged since; the default",
    )
    parser.add_argument("--again", action="store_true", help="convert also what is done and unchanged since")
    parser.add_argument("--workers", type=int, metavar="N", help="clips at once (default: by cores and memory)")
    parser.add_argument(
        "--time-limit", type=float, metavar="S", help="stop a clip that takes longer than this, and go on with the rest"
    )


def _add_clip_options(parser: argparse.ArgumentParser) -> None:
    cli._add_detect_options(parser)
    cli._add_solve_options(parser)
    cli._add_rig_options(parser)
    cli.add_blender_option(parser)


CONVERT = Kind(_add_clip_options, cli.WRITTEN, "video-to-pose convert")


# --- the command ----------------------------------------------------------------------------------------------------


def _batch(options: Options) -> None:
    out = Path(options.output).absolute()
    clips = clips_of(Path(options.source), out, options, CONVERT)
    place = _place(options, len(clips))
    _check(clips, out, options)
    do(clips, convert_clip, place, out, options, sys.stdout)


def do(
    clips: Sequence[batch.Clip], work: batch.Work, place: batch.Place, out: Path, options: Options, says: TextIO
) -> None:
    """Do a batch, telling how it goes.

    Args:
        clips, work, place, out: as of `batch.run`; the folder is made.
        options: ``again``, ``json``, ``quiet`` and ``debug``.
        says: where a line a clip goes.

    Raises:
        ClipsFailed: some clips could not be done.
    """
    cli._make_folder(out / "report.json")
    with _Teller(options, len(clips), says) as teller, stopped_by_a_farm():
        outcomes = batch.run(clips, work, place, out, teller.tell, options.again)
    counts = Counter(outcome.outcome for outcome in outcomes)
    if bad := counts["failed"] + counts["fault"]:
        by_us = f", {counts['fault']} by a fault of the program" if counts["fault"] else ""
        look = f"See {out / 'report.json'}; the same command does only these again."
        raise ClipsFailed(f"{bad} of {len(outcomes)} clips failed{by_us}.", look, "batch-partial")


def convert_clip(clip: batch.Clip, tell: batch.Tell) -> dict[str, Any]:
    """`batch.Work`: what ``convert`` does with one video."""
    from . import pipeline, summary

    options = Options(**clip.options)
    settings = cli.capture_settings(options)

    def report(progress: pipeline.Progress) -> None:
        tell({"stage": progress.stage, "done": progress.done, "total": progress.total})

    take = pipeline.capture(Path(clip.video), settings, report)
    for out in clip.outputs:
        cli._write(take, Path(out), options)
    facts = summary.describe(take)
    return {**facts, "clip_seconds": facts.pop("seconds"), "stage_seconds": take.provenance["seconds"]}


def _place(options: Options, count: int) -> batch.Place:
    workers = check_workers(options, count)
    if options.memory is not None and not options.memory > 0:
        raise InputError(f"A memory of {options.memory:g} GB is not possible.", "Give more than 0.", "setting-range")
    if options.scheduler:
        from . import cluster

        if options.workers or options.memory:
            hint = "Leave them out: they are said when the cluster's workers are started."
            raise InputError("--workers and --memory are of this machine, not of a cluster.", hint, "usage")

        return cluster.on_cluster(options.scheduler, limit_s=options.time_limit)
    memory = physical_megabytes()
    bound = 1000 * options.memory if options.memory else memory and memory / workers
    return batch.here(workers, bound, options.time_limit)


def check_workers(options: Options, count: int) -> int:
    """How many clips are done at once.

    Raises:
        InputError: a number of workers or a time limit that cannot be.
    """
    if options.workers is not None and options.workers < 1:
        raise InputError(f"{options.workers} workers cannot work.", "Give --workers 1 or more.", "setting-range")
    if options.time_limit is not None and not options.time_limit > 0:
        raise InputError(f"A time limit of {options.time_limit:g} s is none.", "Give more than 0.", "setting-range")
    return min(options.workers or default_workers(os.cpu_count() or 1, physical_megabytes()), count)


def default_workers(cores: int, megabytes: float | None) -> int:
    """Clips at once that neither wait for cores nor for memory."""
    by_memory = int(megabytes // CLIP_MEGABYTES) if megabytes else cores
    return max(1, min(cores // CLIP_CORES, by_memory))


def physical_megabytes() -> float | None:
    """Memory of this machine, or of the container it is; None where that is not known."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    except (AttributeError, ValueError, OSError):
        return None
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            whole = min(whole, int(Path(place).read_text()) / 1e6)
        except (OSError, ValueError):  # none, or "max"
            continue
    return whole


def _check(clips: Sequence[batch.Clip], out: Path, options: Options) -> None:
    """Refuse before the long work what could not be done after it."""
    from . import pipeline

    report = [out / "report.json", out / "log.jsonl"]
    outputs = [Path(path) for clip in clips for path in clip.outputs]
    cli._check_places([*report, *outputs], {Path(clip.video) for clip in clips})
    models = {}
    for clip in clips:
        of_clip = Options(**clip.options)
        settings = cli.capture_settings(of_clip)
        try:
            pipeline.check_settings(settings)
            cli._check_blender((Path(path).suffix for path in clip.outputs), of_clip)
        except InputError as error:
            raise InputError(f"{clip.name}: {error.message}", error.hint, error.code) from error
        models[settings.detect] = settings
    if not options.scheduler:  # workers of a cluster see to their own models
        for settings in models.values():
            cli._fetch_model(settings, options)  # once, and not by several processes at the same time


@contextmanager
def stopped_by_a_farm() -> Iterator[None]:
    """SIGTERM, with which farms stop a job, is taken like Ctrl-C."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# --- which clips ----------------------------------------------------------------------------------------------------


def clips_of(source: Path, out: Path, options: Options, kind: Kind = CONVERT) -> list[batch.Clip]:
    """The clips of a folder or a manifest.

    Args:
        source: what is to be done.
        out: absolute path of the folder for outputs.
        options: what the command line says, of all clips.
        kind: what is made of them.

    Raises:
        InputError: as `folder_clips` and `manifest_clips`.
    """
    endings = [f".{ending.strip().lower().lstrip('.')}" for ending in options.formats.split(",")]
    cli._check_endings([Path(f"--formats {ending}") for ending in endings], kind.written)
    parser = kind.parser()
    of_clip = {action.dest: getattr(options, action.dest) for action in parser._actions}
    if source.suffix.lower() in MANIFEST_ENDINGS and not source.is_dir():
        return manifest_clips(source, out, endings, of_clip, kind)
    return folder_clips(source, out, endings, of_clip, options.recursive)


def folder_clips(
    folder: Path, out: Path, endings: Sequence[str], of_clip: Mapping[str, Any], recursive: bool
) -> list[batch.Clip]:
    """Every video of a folder.

    Raises:
        InputError: no such folder, or no video in it.
    """
    if not folder.is_dir():
        raise InputError(
            f"The folder {folder} does not exist.", "Give a folder with videos, or a .csv or .json.", "folder-missing"
        )
    folder = folder.absolute()
    found = folder.rglob("*") if recursive else folder.iterdir()
    videos = sorted(path for path in found if path.suffix.lower() in cli.VIDEO_ENDINGS and path.is_file())
    if not videos:
        endings_read = " ".join(cli.VIDEO_ENDINGS)
        raise InputError(f"There is no video in {folder}.", f"Endings read: {endings_read}.", "folder-empty")
    stems = Counter(path.with_suffix("") for path in videos)
    clips = []
    for path in videos:
        place = path.relative_to(folder)
        stem = place.with_suffix("") if stems[path.with_suffix("")] == 1 else place  # a.mp4 and a.mov stay apart
        outputs = tuple(str(out / f"{stem}{ending}") for ending in endings)
        clips.append(batch.Clip(place.as_posix(), str(path), outputs, of_clip))
    return clips


def manifest_clips(
    manifest: Path, out: Path, endings: Sequence[str], of_clip: Mapping[str, Any], kind: Kind
) -> list[batch.Clip]:
    """Every row of a manifest; files that it names lie where it lies.

    Raises:
        InputError: it cannot be read, or a row has no video or an option that there is not.
    """
    clips = []
    parser, beside = kind.parser(), manifest.absolute().parent
    for line, row in _rows(manifest):
        where = f"{manifest.name}, row {line}"
        values = {str(key).strip(): value for key, value in row.items() if key and not _is_empty(value)}
        name = str(values.pop("video", "")).strip()
        if not name:
            raise InputError(f"{where} names no video.", "Fill its column video.", "manifest")
        try:
            words = _words(values.pop("options", []))
            outputs = _listed(values.pop("outputs", []), "|")
            words += [word for column, value in values.items() for word in _as_option(column, value)]
            given = vars(parser.parse_args(words, Options(**of_clip)))
        except (InputError, ValueError) as error:
            said = error.message if isinstance(error, InputError) else f"{error}."
            hint = f"Columns are video, outputs, options, and the options of: {kind.program} --help"
            raise InputError(f"{where}: {said}", hint, "manifest") from error
        of_row = {key: value for key, value in given.items() if isinstance(value, Path) and value != of_clip[key]}
        given |= {key: beside / value for key, value in of_row.items()}
        label = f"{name} -> {outputs[0]}" if outputs else name  # a video may come several times
        outputs = outputs or [f"{Path(name).stem}{ending}" for ending in endings]
        cli._check_endings([Path(f"{where}: {path}") for path in outputs], kind.written)
        clips.append(batch.Clip(label, str(beside / name), tuple(str(out / path) for path in outputs), given))
    if not clips:
        raise InputError(f"{manifest} names no video.", "Give it a row for each.", "manifest")
    return clips


def _rows(manifest: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(number for people, row) of a CSV or JSON table."""
    hint = "Write a .csv with a header (video,outputs,…), or a .json list of objects; both in UTF-8."
    try:
        text = manifest.read_bytes().decode("utf-8-sig")
        if manifest.suffix.lower() == ".csv":
            header = text.partition("\n")[0]
            reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
            for row in reader:
                if None in row:
                    raise ValueError(f"line {reader.line_num} has more cells than the header")
                yield reader.line_num, row
            return
        content = json.loads(text)
        rows = content.get("clips") if isinstance(content, dict) else content
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("it is no list of objects")
        yield from enumerate(rows, start=1)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {manifest}.", "Check the path.", "file-missing") from error
    except OSError as error:
        raise InputError(f"{manifest} cannot be read: {error.strerror}.", "Check the path.", "manifest") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{manifest} is no manifest that can be read: {error}.", hint, "manifest") from error


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or (isinstance(value, str) and not value.strip())


def _words(value: Any) -> list[str]:
    """The ``options`` cell: one text as on a command line, a list of words, or an object of names and values."""
    if isinstance(value, Mapping):
        return [word for column, given in value.items() for word in _as_option(str(column), given)]
    return [str(word) for word in value] if isinstance(value, list) else shlex.split(str(value))


def _listed(value: Any, separator: str) -> list[str]:
    listed = value if isinstance(value, list) else str(value).split(separator)
    return [str(item).strip() for item in listed if str(item).strip()]


def _as_option(column: str, value: Any) -> list[str]:
    """A cell as words of a command line."""
    name = column.strip().lstrip("-").replace("_", "-")
    if isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in ("true", "false")):
        return [f"--{name}" if str(value).strip().lower() == "true" else f"--no-{name}"]
    values = value if isinstance(value, list) else [str(value).strip()]
    if len(values) > 1 and all(isinstance(item, int | float) for item in values):
        values = [",".join(map(str, values))]  # a moment: seconds and a pixel
    return [f"--{name}={item}" for item in values]


# --- what is said ---------------------------------------------------------------------------------------------------


class _Teller:
    """Events as lines, as JSON lines with --json, and as a bar on a terminal."""

    def __init__(self, options: Options, count: int, says: TextIO) -> None:
        self.options, self.says = options, says
        self.bar: Any = None
        if sys.stderr.isatty() and not options.quiet and not options.json:
            with suppress(ImportError):  # Blender's Python has no such thing
                from tqdm import tqdm

                self.bar = tqdm(total=count, unit="clip", leave=False)

    def __enter__(self) -> _Teller:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def tell(self, event: batch.Event) -> None:
        """Take a `batch.Event`."""
        kind = event["event"]
        if self.options.json:
            cli._say_json(event)
        elif kind in ("warning", "again"):
            why = event.get("warning") or f"{event['clip']} is begun again: {event['why']}."
            print(f"warning: {why}", file=sys.stderr)
        elif kind in ("done", "kept", "failed", "fault"):
            if self.bar is not None:
                self.bar.update()
            for warning in event.get("warnings", ()):
                print(f"warning: {event['clip']}: {warning}", file=sys.stderr)
            said = {"done": f"done in {event.get('seconds', 0):.1f} s", "kept": "done before and unchanged"}
            line = f"{event['clip']}: {said.get(kind) or event['error']}"
            if not self.options.quiet:
                self._print(line)
            if self.options.debug and event.get("details"):
                print(event["details"], file=sys.stderr)
        elif kind == "progress" and self.bar is not None:
            total = event.get("total") or event["done"]
            self.bar.set_postfix_str(f"{event['clip']} {event['stage']} {event['done']}/{total}", refresh=True)

    def _print(self, line: str) -> None:
        if self.bar is None:
            print(line, file=self.says, flush=True)
        else:
            self.bar.write(line, file=self.says)
