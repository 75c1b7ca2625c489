# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a catalogue network as ONNX, with everything that is needed to run it in its metadata, and check it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import VideoToPoseError
from ..files import written_whole
from ..lift.onnx_net import NORMALIZATION, load_net
from ..nets.anatomy3d import Anatomy3D
from ..nets.catalogue import Entry
from .checkpoint import Checkpoint

TOLERANCE_M = 1e-4
"""How far ONNX Runtime may be from torch, metres."""


class _Windows(nn.Module):
    """(N, F + T - 1, K, C), the ends held already, to the joints (N, F, J, 3), each frame by its window."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, keypoints: Tensor) -> Tensor:
        net: Any = self.net
        length, joints, channels = net.receptive_field, net.skeleton.joint_count, 3 if net.needs_scores else 2
        first = torch.arange(keypoints.shape[1] - length + 1, device=keypoints.device)
        windows = keypoints[:, first[:, None] + torch.arange(length, device=keypoints.device)]
        # The shape is known here, but inside a loop ONNX has to be told.
        answers = net.window(windows.reshape(-1, length, joints, channels))
        return answers.reshape(keypoints.shape[0], -1, joints, 3)


class _Pieces(nn.Module):
    """`forward` of a network whose windows share nothing, some windows at a time: the loop stays a loop in ONNX, and
    memory does not grow with the clip."""

    def __init__(self, net: nn.Module, together: int) -> None:
        super().__init__()
        lifting: Any = net
        self.before, self.after = lifting.target, lifting.receptive_field - 1 - lifting.target
        self.together = together
        shape = (2, lifting.receptive_field + 3, lifting.skeleton.joint_count, 3 if lifting.needs_scores else 2)
        with torch.no_grad():
            self.answer = torch.jit.trace(_Windows(net), torch.zeros(shape), check_trace=False)

    def forward(self, keypoints: Tensor) -> Tensor:
        first = keypoints[:, :1].expand(-1, self.before, -1, -1)
        last = keypoints[:, -1:].expand(-1, self.after, -1, -1)
        held = torch.cat([first, keypoints, last], dim=1)
        answers: list[Tensor] = []
        for piece in range((keypoints.shape[1] + self.together - 1) // self.together):
            start = piece * self.together
            answers.append(self.answer(held[:, start : start + self.together + self.before + self.after]))
        return torch.cat(answers, dim=1)


def export(checkpoint: Checkpoint, out: Path, notes: Mapping[str, str] | None = None) -> float:
    """Write a checkpoint's network.

    Args:
        checkpoint: what was trained.
        out: .onnx file.
        notes: further metadata: licence, data.

    Returns:
        The largest distance between ONNX Runtime's and torch's joints that the check found, metres.

    Raises:
        VideoToPoseError: the file does not compute what the network does; nothing is written.
    """
    told = {
        "training_commit": str(checkpoint.notes.get("training_commit", "")),
        "training_recipe": json.dumps(asdict(checkpoint.recipe)),
        "training_notes": json.dumps(dict(checkpoint.notes), ensure_ascii=False),
    }
    return export_net(checkpoint.network(), checkpoint.entry, out, {**told, **(notes or {})})


def export_net(net: nn.Module, entry: Entry, out: Path, notes: Mapping[str, str] | None = None) -> float:
    """Write a network at rest; see `export`."""
    import onnx

    lifting: Any = net
    skeleton, settings = lifting.skeleton, lifting.settings
    channels = 3 if lifting.needs_scores else 2
    generator = torch.Generator().manual_seed(0)
    keypoints = torch.rand(1, lifting.receptive_field + 20, skeleton.joint_count, channels, generator=generator)
    axes, together = {0: "clips", 1: "frames"}, entry.together(settings)
    with written_whole(out) as partial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns of shapes that are meant to be fixed
            torch.onnx.export(
                torch.jit.script(_Pieces(net, together).eval()) if together else net,
                (keypoints,),
                str(partial),
                input_names=["keypoints"],
                output_names=["joints"],
                dynamic_axes={"keypoints": axes, "joints": axes},
                opset_version=17,
                dynamo=False,
            )
        model = onnx.load(str(partial))
        metadata = {
            "architecture": entry.id,
            "paper": entry.paper,
            "settings": json.dumps(asdict(settings)),
            "skeleton": skeleton.name,
            "joints": json.dumps(skeleton.joints),
            "parents": json.dumps(skeleton.parents),
            "keypoints": json.dumps(skeleton.joints),
            "scores": json.dumps(lifting.needs_scores),
            "receptive_field": str(lifting.receptive_field),
            "target": str(lifting.target),
            "causal": json.dumps(lifting.target == lifting.receptive_field - 1),
            "normalization": NORMALIZATION,
            "chunk": str(entry.chunk(settings)),
            "parameters": str(sum(parameter.numel() for parameter in net.parameters())),
            **(notes or {}),
        }
        if isinstance(net, Anatomy3D) and entry.chunk(settings):
            metadata["length_frames"] = json.dumps(_length_frames(net))
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, str(partial))
        return _check(net, partial, channels)


def _length_frames(net: Anatomy3D) -> list[float]:
    """Which frames one set of lengths is made from, as shares of the clip; negative: its first ones."""
    count = net.settings.sampled_frames
    return [-1.0] * count if net.settings.selection == "first" else [float(share) for share in net.draws]


def _check(net: nn.Module, path: Path, channels: int) -> float:
    """Compare at lengths that the file was not written with."""
    lifting, session = net, load_net(path, device="cpu")
    generator = np.random.default_rng(0)
    worst = 0.0
    for frames in (1, session.receptive_field, 2 * session.receptive_field + 7):
        keypoints = generator.uniform(-0.5, 0.5, (frames, len(session.keypoints), channels)).astype(np.float32)
        with torch.inference_mode():
            want = lifting(torch.as_tensor(keypoints)[None])[0].numpy()
        worst = max(worst, float(np.abs(session(keypoints) - want).max()))
    if not worst < TOLERANCE_M:
        raise VideoToPoseError(
            f"The exported file is {worst:.1e} m away from the network.",
            "Report this with the checkpoint; nothing was written.",
            "export-differs",
        )
    return worst
