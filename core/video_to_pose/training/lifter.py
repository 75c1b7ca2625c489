# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a lifter on synthetic samples and export it to ONNX."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from ..data import rendered, synthetic
from ..lift.joint_keypoints import landmark_weights
from ..lift.normalize import LIFTER_KEYPOINTS, feature_count
from ..nets.direction_tcn import DirectionTCN, TemporalBlock, clip_lengths
from ..skeleton import BODY_22, BODY_32

VELOCITY_WEIGHT, DIRECTION_WEIGHT, UP_WEIGHT, LENGTH_WEIGHT = 1.0, 0.1, 0.2, 0.2


@dataclass(frozen=True)
class TrainingSettings:
    """One training run; stored with the weights."""

    minutes: float = 60.0
    batch: int = 512
    channels: int = 512
    levels: int = 2
    frame_blocks: int = 2
    causal: bool = False
    exact_keypoints: bool = False
    """Train on clean projections, as papers do: the yardstick for what the detector's errors are worth."""
    dropout: float = 0.0
    learning_rate: float = 1e-3
    precision: Literal["single", "bf16"] = "single"
    bodies: int = 8
    workers: int = 1
    seed: int = 1
    average: float = 0.998
    """Weights are averaged over steps with this decay; the average is what is exported."""


class _Samples(IterableDataset[synthetic.Batch]):
    def __init__(self, draw: Callable[[np.random.Generator], synthetic.Batch], seed: int) -> None:
        self.draw, self.seed = draw, seed

    def __iter__(self) -> Iterator[Any]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        torch.set_num_threads(1)
        while True:
            batch = self.draw(rng)
            yield batch.features, batch.joints, batch.up


def compose(directions: Tensor, lengths: Tensor) -> Tensor:
    """(..., B, 3) directions and (..., B) lengths to (..., J, 3) joints, root at the origin (see `bones.compose`)."""
    vectors = directions * lengths[..., None]
    joints = [torch.zeros_like(vectors[..., 0, :])]
    for bone, parent in enumerate(BODY_32.parents[1:]):
        joints.append(joints[parent] + vectors[..., bone, :])
    return torch.stack(joints, dim=-2)


def bone_lengths(joints: Tensor) -> Tensor:
    """(N, F, J, 3) to one set a sample (N, B): the mean over its frames."""
    vectors = joints[:, :, BODY_32.bone_children] - joints[:, :, BODY_32.bone_parents]
    return vectors.norm(dim=-1).mean(dim=1)


_JOINT_WEIGHTS = torch.tensor([1.0 if joint in BODY_22.joints else 0.5 for joint in BODY_32.joints])
_JOINT_WEIGHTS /= _JOINT_WEIGHTS.sum()
"""What each joint weighs in the mean: the details of `BODY_32` half, for hands have four joints, heads four."""


