# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a video becomes a Take and BVH, and what it costs: ``python benchmarks/end_to_end.py [VIDEO]``.

Each run is a fresh process with the detector's model already fetched. Prints the machine, the versions, every run's
frames a second, the share of each stage and the peak memory.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = 3


def main() -> None:
    video = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "examples" / "wave.mp4"
    print(f"{video.name}, {platform.platform()}, Python {platform.python_version()}")
    print(f"{os.cpu_count()} cores, {processor()}")
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for people in (2, 1):
            for _ in range(RUNS):
                command = [sys.executable, "-m", "video_to_pose", "convert", str(video), "--json"]
                command += [
                    "-o",
                    str(Path(folder) / "a.bvh"),
                    "-o",
                    str(Path(folder) / "a.npz"),
                    "--max-people",
                    str(people),
                ]
                began = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                wall = time.perf_counter() - began
                result = json.loads(done.stdout.splitlines()[-1])["result"]
                runs.append((people, wall, result))
                stages = result["stage_seconds"]
                working = sum(stages.values()) - stages["load"]
                share = ", ".join(f"{k} {100 * v / working:.1f} %" for k, v in stages.items() if k != "load")
                print(
                    f"--max-people {people}: {result['frames']} frames, {result['frames'] / wall:.1f} frames/s of the "
                    f"whole process ({wall:.2f} s, loading {stages['load']:.2f} s), "
                    f"{result['frames'] / working:.1f} frames/s of the stages; {share}"
                )
        from importlib import metadata

        names = ("video-to-pose", "mediapipe", "onnxruntime", "numpy", "av")
        print("versions: " + ", ".join(f"{name} {version(metadata, name)}" for name in names))
    for people in (2, 1):
        rates = [result["frames"] / wall for p, wall, result in runs if p == people]
        print(f"--max-people {people}: median {statistics.median(rates):.1f} frames/s end to end over {RUNS} runs")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"peak memory of a run: {peak / (1024 if sys.platform != 'darwin' else 1024**2):.0f} MB")


def version(metadata, name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "source"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
