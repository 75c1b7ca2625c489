# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a catalogue network's ONNX file on plain keypoints: what papers call lifting. No torch is needed.

Such a file takes keypoints in screen coordinates and answers joints; `lifter` files, which the product converts videos
with, take prepared features (`onnx_lifter`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import bones
from ..errors import InputError
from ..skeleton import Skeleton
from .onnx_lifter import open_session

NORMALIZATION = "screen-1"
"""x / w · 2 - [1, h / w]: `data.sequences.to_screen`."""


@dataclass(frozen=True, eq=False)
class OnnxNet:
    """A loaded network; call it with a clip.

    Attributes:
        path: the ONNX file.
        session: ONNX Runtime session.
        architecture: which network of the catalogue.
        skeleton: what it answers in.
        keypoints: names it reads, in order.
        receptive_field: T.
        target: which of T frames is answered.
        needs_scores: whether keypoints have a third channel.
        chunk: frames given to it at once; 0: the whole clip.
        length_frames: shares of the clip at which frames lie that its one set of bone lengths is made from; negative:
            the clip's first frames; empty: the network has no such lengths.
        metadata: everything the file says of itself.
    """

    path: Path
    session: Any
    architecture: str
    skeleton: Skeleton
    keypoints: tuple[str, ...]
    receptive_field: int
    target: int
    needs_scores: bool
    chunk: int
    length_frames: tuple[float, ...]
    metadata: Mapping[str, str]

    def __call__(self, keypoints: NDArray[np.floating]) -> NDArray[np.float32]:
        """(F, K, C) screen coordinates (and scores) -> (F, J, 3) joints relative to the root, metres.

        Raises:
            InputError: another number of keypoints, no scores where they are needed, NaN, or no frames.
        """
        x = check_keypoints(keypoints, self.keypoints, self.needs_scores, self.path.name)
        frames, after = len(x), self.receptive_field - 1 - self.target
        if not self.chunk or frames <= self.chunk:
            return self._run(x)
        pieces = []
        for start in range(0, frames, self.chunk):
            first = max(start - self.target, 0)
            piece = self._run(x[first : start + self.chunk + after])
            pieces.append(piece[start - first : start - first + self.chunk])
        joints = np.concatenate(pieces)
        if not self.length_frames:
            return joints
        # Each piece has lengths of its own; the clip's are those of its own frames.
        shares = np.asarray(self.length_frames, dtype=np.float32)
        chosen = np.where(shares < 0, np.arange(len(shares)), (shares * frames).astype(np.int64)).clip(0, frames - 1)
        _, lengths = bones.decompose(self.skeleton, self._run(x[chosen])[:1])
        directions, _ = bones.decompose(self.skeleton, joints)
        return bones.compose(self.skeleton, directions, lengths[0]).astype(np.float32)

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = self.session.run(["joints"], {"keypoints": x[None]})[0][0]
        return answer


Array = NDArray[np.floating]
Lift = Callable[[Array], Array]
"""(F, K, C) keypoints in screen coordinates (C = 2, or 3 with scores) -> (F, J, 3) joints relative to the root,
camera axes, metres."""


def flip_augmented(lift: Lift, keypoint_mirror: ArrayLike, joint_mirror: ArrayLike) -> Lift:
    """Horizontal-flip test-time augmentation: the mean of the answer and of the mirrored answer to the mirrored input.

    Args:
        lift: the network.
        keypoint_mirror: (K,) counterpart of each keypoint (`skeleton.mirror_indices`).
        joint_mirror: (J,) counterpart of each joint (`Skeleton.mirror`).

    Returns:
        A network that commutes with mirrors exactly.
    """
    keypoint_mirror, joint_mirror = np.asarray(keypoint_mirror), np.asarray(joint_mirror)

    def both(keypoints: Array) -> Array:
        flipped = keypoints[..., keypoint_mirror, :].copy()
        flipped[..., 0] *= -1
        other = np.array(lift(flipped))[..., joint_mirror, :]
        other[..., 0] *= -1
        return (np.asarray(lift(keypoints)) + other) / 2

    return both


def check_keypoints(
    keypoints: NDArray[np.floating], names: tuple[str, ...], scores: bool, owner: str
) -> NDArray[np.float32]:
    """(F, K, C) as a network takes them; a channel of scores that it does not read is dropped.

    Raises:
        InputError: what is wrong with them.
    """
    x, wanted = np.asarray(keypoints), 3 if scores else 2
    if x.ndim != 3 or x.shape[1] != len(names) or not len(x):
        raise InputError(
            f"{owner} takes {len(names)} keypoints a frame, not an array of shape {x.shape}.",
            f"Give (frames, keypoints, {wanted}), the keypoints in this order: {', '.join(names)}.",
            "keypoints-shape",
        )
    if x.shape[2] < wanted:
        raise InputError(
            f"{owner} reads the scores of keypoints, and these have none.",
            "Give scores as the third number of each keypoint, 1 where they are unknown.",
            "keypoints-scores",
        )
    x = x[..., :wanted]
    broken = ~np.isfinite(x).all(axis=(1, 2))
    if broken.any():
        raise InputError(
            f"Keypoints are missing (NaN) in {int(broken.sum())} of {len(x)} frames, "
            f"first in frame {int(broken.argmax())}.",
            "Fill the gaps before lifting.",
            "keypoints-nan",
        )
    return np.ascontiguousarray(x, dtype=np.float32)


def load_net(path: Path, *, device: str = "auto", threads: int = 0) -> OnnxNet:
    """Open a network's ONNX file; device and threads as in `open_session`.

    Raises:
        InputError: the file is missing, cut off, or no network of the catalogue.
        SetupError: the device asked for is not available to ONNX Runtime.
    """
    return from_session(path, open_session(path, device, threads))


def from_session(path: Path, session: Any) -> OnnxNet:
    """A network of its opened file.

    Raises:
        InputError: the file is no network of the catalogue.
    """
    metadata = session.get_modelmeta().custom_metadata_map
    if metadata.get("normalization") != NORMALIZATION:
        raise InputError(
            f"{path} is not a network that takes plain keypoints (its normalization is "
            f"{metadata.get('normalization')!r}).",
            "Give an .onnx file that `video-to-pose export` wrote from a network of the catalogue.",
            "net-kind",
        )
    try:
        return OnnxNet(
            path=path,
            session=session,
            architecture=metadata["architecture"],
            skeleton=Skeleton(
                metadata["skeleton"], tuple(json.loads(metadata["joints"])), tuple(json.loads(metadata["parents"]))
            ),
            keypoints=tuple(json.loads(metadata["keypoints"])),
            receptive_field=int(metadata["receptive_field"]),
            target=int(metadata["target"]),
            needs_scores=bool(json.loads(metadata["scores"])),
            chunk=int(metadata["chunk"]),
            length_frames=tuple(json.loads(metadata.get("length_frames", "[]"))),
            metadata=metadata,
        )
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path} lacks what is needed to run it: {error}.", "Export it again.", "net-version"
        ) from error
