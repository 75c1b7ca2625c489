# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in between: frames without the person, and frames unevenly spaced."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_FILLED_SCORE = 0.3  # factor on the scores of frames filled in between
_EVEN = 0.1  # share of a frame's length by which even timestamps may scatter (containers round them)


def fill_gaps(times: Array, positions: Array, scores: Array, max_gap_s: float) -> tuple[Array, Array]:
    """Interpolate missing frames between two seen no more than `max_gap_s` apart.

    Args:
        times: (F,) seconds.
        positions: (F, K, 2), NaN in frames without the person.
        scores: (F, K).

    Returns:
        positions and scores; scores of filled frames are a fraction of the lower neighbour's.
    """
    positions, scores = positions.copy(), scores.copy()
    seen = np.flatnonzero(np.isfinite(positions).all(axis=(1, 2)))
    for before, after in pairwise(seen):
        if after - before < 2 or times[after] - times[before] > max_gap_s:
            continue
        inside = slice(before + 1, after)
        share = ((times[inside] - times[before]) / (times[after] - times[before]))[:, None, None]
        positions[inside] = (1 - share) * positions[before] + share * positions[after]
        scores[inside] = _FILLED_SCORE * np.minimum(scores[before], scores[after])
    return positions, scores


def resample_evenly(times: Array, positions: Array, scores: Array, max_gap_s: float) -> tuple[Array, Array, Array]:
    """Evenly spaced frames at the clip's usual rate; the first time is kept.

    Frames that are even but for the container's rounding keep their values and only have their times straightened.
    Otherwise positions are interpolated and scores are the lower neighbour's; between frames more than `max_gap_s`
    apart nothing is known (NaN, score 0).

    Args:
        times: (F,) seconds, F >= 2.
        positions: (F, K, 2).
        scores: (F, K).
    """
    steps = np.diff(times)
    usual = np.abs(steps - np.median(steps)) <= 0.25 * np.median(steps)
    step = float(steps[usual].mean())
    even = times[0] + np.arange(len(times)) * (times[-1] - times[0]) / (len(times) - 1)
    if np.abs(times - even).max() <= _EVEN * step:
        return even, positions, scores
    even = times[0] + np.arange(int((times[-1] - times[0]) / step + 1e-3) + 1) * step
    after = np.clip(np.searchsorted(times, even), 1, len(times) - 1)
    before = after - 1
    share = np.clip((even - times[before]) / (times[after] - times[before]), 0.0, 1.0)
    tolerance = 1e-3
    before = np.where(share > 1 - tolerance, after, before)  # a frame that is just there is taken as it is
    after = np.where(share < tolerance, before, after)
    share = np.where(before == after, 0.0, share)[:, None, None]
    unknown = times[after] - times[before] > max_gap_s
    new_positions = np.where(share == 0, positions[before], (1 - share) * positions[before] + share * positions[after])
    new_scores = np.minimum(scores[before], scores[after])
    new_positions[unknown] = np.nan
    new_scores[~np.isfinite(new_positions).all(axis=-1)] = 0.0
    return even, new_positions, new_scores
