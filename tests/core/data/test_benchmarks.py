# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers, on small files of exactly the field's layout that these tests write."""

import json
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest

from video_to_pose.data import benchmarks, lens, object_arrays
from video_to_pose.data.benchmarks import HUMAN36M, HUMANEVA, MPI_INF_3DHP, Benchmark, Sequence2D3D
from video_to_pose.data.sequences import from_screen, to_screen
from video_to_pose.errors import InputError
from video_to_pose.rotation import axis_angle_to_matrix, matrix_to_quat
from video_to_pose.skeleton import H36M_17, HUMANEVA_15, MPI_INF_3DHP_17, mirror_indices

SIDES_H36M = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
LEVEL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def camera(yaw: float, size: tuple[int, int]) -> lens.LensCamera:
    """Five metres from the middle, a little over eye level, with a lens that bends much as a benchmark's does."""
    R = axis_angle_to_matrix([0, 0, 1.0], yaw) @ LEVEL @ axis_angle_to_matrix([1.0, 0, 0], 0.1)
    return lens.LensCamera(
        focal_px=np.array([1.145, 1.143]) * size[0],
        centre_px=np.array(size) / 2 + [12.0, -7.0],
        image_size=size,
        R_world_camera=R,
        position=R @ np.array([0.1, 0.2, -5.0]) + [0, 0, 1.0],
        radial=np.array([-0.2, 0.24, -0.003]),
        tangential=np.array([-0.001, -0.0015]),
    )


def cameras_of(benchmark: Benchmark) -> list[lens.LensCamera]:
    return [camera(0.3 + 1.5 * n, size) for n, size in enumerate(benchmark.image_sizes)]


KNOWN = dict.fromkeys(("S1", "S9"), cameras_of(HUMAN36M))
"""Cameras given, so that a test about something else need not find them."""


def people(frames: int, joints: int, seed: int) -> np.ndarray:
    """(F, J, 3) float32 world positions of a shaking figure that walks about."""
    rng = np.random.default_rng(seed)
    figure = rng.uniform([-0.5, -0.5, 0.1], [0.5, 0.5, 1.8], (joints, 3))
    walk = np.cumsum(rng.normal(0, 0.15, (frames, 1, 3)) * [1, 1, 0], axis=0)
    return (figure + walk + rng.normal(0, 0.05, (frames, joints, 3))).astype(np.float32)


def exact(world: np.ndarray, views: list[lens.LensCamera]) -> list[np.ndarray]:
    return [view.project(view.to_camera(world)).astype(np.float32) for view in views]


def write(path: Path, **objects) -> Path:
    """As the field's scripts do: dictionaries straight into savez, which pickles them."""
    np.savez_compressed(path, **objects)
    return path


@pytest.fixture
def human36m(tmp_path):
    """Paths, and the 3D table (32 joints) and 2D table behind them."""
    table_3d = {
        subject: {
            action: people(60, 32, seed)
            for seed, action in enumerate(["Walking", "Walking 1", "SittingDown 2"], start=10 * number)
        }
        for number, subject in enumerate(["S1", "S9"])
    }
    views = cameras_of(HUMAN36M)
    index = list(benchmarks.H36M_17_OF_32)
    table_2d = {
        subject: {action: exact(world[:, index], views) for action, world in actions.items()}
        for subject, actions in table_3d.items()
    }
    table_2d["S9"]["Walking"] = [np.concatenate([view, view[-3:]]) for view in table_2d["S9"]["Walking"]]
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": SIDES_H36M}
    data_3d = write(tmp_path / "data_3d_h36m.npz", positions_3d=table_3d)
    data_2d = write(tmp_path / "data_2d_h36m_gt.npz", positions_2d=table_2d, metadata=metadata)
    return data_3d, data_2d, table_3d, table_2d, metadata


