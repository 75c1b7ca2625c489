# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process keeps its promises, whatever the pipeline does.

The process, its pipes and its Take are real; the pipeline is one made for the case, so that a test takes a moment.
"""

import json
import os
import platform
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from video_to_pose import protocol
from video_to_pose.formats import take as take_file
from video_to_pose.settings import CaptureSettings

CORE = Path(__file__).resolve().parents[2] / "core"

RUNNER = """
import sys, types, threading, time, os
from dataclasses import dataclass
import numpy as np
from video_to_pose import errors, review, worker
from video_to_pose.skeleton import BODY_22
from video_to_pose.types import Camera, KeypointTrack, Motion, Take

@dataclass(frozen=True)
class Progress:
    stage: str
    done: int
    total: int | None

def make_take(**provenance):
    times = np.arange(4) / 30
    directions = np.tile([0.0, 0.0, 1.0], (4, BODY_22.bone_count, 1))
    motion = Motion(BODY_22, times, directions, np.full(BODY_22.bone_count, 0.2), np.zeros((4, 3)),
                    np.ones((4, BODY_22.joint_count)), (), np.zeros((4, 0), bool))
    track = KeypointTrack(times, ("nose",), np.zeros((4, 1, 2)), np.ones((4, 1)), (64, 48))
    return Take(track, motion, Camera(50.0, (32, 24), (64, 48)), provenance)

pipeline = types.ModuleType("video_to_pose.pipeline")
pipeline.Progress = Progress
review.confidence_spans = lambda take: [(1.0, 2.5)] if take.provenance.get("dim") else []
sys.modules["video_to_pose.pipeline"] = pipeline
def capture(video, settings, progress):
{body}
pipeline.capture = capture
import video_to_pose
video_to_pose.pipeline = pipeline
worker.GRACE_S = 0.3
sys.exit(worker.main())
"""


def start(body: str) -> subprocess.Popen:
    code = RUNNER.replace("{body}", textwrap.indent(textwrap.dedent(body), "    "))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CORE)},
        text=True,
    )


def job_line(take: Path) -> str:
    return protocol.encode_job(protocol.Job(Path("clip.mp4"), CaptureSettings(), take))


def finish(process: subprocess.Popen) -> tuple[list[protocol.Message], str]:
    """Wait for the end with stdin still open, so that its end is not what ends the work."""
    messages = [protocol.decode(line) for line in process.stdout]
    process.wait(timeout=20)
    errors = process.stderr.read()
    process.stdin.close()
    return messages, errors


def until_progress(process: subprocess.Popen) -> None:
    while not isinstance(protocol.decode(process.stdout.readline()), protocol.Progress):
        pass


SLOW = """
for done in range(1000):
    progress(Progress("detect", done, 1000))
    time.sleep(0.02)
