# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the papers' networks and their central ablations on free motion, measure all on the same test split.

    python tools/papers.py run --mocap MOCAP --human HUMAN -o runs [NAME …]   # train, export, measure what is not yet
    python tools/papers.py lifters --mocap MOCAP --human HUMAN -o runs         # what ships, as videos are converted
    python tools/papers.py table runs                                          # the tables of docs/results.md

`RUNS` says what there is. A run's budget is counted in steps, not in minutes, so that rows of a table had the same.
A run that is there (its .json) is not made again. Networks that ship are exported to NAME.onnx as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "core"))

import numpy as np
import torch

from video_to_pose import bones, lift
from video_to_pose.data import virtual
from video_to_pose.data.sequences import Sequence2D3D
from video_to_pose.evaluation import protocols
from video_to_pose.files import written_whole
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.nets import anatomy3d, catalogue, rie
from video_to_pose.settings import LiftSettings
from video_to_pose.skeleton import BODY_22
from video_to_pose.training import checkpoint as checkpoints
from video_to_pose.training import trainer
from video_to_pose.training.export import export
from video_to_pose.types import KeypointTrack

RATE = 30.0


@dataclass(frozen=True)
class PaperRun:
    """A network, what differs from its paper's recipe, and how long it learns.

    Attributes:
        net: of the catalogue.
        frames: T.
        epochs: passes over the training set, for each of the recipe's stages.
        label: in tables.
        settings: of the network.
        recipe: fields that differ.
        rate: learning rate at the start; the paper's when None.
        views: cameras for each clip of the training set.
        every: every n-th sequence of it only.
        studies: of `protocols`, beside all measures.
        ships: whether the weights are exported.
        single_stage: RIE without its stages: everything is trained from the beginning.
        joint_shift: False drops Anatomy3D's joint shift loss.
    """

    net: str
    frames: int
    epochs: tuple[int, ...]
    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    rate: float | None = None
    views: int = 1
    every: int = 1
    studies: tuple[str, ...] = ()
    ships: bool = False
    single_stage: bool = False
    joint_shift: bool = True


_RIE = {"channels": 96, "latent": 96, "width": 256}
_LENGTHS = {"channels": 256, "sampled_frames": 10}
_GCN = {"channels": 48}
_SINGLE = {"channels": 512}
_SEQ = {"hidden": 256}