def test_human36m_comes_as_17_joints_in_camera_axes_with_its_cameras_solved(human36m):
    data_3d, data_2d, table_3d, table_2d, _ = human36m
    sequences = benchmarks.load_human36m(data_3d, data_2d)
    assert len(sequences) == 2 * 3 * 4
    one = next(s for s in sequences if s.subject == "S9" and s.action == "Walking 1" and s.camera == "55011271")
    true = cameras_of(HUMAN36M)[1]
    world = table_3d["S9"]["Walking 1"][:, list(benchmarks.H36M_17_OF_32)]
    assert one.skeleton is H36M_17 and one.rate == 50 and one.image_size == (1000, 1000)
    assert one.joints == pytest.approx(true.to_camera(world), abs=2e-3)
    assert one.targets() == pytest.approx(true.to_camera(world) - true.to_camera(world)[:, :1], abs=5e-4)
    assert np.array_equal(one.keypoints, table_2d["S9"]["Walking 1"][1]) and (one.scores == 1).all()
    assert one.lens.project(one.joints) == pytest.approx(one.keypoints, abs=0.05)
    assert one.action_group == "Walking"
    assert one.camera in HUMAN36M.cameras and sequences[0].image_size == (1000, 1002)


def test_the_17_joints_keep_their_names_sides_and_order():
    # the recorded 32 count the right leg from 1, the left from 6, the trunk from 12, the arms from 17 and 25
    at = dict(zip(H36M_17.joints, benchmarks.H36M_17_OF_32, strict=True))
    assert (at["right_hip"], at["left_hip"], at["spine"], at["left_shoulder"], at["right_shoulder"]) == (
        1,
        6,
        12,
        17,
        25,
    )
    assert at["head_top"] == 15 and at["right_wrist"] == 27


def test_videos_that_run_on_after_the_captured_motion_are_cut(human36m):
    data_3d, data_2d, *_ = human36m
    longer = benchmarks.load_human36m(data_3d, data_2d, cameras=KNOWN, subjects=["S9"], actions=["Walking"])
    assert {s.frame_count for s in longer} == {60} and len(longer) == 8  # both takes of the action


def test_detections_take_the_cameras_of_exact_pairs_or_of_a_file(human36m, tmp_path):
    data_3d, data_2d, _, table_2d, metadata = human36m
    rng = np.random.default_rng(0)
    noisy = {
        subject: {a: [v + rng.normal(0, 8, v.shape) for v in views] for a, views in actions.items()}
        for subject, actions in table_2d.items()
    }
    detected = write(tmp_path / "data_2d_h36m_cpn_ft_h36m_dbb.npz", positions_2d=noisy, metadata=metadata)
    with pytest.raises(InputError, match="Camera 54138969 of S1 cannot be found") as error:
        benchmarks.load_human36m(data_3d, detected)
    assert error.value.code == "benchmark-cameras" and "cameras=" in error.value.hint

    by_pairs = benchmarks.load_human36m(data_3d, detected, cameras=data_2d)
    lens.write_cameras(benchmarks.solve_cameras(HUMAN36M, data_3d, data_2d), tmp_path / "cameras.json")
    by_file = benchmarks.load_human36m(data_3d, detected, cameras=tmp_path / "cameras.json")
    exactly = benchmarks.load_human36m(data_3d, data_2d)
    for a, b, c in zip(by_pairs, by_file, exactly, strict=True):
        assert a.joints == pytest.approx(c.joints, abs=1e-6) and b.joints == pytest.approx(c.joints, abs=1e-6)
        assert 5 < np.std(a.keypoints - c.keypoints) < 11


def test_scores_in_a_third_channel_are_read(human36m, tmp_path):
    data_3d, _, _, table_2d, metadata = human36m
    scored = {
        s: {a: [np.concatenate([v, np.full((*v.shape[:2], 1), 0.7)], axis=-1) for v in views] for a, views in t.items()}
        for s, t in table_2d.items()
    }
    path = write(tmp_path / "data_2d_h36m_scored.npz", positions_2d=scored, metadata=metadata)
    (one, *_) = benchmarks.load_human36m(data_3d, path, cameras=KNOWN)
    assert one.inputs(scores=True).shape == (60, 17, 3) and one.inputs(scores=True)[..., 2] == pytest.approx(0.7)
    assert one.inputs().shape == (60, 17, 2)


