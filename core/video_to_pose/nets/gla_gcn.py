# SPDX-License-Identifier: GPL-3.0-or-later
"""GLA-GCN: a global-local adaptive graph convolutional network (Yu et al. 2023, "GLA-GCN: Global-local adaptive graph
convolutional network for 3D human pose estimation from monocular video").

Joints stay nodes of a graph from the keypoints to the answer. Blocks of graph convolution over joints and temporal
convolution over frames (AGCN, Sec. 3.1) describe the window; they may be made to reconstruct the whole 3D sequence
(L_global). Strided blocks shrink T frames to one, and each joint's own features give its position (Sec. 3.2).

**Whole clips.** The graph of a block depends on its whole window (C of eq. 3 is pooled over it) and temporal
convolutions are padded with zeros at its ends, so no two windows share anything behind the first ReLU: `forward`
computes every window. It is exact. Two modes are approximate, and are called by their names only:

- `reconstruct`: the reconstruction head answers T frames at once, windows overlap and fade into each other;
- `interpolate`: every n-th frame is lifted exactly, those between follow a cubic.

`deviation` says how far they are from the exact answer on a given clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..skeleton import Skeleton
from .tcn import at_target

FRAMES_AT_ONCE = 972
"""Windows lifted together hold about so many frames: more run out of the processor's cache, fewer waste its width."""

SUBSETS = 3
"""K of Sec. 3.1: the joint itself, its centripetal and its centrifugal neighbours."""


@dataclass(frozen=True)
class GLAGCNSettings:
    """The network and its loss. Where paper and authors' program differ or the paper is silent, the program's choice is
    named; to have the program's network: ``b_init=1e-6, dropout_place="program"``.

    Attributes:
        receptive_field: T: 27, 81, 243 (any power of three from 9 up).
        channels: C: 96, or 512 for the largest model.
        reconstruction: whether the blocks before the strided ones reconstruct the 3D sequence (rows with * in Table 5).
            The program does not have it: its strided blocks follow the first block at once.
        reconstruction_blocks: AGCN(C, C, 1) blocks between the first and the reconstruction; three make the paper's
            number of parameters.
        blend: lambda of eq. 7, a number from 0 (all joints share a layer; the program, and Table 5's parameters) to 1
            (each joint has its own). The paper does not say what it took.
        joint_layer: ``"fully connected"`` for Table 6's row 3: all joints' features to all joints.
        shrink: ``"pool"`` for Table 6's row 2: no strides, the mean over T at the end.
        adaptive: False for Table 6's row 1: the graph is A alone, as in ST-GCN.
        temporal_kernel: Gamma; the paper says 9 and, elsewhere, 3. The program has 9.
        stride_centre: ``"first"``: a strided convolution looks around the first of its three frames (the program),
            ``"middle"``: around the middle one, which the residual takes.
        adjacency: ``"cardinality"``: 1 / Z of eq. 1, the mean over the subset; so the program. ``"symmetric"``: as
            under eq. 2. That one, with alpha = 0.001, weighs a neighbour that has an empty subset itself (the root, the
            leaves) about thirty times as much as any other.
        alpha: of the symmetric normalisation.
        b_init: what B starts from: 0, the program 1e-6.
        embedding_init: ``"kaiming"`` as the program, or ``"zero"`` as the paper says. From zero theta and phi never
            learn: each one's gradient is a multiple of the other, and C stays 1 / J everywhere.
        dropout: share silenced.
        dropout_place: ``"between"`` the graph and the temporal convolution, as the paper says; ``"program"``: before
            the graph convolution's residual, and behind each block of the strided modules.
        causal: the answered frame is the window's last. The paper and the program have no such model.
        refine: a perceptron that blends x and y with those seen in the picture. Not in the paper's text, nor in the
            program; the parameters in Table 5 (1.88 M, 48.64 M) are only met with it (see `Refinement`).
        label_noise: in training, targets are rotated and scaled a little (see `disturb`). The program does so, the
            paper does not say it.
    """

    receptive_field: int = 243
    channels: int = 96
    reconstruction: bool = False
    reconstruction_blocks: int = 3
    blend: float = 0.0
    joint_layer: Literal["individual", "fully connected"] = "individual"
    shrink: Literal["stride", "pool"] = "stride"
    adaptive: bool = True
    temporal_kernel: int = 9
    stride_centre: Literal["first", "middle"] = "first"
    adjacency: Literal["cardinality", "symmetric"] = "cardinality"
    alpha: float = 0.001
    b_init: float = 0.0
    embedding_init: Literal["kaiming", "zero"] = "kaiming"
    dropout: float = 0.1
    dropout_place: Literal["between", "program"] = "between"
    causal: bool = False
    refine: bool = False
    label_noise: bool = False

    def __post_init__(self) -> None:
        if 3**self.stages != self.receptive_field or self.stages < 2:
            raise ValueError(f"the receptive field must be 9, 27, 81, 243 …, got {self.receptive_field}")
        if self.temporal_kernel % 2 == 0 or self.temporal_kernel < 3:
            raise ValueError(f"the temporal kernel must be odd and at least 3, got {self.temporal_kernel}")
        if not 0 <= self.blend <= 1:
            raise ValueError(f"blend (lambda) must lie between 0 and 1, got {self.blend}")

    @property
    def stages(self) -> int:
        """Strided modules that shrink T frames to one."""
        return round(math.log(self.receptive_field, 3))


