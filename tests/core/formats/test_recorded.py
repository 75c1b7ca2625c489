# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs' keypoint files are told apart by what is in them, mapped by name, and refused in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest

from video_to_pose import track as tracking
from video_to_pose.errors import InputError
from video_to_pose.formats import coco, keypoints, recorded, table
from video_to_pose.formats.layouts import BY_COUNT, HALPE_136, common_name
from video_to_pose.formats.markers import Markers
from video_to_pose.formats.people import People, without_placeholders
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.skeleton import BODY_25, COCO_17, COCO_18, COCO_WHOLEBODY_133, HALPE_26, MEDIAPIPE_33
from video_to_pose.types import KeypointTrack

SIZE = (1280, 720)
FRAMES = 12
KNOWN = set(MEDIAPIPE_33)
RATE = 25.0


def place(name: str, frame: int) -> tuple[float, float]:
    """Where a keypoint is, told by its name alone, so that a layout read in a wrong order is found out."""
    k = MEDIAPIPE_33.index(name)
    return 400.0 + 11 * k + 2 * frame, 100.0 + 13 * ((7 * k) % 33) + frame


def row(layout, frame: int, shift: float = 0.0, lacking=()) -> np.ndarray:
    """(K, 3) x, y, score in a layout's own order; what no lifter knows stands at 5, 5."""
    out = []
    for name in map(common_name, layout):
        x, y = place(name, frame) if name in MEDIAPIPE_33 else (5.0, 5.0)
        out.append((0.0, 0.0, 0.0) if name in lacking else (x + shift, y, 0.8))
    return np.array(out)


def as_it_was(found, names=None, size=SIZE) -> KeypointTrack:
    """The track of what was read, checked to be where `place` says."""
    assert isinstance(found, People)
    people = found.completed(size, None if found.times is not None else RATE)
    track = without_placeholders(tracking.make_track(people.times, people.found, people.image_size))
    assert track.frame_count == FRAMES and track.image_size == size
    for k in np.flatnonzero(track.scores.any(axis=0)):
        name = track.names[k]
        wanted = [place(name, frame) for frame in range(FRAMES)]
        np.testing.assert_allclose(track.positions[:, k], wanted, atol=2e-3, err_msg=name)
    assert names is None or set(track.names) == set(names)
    assert np.allclose(np.diff(track.timestamps), 1 / RATE, atol=1e-4)
    return track