def test_humaneva_has_15_joints_and_three_cameras(tmp_path):
    views = cameras_of(HUMANEVA)
    table_3d = {
        s: {"Walking 1 chunk0": people(80, 15, 3), "Jog 1 chunk2": people(70, 15, 4)}
        for s in ("Train/S1", "Validate/S1")
    }
    table_2d = {s: {a: exact(w, views) for a, w in t.items()} for s, t in table_3d.items()}
    metadata = {
        "layout_name": "humaneva15",
        "num_joints": 15,
        "keypoints_symmetry": [[2, 3, 4, 8, 9, 10], [5, 6, 7, 11, 12, 13]],
    }
    data_3d = write(tmp_path / "data_3d_humaneva15.npz", positions_3d=table_3d)
    data_2d = write(tmp_path / "data_2d_humaneva15_gt.npz", positions_2d=table_2d, metadata=metadata)
    sequences = benchmarks.load_humaneva(data_3d, data_2d, subjects=["Validate/S1"], actions=["Walking"])
    assert [s.camera for s in sequences] == ["C1", "C2", "C3"]
    assert sequences[0].skeleton is HUMANEVA_15 and sequences[0].action_group == "Walking"
    true = views[2].to_camera(table_3d["Validate/S1"]["Walking 1 chunk0"])
    assert sequences[2].joints == pytest.approx(true, abs=2e-3)

    given = benchmarks.load_humaneva(data_3d, data_2d, cameras={"S1": views})  # one person's cameras serve both parts
    assert len(given) == 2 * 2 * 3


def test_3dhp_in_one_file_is_sorted_by_names_and_brought_to_metres(tmp_path):
    in_order = people(30, 17, 0) * 1000 + [0, 0, 4000]  # the data set's own order, millimetres, camera space
    pixels = np.random.default_rng(0).uniform(0, 2048, (30, 17, 2))
    view = {"data_2d": pixels, "data_3d": in_order}
    train = write(
        tmp_path / "data_train_3dhp.npz", data={"S1 Seq1": [{"0": view, "8": view}, 25.0], "S2 Seq2": [{"4": view}, 50]}
    )
    test = write(tmp_path / "data_test_3dhp.npz", data={"TS1": {**view, "valid": np.arange(30) % 2}, "TS5": view})
    sequences = benchmarks.load_3dhp(train)
    assert [(s.subject, s.action, s.camera, s.rate) for s in sequences] == [
        ("S1", "Seq1", "0", 25.0),
        ("S1", "Seq1", "8", 25.0),
        ("S2", "Seq2", "4", 50.0),
    ]
    one = sequences[0]
    assert one.skeleton is MPI_INF_3DHP_17
    assert one.joints[:, 0] == pytest.approx(in_order[:, 14] / 1000)  # the pelvis is number 14 there
    assert one.joints[:, MPI_INF_3DHP_17.index("head_top")] == pytest.approx(in_order[:, 0] / 1000)
    assert one.keypoints[:, MPI_INF_3DHP_17.index("left_wrist")] == pytest.approx(pixels[:, 7])
    tested = benchmarks.load_3dhp(test)
    assert tested[0].valid.sum() == 15 and tested[1].valid is None
    assert tested[0].image_size == (2048, 2048) and tested[1].image_size == (1920, 1080)


def test_3dhp_in_two_files_is_already_in_order_and_in_camera_space(tmp_path):
    world = people(20, 17, 0) + [0, 0, 4]
    pixels = np.random.default_rng(0).uniform(0, 2048, (20, 17, 2))
    data_3d = write(
        tmp_path / "data_3d_3dhp.npz", positions_3d={"S1": {"Seq1": [world, world + 1]}, "TS6": {"Seq1": [world]}}
    )
    data_2d = write(
        tmp_path / "data_2d_3dhp.npz", positions_2d={"S1": {"Seq1": [pixels, pixels]}, "TS6": {"Seq1": [pixels]}}
    )
    sequences = benchmarks.load_3dhp(data_3d, data_2d)
    assert len(sequences) == 3 and sequences[2].image_size == (1920, 1080)
    assert sequences[1].joints == pytest.approx(world + 1, abs=1e-5)
    with pytest.raises(InputError, match="holds no keypoints"):
        benchmarks.load_3dhp(data_3d)


