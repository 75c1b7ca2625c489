# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from tests import networks
from video_to_pose import onnx_session
from video_to_pose.errors import InputError, SetupError
from video_to_pose.onnx_session import Network

RANDOM = np.random.default_rng(0)
SIZE = (48, 32)
HERE = onnx_session.available_devices()
NOT_HERE = next(device for device in onnx_session.PROVIDERS if device not in HERE)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return networks.simcc(tmp_path_factory.mktemp("networks") / "a.onnx", SIZE, 5)


def batch(count):
    return RANDOM.normal(0, 1, (count, 3, SIZE[1], SIZE[0])).astype(np.float32)


def test_the_processor_is_always_there():
    assert "cpu" in HERE
    assert onnx_session.wanted_devices("auto")[-1] == "cpu"


def test_a_device_that_is_not_there_is_refused_with_the_way_to_get_it(path):
    with pytest.raises(SetupError, match="not available") as caught:
        Network.open(path, NOT_HERE)
    assert caught.value.code == "device-missing"
    assert "cpu" in caught.value.message
    assert "Install" in caught.value.hint or "macOS" in caught.value.hint


def test_another_device_takes_over_only_where_that_is_asked_for(path):
    assert Network.open(path, f"{NOT_HERE},cpu").device == "cpu"
    assert Network.open(path, "cpu").device == "cpu"


@pytest.mark.parametrize("device", ["gpu", "cuda;cpu", "", ","])
def test_an_unknown_device_is_the_users_error(path, device):
    with pytest.raises(InputError) as caught:
        Network.open(path, device)
    assert caught.value.code == "device-unknown"


def test_a_device_that_does_not_start_is_not_quietly_replaced(path, monkeypatch):
    """As with onnxruntime-gpu on a machine without a driver: it offers CUDA, and runs on the processor."""
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda name, options, providers: real(name, options, providers=["CPUExecutionProvider"]),
    )
    with pytest.raises(SetupError, match="do not load") as caught:
        Network.open(path, "cuda")
    assert caught.value.code == "device-broken"
    assert Network.open(path, "auto").device == "cpu"


def test_a_broken_file_is_the_users_error(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="not an ONNX file"):
        Network.open(tmp_path / "a.onnx")
    with pytest.raises(InputError, match="does not exist"):
        Network.open(tmp_path / "b.onnx")


def test_batches_of_any_size_give_what_single_pictures_give(path):
    network, pictures = Network.open(path, "cpu"), batch(7)
    single = np.concatenate([network(one[None], ["simcc_x"])["simcc_x"] for one in pictures])
    for most in (1, 3, 16):
        together = network(pictures, ["simcc_x", "simcc_y"], most)
        assert together["simcc_x"] == pytest.approx(single, abs=1e-4)
        assert together["simcc_y"].shape == (7, 5, 2 * SIZE[1])


@pytest.mark.parametrize("size", [1, 4])
def test_a_network_of_one_size_of_batch_is_given_that_size(tmp_path, path, size):
    fixed = Network.open(networks.simcc(tmp_path / "fixed.onnx", SIZE, 5, batch=size), "cpu")
    pictures = batch(6)
    assert fixed.input_shape == (size, 3, SIZE[1], SIZE[0])
    assert fixed(pictures, ["simcc_x"])["simcc_x"] == pytest.approx(
        Network.open(path, "cpu")(pictures, ["simcc_x"])["simcc_x"], abs=1e-4
    )


def test_a_network_that_claims_to_take_batches_and_does_not_is_run_one_by_one(tmp_path, path):
    model = onnx.load(path)
    shape = numpy_helper.from_array(np.array([1, 3, SIZE[1], SIZE[0]]), "one")
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, helper.make_node("Reshape", ["input", "one"], ["picture"]))
    model.graph.node[1].input[0] = "picture"
    onnx.save(model, tmp_path / "baked.onnx")
    baked, pictures = Network.open(tmp_path / "baked.onnx", "cpu"), batch(3)
    good = Network.open(path, "cpu")(pictures, ["simcc_x"])["simcc_x"]
    for _ in range(2):
        assert baked(pictures, ["simcc_x"])["simcc_x"] == pytest.approx(good, abs=1e-4)
    with pytest.raises(InputError, match=r"baked\.onnx fails on cpu"):
        baked(pictures[:, :, :-1], ["simcc_x"])


def test_bound_memory_gives_the_same(path):
    plain, bound = Network.open(path, "cpu"), Network.open(path, "cpu")
    bound.bound = True
    for count in (3, 5, 3):
        pictures = batch(count)
        for name in ("simcc_x", "simcc_y"):
            assert bound(pictures, [name])[name] == pytest.approx(plain(pictures, [name])[name], abs=1e-5)
    assert {shape[0] for shape in bound._inputs} == {4, 8}, "filled up to powers of two, and kept"


def test_lists_of_different_length_are_filled_up():
    joined = onnx_session._joined([np.ones((2, 3, 5)), np.ones((1, 0, 5)), np.ones((1, 4, 5))])
    assert joined.shape == (4, 4, 5)
    assert joined.sum(axis=(1, 2)).tolist() == [15, 15, 0, 20]


@pytest.mark.skipif("cuda" not in HERE, reason="no CUDA in this ONNX Runtime")
def test_cuda_gives_what_the_processor_gives(path):
    try:
        network = Network.open(path, "cuda")
    except SetupError as error:
        pytest.skip(error.message)
    for count in (1, 5, 16):
        pictures = batch(count)
        assert network(pictures, ["simcc_x"])["simcc_x"] == pytest.approx(
            Network.open(path, "cpu")(pictures, ["simcc_x"])["simcc_x"], abs=1e-3
        )