def dump(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


def openpose_folder(folder: Path, layout, people=lambda frame: [{}], hands=False, frames=range(FRAMES)) -> Path:
    folder.mkdir()
    hand = {"left": [0.0] * 63, "right": [0.0] * 63}
    for frame in frames:
        entries = []
        for shape in people(frame):
            body = row(layout, frame, **shape).ravel().tolist()
            if hands:
                for side in hand:
                    points = np.full((21, 3), 3.0)
                    for i, name in ((2, "thumb"), (5, "index"), (17, "pinky")):
                        points[i] = (*place(f"{side}_{name}", frame), 0.7)
                    hand[side] = points.ravel().tolist()
            entries.append(
                {
                    "person_id": [-1],
                    "pose_keypoints_2d": body,
                    "face_keypoints_2d": [],
                    "hand_left_keypoints_2d": hand["left"] if hands else [],
                    "hand_right_keypoints_2d": hand["right"] if hands else [],
                    "pose_keypoints_3d": [],
                }
            )
        dump(folder / f"clip_{frame:012d}_keypoints.json", {"version": 1.3, "people": entries})
    return folder


def flat(layout, frame):
    return row(layout, frame).ravel().tolist()


def refused(path) -> InputError:
    with pytest.raises(InputError) as caught:
        found = recorded.read(path)
        if isinstance(found, People):
            found.completed()
    message = caught.value.message
    assert caught.value.hint and message.endswith(".") and len(message) < 220
    return caught.value


# --- OpenPose -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [BODY_25, COCO_18], ids=["BODY_25", "COCO"])
def test_an_openpose_folder_is_read_in_its_order(tmp_path, layout):
    track = as_it_was(recorded.read(openpose_folder(tmp_path / "json", layout)))
    shown = {name for name in map(common_name, layout) if name in MEDIAPIPE_33}
    assert {name for k, name in enumerate(track.names) if track.scores[:, k].any()} >= shown & set(LIFTER_KEYPOINTS)


def test_openpose_numbers_body_25_as_its_manual_does():
    places = {0: "nose", 1: "neck", 4: "right_wrist", 7: "left_wrist", 8: "mid_hip", 11: "right_ankle"}
    places |= {14: "left_ankle", 15: "right_eye", 18: "left_ear", 19: "left_big_toe", 21: "left_heel", 24: "right_heel"}
    assert {i: BODY_25[i] for i in places} == places
    assert (COCO_18[8], COCO_18[11], COCO_18[14], COCO_18[17]) == ("right_hip", "left_hip", "right_eye", "left_ear")


def test_knuckles_come_from_openpose_hands(tmp_path):
    found = recorded.read(openpose_folder(tmp_path / "json", BODY_25, hands=True))
    track = as_it_was(found)
    index = [track.names.index(name) for name in ("left_index", "right_pinky")]
    assert np.allclose(track.scores[:, index], 0.7)


def test_what_openpose_did_not_find_has_no_place(tmp_path):
    lacking = {"left_wrist", "right_ear"}
    track = as_it_was(recorded.read(openpose_folder(tmp_path / "json", BODY_25, lambda _: [{"lacking": lacking}])))
    for name in lacking:
        k = track.names.index(name)
        assert np.isnan(track.positions[:, k]).all() and not track.scores[:, k].any()


def test_a_frame_without_a_file_is_a_gap_and_not_a_step_in_time(tmp_path):
    frames = [frame for frame in range(FRAMES) if frame not in (4, 5)]
    as_it_was(recorded.read(openpose_folder(tmp_path / "json", BODY_25, frames=frames)))


def test_of_two_people_the_one_who_is_seen_for_long_is_taken(tmp_path):
    def people(frame):
        return [{"shift": 600.0}, {}] if frame in (2, 3) else [{}]

    as_it_was(recorded.read(openpose_folder(tmp_path / "json", BODY_25, people)))


def test_positions_that_are_shares_of_the_picture_become_pixels(tmp_path):
    folder = openpose_folder(tmp_path / "json", BODY_25)
    for file in folder.iterdir():
        content = json.loads(file.read_text())
        points = np.array(content["people"][0]["pose_keypoints_2d"]).reshape(-1, 3) / [*SIZE, 1]
        content["people"][0]["pose_keypoints_2d"] = points.ravel().tolist()
        dump(file, content)
    as_it_was(recorded.read(folder))


# --- COCO, AlphaPose, MMPose ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [COCO_17, HALPE_26, COCO_WHOLEBODY_133, HALPE_136], ids=len)
def test_alphapose_is_read_in_every_layout(tmp_path, layout):
    entries = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": flat(layout, frame), "score": 2.5, "idx": 1}
        for frame in range(FRAMES)
    ]
    found = recorded.read(dump(tmp_path / "alphapose-results.json", entries))
    assert found.kind == "AlphaPose JSON"
    as_it_was(found, {name for name in map(common_name, layout) if name in MEDIAPIPE_33})


@pytest.mark.parametrize(("group", "points"), [("people", "pose_keypoints_2d"), ("bodies", "joints")])
def test_alphapose_in_the_manner_of_openpose_is_one_file(tmp_path, group, points):
    clip = {
        f"{frame}.jpg": {"version": "AlphaPose v0.3", group: [{points: flat(COCO_18, frame)}]}
        for frame in range(FRAMES)
    }
    as_it_was(recorded.read(dump(tmp_path / "a.json", clip)))


def test_coco_results_are_read(tmp_path):
    entries = [
        {"image_id": 100 + frame, "category_id": 1, "keypoints": flat(COCO_17, frame), "score": 0.9}
        for frame in range(FRAMES)
    ]
    found = recorded.read(dump(tmp_path / "results.json", entries))
    assert found.kind == "COCO results" and found.frames[0] == 100
    as_it_was(found, COCO_17)


def test_layouts_of_one_file_may_differ(tmp_path):
    entries = [
        {"image_id": frame, "keypoints": flat(COCO_17 if frame % 2 else HALPE_26, frame)} for frame in range(FRAMES)
    ]
    people = recorded.read(dump(tmp_path / "a.json", entries)).completed(SIZE, RATE)
    track = without_placeholders(tracking.make_track(people.times, people.found, SIZE))
    assert set(track.names) == set(map(common_name, HALPE_26)) & KNOWN
    heel, hip = track.names.index("left_heel"), track.names.index("left_hip")
    assert np.isnan(track.positions[1::2, heel]).all() and not np.isnan(track.positions[::2, heel]).any()
    np.testing.assert_allclose(track.positions[:, hip], [place("left_hip", f) for f in range(FRAMES)], atol=1e-3)