RUNS: dict[str, PaperRun] = {
    # What ships, one of each paper and the two yardsticks
    "fc-t1-body22": PaperRun(
        "fc", 1, (3,), "Fully connected (Martinez)", {"channels": 512}, {"batch": 256}, views=4, ships=True
    ),
    "tcn-t27-body22": PaperRun(
        "tcn", 27, (4,), "TCN (VideoPose3D)", {"channels": 256}, {"batch": 256}, views=4, ships=True
    ),
    "seq2seq-t5-body22": PaperRun("seq2seq", 5, (3,), "Seq2Seq", _SEQ, {"batch": 256}, 1e-3, views=4, ships=True),
    "srnet-t27-body22": PaperRun("srnet", 27, (3,), "SRNet", _SINGLE, {"batch": 256}, views=4, ships=True),
    "anatomy3d-t27-body22": PaperRun("anatomy3d", 27, (2,), "Anatomy3D", _LENGTHS, {"batch": 256}, views=2, ships=True),
    "rie-t27-body22": PaperRun("rie", 27, (1, 1, 1), "RIE", _RIE, {"batch": 256}, views=4, ships=True),
    "gla_gcn-t27-body22": PaperRun("gla_gcn", 27, (1, 1), "GLA-GCN", _GCN, {"batch": 128}, views=1, ships=True),
    # RIE: what the two encodings and the stages bring, and how each stands a shift in the picture
    **{
        f"rie-{name}": PaperRun(
            "rie",
            9,
            (5,),
            label,
            {**_RIE, "positional": positional, "temporal": temporal},
            {"batch": 256},
            studies=("offset",),
            single_stage=True,
        )
        for name, label, positional, temporal in (
            ("none", "neither", False, None),
            ("positional", "+ positional (P)", True, None),
            ("temporal", "+ temporal (T)", False, "subtraction"),
            ("both", "+ P + T", True, "subtraction"),
        )
    },
    "rie-stages": PaperRun("rie", 9, (2, 2, 1), "+ P + T, three stages", _RIE, {"batch": 256}, studies=("offset",)),
    # SRNet: structures, on all poses and on the rarest
    **{
        f"srnet-{structure}": PaperRun(
            "srnet", 1, (4,), label, {**_SINGLE, "structure": structure}, {"batch": 256}, studies=("rare",)
        )
        for structure, label in (
            ("full", "fully connected (FC)"),
            ("group", "group"),
            ("split_fuse_split", "split-fuse-split (SFS)"),
            ("split_recombine", "split-and-recombine (SR)"),
        )
    },
    # Anatomy3D: from a plain network upwards
    "anatomy3d-baseline": PaperRun("tcn", 9, (2,), "baseline: joints at once", {"channels": 256}, {"batch": 256}),
    **{
        f"anatomy3d-{name}": PaperRun(
            "anatomy3d",
            9,
            (2,),
            label,
            {**_LENGTHS, "long_skips": skips, "scores": scores},
            {"batch": 256},
            joint_shift=shift,
        )
        for name, label, skips, scores, shift in (
            ("lengths", "+ bone lengths", False, "none", False),
            ("shift", "+ joint shift loss", False, "none", True),
            ("skips", "+ long skips", True, "none", True),
            ("scores", "+ keypoint scores", True, "attention", True),
        )
    },
    # Seq2Seq: the smoothness loss, against one frame at a time, under noise
    "seq2seq-frame": PaperRun(
        "fc", 1, (6,), "one frame at a time (FC)", {"channels": 512}, {"batch": 256}, studies=("noise",)
    ),
    "seq2seq-rough": PaperRun(
        "seq2seq", 5, (6,), "without smoothness loss", {**_SEQ, "beta": 0.0}, {"batch": 256}, 1e-3, studies=("noise",)
    ),
    "seq2seq-smooth": PaperRun(
        "seq2seq", 5, (6,), "with smoothness loss", _SEQ, {"batch": 256}, 1e-3, studies=("noise",)
    ),
    # GLA-GCN: strides, layers of single joints, the reconstruction
    **{
        f"gla_gcn-{name}": PaperRun("gla_gcn", 9, (1, 1), label, {**_GCN, **changes}, {"batch": 128}, every=2)
        for name, label, changes in (
            ("pool", "pooling instead of strides", {"shrink": "pool"}),
            ("fc", "fully connected instead of single joints' layers", {"joint_layer": "fully connected"}),
            ("plain", "strides, single joints' layers", {}),
            ("reconstruction", "the same with reconstruction", {"reconstruction": True, "blend": 1.0, "refine": True}),
        )
    },
}


def sequences(mocap: Path, human: Path, views: int, detected: bool) -> list[Sequence2D3D]:
    """Free motion in `BODY_22`, as ``video-to-pose train --skeleton body22 --keypoints …`` has it."""
    seen = virtual.virtual_sequences(
        mocap,
        human,
        skeleton=BODY_22,
        keypoint_names=LIFTER_KEYPOINTS if detected else None,
        cameras=virtual.VirtualCameras(count=views),
        rate=RATE,
    )
    return [virtual.as_joints(virtual.detected(sequence)) for sequence in seen] if detected else seen


def _entry(run: PaperRun) -> catalogue.Entry:
    """The network's entry, with what an ablation changes beyond settings."""
    entry = catalogue.find(run.net)
    if run.single_stage:
        whole = rie.Stage(3, run.epochs[0], 1e-3, kept=(), frozen=())
        entry = replace(entry, enter=lambda net, _: rie.enter_stage(net, whole))
    if not run.joint_shift:

        def loss(net: Any, batch: catalogue.Batch, recipe: catalogue.Recipe, stage: int) -> Any:
            clip = batch["clip_keypoints"], batch["clip_joints"]
            spread = anatomy3d.augment(
                net.skeleton, batch["clip_joints"], batch["clip_roots"], batch["cameras"], recipe.length_spread
            )
            weights = anatomy3d.LossWeights(shift=0.0)
            return anatomy3d.loss(
                net, batch["keypoints"], batch["joints"], sampled=clip, augmented=spread, weights=weights
            )

        entry = replace(entry, loss=loss)
    return entry


