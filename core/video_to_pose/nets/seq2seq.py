# SPDX-License-Identifier: GPL-3.0-or-later
"""Seq2Seq: an LSTM encoder-decoder from T keypoint frames to T poses (Hossain & Little 2018, "Exploiting temporal
information for 3D human pose estimation").

An encoder reads T frames, newest first, into the state of a layer-normalised LSTM; a decoder starts from that state
and a start token of ones and speaks T poses, oldest first, each the one before plus a correction (Sec. 3, Fig. 2).
The last of the T poses is the answer: it is made from past frames only.

Whole clips are lifted with a window that moves by one frame. What windows share is computed once: the input half of
every gate, W_x · x, belongs to a frame and not to a window, and since nothing but linear maps lies between a keypoint
(or a pose fed back) and the gates, both are one small matrix at inference. The answers are the same up to rounding,
for about half the multiplications.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..skeleton import Skeleton
from .tcn import in_chunks

State = tuple[Tensor, Tensor]
"""Cell state c and output h of an LSTM, (N, H) each."""

WINDOWS_AT_ONCE = 512
"""Windows lifted together: bounds memory, whatever the length of a clip."""


@dataclass(frozen=True)
class Seq2SeqSettings:
    """The network and its loss. Defaults are the paper's; where the authors' program differs, the option is named.

    Attributes:
        frames: T, length of the sequences read and spoken; the paper tries 2 to 10.
        hidden: width H of projections and LSTMs.
        dropout: on the inputs and outputs of the LSTMs (Zaremba's, as the paper's text says).
        recurrent_dropout: on the candidate g inside the cell, as the program has besides.
        layer_norm: False for Table 4's "w/o layer normalized LSTM" (the gates then have a bias).
        residual: False for Table 4's "w/o residual connections".
        reverse: whether the encoder reads the newest frame first.
        norm_epsilon: added to variances in layer normalisation; TensorFlow's.
        ignored_keypoints: not shown to the network. The paper's keypoints are 16: Human3.6M's without the nose. Names
            that a skeleton lacks are passed over.
        first_frames: how a clip's first T - 1 frames are answered. ``"held"`` repeats the first frame before the clip,
            so that no answer ever depends on a later frame; ``"first window"`` takes all poses of the first window, as
            the paper's test does ("we initially predict the first T frames").
        encoder_projection: the program's encoder has an output projection that nothing uses; it is kept, untrained, so
            that parameters are those counted in the field (16.96 M).
        alpha, beta: weights of the two terms of eq. 3.
        eta, rho, tau: weights of the three joint sets of eq. 2: torso and head, limb middles, limb ends.
        joint_sets: ``"paper"``: knees and elbows are middles, what lies beyond them ends. ``"program"``: rho weighs
            knees and ankles, tau elbows and wrists.
        average: errors are summed over the coordinates of a frame (``"frame"``, eqs. 1 and 2) or averaged
            (``"coordinate"``, the program). This scales both terms alike.
        loss_units: ``"millimetres"`` as the program, or ``"standard deviations"``: z-scores, as the paper may be read.
    """

    frames: int = 5
    hidden: int = 1024
    dropout: float = 0.5
    recurrent_dropout: float = 0.5
    layer_norm: bool = True
    residual: bool = True
    reverse: bool = True
    norm_epsilon: float = 1e-12
    ignored_keypoints: tuple[str, ...] = ("nose",)
    first_frames: Literal["held", "first window"] = "held"
    encoder_projection: bool = True
    alpha: float = 1.0
    beta: float = 5.0
    eta: float = 1.0
    rho: float = 2.5
    tau: float = 4.0
    joint_sets: Literal["paper", "program"] = "paper"
    average: Literal["frame", "coordinate"] = "frame"
    loss_units: Literal["millimetres", "standard deviations"] = "millimetres"

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise ValueError(f"a sequence needs at least 2 frames, got {self.frames}")


class LayerNormLSTMCell(nn.Module):
    """An LSTM cell whose four gates and cell state are layer-normalised, as TensorFlow's LayerNormBasicLSTMCell.

    ::

        i, j, f, o = LN(W_x x + W_h h)        one normalisation each, no bias
        c' = LN(c σ(f + 1) + σ(i) drop(tanh j))
        h' = tanh(c') σ(o)

    The normalised cell state is the one carried on. Without layer normalisation the gates have a bias.
    """

    def __init__(self, inputs: int, hidden: int, layer_norm: bool, dropout: float, epsilon: float) -> None:
        super().__init__()
        self.hidden, self.epsilon = hidden, epsilon
        kernel = nn.init.xavier_uniform_(torch.empty(4 * hidden, inputs + hidden))  # "Xavier uniform initializer"
        self.input_weight = nn.Parameter(kernel[:, :inputs].clone())  # W_x
        self.hidden_weight = nn.Parameter(kernel[:, inputs:].clone())  # W_h
        self.gain = nn.Parameter(torch.ones(5, hidden)) if layer_norm else None  # of i, j, f, o and c
        self.shift = nn.Parameter(torch.zeros(5, hidden)) if layer_norm else None
        self.bias = None if layer_norm else nn.Parameter(torch.zeros(4 * hidden))
        self.dropout = nn.Dropout(dropout)

    def forward(self, gates: Tensor, state: State | None) -> State:
        """One step.

        Args:
            gates: (N, 4 H) the input's part W_x x of the gates.
            state: of the step before; None is all zeros.
        """
        if state is not None:
            gates = gates + nn.functional.linear(state[1], self.hidden_weight)
        if self.bias is not None:
            gates = gates + self.bias
        i, j, f, o = self._norm(gates.unflatten(1, (4, self.hidden)), slice(0, 4)).unbind(1)
        c = torch.sigmoid(i) * self.dropout(torch.tanh(j))
        if state is not None:
            c = c + state[0] * torch.sigmoid(f + 1.0)
        c = self._norm(c, 4)
        return c, torch.tanh(c) * torch.sigmoid(o)

    def _norm(self, x: Tensor, which: int | slice) -> Tensor:
        if self.gain is None or self.shift is None:
            return x
        return nn.functional.layer_norm(x, (self.hidden,), eps=self.epsilon) * self.gain[which] + self.shift[which]


class _Fed(nn.Module):
    """A linear map, then an LSTM cell. `gates` gives the input's part of the gates."""

    def __init__(self, features: int, settings: Seq2SeqSettings) -> None:
        super().__init__()
        self.enter = nn.Linear(features, settings.hidden)
        nn.init.xavier_uniform_(self.enter.weight)
        nn.init.zeros_(self.enter.bias)
        self.dropout = nn.Dropout(settings.dropout)
        self.cell = LayerNormLSTMCell(
            settings.hidden, settings.hidden, settings.layer_norm, settings.recurrent_dropout, settings.norm_epsilon
        )

    def input_map(self) -> tuple[Tensor, Tensor] | None:
        """W_x after the entering map as one affine map (4 H, features), (4 H,): exact where nothing is dropped.

        None while training.
        """
        if self.training:
            return None
        weight = self.cell.input_weight
        return weight @ self.enter.weight, weight @ self.enter.bias

    def gates(self, x: Tensor, input_map: tuple[Tensor, Tensor] | None) -> Tensor:  # (..., features) -> (..., 4 H)
        if input_map is not None:
            return nn.functional.linear(x, *input_map)
        return nn.functional.linear(self.dropout(self.enter(x)), self.cell.input_weight)