def neighbour_subsets(skeleton: Skeleton, pose: Tensor | None = None) -> Tensor:
    """(3, J, J) the sets of eq. 1: entry [k, i, j] is 1 when joint j is in joint i's subset k.

    Subset 0 is the joint itself (and neighbours as far from the centre as it is), 1 the centripetal neighbours, closer
    to the gravity centre, 2 the centrifugal ones, farther from it.

    Args:
        skeleton: neighbours are a bone apart.
        pose: (J, 2 or 3) typical positions whose mean is the gravity centre. Without it, distances are bones to the
            root, as in the program (which, for Human3.6M, builds its graph one joint off the order of its data).
    """
    joints = skeleton.joint_count
    if pose is None:
        distance = [0.0] * joints
        for joint in range(1, joints):
            distance[joint] = distance[skeleton.parents[joint]] + 1
    else:
        distance = (pose - pose.mean(dim=0)).norm(dim=1).tolist()
    subsets = torch.zeros(SUBSETS, joints, joints)
    subsets[0] = torch.eye(joints)
    for child, parent in enumerate(skeleton.parents[1:], start=1):
        for joint, other in ((child, parent), (parent, child)):
            farther = int(distance[other] > distance[joint]) - int(distance[other] < distance[joint])
            subsets[{0: 0, -1: 1, 1: 2}[farther], joint, other] = 1
    return subsets


def normalise_adjacency(subsets: Tensor, kind: Literal["cardinality", "symmetric"], alpha: float) -> Tensor:
    """A_k of eq. 2 from `neighbour_subsets`: divided by the subset's cardinality (eq. 1), or Λ^-½ Ā Λ^-½."""
    degree = subsets.sum(dim=2)
    if kind == "cardinality":
        return subsets / degree.clamp_min(1)[:, :, None]
    root = (degree + alpha).rsqrt()
    return root[:, :, None] * subsets * root[:, None, :]


