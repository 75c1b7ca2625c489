# SPDX-License-Identifier: GPL-3.0-or-later
"""RIE (Shan et al. 2021, "Improving robustness and accuracy via relative information encoding in 3D human pose
estimation").

Five parts of the body are encoded apart, each from T frames of its keypoints and of two relative encodings: to the
root (Eq. 9) and to the current pose (Eq. 13). The current pose of the whole body is encoded once more (Eq. 2), a
feature fusion module tells each part of the others (Eq. 3), and decoders answer each part's joints (Eq. 4). It is
trained in three stages (Sec. 3.4): `stages`, `enter_stage`.

Since the current pose is another for every frame, whole clips are answered window by window. What is linear is
shared between windows: the first convolution W of a difference to the current pose is W (k - k_current) =
W k - (Σ_taps W) k_current, so it runs once over the clip. What follows its leaky ReLU cannot be shared exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError
from ..skeleton import Skeleton
from .srnet import body_parts

Operator = Literal[
    "subtraction", "inner_product", "cross_product", "cosine_similarity", "subtraction_quadratic", "subtraction_window"
]

TEMPORAL_CHANNELS: dict[str, int] = {
    "subtraction": 2,
    "inner_product": 1,
    "cross_product": 1,
    "cosine_similarity": 1,
    "subtraction_quadratic": 4,
    "subtraction_window": 2,
}
"""Numbers a joint that each operator of Eq. 13 gives."""


@dataclass(frozen=True)
class RIESettings:
    """The paper's choices are the defaults; the authors' program has channels = 256, latent = 256 (true keypoints) or
    512 (detected ones), global_blocks = 2.

    Attributes:
        levels: T = 3 ** (levels + 1): 2, 3, 4 for 27, 81, 243 frames.
        channels: of the temporal encoders.
        latent: dimension of local, fused and global features.
        width: of the fully connected parts.
        global_blocks: residual blocks of the global encoder.
        positional: the encoding relative to the root, Eq. 9.
        temporal: operator of the encoding relative to the current pose, Eq. 13, or None.
        temporal_window: frames around the current one that "subtraction_window" keeps; 0 is a third of T (the
            paper's 81 of 243).
        absolute: keypoints themselves are an input too. Without them (supplementary, Table 1) a difference to the
            current pose is replaced by the current pose where it would be zero.
        causal: a frame is answered from itself and frames before it.
        dropout: of the temporal encoders.
        dropout_full: of the fully connected parts.
        slope: of the leaky ReLU.
        frozen_at_rest: frozen encoders keep their normalisation statistics and drop nothing. False as in the authors'
            program, where only their parameters stand still.
    """

    levels: int = 4
    channels: int = 512
    latent: int = 512
    width: int = 1024
    global_blocks: int = 1
    positional: bool = True
    temporal: Operator | None = "subtraction"
    temporal_window: int = 0
    absolute: bool = True
    causal: bool = False
    dropout: float = 0.2
    dropout_full: float = 0.25
    slope: float = 0.2
    frozen_at_rest: bool = True


# --- Relative information encoding (Sec. 3.2 and 3.3) --------------------------------------------------------------


def positional_encoding(keypoints: Tensor, root: int = 0) -> Tensor:
    """K_P of Eq. 9: (..., K, 2) keypoints relative to the root of their frame."""
    return keypoints - keypoints[..., root : root + 1, :]


def temporal_encoding(keypoints: Tensor, current: int, operator: Operator, window: int = 0) -> Tensor:
    """K_T of Eq. 13: every frame's keypoints against the current frame's.

    Args:
        keypoints: (..., T, K, 2).
        current: which frame the others are related to.
        operator: ∘ of Eq. 13, joint by joint.
        window: frames around the current one that "subtraction_window" keeps, the others are zero.

    Returns:
        (..., T, K, C), C from `TEMPORAL_CHANNELS`.
    """
    now = keypoints[..., current : current + 1, :, :]
    match operator:
        case "subtraction":
            return keypoints - now
        case "inner_product":
            return (keypoints * now).sum(dim=-1, keepdim=True)
        case "cross_product":
            return keypoints[..., :1] * now[..., 1:] - keypoints[..., 1:] * now[..., :1]
        case "cosine_similarity":
            squares = keypoints.square().sum(dim=-1, keepdim=True) * now.square().sum(dim=-1, keepdim=True)
            return (keypoints * now).sum(dim=-1, keepdim=True) / squares.clamp_min(1e-16).sqrt()
        case "subtraction_quadratic":
            difference = keypoints - now
            return torch.cat([difference, difference.square()], dim=-1)
        case "subtraction_window":
            frames = torch.arange(keypoints.shape[-3], device=keypoints.device)
            near = ((frames - current).abs() <= window // 2).to(keypoints.dtype)
            return (keypoints - now) * near[:, None, None]


def movement_range(keypoints: Tensor, current: int) -> Tensor:
    """MR of Eq. 15: (..., T, K, 2) to (...), mean squared distance of all poses to the current one."""
    return (keypoints - keypoints[..., current : current + 1, :, :]).square().sum(dim=-1).mean(dim=(-2, -1))


# --- Encoders, decoders --------------------------------------------------------------------------------------------


class Unit(nn.Module):
    """Linear layer, batch normalisation, leaky ReLU, dropout on (..., features). At rest the normalisation is folded
    into the layer."""

    def __init__(self, inputs: int, outputs: int, slope: float, dropout: float, bias: bool) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs, bias=bias), nn.BatchNorm1d(outputs)
        self.slope, self.dropout = slope, nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            y = self.linear(x)
            y = self.norm(y.flatten(0, -2)).view_as(y)
            return self.dropout(functional.leaky_relu(y, self.slope))
        weight, bias = self.folded()
        return functional.leaky_relu_(functional.linear(x, weight, bias), self.slope)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of layer and normalisation in one."""
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        mean = norm.running_mean if self.linear.bias is None else norm.running_mean - self.linear.bias
        return self.linear.weight * scale[:, None], norm.bias - mean * scale


class FullyConnected(nn.Module):
    """The residual network of Martinez et al. that global encoder, fusion blocks and decoders share (Sec. 3.1)."""

    def __init__(self, inputs: int, outputs: int, blocks: int, settings: RIESettings) -> None:
        super().__init__()
        width, options = settings.width, (settings.slope, settings.dropout_full, True)
        self.enter = Unit(inputs, width, *options)
        self.blocks = nn.ModuleList(
            nn.Sequential(Unit(width, width, *options), Unit(width, width, *options)) for _ in range(blocks)
        )
        self.leave = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:  # (..., inputs) -> (..., outputs)
        x = self.enter(x)
        for block in self.blocks:
            x = x + block(x)
        return self.leave(x)


class LocalEncoder(nn.Module):
    """E_l of Eq. 1 and 14: a temporal convolutional network over T frames of one part, F_l its answer.

    Time stands before features, so that a convolution of three frames with stride three is one matrix product.
    """

    def __init__(self, inputs: int, settings: RIESettings) -> None:
        super().__init__()
        channels, options = settings.channels, (settings.slope, settings.dropout, False)
        self.enter = Unit(3 * inputs, channels, *options)
        self.wide = nn.ModuleList(Unit(3 * channels, channels, *options) for _ in range(settings.levels))
        self.narrow = nn.ModuleList(Unit(channels, channels, *options) for _ in range(settings.levels))
        self.leave = nn.Linear(channels, settings.latent)
        self.tap = 2 if settings.causal else 1  # what the residual connection takes of three frames
        self.entered = 3**settings.levels

    def forward(self, x: Tensor) -> Tensor:
        """Windows (M, T, inputs) -> (M, latent)."""
        return self.climb(self.enter(x.reshape(-1, self.entered, 3 * x.shape[-1])))

    def climb(self, x: Tensor) -> Tensor:
        """Windows after the first convolution (M, T / 3, channels) -> (M, latent)."""
        frames, channels = self.entered, x.shape[-1]
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            frames //= 3
            residual = x.reshape(-1, frames, 3, channels)[:, :, self.tap]
            x = residual + narrow(wide(x.reshape(-1, frames, 3 * channels)))
        return self.leave(x[:, 0])

    def dense(self, x: Tensor) -> Tensor:
        """Whole clips (N, F + T - 1, inputs) -> (N, F, latent), where no input depends on the current frame."""
        x = self.enter(_taps(x, 1))
        dilation = 3
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            before, after = self.tap * dilation, (2 - self.tap) * dilation
            x = x[:, before : x.shape[1] - after] + narrow(wide(_taps(x, dilation)))
            dilation *= 3
        return self.leave(x)


def _taps(x: Tensor, dilation: int) -> Tensor:
    """(N, S, C) -> (N, S - 2 d, 3 C): each frame beside the two that follow it d and 2 d later."""
    frames = x.shape[1] - 2 * dilation
    return torch.cat([x[:, n * dilation : n * dilation + frames] for n in range(3)], dim=-1)


# --- Network (Fig. 2) ----------------------------------------------------------------------------------------------


class RIE(nn.Module):
    """Keypoints (N, F, K, 2) to joints (N, F, J, 3); the skeleton names both. See `RIESettings`.

    Args:
        skeleton: joint 0 is the root of Eq. 9.
        settings: the paper's by default.
        stage: 1 is the network of the first training stage, without the feature fusion module; 2 and 3 the whole one.

    Attributes:
        parts: the body's parts, joint names of each.
        chunk: frames answered at once when not training, so that memory does not grow with the clip.
        batch: windows that the encoders take at once; so few that their features stay in the processor's cache.
    """

    needs_scores = False

    def __init__(self, skeleton: Skeleton, settings: RIESettings | None = None, stage: int = 3) -> None:
        super().__init__()
        self.skeleton, self.settings, self.stage = skeleton, settings or RIESettings(), stage
        s = self.settings
        if s.temporal is not None and s.temporal not in get_args(Operator):
            raise InputError(
                f"There is no temporal encoding {s.temporal!r}.",
                f"Use one of {', '.join(get_args(Operator))}.",
                "operator",
            )
        if not (s.absolute or s.positional or s.temporal):
            raise InputError("RIE is left without any input.", "Keep absolute, positional or temporal.", "encoding")
        self.receptive_field = 3 ** (s.levels + 1)
        self.target = self.receptive_field - 1 if s.causal else self.receptive_field // 2
        self.chunk, self.batch = 1024, 128
        self.frozen: tuple[str, ...] = ()

        self.parts = {name: joints for name, joints in body_parts(skeleton).items() if joints}
        self._members = {name: [skeleton.index(joint) for joint in joints] for name, joints in self.parts.items()}
        answered = [joint for members in self._members.values() for joint in members]
        self._order = [answered.index(joint) for joint in range(skeleton.joint_count)]

        self._static = 2 * (int(s.absolute) + int(s.positional))
        self._temporal = TEMPORAL_CHANNELS[s.temporal] if s.temporal else 0
        self._window = s.temporal_window or self.receptive_field // 3
        per_joint = self._static + self._temporal
        fused = stage > 1
        self.encoders = nn.ModuleDict(
            {name: LocalEncoder(per_joint * len(joints), s) for name, joints in self.parts.items()}
        )
        self.global_encoder = FullyConnected(2 * skeleton.joint_count, s.latent, s.global_blocks, s)
        others = (len(self.parts) - 1) * s.latent
        self.fusion = nn.ModuleDict(
            {name: FullyConnected(others, s.latent, 1, s) for name in self.parts} if fused and others else {}
        )
        heard = s.latent * (3 if len(self.fusion) else 2)
        self.decoders = nn.ModuleDict(
            {name: FullyConnected(heard, 3 * len(joints), 1, s) for name, joints in self.parts.items()}
        )

    def train(self, mode: bool = True) -> RIE:
        """As always; frozen modules stay at rest (see `RIESettings.frozen_at_rest`)."""
        super().train(mode)
        if self.settings.frozen_at_rest:
            for name in self.frozen:
                self.get_submodule(name).eval()
        return self

    def forward(self, keypoints: Tensor) -> Tensor:
        """Whole clips (N, F, K, 2) -> (N, F, J, 3); every frame is answered, the ends are held."""
        self._check(keypoints)
        x = keypoints.flatten(2).transpose(1, 2)
        x = functional.pad(x, (self.target, self.receptive_field - 1 - self.target), mode="replicate").transpose(1, 2)
        if self.training:  # normalisation wants all windows at once
            windows = x.unfold(1, self.receptive_field, 1).transpose(2, 3)  # (N, F, T, 2 K)
            answer = self.window(windows.flatten(0, 1).unflatten(2, (-1, 2)))
            return answer.unflatten(0, tuple(windows.shape[:2]))
        if torch.jit.is_tracing() or keypoints.shape[1] <= self.chunk:
            return self._clip(x)
        length = self.chunk + self.receptive_field - 1
        return torch.cat([self._clip(x[:, i : i + length]) for i in range(0, keypoints.shape[1], self.chunk)], dim=1)

    def window(self, keypoints: Tensor) -> Tensor:
        """Windows (N, T, K, 2) -> (N, J, 3), the target frame's joints: what training runs."""
        self._check(keypoints)
        return self._decode(list(self.local_features(keypoints).values()), keypoints[:, self.target].flatten(1))

    def local_features(self, keypoints: Tensor) -> dict[str, Tensor]:
        """F_l of Eq. 14: windows (N, T, K, 2) to (N, latent) for each part."""
        return {
            name: encoder(torch.cat([self._shared(keypoints, name), self._relative(keypoints, name)], dim=-1))
            for name, encoder in self.encoders.items()
        }

    def _shared(self, keypoints: Tensor, name: str) -> Tensor:
        """(N, F, K, 2) -> (N, F, channels): a part's inputs that do not depend on the current frame."""
        own = keypoints[:, :, self._members[name]]
        inputs = [own.flatten(2)] if self.settings.absolute else []
        if self.settings.positional:
            inputs.append((own - keypoints[:, :, :1]).flatten(2))  # Eq. 9
        return torch.cat(inputs, dim=-1) if inputs else own.flatten(2)[:, :, :0]

    def _relative(self, keypoints: Tensor, name: str) -> Tensor:
        """Windows (N, T, K, 2) -> (N, T, channels): a part's inputs relative to the current pose, Eq. 13."""
        own = keypoints[:, :, self._members[name]]
        if self.settings.temporal is None:
            return own.flatten(2)[:, :, :0]
        relative = temporal_encoding(own, self.target, self.settings.temporal, self._window)
        if not self.settings.absolute and self._temporal >= 2:  # the current pose against itself tells nothing
            now = functional.pad(own[:, self.target : self.target + 1], (0, self._temporal - 2))
            relative = torch.cat([relative[:, : self.target], now, relative[:, self.target + 1 :]], dim=1)
        return relative.flatten(2)

    def _decode(self, local: list[Tensor], current: Tensor) -> Tensor:
        """Local features, N times (M, latent), and current poses (M, 2 K) -> (M, J, 3)."""
        whole = self.global_encoder(current)  # F_g, Eq. 2
        answers = []
        for i, name in enumerate(self.parts):
            heard = [local[i]]
            if name in self.fusion:
                others = [feature for n, feature in enumerate(local) if n != i]  # M_i
                heard.append(self.fusion[name](torch.cat(others, dim=-1)))  # F_f, Eq. 3
            answers.append(self.decoders[name](torch.cat([*heard, whole], dim=-1)))  # Eq. 4
        return torch.cat(answers, dim=-1).unflatten(-1, (-1, 3))[..., self._order, :]

    def _clip(self, x: Tensor) -> Tensor:
        """(N, F + T - 1, 2 K) -> (N, F, J, 3): whole clips at rest, their shared work done once."""
        current = x[:, self.target : x.shape[1] - (self.receptive_field - 1 - self.target)]
        keypoints = x.reshape(x.shape[0], -1, self.skeleton.joint_count, 2)
        local = [self._clip_features(keypoints, name) for name in self.parts]
        return self._decode(local, current)

    def _clip_features(self, keypoints: Tensor, name: str) -> Tensor:
        """(N, F + T - 1, K, 2) -> (N, F, latent): F_l of every frame."""
        encoder, s = self.encoders[name], self.settings
        assert isinstance(encoder, LocalEncoder)
        shared = self._shared(keypoints, name)
        if s.temporal is None:
            return encoder.dense(shared)
        # The first convolution, in its linear parts: weight (channels, 3 taps, inputs).
        weight, bias = encoder.enter.folded()
        weight = weight.unflatten(1, (3, -1))
        for_shared, for_relative = weight[..., : shared.shape[2]], weight[..., shared.shape[2] :]
        frames = keypoints.shape[1] - self.receptive_field + 1
        exact = s.temporal == "subtraction" and s.absolute
        if exact:  # W (k - k_current) = W k - (Σ_taps W) k_current
            own = keypoints[:, :, self._members[name]].flatten(2)
            entered = functional.linear(_taps(torch.cat([shared, own], dim=-1), 1), weight.flatten(1), bias)
            now = functional.linear(own[:, self.target : self.target + frames], for_relative.sum(dim=1))
        else:
            entered = functional.linear(_taps(shared, 1), for_shared.flatten(1), bias)
            now = None
        answers = []
        for first, count in self._batches(keypoints.shape[0], frames):
            x = _windows(entered, first, count, self.receptive_field - 2, 3)  # (N, count, T / 3, channels)
            if now is not None:
                x = _difference(x, now[:, first : first + count, None])
            else:
                windows = _windows(keypoints.flatten(2), first, count, self.receptive_field, 1)
                relative = self._relative(windows.flatten(0, 1).unflatten(2, (-1, 2)), name)
                relative = relative.reshape(-1, encoder.entered, 3 * relative.shape[2])
                x = x.flatten(0, 1) + functional.linear(relative, for_relative.flatten(1))
            x = functional.leaky_relu_(x, s.slope).reshape(-1, encoder.entered, s.channels)
            answers.append(encoder.climb(x).reshape(keypoints.shape[0], -1, s.latent))
        return torch.cat(answers, dim=1)

    def _batches(self, clips: int, frames: int) -> Iterator[tuple[int, int]]:
        """First frame and number of frames of each batch of windows."""
        if torch.jit.is_tracing():
            yield 0, frames
            return
        step = max(1, self.batch // clips)
        for first in range(0, frames, step):
            yield first, min(step, frames - first)

    def _check(self, keypoints: Tensor) -> None:
        if not torch.jit.is_tracing() and tuple(keypoints.shape[2:]) != (self.skeleton.joint_count, 2):
            raise InputError(
                f"RIE takes x and y of {self.skeleton.joint_count} keypoints ({self.skeleton.name}), "
                f"not an array of shape {tuple(keypoints.shape)}.",
                "Give keypoints as (clips, frames, keypoints, 2).",
                "keypoints-shape",
            )


def _windows(x: Tensor, first: int, count: int, length: int, step: int) -> Tensor:
    """(N, S, C) -> (N, count, length / step, C): `count` windows a frame apart, every `step`-th of their frames.

    A view; an ONNX file has no such view of unknown length and gathers.
    """
    if torch.jit.is_tracing():
        starts = torch.arange(count, device=x.device)
        return x[:, starts[:, None] + torch.arange(0, length, step, device=x.device)]
    return x[:, first : first + count + length - 1].unfold(1, length, 1)[..., ::step].transpose(2, 3)


def _difference(x: Tensor, y: Tensor) -> Tensor:
    """x - y with neighbouring windows apart in memory, whatever view x is, so that they need no copy later."""
    if torch.is_grad_enabled() or torch.jit.is_tracing():
        return x - y
    return torch.sub(x, y, out=x.new_empty(x.shape))


# --- Training (Sec. 3.4) -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """One stage of the multi-stage optimisation.

    Attributes:
        number: 1 to 3.
        epochs: to train.
        learning_rate: at the start; it falls by 5 % after each epoch. AdamW with amsgrad, 1024 windows a batch.
        kept: modules taken over from the stage before; the others start anew.
        frozen: modules that are not trained.
    """

    number: int
    epochs: int
    learning_rate: float
    kept: tuple[str, ...]
    frozen: tuple[str, ...]


def stages(net: RIE) -> tuple[Stage, Stage, Stage]:
    """The paper's three stages. (The authors' program trains the third for 80 epochs.)"""
    encoders = ("encoders", "global_encoder")
    everything = tuple(name for name, _ in net.named_children())
    return (
        Stage(1, 80, 1e-3, kept=(), frozen=()),
        Stage(2, 80, 1e-3, kept=encoders, frozen=encoders),
        Stage(3, 20, 5e-4, kept=everything, frozen=()),
    )


def enter_stage(net: RIE, stage: Stage) -> RIE:
    """The network to train in a stage, made from the one the stage before has trained.

    Stage 1 has no feature fusion module. Stage 2 keeps the encoders, frozen, and starts fusion and decoders anew.
    Stage 3 keeps all and trains all. What is trained are the parameters that require a gradient.
    """
    fresh = RIE(net.skeleton, replace(net.settings), stage.number).to(next(net.parameters()).device)
    for name in stage.kept:
        fresh.get_submodule(name).load_state_dict(net.get_submodule(name).state_dict())
    fresh.frozen = stage.frozen
    for name in stage.frozen:
        fresh.get_submodule(name).requires_grad_(False)
    return fresh.train(net.training)


def loss(net: RIE, keypoints: Tensor, joints: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean per-joint position error on windows: keypoints (N, T, K, 2), joints (N, T, J, 3) of which the target
    counts; metres relative to the root."""
    total = (net.window(keypoints) - joints[:, net.target]).norm(dim=-1).mean()
    return total, {"mpjpe": total.detach()}
