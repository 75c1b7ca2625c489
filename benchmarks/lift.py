# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast the papers' networks lift whole clips: ``python benchmarks/lift.py [NETWORK …]``.

Weights are drawn at random: speed does not ask what they are. Each measurement is a fresh process, so that its peak
memory is its own: median of three runs after one that warms up. Prints the machine, how fast it multiplies matrices
before and after (other work on it shows there), and for each network, receptive field, runtime and clip length frames
a second and peak memory.
"""

from __future__ import annotations

import argparse
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
sys.path[:0] = [str(ROOT / "core"), str(ROOT)]

AUTHORS = {  # frames a second of the authors' programs, torch, 1,000 frames, 2 threads, on another day's machine
    ("tcn", 27): 6056,
    ("tcn", 81): 3997,
    ("tcn", 243): 2927,
    ("srnet", 27): 3057,
    ("srnet", 81): 1932,
    ("srnet", 243): 1419,
    ("rie", 27): 1069,
    ("rie", 81): 751,
    ("rie", 243): 295,
    ("anatomy3d", 27): 112,
    ("anatomy3d", 81): 56,
    ("anatomy3d", 243): 29,
    ("gla_gcn", 27): 86,
    ("gla_gcn", 81): 23,
    ("gla_gcn", 243): 6.7,
}

AUTHORS_VARIANT = {"rie": "program", "anatomy3d": "program"}
"""Whose widths those programs had, where they are not the paper's: compare with ``--variant program``."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", help="default: all")
    parser.add_argument("--frames", type=int, nargs="+", default=[27, 81, 243], metavar="T")
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 10000], metavar="F", help="clip lengths")
    parser.add_argument("--runtimes", nargs="+", choices=("torch", "onnx"), default=["torch", "onnx"])
    parser.add_argument("--variant", default="", help="as in: video-to-pose models --json")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5.0, help="give up a measurement after this")
    parser.add_argument("--json", metavar="FILE", help="append each measurement to this file")
    parser.add_argument("--one", nargs=4, metavar=("NET", "T", "RUNTIME", "F"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    from video_to_pose.nets.catalogue import CATALOGUE, find

    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, {processor()}")
    print(f"{versions()}; {options.threads} threads; sgemm {gigaflops(options.threads):.0f} GFLOP/s before")
    print(
        f"{'network':10} {'T':>4} {'runtime':8} {'frames':>6} {'frames/s':>9} {'s':>8} {'peak MB':>8}  authors' program"
    )
    for name in options.networks or CATALOGUE:
        entry = find(name)
        sizes = [frames for frames in options.frames if frames in entry.receptive_fields] or [default_size(entry)]
        for frames in sizes:
            for runtime in options.runtimes:
                for clip in options.clips:
                    told = run(options, name, frames, runtime, clip)
                    print(line(told), flush=True)
                    if options.json:
                        with Path(options.json).open("a", encoding="utf-8") as file:
                            file.write(json.dumps(told) + "\n")
    print(f"sgemm {gigaflops(options.threads):.0f} GFLOP/s after")


def default_size(entry) -> int:
    """For networks with receptive fields of their own: what their paper mostly uses."""
    return 5 if 5 in entry.receptive_fields else entry.receptive_fields[0]


def run(options: argparse.Namespace, name: str, frames: int, runtime: str, clip: int) -> dict:
    one = ["--one", name, str(frames), runtime, str(clip), "--threads", str(options.threads)]
    one += ["--runs", str(options.runs), "--variant", options.variant, "--minutes", str(options.minutes)]
    told = {"net": name, "receptive_field": frames, "runtime": runtime, "frames": clip, "variant": options.variant}
    with tempfile.TemporaryDirectory() as folder:
        if runtime == "onnx":  # written by another process: its memory is not the runtime's
            done = subprocess.run(
                [sys.executable, __file__, *one], env={**os.environ, "EXPORT": folder}, capture_output=True, text=True
            )
            if done.returncode:
                return {**told, "failed": done.stderr.strip().splitlines()[-1:]}
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "NET": folder}
        try:
            done = subprocess.run(
                [sys.executable, __file__, *one],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60 * options.minutes,
            )
        except subprocess.TimeoutExpired:
            return {**told, "failed": f"longer than {options.minutes:g} minutes"}
    if done.returncode:
        return {**told, "failed": done.stderr.strip().splitlines()[-1:]}
    return {**told, **json.loads(done.stdout.splitlines()[-1])}


def line(told: dict) -> str:
    start = f"{told['net']:10} {told['receptive_field']:4} {told['runtime']:8} {told['frames']:6}"
    if "failed" in told:
        return f"{start} {told['failed']}"
    authors = AUTHORS.get((told["net"], told["receptive_field"]))
    if told["variant"] != AUTHORS_VARIANT.get(told["net"], ""):
        authors = None
    beside = f"{told['fps'] / authors:5.1f} x {authors:g}" if authors and told["frames"] == 1000 else ""
    return f"{start} {told['fps']:9.1f} {told['seconds']:8.3f} {told['peak_mb']:8.0f}  {beside}"


def measure(options: argparse.Namespace) -> None:
    """In a process of its own: export, or lift a clip a few times and print what it took."""
    import numpy as np

    name, frames, runtime, clip = options.one[0], int(options.one[1]), options.one[2], int(options.one[3])
    folder = os.environ.get("EXPORT")
    if folder or runtime == "torch":
        import torch

        from video_to_pose.nets.catalogue import find
        from video_to_pose.skeleton import H36M_17

        torch.set_num_threads(options.threads)
        torch.manual_seed(0)
        entry = find(name)
        net = entry.build(H36M_17, entry.settings_for(frames, options.variant)).eval()
        if folder:
            from video_to_pose.training.export import export_net

            export_net(net, entry, Path(folder) / "net.onnx")
            return
        from video_to_pose.training.trainer import as_lift

        lift, channels = as_lift(net), 3 if net.needs_scores else 2
    else:
        from video_to_pose.lift.onnx_net import load_net

        lift = load_net(Path(os.environ["NET"]) / "net.onnx", device="cpu", threads=options.threads)
        channels = 3 if lift.needs_scores else 2
    keypoints = np.random.default_rng(0).uniform(-0.5, 0.5, (clip, 17, channels)).astype(np.float32)
    lift(keypoints[: min(clip, 300)])
    seconds, began = [], time.perf_counter()
    for _ in range(options.runs):
        start = time.perf_counter()
        lift(keypoints)
        seconds.append(time.perf_counter() - start)
        if time.perf_counter() - began > 20 * options.minutes:  # a third of the time there is
            break
    middle = statistics.median(seconds)
    print(json.dumps({"seconds": middle, "fps": clip / middle, "peak_mb": peak_mb(), "runs": len(seconds)}))


def peak_mb() -> float:
    """Of this program alone; what `getrusage` tells of a child begins with what its parent had."""
    status = Path("/proc/self/status")
    if status.is_file():
        for text in status.read_text().splitlines():
            if text.startswith("VmHWM"):
                return int(text.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform != "darwin" else 1024**2)


def gigaflops(threads: int, size: int = 1024) -> float:
    """What a matrix product reaches now."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.rand(size, size), torch.rand(size, size)
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e9


def versions() -> str:
    from importlib import metadata

    return ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "onnxruntime", "numpy"))


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for text in info.read_text().splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
