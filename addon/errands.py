# SPDX-License-Identifier: GPL-3.0-or-later
"""Short jobs for the engine beside the captures: what a video is, who is in it.

They run at once and do not queue. A timer takes in what they say on Blender's main thread; in background mode, where
timers do not fire, an errand is over when `send` returns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import bpy
from bpy.app.handlers import persistent

from . import engine, preferences, session
from .core.video_to_pose import protocol

_TICK_S = 0.1

Note = Callable[[protocol.Message], None]


@dataclass(eq=False)
class Errand:
    """One that is under way.

    Attributes:
        worker: its process.
        note: told every message, the final one last; None once nobody wants to hear any more.
    """

    worker: engine.Worker
    note: Note | None


class State:
    """What is under way."""

    errands: ClassVar[list[Errand]] = []


def send(context: bpy.types.Context, order: protocol.Glance | protocol.Search, note: Note) -> Errand:
    """Start an errand.

    Args:
        context: whose preferences name the engine.
        order: what is to be done.
        note: called on the main thread with every message.

    Raises:
        SetupError: there is no engine, or it cannot be started.
    """
    python = engine.find_python(preferences.engine_python(context), session.engine_environment())
    errand = Errand(engine.Worker(python, order, online=bpy.app.online_access), note)
    State.errands.append(errand)
    if bpy.app.background:
        while errand in State.errands:
            advance(wait_s=0.1)
    elif not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=_TICK_S, persistent=True)
    return errand


def cancel(errand: Errand) -> None:
    """Stop an errand; its last message is then `Cancelled`."""
    errand.worker.cancel()


def drop(errand: Errand) -> None:
    """Stop an errand whose answer nobody wants any more; nothing is told. Returns at once."""
    errand.note = None
    errand.worker.cancel()


def advance(wait_s: float = 0.0) -> None:
    """Take in what all of them have said."""
    for errand in list(State.errands):
        for message in errand.worker.poll(wait_s):
            if errand.worker.final is not None:
                _forget(errand)  # first, so that whoever hears of the end may send another one
            if errand.note is not None:
                errand.note(message)


def stop() -> None:
    """End all of them now, and wait until they have gone."""
    for errand in list(State.errands):
        errand.note = None
        errand.worker.close()
        _forget(errand)
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)


def redraw() -> None:
    """Draw the sidebars again."""
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                for region in area.regions:
                    if area.type == "VIEW_3D" and region.type == "UI":
                        region.tag_redraw()


def _forget(errand: Errand) -> None:
    with contextlib.suppress(ValueError):
        State.errands.remove(errand)


def _tick() -> float | None:
    try:
        advance()
    finally:
        redraw()
    return _TICK_S if State.errands else None


@persistent
def _before_load(*_: object) -> None:
    for errand in State.errands:
        drop(errand)


def register() -> None:
    bpy.app.handlers.load_pre.append(_before_load)


def unregister() -> None:
    bpy.app.handlers.load_pre.remove(_before_load)
    stop()
