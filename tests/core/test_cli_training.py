# SPDX-License-Identifier: GPL-3.0-or-later
"""From a benchmark's file to a trained, exported and measured network by the command line alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from tests.core.training.figures import figure  # noqa: E402
from video_to_pose import cli, cli_training  # noqa: E402
from video_to_pose.data.benchmarks import _3DHP_ORDER  # noqa: E402
from video_to_pose.errors import InputError  # noqa: E402
from video_to_pose.skeleton import MPI_INF_3DHP_17  # noqa: E402

CORE = Path(__file__).parents[2] / "core"


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def refused(capsys, *arguments) -> str:
    assert cli.main([str(argument) for argument in arguments]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error: ", "hint: "))]
    assert len(said) == 2 and said[0].endswith("."), said
    return said[0] + " " + said[1]


def write_3dhp(folder: Path) -> dict[str, Path]:
    """A training and a test file of P-STMO's layout."""
    order = [MPI_INF_3DHP_17.index(name) for name in _3DHP_ORDER]

    def arrays(name: str, frames: int = 50) -> dict[str, np.ndarray]:
        one = figure(name, frames, skeleton=MPI_INF_3DHP_17)
        return {"data_2d": one.keypoints[:, order], "data_3d": 1000 * one.joints[:, order]}

    train = {f"S{subject} Seq1": [{"0": arrays(f"s{subject}")}, 25] for subject in range(1, 9)}
    test = {f"TS{n}": {**arrays(f"t{n}"), "valid": np.ones(50)} for n in range(1, 7)}
    files = {}
    for name, data in (("train", train), ("test", test)):
        files[name] = folder / f"data_{name}_3dhp.npz"
        np.savez(files[name], data=np.array(data, dtype=object))
    return files


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_3dhp(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A small network's checkpoint and ONNX file."""
    out = tmp_path_factory.mktemp("trained") / "a new folder" / "net.pt"
    train = ["train", "tcn", "--frames", "9", "--set", "channels=16", "--benchmark", "3dhp", "-q"]
    train += ["--data-3d", str(data["train"]), "--subjects", "S1,S2", "--batch", "32", "--epochs", "2"]
    assert cli.main([*train, "-o", str(out)]) == 0
    assert cli.main(["export", str(out), "-o", str(out.with_suffix(".onnx")), "--licence", "CC0-1.0", "-q"]) == 0
    return out


def test_training_leaves_a_checkpoint_and_what_it_told(trained):
    assert {path.name for path in trained.parent.iterdir()} >= {"net.pt", "net.onnx", "net.jsonl"}
    run = json.loads(trained.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert run["settings"]["channels"] == 16 and run["recipe"]["batch"] == 32 and run["sequences"] == 2
    assert run["data"] == "3dhp, data_train_3dhp.npz"


def test_it_is_resumed_with_a_larger_budget(trained, data, tmp_path, capsys):
    out = tmp_path / "net.pt"
    out.write_bytes(trained.read_bytes())
    again = ["train", "tcn", "--frames", "9", "--set", "channels=16", "--benchmark", "3dhp"]
    again += ["--data-3d", str(data["train"]), "--subjects", "S1,S2", "--batch", "32", "--epochs", "3", "-o", str(out)]
    assert "exists already" in refused(capsys, *again)
    assert "another training" in refused(capsys, *again, "--resume", "--set", "channels=8")


@pytest.mark.parametrize("ending", [".onnx", ".pt"])
def test_checkpoint_and_onnx_are_measured_alike(trained, data, tmp_path, capsys, ending):
    out = tmp_path / "figures.json"
    measure = ["evaluate", str(trained.with_suffix(ending)), "--benchmark", "3dhp", "--data-3d", str(data["test"])]
    assert cli.main([*measure, "--by", "subject", "--study", "noise", "--study", "movement", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "mpjpe_mm" in said and "TS6" in said and "6 sequences, 300 frames" in said
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["net"] == "tcn" and result["runtime"] == {".pt": "torch", ".onnx": "onnx"}[ending]
    assert set(result["figures"]) == {"TS1", "TS2", "TS3", "TS4", "TS5", "TS6", "mean"}
    assert set(result["noise"]) == {"0", "5", "10", "15", "20"} and len(result["movement"]) == 10
    assert result["noise"]["0"]["mpjpe_mm"] == pytest.approx(result["figures"]["mean"]["mpjpe_mm"], rel=0.05)


def test_mirrors_are_averaged_unless_told_not_to(trained, data, capsys):
    measure = ["evaluate", str(trained.with_suffix(".onnx")), "--benchmark", "3dhp", "--data-3d", str(data["test"])]
    figures = {}
    for flip in ("--flip", "--no-flip"):
        assert cli.main([*measure, flip, "--json", "--every", "3"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["flip"] == (flip == "--flip") and told["sequences"] == 2
        figures[flip] = told["figures"]["mean"]["mpjpe_mm"]
    assert figures["--flip"] != figures["--no-flip"]


def test_models_tell_what_networks_cost(capsys):
    assert cli.main(["models", "fc", "tcn", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {(row["id"], row["receptive_field"]): row for row in told["networks"]}
    assert set(rows) == {("fc", 1), ("tcn", 27), ("tcn", 81), ("tcn", 243)}
    assert rows["fc", 1]["multiply_adds_per_frame"] == 4_281_344
    assert rows["tcn", 243]["parameters"] == 16_952_371 and rows["tcn", 243]["scores"] == "option"
    assert all(row["variant"] == "paper" for row in rows.values())
    assert cli.main(["models"]) == 0
    said = capsys.readouterr().out
    assert "for --lifter" in said and "27: 8.56 M, 81: 12.75 M, 243: 16.95 M" in said


def test_settings_are_read_as_python_reads_them():
    network, recipe = cli_training.parse_settings(
        ["channels=256", "combine=add", "filter_widths=(3, 3)", "groups=[5]", "recipe.batch=64", "temporal=None"]
    )
    assert network == {"channels": 256, "combine": "add", "filter_widths": (3, 3), "groups": (5,), "temporal": None}
    assert recipe == {"batch": 64}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("train", "resnet", "-o", "{0}/a.pt"), "anatomy3d"),
        (("train", "tcn", "-o", "{0}/a.onnx"), ".pt"),
        (("train", "tcn", "-o", "{0}/a.pt"), "--benchmark"),
        (("train", "tcn", "--frames", "10", "-o", "{0}/a.pt"), "T = 10"),
        (("train", "tcn", "--set", "chanels=4", "-o", "{0}/a.pt"), "chanels"),
        (("train", "tcn", "--set", "channels", "-o", "{0}/a.pt"), "NAME=VALUE"),
        (("train", "tcn", "--set", "recipe.optimiser=sgd", "-o", "{0}/a.pt"), "adamw"),
        (("train", "tcn", "--set", "recipe.speed=1", "-o", "{0}/a.pt"), "speed"),
        (("train", "tcn", "--minutes", "1", "--epochs", "1", "-o", "{0}/a.pt"), "two budgets"),
        (("train", "tcn", "--mocap", "{0}", "-o", "{0}/a.pt"), "--human"),
        (("train", "tcn", "--mocap", "{0}", "--human", "{0}", "--skeleton", "dog", "-o", "{0}/a.pt"), "body22"),
        (("train", "tcn", "--benchmark", "h36m", "--data-3d", "{train}", "-o", "{0}/a.pt"), "--data-2d"),
        (("train", "tcn", "--benchmark", "3dhp", "--data-3d", "{0}/no.npz", "-o", "{0}/a.pt"), "no.npz"),
        (("train", "tcn", "--benchmark", "3dhp", "--data-3d", "{train}", "--subjects", "S77", "-o", "{0}/a.pt"), "S77"),
        (("train", "tcn", "--benchmark", "3dhp", "--data-3d", "{train}", "-o", "{0}/a.pt"), "shorter"),
        (("train", "tcn", "--pairs", "{0}", "-o", "{0}/a.pt"), "--resume"),
        (("train", "-o", "{0}/a.pt"), "--mocap"),
        (("export", "{0}/none.pt", "-o", "{0}/a.onnx"), "none.pt"),
        (("export", "{text}", "-o", "{0}/a.onnx"), "damaged"),
        (("evaluate", "{net}"), "nothing to learn from"),
        (("evaluate", "{text}", "--benchmark", "3dhp", "--data-3d", "{test}"), "damaged"),
        (("evaluate", "{cut}", "--benchmark", "3dhp", "--data-3d", "{test}"), "cut.onnx"),
        (("evaluate", "{net}", "{cut}"), "one network"),
        (("evaluate", "{net}", "--benchmark", "3dhp", "--data-3d", "{test}", "--subjects", "TS9"), "TS9"),
        (("evaluate", "{net}", "--benchmark", "3dhp", "--data-3d", "{test}", "-o", "{0}/a.csv"), ".json"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_with_a_hint(capsys, trained, data, tmp_path, arguments, named):
    text, cut = tmp_path / "text.pt", tmp_path / "cut.onnx"
    text.write_text("nothing of the kind")
    cut.write_bytes(trained.with_suffix(".onnx").read_bytes()[:4000])
    files = {"text": text, "cut": cut, "net": trained.with_suffix(".onnx"), **data}
    assert named in refused(capsys, *(argument.format(tmp_path, **files) for argument in arguments))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.onnx", "text.pt"]


def test_measuring_clips_that_are_all_too_short_is_refused():
    with pytest.raises(InputError, match="shorter"):
        cli_training._check_lengths([figure("a", 5)], 9)


def test_listing_and_measuring_onnx_need_no_torch(trained, data):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from video_to_pose import cli\n"
        f"assert cli.main(['evaluate', {str(trained.with_suffix('.onnx'))!r}, '--benchmark', '3dhp', "
        f"'--data-3d', {str(data['test'])!r}, '--every', '6', '-q']) == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CORE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
