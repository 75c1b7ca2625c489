# SPDX-License-Identifier: GPL-3.0-or-later
"""Many clips: each is done once, whole or not at all, whatever happens to the others or to the machine.

The scheduling is tried with tiny work in real processes, and once with real clips through the real pipeline.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.batch_work import work
from video_to_pose import batch, cli, cli_batch, cluster
from video_to_pose.errors import Cancelled, InputError, SetupError
from video_to_pose.formats import take

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


# --- tiny clips -----------------------------------------------------------------------------------------------------


def make_clips(folder: Path, names, **options) -> list[batch.Clip]:
    folder.mkdir(exist_ok=True)
    clips = []
    for name in names:
        video = folder / f"{name}.mp4"
        video.write_text(f"film of {name}")
        clips.append(batch.Clip(name, str(video), tuple(str(folder / "out" / f"{name}.{e}") for e in "ab"), options))
    (folder / "out").mkdir(exist_ok=True)
    return clips


def with_options(clip: batch.Clip, **options) -> batch.Clip:
    return replace(clip, options={**clip.options, **options})


def run(clips, place=None, tell=None, **more) -> dict[str, batch.Outcome]:
    out = Path(clips[0].outputs[0]).parent
    return {o.clip: o for o in batch.run(clips, work, place or batch.here(2), out, tell, **more)}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"report.json", "log.jsonl"}


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


# --- on one machine -------------------------------------------------------------------------------------------------


def test_failures_faults_and_deaths_stop_nobody_else(tmp_path):
    good = ["süß clip 1", "clip 2", "日本"]
    clips = make_clips(tmp_path / "ein ördner", [*good, "input", "fault", "dies", "dies once"])
    clips[3] = with_options(clips[3], input_error=True)
    clips[4] = with_options(clips[4], fault=True)
    if sys.platform != "win32":
        clips[5] = with_options(clips[5], die=True)
        clips[6] = with_options(clips[6], die_once=str(tmp_path / "mark"))
    out = tmp_path / "ein ördner" / "out"
    found = run(clips)
    assert {found[name].outcome for name in good} == {"done"}
    assert (found["input"].outcome, found["input"].code, found["input"].hint) == (
        "failed",
        "no-person",
        "Film somebody.",
    )
    assert found["fault"].outcome == "fault" and "ZeroDivisionError" in found["fault"].details
    expected = {*good, "dies once"}
    if sys.platform != "win32":
        assert (found["dies"].outcome, found["dies"].code, found["dies"].attempts) == ("fault", "process-died", 2)
        assert (found["dies once"].outcome, found["dies once"].attempts) == ("done", 2)
        assert files(out) == {f"{name}.{ending}" for name in expected for ending in "ab"}
    for name in good:
        assert (out / f"{name}.a").read_text(encoding="utf-8") == name


def test_the_report_and_the_log_tell_of_every_clip(tmp_path):
    clips = make_clips(tmp_path, ["é 1", "two"])
    clips[1] = with_options(clips[1], input_error=True)
    events = []
    run(clips, tell=events.append)
    told = report(tmp_path / "out")
    assert told["ended"] == "done" and told["counts"] == {"done": 1, "failed": 1}
    first, second = told["clips"]
    assert (first["clip"], first["outcome"], first["frames"]) == ("é 1", "done", 7)
    assert first["seconds"] >= 0 and first["outputs"] == list(clips[0].outputs)
    assert (second["outcome"], second["error"], second["code"]) == ("failed", "Nobody is in it.", "no-person")
    lines = log(tmp_path / "out")
    assert lines[0]["event"] == "begin" and lines[-1]["event"] == "end"
    assert all("time" in line for line in lines)
    assert sorted((line["event"], line["clip"]) for line in lines if "clip" in line) == [
        ("done", "é 1"),
        ("failed", "two"),
        ("started", "two"),
        ("started", "é 1"),
    ]
    assert {event["event"] for event in events} >= {"begin", "started", "done", "failed", "end"}


def test_no_more_processes_than_workers_and_they_are_used_again(tmp_path):
    found = run(make_clips(tmp_path, [f"c{i}" for i in range(8)], sleep=0.02), batch.here(2))
    assert 1 <= len({outcome.facts["process"] for outcome in found.values()}) <= 2


@posix
def test_a_clip_that_takes_too_much_memory_fails_alone(tmp_path):
    clips = make_clips(tmp_path, ["big", "small"])
    clips[0] = with_options(clips[0], eat=400)
    found = run(clips, batch.here(1, 300))
    assert (found["big"].outcome, found["big"].code) == ("failed", "memory")
    assert "300 MB" in found["big"].error and found["small"].outcome == "done"
    assert files(tmp_path / "out") == {"small.a", "small.b"}


def test_a_process_does_not_answer_for_what_its_parent_held(tmp_path):
    held = np.ones(50_000_000)  # 400 MB
    found = run(make_clips(tmp_path, ["small"]), batch.here(1, 300))
    assert held.nbytes and found["small"].outcome == "done"


def test_a_second_run_does_only_what_changed(tmp_path):
    out = tmp_path / "out"
    clips = make_clips(tmp_path, ["same", "video", "option", "lost", "touched", "failed"])
    clips[5] = with_options(clips[5], input_error=True)
    run(clips)
    found = run(clips)
    assert [o.outcome for o in found.values()] == ["kept"] * 5 + ["failed"]
    assert found["same"].facts["frames"] == 7 and found["same"].outputs == clips[0].outputs
    Path(clips[1].video).write_text("another film")
    clips[2] = with_options(clips[2], height=1.8)
    (out / "lost.b").unlink()
    (out / "touched.a").write_text("cut o")
    clips[5] = with_options(clips[5], input_error=False)
    assert [o.outcome for o in run(clips).values()] == ["kept", "done", "done", "done", "done", "done"]
    assert (out / "touched.a").read_text() == "touched"
    assert [o.outcome for o in run(clips, again=True).values()] == ["done"] * 6


def test_another_model_file_is_another_job(tmp_path):
    model = tmp_path / "model.onnx"
    model.write_text("1")
    clips = make_clips(tmp_path / "in", ["a"], model=model)
    run(clips)
    assert run(clips)["a"].outcome == "kept"
    model.write_text("another")
    assert run(clips)["a"].outcome == "done"


def test_a_log_that_was_cut_off_is_gone_on_with(tmp_path):
    clips = make_clips(tmp_path, ["a", "b"])
    run(clips)
    path = tmp_path / "out" / "log.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    last_done = max(i for i, line in enumerate(lines) if b'"event": "done"' in line)
    path.write_bytes(b"".join(lines[:last_done]) + lines[last_done][:40])
    assert sorted(o.outcome for o in run(clips).values()) == ["done", "kept"]
    assert sorted(o.outcome for o in run(clips).values()) == ["kept", "kept"]


def test_two_clips_of_one_name_are_a_bug(tmp_path):
    with pytest.raises(ValueError, match="one name"):
        run(make_clips(tmp_path, ["a"]) * 2)


def test_a_stop_leaves_nothing_half_written_and_a_true_report(tmp_path):
    clips = make_clips(tmp_path, [f"c{i}" for i in range(4)], steps=1000, sleep=0.05)
    clips[0] = with_options(clips[0], steps=1)

    def stop(event):
        if event["event"] == "progress" and "c0" in finished:
            raise KeyboardInterrupt
        if event["event"] == "done":
            finished.add(event["clip"])

    finished: set[str] = set()
    with pytest.raises(KeyboardInterrupt):
        run(clips, tell=stop)
    assert files(tmp_path / "out") == {"c0.a", "c0.b"}
    told = report(tmp_path / "out")
    assert told["ended"] == "stopped" and told["counts"] == {"done": 1, "waiting": 3}
    assert log(tmp_path / "out")[-1]["ended"] == "stopped"


PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from tests.batch_work import work
from video_to_pose import batch
if __name__ == "__main__":
    folder = Path({folder!r})
    clips = []
    for name in {names!r}:
        outputs = tuple(str(folder / "out" / f"{{name}}.{{ending}}") for ending in "ab")
        clips.append(batch.Clip(name, str(folder / f"{{name}}.mp4"), outputs, {options!r}))
    batch.run(clips, work, batch.here(2), folder / "out")
"""