def loss(
    net: DirectionTCN, features: Tensor, joints: Tensor, up: Tensor, *, mixed: bool = False
) -> tuple[Tensor, dict[str, float]]:
    """Error of predicted directions on true lengths (metres), its velocity, directions, up and lengths.

    A sample holds T + 1 frames: every fourth gives two neighbouring windows, whose answers have a velocity. Directions
    are weighed for themselves too: the bones that tell how hands, feet and head are turned are short, and hardly seen
    in the error of positions. `mixed` lets the network, but not the loss, be worked out in bfloat16.
    """
    window = net.receptive_field
    pairs = max(len(features) // 4, 1)
    two = torch.cat([features[:, :window], features[:pairs, 1 : window + 1]])
    with torch.autocast(features.device.type, torch.bfloat16, enabled=mixed):
        answers = (*net.direction_net.window(two), *net.length_net(features[:, ::4]))
    directions, up_hat, lengths, logits = (answer.float() for answer in answers)
    directions, up_hat = directions[:, 0], up_hat[:, 0]
    target = torch.cat([joints[:, 0], joints[:pairs, 1]])
    true_lengths = bone_lengths(joints)
    error = compose(directions, torch.cat([true_lengths, true_lengths[:pairs]])) - target
    position = (error.norm(dim=-1) @ _JOINT_WEIGHTS).mean()
    velocity = ((error[len(joints) :] - error[:pairs]).norm(dim=-1) @ _JOINT_WEIGHTS).mean()
    bones = nn.functional.normalize(target[:, BODY_32.bone_children] - target[:, BODY_32.bone_parents], dim=-1)
    turned = (directions - bones).norm(dim=-1).mean()
    up_error = (up_hat - torch.cat([up[:, 0], up[:pairs, 1]])).norm(dim=-1).mean()
    length = (clip_lengths(lengths, logits) / true_lengths).log().abs().mean()
    frame_length = (lengths / true_lengths[:, None]).log().abs().mean()
    total = position + VELOCITY_WEIGHT * velocity + DIRECTION_WEIGHT * turned + UP_WEIGHT * up_error
    total = total + LENGTH_WEIGHT * (length + 0.3 * frame_length)
    parts = {"mpjpe_mm": 1000 * position.item(), "velocity_mm": 1000 * velocity.item(), "directions": turned.item()}
    return total, parts | {"up": up_error.item(), "length_percent": 100 * length.item()}


def make_net(settings: TrainingSettings, mean_lengths: Tensor) -> DirectionTCN:
    joints = torch.as_tensor(landmark_weights(BODY_32), dtype=torch.float32)
    return DirectionTCN(
        feature_count(len(LIFTER_KEYPOINTS)),
        joints[BODY_32.bone_children] - joints[BODY_32.bone_parents],
        mean_lengths,
        torch.as_tensor(BODY_32.mirror[1:] - 1),
        channels=settings.channels,
        levels=settings.levels,
        frame_blocks=settings.frame_blocks,
        dropout=settings.dropout,
        causal=settings.causal,
    )


def mean_bone_lengths(bank: synthetic.Bank) -> Tensor:
    """(B,) mean over bodies and frames, left and right alike."""
    points = bank.points[:, ::50, len(LIFTER_KEYPOINTS) :]
    spans = points[:, :, BODY_32.bone_children] - points[:, :, BODY_32.bone_parents]
    lengths = np.linalg.norm(spans, axis=-1).mean(axis=(0, 1))
    return torch.as_tensor((lengths + lengths[BODY_32.mirror[1:] - 1]) / 2, dtype=torch.float32)


def train_on_bank(
    bank: synthetic.Bank,
    settings: TrainingSettings,
    checkpoint: Path,
    *,
    pairs: Sequence[rendered.Detected] = (),
    start: Path | None = None,
) -> DirectionTCN:
    """Train on endless samples of a bank.

    Args:
        bank: synthetic samples are drawn from it.
        settings: of the run.
        checkpoint: where the network is kept.
        pairs: rendered clips as the detector saw them; they make a sixteenth of every batch.
        start: checkpoint to go on from.
    """
    window = 3 ** (settings.levels + 1)
    answered = window - 1 if settings.causal else window // 2

    def drawn(count: int, rng: np.random.Generator) -> synthetic.Batch:
        return synthetic.draw(bank, count, window + 1, answered, rng, exact_keypoints=settings.exact_keypoints)

    def draw(rng: np.random.Generator) -> synthetic.Batch:
        if not pairs:
            return drawn(settings.batch, rng)
        seen = settings.batch // 16
        parts = (
            drawn(settings.batch - seen, rng),
            rendered.draw_pairs(pairs, seen, window + 1, answered, rng),
        )
        mixed = rng.permutation(settings.batch)  # velocities are learnt from a part of the batch
        return synthetic.Batch(*(np.concatenate([getattr(part, name) for part in parts])[mixed] for name in _FIELDS))

    return train(draw, mean_bone_lengths(bank), settings, checkpoint, start)


_FIELDS = ("features", "joints", "up")


def train(
    draw: Callable[[np.random.Generator], synthetic.Batch],
    mean_lengths: Tensor,
    settings: TrainingSettings,
    checkpoint: Path,
    start: Path | None = None,
    report: Callable[[str], None] = print,
) -> DirectionTCN:
    """Train for a given time with a cosine schedule; the averaged network is returned and saved now and then."""
    torch.manual_seed(settings.seed)
    net = make_net(settings, mean_lengths)
    if start is not None:
        _go_on(net, torch.load(start, weights_only=True)["state"])
    averaged = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.average), use_buffers=True
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    loader = DataLoader(_Samples(draw, settings.seed), batch_size=None, num_workers=settings.workers, prefetch_factor=4)
    began, step, reported, saved = time.monotonic(), 0, 0.0, 0.0
    sums: dict[str, float] = {}
    net.train()
    for features, joints, up in loader:
        elapsed = time.monotonic() - began
        done = elapsed / (60 * settings.minutes)
        if done >= 1:
            break
        warm = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * warm * (0.01 + 0.99 * (1 + np.cos(np.pi * done)) / 2)
        total, parts = loss(net, features, joints, up, mixed=settings.precision == "bf16")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(net)
        step += 1
        for name, value in parts.items():
            sums[name] = sums.get(name, value) * 0.98 + value * 0.02
        if elapsed - reported > 30:
            reported = elapsed
            report(f"{elapsed / 60:6.1f} min  step {step:6d}  " + "  ".join(f"{k} {v:.2f}" for k, v in sums.items()))
        if elapsed - saved > 300:
            saved = elapsed
            _save(averaged.module, settings, step, checkpoint)
    net = calibrate(_network(averaged), draw, settings.seed)
    _save(net, settings, step, checkpoint)
    return net.eval()