InputMaps = tuple[tuple[Tensor, Tensor] | None, tuple[Tensor, Tensor] | None]
"""What `_Fed.input_map` gives for encoder and decoder: None while training."""


class Seq2Seq(nn.Module):
    """The paper's network, a `LiftingNet`. The root is not predicted: it is the origin.

    Keypoints and joints are z-scored per coordinate with the statistics of the training set, which travel as buffers;
    set them with `measure`. As z-scores undo any scale and shift, pixels of one image size and normalised image
    coordinates are the same to this network.

    Args:
        skeleton: of the joints, and of the keypoints unless `keypoint_names` are given. Joint 0 is the root.
        settings: the paper's by default.
        keypoint_names: K names, in the order in which keypoints come.
    """

    needs_scores = False
    keypoint_mean: Tensor
    keypoint_std: Tensor
    joint_mean: Tensor
    joint_std: Tensor
    seen: Tensor
    smoothness: Tensor

    def __init__(
        self,
        skeleton: Skeleton,
        settings: Seq2SeqSettings | None = None,
        keypoint_names: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__()
        settings = settings or Seq2SeqSettings()
        names = keypoint_names or skeleton.joints
        self.skeleton, self.settings, self.keypoint_names = skeleton, settings, names
        self.receptive_field = settings.frames
        self.target = settings.frames - 1
        seen = [index for index, name in enumerate(names) if name not in settings.ignored_keypoints]
        inputs, outputs = 2 * len(seen), 3 * (skeleton.joint_count - 1)
        self.register_buffer("seen", torch.as_tensor(seen), persistent=False)
        self.register_buffer("keypoint_mean", torch.zeros(inputs))
        self.register_buffer("keypoint_std", torch.ones(inputs))
        self.register_buffer("joint_mean", torch.zeros(outputs))
        self.register_buffer("joint_std", torch.ones(outputs))
        self.register_buffer("smoothness", smoothness_weights(skeleton, settings), persistent=False)
        self.encoder = _Fed(inputs, settings)
        self.decoder = _Fed(outputs, settings)
        self.speak = nn.Linear(settings.hidden, outputs)
        nn.init.xavier_uniform_(self.speak.weight)
        nn.init.zeros_(self.speak.bias)
        if settings.encoder_projection:
            self.unused = nn.Linear(settings.hidden, inputs).requires_grad_(False)

    def measure(self, keypoints: Tensor, joints: Tensor) -> None:
        """Set the z-score statistics to those of a training set: keypoints (..., K, 2) and joints (..., J, 3)."""
        seen = keypoints[..., self.seen, :].flatten(-2).flatten(0, -2)
        spoken = joints[..., 1:, :].flatten(-2).flatten(0, -2)
        for values, mean, std in (
            (seen, self.keypoint_mean, self.keypoint_std),
            (spoken, self.joint_mean, self.joint_std),
        ):
            mean.copy_(values.mean(dim=0))
            spread = values.std(dim=0, unbiased=False)
            std.copy_(
                torch.where(spread > 1e-8, spread, torch.ones_like(spread))
            )  # a still coordinate is left as it is

    def forward(self, keypoints: Tensor) -> Tensor:
        """Whole clips (N, F, K, 2) -> (N, F, J, 3), a window moved by one frame (see `first_frames`).

        Raises:
            InputError: when keypoints are not (N, F, K, 2).
        """
        self._check(keypoints)
        maps = self._maps()
        return in_chunks(lambda piece: self._dense(piece, maps), keypoints, self.target, 0, WINDOWS_AT_ONCE)

    def _dense(self, keypoints: Tensor, maps: InputMaps) -> Tensor:
        frames, before = self.receptive_field, self.receptive_field - 1
        x = self._seen(keypoints)
        if self.settings.first_frames == "first window" and x.shape[1] >= frames:
            first = self._windows(x[:, :frames], maps)[:-1]
            return self._joints(torch.cat([*first, self._windows(x, maps)[-1]], dim=1))
        held = torch.cat([x[:, :1].expand(-1, before, -1), x], dim=1)
        return self._joints(self._windows(held, maps)[-1])

    def window(self, keypoints: Tensor) -> Tensor:
        """Windows (N, T, K, 2) -> (N, J, 3), the last frame's joints."""
        return self.sequence(keypoints)[:, -1]

    def sequence(self, keypoints: Tensor) -> Tensor:
        """Windows (N, T, K, 2) -> (N, T, J, 3), everything the decoder says."""
        self._check(keypoints)
        if keypoints.shape[1] != self.receptive_field:
            raise ValueError(f"a window has {self.receptive_field} frames, got {keypoints.shape[1]}")
        return self._joints(torch.cat(self._windows(self._seen(keypoints), self._maps()), dim=1))

    def _windows(self, x: Tensor, maps: InputMaps) -> list[Tensor]:
        """Z-scored keypoints (N, W + T - 1, 2 K) -> T z-scored poses (N, W, 3 (J - 1)) of each of the W windows.

        Windows are rows of slices: the gates of frame t are computed once and serve all windows it is in.
        """
        frames, (encoder_map, decoder_map) = self.receptive_field, maps
        windows = x.shape[1] - (frames - 1)
        gates = self.encoder.gates(x, encoder_map)
        order = range(frames - 1, -1, -1) if self.settings.reverse else range(frames)
        state: State | None = None
        for t in order:
            state = self.encoder.cell(gates[:, t : t + windows].flatten(0, 1), state)
        assert state is not None
        # "a vector of ones": the start token is the same for all windows
        pose = torch.ones(1, self.joint_mean.shape[0], dtype=x.dtype, device=x.device)
        if self.training:
            pose = pose.expand(state[1].shape[0], -1)  # each window drops its own
        poses = []
        for _ in range(frames):
            state = self.decoder.cell(self.decoder.gates(pose, decoder_map), state)
            change = self.speak(self.decoder.dropout(state[1]))
            pose = pose + change if self.settings.residual else change  # fed back in training too
            poses.append(pose.unflatten(0, (-1, windows)))
        return poses

    def _maps(self) -> InputMaps:
        return self.encoder.input_map(), self.decoder.input_map()

    def _seen(self, keypoints: Tensor) -> Tensor:  # (N, F, K, 2) -> (N, F, 2 K) z-scored
        return (keypoints[:, :, self.seen].flatten(2) - self.keypoint_mean) / self.keypoint_std

    def _joints(self, poses: Tensor) -> Tensor:  # (N, F, 3 (J - 1)) z-scored -> (N, F, J, 3) metres
        joints = (poses * self.joint_std + self.joint_mean).unflatten(2, (-1, 3))
        return nn.functional.pad(joints, (0, 0, 1, 0))

    def _check(self, keypoints: Tensor) -> None:
        if torch.jit.is_tracing():
            return
        expected = (len(self.keypoint_names), 2)
        if keypoints.ndim != 4 or tuple(keypoints.shape[2:]) != expected or keypoints.shape[1] == 0:
            raise InputError(
                f"Seq2Seq takes keypoints (clips, frames, {expected[0]}, 2), got {tuple(keypoints.shape)}.",
                f"Give x and y of these keypoints, in this order: {', '.join(self.keypoint_names)}.",
                "keypoints-shape",
            )


@torch.no_grad()
def online(net: Seq2Seq, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Lift frames as they come: each keypoint frame (K, 2) is answered at once with its joints (J, 3).

    The answers are those of `forward` with ``first_frames="held"``. The network must be in evaluation mode.
    """
    if net.training:
        raise ValueError("the network is in training mode")
    maps = net._maps()
    past: deque[Tensor] = deque(maxlen=net.receptive_field)
    for frame in frames:
        net._check(frame[None, None])
        past.extend([frame] * (1 if past else net.receptive_field))
        yield net._joints(net._windows(net._seen(torch.stack(tuple(past))[None]), maps)[-1])[0, 0]


def joint_sets(skeleton: Skeleton, sets: Literal["paper", "program"]) -> tuple[list[int], list[int], list[int]]:
    """Joints of eq. 2's three sets without the root: those weighed by eta, by rho and by tau.

    Paper: knees and elbows are limb middles; all joints beyond them (ankles, wrists, and toes and hands where a
    skeleton has them) are limb ends. Program: knees and beyond, elbows and beyond.
    """
    found: tuple[list[int], list[int], list[int]] = ([], [], [])
    limb: dict[int, str] = {}  # the middle that a joint is, or lies beyond
    for joint, (name, parent) in enumerate(zip(skeleton.joints, skeleton.parents, strict=True)):
        middle = next((kind for kind in ("knee", "elbow") if kind in name), None)
        kind = middle or limb.get(parent)
        if joint == 0:
            continue
        if kind is None:
            found[0].append(joint)
            continue
        limb[joint] = kind
        if sets == "paper":
            found[1 if middle else 2].append(joint)
        else:
            found[1 if kind == "knee" else 2].append(joint)
    return found


def smoothness_weights(skeleton: Skeleton, settings: Seq2SeqSettings) -> Tensor:
    """(3 (J - 1),) eta, rho or tau for each coordinate that the network predicts (eq. 2)."""
    weights = torch.ones(skeleton.joint_count)
    for joints, weight in zip(
        joint_sets(skeleton, settings.joint_sets), (settings.eta, settings.rho, settings.tau), strict=True
    ):
        weights[joints] = weight
    return weights[1:].repeat_interleave(3)


def loss(net: Seq2Seq, keypoints: Tensor, joints: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Eq. 3: position error plus temporal smoothness.

    Args:
        net: in training mode it hears its own answers, never the true ones, as in the program.
        keypoints: (N, T', K, 2); all T' - T + 1 windows of a sample count (Sec. 4, "Data pre-processing").
        joints: (N, T', J, 3) metres, relative to the root.

    Returns:
        the loss, and its parts: ``position`` (eq. 1), ``smoothness`` (eq. 2), both in `loss_units` squared before their
        weights alpha and beta, and ``mpjpe`` in metres over all frames and joints, the root among them.
    """
    settings, frames = net.settings, net.receptive_field
    predicted = net.sequence(keypoints.unfold(1, frames, 1).movedim(-1, 2).flatten(0, 1))
    true = joints.unfold(1, frames, 1).movedim(-1, 2).flatten(0, 1)
    unit = 1000.0 if settings.loss_units == "millimetres" else 1 / net.joint_std
    spoken = predicted[:, :, 1:].flatten(2) * unit
    error = spoken - true[:, :, 1:].flatten(2) * unit
    change = spoken[:, 1:] - spoken[:, :-1]
    position = error.square().mean()
    smoothness = (net.smoothness * change.square()).mean()
    if settings.average == "frame":  # the sums over coordinates of eqs. 1 and 2
        position, smoothness = position * error.shape[-1], smoothness * error.shape[-1]
    total = settings.alpha * position + settings.beta * smoothness
    mpjpe = (predicted - true).norm(dim=-1).mean()
    return total, {
        "position": position.detach(),
        "smoothness": smoothness.detach(),
        "mpjpe": mpjpe.detach(),
    }