def _fold(weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A linear map or convolution and the batch normalisation behind it as one: what inference runs."""
    assert norm.running_var is not None and norm.running_mean is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return weight * scale.view(-1, *[1] * (weight.ndim - 1)), (bias - norm.running_mean) * scale + norm.bias


def _linear(x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """(N, T, J, inputs) -> (N, T, J, outputs), batch normalised."""
    if not norm.training:
        return nn.functional.linear(x, *_fold(weight, bias, norm))
    return norm(nn.functional.linear(x, weight, bias).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class AdaptiveGraphConvolution(nn.Module):
    """Eqs. 2 and 3: each joint gathers from three graphs A + B + C, then a linear map each.

    A is the skeleton, B is learnt, C says how alike two joints are in this window.
    """

    A: Tensor

    def __init__(self, inputs: int, outputs: int, A: Tensor, settings: GLAGCNSettings) -> None:
        super().__init__()
        self.register_buffer("A", A, persistent=False)
        self.adaptive = settings.adaptive
        self.embedded = outputs // 4 or 3
        if self.adaptive:
            self.B = nn.Parameter(torch.full_like(A, settings.b_init))
            self.embed = nn.Linear(inputs, 2 * SUBSETS * self.embedded)  # theta_1..3, phi_1..3
            nn.init.zeros_(self.embed.bias)
            if settings.embedding_init == "zero":
                nn.init.zeros_(self.embed.weight)
            else:
                nn.init.normal_(self.embed.weight, std=math.sqrt(2 / self.embedded))
        self.map = nn.Linear(SUBSETS * inputs, outputs, bias=False)  # W_1..3 side by side
        nn.init.normal_(self.map.weight, std=math.sqrt(2 / (SUBSETS * outputs * inputs)))
        self.bias = nn.Parameter(torch.zeros(SUBSETS, outputs))
        self.norm = nn.BatchNorm2d(outputs)
        nn.init.constant_(self.norm.weight, 1e-6)  # a block begins as its residual
        self.down, self.down_norm = None, None
        if inputs != outputs:
            self.down = nn.Linear(inputs, outputs)
            nn.init.kaiming_normal_(self.down.weight, mode="fan_out")
            nn.init.zeros_(self.down.bias)
            self.down_norm = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(settings.dropout if settings.dropout_place == "program" else 0.0)

    def graph(self, x: Tensor) -> Tensor:
        """(N, T, J, inputs) -> (N or 1, 3, J, J): how much joint i (third axis) takes of joint j (last axis)."""
        if not self.adaptive:
            return self.A[None]
        theta, phi = self.embed(x).reshape(*x.shape[:3], 2, SUBSETS, self.embedded).unbind(3)
        # Eq. 3, summed over the window: the frames' products are added up instead of laid out in one long vector.
        alike = (phi.transpose(2, 3) @ theta.permute(0, 1, 3, 4, 2)).sum(dim=1)  # (N, 3, J, J)
        C = (alike / (self.embedded * x.shape[1])).softmax(dim=3)
        return self.A + self.B + C

    def forward(self, x: Tensor) -> Tensor:  # (N, T, J, inputs) -> (N, T, J, outputs)
        graph = self.graph(x).transpose(1, 2)  # (N, J, 3, J): for each joint its three sums
        graph = graph.reshape(-1, 1, SUBSETS * x.shape[2], x.shape[2])
        gathered = (graph @ x).reshape(*x.shape[:3], SUBSETS * x.shape[3])
        y = self.dropout(_linear(gathered, self.map.weight, self.bias.sum(dim=0), self.norm))
        if self.down is not None and self.down_norm is not None:
            x = _linear(x, self.down.weight, self.down.bias, self.down_norm)
        return y.add_(x).relu_()


class AGCN(nn.Module):
    """AGCN(inputs, outputs, stride): graph convolution, temporal convolution, residual.

    Args:
        inputs: channels in.
        outputs: channels out.
        A: (3, J, J) normalised adjacency.
        settings: of the network.
        stride: of the temporal convolution.
        residual: False for the second block of a strided module.
        signed: leave the last ReLU out. So the reconstruction ends: coordinates have both signs.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        A: Tensor,
        settings: GLAGCNSettings,
        *,
        stride: int = 1,
        residual: bool = True,
        signed: bool = False,
    ) -> None:
        super().__init__()
        kernel = settings.temporal_kernel
        padding = (kernel - 3) // 2 if stride > 1 and settings.stride_centre == "middle" else (kernel - 1) // 2
        self.graph = AdaptiveGraphConvolution(inputs, outputs, A, settings)
        self.dropout = nn.Dropout(settings.dropout if settings.dropout_place == "between" else 0.0)
        self.time = nn.Conv2d(outputs, outputs, (kernel, 1), stride=(stride, 1), padding=(padding, 0))
        self.norm = nn.BatchNorm2d(outputs)
        self.signed, self.residual = signed, residual
        self.down, self.down_norm = None, None
        convolutions: list[nn.Conv2d | nn.Linear] = [self.time]
        if self.residual and inputs != outputs:
            self.down, self.down_norm = nn.Linear(inputs, outputs), nn.BatchNorm2d(outputs)
            convolutions.append(self.down)
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, J, inputs) -> (N, T / stride, J, outputs)
        # Channels are last in memory throughout, which both the matrix products and the convolution like best.
        y = self.dropout(self.graph(x)).permute(0, 3, 1, 2)
        if self.training:
            y = self.norm(self.time(y)).permute(0, 2, 3, 1)
        else:
            assert self.time.bias is not None
            weight, bias = _fold(self.time.weight, self.time.bias, self.norm)
            y = nn.functional.conv2d(y, weight, bias, self.time.stride, self.time.padding).permute(0, 2, 3, 1)
        if self.down is not None and self.down_norm is not None:
            y = y.add_(_linear(x, self.down.weight, self.down.bias, self.down_norm))
        elif self.residual:
            y = y.add_(x)
        return y if self.signed else y.relu_()