@posix
def test_after_a_kill_it_goes_on_where_it_was(tmp_path):
    folder, trace = tmp_path / "in", tmp_path / "trace"
    trace.mkdir()
    names, options = [f"c{i}" for i in range(6)], {"sleep": 0.3, "trace": str(trace)}
    clips = make_clips(folder, names, **options)
    script = tmp_path / "batch program.py"
    path = [str(ROOT / "core"), str(ROOT)]
    script.write_text(PROGRAM.format(path=path, folder=str(folder), names=names, options=options), encoding="utf-8")
    child = subprocess.Popen([sys.executable, str(script)])
    until(lambda: (folder / "out" / "c1.b").exists() and len(files(trace)) >= 4)
    child.kill()
    child.wait()
    until(lambda: not _any_runs(files(trace)))  # its processes find out that nobody listens, and end
    finished = {o["clip"] for o in log(folder / "out") if o["event"] == "done"}
    assert finished and len(finished) < 6
    before = files(trace)
    found = run(clips)
    assert {name for name, o in found.items() if o.outcome == "kept"} == finished
    assert len(found) == 6 and {o.outcome for o in found.values()} == {"kept", "done"}
    assert {name.split()[0] for name in files(trace) - before} == set(found) - finished
    assert files(folder / "out") == {f"c{i}.{ending}" for i in range(6) for ending in "ab"}