def test_coco_keypoints_go_with_human36m_joints(human36m, tmp_path):
    data_3d, _, _, table_2d, _ = human36m
    metadata = {
        "layout_name": "coco",
        "num_joints": 17,
        "keypoints_symmetry": [list(range(1, 17, 2)), list(range(2, 17, 2))],
    }
    path = write(tmp_path / "data_2d_h36m_detectron_pt_coco.npz", positions_2d=table_2d, metadata=metadata)
    (one, *_) = benchmarks.load_human36m(data_3d, path, cameras=KNOWN)
    assert one.keypoint_names[:3] == ("nose", "left_eye", "right_eye") and one.skeleton is H36M_17


def test_an_unknown_layout_still_tells_its_sides(human36m, tmp_path):
    data_3d, _, _, table_2d, _ = human36m
    metadata = {"layout_name": "ours", "num_joints": 17, "keypoints_symmetry": SIDES_H36M}
    path = write(tmp_path / "data_2d_h36m_ours.npz", positions_2d=table_2d, metadata=metadata)
    (one, *_) = benchmarks.load_human36m(data_3d, path, cameras=KNOWN)
    assert np.array_equal(mirror_indices(one.keypoint_names), H36M_17.mirror)


# -- what is wrong is said -------------------------------------------------------------------------------------------


def refused(code: str, match: str, call, *args, **options) -> InputError:
    with pytest.raises(InputError, match=match) as error:
        call(*args, **options)
    assert error.value.code == code and error.value.hint
    return error.value


def test_unknown_subjects_are_named_whether_asked_for_or_in_the_file(human36m, tmp_path):
    data_3d, data_2d, table_3d, *_ = human36m
    load = benchmarks.load_human36m
    refused("benchmark-subject-unknown", "S42 is no subject of h36m", load, data_3d, data_2d, subjects=["S42"])
    refused("benchmark-subject-unknown", "does not hold S11", load, data_3d, data_2d, subjects=["S9", "S11"])
    strange = write(tmp_path / "strange.npz", positions_3d={**table_3d, "Gerda": table_3d["S1"]})
    refused("benchmark-subject-unknown", "Gerda is no subject", load, strange, data_2d)
    refused("benchmark-subject-unknown", "no action Flying", load, data_3d, data_2d, actions=["Flying"])


def test_subjects_and_actions_without_keypoints_are_named(human36m, tmp_path):
    data_3d, _, _, table_2d, metadata = human36m
    part = {"S1": table_2d["S1"], "S9": {"Walking": table_2d["S9"]["Walking"]}}
    path = write(tmp_path / "part.npz", positions_2d=part, metadata=metadata)
    refused(
        "benchmark-subject-unknown",
        "S9 Walking 1 has 3D joints but no",
        benchmarks.load_human36m,
        data_3d,
        path,
        cameras=KNOWN,
    )
    path = write(tmp_path / "part.npz", positions_2d={"S1": part["S1"]}, metadata=metadata)
    refused(
        "benchmark-subject-unknown", "S9 has 3D joints but no", benchmarks.load_human36m, data_3d, path, cameras=KNOWN
    )


def test_wrong_joint_counts_are_said(human36m, tmp_path):
    data_3d, data_2d, _, table_2d, metadata = human36m
    load = benchmarks.load_human36m
    path = write(tmp_path / "a.npz", positions_3d={"S1": {"Walking": people(60, 25, 0)}})
    refused(
        "benchmark-joints", r"S1 Walking .* shape \(60, 25, 3\); expected \(frames, 17 or 32, 3\)", load, path, data_2d
    )
    few = {"S1": {a: [v[:, :14] for v in views] for a, views in table_2d["S1"].items()}}
    path = write(tmp_path / "b.npz", positions_2d=few, metadata=metadata)
    refused(
        "benchmark-joints", r"keypoints of shape \(60, 14, 2\)", load, data_3d, path, cameras=KNOWN, subjects=["S1"]
    )
    path = write(tmp_path / "c.npz", positions_2d=table_2d, metadata={**metadata, "num_joints": 16})
    refused("benchmark-joints", "keypoints are 16, but there are 17", load, data_3d, path)


