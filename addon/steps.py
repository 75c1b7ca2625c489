# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in steps, so that Blender can draw in between: generators that yield, and that take themselves back when closed.

A step yields nothing when it is done with what it could do, or the `Future` that it waits for. Whoever drives it may
let any time pass before the next step, and may close it instead: what was entered is then left as after an error.
Between two steps Blender's data may change: hold data-blocks only, and look up bones, curves and the like anew.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Steps: TypeAlias = Generator[Future[Any] | None, None, T]


def aside(work: Callable[[], T]) -> Steps[T]:
    """Do work that touches nothing of Blender's in a thread of its own. Raises what it raises."""
    pool = ThreadPoolExecutor(1, "video-to-pose work")
    try:
        future = pool.submit(work)
        while not future.done():
            yield future
        return future.result()
    finally:
        pool.shutdown(wait=False)


def finished(steps: Steps[T]) -> T:
    """Take all steps at once and return what comes out."""
    while True:
        try:
            waiting = next(steps)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        if waiting is not None:
            wait([waiting])