class StridedModule(nn.Module):
    """Two AGCN blocks, the second one with stride 3, "surrounded by residual connections" (Sec. 3.1): T -> T / 3.

    Pooled (Table 6 row 2), nothing is strided.
    """

    def __init__(self, channels: int, A: Tensor, settings: GLAGCNSettings) -> None:
        super().__init__()
        self.stride = 3 if settings.shrink == "stride" else 1
        self.tap = 0 if self.stride == 1 else 2 if settings.causal else 1
        self.first = AGCN(channels, channels, A, settings)
        self.second = AGCN(channels, channels, A, settings, stride=self.stride, residual=False)
        self.dropout = nn.Dropout(settings.dropout if settings.dropout_place == "program" else 0.0)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, J, C) -> (N, T / 3, J, C)
        y = self.dropout(self.second(self.dropout(self.first(x))))
        return x[:, self.tap :: self.stride] + y


class IndividuallyConnected(nn.Module):
    """Eqs. 5 to 7: each joint's features to its position, by a layer of its own, by a shared one, or both blended."""

    def __init__(self, joints: int, channels: int, blend: float) -> None:
        super().__init__()
        self.blend = blend
        self.shared = nn.Linear(channels, 3) if blend < 1 else None
        self.weight = nn.Parameter(torch.empty(joints, channels, 3)) if blend > 0 else None
        self.bias = nn.Parameter(torch.zeros(joints, 3)) if blend > 0 else None
        if self.weight is not None:
            nn.init.uniform_(self.weight, -(channels**-0.5), channels**-0.5)  # as torch's linear layers

    def forward(self, v: Tensor) -> Tensor:  # (N, J, C) -> (N, J, 3)
        answer = torch.zeros((), dtype=v.dtype, device=v.device)
        if self.weight is not None and self.bias is not None:
            unshared = (v[:, :, None] @ self.weight)[:, :, 0] + self.bias  # eq. 5
            answer = answer + self.blend * unshared
        if self.shared is not None:
            answer = answer + (1 - self.blend) * self.shared(v)  # eqs. 6 and 7
        return answer


