# SPDX-License-Identifier: GPL-3.0-or-later
"""What is exported is what was trained, at any length, and says everything that is needed to run it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from tests.core.training.figures import FRAMES, figure, small  # noqa: E402
from video_to_pose.errors import InputError, VideoToPoseError  # noqa: E402
from video_to_pose.evaluation import protocols  # noqa: E402
from video_to_pose.lift.onnx_net import load_net  # noqa: E402
from video_to_pose.nets.catalogue import CATALOGUE  # noqa: E402
from video_to_pose.skeleton import H36M_17, HUMANEVA_15  # noqa: E402
from video_to_pose.training import export as exporting  # noqa: E402
from video_to_pose.training.checkpoint import Checkpoint  # noqa: E402
from video_to_pose.training.export import export, export_net  # noqa: E402
from video_to_pose.training.trainer import as_lift  # noqa: E402

CORE = Path(__file__).parents[3] / "core"


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settled(entry, skeleton=H36M_17, **changes):
    """A network whose normalisations are no longer what they were born as."""
    torch.manual_seed(3)
    net = entry.build(skeleton, small(entry, **changes)).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def clip(net, frames: int) -> np.ndarray:
    return figure("long", frames, skeleton=net.skeleton).inputs(scores=net.needs_scores)


CASES = [(entry.id, {}) for entry in CATALOGUE.values()] + [
    ("anatomy3d", {"composition": "regressed"}),
    ("anatomy3d", {"selection": "first"}),
    ("anatomy3d", {"causal": True}),
    ("tcn", {"causal": True}),
]


@pytest.mark.parametrize(("name", "changes"), CASES, ids=[f"{name}-{changes}" for name, changes in CASES])
def test_onnx_runtime_lifts_long_clips_in_pieces_as_torch_does_whole(tmp_path, name, changes, monkeypatch):
    entry = CATALOGUE[name]
    net = settled(entry, **changes)
    assert export_net(net, entry, tmp_path / "net.onnx", {"licence": "CC0-1.0"}) < exporting.TOLERANCE_M
    loaded = load_net(tmp_path / "net.onnx", device="cpu")
    if loaded.chunk:
        object.__setattr__(loaded, "chunk", 70)
    keypoints = clip(net, 200)
    assert np.abs(loaded(keypoints) - as_lift(net)(keypoints)).max() < 1e-4
    two = np.stack([keypoints[:20], keypoints[50:70]])
    together = loaded.session.run(None, {"keypoints": two})[0]
    with torch.inference_mode():
        assert np.abs(together - net(torch.as_tensor(two)).numpy()).max() < 1e-4
    assert loaded.architecture == name and loaded.metadata["licence"] == "CC0-1.0"
    assert (loaded.receptive_field, loaded.target) == (FRAMES[name], net.target)
    assert loaded.keypoints == H36M_17.joints and loaded.needs_scores == net.needs_scores


def test_a_clip_in_pieces_still_has_one_set_of_lengths(tmp_path):
    entry = CATALOGUE["anatomy3d"]
    net = settled(entry)
    export_net(net, entry, tmp_path / "net.onnx")
    loaded = load_net(tmp_path / "net.onnx", device="cpu")
    object.__setattr__(loaded, "chunk", 70)
    joints = loaded(clip(net, 200))
    lengths = np.linalg.norm(joints[:, H36M_17.bone_children] - joints[:, H36M_17.bone_parents], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-5


def test_the_file_tells_how_it_was_trained(tmp_path):
    entry = CATALOGUE["tcn"]
    net = settled(entry)
    notes = {"training_commit": "abc123", "data": "free motion"}
    export(Checkpoint(entry, H36M_17, net.settings, entry.recipe, 1, net.state_dict(), {}, notes), tmp_path / "a.onnx")
    metadata = load_net(tmp_path / "a.onnx", device="cpu").metadata
    assert metadata["training_commit"] == "abc123"
    assert json.loads(metadata["training_notes"])["data"] == "free motion"
    assert json.loads(metadata["training_recipe"])["decay"] == 0.95
    assert json.loads(metadata["settings"])["channels"] == 16
    assert metadata["skeleton"] == "h36m17" and metadata["causal"] == "false"
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_a_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE_M", 0.0)
    with pytest.raises(VideoToPoseError, match="away from the network"):
        export_net(settled(CATALOGUE["tcn"]), CATALOGUE["tcn"], tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_flips_commute_with_the_exported_network_after_averaging(tmp_path):
    entry = CATALOGUE["srnet"]
    net = settled(entry)
    export_net(net, entry, tmp_path / "net.onnx")
    lift = protocols.flip_augmented(load_net(tmp_path / "net.onnx", device="cpu"), H36M_17.mirror, H36M_17.mirror)
    sequence = figure("a", 30)
    mirrored = sequence.mirrored()
    answer = np.array(lift(sequence.inputs()))[:, H36M_17.mirror] * [-1, 1, 1]
    assert np.allclose(lift(mirrored.inputs()), answer, atol=1e-5)


def test_it_runs_without_torch(tmp_path):
    export_net(settled(CATALOGUE["fc"]), CATALOGUE["fc"], tmp_path / "net.onnx")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from pathlib import Path; from video_to_pose.lift.onnx_net import load_net\n"
        f"print(load_net(Path({str(tmp_path / 'net.onnx')!r}), device='cpu')(np.zeros((4, 17, 2))).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CORE, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(4, 17, 3)", done.stderr


# What is refused


@pytest.fixture(scope="module")
def net_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    for name in ("tcn", "anatomy3d"):
        export_net(settled(CATALOGUE[name]), CATALOGUE[name], folder / f"{name}.onnx")
    return folder


@pytest.mark.parametrize(
    ("name", "keypoints", "code"),
    [
        ("tcn", np.zeros((30, 16, 2)), "keypoints-shape"),
        ("tcn", np.zeros((0, 17, 2)), "keypoints-shape"),
        ("tcn", np.where(np.arange(30)[:, None, None] == 4, np.nan, np.zeros((30, 17, 2))), "keypoints-nan"),
        ("anatomy3d", np.zeros((30, 17, 2)), "keypoints-scores"),
    ],
    ids=["count", "empty", "nan", "scores"],
)
def test_keypoints_it_cannot_take(net_files, name, keypoints, code):
    with pytest.raises(InputError) as raised:
        load_net(net_files / f"{name}.onnx", device="cpu")(keypoints)
    assert raised.value.code == code and raised.value.hint


def test_scores_that_it_does_not_read_do_no_harm(net_files):
    net = load_net(net_files / "tcn.onnx", device="cpu")
    keypoints = np.random.default_rng(0).normal(size=(30, 17, 3))
    assert np.array_equal(net(keypoints), net(keypoints[..., :2]))


def test_files_that_are_no_networks(net_files, tmp_path):
    whole = (net_files / "tcn.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.onnx"):
        load_net(tmp_path / "cut.onnx")
    with pytest.raises(InputError, match="does not exist"):
        load_net(tmp_path / "none.onnx")
    from video_to_pose.lift import LIFTERS

    with pytest.raises(InputError, match="plain keypoints"):
        load_net(LIFTERS["default"].path)
    model = onnx.load(str(net_files / "tcn.onnx"))
    kept = {prop.key: prop.value for prop in model.metadata_props if prop.key != "target"}
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, str(tmp_path / "old.onnx"))
    with pytest.raises(InputError, match="target"):
        load_net(tmp_path / "old.onnx")


def test_sequences_of_another_skeleton_are_told_by_name(net_files):
    net = load_net(net_files / "tcn.onnx", device="cpu")
    with pytest.raises(InputError, match="spine"):
        figure("e", skeleton=HUMANEVA_15).select(net.skeleton, net.keypoints)
