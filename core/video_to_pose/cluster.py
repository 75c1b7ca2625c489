# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch's clips on a Dask cluster whose machines see the same files under the same paths.

Dask gives a clip whose worker died to another worker. What a dead worker left unfinished is removed, and what two
workers might write at once lies in folders of their own until it is whole: each clip comes out once.
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import __version__
from .batch import Clip, Event, Outcome, Place, Tell, Work, attempt, took_too_long
from .errors import Cancelled, InputError, SetupError

WAIT_S = 30.0
"""How long a cluster may take to answer and to have a worker."""
ASK_S = 2.0
"""How often a worker asks whether the batch was stopped, and tells how far it is."""


def on_cluster(address: str, wait_s: float = WAIT_S, limit_s: float | None = None) -> Place:
    """Work on the workers of the scheduler at `address`, e.g. ``tcp://farm:8786``.

    Args:
        address: of the scheduler.
        wait_s: seconds in which it must answer.
        limit_s: seconds a clip may take; the worker of one that takes longer is started anew. None: no limit.

    Raises (once clips are asked for):
        SetupError: dask.distributed is not installed, nobody answers there, or it has no workers.
        InputError: no such address.
    """

    def place(clips: Sequence[Clip], work: Work, tell: Tell) -> Iterator[Outcome]:
        with _client(address, wait_s) as client:
            yield from _outcomes(client, clips, work, tell, limit_s)

    return place


@contextlib.contextmanager
def _client(address: str, wait_s: float) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise SetupError(
            "Working on a cluster needs the package distributed (Dask).",
            "Run: pip install 'video-to-pose[farm]'",
            "no-distributed",
        ) from error
    try:
        client = Client(address, timeout=wait_s, set_as_default=False)
    except ValueError as error:
        raise InputError(
            f"{address} is no scheduler's address ({error}).", "Give one like tcp://farm:8786.", "scheduler-address"
        ) from error
    except OSError as error:  # a TimeoutError is one too
        raise SetupError(
            f"No Dask scheduler answers at {address}.", "Start one: dask scheduler", "scheduler-unreachable"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=wait_s)
        except TimeoutError as error:
            raise SetupError(
                f"The scheduler at {address} has no workers.",
                f"Start some: dask worker {address} --nworkers 2 --nthreads 1",
                "no-workers",
            ) from error
        yield client


def _outcomes(client: Any, clips: Sequence[Clip], work: Work, tell: Tell, limit_s: float | None) -> Iterator[Outcome]:
    from distributed import Event as Flag

    batch = f"video-to-pose-{uuid.uuid4().hex[:12]}"
    heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
    client.subscribe_topic(batch, lambda event: heard.put(event[1]))
    stop = Flag(batch, client=client)
    begun: dict[str, int] = {}
    limit = math.inf if limit_s is None else limit_s
    since: dict[str, tuple[float, str]] = {}  # when the clip's last attempt was heard of, and the worker's address

    def pass_on() -> None:
        while not heard.empty():
            event = heard.get()
            if event["event"] == "started":
                begun[event["clip"]] = event["attempt"] = begun.get(event["clip"], 0) + 1
                since[event["clip"]] = time.monotonic(), event["where"]
            tell(event)

    for line in _odd_workers(client):
        tell({"event": "warning", "warning": line})
    futures = {
        client.submit(_attempt, work, clip, batch, key=f"{batch}-{index}", pure=False): clip
        for index, clip in enumerate(clips)
    }
    try:
        while futures:
            time.sleep(0.1)
            pass_on()
            for future in [future for future in futures if future.done()]:
                clip = futures.pop(future)
                outcome = _outcome(future, clip)
                yield replace(outcome, attempts=max(outcome.attempts, begun.get(clip.name, 1)))
                future.release()
            for future, clip in list(futures.items()):
                began, worker = since.get(clip.name, (math.inf, ""))
                if time.monotonic() > began + limit:
                    del futures[future]
                    client.cancel([future])
                    for line in _restarted(client, worker):
                        tell({"event": "warning", "warning": line})
                    yield replace(took_too_long(clip, limit), attempts=begun[clip.name], where=worker)
    finally:
        if futures:  # stopped halfway: what runs now hears of it when it next asks
            stop.set()
            client.cancel(list(futures))
        client.unsubscribe_topic(batch)


def _restarted(client: Any, worker: str) -> list[str]:
    """Start a worker anew that does not come to an end; what cannot be done, in sentences."""
    try:
        client.restart_workers([worker], timeout=WAIT_S)
    except (ValueError, TimeoutError):  # it was started with --no-nanny, or does not come back
        return [f"The worker {worker} goes on with a clip that was given up: start it anew by hand."]
    return []


def _outcome(future: Any, clip: Clip) -> Outcome:
    """Of a future that ended; what Dask itself failed at is a fault of that clip alone."""
    if future.status == "finished":
        outcome = future.result()
        assert isinstance(outcome, Outcome)
        return outcome
    error = future.exception() if future.status == "error" else RuntimeError(f"it was {future.status}")
    name = Path(clip.video).name
    if type(error).__name__ == "KilledWorker":
        sentence = f"All workers that worked on {name} died."
        hint = "If they are short of memory, give them more (--memory-limit of dask worker); else report this clip."
        return Outcome(clip.name, clip.video, "fault", error=sentence, hint=hint, code="process-died")
    sentence = f"The cluster could not work on {name}: {type(error).__name__}: {error}."
    hint = f"Install video-to-pose {__version__} in the Python of every worker."
    return Outcome(clip.name, clip.video, "fault", error=sentence, hint=hint, code="cluster")


def _odd_workers(client: Any) -> list[str]:
    """What to mind about this cluster's workers, in sentences."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    lines = []
    if threads := max((about["nthreads"] for about in workers.values()), default=1) - 1:
        lines.append(
            f"A worker of this cluster has {threads + 1} threads, and does as many clips at once in one process's "
            "memory: start workers with --nthreads 1."
        )
    versions = client.run(_version, on_error="return")
    for worker, version in versions.items():
        if version != __version__:
            lines.append(
                f"The worker {worker} has another video-to-pose ({version}) than this machine ({__version__})."
            )
    return lines


def _version() -> str:
    return __version__


def _attempt(work: Work, clip: Clip, batch: str) -> Outcome:
    """`batch.attempt` as a task of a worker."""
    from distributed import Event as Flag
    from distributed import get_worker

    worker = get_worker()
    stop, last = Flag(batch), [time.monotonic()]

    def tell(event: Event) -> None:
        now = time.monotonic()
        if now - last[0] < ASK_S:
            return
        last[0] = now
        worker.log_event(batch, {"event": "progress", "clip": clip.name, **event})
        if stop.is_set():
            raise Cancelled

    worker.log_event(batch, {"event": "started", "clip": clip.name, "where": worker.address})
    return attempt(work, clip, tell)
