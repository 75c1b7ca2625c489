# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a lifter's ONNX file over a whole track with ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import bones, onnx_session
from ..errors import InputError
from ..rotation import normalize
from ..skeleton import Skeleton, mirror_indices
from ..types import KeypointTrack, LiftedPose
from .joint_keypoints import joint_confidence
from .normalize import mirror_features, normalize_keypoints

NORMALIZATION = "view-1"
CHUNK_FRAMES = 2048
"""Frames lifted at once: bounds the memory of hour-long clips."""

FILLED_SCORE = 0.15
"""What a keypoint that was filled in between seen frames is worth to the network."""

NEEDED_KEYPOINTS = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)
"""Without these a lifter cannot say how a person moves; all others may be lacking."""

_STANDS_IN = {  # part of a side -> the neighbour it is put at, and where the limb that it prolongs begins
    "index": ("*_wrist", "*_elbow"),
    "pinky": ("*_wrist", "*_elbow"),
    "thumb": ("*_wrist", "*_elbow"),
    "heel": ("*_ankle", "*_ankle"),
    "foot_index": ("*_ankle", "*_ankle"),
    "eye": ("nose", "nose"),
    "ear": ("nose", "nose"),
}
_KNUCKLE_SHARE = 0.35  # of the forearm


@dataclass(frozen=True, eq=False)
class Lifter:
    """A loaded lifter; call it with a track and the camera's intrinsics.

    Attributes:
        path: the ONNX file.
        session: ONNX Runtime session.
        skeleton: what it answers in.
        keypoints: names it reads, in order.
        receptive_field: frames around a frame that it looks at.
        frame_rate: frames per second it was trained for.
        flip: average with the mirrored picture.
        metadata: everything the file says of itself.
    """

    path: Path
    session: Any
    skeleton: Skeleton
    keypoints: tuple[str, ...]
    receptive_field: int
    frame_rate: float
    flip: bool
    metadata: Mapping[str, str]

    @property
    def causal(self) -> bool:
        """Whether it looks at nothing that comes after a frame."""
        return self.metadata.get("causal") == "true"

    def __call__(self, track: KeypointTrack, focal_px: float, centre_px: ArrayLike) -> LiftedPose:
        """Directions of every frame, one set of lengths, and the clip's up vector, in camera axes.

        Raises:
            InputError: the track lacks keypoints that the lifter reads.
        """
        positions, scores = select_keypoints(track, self.keypoints)
        if self.metadata.get("masked_keypoints") != "true":
            positions, scores = stand_ins(positions, scores, self.keypoints)
        features, R_camera_view = normalize_keypoints(positions, scores, focal_px, centre_px)
        directions = np.empty((track.frame_count, self.skeleton.bone_count, 3), dtype=np.float32)
        up = np.empty((track.frame_count, 3), dtype=np.float32)
        lengths = np.empty((track.frame_count, self.skeleton.bone_count), dtype=np.float32)
        logits = np.empty_like(lengths)
        for part in phases(track, self.frame_rate):
            directions[part], up[part], lengths[part], logits[part] = self._run(features[part])
        seen = np.asarray((scores > FILLED_SCORE).any(axis=1))
        if not seen.any():
            seen = ~seen
        return LiftedPose(
            skeleton=self.skeleton,
            timestamps=track.timestamps,
            directions=normalize(np.einsum("fij,fbj->fbi", R_camera_view, directions)),
            lengths=attended_lengths(lengths[seen], logits[seen]),
            confidence=joint_confidence(self.skeleton, track),
            up=clip_up(np.einsum("fij,fj->fi", R_camera_view, up)),
            height_spread_m=height_spread(self.skeleton, lengths[seen], logits[seen]),
        )

    def _run(self, features: NDArray[np.float32]) -> tuple[NDArray[np.floating], ...]:
        results = self._chunks(features)
        if not self.flip:
            return results
        mirror = mirror_indices(self.keypoints)
        bone_mirror = self.skeleton.mirror[1:] - 1
        flipped = self._chunks(mirror_features(features, mirror))
        sign = np.array([-1, 1, 1], dtype=np.float32)
        directions = results[0] + flipped[0][:, bone_mirror] * sign
        up = results[1] + flipped[1] * sign
        lengths = (results[2] + flipped[2][:, bone_mirror]) / 2
        logits = (results[3] + flipped[3][:, bone_mirror]) / 2
        agreed = np.linalg.norm(directions, axis=-1, keepdims=True) > 0.1  # else the two views contradict each other
        directions = np.where(agreed, directions, results[0])
        return normalize(directions), normalize(up), lengths, logits

    def _chunks(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        span = self.receptive_field - 1
        before = span if self.causal else span // 2
        parts = []
        for start in range(0, len(features), CHUNK_FRAMES):
            stop = min(start + CHUNK_FRAMES, len(features))
            low, high = max(0, start - before), min(len(features), stop + span - before)
            outputs = self.session.run(
                ["directions", "up", "lengths", "length_logits"], {"features": features[None, low:high]}
            )
            parts.append([output[0, start - low : stop - low] for output in outputs])
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def phases(track: KeypointTrack, frame_rate: float) -> list[slice]:
    """Faster footage is lifted in interleaved phases, each at about the rate that a network knows."""
    stride = max(1, round(track.frame_rate / frame_rate))
    return [slice(phase, None, stride) for phase in range(min(stride, track.frame_count))]


def open_session(path: Path, device: str = "auto", threads: int = 0) -> Any:
    """A lifter's ONNX file, opened as `onnx_session.open_session` does."""
    return onnx_session.open_session(path, device, threads, "lifter")[0]


def from_session(path: Path, session: Any, flip: bool) -> Lifter:
    """A lifter of its opened file.

    Raises:
        InputError: the file is no lifter this version can run.
    """
    metadata = session.get_modelmeta().custom_metadata_map
    if metadata.get("normalization") != NORMALIZATION:
        raise InputError(
            f"{path} is not a lifter of this version (its normalization is {metadata.get('normalization')!r}).",
            "Export it again with `video-to-pose export`, or choose another file.",
            "lifter-version",
        )
    return Lifter(
        path=path,
        session=session,
        skeleton=Skeleton(
            metadata["skeleton"], tuple(json.loads(metadata["joints"])), tuple(json.loads(metadata["parents"]))
        ),
        keypoints=tuple(json.loads(metadata["keypoints"])),
        receptive_field=int(metadata["receptive_field"]),
        frame_rate=float(metadata["frame_rate"]),
        flip=flip,
        metadata=metadata,
    )


def select_keypoints(track: KeypointTrack, names: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (F, K, 2) and scores (F, K) of the named keypoints; gaps in time are bridged linearly.

    Keypoints that the track's layout has not (COCO has no feet and no knuckles) have no place and score 0.

    Raises:
        InputError: the track has none of some keypoint of `NEEDED_KEYPOINTS`.
    """
    lacking = [name for name in names if name in NEEDED_KEYPOINTS and name not in track.names]
    if lacking:
        raise InputError(
            f"The keypoints lack {', '.join(lacking)}, without which nothing can be lifted.",
            "Use a detector or a file with shoulders, elbows, wrists, hips, knees and ankles of both sides.",
            "keypoints-lacking",
        )
    there = [k for k, name in enumerate(names) if name in track.names]
    index = [track.names.index(names[k]) for k in there]
    positions = np.full((track.frame_count, len(names), 2), np.nan)
    scores = np.zeros((track.frame_count, len(names)))
    positions[:, there], scores[:, there] = track.positions[:, index], track.scores[:, index]
    for k in there:
        seen = np.isfinite(positions[:, k, 0])
        if seen.any() and not seen.all():
            for axis in range(2):
                positions[~seen, k, axis] = np.interp(
                    track.timestamps[~seen], track.timestamps[seen], positions[seen, k, axis]
                )
            scores[~seen, k] = FILLED_SCORE
    return positions, scores


def stand_ins(
    positions: NDArray[np.float64], scores: NDArray[np.float64], names: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places for keypoints that a clip never shows, for lifters that were not trained without them.

    Knuckles go on along the forearm, heels and toes are at the ankle, eyes and ears at the nose; the score is the
    neighbour's. Only the network is given these: the track stays as it is, and joints that rest on them have no
    confidence. On the example clip they cost 7 mm where masks cost 54 mm (COCO's 17 instead of all 25).
    """
    positions, scores = positions.copy(), scores.copy()
    never = [name for k, name in enumerate(names) if not scores[:, k].any()]
    for name in never:
        side, _, part = name.partition("_")
        near, far = _STANDS_IN.get(part, ("", ""))
        near, far = near.replace("*", side), far.replace("*", side)
        if near in names and far in names and near not in never and far not in never:
            k, i, j = (names.index(each) for each in (name, near, far))
            share = _KNUCKLE_SHARE if i != j else 0.0
            positions[:, k] = positions[:, i] + share * (positions[:, i] - positions[:, j])
            scores[:, k] = scores[:, i]
    return positions, scores


def attended_lengths(lengths: NDArray[np.floating], logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """One set of lengths (B,) from every frame's (F, B), weighted by the softmax of its logits over frames."""
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=0))
    return (weights * lengths).sum(axis=0) / weights.sum(axis=0)


def height_spread(skeleton: Skeleton, lengths: NDArray[np.floating], logits: NDArray[np.floating]) -> float:
    """Standard deviation in metres of the standing heights that frames (F, B) tell, weighted as the lengths are."""
    heights = bones.standing_height(skeleton, lengths.astype(np.float64))
    trust = logits[:, bones.height_bones(skeleton)].astype(np.float64).mean(axis=1, keepdims=True)
    middle = attended_lengths(heights[:, None], trust)
    return float(np.sqrt(attended_lengths((heights[:, None] - middle) ** 2, trust)[0]))


def clip_up(up: NDArray[np.floating]) -> NDArray[np.floating]:
    """(3,) one up vector of a still camera from every frame's (F, 3): the component-wise median, normalised."""
    return normalize(np.median(up, axis=0))
