# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing that keeps punches: rotations and paths over time without lag, constants in seconds and Hz (numpy only).

At each moment a straight line is fitted to what is around it by Gaussian weights; the same is done to what that left
over, and added ("twicing"). The gain falls to 1/√2 at the cutoff like a plain Gaussian's, but is flat below, so a blow
keeps its speed; lines know the trend, so the ends of a clip neither lag nor shrink. Unit quaternions are filtered as
vectors of four, which turns with the world and with the bone: smoothing a turned motion is turning a smoothed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rotation import make_continuous, normalize

Array = NDArray[np.floating]

PRESETS: Mapping[str, float] = MappingProxyType({"off": 0.0, "light": 12.0, "standard": 6.0, "strong": 3.0})
"""Preset -> cutoff in Hz of a body part whose factor is 1; 0 leaves motion alone."""

PARTS: Mapping[str, float] = MappingProxyType(
    {"trunk": 0.8, "head": 0.8, "arms": 1.0, "hands": 1.0, "legs": 1.0, "feet": 1.0}
)
"""Body part -> factor on the preset's cutoff: heavy parts move slowly, so what is fast in them is noise."""

_PART_OF = (  # words in the names of bone maps' parts -> body part; the first that fits
    (("hand", "wrist", "thumb", "index", "middle", "ring", "little", "finger"), "hands"),
    (("foot", "toe", "ankle", "heel"), "feet"),
    (("leg", "knee"), "legs"),
    (("arm", "elbow", "shoulder"), "arms"),
    (("head", "neck"), "head"),
)


def body_part(part: str) -> str:
    """The body part of `PARTS` that a bone map's part, e.g. ``left_forearm`` or ``spine``, belongs to."""
    return next((body for words, body in _PART_OF if any(word in part for word in words)), "trunk")


def cutoff_hz(part: str, preset: str = "standard", parts: Mapping[str, str | float] | None = None) -> float:
    """Cutoff of one body part.

    Args:
        part: of `PARTS`, or a bone map's part.
        preset: of `PRESETS`, for the whole body.
        parts: body part -> its own preset, or its own factor on the cutoff in place of that in `PARTS` (above 1
            smooths less, 0 not at all).

    Returns:
        Hz; 0 leaves the part alone.

    Raises:
        ValueError: a preset or body part that there is not, or a factor below 0.
    """
    own = dict(parts or {})
    if unknown := set(own) - set(PARTS):
        raise ValueError(f"unknown body parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    body = part if part in PARTS else body_part(part)
    choice = own.get(body, PARTS[body])
    factor = PARTS[body] if isinstance(choice, str) else float(choice)
    chosen = choice if isinstance(choice, str) else preset
    if chosen not in PRESETS:
        raise ValueError(f"unknown smoothing {chosen!r}; there are {', '.join(PRESETS)}")
    if not factor >= 0:
        raise ValueError(f"the factor of {body} must not be negative, got {factor:g}")
    return PRESETS[chosen] * factor


def smooth_rotations(quats: ArrayLike, timestamps: ArrayLike, cutoff_hz: float) -> Array:
    """Rotations without jitter, fast moves kept, without lag.

    Args:
        quats: (F, ..., 4) unit quaternions; their signs may jump.
        timestamps: (F,) seconds, increasing, as irregular as they come.
        cutoff_hz: where the gain is 1/√2; 0 or less leaves the rotations alone.

    Returns:
        (F, ..., 4) unit quaternions, sign-continuous, float64.
    """
    rough = make_continuous(np.asarray(quats, dtype=np.float64))
    smooth = smooth_path(rough, timestamps, cutoff_hz)
    lost = np.linalg.norm(smooth, axis=-1, keepdims=True) < 1e-3  # opposite rotations cancelled each other out
    return make_continuous(np.where(lost, rough, normalize(smooth))) if cutoff_hz > 0 else rough


def smooth_path(points: ArrayLike, timestamps: ArrayLike, cutoff_hz: float) -> Array:
    """Points, or any values, without jitter, fast moves kept, without lag; straight lines stay as they are.

    Args:
        points: (F, ...) finite.
        timestamps: (F,) seconds, increasing.
        cutoff_hz: where the gain is 1/√2; 0 or less leaves the points alone.

    Returns:
        (F, ...) float64.
    """
    rough = np.array(points, dtype=np.float64)
    times = np.asarray(timestamps, dtype=np.float64)
    if times.shape != rough.shape[:1]:
        raise ValueError(f"{len(rough)} moments need as many timestamps, got shape {times.shape}")
    if cutoff_hz <= 0 or len(rough) < 3:
        return rough
    flat, sigma = rough.reshape(len(rough), -1), _sigma_s(cutoff_hz)
    once = _line_fit(flat, times, sigma)
    return (once + _line_fit(flat - once, times, sigma)).reshape(rough.shape)


def _sigma_s(cutoff_hz: float) -> float:
    """Width in seconds of the Gaussian whose gain g gives g (2 - g) = 1/√2 at the cutoff."""
    gain = 1 - np.sqrt(1 - np.sqrt(0.5))
    return float(np.sqrt(-2 * np.log(gain)) / (2 * np.pi * cutoff_hz))


_REACH = 4.0  # sigmas that the Gaussian is followed to
_BLOCK = 64  # frames fitted at once: a band of the whole clip's matrix, as dense blocks that fit the cache


def _line_fit(values: Array, times: Array, sigma: float) -> Array:
    """(F, C) at each moment the straight line through `values` (F, C) around it, by Gaussian weights."""
    out = np.empty_like(values)
    for start in range(0, len(values), _BLOCK):
        here = slice(start, min(start + _BLOCK, len(values)))
        low = np.searchsorted(times, times[here.start] - _REACH * sigma)
        high = np.searchsorted(times, times[here.stop - 1] + _REACH * sigma, side="right")
        away = (times[low:high] - times[here, None]) / sigma
        weight = np.where(np.abs(away) <= _REACH, np.exp(-0.5 * away**2), 0.0)
        s0, s1, s2 = ((weight * away**power).sum(axis=1, keepdims=True) for power in (0, 1, 2))
        spread = s0 * s2 - s1**2
        line = weight * (s2 - s1 * away) / np.maximum(spread, 1e-300)
        kernel = np.where(spread > 1e-9 * s0**2, line, weight / s0)  # a lone moment has no line
        out[here] = kernel @ values[low:high]
    return out