def test_exchanged_sides_are_said(human36m, tmp_path):
    data_3d, _, _, table_2d, metadata = human36m
    path = write(
        tmp_path / "a.npz", positions_2d=table_2d, metadata={**metadata, "keypoints_symmetry": SIDES_H36M[::-1]}
    )
    refused("benchmark-joints", "pairs left and right otherwise", benchmarks.load_human36m, data_3d, path)


def test_missing_numbers_are_said_with_their_first_frame(human36m, tmp_path):
    data_3d, _, _, table_2d, metadata = human36m
    table_2d["S1"]["Walking"][2][17, 4] = np.nan
    path = write(tmp_path / "a.npz", positions_2d=table_2d, metadata=metadata)
    error = refused("benchmark-nan", "first in frame 17", benchmarks.load_human36m, data_3d, path, cameras=KNOWN)
    assert "S1 Walking (camera 58860488)" in error.message


def test_missing_cameras_are_said(human36m, tmp_path):
    data_3d, data_2d, _, table_2d, metadata = human36m
    load = benchmarks.load_human36m
    table_2d["S1"]["Walking"][3] = None
    path = write(tmp_path / "a.npz", positions_2d=table_2d, metadata=metadata)
    refused("benchmark-cameras", "no keypoints of camera 3", load, data_3d, path, cameras=KNOWN)
    table_2d["S1"]["Walking"].pop()
    path = write(tmp_path / "b.npz", positions_2d=table_2d, metadata=metadata)
    refused("benchmark-cameras", "keypoints of 3 cameras", load, data_3d, path, cameras=KNOWN)
    refused("benchmark-cameras", "no cameras for S1", load, data_3d, data_2d, cameras={"S9": cameras_of(HUMAN36M)})


def test_fewer_frames_of_keypoints_than_of_joints_are_said(human36m, tmp_path):
    data_3d, _, _, table_2d, metadata = human36m
    table_2d["S1"]["Walking"][1] = table_2d["S1"]["Walking"][1][:50]
    path = write(tmp_path / "a.npz", positions_2d=table_2d, metadata=metadata)
    refused(
        "benchmark-frames",
        "50 frames of keypoints .* but 60 of joints",
        benchmarks.load_human36m,
        data_3d,
        path,
        cameras=KNOWN,
    )


def test_exchanged_missing_and_torn_files_are_said(human36m, tmp_path):
    data_3d, data_2d, *_ = human36m
    load = benchmarks.load_human36m
    refused("benchmark-file-invalid", "not positions_3d", load, data_2d, data_3d)
    refused("benchmark-file-missing", "no file", load, tmp_path / "nothing.npz", data_2d)
    torn = tmp_path / "torn.npz"
    torn.write_bytes(data_3d.read_bytes()[:2000])
    refused("benchmark-file-invalid", "not a whole", load, torn, data_2d)
    torn.write_text("hello")
    refused("benchmark-file-invalid", "not a whole", load, torn, data_2d)
    garbled = bytearray(data_3d.read_bytes())
    garbled[len(garbled) // 2] ^= 0xFF
    torn.write_bytes(garbled)
    refused("benchmark-file-invalid", "not a whole", load, torn, data_2d)


def test_a_cameras_file_that_lacks_something_is_said(human36m, tmp_path):
    data_3d, data_2d, *_ = human36m
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps({"S1": [{"orientation": [1, 0, 0, 0]}]}))
    refused("benchmark-cameras", "translation, .* missing", benchmarks.load_human36m, data_3d, data_2d, cameras=path)


# -- safety ----------------------------------------------------------------------------------------------------------