class Refinement(nn.Module):
    """x and y blended with those the keypoints show, by weights from a perceptron 6 J -> 1024 -> 2 J.

    The paper's text has no such part. Table 5's sizes do: 102 -> 1024 -> 34 is the refinement of Cai et al. 2019, from
    which such programs descend. There the second pose is the keypoints thrown back to the estimated depth through the
    known camera. No camera is known here, so keypoints about the root are scaled to fit the estimate (weak
    perspective).
    """

    def __init__(self, joints: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.hidden = nn.Linear(6 * joints, 1024)
        self.weights = nn.Linear(1024, 2 * joints)
        self.dropout = nn.Dropout(dropout)

    def forward(self, joints: Tensor, keypoints: Tensor) -> Tensor:  # (N, J, 3), (N, J, 2) -> (N, J, 3)
        xy, z = joints[..., :2], joints[..., 2:]
        own, seen = xy - xy[:, :1], keypoints - keypoints[:, :1]
        square = seen.square().sum(dim=(1, 2), keepdim=True).clamp_min(1e-9)
        seen = seen * ((own * seen).sum(dim=(1, 2), keepdim=True) / square) + xy[:, :1]
        both = torch.cat([joints, seen, z], dim=2).flatten(1)
        weight = torch.sigmoid(self.weights(self.dropout(torch.relu(self.hidden(both))))).unflatten(1, (-1, 2))
        return torch.cat([weight * xy + (1 - weight) * seen, z], dim=2)


class GLAGCN(nn.Module):
    """The paper's network, a `LiftingNet`. The nodes of its graph are keypoints and joints alike: K = J.

    Args:
        skeleton: names the keypoints and the joints, in their order.
        settings: the paper's by default.
        pose: (J, 2 or 3) a typical pose for the distances of `neighbour_subsets`.
    """

    needs_scores = False

    def __init__(self, skeleton: Skeleton, settings: GLAGCNSettings | None = None, pose: Tensor | None = None) -> None:
        super().__init__()
        settings = settings or GLAGCNSettings()
        self.skeleton, self.settings = skeleton, settings
        self.receptive_field = settings.receptive_field
        self.target = self.receptive_field - 1 if settings.causal else self.receptive_field // 2
        joints, C = skeleton.joint_count, settings.channels
        A = normalise_adjacency(neighbour_subsets(skeleton, pose), settings.adjacency, settings.alpha)
        self.enter = nn.BatchNorm1d(2 * joints)
        blocks = settings.reconstruction_blocks if settings.reconstruction else 0
        self.blocks = nn.ModuleList(AGCN(C if i else 2, C, A, settings) for i in range(1 + blocks))
        self.sequence_head = AGCN(C, 3, A, settings, signed=True) if settings.reconstruction else None
        self.stages = nn.ModuleList(StridedModule(C, A, settings) for _ in range(settings.stages))
        if settings.joint_layer == "individual":
            self.answer: nn.Module = IndividuallyConnected(joints, C, settings.blend)
        else:
            self.answer = nn.Sequential(nn.Flatten(1), nn.Linear(joints * C, 3 * joints), nn.Unflatten(1, (joints, 3)))
        self.refine = Refinement(joints) if settings.refine else None

    def forward(self, keypoints: Tensor) -> Tensor:
        """Whole clips (N, F, K, 2) -> (N, F, J, 3), a window for every frame; the ends are held. Exact.

        Raises:
            InputError: when keypoints are not (N, F, K, 2).
        """
        return self._lift(keypoints, torch.arange(keypoints.shape[1], device=keypoints.device))

    def window(self, keypoints: Tensor) -> Tensor:
        """Windows (N, T, K, 2) -> (N, J, 3), the target frame's joints."""
        self._check(keypoints)
        return self._local(self.features(keypoints), keypoints)

    def sequence(self, keypoints: Tensor) -> Tensor:
        """Windows (N, T, K, 2) -> (N, T, J, 3), the reconstructed 3D sequence (Sec. 3.1).

        Raises:
            ValueError: the network has no reconstruction.
        """
        self._check(keypoints)
        return self._global(self.features(keypoints))

    def reconstruct(self, keypoints: Tensor, hop: int | None = None) -> Tensor:
        """Approximate: whole clips (N, F, K, 2) -> (N, F, J, 3) by the reconstruction head.

        A window is lifted every `hop` frames (T // 3 unless given), all its T frames are kept, and overlapping windows
        fade into each other. The answers are the sequence head's, not those of the individually connected layers.
        """
        T, F = self.receptive_field, keypoints.shape[1]
        hop = hop or max(1, T // 3)
        if not 1 <= hop <= T:
            raise ValueError(f"hop must lie between 1 and {T} frames, got {hop}")
        # A window every `hop` frames, answering from the middle on: frame s's window begins T // 2 frames before it.
        starts = torch.arange(0, F + T // 2, hop)
        padded = _hold(keypoints, T // 2, T + hop)
        ramp = torch.minimum(torch.arange(1, T + 1), torch.arange(T, 0, -1)).to(keypoints)[:, None, None]
        total = keypoints.new_zeros(len(keypoints), padded.shape[1], self.skeleton.joint_count, 3)
        weight = keypoints.new_zeros(padded.shape[1], 1, 1)
        at_once = max(1, FRAMES_AT_ONCE // T // len(keypoints))
        for batch in starts.split(at_once):
            windows = torch.stack([padded[:, s : s + T] for s in batch.tolist()], dim=1)
            answers = self.sequence(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
            for answer, s in zip(answers.unbind(1), batch.tolist(), strict=True):
                total[:, s : s + T] += ramp * answer
                weight[s : s + T] += ramp
        return (total / weight)[:, T // 2 : T // 2 + F]

    def interpolate(self, keypoints: Tensor, every: int = 4) -> Tensor:
        """Approximate: whole clips (N, F, K, 2) -> (N, F, J, 3), every n-th frame exact, a cubic between.

        Of captured motion at 30 frames/s, this cubic misses 1.8 mm in the mean and 6.6 mm at the 95th percentile when
        every fourth frame is known (every second: 0.6 and 2.4 mm; every eighth: 6.8 and 27 mm).
        """
        F = keypoints.shape[1]
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        keys = torch.tensor([*range(0, F - 1, every), F - 1], device=keypoints.device)
        return _cubic(self._lift(keypoints, keys), keys, F)

    def exportable(self) -> torch.jit.ScriptModule:
        """What to give to `torch.onnx.export` in evaluation mode: `forward` as a loop over windows.

        The network itself can be exported too, but its graph lifts all windows of a clip at once, in memory that grows
        with the clip.
        """
        if self.training:
            raise ValueError("the network is in training mode")
        return torch.jit.script(_EachWindow(self))

    def features(self, keypoints: Tensor) -> Tensor:
        """(N, T, K, 2) -> (N, T, J, C): the global representation that both heads start from."""
        shape = (-1, self.receptive_field, self.skeleton.joint_count, 2)
        x = keypoints.reshape(*shape[:2], 2 * shape[2])
        x = self.enter(x.transpose(1, 2)).transpose(1, 2).reshape(shape)
        for block in self.blocks:
            x = block(x)
        return x

    def _global(self, x: Tensor) -> Tensor:  # (N, T, J, C) -> (N, T, J, 3)
        if self.sequence_head is None:
            raise ValueError("this network was made without reconstruction")
        return self.sequence_head(x)

    def _local(self, x: Tensor, keypoints: Tensor) -> Tensor:  # (N, T, J, C) -> (N, J, 3)
        for stage in self.stages:
            x = stage(x)
        joints = self.answer(x.mean(dim=1))  # of one frame, or of all when pooled
        return joints if self.refine is None else self.refine(joints, keypoints[:, self.target])

    def _lift(self, keypoints: Tensor, frames: Tensor) -> Tensor:
        """(N, F, K, 2) -> (N, len(frames), J, 3): the windows that answer some frames, a few at a time."""
        self._check(keypoints)
        T = self.receptive_field
        padded = _hold(keypoints, self.target, T - 1 - self.target)
        steps = torch.arange(T, device=keypoints.device)
        at_once = max(1, FRAMES_AT_ONCE // T // len(keypoints))
        batches = (frames,) if torch.jit.is_tracing() else frames.split(at_once)
        answers = []
        for batch in batches:
            windows = padded[:, batch[:, None] + steps]  # (N, B, T, K, 2)
            answers.append(self.window(windows.flatten(0, 1)).unflatten(0, windows.shape[:2]))
        return torch.cat(answers, dim=1)

    def _check(self, keypoints: Tensor) -> None:
        if torch.jit.is_tracing():
            return
        expected = (self.skeleton.joint_count, 2)
        if keypoints.ndim != 4 or tuple(keypoints.shape[2:]) != expected or keypoints.shape[1] == 0:
            raise InputError(
                f"GLA-GCN takes keypoints (clips, frames, {expected[0]}, 2), got {tuple(keypoints.shape)}.",
                f"Give x and y of these keypoints, in this order: {', '.join(self.skeleton.joints)}.",
                "keypoints-shape",
            )


class _Window(nn.Module):
    """`GLAGCN.window` as a module, so that it can be traced."""

    def __init__(self, net: GLAGCN) -> None:
        super().__init__()
        self.net = net

    def forward(self, keypoints: Tensor) -> Tensor:
        # The shape is known here, but inside a loop ONNX has to be told.
        return self.net.window(keypoints.reshape(-1, self.net.receptive_field, self.net.skeleton.joint_count, 2))


class _EachWindow(nn.Module):
    """`GLAGCN.forward`, one window after the other: the loop stays a loop in ONNX."""

    def __init__(self, net: GLAGCN) -> None:
        super().__init__()
        self.receptive_field, self.target = net.receptive_field, net.target
        example = torch.zeros(2, net.receptive_field, net.skeleton.joint_count, 2, device=net.enter.weight.device)
        with torch.no_grad():
            self.window = torch.jit.trace(_Window(net), example, check_trace=False)

    def forward(self, keypoints: Tensor) -> Tensor:
        first = keypoints[:, :1].expand(-1, self.target, -1, -1)
        last = keypoints[:, -1:].expand(-1, self.receptive_field - 1 - self.target, -1, -1)
        padded = torch.cat([first, keypoints, last], dim=1)
        answers: list[Tensor] = []
        for frame in range(keypoints.shape[1]):
            answers.append(self.window(padded[:, frame : frame + self.receptive_field]))
        return torch.stack(answers, dim=1)


def _hold(keypoints: Tensor, before: int, after: int) -> Tensor:  # (N, F, …) with its end frames repeated
    first = keypoints[:, :1].expand(-1, before, *keypoints.shape[2:])
    last = keypoints[:, -1:].expand(-1, after, *keypoints.shape[2:])
    return torch.cat([first, keypoints, last], dim=1)


def _cubic(values: Tensor, keys: Tensor, frames: int) -> Tensor:
    """(N, len(keys), …) at frames `keys` (from 0 to frames - 1) -> (N, frames, …) by cubic Hermite pieces."""
    if len(keys) < 2:
        return values
    shape = (-1,) + (1,) * (values.ndim - 2)
    gap = (keys[1:] - keys[:-1]).to(values).view(shape)
    slope = (values[:, 1:] - values[:, :-1]) / gap
    inner = (slope[:, :-1] * gap[1:] + slope[:, 1:] * gap[:-1]) / (gap[1:] + gap[:-1])
    tangent = torch.cat([slope[:, :1], inner, slope[:, -1:]], dim=1)
    at = torch.arange(frames, device=keys.device)
    piece = (torch.searchsorted(keys, at, right=True) - 1).clamp(0, len(keys) - 2)
    h = gap[piece]
    u = (at - keys[piece]).to(values).view(shape) / h
    start, end = values[:, piece], values[:, piece + 1]
    rise = (2 * u**3 - 3 * u**2 + 1) * start + (3 * u**2 - 2 * u**3) * end
    return rise + h * ((u**3 - 2 * u**2 + u) * tangent[:, piece] + (u**3 - u**2) * tangent[:, piece + 1])


@torch.no_grad()
def deviation(net: GLAGCN, keypoints: Tensor, answer: Tensor, samples: int = 50) -> tuple[float, float]:
    """Mean and largest distance, in metres, of an approximate answer from the exact one, on a sample of frames.

    Args:
        net: in evaluation mode.
        keypoints: (N, F, K, 2) the clips.
        answer: (N, F, J, 3) what `reconstruct` or `interpolate` gave.
        samples: frames that are lifted exactly, spread over the clip.
    """
    frames = (
        torch.linspace(0, keypoints.shape[1] - 1, min(samples, keypoints.shape[1])).round().long().to(keypoints.device)
    )
    distance = (net._lift(keypoints, frames) - answer[:, frames]).norm(dim=-1)
    return distance.mean().item(), distance.max().item()


def disturb(joints: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The program's noise on training targets (N, T, J, 3): each sample turned by -5, 0 or 5 degrees in the image plane
    and scaled by 0.95, 1 or 1.05. Keypoints are left as they are."""
    count = len(joints)
    turn, size = (torch.randint(0, 3, (count,), generator=generator).to(joints.device) - 1 for _ in range(2))
    angle, scale = torch.deg2rad(5.0 * turn), (1 + 0.05 * size)[:, None, None]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    x, y, z = joints.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], dim=-1) * scale[..., None]


def loss(net: GLAGCN, keypoints: Tensor, joints: Tensor, stage: int = 1) -> tuple[Tensor, dict[str, Tensor]]:
    """The two-stage loss of Sec. 3.2.

    Args:
        net: in training mode.
        keypoints: (N, T, K, 2) windows.
        joints: (N, T, J, 3) metres; (N, 1, J, 3) will do where there is no reconstruction to supervise.
        stage: 1 minimises L_global + L_local, 2 L_local alone. Without reconstruction there is L_local alone.

    Returns:
        the loss, and its parts: ``local`` (eq. 8, the mean per joint position error), ``global`` (eq. 4).
    """
    if net.settings.label_noise and net.training:
        joints = disturb(joints)
    features = net.features(keypoints)
    local = (net._local(features, keypoints) - at_target(joints, net.target)).norm(dim=-1).mean()  # eq. 8
    parts = {"local": local.detach()}
    if net.sequence_head is None or stage != 1:
        return local, parts
    whole = (net._global(features) - joints).norm(dim=-1).mean()  # eq. 4
    return local + whole, parts | {"global": whole.detach()}