def test_coco_annotations_know_names_and_size_and_flags(tmp_path):
    order = tuple(reversed(COCO_17))  # the category's names count, not the usual order
    content = {
        "images": [{"id": 7 * f, "file_name": f"a_{f:04d}.png", "width": 1280, "height": 720} for f in range(FRAMES)],
        "annotations": [
            {
                "id": f,
                "image_id": 7 * f,
                "category_id": 1,
                "keypoints": (row(order, f) * [1, 1, 0] + [0, 0, 2]).ravel().tolist(),
            }
            for f in range(FRAMES)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(order), "skeleton": []}],
    }
    content["annotations"][3]["keypoints"][2] = 1  # hidden, yet placed
    found = recorded.read(dump(tmp_path / "instances.json", content))
    track = as_it_was(found, COCO_17)
    assert track.scores[3, track.names.index(order[0])] == 0.5 and track.scores[4].min() == 1


@pytest.mark.parametrize("form", ["demo", "inferencer", "folder"])
def test_mmpose_is_read_in_every_form(tmp_path, form):
    def instance(frame):
        points = row(COCO_WHOLEBODY_133, frame)
        return {"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist(), "bbox": [[0, 0, 9, 9]]}

    clip = [{"frame_id": frame + 1, "instances": [instance(frame)]} for frame in range(FRAMES)]
    if form == "demo":
        names = {str(i): name for i, name in enumerate(COCO_WHOLEBODY_133)}
        content = {"meta_info": {"dataset_name": "x", "keypoint_id2name": names}, "instance_info": clip}
        path = dump(tmp_path / "results.json", content)
    elif form == "inferencer":
        path = dump(tmp_path / "results.json", clip)
    else:
        path = tmp_path / "predictions"
        path.mkdir()
        for frame in range(FRAMES):
            dump(path / f"{frame:06d}.json", [instance(frame)])
    as_it_was(recorded.read(path), [n for n in map(common_name, COCO_WHOLEBODY_133) if n in MEDIAPIPE_33])


# --- ours, out and in -----------------------------------------------------------------------------------------


@pytest.fixture
def track() -> KeypointTrack:
    positions = np.array([[place(name, frame) for name in MEDIAPIPE_33] for frame in range(FRAMES)], dtype=float)
    scores = np.random.default_rng(0).uniform(0.2, 1, positions.shape[:2])
    positions[:, 3], scores[:, 3] = np.nan, 0
    return KeypointTrack(np.arange(FRAMES) / RATE, MEDIAPIPE_33, positions, scores, SIZE)


@pytest.mark.parametrize(("write", "name"), [(coco.write, "a.json"), (table.write_keypoints, "a.csv")])
def test_keypoints_come_back_as_they_were(tmp_path, track, write, name):
    write(track, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    people = recorded.read(tmp_path / name).completed()
    back = without_placeholders(tracking.make_track(people.times, people.found, people.image_size))
    assert back.names == track.names and back.image_size == SIZE
    np.testing.assert_allclose(back.timestamps, track.timestamps, atol=1e-6)
    np.testing.assert_allclose(back.positions, track.positions, atol=1e-3)
    np.testing.assert_allclose(back.scores, track.scores, atol=1e-5)


def test_our_coco_is_what_coco_says(tmp_path, track):
    coco.write(track, tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    first = content["annotations"][0]
    assert len(first["keypoints"]) == 3 * 33 and first["num_keypoints"] == 32
    assert first["keypoints"][9:12] == [0, 0, 0] and set(first["keypoints"][2::3]) <= {0, 1, 2}
    x, y, width, height = first["bbox"]
    assert x <= first["keypoints"][0] <= x + width and y <= first["keypoints"][1] <= y + height
    assert content["categories"][0]["keypoints"] == list(MEDIAPIPE_33)
    assert {annotation["image_id"] for annotation in content["annotations"]} <= {i["id"] for i in content["images"]}


def test_npz_is_read_as_ever(tmp_path, track):
    keypoints.save(track, tmp_path / "a.npz")
    assert isinstance(recorded.read(tmp_path / "a.npz"), KeypointTrack)


def test_a_table_with_scores_beside_z_holds_keypoints_as_shares(tmp_path):
    names = [f"{name.upper()}_{axis}" for name in MEDIAPIPE_33 for axis in ("x", "y", "z", "visibility")]
    lines = [",".join(["timestamp", "frame_number", *names])]
    for frame in range(FRAMES):
        cells = [f"{x / SIZE[0]},{y / SIZE[1]},-0.3,0.9" for x, y in (place(name, frame) for name in MEDIAPIPE_33)]
        lines.append(",".join([str(40 * frame), str(frame), *cells]))
    (tmp_path / "a.csv").write_text("\n".join(lines))
    as_it_was(recorded.read(tmp_path / "a.csv"), MEDIAPIPE_33)


# --- what is wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", BY_COUNT.values(), ids=len)
def test_every_layout_has_what_lifting_needs(layout):
    from video_to_pose.lift.onnx_lifter import NEEDED_KEYPOINTS

    names = [common_name(name) for name in layout]
    assert set(NEEDED_KEYPOINTS) <= set(names) and len(set(names)) == len(layout)


@pytest.mark.parametrize("kept", [0.2, 0.7, 0.99])
def test_a_file_that_is_cut_off_is_told(tmp_path, kept):
    whole = json.dumps([{"image_id": f"{f}.jpg", "keypoints": flat(COCO_17, f)} for f in range(FRAMES)])
    (tmp_path / "a.json").write_text(whole[: int(kept * len(whole))])
    assert refused(tmp_path / "a.json").code == "keypoints-cut-off"


def test_a_frame_that_is_cut_off_is_named(tmp_path):
    folder = openpose_folder(tmp_path / "json", BODY_25)
    file = folder / "clip_000000000007_keypoints.json"
    file.write_text(file.read_text()[:300])
    assert file.name in refused(folder).message


@pytest.mark.parametrize("numbers", [51, 74, 45])
def test_a_wrong_number_of_keypoints_is_told(tmp_path, numbers):
    folder = tmp_path / "json"
    folder.mkdir()
    dump(folder / "a_0_keypoints.json", {"people": [{"pose_keypoints_2d": [1.0] * numbers}]})
    error = refused(folder)
    assert error.code == "keypoints-count" and str(numbers if numbers % 3 else numbers // 3) in error.message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "keypoints-empty"),
        ("[]", "keypoints-unknown"),
        ('{"a": 1}', "keypoints-unknown"),
        ("hello there", "keypoints-unknown"),
        ("a,b\n1,2\n", "csv-invalid"),
        ("nose_x,nose_y\n", "csv-invalid"),
        ("nose_x,nose_y\n1,2\n3\n", "csv-invalid"),
        ("nose_x,nose_y\n1,two\n", "csv-invalid"),
        ('{"people": []}', "keypoints-one-frame"),
        ('[{"image_id": "a.jpg", "keypoints": [1, 2, 3]}]', "keypoints-no-sequence"),
        ('[{"image_id": 1, "keypoints": [1, 2, 3]}]', "keypoints-count"),
        ('[{"image_id": 1, "keypoints": "none"}]', "keypoints-count"),
        ('{"images": [], "annotations": [{"keypoints": [1, 2, 2]}]}', "keypoints-count"),
        ('{"images": [{"id": 1}], "annotations": [5]}', "keypoints-invalid"),
        ('[{"frame_id": 0, "instances": [{"keypoints": [[1, 2, 3]]}]}]', "keypoints-3d"),
        ('[{"frame_id": 0, "instances": [{"keypoints": [[1, 2]]}]}]', "keypoints-count"),
        ('[{"frame_id": 0, "instances": []}]', "keypoints-empty"),
        ("PathFileType\t4\n", "trc-invalid"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, content, code):
    (tmp_path / "a.json").write_text(content)
    assert refused(tmp_path / "a.json").code == code


def test_frame_size_and_rate_are_asked_for(tmp_path):
    folder = openpose_folder(tmp_path / "json", BODY_25)
    error = refused(folder)
    assert error.code == "frame-size-missing" and "--frame-size" in error.hint
    with pytest.raises(InputError) as caught:
        recorded.read(folder).completed(SIZE)
    assert caught.value.code == "frame-rate-missing" and "--frame-rate" in caught.value.hint


@pytest.mark.parametrize("what", ["missing.json", "empty folder", "bytes.json", "frames.json"])
def test_what_is_not_there_is_told(tmp_path, what):
    (tmp_path / "empty folder").mkdir()
    (tmp_path / "bytes.json").write_bytes(bytes(range(256)))
    scattered = [{"image_id": number, "keypoints": flat(COCO_17, 0)} for number in (3, 50_000, 900_000)]
    dump(tmp_path / "frames.json", scattered)
    refused(tmp_path / what)


def test_points_in_space_are_no_keypoints(tmp_path):
    names = [f"{name}_{axis}" for name in MEDIAPIPE_33 for axis in "xyz"]
    rows = np.random.default_rng(0).normal(size=(3, len(names))) * 1000
    (tmp_path / "mediapipe_body_3d_xyz.csv").write_text(
        "\n".join([",".join(names), *(",".join(f"{v:.3f}" for v in r) for r in rows)])
    )
    assert isinstance(recorded.read(tmp_path / "mediapipe_body_3d_xyz.csv"), Markers)
