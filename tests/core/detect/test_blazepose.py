# SPDX-License-Identifier: GPL-3.0-or-later
import sys
import zipfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from video_to_pose import detect, video, weights
from video_to_pose.detect import blazepose_geometry as geometry
from video_to_pose.detect.blazepose import BlazePose, distinct
from video_to_pose.detect.blazepose_onnx import UnknownNetwork, densify, same_padding, to_onnx
from video_to_pose.errors import InputError, SetupError
from video_to_pose.settings import DetectSettings
from video_to_pose.skeleton import MEDIAPIPE_33

CLIP = Path(__file__).parents[3] / "examples" / "wave.mp4"


# Finding people


def test_anchors_are_the_published_ones():
    anchors = geometry.anchors()
    assert anchors.shape == (28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6, 2) == (2254, 2)
    np.testing.assert_allclose(anchors[:2], 0.5 / 28, rtol=1e-6)
    np.testing.assert_allclose(anchors[2], (1.5 / 28, 0.5 / 28), rtol=1e-6, err_msg="x runs first")
    np.testing.assert_allclose(anchors[28 * 28 * 2], 0.5 / 14, rtol=1e-6)
    np.testing.assert_allclose(anchors[-6:], 6.5 / 7, rtol=1e-6)
    assert (anchors > 0).all() and (anchors < 1).all()


def test_boxes_are_measured_from_their_anchor():
    numbers, logits = np.zeros((2254, 12), np.float32), np.full(2254, -5, np.float32)
    logits[1000] = 2.0
    numbers[1000] = [22.4, 0, 44.8, 89.6, 0, 0, 0, -112, 0, 0, 0, 0]
    boxes, points, scores = geometry.decode_boxes(numbers, logits, 0.5)
    x, y = geometry.anchors()[1000]
    np.testing.assert_allclose(boxes, [[x, y - 0.2, x + 0.2, y + 0.2]], atol=1e-6)
    np.testing.assert_allclose(points[0, :2], [[x, y], [x, y - 0.5]], atol=1e-6)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-2.0)), rtol=1e-6)


def test_overlap_is_shared_area_over_both():
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [4, 4, 4, 4]], float)
    expected = [[1, 1 / 3, 0, 0], [1 / 3, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(geometry.overlap(boxes, boxes), expected)


def test_boxes_of_one_person_are_averaged_by_score():
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 0, 60, 10]], float)
    points = boxes.reshape(3, 2, 2)
    merged, merged_points, scores = geometry.merge_boxes(boxes, points, np.array([0.6, 0.9, 0.7]))
    np.testing.assert_allclose(merged, [[1.2, 0, 11.2, 10], [50, 0, 60, 10]])
    np.testing.assert_allclose(merged_points.reshape(2, 4), merged)
    np.testing.assert_allclose(scores, [0.9, 0.7])


def test_boxes_that_overlap_by_half_or_less_are_two_people():
    boxes = np.array([[0, 0, 3, 1], [1, 0, 4, 1]], float)  # 2 of 4
    assert len(geometry.merge_boxes(boxes, boxes.reshape(2, 2, 2), np.array([0.9, 0.8]))[0]) == 2


def test_a_chain_of_boxes_is_not_swallowed_by_its_end():
    boxes = np.array([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]], float)
    merged, _, _ = geometry.merge_boxes(boxes, boxes.reshape(3, 2, 2), np.array([0.9, 0.8, 0.7]))
    assert len(merged) == 2, "the third overlaps the second, but not the surest"


def test_nobody_gives_no_boxes():
    merged = geometry.merge_boxes(np.zeros((0, 4)), np.zeros((0, 4, 2)), np.zeros(0))
    assert [len(part) for part in merged] == [0, 0, 0]


def test_a_person_seen_twice_counts_once():
    positions = np.zeros((3, 33, 2))
    positions[1] += 2.0
    positions[2] += 50.0
    sides, presence = np.full(3, 100.0), np.array([0.8, 0.9, 0.7])
    assert distinct(positions, sides, presence, 0.5) == [1, 2]
    assert distinct(positions, sides, presence, 0.75) == [1]


# Regions and crops