def _any_runs(names: set[str]) -> bool:
    for process in {int(name.split()[1]) for name in names}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, 0)
            return True
    return False


# --- on a cluster ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path_factory.mktemp("dask")),
            silence_logs="CRITICAL",
        ) as running,
    ):
        yield running


@posix
def test_a_cluster_that_loses_a_worker_still_does_every_clip_once(dask_cluster, tmp_path):
    trace = tmp_path / "trace"
    trace.mkdir()
    clips = make_clips(
        tmp_path / "ein ördner", [f"clip é {i}" for i in range(8)], steps=4, sleep=0.15, trace=str(trace)
    )
    clips[5] = with_options(clips[5], input_error=True)
    events, killed = [], []

    def tell(event):
        events.append(event)
        if event["event"] == "done" and not killed:  # both workers are busy with the next ones
            until(lambda: len(files(trace)) >= 3)
            killed.append(max(files(trace), key=lambda name: int(name.split()[-1])))
            os.kill(int(killed[0].split()[-2]), signal.SIGKILL)

    found = run(clips, cluster.on_cluster(dask_cluster.scheduler_address), tell)
    out = tmp_path / "ein ördner" / "out"
    good = [clip.name for clip in clips if clip.name != "clip é 5"]
    assert [found[name].outcome for name in good] == ["done"] * 7
    assert found["clip é 5"].outcome == "failed" and found["clip é 5"].code == "no-person"
    assert files(out) == {f"{name}.{ending}" for name in good for ending in "ab"}
    ended = [event["clip"] for event in log(out) if event["event"] in ("done", "failed", "fault")]
    assert sorted(ended) == sorted(clip.name for clip in clips)  # each once
    begun = [name.rsplit(" ", 2)[0] for name in files(trace)]
    assert len(begun) > 8 and begun.count(killed[0].rsplit(" ", 2)[0]) == 2  # the killed one was begun again
    again = run(clips, cluster.on_cluster(dask_cluster.scheduler_address))
    assert {again[name].outcome for name in good} == {"kept"}


