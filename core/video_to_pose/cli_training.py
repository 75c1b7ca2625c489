# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of people who make lifters: ``models``, ``train``, ``evaluate``, ``export``.

Torch is imported when one of them runs and needs it, never before.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cli
from .errors import InputError, SetupError
from .files import written_whole
from .settings import CaptureSettings, LiftSettings

if TYPE_CHECKING:
    from .data.sequences import Sequence2D3D
    from .evaluation.protocols import Answer, Lift
    from .skeleton import Skeleton

Options = argparse.Namespace
NETWORK_ENDINGS = (".onnx", ".pt")
STUDIES = ("rare", "offset", "movement", "noise")
BENCHMARKS = ("h36m", "humaneva15", "3dhp")


# --- options ------------------------------------------------------------------------------------------------------


def add_commands(command: Callable[[str, Callable[[Options], None], str], argparse.ArgumentParser]) -> None:
    """Add the four commands to the parser.

    Args:
        command: (name, what runs it, what it is about) -> the parser of its options.
    """
    sub = command("models", _models, "list the lifters, and the papers' networks with what they cost")
    sub.add_argument("names", nargs="*", metavar="NETWORK", help="only these")

    sub = command("train", _train, "train the product's lifter, or a network of the papers")
    sub.add_argument(
        "net", nargs="?", metavar="NETWORK", help="see: video-to-pose models (default: the product's lifter)"
    )
    sub.add_argument("-o", "--output", required=True, help="checkpoint .pt; metrics lie beside it")
    sub.add_argument("--minutes", type=float, help="budget; schedules are squeezed to it (product's lifter: 60)")
    sub.add_argument("--learning-rate", type=float, help="at the start (default: the paper's)")
    sub.add_argument("--seed", type=int, default=1)
    _add_data_options(sub)
    group = sub.add_argument_group("networks of the papers")
    group.add_argument("--frames", type=int, metavar="T", help="receptive field (default: the paper's largest)")
    group.add_argument("--network-variant", default="", metavar="NAME", help="see: video-to-pose models --json")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the network, or recipe.NAME of the recipe; repeatable",
    )
    group.add_argument("--epochs", type=float, help="budget instead of the paper's")
    group.add_argument("--batch", type=int, help="windows a step (default: the paper's)")
    group.add_argument("--resume", action="store_true", help="go on from the output if it exists")
    group.add_argument("--precision", choices=("single", "bf16", "fp16"), default="single")
    group.add_argument("--compile", action="store_true", help="let torch compile the step")
    group.add_argument("--train-device", default="auto", help="auto, cpu or cuda; several: start with torchrun")
    group.add_argument("--test-mocap", metavar="DIR", help="free motion to measure on after each epoch")
    group.add_argument("--test-data-3d", metavar="NPZ", help="where it is not in --data-3d")
    group.add_argument("--test-data-2d", metavar="NPZ", help="likewise")
    group = sub.add_argument_group("product's lifter")
    group.add_argument("--channels", type=int, default=512)
    group.add_argument("--levels", type=int, default=2, help="blocks in time; T = 3 ** (levels + 1)")
    group.add_argument("--causal", action="store_true", help="look at nothing that comes, for live use")
    group.add_argument("--exact-keypoints", action="store_true", help="on clean projections, as a yardstick only")
    group.add_argument("--pairs", metavar="DIR", help="rendered clips; a sixteenth of every batch is drawn from them")
    group.add_argument("--start-from", metavar="CKPT", help="go on from this checkpoint")

    sub = command("export", _export, "write a checkpoint as ONNX")
    sub.add_argument("checkpoint")
    sub.add_argument("-o", "--output", required=True, help=".onnx")
    sub.add_argument("--licence", default="GPL-3.0-or-later", help="of the weights (default: %(default)s)")

    sub = command("evaluate", _evaluate, "measure lifters: on rendered clips, or by the papers' protocols")
    sub.add_argument(
        "what",
        nargs="+",
        help="rendered .mp4 files with their .npz, or folders of them: lifters against the detector's own 3D; "
        "or a folder of BVH files, with --human: lifters on exact keypoints and through the measured errors; "
        "or one .onnx or .pt: that network on the sequences of --mocap or --benchmark",
    )
    sub.add_argument(
        "--lifters",
        nargs="+",
        default=[],
        metavar="LIFTER",
        help="clips: compare several: names, or .onnx files (default: the one of --lifter)",
    )
    sub.add_argument("--true-fov", action="store_true", help="clips: tell the lifters the true field of view")
    sub.add_argument("--true-height", action="store_true", help="clips: tell the lifters the person's true height")
    sub.add_argument("--cache", type=Path, metavar="DIR", help="clips: keep what the detector said in this folder")
    sub.add_argument("-o", "--output", help="also write all figures to this .json")
    sub.add_argument(
        "--by", choices=("action", "subject", "both"), default="action", help="what figures are means over"
    )
    sub.add_argument("--study", choices=STUDIES, action="append", default=[], help="a paper's own study; repeatable")
    sub.add_argument("--every", type=int, default=1, metavar="N", help="every n-th sequence only")
    _add_data_options(sub)
    cli._add_detect_options(sub)
    cli._add_solve_options(sub)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sequences")
    group.add_argument("--mocap", metavar="DIR", help="free motion: folder of BVH files")
    group.add_argument("--human", metavar="DIR", help="free motion: folder of the body")
    group.add_argument("--skeleton", default="h36m17", help="free motion: the joints (default: %(default)s)")
    group.add_argument("--views", type=int, default=4, help="free motion: cameras for each clip")
    group.add_argument("--rate", type=float, default=30.0, help="free motion: frames per second")
    group.add_argument(
        "--keypoints",
        choices=("exact", "detected"),
        default="exact",
        help="free motion: the joints' own, or a detector's landmarks with its errors, taken for the joints",
    )
    group.add_argument("--benchmark", choices=BENCHMARKS, help="your copy of a data set; see docs/data.md")
    group.add_argument("--data-3d", metavar="NPZ")
    group.add_argument("--data-2d", metavar="NPZ")
    group.add_argument("--cameras", metavar="FILE", help="cameras.json, or the 2D file of exact keypoints")
    group.add_argument("--subjects", metavar="A,B", help="only these (default: the data set's convention)")
    group.add_argument("--actions", metavar="A,B", help="only these")


