# SPDX-License-Identifier: GPL-3.0-or-later
"""SRNet (Zeng et al. 2020, "SRNet: Improving generalization in 3D human pose estimation with a
split-and-recombine approach").

The body is split into groups of joints, each with its own branch. A group learns of the rest of the body only through
H numbers a layer (Eq. 6) that are recombined with its own features (Eq. 5), so that a rare pose made of common parts
still looks common to every branch.

One layer, `SRConv`, is all three of the paper's: fully connected (one group, Eq. 1), group connected (H = 0, Eq. 4)
and split-and-recombine (Eq. 5). With filters of one frame it is the single-frame layer, with wider ones the SR
convolution. Which layer stands where gives the six networks of Fig. 3 (`layer_kinds`).

What the paper leaves open follows the authors' program: what the gate is (sigmoid of a batch-normalised convolution),
that context weights start at zero, that group layers have no bias, not even the last, and that the root is an input
and an output of every group (its answer is read from the first).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError
from ..skeleton import Skeleton

Groups = tuple[tuple[str, ...], ...]
"""Joint names of each group. Together they cover the skeleton; only the root may stand in several."""

Structure = Literal["full", "group", "late_fusion", "early_split", "split_fuse_split", "split_recombine"]
Kind = Literal["full", "group", "recombine"]


@dataclass(frozen=True)
class SRNetSettings:
    """The paper's choices are the defaults.

    Attributes:
        structure: the network of Fig. 3.
        filter_widths: frames each level looks at; T is their product. (1, 1, 1, 1) is the paper's eight-layer
            single-frame network, (1, 1, 1) its six-layer one, (3, 3, 3, 3, 3) is T = 243. See `filter_widths`.
        channels: features of a layer, all groups together.
        groups: a number that `joint_groups` knows, or the groups themselves.
        shuffled: so many groups exchange their joints at random (Table 5); 0 leaves all as they are.
        shuffle_seed: of that exchange.
        root_in_every_group: as in the authors' program; False leaves the root to the torso's (first fitting) group.
        context_dims: H of Eq. 6; 0 closes the gate.
        context_share: when above 0, H is this share of the group's own features instead (Table 3's percentages).
        combine: the operator of Eq. 5. Multiplication and addition recombine each of H numbers with one of H equal
            parts of the group's features (with H = 1, the paper's choice, with all of them).
        context_activation: the context of addition and concatenation passes a leaky ReLU (authors' program);
            False is Eq. 6 to the letter. A multiplied context always passes batch normalisation and a sigmoid.
        fuse_layer: L_fuse of Eq. 7, group connected layers before the fully connected ones.
        split_layer: L_split of Eq. 8, fully connected layers before the group connected ones.
        linked_layers: L_link, fully connected layers in the middle of split-fuse-split.
        spare_output: the last group has one output more that is never read, as in the authors' program and so in
            the parameter counts.
        normalisation: "basic": keypoints in, joints in metres out. "pixel": the network's answer is the joints as the
            camera sees them, x and y as a correction of the keypoints; see `pixel_targets`. One frame only.
        causal: a frame is answered from itself and frames before it.
        dropout: none in the authors' program.
        slope: of the leaky ReLU.
    """

    structure: Structure = "split_recombine"
    filter_widths: tuple[int, ...] = (1, 1, 1, 1)
    channels: int = 1024
    groups: int | Groups = 5
    shuffled: int = 0
    shuffle_seed: int = 0
    root_in_every_group: bool = True
    context_dims: int = 1
    context_share: float = 0.0
    combine: Literal["multiply", "add", "concat"] = "multiply"
    context_activation: bool = True
    fuse_layer: int = 4
    split_layer: int = 4
    linked_layers: int = 2
    spare_output: bool = True
    normalisation: Literal["basic", "pixel"] = "basic"
    causal: bool = False
    dropout: float = 0.0
    slope: float = 0.01


def filter_widths(frames: int, layers: int = 8) -> tuple[int, ...]:
    """Filter widths for T = 1 (with a number of layers), 3, 9, 27, 81, 243, … frames."""
    if frames == 1:
        return (1,) * (layers // 2)
    levels = round(float(np.log(frames) / np.log(3)))
    if 3**levels != frames:
        raise InputError(
            f"SRNet cannot look at {frames} frames.", "Use 1 or a power of three: 27, 81, 243.", "receptive-field"
        )
    return (3,) * levels


# --- Groups (Sec. 3, Fig. 6) ---------------------------------------------------------------------------------------


def body_parts(skeleton: Skeleton) -> dict[str, tuple[str, ...]]:
    """The five parts of Park and Kwak's partition: joint names of both legs, torso (with root and head) and both arms.

    A part is a chain of joints of one side; whether it is a leg or an arm is read from the names in it.
    """
    parts: dict[str, list[str]] = {name: [] for name in ("right_leg", "left_leg", "torso", "left_arm", "right_arm")}
    for joint in skeleton.joints:
        side = joint.partition("_")[0]
        limb = _limb(skeleton, skeleton.index(joint)) if side in ("left", "right") else None
        parts[f"{side}_{limb}" if limb else "torso"].append(joint)
    return {name: tuple(joints) for name, joints in parts.items()}


_LEG, _ARM = ("hip", "knee", "ankle", "toe", "foot", "heel"), ("shoulder", "elbow", "wrist", "hand", "clavicle")


def _limb(skeleton: Skeleton, joint: int) -> str | None:
    """Leg or arm, by the chain of joints of the same side that a joint is in; None for an eye or an ear."""
    side = skeleton.joints[joint].partition("_")[0] + "_"
    top = joint
    while skeleton.parents[top] >= 0 and skeleton.joints[skeleton.parents[top]].startswith(side):
        top = skeleton.parents[top]
    chain = {top}
    for child in range(top + 1, skeleton.joint_count):
        if skeleton.parents[child] in chain:
            chain.add(child)
    names = " ".join(skeleton.joints[i] for i in chain)
    for limb, words in (("leg", _LEG), ("arm", _ARM)):
        if any(word in names for word in words):
            return limb
    return None


def joint_groups(skeleton: Skeleton, count: int, root_in_every_group: bool = True) -> Groups:
    """The skeleton's joints in 1, 2, 3, 5, 6, 8 or as many groups as there are joints.

    1, 2, 3 and 5 are the authors'. Fig. 6 shows 6 and 8 without naming joints: here 6 sets the head apart from the
    trunk, 8 also the ends of both arms (wrist and beyond).

    Raises:
        InputError: for another number.
    """
    root, parts = skeleton.joints[0], body_parts(skeleton)
    legs, arms, torso = (parts["right_leg"], parts["left_leg"]), (parts["left_arm"], parts["right_arm"]), parts["torso"]
    carriers = {_way_to_root(skeleton, arm[0])[1] for arm in arms if arm}
    trunk_set = {root, *(joint for carrier in carriers for joint in _way_to_root(skeleton, carrier))}
    trunk, head = (tuple(joint for joint in torso if (joint in trunk_set) == inside) for inside in (True, False))
    hips = tuple(joint for joint in trunk if joint not in carriers)
    chest = tuple(joint for joint in torso if joint not in hips)
    halves = tuple(tuple(j for j in arm if _is_hand(j) == hand) for arm in arms for hand in (False, True))
    if count == skeleton.joint_count:
        groups: Groups = tuple((joint,) for joint in skeleton.joints)
    elif count in (1, 2, 3, 5, 6, 8):
        groups = {
            1: (skeleton.joints,),
            2: (sum(legs, ()) + hips, chest + sum(arms, ())),
            3: (sum(legs, ()), torso, sum(arms, ())),
            5: (*legs, torso, *arms),
            6: (*legs, trunk, head, *arms),
            8: (*legs, trunk, head, *halves),
        }[count]
    else:
        raise InputError(
            f"There is no grouping of {skeleton.name} into {count} groups.",
            f"Use 1, 2, 3, 5, 6, 8 or {skeleton.joint_count} groups, or name the joints of each group.",
            "joint-groups",
        )
    groups = tuple(joints for joints in groups if joints)
    return _with_root(groups, root) if root_in_every_group else groups


def _way_to_root(skeleton: Skeleton, joint: str) -> list[str]:
    way, i = [], skeleton.index(joint)
    while i >= 0:
        way.append(skeleton.joints[i])
        i = skeleton.parents[i]
    return way


def _is_hand(joint: str) -> bool:
    return any(word in joint for word in ("wrist", "hand", "thumb", "pinky", "index"))


def shuffled_groups(groups: Groups, count: int, root: str, seed: int = 0) -> Groups:
    """The first `count` groups exchange their joints at random, sizes kept, the root left alone (Table 5, Fig. 6f)."""
    rng = np.random.default_rng(seed)
    own = [tuple(joint for joint in group if joint != root) for group in groups]
    pool = [joint for group in own[:count] for joint in group]
    pool = [pool[i] for i in rng.permutation(len(pool))]
    result = []
    for i, group in enumerate(groups):
        joints = own[i]
        if i < count:
            joints, pool = tuple(pool[: len(joints)]), pool[len(joints) :]
        result.append(((root,) if root in group else ()) + joints)
    return tuple(result)


def _with_root(groups: Groups, root: str) -> Groups:
    return tuple((root, *(joint for joint in group if joint != root)) for group in groups)


def _check_groups(groups: Groups, skeleton: Skeleton) -> None:
    named = [joint for group in groups for joint in group if joint != skeleton.joints[0]]
    wrong = sorted(set(named) ^ set(skeleton.joints[1:])) or sorted({j for j in named if named.count(j) > 1})
    if wrong or not any(skeleton.joints[0] in group for group in groups) or not all(groups):
        raise InputError(
            f"The joint groups do not fit {skeleton.name}: {', '.join(wrong) or skeleton.joints[0]}.",
            "Name every joint in exactly one group (the root in as many as you like), and leave no group empty.",
            "joint-groups",
        )


# --- Layers (Sec. 3, Fig. 2) ---------------------------------------------------------------------------------------


class SRConv(nn.Module):
    """Group-wise convolution with a low-dimensional context of the other groups (Eq. 5 and 6, Fig. 2c and d).

    With one group it is the fully connected layer (Eq. 1), with H = 0 the group connected one (Eq. 4).
    The context of a group is a convolution of the other groups' features to H numbers for each filter tap n, so that
    with multiplication

        y[t] = Σ_n g[n, t] · (Θ_n x[t + n d]),

    which needs no unfolded copy of x.

    Args:
        inputs: features of each group, and of the same groups after it.
        outputs: (see inputs)
        context: H of each group.
        width: filter taps k.
        dilation: d between taps in whole clips; windows are strided by k instead.
        combine: operator of Eq. 5.
        activation: see `SRNetSettings.context_activation`.
        bias: of a fully connected layer.
        slope: of the context's leaky ReLU.
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        context: tuple[int, ...],
        *,
        width: int = 1,
        dilation: int = 1,
        combine: str = "multiply",
        activation: bool = True,
        bias: bool = False,
        slope: float = 0.01,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.width, self.dilation = inputs, outputs, width, dilation
        self.context_dims = context if len(inputs) > 1 else (0,)
        self.combine, self.activation, self.slope = combine, activation, slope
        extra = self.context_dims if combine == "concat" else (0,) * len(inputs)
        self.theta = nn.ParameterList(  # Θ_g of Eq. 5, (D'_g, D_g (+ H), k)
            nn.Parameter(torch.empty(d_out, d_in + more, width))
            for d_in, d_out, more in zip(inputs, outputs, extra, strict=True)
        )
        for theta in self.theta:
            bound = (theta.shape[1] * width) ** -0.5  # what nn.Conv1d starts with
            nn.init.uniform_(theta, -bound, bound)
        self.bias = nn.Parameter(torch.zeros(sum(outputs))) if bias else None
        if any(self.context_dims):
            total = sum(inputs)
            # Γ_g of Eq. 6, (k H, D - D_g, k): zero at the start, the groups find each other in training.
            self.gamma = nn.ParameterList(
                nn.Parameter(torch.zeros(width * h, total - d, width))
                for d, h in zip(inputs, self.context_dims, strict=True)
            )
            rows = width * sum(self.context_dims)
            self.context_bias = nn.Parameter(torch.empty(rows).uniform_(-1, 1) * total**-0.5)
            self.context_norm = nn.BatchNorm1d(rows) if combine == "multiply" else None

    def forward(self, x: Tensor, strided: bool, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """(N, D, F) -> (N, D', F - (k - 1) d), or strided (N, D', F / k).

        `scale` and `shift` (D') are applied to the answer: a batch normalisation at rest, folded into the weights.
        """
        contexts = self._contexts(x, strided) if any(self.context_dims) else None
        answers = []
        rows = 0
        for g, theta in enumerate(self.theta):
            if scale is not None:
                theta = theta * scale[rows : rows + self.outputs[g], None, None]
            rows += self.outputs[g]
            own = x.narrow(1, sum(self.inputs[:g]), self.inputs[g]) if len(self.inputs) > 1 else x
            context = contexts[g] if contexts is not None and self.context_dims[g] else None
            answers.append(self._group(own, theta, context, g, strided))
        y = torch.cat(answers, dim=1) if len(answers) > 1 else answers[0]
        if self.bias is not None:
            y = y + self.bias[:, None]
        return y if shift is None else y + shift[:, None]

    def _contexts(self, x: Tensor, strided: bool) -> list[Tensor]:
        """M f[G \\ G_g] of every group g, ready to be combined: G times (N, k, H, F')."""
        weights, before = [], 0
        for gamma, own in zip(self.gamma, self.inputs, strict=True):  # all groups in one convolution, zero for own
            gap = gamma.new_zeros(gamma.shape[0], own, self.width)
            weights.append(torch.cat([gamma[:, :before], gap, gamma[:, before:]], dim=1))
            before += own
        stride, dilation = (self.width, 1) if strided else (1, self.dilation)
        context = functional.conv1d(x, torch.cat(weights), self.context_bias, stride=stride, dilation=dilation)
        if self.combine == "multiply":
            assert self.context_norm is not None
            context = torch.sigmoid(self.context_norm(context))
        elif self.activation:
            context = functional.leaky_relu(context, self.slope)
        parts = context.split([self.width * h for h in self.context_dims], dim=1)
        return [
            part.unflatten(1, (self.width, h)) if h else part for part, h in zip(parts, self.context_dims, strict=True)
        ]

    def _group(self, x: Tensor, theta: Tensor, context: Tensor | None, g: int, strided: bool) -> Tensor:
        own, dims = self.inputs[g], self.context_dims[g]
        if context is not None and self.combine == "multiply":
            if dims > 1:
                context = context[:, :, _part_of(own, dims, x.device)]  # (N, k, D_g, F')
            if strided:  # every frame stands under one tap only
                gate = context.permute(0, 2, 3, 1).flatten(2)  # (N, 1 or D_g, F)
                return functional.conv1d(x * gate, theta, stride=self.width)
            frames = x.shape[2] - (self.width - 1) * self.dilation
            taps = (
                torch.matmul(theta[:, :, n], x[:, :, n * self.dilation : n * self.dilation + frames] * context[:, n])
                for n in range(self.width)
            )
            y = next(taps)
            for tap in taps:
                y = y + tap
            return y
        stride, dilation = (self.width, 1) if strided else (1, self.dilation)
        y = functional.conv1d(x, theta[:, :own], stride=stride, dilation=dilation)
        if context is None:
            return y
        if self.combine == "add":  # Θ (x + c) = Θ x + (Θ summed over the features that c is added to) c
            part = functional.one_hot(_part_of(own, dims, x.device), dims)
            sums = torch.matmul(theta.transpose(1, 2), part.to(theta.dtype))  # (D'_g, k, H)
        else:
            sums = theta[:, own:].transpose(1, 2)
        return y + torch.matmul(sums.flatten(1), context.flatten(1, 2))


def _part_of(features: int, parts: int, device: torch.device) -> Tensor:
    """(features,) which of so many equal parts each feature is in."""
    return torch.arange(features, device=device) * parts // features


class SRUnit(nn.Module):
    """A layer, batch normalisation, leaky ReLU, dropout. At rest the normalisation is folded into the layer."""

    def __init__(self, conv: SRConv, slope: float, dropout: float) -> None:
        super().__init__()
        self.conv, self.norm = conv, nn.BatchNorm1d(sum(conv.outputs))
        self.slope, self.dropout = slope, nn.Dropout(dropout)

    def forward(self, x: Tensor, strided: bool) -> Tensor:
        if self.training:
            return self.dropout(functional.leaky_relu(self.norm(self.conv(x, strided)), self.slope))
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return functional.leaky_relu_(self.conv(x, strided, scale, norm.bias - norm.running_mean * scale), self.slope)


class SRLevel(nn.Module):
    """Two layers with a residual connection from the middle tap (causal: the last) of the first."""

    def __init__(self, wide: SRUnit, narrow: SRUnit, causal: bool) -> None:
        super().__init__()
        self.wide, self.narrow = wide, narrow
        self.width, self.dilation = wide.conv.width, wide.conv.dilation
        self.tap = self.width - 1 if causal else self.width // 2

    def forward(self, x: Tensor, strided: bool) -> Tensor:
        """(N, D, F) -> (N, D, F - (k - 1) d), or strided (N, D, F / k)."""
        if strided:
            residual = x[:, :, self.tap :: self.width]
        else:
            after = (self.width - 1 - self.tap) * self.dilation
            residual = x[:, :, self.tap * self.dilation : x.shape[2] - after]
        return residual + self.narrow(self.wide(x, strided), strided)


# --- Network (Fig. 3) ----------------------------------------------------------------------------------------------


def layer_kinds(settings: SRNetSettings) -> tuple[Kind, ...]:
    """What each of the L layers is (Fig. 3). Layers are counted from 0: L_fuse = 0 and L_split = L are the FC network,
    as in Fig. 4. L_link layers stand in the middle, one further back where that cannot be even."""
    layers = 2 * len(settings.filter_widths)
    match settings.structure:
        case "full":
            full = range(layers)
        case "late_fusion":  # Eq. 7
            full = range(settings.fuse_layer, layers)
        case "early_split":  # Eq. 8
            full = range(settings.split_layer)
        case "split_fuse_split":
            first = (layers - settings.linked_layers + 1) // 2
            full = range(first, first + settings.linked_layers)
        case "group" | "split_recombine":
            full = range(0)
    grouped: Kind = "recombine" if settings.structure == "split_recombine" else "group"
    kinds: list[Kind] = ["full" if layer in full else grouped for layer in range(layers)]
    return tuple(kinds)


class SRNet(nn.Module):
    """Keypoints (N, F, K, 2) to joints (N, F, J, 3); the skeleton names both. See `SRNetSettings`.

    Attributes:
        chunk: frames answered at once when not training, so that memory does not grow with the clip.
    """

    needs_scores = False

    def __init__(self, skeleton: Skeleton, settings: SRNetSettings | None = None) -> None:
        super().__init__()
        self.skeleton, self.settings = skeleton, settings or SRNetSettings()
        s = self.settings
        self.receptive_field = int(np.prod(s.filter_widths))
        self.target = self.receptive_field - 1 if s.causal else self.receptive_field // 2
        if any(width % 2 == 0 or width < 1 for width in s.filter_widths):
            raise InputError("Filter widths must be odd.", "Use 1 and 3, e.g. 3,3,3 for 27 frames.", "filter-widths")
        if s.normalisation == "pixel" and self.receptive_field > 1:
            raise InputError(
                "Pixel normalisation answers one frame at a time.", "Use filter widths of 1, or basic.", "normalisation"
            )
        self.chunk = 2048
        root = skeleton.joints[0]
        groups = joint_groups(skeleton, s.groups, s.root_in_every_group) if isinstance(s.groups, int) else s.groups
        if not isinstance(s.groups, int) and s.root_in_every_group:
            groups = _with_root(groups, root)
        _check_groups(groups, skeleton)
        self.groups = shuffled_groups(groups, s.shuffled, root, s.shuffle_seed) if s.shuffled else groups

        kinds = layer_kinds(s)
        members = [skeleton.index(joint) for group in self.groups for joint in group]
        sizes = [len(group) for group in self.groups]
        whole = kinds[0] == "full"
        columns = range(skeleton.joint_count) if whole else members
        self.columns = [2 * joint + axis for joint in columns for axis in range(2)]
        entering = (2 * skeleton.joint_count,) if whole else tuple(2 * size for size in sizes)
        hidden = _shares(s.channels, sizes)
        if kinds[-1] == "full":
            leaving: tuple[int, ...] = (3 * skeleton.joint_count,)
            rows = list(range(skeleton.joint_count))
        else:
            spare = int(s.spare_output and len(sizes) > 1)
            leaving = tuple(3 * size for size in sizes[:-1]) + (3 * sizes[-1] + spare,)
            rows = [members.index(joint) for joint in range(skeleton.joint_count)]  # the root: from the first group
        self.rows = [3 * row + axis for row in rows for axis in range(3)]

        def conv(layer: int, inputs: tuple[int, ...], outputs: tuple[int, ...], width: int, dilation: int) -> SRConv:
            context: tuple[int, ...] = (0,)
            if kinds[layer] == "full":
                inputs, outputs = (sum(inputs),), (sum(outputs),)
            elif kinds[layer] == "group":
                context = (0,) * len(sizes)
            elif s.context_share > 0:
                context = tuple(max(1, round(s.context_share * d)) for d in inputs)
            else:
                context = (s.context_dims,) * len(sizes)
            return SRConv(
                inputs,
                outputs,
                context,
                width=width,
                dilation=dilation,
                combine=s.combine,
                activation=s.context_activation,
                bias=kinds[layer] == "full" and layer == len(kinds) - 1,
                slope=s.slope,
            )

        def unit(layer: int, inputs: tuple[int, ...], width: int, dilation: int) -> SRUnit:
            return SRUnit(conv(layer, inputs, hidden, width, dilation), s.slope, s.dropout)

        self.enter = unit(0, entering, s.filter_widths[0], 1)
        self.levels = nn.ModuleList()
        dilation = s.filter_widths[0]
        for i, width in enumerate(s.filter_widths[1:]):
            wide, narrow = unit(2 * i + 1, hidden, width, dilation), unit(2 * i + 2, hidden, 1, 1)
            self.levels.append(SRLevel(wide, narrow, s.causal))
            dilation *= width
        self.leave = conv(len(kinds) - 1, hidden, leaving, 1, 1)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Whole clips (N, F, K, 2) -> (N, F, J, 3), every frame answered in one dense pass, ends held."""
        self._check(keypoints)
        x = keypoints.flatten(2).transpose(1, 2)
        x = functional.pad(x, (self.target, self.receptive_field - 1 - self.target), mode="replicate")
        if self.training or torch.jit.is_tracing() or keypoints.shape[1] <= self.chunk:
            return self._answer(x, strided=False)
        length = self.chunk + self.receptive_field - 1
        pieces = (x[:, :, i : i + length] for i in range(0, keypoints.shape[1], self.chunk))
        return torch.cat([self._answer(piece, strided=False) for piece in pieces], dim=1)

    def window(self, keypoints: Tensor) -> Tensor:
        """Windows (N, T, K, 2) -> (N, J, 3), strided: what training runs."""
        self._check(keypoints)
        return self._answer(keypoints.flatten(2).transpose(1, 2), strided=True)[:, 0]

    def _answer(self, keypoints: Tensor, strided: bool) -> Tensor:
        """(N, 2 K, F) -> (N, F - T + 1, J, 3), or strided (N, F / T, J, 3)."""
        x = self.enter(keypoints[:, self.columns], strided)
        for level in self.levels:
            x = level(x, strided)
        y = self.leave(x, strided).transpose(1, 2)[:, :, self.rows]
        if self.settings.normalisation == "pixel":
            y = y + functional.pad(keypoints.transpose(1, 2).unflatten(2, (-1, 2)), (0, 1)).flatten(2)
        return y.unflatten(2, (-1, 3))

    def _check(self, keypoints: Tensor) -> None:
        if not torch.jit.is_tracing() and tuple(keypoints.shape[2:]) != (self.skeleton.joint_count, 2):
            raise InputError(
                f"SRNet takes x and y of {self.skeleton.joint_count} keypoints ({self.skeleton.name}), "
                f"not an array of shape {tuple(keypoints.shape)}.",
                "Give keypoints as (clips, frames, keypoints, 2).",
                "keypoints-shape",
            )


def _shares(total: int, sizes: list[int]) -> tuple[int, ...]:
    """A number of features split in proportion to the groups' sizes; the last takes what is left."""
    shares = [total * size // sum(sizes) for size in sizes]
    shares[-1] = total - sum(shares[:-1])
    return tuple(shares)


def loss(net: SRNet, keypoints: Tensor, joints: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """L1 (supplementary, Sec. 1) on windows: keypoints (N, T, K, 2), joints (N, T, J, 3) of which the target counts.

    Joints are metres relative to the root, or `pixel_targets` with pixel normalisation.
    """
    answer, truth = net.window(keypoints), joints[:, net.target]
    total = (answer - truth).abs().mean()
    return total, {"l1": total.detach(), "mpjpe": (answer - truth).detach().norm(dim=-1).mean()}


# --- Input normalisation (supplementary, Sec. 1) -------------------------------------------------------------------


def basic_normalisation(keypoints_px: Tensor, width: float, height: float) -> Tensor:
    """(..., 2) pixels to [-1, 1] across the image's width, its aspect kept: the "Basic" normalisation."""
    return keypoints_px / width * 2 - keypoints_px.new_tensor([1.0, height / width])


def pixel_targets(joints: Tensor, focal_px: float, centre_px: Tensor, width: float, height: float) -> Tensor:
    """Joints as the camera sees them: what the "Pixel" normalisation predicts.

    Args:
        joints: (..., J, 3) camera axes, metres, not relative to the root (joint 0).
        focal_px: focal length.
        centre_px: (2,) principal point.
        width: of the image, pixels.
        height: (see width)

    Returns:
        (..., J, 3): x and y in the image, normalised like keypoints; depth behind the root in the same unit, at the
        scale the root is seen at.
    """
    image = joints[..., :2] / joints[..., 2:] * focal_px + centre_px
    depth = (joints[..., 2:] - joints[..., :1, 2:]) * focal_px / joints[..., :1, 2:]
    return torch.cat([basic_normalisation(image, width, height), depth / width * 2], dim=-1)


def joints_from_pixel(
    answer: Tensor, root_depth: Tensor, focal_px: float, centre_px: Tensor, width: float, height: float
) -> Tensor:
    """Inverse of `pixel_targets`, relative to the root; needs the root's depth (...,) in metres, which the paper takes
    from ground truth. Returns (..., J, 3) camera axes, metres."""
    image = (answer[..., :2] + answer.new_tensor([1.0, height / width])) * width / 2
    depth = root_depth[..., None, None] * (1 + answer[..., 2:] * width / 2 / focal_px)
    joints = torch.cat([(image - centre_px) / focal_px * depth, depth], dim=-1)
    return joints - joints[..., :1, :]
