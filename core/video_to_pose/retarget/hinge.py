# SPDX-License-Identifier: GPL-3.0-or-later
"""The axis about which elbows and knees bend, steady while the limb is straight.

Two directions tell the hinge of a bent limb and nothing of a straight one. So the axis is found for the whole clip
at once: as a path on the circle about the upper part that agrees with the bent frames, each weighted by what it
knows, and turns as little as it can in between, carried along by the swinging limb (parallel transport).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..rotation import between, normalize

Array = NDArray[np.floating]

_NOISE_DEG = 2.5  # of a direction; what bends less than twice as much tells nothing
_REST_DEG = 2.5  # a rig that bends as much at rest tells as much as anatomy does
_BENT_DEG = (15.0, 45.0)  # a limb flexed more than this is bent, whichever way; less, it may be noise


def hinge_axis(
    first: Array, second: Array, at_ease: Array, straight: Array, pull: float, wander: float, rate: float
) -> Array:
    """(F, 3) unit axis orthogonal to a limb's first part, about which its second part is flexed against it.

    The least of Σ w |z - n|² + λ Σ |z - z_before|² + μ Σ |z - prior|² with the limb's normal n, weighted by the
    squared sine of its flexion. A limb that seems bent a little the wrong way is taken for straight.

    Args:
        first, second: (F, 3) unit directions of the limb's parts.
        at_ease: (F, 3) where `first` points when `straight` is the hinge; best opposite to where no limb goes.
        straight: (F, 3) hinge of the straight limb that points along `at_ease`; carried along by the shortest way
            it is the prior.
        pull: weight μ of the prior for a second; one frame that is bent by 90 degrees has about 800.
        wander: how far the axis turns about a straight limb by itself, radians in a second's square root.
        rate: frames per second.
    """
    gauge = np.einsum("...ij,...j->...i", between(at_ease, first), straight)
    other = np.cross(first, gauge)
    normal = np.cross(first, second)
    seen = np.sum(normal * gauge, axis=-1) + 1j * np.sum(normal * other, axis=-1)
    sine = np.abs(seen)
    flexion = np.degrees(np.arctan2(sine, np.sum(first * second, axis=-1)))
    bent = np.clip((flexion - _BENT_DEG[0]) / (_BENT_DEG[1] - _BENT_DEG[0]), 0, 1)
    backwards = (1 - seen.real / np.maximum(sine, 1e-9)) / 2  # 0 … 1: how much the normal opposes the prior
    noise = np.radians(_NOISE_DEG)
    weight = np.maximum(sine**2 - np.sin(2 * noise) ** 2, 0) / noise**2 * (1 - backwards * (1 - bent))

    carried = np.einsum("fij,fj->fi", between(first[:-1], first[1:]), gauge[:-1])
    slip = np.arctan2(np.sum(carried * other[1:], axis=-1), np.sum(carried * gauge[1:], axis=-1))
    turned = np.exp(1j * np.concatenate([[0.0], np.cumsum(slip)]))  # carried axis against the gauge
    prior = np.conj(turned)
    z = _smoothest(weight, seen / np.maximum(sine, 1e-9) * prior, pull / rate, prior, rate / wander**2)
    z = z * turned
    z = z / np.maximum(np.abs(z), 1e-9)
    return z.real[:, None] * gauge + z.imag[:, None] * other


def _smoothest(weight: Array, seen: Array, pull: float, prior: Array, stiffness: float) -> Array:
    """(F,) complex z of the least Σ weight |z - seen|² + pull |z - prior|² + stiffness |z - z_before|² (Thomas)."""
    count = len(weight)
    ends = np.full(count, 2.0)
    ends[[0, -1]] -= 1.0
    diagonal = (weight + pull + stiffness * (ends if count > 1 else 0.0)).tolist()
    right = (weight * seen + pull * prior).tolist()
    for f in range(1, count):
        ratio = stiffness / diagonal[f - 1]
        diagonal[f] -= ratio * stiffness
        right[f] += ratio * right[f - 1]
    z = np.empty(count, dtype=complex)
    after: complex = 0.0
    for f in range(count - 1, -1, -1):
        after = (right[f] + stiffness * after) / diagonal[f] if f < count - 1 else right[f] / diagonal[f]
        z[f] = after
    return z


def rest_hinge(first: Array, second: Array, at_ease: Array, straight: Array) -> Array:
    """(1, 3) hinge of a rig at rest: its own bend tells it, from a few degrees on; else it is as at ease."""
    gauge = np.einsum("...ij,...j->...i", between(at_ease, first), straight)
    normal = np.cross(first, second)
    sine = np.linalg.norm(normal, axis=-1, keepdims=True)
    forward = np.sum(normal * gauge, axis=-1, keepdims=True) > 0.3 * sine
    return normalize(np.where(forward, normal * sine, 0.0) + np.sin(np.radians(_REST_DEG)) ** 2 * gauge)