# --- models -------------------------------------------------------------------------------------------------------


def _models(options: Options) -> None:
    from . import lift

    lifters = [] if options.names else [_lifter_row(entry) for entry in lift.LIFTERS.values()]
    networks: list[dict[str, Any]] = []
    if importlib.util.find_spec("torch") is not None:
        networks = _network_rows(options.names, costs=options.json)
    elif options.names:
        _need("torch", "Describing networks")
    if options.json:
        cli._say_json({"models": lifters, "networks": networks})
        return
    if lifters:
        print("Lifters with weights, for --lifter:")
    for row in lifters:
        there = f"{row['skeleton']}, {row['receptive_field']} frames" if row["weights"] else "weights missing"
        print(f"{row['id']:12} {row['label']} ({there}, {row['licence']})")
    if networks:
        print(("\n" if lifters else "") + "Networks to train:")
    for row in networks:
        sizes = ", ".join(f"{frames}: {count / 1e6:.2f} M" for frames, count in row["parameters"].items())
        scores = {"never": "", "option": "", "yes": "; reads scores"}[row["scores"]]
        causal = {"never": "", "option": "; causal if asked", "always": "; causal"}[row["causal"]]
        print(f"{row['id']:12} {row['paper']} (parameters by frames {sizes}{scores}{causal})")
    if not networks and not options.names:
        print("The papers' networks need the package torch, which the extra 'training' brings.")


def _lifter_row(entry: Any) -> dict[str, Any]:
    from . import lift

    row: dict[str, Any] = {"id": entry.id, "label": entry.label, "licence": entry.licence}
    row["weights"] = entry.path.is_file()
    if entry.path.is_file():
        lifter = lift.load(LiftSettings(lifter=entry.id, device="cpu"))
        row["skeleton"], row["receptive_field"] = lifter.skeleton.name, lifter.receptive_field
        row["parameters"] = int(lifter.metadata.get("parameters", 0))
    return row


