# SPDX-License-Identifier: GPL-3.0-or-later
"""Anatomy3D (Chen et al. 2021, "Anatomy-aware 3D human pose estimation with bone-based pose decomposition").

A pose is bone directions times bone lengths (Sec. III-A, eq. 1). Directions come from T frames around the answered one,
through stacked temporal convolutional sub-networks (Sec. III-B); lengths from l frames of the whole clip, each weighed
for each bone by attention (Sec. III-C, eq. 4-6). The joint shift loss (eq. 2) makes directions fit the lengths, and the
detector's scores say which keypoints were seen (Sec. III-E, eq. 8).

The paper trains with Adam, batches of 1024 windows, flipped copies, and `LossWeights`. Where the authors' program does
otherwise than the paper, its way is an option (`Anatomy3DSettings.authors`, `AUTHORS_WEIGHTS`).

Two forms with the same weights: `window` is strided and for training; `forward` answers whole clips. The bottom
sub-network is dense there. A sub-network above it is not: what it is fed belongs to one answered frame. But each of its
convolutions acts on [its own channels, the bottom's channels], and is the sum of a half for each; the bottom's half is
the same for all answers and is computed once, which saves two thirds of the work and changes nothing else (`_climb`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..skeleton import Skeleton
from .fully_connected import ResidualNet, flatten_keypoints
from .tcn import TemporalBlock, at_target, grow, hold, in_chunks, levels_of, margins

CHUNK_FRAMES = 2048
"""Long clips go through the dense layers so many frames at a time: an hour of video stays under 1 GB at T = 243."""

ANSWERS_AT_A_TIME = 64
"""Answers of a stacked sub-network computed together: enough rows for a matrix product, few enough for the cache."""


@dataclass(frozen=True)
class Anatomy3DSettings:
    """The paper's full model, "Ours" of its tables.

    Attributes:
        receptive_field: T (the paper's d), frames the directions are made from: 9, 27, 81, 243.
        channels: width of every layer.
        subnetworks: direction sub-networks on top of each other.
        dropout: share of units silenced in training.
        causal: look at the answered frame and the past alone, for directions and lengths.
        scores: what is done with keypoint scores: implicit attention (eq. 8), concatenated to the keypoints (the
            paper's "Fusion"), or not used.
        fed: what a sub-network feeds to the one above, repeated over time: its directions, or, as the authors' program
            does, the feature these are made from.
        long_skips: join each residual block's input with the same block's input of the sub-network below. Without, and
            with `blocked` off, the paper's "Baseline-D".
        blocked: no gradients from a sub-network into the one below.
        sampled_frames: l (M when causal), frames of the clip that lengths are made from.
        selection: which frames these are: drawn over the clip, its first, those around the answered frame (when causal:
            up to it), or all of them, as the authors' program does.
        predicts: what the length network answers for each frame and is trained on: joints, from which lengths are
            derived, or lengths themselves (the paper's row without "ML").
        attention: weigh frames by self-attention (eq. 6), or take their mean (without "BoneAtt").
        attention_magnitudes: let attention see |J| beside J, and give it a bias, as the authors' program does.
        gamma: degree of attention (eq. 6).
        composition: how joints are made of directions and lengths: exactly (eq. 1); "regressed" by a fully connected
            layer from both concatenated (Sec. IV-B); or "product", the authors' layer from the product of one embedding
            each. Joint shifts are made in the same way. Only exact joints have bones of one length.
        self_pairs: give the joint shift layers of the authors' program their pairs of a joint with itself.
    """

    receptive_field: int = 243
    channels: int = 1024
    subnetworks: int = 2
    dropout: float = 0.25
    causal: bool = False
    scores: Literal["attention", "concatenate", "none"] = "attention"
    fed: Literal["directions", "feature"] = "directions"
    long_skips: bool = True
    blocked: bool = True
    sampled_frames: int = 50
    selection: Literal["random", "first", "consecutive", "all"] = "random"
    predicts: Literal["joints", "lengths"] = "joints"
    attention: bool = True
    attention_magnitudes: bool = False
    gamma: float = 10.0
    composition: Literal["exact", "regressed", "product"] = "exact"
    self_pairs: bool = False

    def __post_init__(self) -> None:
        if self.subnetworks < 1 or self.sampled_frames < 1:
            raise ValueError("at least one sub-network and one sampled frame are needed")
        if self.predicts == "lengths" and self.attention:
            raise ValueError("attention weighs frames by their joints: it needs predicts='joints'")
        if self.causal and self.selection == "all":
            raise ValueError("a causal model cannot look at all frames: select random, first or consecutive ones")

    @classmethod
    def authors(cls, receptive_field: int = 243) -> Anatomy3DSettings:
        """The authors' program: 18.24, 31.89, 45.53 and 59.18 M parameters at T = 9, 27, 81, 243 and 17 joints."""
        return cls(
            receptive_field,
            fed="feature",
            selection="all",
            attention_magnitudes=True,
            composition="product",
            self_pairs=True,
        )


class BottomNetwork(nn.Module):
    """Sub-network 1: the temporal convolutional network, with implicit attention over scores (Fig. 5, eq. 8)."""

    def __init__(self, keypoints: int, bones: int, settings: Anatomy3DSettings) -> None:
        super().__init__()
        channels, self.causal = settings.channels, settings.causal
        self.levels = levels_of(settings.receptive_field)
        self.attends = settings.scores == "attention"
        self.expand = nn.Conv1d((3 if settings.scores == "concatenate" else 2) * keypoints, channels, 3, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        if self.attends:
            self.expand_scores = nn.Conv1d(keypoints, channels, 3, bias=False)
            self.norm_scores = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(
            TemporalBlock(
                channels,
                3**level,
                settings.dropout,
                settings.causal,
                extra=channels if level == 1 and self.attends else 0,
            )
            for level in range(1, self.levels + 1)
        )
        self.head = nn.Linear(channels, 3 * bones)

    def forward(self, points: Tensor, scores: Tensor, strided: bool) -> list[Tensor]:
        """Keypoints (N, C K, F) and scores (N, K, F) to the features of every level.

        Returns:
            The expanding layer's output and each block's, (N, C, F + margins) when dense, (N, C, T / 3 ** (level + 1))
            when strided.
        """
        x = self._enter(points, self.expand, self.norm, strided)
        features = [x]
        if self.attends:  # eq. 8
            x = torch.cat([x, x * self._enter(scores, self.expand_scores, self.norm_scores, strided)], dim=1)
        for level, block in enumerate(self.blocks, start=1):
            x = block(x if strided else hold(x, *grow(level, self.levels, self.causal)), strided)
            features.append(x)
        return features

    def _enter(self, x: Tensor, conv: nn.Conv1d, norm: nn.BatchNorm1d, strided: bool) -> Tensor:
        if strided:
            y = nn.functional.conv1d(x, conv.weight, stride=3)
        else:
            y = conv(hold(x, *grow(0, self.levels, self.causal)))
        return self.dropout(torch.relu(norm(y)))


class UpperNetwork(nn.Module):
    """A sub-network above another (Fig. 3): fed with one vector an answer, repeated T / 3 times, and with long skips.

    Rows are answers: time within an answer's window is the second axis, where 1 stands for "the same at all times".
    """

    def __init__(self, bones: int, settings: Anatomy3DSettings) -> None:
        super().__init__()
        channels, levels = settings.channels, levels_of(settings.receptive_field)
        self.channels = channels
        self.dropout = nn.Dropout(settings.dropout)
        self.embed = None
        if settings.fed == "directions":
            self.embed = nn.Linear(3 * bones, channels, bias=False)
            self.norm = nn.BatchNorm1d(channels)
        extra = channels if settings.long_skips else 0
        self.blocks = nn.ModuleList(
            TemporalBlock(channels, 3**level, settings.dropout, settings.causal, extra)
            for level in range(1, levels + 1)
        )
        self.head = nn.Linear(channels, 3 * bones)

    def block(self, level: int) -> TemporalBlock:
        block = self.blocks[level]
        assert isinstance(block, TemporalBlock)
        return block

    def own_half(self, level: int) -> Tensor:
        """(C, C, 3) weights of a block's convolution for what this sub-network computed itself."""
        return self.block(level).conv.weight[:, : self.channels]

    def lower_half(self, level: int) -> Tensor:
        """(C, C, 3) weights for the long skip from the sub-network below; the convolution is the sum of both halves."""
        return self.block(level).conv.weight[:, self.channels :]

    def forward(self, fed: Tensor, skips: Sequence[Tensor | None], weights: Sequence[TapWeights]) -> list[Tensor]:
        """Answers of this sub-network.

        Args:
            fed: (R, 3 B) directions or (R, C) features from below.
            skips: each block's long skip through `lower_half`, (R, P, C) or (R, 1, C).
            weights: each block's `own_half`, made ready once for many calls.

        Returns:
            Features (R, P, C) or (R, 1, C) of every level; the last is (R, 1, C).
        """
        if self.embed is not None:
            fed = self.dropout(torch.relu(self.norm(self.embed(fed))))
        x = fed[:, None]
        features = [x]
        for level, skip in enumerate(skips):
            block = self.block(level)
            y = weights[level](x)
            if skip is not None:
                y = y + skip
            y = self.dropout(torch.relu(_rows(block.norm_conv, y)))
            y = nn.functional.linear(y, block.mix.weight[:, :, 0])
            y = self.dropout(torch.relu(_rows(block.norm_mix, y)))
            x = (x if x.shape[1] == 1 else x[:, block.tap :: 3]) + y
            features.append(x)
        return features


class TapWeights:
    """Convolution with three taps and stride 3 over rows: (R, P, C) -> (R, P / 3, C').

    (R, 1, C) -> (R, 1, C') for what is the same at all times. Rearranged weights are kept for further calls.
    """

    def __init__(self, weight: Tensor) -> None:  # (C', C, 3)
        self.weight = weight
        self._moving: Tensor | None = None
        self._still: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1:
            if self._still is None:
                self._still = self.weight.sum(dim=2)
            return nn.functional.linear(x, self._still)
        if self._moving is None:
            self._moving = self.weight.transpose(1, 2).flatten(1)
        return nn.functional.linear(x.unflatten(1, (-1, 3)).flatten(2), self._moving)


def _rows(norm: nn.Module, x: Tensor) -> Tensor:  # batch norm of (R, P, C) over R and P
    return norm(x.flatten(0, 1)).reshape(x.shape)


class ProductHead(nn.Module):
    """The authors' fusion of lengths and directions: the product of one embedding each, then a linear layer."""

    def __init__(self, bones: int, outputs: int, channels: int) -> None:
        super().__init__()
        self.lengths, self.directions = nn.Linear(bones, channels), nn.Linear(3 * bones, channels)
        self.out = nn.Linear(channels, outputs)

    def forward(self, directions: Tensor, lengths: Tensor) -> Tensor:  # (…, 3 B), (…, B) -> (…, outputs)
        return self.out(self.lengths(lengths) * self.directions(directions))


class ConcatenationHead(nn.Module):
    """The paper's fusion of lengths and directions: a fully connected layer from both, concatenated (Sec. IV-B)."""

    def __init__(self, bones: int, outputs: int) -> None:
        super().__init__()
        self.out = nn.Linear(4 * bones, outputs)

    def forward(self, directions: Tensor, lengths: Tensor) -> Tensor:  # (…, 3 B), (…, B) -> (…, outputs)
        return self.out(torch.cat([lengths, directions], dim=-1))


class Anatomy3D(nn.Module):
    """Keypoints to joints by way of bone directions and bone lengths. A `LiftingNet`.

    With exact composition and random, first or all frames selected, a clip has one set of lengths.
    """

    paths: Tensor
    draws: Tensor
    pairs: Tensor

    def __init__(self, skeleton: Skeleton, settings: Anatomy3DSettings = Anatomy3DSettings()) -> None:
        super().__init__()
        self.skeleton, self.settings = skeleton, settings
        self.levels = levels_of(settings.receptive_field)
        self.receptive_field = settings.receptive_field
        self.target = self.receptive_field - 1 if settings.causal else self.receptive_field // 2
        self.needs_scores = settings.scores != "none"
        joints, bones = skeleton.joint_count, skeleton.bone_count

        self.bottom = BottomNetwork(joints, bones, settings)
        self.uppers = nn.ModuleList(UpperNetwork(bones, settings) for _ in range(settings.subnetworks - 1))

        # Fig. 4: "the same structure and layer number as the bottom sub-network", fully connected.
        outputs = 3 * joints if settings.predicts == "joints" else bones
        self.length_net = ResidualNet(2 * joints, outputs, settings.channels, self.levels, settings.dropout)
        if settings.attention:
            seen = 6 * joints if settings.attention_magnitudes else 3 * joints
            self.attention = nn.Linear(seen, bones, bias=settings.attention_magnitudes)

        pairs = non_adjacent_pairs(skeleton, settings.self_pairs)
        self.pose_head = self._head(3 * joints)
        self.shift_heads = nn.ModuleList(
            head for _ in range(settings.subnetworks) if (head := self._head(3 * len(pairs))) is not None
        )

        self.register_buffer("paths", torch.as_tensor(path_matrix(skeleton), dtype=torch.float32), persistent=False)
        self.register_buffer("pairs", torch.as_tensor(pairs), persistent=False)
        strata = (np.arange(settings.sampled_frames) + np.random.default_rng(0).random(settings.sampled_frames)) / (
            settings.sampled_frames
        )
        self.register_buffer("draws", torch.as_tensor(strata, dtype=torch.float32), persistent=False)

    def _head(self, outputs: int) -> nn.Module | None:
        settings, bones = self.settings, self.skeleton.bone_count
        if settings.composition == "exact":
            return None
        if settings.composition == "regressed":
            return ConcatenationHead(bones, outputs)
        return ProductHead(bones, outputs, settings.channels)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Whole clips (N, F, K, C) -> (N, F, J, 3); the ends are held."""
        directions = self.directions(keypoints)
        lengths = self.lengths(keypoints)
        if lengths.shape[1] != 1:
            return self.pose(directions, lengths)
        return self.pose(directions, lengths.expand(-1, directions.shape[1], -1))

    def window(self, keypoints: Tensor, sampled: Tensor | None = None) -> Tensor:
        """Windows (N, T, K, C) -> (N, J, 3), the target frame's joints.

        Args:
            keypoints: (N, T, K, C).
            sampled: (N, l, K, C) frames of the same clips that lengths are made from; the window is the clip when None.
        """
        directions = self.window_directions(keypoints)[-1]
        lengths = at_target(self.lengths(keypoints), self.target) if sampled is None else self.clip_lengths(sampled)
        return self.pose(directions, lengths)

    def pose(self, directions: Tensor, lengths: Tensor) -> Tensor:
        """Directions (…, B, 3) and lengths (…, B) to joints (…, J, 3)."""
        if self.pose_head is None:
            return compose(self.paths, directions, lengths)
        if self.settings.composition == "product":  # the authors' head is trained by itself
            directions = directions.detach()
        joints = self.pose_head(directions.flatten(-2), lengths.detach())
        return joints.reshape(*joints.shape[:-1], self.skeleton.joint_count, 3)

    def shifts(self, subnetwork: int, directions: Tensor, lengths: Tensor) -> Tensor:
        """Joint shifts X_JS (N, P, 3) of eq. 2 from a sub-network's directions (N, B, 3) and lengths (N, B).

        Only the directions get gradients: "only the parameters of the bone direction prediction network are updated by
        the joint shift loss" (Sec. III-D).
        """
        lengths = lengths.detach()
        if len(self.shift_heads):
            return self.shift_heads[subnetwork](directions.flatten(-2), lengths).unflatten(-1, (-1, 3))
        return joint_shifts(compose(self.paths, directions, lengths), self.pairs)

    # Directions (Sec. III-B)

    def directions(self, keypoints: Tensor) -> Tensor:
        """Whole clips (N, F, K, C) -> unit vectors (N, F, B, 3) of the top sub-network."""
        after = self.receptive_field - 1 - self.target
        return in_chunks(self._dense_directions, keypoints, self.target, after, CHUNK_FRAMES)

    def window_directions(self, keypoints: Tensor) -> list[Tensor]:
        """Windows (N, T, K, C) -> unit vectors (N, B, 3) of the target frame, of each sub-network, bottom first."""
        features = self.bottom(*self._channels(keypoints), strided=True)
        skips: list[Tensor | None] = [None] * self.levels
        if len(self.uppers) and self.settings.long_skips:
            upper = self._upper(0)
            skips = [
                nn.functional.conv1d(self._blocked(features[level]), upper.lower_half(level), stride=3).transpose(1, 2)
                for level in range(self.levels)
            ]
        return self._climb(features[-1][:, :, 0], skips, self._own_weights())

    def _dense_directions(self, keypoints: Tensor) -> Tensor:
        features = self.bottom(*self._channels(keypoints), strided=False)
        top = features[-1].transpose(1, 2)  # (N, F, C)
        if not len(self.uppers):
            return self._unit(self.bottom.head(top))
        clips, frames = top.shape[:2]
        shared = self._shared_skips(features) if self.settings.long_skips else []
        size = frames if torch.jit.is_tracing() else max(1, ANSWERS_AT_A_TIME // clips)
        answers = torch.arange(frames, device=top.device)
        weights = self._own_weights()
        pieces = []
        for start in range(0, 1 if torch.jit.is_tracing() else frames, size):
            piece = answers[start : start + size]
            skips: list[Tensor | None] = [None] * self.levels
            for level, frames_of_level in enumerate(shared):
                rows = frames_of_level.index_select(1, self._window_frames(level, piece, frames_of_level).flatten())
                skips[level] = rows.reshape(-1, 3 ** (self.levels - level - 1), rows.shape[2])
            climbed = self._climb(top[:, start : start + size].flatten(0, 1), skips, weights)
            pieces.append(climbed[-1].reshape(clips, -1, *climbed[-1].shape[1:]))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    def _shared_skips(self, features: list[Tensor]) -> list[Tensor]:
        """Each level's dense features through the half of sub-network 2's convolution that reads them, (N, F', C)."""
        shared = []
        for level in range(self.levels):
            x = hold(features[level], *grow(level + 1, self.levels, self.settings.causal))
            y = nn.functional.conv1d(x, self._upper(0).lower_half(level), dilation=3 ** (level + 1))
            shared.append(y.transpose(1, 2).contiguous())
        return shared

    def _window_frames(self, level: int, answers: Tensor, frames_of_level: Tensor) -> Tensor:
        """(R, P): where the windows of some answers find a block's outputs among its dense ones."""
        places = torch.arange(3 ** (self.levels - level - 1), device=answers.device)
        places = places - (len(places) - 1 if self.settings.causal else len(places) // 2)
        before = margins(level + 1, self.levels, self.settings.causal)[0]
        frames = answers[:, None] + before + 3 ** (level + 2) * places
        return frames.clamp(min=0).minimum(_last(frames_of_level))

    def _own_weights(self) -> list[list[TapWeights]]:
        uppers = [self._upper(place) for place in range(len(self.uppers))]
        return [[TapWeights(upper.own_half(level)) for level in range(self.levels)] for upper in uppers]

    def _climb(
        self, top: Tensor, skips: Sequence[Tensor | None], weights: Sequence[Sequence[TapWeights]]
    ) -> list[Tensor]:
        """From the bottom's top feature (R, C) and its convolved long skips up through all sub-networks.

        The convolution of concatenated channels is the sum of the convolutions of its halves, and the half that reads
        what is repeated over time needs to be computed once. Directions (R, B, 3) of every sub-network come back.
        """
        directions = [self._unit(self.bottom.head(top))]
        features: list[Tensor] = []
        for place in range(len(self.uppers)):
            upper = self._upper(place)
            if place and self.settings.long_skips:
                skips = [TapWeights(upper.lower_half(i))(self._blocked(x)) for i, x in enumerate(features[:-1])]
            fed = directions[-1].flatten(1) if self.settings.fed == "directions" else top
            features = upper(self._blocked(fed), skips, weights[place])
            top = features[-1][:, 0]
            directions.append(self._unit(upper.head(top)))
        return directions

    def _upper(self, place: int) -> UpperNetwork:
        upper = self.uppers[place]
        assert isinstance(upper, UpperNetwork)
        return upper

    def _blocked(self, x: Tensor) -> Tensor:  # "the back propagation is blocked between different sub-networks"
        return x.detach() if self.settings.blocked else x

    def _unit(self, x: Tensor) -> Tensor:  # (…, 3 B) -> (…, B, 3)
        vectors = x.reshape(*x.shape[:-1], self.skeleton.bone_count, 3)
        return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-6)

    def _channels(self, keypoints: Tensor) -> tuple[Tensor, Tensor]:  # (N, C K, F), (N, K, F)
        flat = flatten_keypoints(keypoints, self.skeleton.joint_count, self.needs_scores)
        if self.settings.scores == "attention":
            return keypoints[..., :2].flatten(2).transpose(1, 2), keypoints[..., 2].transpose(1, 2)
        return flat.transpose(1, 2), flat

    # Lengths (Sec. III-C)

    def each_frame(self, keypoints: Tensor) -> Tensor:
        """(N, F, K, C) -> (N, F, 3 J): the joints X_J of each frame by itself; or (N, F, B), its lengths."""
        flat = flatten_keypoints(keypoints[..., :2], self.skeleton.joint_count, scores=False)

        def rows(x: Tensor) -> Tensor:
            return self.length_net(x.flatten(0, 1)).reshape(x.shape[0], x.shape[1], -1)

        return rows(flat) if self.training else in_chunks(rows, flat, 0, 0)

    def frame_lengths(self, answer: Tensor) -> tuple[Tensor, Tensor]:
        """From what `each_frame` answers to lengths (N, F, B) and their weight, the exponents (N, F, B) of eq. 6.

        No gradients pass to the joints: "the fully-connected residual network and the bone length self-attention module
        are optimized independently" (Sec. III-C).
        """
        if self.settings.predicts == "lengths":
            return answer, torch.zeros_like(answer)
        answer = answer.detach()
        lengths = bone_lengths(self.skeleton, answer.reshape(*answer.shape[:2], self.skeleton.joint_count, 3))
        if not self.settings.attention:
            return lengths, torch.zeros_like(lengths)
        if self.settings.attention_magnitudes:
            answer = torch.cat([answer, answer.abs()], dim=2)
        return lengths, self.settings.gamma * self.attention(answer)

    def clip_lengths(self, sampled: Tensor) -> Tensor:
        """Frames of a clip (N, l, K, C) -> its lengths (N, B): X_L of eq. 6 over all of them."""
        return attend(*self.frame_lengths(self.each_frame(sampled)))

    def lengths(self, keypoints: Tensor) -> Tensor:
        """Whole clips (N, F, K, C) -> lengths from the selected frames: (N, 1, B) for all frames, or (N, F, B) each.

        "Random" draws one frame from each of l equal stretches of the clip, always the same ones, and a clip's answer
        can be repeated. A causal model does so for every frame anew, among the frames up to it.
        """
        selection, count, causal = self.settings.selection, self.settings.sampled_frames, self.settings.causal
        if not causal and selection != "consecutive":
            if selection == "first":
                keypoints = keypoints[:, :count]
            elif selection == "random":
                keypoints = keypoints.index_select(1, (self.draws * keypoints.shape[1]).long())
            return self.clip_lengths(keypoints)[:, None]
        frames = torch.arange(keypoints.shape[1], device=keypoints.device)
        seen = keypoints[:, :count] if selection == "first" else keypoints
        lengths, logits = self.frame_lengths(self.each_frame(seen))
        if torch.jit.is_tracing():
            return self._lengths_at(frames, lengths, logits)
        return torch.cat([self._lengths_at(some, lengths, logits) for some in frames.split(4096)], dim=1)

    def _lengths_at(self, frames: Tensor, lengths: Tensor, logits: Tensor) -> Tensor:
        """Lengths (N, R, B) of some answered frames (R,), each from its own selection of (N, F, B)."""
        selection, count = self.settings.selection, self.settings.sampled_frames
        now, place = frames[:, None], torch.arange(count, device=frames.device)[None]
        if selection == "first":
            chosen = place + 0 * now
        elif selection == "consecutive":
            chosen = now + place - (count - 1 if self.settings.causal else count // 2)
        else:  # all there are while they are few, then a draw
            chosen = torch.where(now < count, place + 0 * now, (self.draws[None] * (now + 1)).long())
        last = now if self.settings.causal else _last(lengths)
        allowed = (chosen >= 0) & (chosen <= last)
        chosen = chosen.clamp(min=0).minimum(_last(lengths))
        chosen_lengths = lengths.index_select(1, chosen.flatten()).unflatten(1, (-1, count))  # (N, R, M, B)
        chosen_logits = logits.index_select(1, chosen.flatten()).unflatten(1, (-1, count))
        weights = chosen_logits.masked_fill(~allowed[None, :, :, None], -torch.inf).softmax(dim=2)
        return (weights * chosen_lengths).sum(dim=2)


class Anatomy3DParts(nn.Module):
    """The network up to where a clip's frames meet, for programs that run a long clip in overlapping pieces (ONNX).

    Directions need the receptive field alone. Lengths need the whole clip: gather those of its pieces, choose frames,
    `attend`, and compose once.
    """

    def __init__(self, net: Anatomy3D) -> None:
        super().__init__()
        self.net = net

    def forward(self, keypoints: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, F, K, C) -> directions (N, F, B, 3), each frame's lengths (N, F, B) and exponents of eq. 6 (N, F, B)."""
        return self.net.directions(keypoints), *self.net.frame_lengths(self.net.each_frame(keypoints))


def _last(x: Tensor) -> Tensor:
    """Index of the last of (N, F, …) as a tensor, so that ONNX keeps the time axis free."""
    return torch.arange(x.shape[1], device=x.device)[-1]


def attend(lengths: Tensor, logits: Tensor) -> Tensor:
    """Eq. 6: lengths of frames and their exponents, both (N, F, B), to one set (N, B)."""
    return (logits.softmax(dim=1) * lengths).sum(dim=1)


# The skeleton as matrices and measures


def path_matrix(skeleton: Skeleton) -> np.ndarray:
    """(J, B) with 1 where a bone lies on the way from the root to a joint: B_k of eq. 1."""
    paths = np.zeros((skeleton.joint_count, skeleton.bone_count))
    for bone, (child, parent) in enumerate(zip(skeleton.bone_children, skeleton.bone_parents, strict=True)):
        paths[child] = paths[parent]
        paths[child, bone] = 1
    return paths


def non_adjacent_pairs(skeleton: Skeleton, self_pairs: bool = False) -> np.ndarray:
    """(P, 2) joints k1 < k2 that no bone joins: P of eq. 2, 120 of them for 17 joints; 137 with self-pairs."""
    bones = {
        (int(parent), int(child)) for parent, child in zip(skeleton.bone_parents, skeleton.bone_children, strict=True)
    }
    first = 0 if self_pairs else 1
    joints = skeleton.joint_count
    return np.array([(a, b) for a in range(joints) for b in range(a + first, joints) if (a, b) not in bones])


def compose(paths: Tensor, directions: Tensor, lengths: Tensor) -> Tensor:
    """Eq. 1: joints (…, J, 3), root at the origin, as sums of D_b · L_b over each joint's path (J, B)."""
    return paths @ (directions * lengths[..., None])


def joint_shifts(joints: Tensor, pairs: Tensor) -> Tensor:
    """(…, J, 3) -> (…, P, 3): from the first joint of each pair to the second."""
    return joints[..., pairs[:, 1], :] - joints[..., pairs[:, 0], :]


def bone_vectors(skeleton: Skeleton, joints: Tensor) -> Tensor:
    """(…, J, 3) -> (…, B, 3) from parent to child."""
    children, parents = (
        torch.as_tensor(x, device=joints.device) for x in (skeleton.bone_children, skeleton.bone_parents)
    )
    return joints[..., children, :] - joints[..., parents, :]


def bone_lengths(skeleton: Skeleton, joints: Tensor) -> Tensor:
    """(…, J, 3) -> (…, B)."""
    return bone_vectors(skeleton, joints).norm(dim=-1)


# Losses (Sec. III-D)


@dataclass(frozen=True)
class LossWeights:
    """Weights of eq. 7 as printed in Sec. IV-B, and of what the paper does not print.

    Attributes:
        direction: λ_D of L_D (eq. 3).
        length: λ_L of L_L (eq. 4).
        joints: λ_J of L_J (eq. 5).
        shift: λ_JS of L_JS (eq. 2).
        lower: how much sub-networks below the top count in L_D and L_JS.
        augmented_joints: L_J of the augmented frames.
        position: error of the joints themselves, which trains the fusion layer; nothing else does. Exact composition
            has no layer to train, and uses `exact_position`.
        exact_position: the same for exactly composed joints; trains directions. Beyond the paper.
    """

    direction: float = 0.02
    length: float = 0.05
    joints: float = 1.0
    shift: float = 0.1
    lower: float = 1.0
    augmented_joints: float = 0.0
    position: float = 1.0
    exact_position: float = 0.0


AUTHORS_WEIGHTS = LossWeights(
    direction=0.3, length=100 / 16, joints=1.0, shift=2 / 137, lower=0.5, augmented_joints=1.0
)
"""The authors' program at 17 joints, its means over 16 bones and 137 pairs written as the paper's sums."""


def loss(
    net: Anatomy3D,
    keypoints: Tensor,
    joints: Tensor,
    *,
    sampled: tuple[Tensor, Tensor] | None = None,
    augmented: tuple[Tensor, Tensor] | None = None,
    weights: LossWeights = LossWeights(),
) -> tuple[Tensor, dict[str, Tensor]]:
    """Eq. 7.

    Args:
        net: in training mode.
        keypoints: (N, T, K, C) windows.
        joints: (N, T, J, 3), or (N, 1, J, 3) with the target frame alone.
        sampled: keypoints (N, l, K, C) and joints (N, l, J, 3) of frames drawn from the same clips (`draw_frames`); the
            window's own frames when None.
        augmented: the same of clips with other bone lengths (`augment`); none when None.
        weights: of the terms.

    Returns:
        The loss, and each term with the error of the joints, mpjpe, in the joints' units.
    """
    if sampled is None:
        if joints.shape[1] != keypoints.shape[1]:
            raise ValueError("without sampled frames the joints of the whole window are needed")
        sampled = keypoints, joints
    skeleton, truth = net.skeleton, at_target(joints, net.target)
    true_vectors = bone_vectors(skeleton, truth)
    true_lengths = true_vectors.norm(dim=-1)
    true_directions = true_vectors / true_lengths[..., None].clamp_min(1e-6)
    true_shifts = joint_shifts(truth, net.pairs)

    lengths, frame_error = _length_answer(net, *sampled)
    length, joint = _length_loss(lengths, true_lengths), frame_error
    if augmented is not None:
        other_lengths, other_error = _length_answer(net, *augmented)
        length = length + _length_loss(other_lengths, bone_lengths(skeleton, augmented[1]).mean(dim=1))
        joint = joint + weights.augmented_joints * other_error

    direction = shift = lengths.new_zeros(())
    directions = net.window_directions(keypoints)
    for place, answer in enumerate(directions):
        share = 1.0 if place == len(directions) - 1 else weights.lower
        direction = direction + share * (answer - true_directions).square().sum(dim=(1, 2)).mean()  # eq. 3
        if weights.shift:
            shifts = net.shifts(place, answer, lengths)
            shift = shift + share * (shifts - true_shifts).norm(dim=-1).sum(dim=1).mean()  # eq. 2

    position = (net.pose(directions[-1], lengths.detach()) - truth).norm(dim=-1).mean()
    position_weight = weights.exact_position if net.pose_head is None else weights.position
    total = (  # eq. 7
        weights.direction * direction
        + weights.length * length
        + weights.joints * joint
        + weights.shift * shift
        + position_weight * position
    )
    parts = {"mpjpe": position, "direction": direction, "length": length, "frame_joints": frame_error, "shift": shift}
    return total, {name: part.detach() for name, part in parts.items()}


def _length_answer(net: Anatomy3D, keypoints: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """One pass of the length network over frames (N, l, …): lengths (N, B), and L_J of one frame of each clip (eq. 5).

    One frame, since all l of them would train this network much faster than the directions (Sec. III-C).
    """
    answer = net.each_frame(keypoints)
    lengths = attend(*net.frame_lengths(answer))
    if net.settings.predicts == "lengths":
        return lengths, lengths.new_zeros(())
    clips, frames = answer.shape[:2]
    clip, one = torch.arange(clips, device=answer.device), torch.randint(frames, (clips,), device=answer.device)
    error = answer[clip, one].unflatten(1, joints.shape[2:]) - joints[clip, one]
    return lengths, error.norm(dim=-1).mean()


def _length_loss(lengths: Tensor, truth: Tensor) -> Tensor:  # eq. 4
    return (lengths - truth).square().sum(dim=1).mean()


# Sampled and augmented frames (Sec. III-C)


def draw_frames(frames: int, count: int, rng: np.random.Generator, upto: int | None = None) -> np.ndarray:
    """(count,) frames drawn from a clip, none twice while there are enough of them.

    Args:
        frames: in the clip.
        count: l.
        rng: draws them.
        upto: for causal models the answered frame, after which none is drawn.
    """
    there = frames if upto is None else min(frames, upto + 1)
    return rng.choice(there, count, replace=there < count)


def vary_lengths(
    skeleton: Skeleton, joints: Tensor, spread: float = 0.6, generator: torch.Generator | None = None
) -> Tensor:
    """The same movement on another body: one new length a bone and clip, directions as they were.

    Args:
        skeleton: of the joints.
        joints: (N, l, J, 3) relative to the root.
        spread: width of the uniform change, as a share of the batch's mean length; 0.6, the authors' choice, is ± 30 %.
        generator: draws the changes.

    Returns:
        (N, l, J, 3).
    """
    vectors = bone_vectors(skeleton, joints)
    lengths = vectors.norm(dim=-1)
    draw = torch.rand((len(joints), lengths.shape[2]), generator=generator, device=joints.device, dtype=joints.dtype)
    change = (draw - 0.5) * spread * lengths.mean(dim=(0, 1))
    others = (lengths.mean(dim=1) + change).clamp_min(1e-3)[:, None].expand_as(lengths)
    paths = torch.as_tensor(path_matrix(skeleton), dtype=joints.dtype, device=joints.device)
    return compose(paths, vectors / lengths[..., None].clamp_min(1e-6), others)


def project(points: Tensor, camera: Tensor) -> Tensor:
    """Points in camera axes (N, l, J, 3) to normalised image coordinates (N, l, J, 2).

    Args:
        points: z > 0 in front of the camera.
        camera: (N, 9): focal lengths (2) and centre (2) in normalised coordinates, radial (3) and tangential (2)
            distortion, as Human3.6M's cameras are given; zeros for no distortion.
    """
    focal, centre, radial, tangential = camera[:, None, None].split([2, 2, 3, 2], dim=-1)
    xy = (points[..., :2] / points[..., 2:]).clamp(-1, 1)
    r2 = xy.square().sum(dim=-1, keepdim=True)
    bend = 1 + (radial * torch.cat([r2, r2**2, r2**3], dim=-1)).sum(dim=-1, keepdim=True)
    slant = (tangential * xy).sum(dim=-1, keepdim=True)
    return focal * (xy * (bend + slant) + tangential * r2) + centre


def augment(
    skeleton: Skeleton,
    joints: Tensor,
    root: Tensor,
    camera: Tensor,
    spread: float = 0.6,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Frames of the same clips on other bodies, seen by the same camera: for `loss`.

    Args:
        skeleton: of keypoints and joints alike.
        joints: (N, l, J, 3) relative to the root, camera axes.
        root: (N, l, 3) where the root was. (The authors' program draws it anew for every frame, normal with deviation
            0.5 m about (0, -0.3, 5) m.)
        camera: (N, 9), see `project`.
        spread: see `vary_lengths`.
        generator: draws the changes.

    Returns:
        Keypoints (N, l, J, 2) and joints (N, l, J, 3).
    """
    others = vary_lengths(skeleton, joints, spread, generator)
    return project(others + root[:, :, None], camera), others
