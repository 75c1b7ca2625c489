# SPDX-License-Identifier: GPL-3.0-or-later
"""The 1 € filter on signals whose answer is known."""

import numpy as np
import pytest

from video_to_pose.motion.one_euro import OneEuro
from video_to_pose.rotation import normalize

RATE = 60.0


def filtered(values, one_euro, rate=RATE):
    return np.array([one_euro(i / rate, value) for i, value in enumerate(np.asarray(values, dtype=float))])


def test_what_stands_still_stays():
    still = np.tile([[0.3, -2.0, 5.0]], (50, 1, 1))
    assert np.allclose(filtered(still, OneEuro(1.0, 2.0)), still)


def test_without_beta_it_is_the_first_order_low_pass():
    cutoff = 2.0
    step = np.concatenate([np.zeros(1), np.ones(59)])[:, None, None]
    share = 1 / (1 + RATE / (2 * np.pi * cutoff))
    expected = 1 - (1 - share) ** np.arange(60)
    assert np.allclose(filtered(step, OneEuro(cutoff, 0.0))[:, 0, 0], expected)


def test_trembling_is_calmed_and_speed_lessens_the_lag():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(600, 1, 1)) * 0.01
    assert filtered(noise, OneEuro(1.0, 0.5))[60:].std() < 0.3 * noise.std()
    ramp = np.arange(120)[:, None, None] / RATE * 3.0
    lag = [float((ramp - filtered(ramp, OneEuro(1.0, beta)))[-1, 0, 0]) for beta in (0.0, 0.5, 4.0)]
    assert lag[0] > 2 * lag[1] > 4 * lag[2] > 0


def test_each_vector_has_a_speed_of_its_own():
    both = np.zeros((60, 2, 3))
    both[:, 0, 0] = np.arange(60) / RATE * 5.0
    alone = filtered(both[:, 1:] + 0.0, OneEuro(1.0, 2.0))
    both[:, 1] += np.sin(np.arange(60))[:, None] * 0.01
    out = filtered(both, OneEuro(1.0, 2.0))
    quiet = filtered(both[:, 1:], OneEuro(1.0, 2.0))
    assert np.allclose(out[:, 1:], quiet) and not np.allclose(out[:, 1:], alone)


def test_directions_stay_directions_even_between_opposites():
    angle = np.linspace(0, 9, 200)
    turning = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)[:, None]
    out = filtered(turning, OneEuro(1.0, 1.0, unit=True))
    assert np.allclose(np.linalg.norm(out, axis=-1), 1.0)
    flipped = OneEuro(RATE / (2 * np.pi), 0.0, unit=True)  # weight of the newest value: one half
    flipped(0.0, [[1.0, 0.0, 0.0]])
    assert np.allclose(flipped(1 / RATE, [[-1.0, 0.0, 0.0]]), [[-1.0, 0.0, 0.0]])


def test_what_is_seen_badly_is_believed_slowly():
    one_euro = OneEuro(2.0, 0.0)
    one_euro(0.0, np.zeros((2, 1)))
    sure, unsure = one_euro(1 / RATE, np.ones((2, 1)), [1.0, 0.1])[:, 0]
    assert unsure < 0.2 * sure


def test_the_same_moment_twice_changes_nothing_and_uneven_times_do_no_harm():
    one_euro = OneEuro(1.0, 0.0)
    one_euro(0.0, [[0.0]])
    first = one_euro(0.1, [[1.0]])
    assert one_euro(0.1, [[9.0]]) == first and one_euro(0.05, [[9.0]]) == first
    assert one_euro(100.0, [[1.0]]) == pytest.approx(1.0, abs=2e-3)  # so long after, the new value is all there is


def test_forgetting_begins_anew():
    one_euro = OneEuro(1.0, 0.0, unit=True)
    one_euro(0.0, normalize([[1.0, 2.0, 3.0]]))
    one_euro.forget()
    assert np.allclose(one_euro(0.0, [[0.0, 1.0, 0.0]]), [[0.0, 1.0, 0.0]])