"""


def test_a_job_ends_in_a_take_and_says_how_it_goes(tmp_path):
    process = start('progress(Progress("detect", 1, 2))\nreturn make_take()')
    process.stdin.write(job_line(tmp_path / "a take ü.npz"))
    process.stdin.flush()
    messages, _ = finish(process)
    assert isinstance(messages[0], protocol.Hello)
    assert messages[1] == protocol.Progress("detect", 1, 2)
    assert messages[-1] == protocol.Result(tmp_path / "a take ü.npz")
    assert process.returncode == 0
    assert take_file.load(tmp_path / "a take ü.npz").motion.frame_count == 4


def test_spans_where_little_was_seen_are_told(tmp_path):
    process = start("return make_take(dim=True)")
    process.stdin.write(job_line(tmp_path / "take.npz"))
    process.stdin.flush()
    messages, _ = finish(process)
    warnings = [message.message for message in messages if isinstance(message, protocol.Warning)]
    assert len(warnings) == 1 and "1.0 s to 2.5 s" in warnings[0]


def test_prints_of_native_code_cannot_spoil_the_messages(tmp_path):
    process = start('os.write(1, b"native chatter\\n"); print("python chatter", flush=True); return make_take()')
    process.stdin.write(job_line(tmp_path / "take.npz"))
    process.stdin.flush()
    messages, stderr = finish(process)
    assert isinstance(messages[-1], protocol.Result)
    assert "native chatter" in stderr and "python chatter" in stderr


@pytest.mark.parametrize("way", ["line", "end of stdin"])
def test_cancel_leaves_nothing_behind(tmp_path, way):
    process = start(SLOW)
    process.stdin.write(job_line(tmp_path / "take.npz"))
    process.stdin.flush()
    until_progress(process)
    if way == "line":
        process.stdin.write(protocol.CANCEL_LINE)
        process.stdin.flush()
    else:
        process.stdin.close()
    messages = [protocol.decode(line) for line in process.stdout]
    assert messages[-1] == protocol.Cancelled()
    assert process.wait(timeout=10) == 130
    assert list(tmp_path.iterdir()) == []
    process.stdin.close()


def test_a_stage_that_does_not_listen_is_ended_after_the_grace_period(tmp_path):
    process = start('progress(Progress("detect", 0, None))\ntime.sleep(60)')
    process.stdin.write(job_line(tmp_path / "take.npz"))
    process.stdin.flush()
    until_progress(process)
    started = time.monotonic()
    process.stdin.close()
    assert process.wait(timeout=10) == 130
    assert time.monotonic() - started < 5


def test_errors_for_people_travel_with_their_hint_and_code(tmp_path):
    process = start('raise errors.InputError("clip.mp4 is no video.", "Choose another.", "video-invalid")')
    process.stdin.write(job_line(tmp_path / "take.npz"))
    process.stdin.flush()
    messages, _ = finish(process)
    assert messages[-1] == protocol.Failed("clip.mp4 is no video.", "Choose another.", "video-invalid")
    assert process.returncode == 2


def test_a_fault_is_told_with_its_traceback(tmp_path):
    process = start('raise ZeroDivisionError("a bug")')
    process.stdin.write(job_line(tmp_path / "take.npz"))
    process.stdin.flush()
    messages, _ = finish(process)
    assert messages[-1].code == "fault" and "a bug" in messages[-1].message
    assert "Traceback" in messages[-1].details
    assert process.returncode == 1


def test_nonsense_on_stdin_is_a_fault_and_not_a_hang():
    process = start("return make_take()")
    process.stdin.write(json.dumps({"video": 1}) + "\n")
    process.stdin.flush()
    messages, _ = finish(process)
    assert messages[-1].code == "fault"


def test_an_unwritable_target_is_told(tmp_path):
    process = start("return make_take()")
    process.stdin.write(job_line(tmp_path / "no such folder" / "take.npz"))
    process.stdin.flush()
    messages, _ = finish(process)
    assert messages[-1].code == "output-unwritable" and messages[-1].hint


def test_hello_needs_no_package_and_a_missing_one_is_named(tmp_path):
    blocked = "import sys; sys.modules['numpy'] = None; from video_to_pose import worker; sys.exit(worker.main())"
    process = subprocess.run(
        [sys.executable, "-c", blocked],
        input=job_line(tmp_path / "take.npz"),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CORE)},
        timeout=20,
    )
    hello, failed = (protocol.decode(line) for line in process.stdout.splitlines())
    assert isinstance(hello, protocol.Hello)
    assert failed.code == "package-missing" and failed.hint


@pytest.mark.parametrize("body", [SLOW, 'progress(Progress("lift", 0, 9))\ntime.sleep(60)', "time.sleep(60)"])
def test_a_worker_whose_blender_was_killed_ends_and_takes_its_folder_with_it(tmp_path, body):
    folder = tmp_path / "job"
    folder.mkdir()
    process = start(body)
    process.stdin.write(job_line(folder / "take.npz"))
    process.stdin.flush()
    protocol.decode(process.stdout.readline())
    process.stdout.close()  # as when a process dies: nobody reads and nobody writes
    process.stdin.close()
    assert process.wait(timeout=10) == 130
    assert list(tmp_path.iterdir()) == []


def test_a_take_that_nobody_is_there_to_take_is_removed(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    process = start("time.sleep(0.1)\nreturn make_take()")
    protocol.decode(process.stdout.readline())
    process.stdin.write(job_line(folder / "take.npz"))
    process.stdin.flush()
    process.stdout.close()
    assert process.wait(timeout=10) == 130
    assert list(tmp_path.iterdir()) == []
    process.stdin.close()


HALF_DEAD = """
import ctypes, subprocess, sys, threading, time
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
worker.stdin.write(sys.argv[2].encode())
worker.stdin.flush()
worker.stdout.readline()
threading.Thread(target=time.sleep, args=(30,)).start()
print(worker.pid, flush=True)
ctypes.CDLL(None).syscall(60, 0)  # ends this thread alone: the process is dead, and its pipes are open
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="how a process half dies")
def test_a_worker_ends_when_its_blender_is_dead_though_the_pipes_are_open(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    code = RUNNER.replace("{body}", textwrap.indent(textwrap.dedent(SLOW), "    "))
    parent = subprocess.Popen(
        [sys.executable, "-c", HALF_DEAD, code, job_line(folder / "take.npz")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CORE)},
        text=True,
    )
    pid = int(parent.stdout.readline())
    try:
        deadline = time.monotonic() + 15
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not is_running(pid) and parent.poll() is None
        assert list(tmp_path.iterdir()) == []
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked after yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