def _network_rows(names: Sequence[str], costs: bool) -> list[dict[str, Any]]:
    """One row a network; with costs, one a network, variant and receptive field."""
    from .nets import catalogue
    from .skeleton import H36M_17

    rows: list[dict[str, Any]] = []
    for entry in [catalogue.find(name) for name in names] or catalogue.CATALOGUE.values():
        facts: dict[str, Any] = {"id": entry.id, "paper": entry.paper, "scores": entry.scores, "causal": entry.causal}
        if not costs:
            sizes = {
                frames: catalogue.parameters(entry, entry.settings_for(frames), H36M_17)
                for frames in entry.receptive_fields
            }
            rows.append({**facts, "parameters": sizes})
            continue
        for variant in ("", *entry.variants):
            for frames in entry.receptive_fields:
                cost = catalogue.cost(entry, entry.settings_for(frames, variant), H36M_17)
                rows.append(
                    {
                        **facts,
                        "variant": variant or "paper",
                        "receptive_field": frames,
                        "skeleton": H36M_17.name,
                        "parameters": cost.parameters,
                        "multiply_adds_per_frame": cost.frame_multiply_adds,
                        "multiply_adds_per_window": cost.window_multiply_adds,
                    }
                )
    return rows


# --- train --------------------------------------------------------------------------------------------------------


def _train(options: Options) -> None:
    _need("torch", "Training")
    if options.net is None:
        _train_lifter(options)
        return
    from .nets import catalogue
    from .training import trainer

    entry, out = catalogue.find(options.net), Path(options.output)
    cli._check_endings([out], (".pt",))
    cli._check_places([out], [])
    if options.start_from or options.pairs:
        raise InputError("--start-from and --pairs are for the product's lifter.", "Use --resume to go on.", "usage")
    if options.minutes is not None and options.epochs is not None:
        raise InputError("--minutes and --epochs are two budgets.", "Give one of them.", "usage")
    changes, recipe_changes = parse_settings(options.set)
    settings = entry.settings_for(options.frames, options.network_variant, **changes)
    recipe = replace(entry.recipe, seed=options.seed)
    rate = recipe_changes.pop("learning_rate", options.learning_rate)
    catalogue.check_fields(catalogue.Recipe, recipe_changes, "The recipe")
    recipe = replace(recipe if rate is None else recipe.at_rate(rate), **recipe_changes)
    recipe = recipe if options.batch is None else replace(recipe, batch=options.batch)
    sequences = load_sequences(options, "train")
    test = _validation_sequences(options)
    cli._make_folder(out)
    run = trainer.Run(
        out,
        epochs=options.epochs,
        minutes=options.minutes,
        resume=options.resume,
        device=options.train_device,
        precision=options.precision,
        compile=options.compile,
    )
    notes = {"command": " ".join(["video-to-pose", *_without_paths(sys.argv[1:])]), "data": _data_name(options)}
    say = (lambda line: cli._tell(options, line, {"progress": line})) if not options.quiet else (lambda line: None)
    skeleton = sequences[0].skeleton
    trainer.train(entry, settings, skeleton, sequences, run, recipe=recipe, test=test, notes=notes, say=say)
    cli._tell(options, f"{out} written", {"outputs": [str(out)]})


