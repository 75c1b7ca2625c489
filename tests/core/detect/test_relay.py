# SPDX-License-Identifier: GPL-3.0-or-later
import threading
import time

import pytest

from video_to_pose.detect.relay import relay


def test_order_is_kept():
    def slow_when_even(x):
        time.sleep(0.002 if x % 2 == 0 else 0)
        return x + 1

    assert list(relay(range(20), [slow_when_even, lambda x: x * 10])) == [10 * (x + 1) for x in range(20)]


def test_nothing_in_gives_nothing_out():
    assert list(relay([], [str])) == []


def test_steps_overlap():
    def step(x):
        time.sleep(0.02)
        return x

    began = time.perf_counter()
    list(relay(range(12), [step, step, step]))
    assert time.perf_counter() - began < 0.8 * 3 * 12 * 0.02


def test_little_is_made_ahead():
    made = []

    def items():
        for i in range(100):
            made.append(i)
            yield i

    running = relay(items(), [lambda x: x], ahead=1)
    next(running)
    time.sleep(0.3)
    assert len(made) < 10
    running.close()


@pytest.mark.parametrize("where", ["items", "step"])
def test_an_error_comes_out_after_what_was_good(where):
    def items():
        yield from range(3)
        if where == "items":
            raise OSError("broken")
        yield 3

    def step(x):
        if x == 3:
            raise OSError("broken")
        return x

    got = []
    with pytest.raises(OSError, match="broken"):
        for x in relay(items(), [step, step]):
            got.append(x)
    assert got == [0, 1, 2]


def test_closing_early_closes_the_source_and_ends_all_threads():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    running = relay(items(), [lambda x: x, lambda x: x])
    next(running)
    running.close()
    assert closed.is_set()
    assert threading.active_count() == before
