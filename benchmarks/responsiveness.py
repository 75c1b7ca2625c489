# SPDX-License-Identifier: GPL-3.0-or-later
"""How responsive Blender stays: longest gaps between ticks and redraws while it idles, captures and brings a take in.

blender --python benchmarks/responsiveness.py -- --engine-python PYTHON [--video CLIP] [--out FIGURES.json]

It needs a window, for which a virtual screen will do; Blender closes when it is done. A tick is a timer of 5 ms, a
redraw one of the sidebar, which is asked for at each tick. Software OpenGL draws a viewport in hundreds of
milliseconds, so gaps without one are told apart. *Held* is the longest that one call of the add-on's own
timer kept Blender waiting, *computing* the processor's time in it, which other programs cannot lengthen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "core")]

import build_addon  # noqa: E402
from benchmarks.retarget import _armature, repeated  # noqa: E402
from tests import namings  # noqa: E402

PACKAGE = "video_to_pose_extension"
TICK_S = 0.005
FRAMES = 1800


@dataclass
class Span:
    """Moments of ticks and redraws in one part of the measurement, and how long the add-on held Blender each time."""

    ticks: list[float] = field(default_factory=list)
    redraws: list[float] = field(default_factory=list)
    viewports: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Milliseconds."""

        def longest_gap(moments: list[float]) -> float:
            return round(1000 * float(np.diff(moments).max()), 1) if len(moments) > 1 else float("nan")

        gaps = np.diff(self.ticks)
        drawn = np.searchsorted(self.ticks, self.viewports)
        quiet = np.delete(gaps, drawn[(drawn > 0) & (drawn <= len(gaps))] - 1)
        return {
            "seconds": round(self.ticks[-1] - self.ticks[0], 2) if self.ticks else 0.0,
            "longest gap between ticks": longest_gap(self.ticks),
            "longest gap between redraws": longest_gap(self.redraws),
            "longest gap in which no viewport was drawn": round(1000 * float(quiet.max(initial=0.0)), 1),
            "viewports drawn": len(self.viewports),
            "gaps between ticks over 100 ms": int((gaps > 0.1).sum()),
            "median gap between ticks": round(1000 * float(np.median(gaps)), 1) if len(gaps) else float("nan"),
            "longest held by the add-on": round(1000 * max(self.held, default=0.0), 1),
            "of that, at most, computing": round(1000 * max(self.worked, default=0.0), 1),
        }


class Measurement:
    """Runs a script of waits, a tick at a time, while the probes note what happens."""

    def __init__(self, script: Callable[[Measurement], Iterator[None]], done: Callable[[], None]) -> None:
        self.span = Span()
        self.figures: dict[str, Any] = {}
        self._script, self._done = script(self), done

    def tick(self) -> float | None:
        self.span.ticks.append(time.perf_counter())
        for area in bpy.context.window_manager.windows[0].screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()
        try:
            next(self._script)
        except StopIteration:
            self._done()
            return None
        except Exception:
            traceback.print_exc()
            self._done()
            return None
        return TICK_S

    def redrawn(self) -> None:
        self.span.redraws.append(time.perf_counter())

    def viewport_drawn(self) -> None:
        self.span.viewports.append(time.perf_counter())

    def part(self, name: str) -> None:
        """Here a part ends; the next one begins."""
        self.figures[name] = self.span.figures()
        self.span = Span()


def seconds(of: float) -> Iterator[None]:
    """Wait so long."""
    end = time.perf_counter() + of
    while time.perf_counter() < end:
        yield