def parse_settings(given: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``NAME=VALUE`` of the command line to settings of the network and of the recipe.

    Values are read as Python reads numbers, tuples, True, False and None; all else is a word.

    Raises:
        InputError: no ``=``.
    """
    both: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise InputError(
                f"--set {item} has no value.", "Write it as NAME=VALUE, for example channels=256.", "usage"
            )
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        value = tuple(value) if isinstance(value, list) else value
        prefix, dot, rest = name.partition(".")
        if dot and prefix == "recipe":
            both[1][rest] = value
        else:
            both[0][name] = value
    return both


def _without_paths(arguments: Sequence[str]) -> list[str]:
    """A command line as it may be kept with weights: folders of this machine reduced to their last two names."""
    return ["/".join(Path(word).parts[-2:]) if "/" in word else word for word in arguments]


def _train_lifter(options: Options) -> None:
    from .data import synthetic
    from .data.rendered import detect_clip
    from .training import lifter as training

    _want(options, "mocap", "human")
    out, mocap, human = Path(options.output), Path(options.mocap), Path(options.human)
    start = Path(options.start_from) if options.start_from else None
    cli._check_endings([out], (".pt",))
    cli._check_places([out], [])
    cli._check_files(human / "base.obj", *([start] if start else []))
    if not any(mocap.glob("*.bvh")):
        raise InputError(f"There is no BVH file in {mocap}.", "Give --mocap a folder of them.", "mocap-missing")
    clips = _clips([Path(options.pairs)]) if options.pairs else []
    if options.precision == "fp16":
        raise InputError("The product's lifter does not train in fp16.", "Use --precision bf16 or single.", "usage")
    settings = training.TrainingSettings(
        channels=options.channels,
        levels=options.levels,
        causal=options.causal,
        exact_keypoints=options.exact_keypoints,
        precision=options.precision,
        seed=options.seed,
    )
    if options.minutes is not None:
        settings = replace(settings, minutes=options.minutes)
    if options.learning_rate is not None:
        settings = replace(settings, learning_rate=options.learning_rate)
    pairs = [detect_clip(clip, CaptureSettings()) for clip in clips]
    bank = synthetic.make_bank(mocap, human, settings.bodies, settings.seed)
    cli._make_folder(out)
    training.train_on_bank(bank, settings, out, pairs=pairs, start=start)


# --- sequences ----------------------------------------------------------------------------------------------------


def _validation_sequences(options: Options) -> list[Sequence2D3D]:
    """What a training is measured on: the data set's test subjects, or a second folder of free motion."""
    given = {
        "mocap": options.test_mocap,
        "data_3d": options.test_data_3d or options.data_3d,
        "data_2d": options.test_data_2d or options.data_2d,
        "subjects": None,
    }
    in_one_file = options.benchmark in ("h36m", "humaneva15")
    if not (options.test_mocap or options.test_data_3d or in_one_file):
        return []
    return load_sequences(argparse.Namespace(**{**vars(options), **given}), "test")


def load_sequences(options: Options, part: str) -> list[Sequence2D3D]:
    """What the options name.

    Args:
        options: of `_add_data_options`.
        part: "train" or "test": which subjects a data set's convention means where none are named.
    """
    from .data import virtual
    from .lift.normalize import LIFTER_KEYPOINTS
    from .skeleton import SKELETONS

    if options.benchmark:
        return _benchmark_sequences(options, part)
    if not options.mocap:
        raise InputError(
            "There is nothing to learn from or to measure on.",
            "Give --mocap and --human (free motion), or --benchmark with --data-3d and --data-2d.",
            "no-sequences",
        )
    _want(options, "human")
    if options.skeleton not in SKELETONS:
        raise InputError(
            f"There is no skeleton {options.skeleton!r}.", f"Choose one of: {', '.join(SKELETONS)}.", "skeleton-unknown"
        )
    with _ClipBar(options) as bar:
        sequences = virtual.virtual_sequences(
            Path(options.mocap),
            Path(options.human),
            skeleton=SKELETONS[options.skeleton],
            keypoint_names=LIFTER_KEYPOINTS if options.keypoints == "detected" else None,
            cameras=virtual.VirtualCameras(count=options.views),
            rate=options.rate,
            subjects=_names(options.subjects),
            progress=bar,
        )
    wanted = _names(options.actions)
    if wanted is not None:
        have = {sequence.action_group for sequence in sequences}
        sequences = [sequence for sequence in sequences if sequence.action_group in wanted]
        if not sequences:
            raise InputError(
                f"{options.mocap} holds no action {', '.join(wanted)}.",
                f"It holds {', '.join(sorted(have))}.",
                "benchmark-action-unknown",
            )
    if options.keypoints == "detected":
        sequences = [virtual.as_joints(virtual.detected(sequence)) for sequence in sequences]
    return sequences


def _benchmark_sequences(options: Options, part: str) -> list[Sequence2D3D]:
    from .data import benchmarks

    _want(options, "data_3d", *(["data_2d"] if options.benchmark != "3dhp" else []))
    benchmark = benchmarks.BENCHMARKS[options.benchmark]
    convention = benchmark.train if part == "train" else benchmark.test
    chosen: dict[str, Any] = {"subjects": _names(options.subjects) or convention, "actions": _names(options.actions)}
    if options.benchmark == "3dhp":
        return benchmarks.load_3dhp(options.data_3d, options.data_2d, **chosen)
    load = {"h36m": benchmarks.load_human36m, "humaneva15": benchmarks.load_humaneva}[options.benchmark]
    return load(options.data_3d, options.data_2d, cameras=options.cameras, **chosen)


def _names(given: str | None) -> list[str] | None:
    return [name.strip() for name in given.split(",") if name.strip()] if given else None


def _want(options: Options, *names: str) -> None:
    missing = [f"--{name.replace('_', '-')}" for name in names if not getattr(options, name)]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given.", "See docs/data.md for what is read.", "usage")


def _data_name(options: Options) -> str:
    if options.benchmark:
        return f"{options.benchmark}, {Path(options.data_2d or options.data_3d).name}"
    return f"free motion {Path(options.mocap).name}, {options.views} views, {options.keypoints} keypoints"


class _ClipBar:
    """A bar over clips while they are read, on a terminal."""

    def __init__(self, options: Options) -> None:
        self.shown = sys.stderr.isatty() and not options.quiet and not options.json
        self.bar: Any = None

    def __enter__(self) -> _ClipBar:
        return self

    def __call__(self, done: int, total: int) -> None:
        if not self.shown:
            return
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=total, desc="clips", leave=False)
        self.bar.update(done - self.bar.n)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


