# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions one after the other, each in a thread of its own, so that one works while the next waits for a device."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any

_END = object()


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def relay(items: Iterable[Any], steps: list[Callable[[Any], Any]], ahead: int = 1) -> Generator[Any, None, None]:
    """What the steps make of every item, in order.

    Taking items and each step run in threads of their own. One item a step is under way, the one that was given out
    last among them, and `ahead` more, so that memory is bounded. What any thread raises is raised here, and when the
    generator is closed early all of them end.
    """
    stop = threading.Event()
    places = threading.Semaphore(len(steps) + ahead)
    lines: list[queue.Queue[Any]] = [queue.Queue() for _ in range(len(steps) + 1)]

    def take(line: queue.Queue[Any]) -> Any:
        while not stop.is_set():
            with suppress(queue.Empty):
                return line.get(timeout=0.1)
        return _END

    def has_place() -> bool:
        while not stop.is_set():
            if places.acquire(timeout=0.1):
                return True
        return False

    def feed() -> None:
        source = iter(items)
        try:
            while has_place():
                item = next(source, _END)
                lines[0].put(item)
                if item is _END:
                    return
        except BaseException as error:  # raised again where the answers are taken
            lines[0].put(_Failed(error))
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    def work(step: Callable[[Any], Any], before: queue.Queue[Any], after: queue.Queue[Any]) -> None:
        while True:
            item = take(before)
            if item is _END or isinstance(item, _Failed):
                after.put(item)
                return
            try:
                after.put(step(item))
            except BaseException as error:
                after.put(_Failed(error))
                return
            item = None  # memory of what was handed on is the next one's

    threads = [threading.Thread(target=feed, daemon=True)]
    threads += [
        threading.Thread(target=work, args=(step, lines[i], lines[i + 1]), daemon=True) for i, step in enumerate(steps)
    ]
    for thread in threads:
        thread.start()
    try:
        while True:
            item = take(lines[-1])
            if item is _END:
                return
            if isinstance(item, _Failed):
                raise item.error
            yield item
            item = None
            places.release()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
