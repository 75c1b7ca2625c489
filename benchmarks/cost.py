# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs: wall time, processor time and memory of a process, whole or stage by stage."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds of wall and processor (all its threads), the most megabytes held, and what it printed."""

    wall: float
    cpu: float
    megabytes: float
    out: str


def run(command: Sequence[str]) -> Cost:
    """Run a program to its end. The core's source folder is on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "core"), str(ROOT)])}
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            list(command), stdout=subprocess.PIPE, stderr=errors, env=environment, encoding="utf-8"
        )
        assert child.stdout is not None
        out = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            raise SystemExit(errors.read().decode(errors="replace"))
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / _PER_MEGABYTE, out)


def keep(rows: dict[str, Any], path: Path) -> None:
    """Write what was measured so far, whole or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(rows, indent=1))
    partial.replace(path)


_PER_MEGABYTE = 1024**2 if sys.platform == "darwin" else 1024


def megabytes_now() -> float:
    """What this process holds now (Linux), else the most it held."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024**2
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _PER_MEGABYTE


@dataclass
class Stages:
    """Processor seconds and the most memory of each stage; `enter` is called when one begins."""

    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    stage: str = ""
    _since: tuple[float, float] = (0.0, 0.0)

    def enter(self, stage: str) -> None:
        if stage == self.stage:
            return
        now = (time.process_time(), time.perf_counter())
        if self.stage:
            self.cpu[self.stage] = self.cpu.get(self.stage, 0.0) + now[0] - self._since[0]
            self.wall[self.stage] = self.wall.get(self.stage, 0.0) + now[1] - self._since[1]
        self.stage, self._since = stage, now
        self.look()

    def look(self) -> None:
        self.megabytes[self.stage] = max(self.megabytes.get(self.stage, 0.0), megabytes_now())

    @contextmanager
    def watched(self) -> Iterator[Stages]:
        """Look at the memory every 20 ms while the block runs."""
        end = threading.Event()

        def watch() -> None:
            while not end.wait(0.02):
                if self.stage:
                    self.look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield self
        finally:
            self.enter("end")
            end.set()
            watcher.join()
            self.megabytes.pop("end", None)


def mark_following(meter: Stages) -> None:
    """From now on the meter is told when `pipeline` begins to follow people, which it reports to nobody."""
    from video_to_pose import track

    find = track.find_people

    def followed(*given: Any, **named: Any) -> Any:
        meter.enter("follow")
        return find(*given, **named)

    track.find_people = followed  # type: ignore[assignment]


def machine() -> str:
    """The machine, its load and the versions, for the head of a table."""
    names = ("mediapipe", "onnxruntime", "numpy", "av")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names if _is_installed(name))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{platform.platform()}, {os.cpu_count()} cores ({processor()}), load {load}\n"
        f"Python {platform.python_version()}, {versions}"
    )


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