# --- export -------------------------------------------------------------------------------------------------------


def _export(options: Options) -> None:
    _need("torch", "Exporting")
    _need("onnx", "Exporting")
    from .training import checkpoint as checkpoints

    out, path = Path(options.output), Path(options.checkpoint)
    cli._check_endings([out], (".onnx",))
    cli._check_places([out], [path])
    cli._check_files(path)
    if not checkpoints.is_network(path):
        from .training import lifter as training

        cli._make_folder(out)
        training.export(path, out, {"licence": options.licence})
        cli._tell(options, f"{out} written", {"outputs": [str(out)]})
        return
    from .training.export import export

    stored = checkpoints.load(path)
    cli._make_folder(out)
    worst = export(stored, out, {"licence": options.licence})
    line = f"{out} written; ONNX Runtime is at most {worst:.1e} m away from torch"
    cli._tell(options, line, {"outputs": [str(out)], "largest_difference_m": worst})


# --- evaluate -----------------------------------------------------------------------------------------------------


def _evaluate(options: Options) -> None:
    given = [Path(name) for name in options.what]
    networks = [path for path in given if path.suffix.lower() in NETWORK_ENDINGS]
    if not networks:
        motion = [path for path in given if path.is_dir() and any(path.glob("*.bvh"))]
        _evaluate_motion(options, given) if motion else _evaluate_clips(options, given)
        return
    if len(given) > 1:
        raise InputError(
            f"{networks[0].name} is a network, and there is something beside it.",
            "Give one network; its sequences are named by --mocap or --benchmark.",
            "usage",
        )
    _evaluate_network(options, networks[0])


def _evaluate_clips(options: Options, given: list[Path]) -> None:
    from .data import clips as rendered_clips
    from .evaluation import rendered, side_by_side

    settings, out = cli.capture_settings(options), Path(options.output) if options.output else None
    clips = _clips(given)
    if out is not None:
        cli._check_endings([out], (".json",))
        cli._check_places([out], clips)
    lifters = _lifters(options.lifters, settings.lift)
    cli._fetch_model(settings, options)
    told = {"true_fov": options.true_fov, "true_height": options.true_height}
    results = []
    for clip in clips:
        truth, watched = rendered_clips.load_truth(clip), rendered_clips.watch(clip, settings, options.cache)
        results.append(rendered.compare(watched, truth, lifters, settings, **told))
        cli._tell(options, f"{clip.name}: {results[-1]['frames']} frames", side_by_side.plain(results[-1]))
    figures = {"settings": settings.to_dict(), **told, "clips": results, "mean": side_by_side.mean(results)}
    _write_figures(out, side_by_side.plain(figures))
    if not options.json:
        print(side_by_side.tables(results))


