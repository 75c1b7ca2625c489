# SPDX-License-Identifier: GPL-3.0-or-later
"""Training learns, tells, stops politely, and goes on after a kill as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.core.training.figures import figure, small  # noqa: E402
from video_to_pose.errors import Cancelled, InputError  # noqa: E402
from video_to_pose.nets.catalogue import CATALOGUE  # noqa: E402
from video_to_pose.skeleton import H36M_17  # noqa: E402
from video_to_pose.training import checkpoint, trainer  # noqa: E402
from video_to_pose.training.trainer import Run  # noqa: E402

ROOT = Path(__file__).parents[3]
CLIPS = [figure(name, 40) for name in "abcd"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def learn(
    out: Path, name: str = "tcn", epochs: float = 2, clips=CLIPS, settings=None, say=lambda line: None, **options
):
    entry = CATALOGUE[name]
    recipe = replace(entry.recipe, **{"batch": 64, **options.pop("recipe", {})})
    run = Run(out, epochs=epochs, tell_every_s=1e9, **options)
    return trainer.train(entry, settings or small(entry), H36M_17, clips, run, recipe=recipe, test=CLIPS[:1], say=say)


def lines(out: Path, kind: str) -> list[dict]:
    told = [json.loads(line) for line in out.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in told if line["kind"] == kind]


def test_it_learns_and_tells_so(tmp_path):
    said: list[str] = []
    out = tmp_path / "net.pt"
    settings = CATALOGUE["tcn"].settings_for(9, channels=64, dropout=0.0)
    learn(out, epochs=12, settings=settings, say=said.append, recipe={"flips": False, "batch": 16})
    errors = [line["mpjpe"] for line in lines(out, "train")]
    assert len(errors) == 12 and errors[-1] < 0.5 * errors[0]
    tests = lines(out, "test")
    assert [line["epoch"] for line in tests] == list(range(1, 13)) and tests[-1]["mpjpe_mm"] < 300
    (run,) = lines(out, "run")
    assert run["net"] == "tcn" and run["recipe"]["optimiser"] == "amsgrad" and run["frames"] == 160
    assert any("samples" in line for line in said) and any(line.startswith("test (40 frames)") for line in said)


def test_tensorboard_has_the_curves(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    learn(tmp_path / "net.pt", epochs=2)
    events = accumulator.EventAccumulator(str(tmp_path / "net.tensorboard")).Reload()
    assert {"train/mpjpe", "train/learning_rate", "test/mpjpe_mm"} <= set(events.Tags()["scalars"])
    assert len(events.Scalars("test/mpjpe_mm")) == 2


KILLED = """
import os, signal, sys
sys.path[:0] = [{core!r}, {root!r}]
import torch
torch.set_num_threads(1)
from tests.core.training import test_trainer as t
step, count = t.trainer._Trainer._step, [0]
def counted(self, batch, done):
    count[0] += 1
    if count[0] == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch, done)
