# SPDX-License-Identifier: GPL-3.0-or-later
"""Work for the tests of batches: tiny, but done by real processes, which import this module alone."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from video_to_pose import batch
from video_to_pose.errors import InputError


def work(clip: batch.Clip, tell: batch.Tell) -> dict[str, Any]:
    """What a clip's options say; writes its name into each output."""
    options = clip.options
    if trace := options.get("trace"):  # one file a beginning, so that beginnings can be counted
        (Path(trace) / f"{clip.name} {os.getpid()} {time.monotonic_ns()}").touch()
    Path(clip.outputs[0]).write_text("half")
    if options.get("deaf") and threading.current_thread() is threading.main_thread():  # as a library that hangs
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for step in range(int(options.get("steps", 1))):
        if not options.get("deaf"):
            tell({"stage": "detect", "done": step, "total": None})
        time.sleep(options.get("sleep", 0.0))
    if options.get("input_error"):
        raise InputError("Nobody is in it.", "Film somebody.", "no-person")
    if options.get("fault"):
        raise ZeroDivisionError("out of luck")
    if options.get("die") or (options.get("die_once") and _first_time(Path(options["die_once"]))):
        os.kill(os.getpid(), signal.SIGKILL)
    if options.get("eat"):
        held = bytearray(options["eat"] * 10**6)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(20)
    for out in clip.outputs:
        Path(out).write_text(clip.name, encoding="utf-8")
    return {"frames": 7, "process": os.getpid()}


def _first_time(mark: Path) -> bool:
    if mark.exists():
        return False
    mark.touch()
    return True