@pytest.mark.parametrize(
    ("end", "angle"),
    [((100, 0), 0.0), ((200, 100), np.pi / 2), ((0, 100), -np.pi / 2), ((170.71, 29.29), np.pi / 4)],
)
def test_the_region_is_turned_so_that_the_body_stands_upright(end, angle):
    middle = np.array([[100.0, 100.0]])
    region = geometry.body_region(middle, np.array([end], float))
    np.testing.assert_allclose(region, [[100, 100, 250, angle]], atol=1e-2)
    np.testing.assert_allclose(geometry.to_crop(middle[:, None], region), [[[0.5, 0.5]]])
    above = geometry.to_crop(np.array([[end]], float), region)
    np.testing.assert_allclose(above, [[[0.5, 0.5 - 100 / 250]]], atol=1e-4)


def test_there_and_back_is_nothing():
    random = np.random.default_rng(0)
    points = random.uniform(-0.2, 1.2, (5, 33, 2))
    regions = np.column_stack([random.uniform(0, 1000, (5, 2)), random.uniform(10, 900, 5), random.uniform(-3, 3, 5)])
    np.testing.assert_allclose(geometry.to_crop(geometry.to_picture(points, regions), regions), points, atol=1e-9)


def test_a_crop_shows_what_the_geometry_says():
    rows, columns = np.mgrid[:300, :400]
    picture = np.stack([columns // 2, rows // 2, np.full_like(rows, 7)], axis=-1).astype(np.uint8)
    region = np.array([210.0, 140.0, 120.0, 0.6])
    crop = geometry.cut(picture, region, np.empty((3, 64, 64), np.float32))
    pixels = np.stack(np.meshgrid(np.arange(64), np.arange(64)), axis=-1).reshape(1, -1, 2) / 64
    places = geometry.to_picture(pixels, region[None])[0]
    np.testing.assert_allclose(crop[:2].reshape(2, -1).T, places // 1 / 2, atol=1.01)
    assert (crop[2] == 7).all()
    assert np.array_equal(crop, np.round(crop)), "whole numbers, as in a picture"


def test_a_crop_of_the_same_size_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    crop = geometry.cut(picture, geometry.whole_picture(40, 40), np.empty((3, 40, 40), np.float32))
    np.testing.assert_array_equal(crop.transpose(1, 2, 0), picture)


def test_crops_made_in_blocks_of_rows_fit_together(monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    region = np.array([60.0, 40.0, 150.0, -0.4])
    once = geometry.cut(picture, region, np.empty((3, 100, 100), np.float32))
    monkeypatch.setattr(geometry, "_BLOCK_ROWS", 7)
    np.testing.assert_array_equal(geometry.cut(picture, region, np.empty((3, 100, 100), np.float32)), once)


@pytest.mark.parametrize(("black_outside", "expected"), [(True, 0), (False, 200)])
def test_beyond_the_picture(black_outside, expected):
    picture = np.full((20, 40, 3), 200, np.uint8)
    whole = geometry.whole_picture(40, 20)
    crop = geometry.cut(picture, whole, np.empty((3, 40, 40), np.float32), black_outside)
    assert (crop[:, 12:28] == 200).all()
    assert (crop[:, :10] == expected).all()
    assert (crop[:, 31:] == expected).all()


def test_landmarks_move_to_where_their_heatmap_is_warm():
    heatmaps = np.full((3, 64, 64), -20.0)
    heatmaps[0, 32, 34] = 9.0
    heatmaps[1, 32, 34] = -1.0  # not sure enough
    heatmaps[2, 0, 0] = 9.0  # at the edge
    points = np.array([[0.5, 0.5], [0.5, 0.5], [0.02, 0.02]])
    np.testing.assert_allclose(geometry.refine(points, heatmaps), [[34 / 64, 32 / 64], [0.5, 0.5], [0, 0]], atol=1e-5)


def test_landmarks_outside_their_heatmap_stay():
    points = np.array([[-0.1, 0.5], [1.0, 0.5], [0.5, 1.3]])
    np.testing.assert_array_equal(geometry.refine(points, np.full((3, 64, 64), 9.0)), points)


# Networks


def test_sparse_weights_come_back_whole():
    dense = densify((2, 1, 1, 4), np.array([1, 2, 3]), np.array([0, 1, 3], np.uint8), np.array([2, 0, 3], np.uint8))
    assert dense.tolist() == [[[[0, 0, 1, 0]]], [[[2, 0, 0, 3]]]]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [(8, 3, 1, (1, 1)), (8, 5, 1, (2, 2)), (8, 3, 2, (0, 1)), (7, 3, 2, (1, 1)), (8, 2, 2, (0, 0)), (8, 1, 1, (0, 0))],
)
def test_an_odd_pixel_of_padding_goes_after(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize("content", [b"", b"noise", b"\x1c\0\0\0TFL4" + bytes(40), b"\xff\0\0\0TFL3" + bytes(40)])
def test_what_is_no_tflite_model_is_refused(content):
    pytest.importorskip("onnx")
    with pytest.raises(UnknownNetwork):
        to_onnx(content)


@pytest.fixture(scope="module")
def bundle():
    pytest.importorskip("onnx")
    try:
        return weights.find("mediapipe-pose-full") or weights.fetch("mediapipe-pose-full")
    except SetupError as error:
        pytest.skip(error.message)


@pytest.mark.parametrize("member", ["pose_detector.tflite", "pose_landmarks_detector.tflite"])
def test_the_onnx_networks_answer_as_the_tflite_ones(bundle, tmp_path, member):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    import onnxruntime

    with zipfile.ZipFile(bundle) as archive:
        model = archive.read(member)
    interpreter = litert.Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    picture = np.random.default_rng(0).random(source["shape"]).astype(np.float32)
    interpreter.set_tensor(source["index"], picture)
    interpreter.invoke()
    session = onnxruntime.InferenceSession(to_onnx(model), providers=["CPUExecutionProvider"])
    twice = np.repeat(picture.transpose(0, 3, 1, 2), 2, axis=0)
    answers = session.run(None, {"picture": twice})
    for answer, expected in zip(answers, interpreter.get_output_details(), strict=True):
        expected = interpreter.get_tensor(expected["index"])
        answer = answer.transpose(0, 2, 3, 1) if answer.ndim == 4 else answer
        for each in answer:
            np.testing.assert_allclose(each, expected[0], atol=5e-4 * max(np.abs(expected).max(), 1))


def test_outputs_that_nobody_wants_cost_nothing(bundle):
    with zipfile.ZipFile(bundle) as archive:
        model = archive.read("pose_landmarks_detector.tflite")
    import onnx

    whole, part = (onnx.load_from_string(to_onnx(model, outputs)) for outputs in (None, (0, 1, 3, 4)))
    assert [output.name for output in part.graph.output] == ["output_0", "output_1", "output_3", "output_4"]
    assert len(part.graph.node) < len(whole.graph.node)


# The detector


@pytest.fixture(scope="module")
def frames():
    if not CLIP.is_file():
        pytest.skip("the example is not here")
    return list(islice(video.read_frames(CLIP), 0, 150, 5))


def opened(**settings):
    return BlazePose(DetectSettings(detector="blazepose", **settings), threads=1)


def narrow(frame):
    """The middle half of the picture, in which the person stands."""
    width = frame.rgb.shape[1]
    return replace(frame, rgb=np.ascontiguousarray(frame.rgb[:, width // 4 : -(width // 4)]))


def beside(frame):
    """The middle of the picture and its mirror image: two people."""
    rgb = narrow(frame).rgb
    return replace(frame, rgb=np.concatenate([rgb, rgb[:, ::-1]], axis=1))


def test_still_pictures_give_mediapipes_keypoints(bundle, frames):
    mediapipe = pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=bundle.read_bytes()), running_mode=vision.RunningMode.IMAGE
    )
    apart, scores = [], []
    with vision.PoseLandmarker.create_from_options(options) as landmarker, opened(max_people=1) as detector:
        for frame in frames[::3]:
            height, width = frame.rgb.shape[:2]
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame.rgb)
            truth = landmarker.detect(image).pose_landmarks
            people = detector.still(frame.rgb)
            assert len(people) == len(truth) == 1
            expected = np.array([(mark.x * width, mark.y * height) for mark in truth[0]])
            apart.append(np.linalg.norm(people[0].positions - expected, axis=-1))
            sureness = [min(mark.visibility, mark.presence) for mark in truth[0]]
            scores.append(np.abs(people[0].scores - sureness))
    assert np.median(apart) < 0.02, "pixels"
    assert np.max(apart) < 1.0
    assert np.max(scores) < 0.01


def test_the_person_is_followed(bundle, frames):
    with opened() as detector:
        found = [detector(frame) for frame in frames[:6]]
    for people in found:
        assert len(people) == 1
        assert people[0].names == MEDIAPIPE_33
        assert people[0].positions.shape == (33, 2)
        assert people[0].world_landmarks.shape == (33, 3)
        assert people[0].scores.min() >= 0 and people[0].scores.max() <= 1
        assert people[0].scores.mean() > 0.5


def test_two_people_are_read_in_one_batch_as_each_alone(bundle, frames):
    with opened(max_people=2) as detector:
        alone = detector.still(narrow(frames[0]).rgb)
        together = detector.still(beside(frames[0]).rgb)
        followed = [detector(beside(frame)) for frame in frames[:4]]
    assert len(alone) == 1
    assert len(together) == 2
    width = narrow(frames[0]).rgb.shape[1]
    left, right = sorted(together, key=lambda person: person.positions[0, 0])
    assert left.positions[0, 0] < width < right.positions[0, 0]
    assert np.median(np.linalg.norm(left.positions - alone[0].positions, axis=-1)) < 10
    assert all(len(people) == 2 for people in followed)


def test_a_second_person_who_comes_in_is_found_within_five_frames(bundle, frames):
    rgb = narrow(frames[0]).rgb
    with opened(max_people=2) as detector:
        assert len(detector(replace(frames[0], rgb=np.concatenate([rgb, np.full_like(rgb, 128)], axis=1)))) == 1
        counts = [len(detector(beside(frames[0]))) for _ in range(5)]
    assert counts[-1] == 2


def test_no_more_people_than_wanted(bundle, frames):
    with opened(max_people=1) as detector:
        assert len(detector(beside(frames[0]))) == 1
        assert len(detector.still(beside(frames[0]).rgb)) == 1


def test_nobody_is_found_in_an_empty_picture_however_small(bundle):
    with opened() as detector:
        for shape in [(120, 160, 3), (1, 1, 3), (1, 50, 3)]:
            assert detector(video.Frame(0, 0.0, np.full(shape, 128, np.uint8))) == []


def test_somebody_who_left_is_no_longer_followed(bundle, frames):
    with opened() as detector:
        assert len(detector(frames[0])) == 1
        assert detector(replace(frames[1], rgb=np.full_like(frames[1].rgb, 128))) == []
        assert len(detector(frames[2])) == 1


def test_rows_with_padding_change_nothing(bundle, frames):
    height, width = frames[0].rgb.shape[:2]
    wider = np.zeros((height, width + 7, 3), np.uint8)
    wider[:, :width] = frames[0].rgb
    with opened() as detector:
        same = detector.still(wider[:, :width])
        np.testing.assert_array_equal(same[0].positions, detector.still(frames[0].rgb)[0].positions)


# Setting up


def test_the_catalogue_opens_it(bundle):
    assert detect.DETECTORS["blazepose"].keypoints == MEDIAPIPE_33
    with detect.load(DetectSettings(detector="blazepose")) as detector:
        assert isinstance(detector, BlazePose)


def test_what_is_missing_is_named_with_its_mend(bundle, tmp_path, monkeypatch):
    with pytest.raises(InputError) as caught:
        opened(model_path=tmp_path / "none.task")
    assert caught.value.code == "model-missing"
    with pytest.raises(InputError) as caught:
        opened(device="abacus")
    assert caught.value.code == "device-unknown"
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SetupError) as caught:
        opened()
    assert caught.value.code == "no-onnx"
    assert "video-to-pose[blazepose]" in caught.value.hint


def test_a_file_that_is_no_bundle_is_refused(tmp_path):
    pytest.importorskip("onnx")
    noise, empty, wrong = (tmp_path / name for name in ("noise.task", "empty.task", "wrong.task"))
    noise.write_bytes(b"noise")
    with zipfile.ZipFile(empty, "w"):
        pass
    with zipfile.ZipFile(wrong, "w") as archive:
        for name in ("pose_detector.tflite", "pose_landmarks_detector.tflite"):
            archive.writestr(name, b"noise")
    for path in (noise, empty, wrong):
        with pytest.raises(SetupError) as caught:
            opened(model_path=path)
        assert caught.value.code == "model-damaged"