def _evaluate_motion(options: Options, given: list[Path]) -> None:
    from .evaluation import rendered, side_by_side
    from .evaluation.virtual_clips import virtual_clips

    settings, out = cli.capture_settings(options), Path(options.output) if options.output else None
    if len(given) > 1:
        raise InputError("Captured motion is measured one folder at a time.", "Give one folder of BVH files.", "usage")
    _want(options, "human")
    cli._check_files(Path(options.human) / "base.obj")
    if out is not None:
        cli._check_endings([out], (".json",))
        cli._check_places([out], [])
    lifters = _lifters(options.lifters, settings.lift)
    told = {"true_fov": options.true_fov, "true_height": options.true_height}
    results: dict[str, list[dict[str, Any]]] = {"exact": [], "detected": []}
    for truth, *both in virtual_clips(
        given[0], Path(options.human), views=options.views, rate=options.rate, every=options.every
    ):
        for kind, watched in zip(results, both, strict=True):
            results[kind].append(rendered.compare(watched, truth, lifters, settings, **told))
            plain = side_by_side.plain({"keypoints": kind, **results[kind][-1]})
            cli._tell(options, f"{watched.name}, {kind}: {plain['frames']} frames", plain)
    means = {kind: side_by_side.mean(rows) for kind, rows in results.items()}
    _write_figures(out, side_by_side.plain({"settings": settings.to_dict(), **told, "clips": results, "mean": means}))
    if not options.json:
        print(f"Exact keypoints, {len(results['exact'])} clips:\n\n{side_by_side.table(results['exact'])}")
        print(f"\nThrough the measured errors of a detector:\n\n{side_by_side.table(results['detected'])}")


def _write_figures(out: Path | None, figures: dict[str, Any]) -> None:
    if out is None:
        return
    cli._make_folder(out)
    with written_whole(out) as partial:
        partial.write_text(json.dumps(figures, ensure_ascii=False, indent=1), encoding="utf-8")


def _lifters(names: Sequence[str], settings: LiftSettings) -> dict[str, Any]:
    """Lifters by the names that tables give them: those named, or the one of the settings."""
    from . import lift

    if not names:
        name = settings.model_path.name if settings.model_path else settings.lifter
        return {name: lift.load(settings)}
    chosen: dict[str, Any] = {}
    for name in names:
        is_file = Path(name).suffix.lower() == ".onnx"
        one = replace(settings, lifter=settings.lifter if is_file else name, model_path=Path(name) if is_file else None)
        short = Path(name).name if is_file else name
        chosen[name if short in chosen else short] = lift.load(one)
    return chosen


def _evaluate_network(options: Options, path: Path) -> None:
    from .evaluation import protocols

    if options.output:
        cli._check_endings([Path(options.output)], (".json",))
        cli._check_places([Path(options.output)], [path])
    cli._check_files(path)
    lift, skeleton, keypoints, facts = _open(path, options)
    sequences = load_sequences(options, "test")[:: options.every]
    scores = bool(facts["scores"])
    if options.flip:
        lift = protocols.flip_augmented(lift, _mirror(keypoints), skeleton.mirror)
    _check_lengths(sequences, int(facts["receptive_field"]))
    same = all(sequence.skeleton.joints == skeleton.joints for sequence in sequences)
    if same:
        sequences = [sequence.select(skeleton, keypoints) for sequence in sequences]
        answers = protocols.answer(lift, sequences, scores=scores)
    else:
        answers = protocols.cross_dataset(lift, skeleton, keypoints, sequences, scores=scores)
    grouping = {
        "action": protocols.by_action,
        "subject": protocols.by_subject,
        "both": protocols.by_subject_and_action,
    }[options.by]
    table = protocols.figures(answers, by=grouping)
    result: dict[str, Any] = {
        **facts,
        "data": _data_name(options),
        "sequences": len(sequences),
        "frames": sum(sequence.frame_count for sequence in sequences),
        "flip": options.flip,
        "figures": table,
    }
    if options.study and not same:
        raise InputError(
            f"Studies compare all joints, and the sequences' skeleton is not the network's {skeleton.name}.",
            "Use sequences of that skeleton, or leave --study out.",
            "usage",
        )
    for study in options.study:
        result[study] = _study(study, lift, answers, sequences, facts)
    _write_figures(Path(options.output) if options.output else None, result)
    if options.json:
        cli._say_json(result)
        return
    print(f"{path.name}: {result['sequences']} sequences, {result['frames']} frames, {result['data']}")
    print(figures_table(table))
    for study in options.study:
        print(f"\n{study}\n{json.dumps(result[study], indent=1)}")