def until(condition: Callable[[], bool], at_most: float = 300.0) -> Iterator[None]:
    """Wait for something to be so."""
    end = time.perf_counter() + at_most
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError("it does not come")
        yield


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def script(measurement: Measurement, options: argparse.Namespace) -> Iterator[None]:
    """Idle, a capture, a minute's take onto a rig of sixty bones and more, and cancelling at three moments."""
    from video_to_pose_extension import jobs, session
    from video_to_pose_extension.core.video_to_pose.formats import take as takes

    advance = session.advance

    def timed(*arguments: float) -> None:
        began, worked = time.perf_counter(), time.thread_time()
        try:
            advance(*arguments)
        finally:
            measurement.span.held.append(time.perf_counter() - began)
            measurement.span.worked.append(time.thread_time() - worked)

    session.advance = timed
    show_tab()
    yield from seconds(3.0)
    measurement.part("settling")
    yield from seconds(5.0)
    measurement.part("idle")
    for _ in range(10):
        for area in bpy.context.window_manager.windows[0].screen.areas:
            area.tag_redraw()
        yield
    measurement.part("drawing the viewport ten times")

    fields = bpy.context.scene.video_to_pose
    fields.video = str(options.video)
    began = time.perf_counter()
    bpy.ops.video_to_pose.capture()
    measurement.figures["pressing Capture, ms"] = round(1000 * (time.perf_counter() - began), 1)
    job = session.State.jobs[-1]
    yield from until(lambda: job.status is not jobs.Status.WAITING and job.status is not jobs.Status.RUNNING)
    measurement.part("capturing")
    yield from until(lambda: job.status.is_over)
    measurement.part("bringing its take in")
    measurement.figures["outcome"] = job.outcome.message
    if job.status is not jobs.Status.DONE:
        return

    take = takes.load(job.takes[0])
    motion = repeated(take.motion, FRAMES)
    track = replace(
        take.track,
        timestamps=motion.timestamps,
        positions=np.resize(take.track.positions, (FRAMES, *take.track.positions.shape[1:])),
        scores=np.resize(take.track.scores, (FRAMES, take.track.scores.shape[1])),
    )
    minute = Path(options.folder) / "minute.npz"
    takes.save(replace(take, motion=motion, track=track, lifted=None, extra={}), minute)
    armature = _armature(bpy, namings.body(namings.NAMINGS["unreal 5"], 45.0))
    order = replace(job.order, target=armature.session_uid, target_name=armature.name)
    yield from seconds(2.0)
    for repeat in range(options.repeats):
        kept = jobs.Job("minute", order, job.log, status=jobs.Status.FAILED, takes=[minute])
        session.State.jobs.append(kept)
        yield from seconds(1.0)
        measurement.part("between")
        session.retry(kept)
        yield from until(lambda kept=kept: kept.status.is_over)
        yield from seconds(0.3)  # the redraw that follows
        measurement.part(f"bringing {FRAMES} frames onto {len(armature.data.bones)} bones, {repeat + 1}")
        measurement.figures["outcome of that"] = kept.outcome.message

    for label, moment in (
        ("as the engine starts", "Starting"),
        ("as it gets ready", "Getting ready"),
        ("as it looks for the person", "Looking"),
    ):
        bpy.ops.video_to_pose.capture()
        job = session.State.jobs[-1]
        yield from until(lambda job=job, moment=moment: job.stage.startswith(moment) or job.status.is_over)
        if job.status.is_over or session.State.running is None:
            measurement.figures[f"cancelled {label}"] = "too late"
            continue
        pid = session.State.running.worker.pid
        began = time.perf_counter()
        bpy.ops.video_to_pose.cancel_job(number=job.number)
        pressed = time.perf_counter() - began
        yield from until(lambda job=job: job.status.is_over)
        idle = time.perf_counter() - began
        yield from until(lambda pid=pid: gone(pid))
        measurement.figures[f"cancelled {label}, ms"] = {
            "the button": round(1000 * pressed, 1),
            "until the panel is idle": round(1000 * idle),
            "until the process has gone": round(1000 * (time.perf_counter() - began)),
        }
        yield from seconds(1.0)
    measurement.figures.pop("between", None)


def show_tab() -> None:
    """Open the sidebar at our tab."""
    for area in bpy.context.window_manager.windows[0].screen.areas:
        if area.type == "VIEW_3D":
            area.spaces.active.show_region_ui = True
            region = next(region for region in area.regions if region.type == "UI")
            if hasattr(region, "active_panel_category"):
                with contextlib.suppress(AttributeError, TypeError):  # read-only in some releases
                    region.active_panel_category = "Video to Pose"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine-python", required=True, help="a Python in which video-to-pose is installed")
    parser.add_argument("--video", type=Path, default=ROOT / "examples" / "wave.mp4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures there as well")
    options = parser.parse_args(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else [])
    folder = tempfile.TemporaryDirectory()
    options.folder = folder.name
    build_addon.stage(Path(folder.name) / PACKAGE)
    sys.path.insert(0, folder.name)
    import video_to_pose_extension as addon
    from video_to_pose_extension import engine, session

    addon.register()
    session.user_folder = lambda name: _made(Path(folder.name) / "user" / name)
    engine.find_python = lambda *_: Path(options.engine_python)

    def done() -> None:
        figures = {
            "blender": bpy.app.version_string,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
            "load": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else [],
            **measurement.figures,
        }
        text = json.dumps(figures, indent=1)
        print(text, flush=True)
        if options.out is not None:
            options.out.write_text(text, encoding="utf-8")
        addon.unregister()
        folder.cleanup()
        bpy.ops.wm.quit_blender()

    measurement = Measurement(lambda own: script(own, options), done)
    bpy.types.SpaceView3D.draw_handler_add(measurement.redrawn, (), "UI", "POST_PIXEL")
    bpy.types.SpaceView3D.draw_handler_add(measurement.viewport_drawn, (), "WINDOW", "POST_PIXEL")
    bpy.app.timers.register(measurement.tick, first_interval=1.0)


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    main()