def learn(name: str, run: PaperRun, train: Sequence[Sequence2D3D], folder: Path) -> torch.nn.Module:
    """Train a run; what ships is exported too."""
    entry = _entry(run)
    settings = entry.settings_for(run.frames, **run.settings)
    stages = entry.recipe.stages[:1] if run.single_stage else entry.recipe.stages
    stages = tuple(replace(stage, epochs=epochs) for stage, epochs in zip(stages, run.epochs, strict=True))
    recipe = replace(entry.recipe, stages=stages, **run.recipe)
    recipe = recipe if run.rate is None else recipe.at_rate(run.rate)
    path = folder / f"{name}.pt"
    path.unlink(missing_ok=True)
    path.with_suffix(".jsonl").unlink(missing_ok=True)
    notes = {
        "command": f"tools/papers.py run {name}",
        "data": f"free motion, {run.views} views, detected keypoints",
        "precision": "bf16 mixed",
    }
    net = trainer.train(
        entry, settings, BODY_22, train, trainer.Run(path, precision="bf16"), recipe=recipe, notes=notes
    )
    if run.ships:
        export(checkpoints.load(path), folder / f"{name}.onnx", {"licence": "GPL-3.0-or-later"})
    return net


def measure(run: PaperRun, net: Any, detected: list[Sequence2D3D], exact: list[Sequence2D3D]) -> dict[str, Any]:
    """All measures with a detector's errors and without, and the run's studies."""
    lift, scores = trainer.as_lift(net), net.needs_scores
    result: dict[str, Any] = {}
    for kind, asked in (("detected", detected), ("exact", exact)):
        answers = protocols.answer(lift, asked, scores=scores)
        result[kind] = protocols.figures(answers)[protocols.MEAN]
        if "rare" in run.studies and kind == "detected":
            frames = sum(sequence.frame_count for sequence in asked)
            every = max(1, frames // 6000)
            result["rare"] = protocols.rare_poses(answers, test_every=every, reference_every=every)
    if "offset" in run.studies:
        result["offset"] = protocols.offset_study(lift, detected, scores=scores)
    if "noise" in run.studies:
        result["noise"] = protocols.noise_study(lift, exact, scores=scores)
    return result


def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    train: tuple[int, list[Sequence2D3D]] = (0, [])
    test = {
        kind: sequences(options.mocap / "test", options.human, 4, kind == "detected") for kind in ("detected", "exact")
    }
    for name in options.names or RUNS:
        run, out = RUNS[name], folder / f"{name}.json"
        if out.exists():
            continue
        print(f"== {name}", flush=True)
        if train[0] != run.views:
            train = run.views, sequences(options.mocap / "train", options.human, run.views, True)
        began = time.process_time()
        net = learn(name, run, train[1][:: run.every], folder)
        seconds = time.process_time() - began
        every = 1 if run.ships and run.net != "gla_gcn" else 4
        result = measure(run, net, test["detected"][::every], test["exact"][::every])
        result |= {
            "parameters": sum(parameter.numel() for parameter in net.parameters()),
            "cpu_minutes": seconds / 60,
            "commit": checkpoints.commit(),
            "test_sequences": len(test["exact"][::every]),
            "test_frames": sum(sequence.frame_count for sequence in test["exact"][::every]),
        }
        with written_whole(out) as partial:
            partial.write_text(json.dumps(result, indent=1), encoding="utf-8")
        print(name, {key: round(value, 1) for key, value in result["detected"].items()}, flush=True)


def _lifters(options: argparse.Namespace) -> None:
    """Every lifter that ships on the same detections, the way videos are converted, told the true field of view."""
    seen = virtual.virtual_sequences(
        options.mocap / "test",
        options.human,
        skeleton=BODY_22,
        keypoint_names=LIFTER_KEYPOINTS,
        cameras=virtual.VirtualCameras(),
        rate=RATE,
    )
    seen = [virtual.detected(sequence) for sequence in seen[::4]]
    result = {}
    for name in lift.LIFTERS:
        lifter = lift.load(LiftSettings(lifter=name, device="cpu"))
        answers, up = [], []
        for sequence in seen:
            assert sequence.lens is not None
            times = np.arange(sequence.frame_count) / sequence.rate
            track = KeypointTrack(times, LIFTER_KEYPOINTS, sequence.keypoints, sequence.scores, sequence.image_size)
            pose = lifter(track, float(sequence.lens.focal_px[0]), sequence.lens.centre_px)
            joints = bones.compose(pose.skeleton, pose.directions, pose.lengths)
            shared = [pose.skeleton.index(joint) for joint in BODY_22.joints]
            answers.append(protocols.Answer(sequence, joints[:, shared]))
            true_up = sequence.lens.R_world_camera.T @ [0.0, 0.0, 1.0]
            up.append(float(np.degrees(np.arccos(np.clip(true_up @ pose.up, -1, 1)))))
        result[name] = {**protocols.figures(answers)[protocols.MEAN], "up_degrees": float(np.mean(up))}
        print(name, {key: round(value, 1) for key, value in result[name].items()}, flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    with written_whole(options.output / "lifters.json") as partial:
        partial.write_text(json.dumps(result, indent=1), encoding="utf-8")


_COLUMNS = {
    "mpjpe_mm": "MPJPE mm",
    "p_mpjpe_mm": "P-MPJPE mm",
    "n_mpjpe_mm": "N-MPJPE mm",
    "mpjve_mm_per_frame": "MPJVE mm/frame",
    "acceleration_m_s2": "accel. m/s²",
    "pck150_percent": "PCK@150 %",
    "auc_percent": "AUC %",
    "bone_deviation_mm": "bone dev. mm",
}


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _table(options: argparse.Namespace) -> None:
    """Print what there is, as markdown."""
    found = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in RUNS
        if (path := options.folder / f"{name}.json").exists()
    }
    shipped = [name for name in found if RUNS[name].ships]
    heads = ["network", "T", "M par.", "CPU min", *_COLUMNS.values()]
    for kind, told in (("detected", "a detector's errors"), ("exact", "the joints' own places in the picture")):
        print(f"\n### All networks, {told}\n")
        rows = []
        for name in shipped:
            run, result = RUNS[name], found[name]
            facts = [run.label, str(run.frames), f"{result['parameters'] / 1e6:.2f}", f"{result['cpu_minutes']:.0f}"]
            rows.append([*facts, *(f"{result[kind][column]:.1f}" for column in _COLUMNS)])
        print(_markdown(heads, rows))
    lifters = options.folder / "lifters.json"
    if lifters.exists():
        print("\n### Every lifter, as videos are converted\n")
        table = json.loads(lifters.read_text(encoding="utf-8"))
        rows = [
            [name, *(f"{values[column]:.1f}" for column in _COLUMNS), f"{values['up_degrees']:.1f}"]
            for name, values in table.items()
        ]
        print(_markdown(["lifter", *_COLUMNS.values(), "up °"], rows))
    for prefix in ("rie", "srnet", "anatomy3d", "seq2seq", "gla_gcn"):
        group = [name for name in found if name.startswith(f"{prefix}-") and not RUNS[name].ships]
        if not group:
            continue
        columns = list(_COLUMNS)[:5]
        more = _study_columns(found[group[0]])
        print(f"\n### {prefix}\n")
        rows = []
        for name in group:
            result = found[name]
            facts = [RUNS[name].label, f"{result['parameters'] / 1e6:.2f}", f"{result['cpu_minutes']:.0f}"]
            figures = [f"{result['detected'][column]:.1f}" for column in columns]
            rows.append([*facts, *figures, *_study_columns(result).values()])
        print(_markdown(["", "M par.", "CPU min", *(_COLUMNS[column] for column in columns), *more], rows))


def _study_columns(result: Mapping[str, Any]) -> dict[str, str]:
    """Heads and figures of a run's studies, mm."""
    columns: dict[str, float] = {}
    if "rare" in result:
        columns["rarest 10 %"] = result["rare"]["cumulative"]["10"]
        columns["commonest 10 %"] = result["rare"]["interval"]["90-100"]
    if "offset" in result:
        rows = [row for row in result["offset"] if row["frames"]]
        frames = sum(row["frames"] for row in rows)
        for key, head in (("original", "same clips"), ("shifted", "shifted"), ("consistency", "moved by")):
            columns[head] = sum(row[key] * row["frames"] for row in rows) / frames if frames else float("nan")
    for sigma, values in result.get("noise", {}).items():
        columns[f"σ {sigma}"] = values["p_mpjpe_mm"]
    return {head: f"{value:.1f}" for head, value in columns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("run")
    sub.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    sub.add_argument("--mocap", type=Path, required=True, help="folder with train/ and test/")
    sub.add_argument("--human", type=Path, required=True)
    sub.add_argument("--threads", type=int, default=1)
    sub.add_argument("-o", "--output", type=Path, required=True)
    sub.set_defaults(run=_run)
    sub = commands.add_parser("lifters")
    sub.add_argument("--mocap", type=Path, required=True, help="folder with train/ and test/")
    sub.add_argument("--human", type=Path, required=True)
    sub.add_argument("-o", "--output", type=Path, required=True)
    sub.set_defaults(run=_lifters)
    sub = commands.add_parser("table")
    sub.add_argument("folder", type=Path)
    sub.set_defaults(run=_table)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