def test_a_stop_reaches_the_workers_of_a_cluster(dask_cluster, tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    trace.mkdir()
    clips = make_clips(tmp_path / "in", ["a", "b", "c"], steps=400, sleep=0.05, trace=str(trace))

    def tell(event):
        if event["event"] == "started":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(clips, cluster.on_cluster(dask_cluster.scheduler_address), tell)
    until(lambda: not files(tmp_path / "in" / "out"), 15)  # their unfinished folders go, 20 s before they are through
    assert report(tmp_path / "in" / "out")["counts"] == {"waiting": 3}


@posix
def test_a_cluster_gives_up_a_clip_that_hangs_and_starts_its_worker_anew(dask_cluster, tmp_path):
    clips = make_clips(tmp_path / "in", ["hangs", "b", "c"])
    clips[0] = with_options(clips[0], steps=1000, sleep=0.05, deaf=True)
    found = run(clips, cluster.on_cluster(dask_cluster.scheduler_address, limit_s=3.0))
    assert (found["hangs"].outcome, found["hangs"].code) == ("failed", "time-limit")
    assert found["b"].outcome == found["c"].outcome == "done"
    assert files(tmp_path / "in" / "out") == {"b.a", "b.b", "c.a", "c.b"}
    assert {
        outcome.outcome for outcome in run(clips[1:], cluster.on_cluster(dask_cluster.scheduler_address)).values()
    } == {"kept"}


def test_a_cluster_that_is_not_there_is_told_in_words():
    pytest.importorskip("distributed")
    clip = batch.Clip("a", "a.mp4", ("a.bvh",))
    with pytest.raises(SetupError, match=r"tcp://127.0.0.1:9 ?"):
        list(cluster.on_cluster("tcp://127.0.0.1:9", wait_s=0.5)([clip], work, print))
    with pytest.raises(InputError, match="no scheduler's address"):
        list(cluster.on_cluster("nosuch://farm:1", wait_s=0.5)([clip], work, print))


# --- which clips ----------------------------------------------------------------------------------------------------


def batch_options(*arguments) -> argparse.Namespace:
    return cli._parser().parse_args(["batch", *map(str, arguments)])


def clips_of(source: Path, *arguments) -> list[batch.Clip]:
    return cli_batch.clips_of(source, Path("out").absolute(), batch_options(source, "-o", "out", *arguments))


def names_of(clip: batch.Clip) -> list[str]:
    return [Path(out).relative_to(Path("out").absolute()).as_posix() for out in clip.outputs]


def test_a_csv_says_video_outputs_and_options_of_each_clip(tmp_path):
    (tmp_path / "list é.csv").write_text(
        "video,outputs,options,height,flat_floor\n"
        '"my clips/walk, 1.mp4",a/walk.bvh|walk.npz,--start 2.5 --feet never,1.80,\n'
        "run ö.mov,,,,false\n",
        encoding="utf-8-sig",
    )
    walk, jog = clips_of(tmp_path / "list é.csv", "--height", "1.7", "--end", "9")
    assert Path(walk.video) == tmp_path / "my clips" / "walk, 1.mp4"
    assert names_of(walk) == ["a/walk.bvh", "walk.npz"] and names_of(jog) == ["run ö.bvh", "run ö.npz"]
    assert (walk.options["start"], walk.options["feet"], walk.options["height"]) == (2.5, "never", 1.8)
    assert walk.options["flat_floor"] and walk.options["end"] == 9
    assert (jog.options["start"], jog.options["height"], jog.options["flat_floor"]) == (0, 1.7, False)


def test_a_json_manifest_says_the_same(tmp_path):
    rows = [
        {"video": "a.mp4", "outputs": ["one.npz"], "options": {"max_people": 1, "flip": False}, "start": 1},
        {"video": "a.mp4", "outputs": ["two.npz"], "options": ["--start", "3"]},
        {"video": "b.mp4", "options": "--part-smoothing arms=light", "person": 2, "at": [3.2, 640, 360]},
    ]
    for content in (rows, {"clips": rows}):
        (tmp_path / "list.json").write_text(json.dumps(content))
        one, two, b = clips_of(tmp_path / "list.json")
        assert (one.options["max_people"], one.options["flip"], one.options["start"]) == (1, False, 1)
        assert two.options["start"] == 3 and len({one.name, two.name, b.name}) == 3
        assert b.options["part_smoothing"] == (("arms", "light"),)
        assert (b.options["person"], b.options["at"]) == ("2", (3.2, 640, 360))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "video,shoe_size\na.mp4,44\n", "row 2: .*shoe-size"),
        ("a.csv", "video,height\na.mp4,tall\n", "row 2: .*tall"),
        ("a.csv", "film\na.mp4\n", "row 2 names no video"),
        ("a.csv", "video\na.mp4,b,c\n", "more cells"),
        ("a.csv", "video\n", "names no video"),
        ("a.csv", b"video\n\xff\xfe.mp4\n", "no manifest that can be read"),
        ("a.csv", "video,outputs\na.mp4,a.xyz\n", "a.xyz"),
        ("a.json", "{", "no manifest that can be read"),
        ("a.json", '["a.mp4"]', "no list of objects"),
        ("none.csv", None, "There is no file"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_before_the_work(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said):
        clips_of(tmp_path / name)


def test_folders_in_folders_keep_their_places(tmp_path):
    for name in ("b.mp4", "b.mov", "day 1/b.mp4", "day 1/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [clip.name for clip in clips_of(tmp_path)] == ["b.mov", "b.mp4"]
    found = {clip.name: names_of(clip)[0] for clip in clips_of(tmp_path, "--recursive")}
    assert found == {"b.mov": "b.mov.bvh", "b.mp4": "b.mp4.bvh", "day 1/b.mp4": "day 1/b.bvh"}


def test_how_much_is_said_changes_no_job(tmp_path):
    (tmp_path / "a.mp4").touch()
    plain, chatty = clips_of(tmp_path), clips_of(tmp_path, "--json", "--debug", "--workers", "3")
    assert (
        batch.fingerprint(plain[0])
        == batch.fingerprint(chatty[0])
        != batch.fingerprint(clips_of(tmp_path, "--fov", "50")[0])
    )


@pytest.mark.parametrize(
    ("cores", "megabytes", "workers"),
    [(1, 8000, 1), (2, 8000, 1), (16, 64000, 8), (16, 4000, 2), (4, 900, 1), (8, None, 4)],
)
def test_the_usual_number_of_workers_fits_cores_and_memory(cores, megabytes, workers):
    assert cli_batch.default_workers(cores, megabytes) == workers


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_converts_real_clips_and_tells_of_a_broken_one(detector_model, short_example, tmp_path, capsys):
    folder, out = tmp_path / "in ä", tmp_path / "out ü"
    folder.mkdir()
    (folder / "a broken.mp4").write_text("no film")
    (folder / "b göod.mp4").write_bytes(short_example.read_bytes())
    (folder / "c.mkv").write_bytes(short_example.read_bytes())
    command = ["batch", str(folder), "-o", str(out), "--workers", "1", "--json"]
    assert cli.main(command) == 4
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["event"] for event in events[:-1]} == {"begin", "started", "progress", "failed", "done", "end"}
    assert events[-1]["failed"]["code"] == "batch-partial"
    assert files(out) == {"b göod.bvh", "b göod.npz", "c.bvh", "c.npz"}
    broken, good, _ = report(out)["clips"]
    assert broken["error"].startswith("a broken.mp4") and good["frames"] == 24
    assert good["stage_seconds"]["detect"] > 0
    assert take.load(out / "b göod.npz").motion.frame_count == 24
    began = time.monotonic()
    (folder / "a broken.mp4").unlink()
    assert cli.main([*command, "-q"]) == 0
    assert [clip["outcome"] for clip in report(out)["clips"]] == ["kept", "kept"] and time.monotonic() - began < 5


def stand_in_work(monkeypatch, **options):
    """The command with `work` in place of the conversion; its options come with every clip."""
    found = cli_batch.clips_of
    monkeypatch.setattr(cli_batch, "clips_of", lambda *given: [with_options(clip, **options) for clip in found(*given)])
    monkeypatch.setattr(cli_batch, "convert_clip", work)
    monkeypatch.setattr(cli, "_fetch_model", lambda *_: None)


@pytest.mark.parametrize(("options", "code"), [({}, 0), ({"input_error": True}, 4), ({"fault": True}, 4)], ids=str)
def test_exit_codes_tell_a_farm_how_it_went(monkeypatch, tmp_path, options, code, capsys):
    stand_in_work(monkeypatch, **options)
    (tmp_path / "a.mp4").touch()
    assert cli.main(["batch", str(tmp_path), "-o", str(tmp_path / "out"), "-q", "--workers", "1"]) == code
    assert bool(capsys.readouterr().err) == bool(code)


@posix
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_farms_stop_end_with_130(monkeypatch, tmp_path, sent, capsys):
    stand_in_work(monkeypatch, steps=1000, sleep=0.05, trace=str(tmp_path / "trace"))
    (tmp_path / "trace").mkdir()
    (tmp_path / "a.mp4").touch()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def send():
        until(lambda: files(tmp_path / "trace"))
        os.kill(os.getpid(), sent)

    threading.Thread(target=send, daemon=True).start()
    try:
        assert cli.main(["batch", str(tmp_path), "-o", str(tmp_path / "out"), "-q", "--workers", "1"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Stopped" in capsys.readouterr().err
    assert not files(tmp_path / "out") and report(tmp_path / "out")["ended"] == "stopped"
    assert not _any_runs(files(tmp_path / "trace"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--workers", "0"),
        ("--memory", "-1"),
        ("--height", "9"),
        ("--time-limit", "0"),
        ("--scheduler", "tcp://x:1", "--workers", "2"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, arguments, capsys):
    (tmp_path / "a.mp4").touch()
    assert cli.main(["batch", str(tmp_path), "-o", str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr().err
    assert "error: " in said and "hint: " in said and not (tmp_path / "out").exists()


@posix
def test_a_clip_that_hangs_is_stopped_and_told_and_the_rest_is_done(tmp_path):
    clips = make_clips(tmp_path, ["hangs", "b", "c"])
    clips[0] = with_options(clips[0], steps=1000, sleep=0.05, deaf=True)
    found = run(clips, batch.here(1, limit_s=5))
    assert (found["hangs"].outcome, found["hangs"].code, found["hangs"].attempts) == ("failed", "time-limit", 1)
    assert "after 5 s" in found["hangs"].error and "--time-limit" in found["hangs"].hint
    assert found["b"].outcome == found["c"].outcome == "done"
    assert files(tmp_path / "out") == {"b.a", "b.b", "c.a", "c.b"}


def test_two_batches_never_write_to_one_folder_at_once(tmp_path):
    clips = make_clips(tmp_path, ["a", "b"])
    said = []

    def second(event):
        if event["event"] == "done" and not said:
            with pytest.raises(InputError, match="Another batch is writing to") as caught:
                run(clips)
            said.append(caught.value)

    found = run(clips, tell=second)
    assert {outcome.outcome for outcome in found.values()} == {"done"}
    assert said[0].code == "output-busy" and f"process {os.getpid()} on" in said[0].message
    assert len([event for event in log(tmp_path / "out") if event["event"] == "begin"]) == 1
    assert {outcome.outcome for outcome in run(clips).values()} == {"kept"}  # and nothing stays locked


def test_what_was_copied_elsewhere_is_known_by_what_is_in_it(tmp_path):
    clips = make_clips(tmp_path, ["same", "other"])
    run(clips)
    os.utime(clips[0].outputs[0], (1, 1))
    Path(clips[1].outputs[0]).write_text("OTHER", encoding="utf-8")
    assert [outcome.outcome for outcome in run(clips).values()] == ["kept", "done"]


def test_resuming_is_the_default_and_can_be_said(tmp_path):
    said = [batch_options(tmp_path, "-o", "out", *words).again for words in ((), ("--resume",), ("--again",))]
    assert said == [False, False, True]


def test_files_that_a_manifest_names_lie_beside_it(tmp_path):
    (tmp_path / "list.csv").write_text("video,model\na.mp4,my models/pose.task\nb.mp4,\n")
    one, two = clips_of(tmp_path / "list.csv", "--model", "here.task")
    assert one.options["model"] == tmp_path / "my models" / "pose.task" and two.options["model"] == Path("here.task")


def test_a_work_that_is_cancelled_is_no_fault(tmp_path):
    def stopped(_clip, _tell):
        raise Cancelled

    with pytest.raises(Cancelled):
        batch.attempt(stopped, make_clips(tmp_path, ["a"])[0], print)
    assert not files(tmp_path / "out")
