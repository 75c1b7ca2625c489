# SPDX-License-Identifier: GPL-3.0-or-later
"""`Sequence2D3D`: one person's keypoints and true joints seen by one camera, from a benchmark or from free motion.

It is checked once, at birth, in the reader's name; networks take `inputs` and are compared with `targets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..skeleton import Skeleton, mirror_indices
from .lens import LensCamera

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Sequence2D3D:
    """Keypoints and joints of one take by one camera. Arrays are float32 and read-only.

    Attributes:
        subject: who moves, e.g. ``S9``, ``Validate/S1``, ``14``.
        action: what they do, e.g. ``Walking 1``; trailing words with digits tell takes apart (see `action_group`).
        camera: which camera saw it.
        rate: frames per second.
        skeleton: J joints.
        keypoint_names: K names.
        keypoints: (F, K, 2) pixels, x right, y down, origin top left.
        scores: (F, K) 0 … 1; ones where the source has none.
        joints: (F, J, 3) camera space (x right, y down, z forward), metres.
        image_size: width, height in pixels.
        valid: (F,) frames that count in measures; None: all.
        lens: the camera, where it is known.

    Raises:
        InputError: counts of frames, keypoints or joints disagree, or a number is missing (NaN).
    """

    subject: str
    action: str
    camera: str
    rate: float
    skeleton: Skeleton
    keypoint_names: tuple[str, ...]
    keypoints: Array
    scores: Array
    joints: Array
    image_size: tuple[int, int]
    valid: NDArray[np.bool_] | None = None
    lens: LensCamera | None = None

    def __post_init__(self) -> None:
        joints = self._array(self.joints, "joints")
        keypoints, scores = self._array(self.keypoints, "keypoints"), self._array(self.scores, "scores")
        if joints.ndim != 3 or joints.shape[1:] != (self.skeleton.joint_count, 3):
            raise self._error(
                f"has joints of shape {joints.shape}, but {self.skeleton.name} has {self.skeleton.joint_count} joints",
                "Choose the data set and joint layout that the file was made for.",
                "joints",
            )
        count = len(joints)
        if keypoints.ndim != 3 or keypoints.shape[1:] != (len(self.keypoint_names), 2):
            raise self._error(
                f"has keypoints of shape {keypoints.shape}, but {len(self.keypoint_names)} names for them",
                "Choose the data set and keypoint layout that the file was made for.",
                "joints",
            )
        if len(keypoints) != count or scores.shape != keypoints.shape[:2]:
            raise self._error(
                f"has {count} frames of joints, {len(keypoints)} of keypoints and scores of shape {scores.shape}",
                "2D and 3D files must come from the same preparation of the data set.",
                "frames",
            )
        if not count:
            raise self._error("has no frames", "Leave it out or prepare the file again.", "frames")
        for what, values in (("keypoint", keypoints), ("joint", joints)):
            broken = ~np.isfinite(values).all(axis=(1, 2))
            if broken.any():
                raise self._error(
                    f"has {what}s without a position (NaN) in {int(broken.sum())} of {count} frames, "
                    f"first in frame {int(broken.argmax())}",
                    "Fill the gaps before use, or cut the frames out of the 2D and the 3D file alike.",
                    "nan",
                )
        if not self.rate > 0:
            raise self._error(f"has the frame rate {self.rate}", "Give frames per second above zero.", "rate")
        valid = self.valid
        if valid is not None:
            valid = np.asarray(valid).astype(bool).reshape(-1).copy()
            if len(valid) != count:
                raise self._error(f"marks {len(valid)} frames as valid or not, of {count}", "", "frames")
            valid.setflags(write=False)
        for name, value in (("joints", joints), ("keypoints", keypoints), ("scores", scores), ("valid", valid)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "keypoint_names", tuple(self.keypoint_names))

    def _array(self, value: ArrayLike, what: str) -> Array:
        try:
            array = np.asarray(value, dtype=np.float32).view()
        except (TypeError, ValueError) as error:
            raise self._error(f"has {what} that are not numbers", "Prepare the file again.", "joints") from error
        array.setflags(write=False)
        return array

    def _error(self, message: str, hint: str, code: str) -> InputError:
        return InputError(f"{self.name} {message}.", hint, f"benchmark-{code}")

    @property
    def name(self) -> str:
        return f"{self.subject} {self.action} (camera {self.camera})"

    @property
    def action_group(self) -> str:
        """The action that protocols average over (see the function of that name)."""
        return action_group(self.action)

    @property
    def frame_count(self) -> int:
        return len(self.joints)

    def inputs(self, *, scores: bool = False) -> NDArray[np.float32]:
        """(F, K, 2) keypoints in screen coordinates, or (F, K, 3) with their scores: what networks take."""
        screen = to_screen(self.keypoints, self.image_size)
        if scores:
            screen = np.concatenate([screen, self.scores[..., None]], axis=-1)
        return screen.astype(np.float32)

    def targets(self) -> NDArray[np.float32]:
        """(F, J, 3) joints relative to joint 0, camera axes, metres: what networks answer."""
        return (self.joints - self.joints[:, :1]).astype(np.float32)

    def with_keypoints(self, keypoints: ArrayLike, scores: ArrayLike | None = None) -> Sequence2D3D:
        """The same take with other (F, K, 2) pixels (noise, detections), and other scores where given."""
        keypoints = np.asarray(keypoints)
        return replace(self, keypoints=keypoints, scores=self.scores if scores is None else np.asarray(scores))

    def part(self, start: int = 0, stop: int | None = None, every: int = 1) -> Sequence2D3D:
        """Some of its frames; the rate falls with `every`."""
        chosen = slice(start, stop, every)
        return replace(
            self,
            rate=self.rate / every,
            keypoints=self.keypoints[chosen],
            scores=self.scores[chosen],
            joints=self.joints[chosen],
            valid=None if self.valid is None else self.valid[chosen],
        )

    def mirrored(self) -> Sequence2D3D:
        """The take seen in a mirror: x turned over, left and right exchanged, in 2D and 3D. The lens is lost."""
        swap = mirror_indices(self.keypoint_names)
        width = np.array([self.image_size[0], 0], dtype=np.float32)
        return replace(
            self,
            keypoints=width + self.keypoints[:, swap] * np.array([-1, 1], dtype=np.float32),
            scores=self.scores[:, swap],
            joints=self.joints[:, self.skeleton.mirror] * np.array([-1, 1, 1], dtype=np.float32),
            lens=None,
        )

    def select(
        self,
        skeleton: Skeleton | None = None,
        keypoint_names: tuple[str, ...] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> Sequence2D3D:
        """Its joints and keypoints by name, in another order or fewer of them.

        Args:
            skeleton: joints wanted; None keeps them.
            keypoint_names: keypoints wanted; None keeps them.
            aliases: name wanted -> name here, for names that this data set lacks.

        Raises:
            InputError: something wanted is not there (code ``benchmark-joints``).
        """

        def indices(wanted: tuple[str, ...], have: tuple[str, ...], what: str) -> list[int]:
            names = [name if name in have else (aliases or {}).get(name, name) for name in wanted]
            missing = [name for name in names if name not in have]
            if missing:
                raise self._error(
                    f"has no {what} {', '.join(missing)}; it has {', '.join(have)}",
                    "Use a network and a data set with the same names.",
                    "joints",
                )
            return [have.index(name) for name in names]

        changed = self
        if skeleton is not None:
            index = indices(skeleton.joints, self.skeleton.joints, "joint")
            changed = replace(changed, skeleton=skeleton, joints=self.joints[:, index])
        if keypoint_names is not None:
            index = indices(tuple(keypoint_names), self.keypoint_names, "keypoint")
            changed = replace(
                changed,
                keypoint_names=tuple(keypoint_names),
                keypoints=self.keypoints[:, index],
                scores=self.scores[:, index],
            )
        return changed


def action_group(action: str) -> str:
    """The action without what tells takes apart, trailing words with digits: ``Walking`` of ``Walking 1 chunk0``."""
    words = action.split(" ")
    while len(words) > 1 and any(letter.isdigit() for letter in words[-1]):
        words.pop()
    return " ".join(words)


def to_screen(pixels: ArrayLike, image_size: tuple[int, int]) -> Array:
    """(..., 2) pixels to screen coordinates: x from -1 to 1, y in the same unit (VideoPose3D's normalisation)."""
    width, height = image_size
    return np.asarray(pixels) / width * 2 - np.array([1, height / width], dtype=np.float32)


def from_screen(screen: ArrayLike, image_size: tuple[int, int]) -> Array:
    """The inverse of `to_screen`."""
    width, height = image_size
    return (np.asarray(screen) + np.array([1, height / width], dtype=np.float32)) * width / 2