t.trainer._Trainer._step = counted
t.learn(t.Path({out!r}), "tcn", epochs=4)
"""


def test_killed_and_resumed_it_ends_where_it_would_have_ended(tmp_path):
    out = tmp_path / "killed.pt"
    code = KILLED.format(core=str(ROOT / "core"), root=str(ROOT), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    stored = checkpoint.load(out)
    assert stored.progress["at"]["epoch"] == 2 and stored.progress["at"]["steps"] == 10
    learn(out, epochs=4, resume=True)
    learn(tmp_path / "whole.pt", epochs=4)
    resumed, whole = checkpoint.load(out), checkpoint.load(tmp_path / "whole.pt")
    for name, weights in whole.state.items():
        assert torch.equal(weights, resumed.state[name]), name
    assert resumed.progress["at"]["all_steps"] == whole.progress["at"]["all_steps"] == 20
    assert [line["epoch"] for line in lines(out, "test")] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["rie", "gla_gcn", "seq2seq"])
def test_stopped_amid_an_epoch_it_goes_on_with_the_next_step(tmp_path, monkeypatch, name):
    step, count = trainer._Trainer._step, [0]

    def interrupted(self, batch, done):
        count[0] += 1
        if count[0] == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, done)

    out, options = tmp_path / "net.pt", {"epochs": 3, "recipe": {"flips": True}}
    with monkeypatch.context() as patch:
        patch.setattr(trainer._Trainer, "_step", interrupted)
        with pytest.raises(Cancelled, match="--resume"):
            learn(out, name, **options)
    place = checkpoint.load(out).progress["at"]
    assert place["all_steps"] == 8 and place["step"] > 0
    learn(out, name, resume=True, **{**options, "recipe": {"flips": True}})
    learn(tmp_path / "whole.pt", name, **{**options, "recipe": {"flips": True}})
    whole, resumed = checkpoint.load(tmp_path / "whole.pt"), checkpoint.load(out)
    assert whole.stage == resumed.stage == len(CATALOGUE[name].recipe.stages)
    for key, weights in whole.state.items():
        assert torch.equal(weights, resumed.state[key]), key


def test_ries_second_stage_leaves_its_encoders_alone(tmp_path):
    seen = {}

    def remember(line):
        if line.startswith("stage"):
            seen[line] = {key: value.clone() for key, value in checkpoint.load(tmp_path / "net.pt").state.items()}

    net = learn(tmp_path / "net.pt", "rie", epochs=3, say=remember)
    encoders = [key for key in seen["stage 2"] if key.startswith(("encoders", "global_encoder")) and "weight" in key]
    assert encoders and not any(key.startswith("fusion") for key in seen["stage 2"])
    for key in encoders:
        assert torch.equal(seen["stage 2"][key], seen["stage 3"][key])
    changed = [key for key in encoders if not torch.equal(seen["stage 3"][key], net.state_dict()[key])]
    assert len(changed) == len(encoders)


def test_seq2seq_measures_its_training_set_first(tmp_path):
    net = learn(tmp_path / "net.pt", "seq2seq", epochs=1)
    true = np.concatenate([clip.targets() for clip in CLIPS])[:, 1:].reshape(160, -1)
    assert np.allclose(net.joint_mean, true.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16"])
def test_mixed_precision_learns_too(tmp_path, precision):
    learn(tmp_path / "net.pt", epochs=2, precision=precision)
    first, last = (line["mpjpe"] for line in lines(tmp_path / "net.pt", "train"))
    assert last < first
    assert all(value.dtype != torch.bfloat16 for value in checkpoint.load(tmp_path / "net.pt").state.values())


def test_a_budget_of_time_is_kept_and_its_schedule_ends(tmp_path):
    out = tmp_path / "net.pt"
    learn(out, "rie", epochs=None, minutes=0.03)
    told = lines(out, "train")
    assert [line["stage"] for line in lines(out, "stage")] == [2, 3]
    assert {line["stage"] for line in told} == {1, 2, 3} and told[-1]["seconds"] < 6
    assert told[-1]["learning_rate"] < 3e-4


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path):
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'core')!r}, {str(ROOT)!r}]\n"
        "import torch; torch.set_num_threads(1)\n"
        "from tests.core.training import test_trainer as t\n"
        f"net = t.learn(t.Path({str(tmp_path / 'both.pt')!r}), 'tcn', epochs=2)\n"
        f"torch.save(net.state_dict(), {str(tmp_path)!r} + '/rank' + t.os.environ['RANK'] + '.pt')\n"
    )
    (tmp_path / "run.py").write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "run.py")], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, weights in first.items():
        if "running" not in name:  # batch statistics are each process's own until the next step
            assert torch.equal(weights, second[name]), name
    assert len(checkpoint.load(tmp_path / "both.pt").progress["random"]) == 2
    assert len(lines(tmp_path / "both.pt", "test")) == 2  # one of them tells
    (run,) = lines(tmp_path / "both.pt", "run")
    assert "2 processes" in run["machine"]


# What is refused


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "net.pt"
    learn(out, epochs=1)
    return out


def copy(path: Path, folder: Path) -> Path:
    (folder / path.name).write_bytes(path.read_bytes())
    return folder / path.name


def test_a_checkpoint_in_the_way_is_kept(trained, tmp_path):
    out = copy(trained, tmp_path)
    with pytest.raises(InputError, match="exists already"):
        learn(out)
    assert out.read_bytes() == trained.read_bytes()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"name": "srnet"}, "another training"),
        ({"recipe": {"seed": 5}}, "another training"),
        ({"clips": CLIPS[:3]}, "other sequences"),
    ],
    ids=["network", "recipe", "data"],
)
def test_another_training_is_not_gone_on_with(trained, tmp_path, options, named):
    with pytest.raises(InputError, match=named):
        learn(copy(trained, tmp_path), resume=True, **options)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    with pytest.raises(InputError, match="no number") as raised:
        learn(
            tmp_path / "net.pt",
            epochs=30,
            recipe={"stages": (replace(CATALOGUE["tcn"].recipe.stages[0], learning_rate=1e18),)},
        )
    assert raised.value.code == "training-diverged"


def test_scores_that_say_nothing_are_warned_of(tmp_path, caplog):
    learn(tmp_path / "net.pt", "anatomy3d", epochs=1)
    assert "reads scores" in caplog.text


def test_a_cut_off_checkpoint_is_told_from_one_of_another_kind(trained, tmp_path):
    cut = tmp_path / "cut.pt"
    cut.write_bytes(trained.read_bytes()[:2000])
    with pytest.raises(InputError, match="cut off"):
        checkpoint.load(cut)
    torch.save({"state": {}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not a checkpoint of a network"):
        checkpoint.load(tmp_path / "other.pt")
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint.load(tmp_path / "none.pt")


def test_weights_of_another_skeleton_are_refused(trained):
    from video_to_pose.skeleton import HUMANEVA_15

    with pytest.raises(InputError, match="do not fit tcn for humaneva15"):
        replace(checkpoint.load(trained), skeleton=HUMANEVA_15).network()


def test_what_a_network_cannot_take_is_refused_before_it_runs(trained):
    lift = trainer.as_lift(checkpoint.load(trained).network())
    with pytest.raises(InputError, match="17 keypoints"):
        lift(np.zeros((5, 15, 2)))
    with pytest.raises(InputError, match="NaN"):
        lift(np.full((5, 17, 2), np.nan))