def _open(path: Path, options: Options) -> tuple[Lift, Skeleton, tuple[str, ...], dict[str, Any]]:
    """A network as a callable, its skeleton, its keypoints, and facts about it."""
    if path.suffix.lower() == ".onnx":
        from .lift.onnx_net import load_net

        net = load_net(path, device=options.device)
        facts = {"net": net.architecture, "receptive_field": net.receptive_field, "scores": net.needs_scores}
        return net, net.skeleton, net.keypoints, {**facts, "runtime": "onnx"}
    _need("torch", "Evaluating a checkpoint")
    from .training import checkpoint as checkpoints
    from .training.trainer import as_lift

    stored = checkpoints.load(path)
    network: Any = stored.network()
    facts = {"net": stored.entry.id, "receptive_field": network.receptive_field, "scores": network.needs_scores}
    return as_lift(network), stored.skeleton, stored.skeleton.joints, {**facts, "runtime": "torch"}


def _check_lengths(sequences: Sequence[Sequence2D3D], receptive_field: int) -> None:
    """Short clips are answered, with their ends held; where all are, the figures would say nothing."""
    if not sequences:
        raise InputError("There are no sequences to measure.", "Choose subjects and actions that exist.", "no-answers")
    longest = max(sequence.frame_count for sequence in sequences)
    if longest < receptive_field:
        raise InputError(
            f"All clips are shorter than the receptive field of {receptive_field} frames (the longest has {longest}).",
            "Use longer clips, a higher --rate, or a network with a smaller receptive field.",
            "clips-short",
        )


def _mirror(names: tuple[str, ...]) -> Any:
    from .skeleton import mirror_indices

    return mirror_indices(names)


def _study(
    name: str, lift: Lift, answers: list[Answer], sequences: list[Sequence2D3D], facts: Mapping[str, Any]
) -> Any:
    """A paper's own study, by its name in `STUDIES`."""
    from .evaluation import protocols

    if name == "rare":  # thinned: the work grows with the square of the frames
        frames = sum(sequence.frame_count for sequence in sequences)
        every = max(1, frames // 10_000)
        return protocols.rare_poses(answers, test_every=every, reference_every=every)
    if name == "offset":
        return protocols.offset_study(lift, sequences, scores=facts["scores"])
    if name == "movement":
        return protocols.movement_study(answers, max(3, int(facts["receptive_field"])))
    return protocols.noise_study(lift, sequences, scores=facts["scores"])


def figures_table(table: Mapping[str, Mapping[str, float]]) -> str:
    """Groups by measures as text."""
    names = list(next(iter(table.values())))
    width = max(len(group) for group in table)
    lines = [" " * width + "".join(f"  {name:>12.12}" for name in (name.removesuffix("_percent") for name in names))]
    lines += [f"{group:{width}}" + "".join(f"  {row[name]:12.2f}" for name in names) for group, row in table.items()]
    return "\n".join(lines)


# --- shared -------------------------------------------------------------------------------------------------------


def _clips(given: list[Path]) -> list[Path]:
    """Rendered clips, and those of folders, each with its truth beside it."""
    found = [path for place in given for path in (sorted(place.glob("*.mp4")) if place.is_dir() else [place])]
    if not found:
        places = ", ".join(str(place) for place in given)
        raise InputError(f"There is no .mp4 in {places}.", "Render some with tools/render_set.py.", "clips-missing")
    cli._check_files(*found, *(clip.with_suffix(".npz") for clip in found))
    return found


def _need(package: str, work: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise SetupError(
            f"{work} needs the package {package}, which the extra 'training' brings.",
            f"Run: {sys.executable} -m pip install {package}",
            f"no-{package}",
        )