def _go_on(net: DirectionTCN, state: Mapping[str, Tensor]) -> None:
    """Take over weights; what looks further in time than they did begins with looking no further."""
    known = sum(key.endswith("norm_mix.weight") for key in state)
    for block in net.direction_net.blocks[known:]:
        assert isinstance(block, TemporalBlock)
        nn.init.zeros_(block.norm_mix.weight)
    net.load_state_dict({**net.state_dict(), **state})


def _network(averaged: torch.optim.swa_utils.AveragedModel) -> DirectionTCN:
    assert isinstance(averaged.module, DirectionTCN)
    return averaged.module


def calibrate(
    net: DirectionTCN, draw: Callable[[np.random.Generator], synthetic.Batch], seed: int, batches: int = 60
) -> DirectionTCN:
    """Measure the batch normalisation statistics anew: averaged weights have others than the steps they come from."""
    layers = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
    rng = np.random.default_rng([seed, 1])
    net.train()
    with torch.no_grad():
        for _ in range(batches):
            net.direction_net.window(torch.as_tensor(draw(rng).features)[:, : net.receptive_field])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return net.eval()


def _save(net: torch.nn.Module, settings: TrainingSettings, steps: int, path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save({"state": net.state_dict(), "settings": asdict(settings), "steps": steps}, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> tuple[DirectionTCN, dict[str, Any]]:
    """The network of a checkpoint, ready for use, and what was stored with it."""
    stored = torch.load(path, weights_only=True)
    settings = TrainingSettings(**stored["settings"])
    net = make_net(settings, stored["state"]["length_net.mean_lengths"])
    net.load_state_dict(stored["state"])
    return net.eval(), stored


def export(checkpoint: Path, out: Path, notes: dict[str, str]) -> None:
    """Write the network as ONNX whose metadata says everything a program needs to run it.

    Weights are stored in half precision and used in single: the file is half as large, and directions differ by less
    than a tenth of a degree.
    """
    import onnx

    net, stored = load_checkpoint(checkpoint)
    inputs = torch.zeros(1, 96, feature_count(len(LIFTER_KEYPOINTS)))
    partial = out.with_suffix(".partial")
    torch.onnx.export(
        net,
        (inputs,),
        str(partial),
        input_names=["features"],
        output_names=["directions", "up", "lengths", "length_logits"],
        dynamic_axes={
            name: {0: "clips", 1: "frames"} for name in ("features", "directions", "up", "lengths", "length_logits")
        },
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(str(partial))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    metadata = {
        "architecture": "direction_tcn",
        "skeleton": BODY_32.name,
        "joints": json.dumps(BODY_32.joints),
        "parents": json.dumps(BODY_32.parents),
        "keypoints": json.dumps(LIFTER_KEYPOINTS),
        "receptive_field": str(net.receptive_field),
        "frame_rate": "30",
        "normalization": "view-1",
        "causal": str(net.causal).lower(),
        "masked_keypoints": "true",
        "parameters": str(sum(parameter.numel() for parameter in net.parameters())),
        "training_commit": commit,
        "training_settings": json.dumps(stored["settings"]),
        "training_steps": str(stored["steps"]),
        **notes,
    }
    onnx.helper.set_model_props(model, metadata)
    _store_half(model)
    onnx.save(model, str(partial))
    partial.replace(out)


def _store_half(model: Any) -> None:
    """Keep large weights as 16-bit floats, which ONNX Runtime widens once, when it opens the file."""
    import onnx

    graph = model.graph
    large = [w for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT and np.prod(w.dims) > 1000]
    for weight in large:
        values = onnx.numpy_helper.to_array(weight).astype(np.float16)
        half = onnx.numpy_helper.from_array(values, weight.name + ".half")
        graph.node.insert(0, onnx.helper.make_node("Cast", [half.name], [weight.name], to=onnx.TensorProto.FLOAT))
        graph.initializer.remove(weight)
        graph.initializer.append(half)