class Evil:
    """A pickle that leaves a mark when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_a_file_that_would_run_something_is_refused_and_does_not_run(tmp_path):
    mark = tmp_path / "mark"
    bad = write(tmp_path / "bad.npz", positions_3d={"S1": Evil(mark)})
    refused("benchmark-file-unsafe", "asks to run", object_arrays.load_plain, bad)
    assert not mark.exists()
    with np.load(bad, allow_pickle=True) as file:
        file["positions_3d"]
    assert mark.exists()  # numpy's own reader would have


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "builtins.getattr",
        "numpy.load",
        "numpy.core.multiarray.set_string_function",
        "codecs.decode",
    ],
)
def test_no_other_name_is_admitted(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    program = f"c{module}\n{attribute}\n.".encode()
    header = tmp_path / "x.npy"
    np.save(header, np.array({}, dtype=object))
    start = header.read_bytes()
    start = start[: 10 + int.from_bytes(start[8:10], "little")]
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("positions_3d.npy", start + program)
    refused("benchmark-file-unsafe", name.replace(".", r"\."), object_arrays.load_plain, tmp_path / "x.npz")


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_contents_of_any_pickle_protocol_come_in(tmp_path, protocol):
    content = {
        "plain": [1, 2.5, "é", None, True, (3,), {"x"}, b"raw"],
        "ordered": OrderedDict(a=1),
        "default": defaultdict(list, b=[2]),
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "objects": np.array([np.zeros(2), None], dtype=object),
        "scalar": np.float64(2.5),
    }
    header = tmp_path / "x.npy"
    np.save(header, np.array({}, dtype=object))
    start = header.read_bytes()
    start = start[: 10 + int.from_bytes(start[8:10], "little")]
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("data.npy", start + pickle.dumps(np.array(content, dtype=object), protocol=protocol))
    read = object_arrays.load_plain(tmp_path / "x.npz")["data"]
    assert read["plain"] == content["plain"] and read["ordered"] == content["ordered"] and read["default"]["b"] == [2]
    assert np.array_equal(read["array"], content["array"]) and np.array_equal(read["columns"], content["columns"])
    assert read["objects"][1] is None and read["scalar"] == 2.5


# -- the generic type ------------------------------------------------------------------------------------------------


def in_memory(**changes) -> Sequence2D3D:
    values = {
        "subject": "me",
        "action": "Dance 1",
        "camera": "0",
        "rate": 30.0,
        "skeleton": H36M_17,
        "keypoint_names": H36M_17.joints,
        "keypoints": np.random.default_rng(0).uniform(0, 900, (9, 17, 2)),
        "scores": np.ones((9, 17)),
        "joints": np.random.default_rng(1).normal(size=(9, 17, 3)) + [0, 0, 4],
        "image_size": (1920, 1080),
    } | changes
    return Sequence2D3D(**values)


def test_screen_coordinates_are_the_fields():
    assert to_screen([0, 0], (1000, 500)) == pytest.approx([-1, -0.5])
    assert to_screen([1000, 500], (1000, 500)) == pytest.approx([1, 0.5])
    pixels = np.random.default_rng(0).uniform(0, 500, (5, 2))
    assert from_screen(to_screen(pixels, (640, 480)), (640, 480)) == pytest.approx(pixels, abs=1e-4)


def test_a_mirrored_take_is_the_take_in_a_mirror():
    one = in_memory()
    twice = one.mirrored().mirrored()
    assert twice.keypoints == pytest.approx(one.keypoints, abs=1e-3) and np.array_equal(twice.joints, one.joints)
    left, right = H36M_17.index("left_wrist"), H36M_17.index("right_wrist")
    assert one.mirrored().inputs()[:, left] == pytest.approx(one.inputs()[:, right] * [-1, 1], abs=1e-5)


def test_parts_and_selections_keep_pairs_together():
    one = in_memory(valid=np.arange(9) > 3)
    half = one.part(1, 9, every=2)
    assert (
        half.rate == 15
        and np.array_equal(half.joints, one.joints[1:9:2])
        and list(half.valid) == [False, False, True, True]
    )
    keypoints = one.select(keypoint_names=("head", "left_wrist"), aliases={"head": "nose"})
    assert np.array_equal(keypoints.keypoints[:, 0], one.keypoints[:, H36M_17.index("nose")])
    refused("benchmark-joints", "no joint head", one.select, MPI_INF_3DHP_17)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("benchmark-joints", {"joints": np.zeros((9, 16, 3))}),
        ("benchmark-joints", {"keypoints": np.zeros((9, 16, 2))}),
        ("benchmark-frames", {"keypoints": np.zeros((8, 17, 2)), "scores": np.ones((8, 17))}),
        ("benchmark-frames", {"scores": np.ones((9, 16))}),
        (
            "benchmark-frames",
            {"joints": np.zeros((0, 17, 3)), "keypoints": np.zeros((0, 17, 2)), "scores": np.ones((0, 17))},
        ),
        ("benchmark-nan", {"joints": np.full((9, 17, 3), np.nan)}),
        ("benchmark-rate", {"rate": 0.0}),
        ("benchmark-joints", {"keypoints": [["a"]]}),
    ],
)
def test_sequences_are_checked_at_birth(code, changes):
    with pytest.raises(InputError, match=r"me Dance 1 \(camera 0\)") as error:
        in_memory(**changes)
    assert error.value.code == code


# -- cameras ---------------------------------------------------------------------------------------------------------


def test_a_camera_is_found_from_exact_pairs():
    true = camera(0.7, (1000, 1002))
    world = people(200, 17, 1).reshape(-1, 3).astype(np.float64)
    found = lens.calibrate(world, true.project(true.to_camera(world)).astype(np.float32), (1000, 1002))
    assert found.R_world_camera == pytest.approx(true.R_world_camera, abs=1e-4)
    assert found.position == pytest.approx(true.position, abs=1e-3)
    assert found.focal_px == pytest.approx(true.focal_px, rel=1e-3)
    assert found.project(found.to_camera(world)) == pytest.approx(true.project(true.to_camera(world)), abs=0.05)


def test_points_outside_the_picture_or_behind_the_camera_do_not_disturb():
    true = camera(0.7, (1000, 1002))
    world = people(200, 17, 1).reshape(-1, 3).astype(np.float64)
    world[::5] += 3 * (true.position - world[::5])
    seen = true.project(true.to_camera(world)).astype(np.float32)
    assert (true.to_camera(world)[:, 2] < 0).any()
    assert lens.calibrate(world, seen, (1000, 1002)).position == pytest.approx(true.position, abs=1e-3)


def test_too_few_pairs_or_noise_find_no_camera():
    world = people(200, 17, 1).reshape(-1, 3)
    refused("benchmark-cameras", "too few", lens.calibrate, world[:10], world[:10, :2], (1000, 1000))
    noise = np.random.default_rng(0).uniform(0, 1000, (len(world), 2))
    refused("benchmark-cameras", "No camera", lens.calibrate, world, noise, (1000, 1000))


def test_the_fields_millimetres_are_understood_in_camera_files(tmp_path):
    true = camera(0.7, (1000, 1002))
    lens.write_cameras({"S1": [true]}, tmp_path / "cameras.json")
    document = json.loads((tmp_path / "cameras.json").read_text())
    document["S1"][0]["translation"] = (true.position * 1000).tolist()
    (tmp_path / "cameras.json").write_text(json.dumps(document))
    (read,) = lens.read_cameras(tmp_path / "cameras.json")["S1"]
    assert read.position == pytest.approx(true.position)
    assert np.abs(matrix_to_quat(read.R_world_camera) @ matrix_to_quat(true.R_world_camera)) == pytest.approx(1)


def test_the_benchmarks_conventional_splits():
    assert HUMAN36M.test == ("S9", "S11") and len(HUMAN36M.train) == 5
    assert all(subject.startswith("TS") for subject in MPI_INF_3DHP.test)
    assert len(set(HUMANEVA.subjects)) == len(HUMANEVA.subjects)
