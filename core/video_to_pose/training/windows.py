# SPDX-License-Identifier: GPL-3.0-or-later
"""Training windows drawn from sequences: every valid frame is a sample, and once more in the mirror.

All frames lie in one table on the device, and a batch is gathered from it: no worker processes, no files.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..data.lens import LensCamera
from ..data.sequences import Sequence2D3D
from ..errors import InputError
from ..nets.catalogue import ClipFrames
from ..skeleton import Skeleton

_log = logging.getLogger(__name__)


def fitting(sequences: Sequence[Sequence2D3D], skeleton: Skeleton, receptive_field: int) -> list[Sequence2D3D]:
    """The sequences with joints and keypoints as a network takes them: by name, in the skeleton's order.

    Raises:
        InputError: a joint or a keypoint is missing, or all sequences are shorter than the receptive field.
    """
    if not sequences:
        raise InputError("There are no sequences.", "Choose subjects and actions that exist.", "no-sequences")
    chosen = [sequence.select(skeleton, skeleton.joints) for sequence in sequences]
    short = [sequence for sequence in chosen if sequence.frame_count < receptive_field]
    if len(short) == len(chosen):
        longest = max(chosen, key=lambda sequence: sequence.frame_count)
        raise InputError(
            f"All clips are shorter than the receptive field of {receptive_field} frames; "
            f"the longest, {longest.name}, has {longest.frame_count}.",
            "Use longer clips, a higher frame rate, or a network with a smaller receptive field.",
            "clips-short",
        )
    if short:
        _log.warning(
            "%d of %d clips are shorter than the receptive field of %d frames; their first and last frames are held.",
            len(short),
            len(chosen),
            receptive_field,
        )
    return chosen


def fingerprint(sequences: Sequence[Sequence2D3D]) -> int:
    """A number that tells one set of sequences from another, whatever the order of their frames in memory."""
    told = ";".join(f"{sequence.name} {sequence.frame_count}" for sequence in sequences)
    return zlib.crc32(b"".join(sequence.keypoints[::50].tobytes() for sequence in sequences), zlib.crc32(told.encode()))


class Windows:
    """A table of frames and the samples in it. Sample n is the n-th valid frame; beyond those, their mirror images.

    Args:
        sequences: all of one skeleton, keypoints named as joints (`fitting`).
        receptive_field: T.
        target: which of a window's frames is answered.
        scores: whether keypoints have a third channel.
        flips: whether there are mirrored samples.
        clip_frames: what is wanted of the whole clip beside each window.
        device: where the table lies.

    Attributes:
        count: samples.
    """

    def __init__(
        self,
        sequences: Sequence[Sequence2D3D],
        receptive_field: int,
        target: int,
        *,
        scores: bool = False,
        flips: bool = True,
        clip_frames: ClipFrames | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        def table(arrays: list[np.ndarray]) -> Tensor:
            return torch.as_tensor(np.concatenate(arrays), dtype=torch.float32).to(device)

        self.receptive_field, self.target, self.flips = receptive_field, target, flips
        self.clip_frames, self.device = clip_frames, torch.device(device)
        self.skeleton = sequences[0].skeleton
        self.mirror = torch.as_tensor(self.skeleton.mirror, device=device)
        self.keypoints = table([sequence.inputs(scores=scores) for sequence in sequences])
        self.joints = table([sequence.targets() for sequence in sequences])
        lengths = torch.tensor([sequence.frame_count for sequence in sequences])
        ends = lengths.cumsum(0)
        clip = torch.arange(len(sequences)).repeat_interleave(lengths)
        self.first, self.last = (ends - lengths)[clip].to(device), (ends - 1)[clip].to(device)
        valid = [
            np.ones(sequence.frame_count, dtype=bool) if sequence.valid is None else sequence.valid
            for sequence in sequences
        ]
        self.frames = torch.as_tensor(np.flatnonzero(np.concatenate(valid))).to(device)
        if not len(self.frames):
            raise InputError("No frame of the sequences is marked as valid.", "Use other sequences.", "no-sequences")
        self.count = len(self.frames) * (2 if flips else 1)
        if clip_frames is not None:
            self.clip = clip.to(device)
            self.roots = table([sequence.joints[:, 0] for sequence in sequences])
            self.cameras = table([camera(sequence.lens, sequence.image_size)[None] for sequence in sequences])

    def batch(self, samples: Tensor) -> dict[str, Tensor]:
        """Samples (N,), 0 … count - 1, as `catalogue.Batch` says."""
        samples = samples.to(self.device)
        frames, mirrored = self.frames[samples % len(self.frames)], samples >= len(self.frames)
        place = torch.arange(self.receptive_field, device=self.device) - self.target
        window = (frames[:, None] + place).clamp(self.first[frames][:, None], self.last[frames][:, None])
        batch = {"keypoints": self.keypoints[window], "joints": self.joints[window]}
        if self.clip_frames is not None:
            chosen = self._clip_frames(self.clip_frames, frames)
            batch |= {
                "clip_keypoints": self.keypoints[chosen],
                "clip_joints": self.joints[chosen],
                "clip_roots": self.roots[chosen],
                "cameras": self.cameras[self.clip[frames]],
            }
        return {name: self._mirrored(name, values, mirrored) for name, values in batch.items()}

    def _mirrored(self, name: str, values: Tensor, mirrored: Tensor) -> Tensor:
        """Some samples of the batch seen in the mirror."""
        if not self.flips:
            return values
        if name == "cameras":  # the centre's x, and the tangential distortion along x
            other = values * values.new_tensor([1, 1, -1, 1, 1, 1, 1, -1, 1])
        else:
            other = values if name == "clip_roots" else values[..., self.mirror, :]
            other = torch.cat([-other[..., :1], other[..., 1:]], dim=-1)
        return torch.where(mirrored.view(-1, *[1] * (values.ndim - 1)), other, values)

    def _clip_frames(self, wanted: ClipFrames, frames: Tensor) -> Tensor:
        """(N, l) frames of the same clips; "random" draws one from each of l equal stretches."""
        first, last = self.first[frames][:, None], self.last[frames][:, None]
        if wanted.causal:
            last = frames[:, None]
        place = torch.arange(wanted.count, device=self.device)
        if wanted.selection == "first":
            chosen = first + place
        elif wanted.selection == "consecutive":
            chosen = frames[:, None] + place - (wanted.count - 1 if wanted.causal else wanted.count // 2)
        else:
            share = (place + torch.rand(len(frames), wanted.count, device=self.device)) / wanted.count
            chosen = first + (share * (last - first + 1)).long()
        return chosen.clamp(first, last)


def camera(lens: LensCamera | None, image_size: tuple[int, int]) -> np.ndarray:
    """(9,) as `nets.anatomy3d.project` takes it; a plain one of about Human3.6M's field of view where none is known."""
    if lens is None:
        return np.array([2.3, 2.3, 0, 0, 0, 0, 0, 0, 0], dtype=np.float32)
    width, height = image_size
    focal, centre = lens.focal_px / width * 2, lens.centre_px / width * 2 - [1, height / width]
    return np.concatenate([focal, centre, lens.radial, lens.tangential]).astype(np.float32)
