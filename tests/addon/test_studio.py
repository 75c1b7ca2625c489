# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clips without a window: each comes out once and whole, whatever happens to the others or to the machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from video_to_pose.formats import bvh
from video_to_pose.formats import take as take_file

ROOT = Path(__file__).resolve().parents[2]
HEADLESS = ROOT / "addon" / "headless.py"
VIDEO = ROOT / "examples" / "wave.mp4"
ENGINE = os.environ.get("VIDEO_TO_POSE_ENGINE_PYTHON", "")

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")


class Studio:
    """A folder with a shoot, and a batch over it."""

    def __init__(self, blender, folder: Path) -> None:
        self.blender, self.folder, self.out = blender, folder / "shoot é", folder / "öut put"
        self.folder.mkdir()

    def manifest(self, text: str, encoding: str = "utf-8") -> Path:
        path = self.folder / "list ü.csv"
        path.write_text(text, encoding=encoding)
        return path

    def run(self, source: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.blender.python(HEADLESS, "--batch", source, "-o", self.out, *arguments)

    def start(self, source: Path, *arguments: object) -> subprocess.Popen[str]:
        words = [sys.executable, HEADLESS, "--batch", source, "-o", self.out, *arguments]
        (self.blender.home / "tmp").mkdir(exist_ok=True)
        return subprocess.Popen(
            list(map(str, words)),
            env=self.blender.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def clips(self) -> dict[str, dict]:
        told = json.loads((self.out / "report.json").read_text(encoding="utf-8"))
        return {clip["clip"]: clip for clip in told["clips"]}

    def files(self) -> set[str]:
        """What lies in the folder of results, besides report and log."""
        found = {path.relative_to(self.out).as_posix() for path in self.out.rglob("*") if path.is_file()}
        return found - {"report.json", "log.jsonl"}


@pytest.fixture
def studio(blender, tmp_path) -> Studio:
    return Studio(blender, tmp_path)


@pytest.fixture
def takes(studio, save_take) -> Callable[[int], list[str]]:
    """Puts so many Takes into the shoot and gives their names."""

    def put(count: int) -> list[str]:
        names = [f"täke {n}.npz" for n in range(count)]
        for name in names:
            shutil.copy(save_take(frames=4), studio.folder / name)
        return names

    return put


def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What it says when it says anything."""
    end = time.monotonic() + seconds
    while not (said := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return said


def processes_with(word: str) -> list[int]:
    """Ids of processes whose command line or environment has a word."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (place / "cmdline").read_bytes() + (place / "environ").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def deaf_engine(folder: Path) -> Path:
    """A Python, to look at, that has all packages and never answers."""
    program = folder / "deaf engine"
    program.write_text('#!/bin/sh\ncase "$*" in *find_spec*) echo missing: ;; *) exec sleep 317 ;; esac\n')
    program.chmod(0o755)
    return program


@pytest.mark.slow
@pytest.mark.skipif(not ENGINE or not VIDEO.is_file(), reason="VIDEO_TO_POSE_ENGINE_PYTHON is not set")
def test_a_manifest_becomes_files_for_every_clip_that_can_be_done(studio, takes):
    (take,) = takes(1)
    shutil.copy(VIDEO, studio.folder / "wäve 日本.mp4")
    rig = studio.folder / "rigs é" / "hëro.fbx"
    assert studio.blender.python(HEADLESS, "--take", studio.folder / take, "-o", rig).returncode == 0
    table = (
        "video,person,armature_file,armature,outputs,options\n"
        "wäve 日本.mp4,1,rigs é/hëro.fbx,,day 1/wäve.fbx|day 1/wäve.bvh|wäve.blend|wäve.glb|wäve.npz,--end 0.4\n"
        f"{take},,rigs é/hëro.fbx,Godzilla,b.fbx,\n"
        "gone.mp4,,,,c.fbx,\n"
    )
    source, options = studio.manifest(table, "utf-8-sig"), ("--engine-python", ENGINE, "--workers", "2", "--json")
    done = studio.run(source, *options, "--logs", studio.out / "lögs")
    assert done.returncode == 4, done.stdout + done.stderr
    logs = {name for name in studio.files() if name.startswith("lögs/")}
    made = {"day 1/wäve.fbx", "day 1/wäve.bvh", "wäve.blend", "wäve.glb", "wäve.npz"}
    assert studio.files() - logs == made and len(logs) == 3
    wave, wrong, gone = studio.clips().values()
    assert (wave["outcome"], wave["frames"], wave["frame_rate"]) == ("done", 12, 30.0)
    assert wave["stage_seconds"].keys() >= {"open", "engine", "detect", "lift", "solve", "apply", "write"}
    assert [Path(out).relative_to(studio.out).as_posix() for out in wave["outputs"]] == [
        "day 1/wäve.fbx",
        "day 1/wäve.bvh",
        "wäve.blend",
        "wäve.glb",
        "wäve.npz",
    ]
    assert (wrong["code"], gone["code"]) == ("rig-missing", "video-missing")
    assert "Godzilla" in wrong["error"] and wrong["hint"] == "There is: wave."
    assert take_file.load(studio.out / "wäve.npz").motion.frame_count == 12
    assert len(bvh.read(studio.out / "day 1" / "wäve.bvh").values) == 12
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {"begin", "started", "progress", "done", "failed", "end"} == {e["event"] for e in events if "event" in e}
    assert "Godzilla" in next(
        path.read_text(encoding="utf-8") for path in (studio.out / "lögs").iterdir() if "b.fbx" in path.name
    )
    studio.manifest("\n".join(table.splitlines()[:2]))
    done = studio.run(source, "--engine-python", ENGINE)
    assert done.returncode == 0 and "done before and unchanged" in done.stderr and done.stdout == ""


@posix
def test_a_clip_whose_engine_hangs_is_stopped_with_it_and_the_rest_stands(studio, takes, tmp_path):
    (take,) = takes(1)
    rows = f"video,outputs\n{take},b.bvh\n"
    assert studio.run(studio.manifest(rows)).returncode == 0  # without a limit: this machine may be slow
    (studio.folder / "hängs.mp4").touch()
    source = studio.manifest(rows + "hängs.mp4,a.fbx\n")
    done = studio.run(source, "--engine-python", deaf_engine(tmp_path), "--time-limit", "8")
    assert done.returncode == 4, done.stdout + done.stderr
    other, hangs = studio.clips().values()
    assert (hangs["outcome"], hangs["code"], other["outcome"]) == ("failed", "time-limit", "kept")
    assert "hängs.mp4 was not done after 8 s" in done.stderr and studio.files() == {"b.bvh"}
    assert sys.platform != "linux" or not processes_with(str(studio.out))
    assert not list((studio.blender.home / "tmp").glob("video_to_pose_*"))


@linux
def test_a_process_that_dies_is_begun_again_once_and_then_told(studio, tmp_path):
    (studio.folder / "clip.mp4").touch()
    source = studio.manifest("video,outputs\nclip.mp4,a.fbx\n")
    batch = studio.start(source, "--engine-python", deaf_engine(tmp_path))

    def engines() -> list[int]:
        return [pid for pid in processes_with(str(studio.blender.home)) if _command(pid).startswith("sleep")]

    (first,) = until(engines)
    os.kill(_parent(first), signal.SIGKILL)
    (second,) = until(lambda: [pid for pid in engines() if pid != first])
    os.kill(_parent(second), signal.SIGKILL)
    _, said = batch.communicate(timeout=60)
    assert batch.returncode == 4, said
    assert "begun again: its process died" in said and "died 2 times (signal 9)" in said
    (clip,) = studio.clips().values()
    assert (clip["outcome"], clip["code"], clip["attempts"]) == ("fault", "process-died", 2)
    assert not engines() and not studio.files()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@linux
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_batch_that_is_stopped_leaves_no_process_and_no_half_file_and_goes_on_later(studio, takes, tmp_path, sent):
    (take,) = takes(1)
    (studio.folder / "hangs.mp4").touch()
    rows = f"video,outputs\n{take},done.bvh\nhangs.mp4,later.bvh\n"
    batch = studio.start(studio.manifest(rows), "--engine-python", deaf_engine(tmp_path), "--workers", "1")
    until(lambda: [pid for pid in processes_with(str(studio.blender.home)) if _command(pid).startswith("sleep")])
    batch.send_signal(sent)
    _, said = batch.communicate(timeout=60)
    if sent != signal.SIGKILL:
        assert batch.returncode == 130 and "Stopped" in said
        assert studio.clips()["hangs.mp4 -> later.bvh"]["outcome"] == "waiting"
    until(lambda: not processes_with(str(studio.blender.home)), 30)
    assert studio.files() == {"done.bvh"}
    shutil.copy(studio.folder / take, studio.folder / "works.npz")
    rows = f"video,outputs\n{take},done.bvh\nworks.npz,later.bvh\n"
    done = studio.run(studio.manifest(rows), "--resume")
    assert done.returncode == 0, done.stderr
    assert [clip["outcome"] for clip in studio.clips().values()] == ["kept", "done"]
    assert studio.files() == {"done.bvh", "later.bvh"}


def test_the_ways_in_give_the_same(studio, takes, tmp_path):
    (take,) = takes(1)
    rig = studio.folder / "rig.bvh"
    assert studio.blender.python(HEADLESS, "--take", studio.folder / take, "-o", rig).returncode == 0
    options = ["--armature-file", str(rig), "--feet", "never", "--reference-frame", "rest"]
    alone = ["--take", str(studio.folder / take), "-o", str(tmp_path / "script.bvh"), *options]
    assert studio.blender.python(HEADLESS, *alone).returncode == 0
    codes = studio.blender.run(
        """
addon.register()
words, wrong = json.loads(sys.argv[1]), ["--take", "no such.npz", "--bvh", "a.bvh"]
answer([addon.run_command(words), addon.run_command(wrong)])
""",
        json.dumps([word.replace("script.bvh", "command.bvh") for word in alone]),
    )
    assert codes == [0, 2]
    assert studio.run(studio.manifest(f"video,outputs\n{take},batch.bvh\n"), *options).returncode == 0
    texts = [(tmp_path / "script.bvh"), (tmp_path / "command.bvh"), studio.out / "batch.bvh"]
    assert len({text.read_bytes() for text in texts}) == 1


@pytest.mark.parametrize(
    ("rows", "arguments", "code", "words"),
    [
        ("video,shoe\na.npz,44\n", [], 2, "row 2: Unrecognized arguments: --shoe=44"),
        ("video,outputs\na.npz,a.obj\n", [], 2, "a.obj has an ending that cannot be written"),
        ("video,outputs\na.npz,a.bvh\nb.npz,a.bvh\n", [], 2, "to be written twice"),
        ("video\na.npz\n", ["--workers", "0"], 2, "0 workers cannot work"),
        ("video\na.mp4\n", ["--engine-python", "/no/such/python"], 3, "not a Python that can be run"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(studio, rows, arguments, code, words):
    done = studio.run(studio.manifest(rows), *arguments)
    assert done.returncode == code and words in done.stderr and "hint: " in done.stderr, done.stderr
    assert not studio.out.exists()
