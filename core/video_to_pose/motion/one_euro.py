# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing while it happens: the 1 € filter.

Géry Casiez, Nicolas Roussel, Daniel Vogel: "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012. A first-order low-pass whose cut-off rises with speed: calm where little moves, hardly
any lag where much does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..rotation import normalize

Array = NDArray[np.floating]

_SPEED_CUTOFF_HZ = 1.0  # the paper's choice for the low-pass of the speed itself


class OneEuro:
    """A filter of N vectors that move together in time but have a speed each.

    Args:
        min_cutoff_hz: cut-off of what stands still; lower is calmer.
        beta: by how many hertz the cut-off rises for each unit of speed; higher lags less.
        unit: the vectors are directions, and stay of length 1.
    """

    def __init__(self, min_cutoff_hz: float, beta: float, *, unit: bool = False) -> None:
        self._min_cutoff_hz, self._beta, self._unit = min_cutoff_hz, beta, unit
        self.forget()

    def forget(self) -> None:
        """Begin anew with the next value."""
        self._time_s = -np.inf
        self._value: Array | None = None
        self._speed: Array | None = None

    def __call__(self, time_s: float, values: ArrayLike, trust: ArrayLike = 1.0) -> Array:
        """The filtered values (N, C) at `time_s`.

        Args:
            time_s: later than that of the call before; at the same time or an earlier one nothing changes.
            values: (N, C), finite.
            trust: (N,) 0 … 1, a factor of the cut-off: what is seen badly is believed slowly.
        """
        values = np.array(values, dtype=np.float64)
        if self._value is None or self._speed is None:
            self._time_s, self._value, self._speed = time_s, values, np.zeros_like(values)
            return values.copy()
        period = time_s - self._time_s
        if period <= 0:
            return self._value.copy()
        speed = (values - self._value) / period
        self._speed = self._speed + _share(_SPEED_CUTOFF_HZ, period) * (speed - self._speed)
        fast = np.linalg.norm(self._speed, axis=-1, keepdims=True)
        cutoff = (self._min_cutoff_hz + self._beta * fast) * np.asarray(trust, dtype=np.float64).reshape(-1, 1)
        filtered = self._value + _share(cutoff, period) * (values - self._value)
        if self._unit:
            unit = normalize(filtered)
            filtered = np.where(unit.any(axis=-1, keepdims=True), unit, values)  # opposites cancelled out
        self._time_s, self._value = time_s, filtered
        return filtered.copy()


def _share(cutoff_hz: ArrayLike, period_s: float) -> Array:
    """Weight of the newest value: 1 / (1 + τ / T) with τ = 1 / 2πf (the paper's equation 5)."""
    turn = 2 * np.pi * np.asarray(cutoff_hz, dtype=np.float64) * period_s
    return turn / (1.0 + turn)
