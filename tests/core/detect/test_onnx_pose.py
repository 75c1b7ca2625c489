# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors of model cards, proved with tiny networks that really find people painted into pictures."""

import shutil

import av
import numpy as np
import pytest

from tests import networks
from video_to_pose import cli, detect, weights
from video_to_pose.detect import card
from video_to_pose.detect.onnx_pose import OnnxPose, boxes_between
from video_to_pose.errors import InputError, SetupError
from video_to_pose.formats import keypoints as keypoint_files
from video_to_pose.lift.normalize import LIFTER_KEYPOINTS
from video_to_pose.onnx_session import Network
from video_to_pose.settings import DetectSettings
from video_to_pose.skeleton import KEYPOINT_LAYOUTS
from video_to_pose.video import Frame

WHOLE, PART = (320, 320), (96, 128)
SIZE = (640, 360)
RED, GREEN, BLUE = 0, 1, 2

PEOPLE_CARD = """
label = "Boxes"
licence = "CC0-1.0"
[file]
name = "people.onnx"
[input]
size = [320, 320]
channels = "rgb"
[output]
decoding = "boxes"
"""
SIMCC_CARD = """
label = "SimCC"
licence = "CC0-1.0"
keypoints = "{layout}"
people = "people.toml"
[file]
name = "pose.onnx"
[input]
size = [96, 128]
channels = "rgb"
mean = [123.675, 116.28, 103.53]
std = [58.395, 57.12, 57.375]
[output]
decoding = "simcc"
names = ["simcc_x", "simcc_y"]
"""
HEATMAP_CARD = SIMCC_CARD.split("[output]")[0] + '[output]\ndecoding = "heatmap"\nalign = "{align}"\n'
RTMO_CARD = """
label = "One stage"
licence = "CC0-1.0"
keypoints = "coco17"
[file]
name = "pose.onnx"
[input]
size = [320, 320]
channels = "rgb"
[output]
decoding = "people-keypoints"
names = ["dets", "keypoints"]
overlap = 0.65
"""


def moving(i):
    """Frame i: a red and a green person who walk by fractions of a pixel. Returns their lights' places."""
    x = 7.3 * i
    red = (RED, (60 + x, 60, 160 + x, 260), (112.4 + x, 151.7))
    green = (GREEN, (400 - x / 2, 110, 470 - x / 2, 250), (431.2 - x / 2, 171.1))
    return [red, green]


def frames(count, people=moving):
    return [Frame(i, i / 30, networks.picture(SIZE, people(i))) for i in range(count)]


def folder_with(folder, layout="coco17", batch="batch", **options):
    count = len(KEYPOINT_LAYOUTS[layout])
    networks.people(folder / "people.onnx", WHOLE, batch=batch)
    networks.simcc(folder / "pose.onnx", PART, count, batch=batch)
    (folder / "people.toml").write_text(PEOPLE_CARD)
    (folder / "pose.toml").write_text(SIMCC_CARD.format(layout=layout))
    return DetectSettings(card=folder / "pose.toml", device="cpu", **options)


@pytest.fixture
def simcc(tmp_path):
    return folder_with(tmp_path)


def expected(person, box_scale, count):
    """(K, 2) where keypoints of a person lie: networks move keypoint k by k steps of their own pixels."""
    _, _, light = person
    return np.array(light) + box_scale * networks.STEP * np.arange(count)[:, None]


def crop_scale(person, padding=1.25):
    _, (left, top, right, bottom), _ = person
    return max((right - left) / PART[0], (bottom - top) / PART[1]) * padding


def check(people, truth, count, within, scale=crop_scale, one_step=0.05):
    """The first keypoint is exact; how far the others are from it hangs on a box that is found to whole pixels."""
    assert len(people) == len(truth)
    for person in truth:
        found = min(people, key=lambda one: abs(one.positions[0, 0] - person[2][0])).positions
        wanted = expected(person, scale(person), count)
        inside = wanted[:, 0] < person[2][0] + 40  # farther ones leave the crop, and its rows of bins with it
        assert np.abs(found[0] - wanted[0]).max() < within
        assert np.abs(found - wanted)[inside].max() < within + one_step * count


@pytest.mark.parametrize("layout", ["coco17", "halpe26", "wholebody133"])
def test_keypoints_of_everybody_are_where_they_are_to_a_fraction_of_a_pixel(tmp_path, layout):
    count = len(KEYPOINT_LAYOUTS[layout])
    with detect.load(folder_with(tmp_path, layout)) as detector:
        for frame, truth in zip(frames(3), map(moving, range(3)), strict=True):
            people = detector(frame)
            check(people, truth, count, 0.15)
            assert all(len(one.names) == count for one in people)
            assert all(one.scores.max() <= 0.81 for one in people)


@pytest.mark.parametrize("align", ["udp", "stride"])
def test_heatmaps_do_as_well(tmp_path, align):
    settings = folder_with(tmp_path)
    networks.heatmap(tmp_path / "pose.onnx", PART, 17, (24, 32), align)
    (tmp_path / "pose.toml").write_text(HEATMAP_CARD.format(layout="coco17", align=align))
    with detect.load(settings) as detector:
        check(detector(frames(1)[0]), moving(0), 17, 0.2)


def test_one_stage_networks_too_and_nobody_twice(tmp_path):
    networks.rtmo(tmp_path / "pose.onnx", WHOLE, 17)
    (tmp_path / "pose.toml").write_text(RTMO_CARD)
    with detect.load(DetectSettings(card=tmp_path / "pose.toml", device="cpu")) as detector:
        check(detector(frames(1)[0]), moving(0), 17, 0.2, scale=lambda _: 2.0, one_step=0.01)


def test_a_yolox_without_its_last_step_finds_people(tmp_path):
    settings = folder_with(tmp_path)
    red, green = moving(0)
    boxes = [(*(np.array(person[1]) / 2), 0.9) for person in (red, green)]
    networks.yolox(tmp_path / "people.onnx", WHOLE, boxes)
    (tmp_path / "people.toml").write_text(PEOPLE_CARD.replace('"boxes"', '"yolox"'))
    with detect.load(settings) as detector:
        check(detector(frames(1)[0]), moving(0), 17, 0.1, one_step=0.01)


def test_frames_in_a_stream_give_what_single_frames_give_in_order(simcc):
    with detect.load(simcc) as detector:
        single = [detector(frame) for frame in frames(7)]
        streamed = list(detect.stream(detector, iter(frames(7))))
    assert [frame.index for frame, _ in streamed] == list(range(7))
    for alone, (_, people) in zip(single, streamed, strict=True):
        for one, other in zip(alone, people, strict=True):
            assert one.positions == pytest.approx(other.positions, abs=1e-3)
            assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_people_of_several_frames_are_read_at_once(simcc, monkeypatch):
    runs = []
    real = Network._run

    def watched(self, batch, outputs):
        runs.append((tuple(outputs), len(batch)))
        return real(self, batch, outputs)

    monkeypatch.setattr(Network, "_run", watched)
    with OnnxPose(card.read_card(simcc.card), simcc) as detector:
        detector._frames_at_once = 4
        assert len(list(detector.stream(frames(8)))) == 8
    assert runs.count((("dets", "labels"), 4)) == 2
    assert runs.count((("simcc_x", "simcc_y"), 8)) == 2


def test_on_a_device_all_steps_overlap_and_give_the_same(simcc):
    with OnnxPose(card.read_card(simcc.card), simcc) as detector:
        usual = [people for _, people in detector.stream(frames(5))]
        detector.device = "cuda"  # of the steps only: the networks stay where they are
        overlapped = [people for _, people in detector.stream(frames(5))]
    for one, other in zip(usual, overlapped, strict=True):
        assert np.stack([p.positions for p in one]) == pytest.approx(np.stack([p.positions for p in other]))


@pytest.mark.parametrize("every", [2, 3, 5, 50])
def test_looking_for_people_now_and_then_gives_them_in_every_frame(tmp_path, every, monkeypatch):
    looks = []
    real = Network._run

    def watched(self, batch, outputs):
        looks.append(len(batch) if "dets" in outputs else 0)
        return real(self, batch, outputs)

    monkeypatch.setattr(Network, "_run", watched)
    with detect.load(folder_with(tmp_path, look_every=every)) as detector:
        found = [people for _, people in detect.stream(detector, iter(frames(12)))]
    assert len(found) == 12
    for people, truth in zip(found, map(moving, range(12)), strict=True):
        check(people, truth, 17, 0.2, one_step=0.1)
    assert sum(looks) == {2: 7, 3: 5, 5: 4, 50: 2}[every], "the first frame, every so many, and the last"


def test_people_between_two_looks():
    old = np.array([[0, 0, 10, 20], [100, 0, 110, 20]], float)
    new = np.array([[300, 0, 310, 20], [4, 2, 14, 22]], float)
    early, late = boxes_between((1.0, old), (2.0, new), [1.25, 1.75])
    assert early.tolist() == [[1, 0.5, 11, 20.5], [100, 0, 110, 20]], "moved evenly; who goes is there at first"
    assert late.tolist() == [[3, 1.5, 13, 21.5], [300, 0, 310, 20]], "who comes is there later"
    nobody = np.zeros((0, 4))
    assert [len(boxes) for boxes in boxes_between((1.0, nobody), (2.0, old), [1.25, 1.75])] == [0, 2]
    assert boxes_between((1.0, nobody), (2.0, nobody), [1.5])[0].shape == (0, 4)


def test_networks_of_one_picture_a_run_work_too(tmp_path):
    with detect.load(folder_with(tmp_path, batch=1)) as detector:
        for (_, people), truth in zip(detect.stream(detector, iter(frames(3))), map(moving, range(3)), strict=True):
            check(people, truth, 17, 0.15)


def test_frames_without_anybody_and_frames_that_change_size(simcc):
    empty = Frame(0, 0.0, np.zeros((360, 640, 3), np.uint8))
    tall = Frame(1, 0.1, networks.picture((300, 500), [(RED, (80, 100, 180, 300), (130.25, 190.5))]))
    with detect.load(simcc) as detector:
        found = [people for _, people in detect.stream(detector, iter([empty, tall, *frames(1)]))]
    assert [len(people) for people in found] == [0, 1, 2]
    assert found[1][0].positions[0] == pytest.approx([130.25, 190.5], abs=0.15)


def test_a_person_half_out_of_the_picture_is_found_with_what_is_seen(simcc):
    frame = Frame(0, 0.0, networks.picture(SIZE, [(RED, (-60, 80, 70, 300), (40.3, 180.6))]))
    with detect.load(simcc) as detector:
        (person,) = detector(frame)
    assert person.positions[0] == pytest.approx([40.3, 180.6], abs=0.2)


def test_only_as_many_people_as_wanted_the_large_ones_first(tmp_path):
    with detect.load(folder_with(tmp_path, max_people=1)) as detector:
        (person,) = detector(frames(1)[0])
    assert person.positions[0] == pytest.approx(moving(0)[0][2], abs=0.15)


def test_the_order_of_colours_is_the_cards(tmp_path):
    """The people network takes its third channel for something else than people."""
    settings = folder_with(tmp_path)
    blue = [Frame(0, 0.0, networks.picture(SIZE, [(BLUE, (60, 60, 160, 260), (112, 150))]))]
    with detect.load(settings) as detector:
        assert detector(blue[0]) == []
    (tmp_path / "people.toml").write_text(PEOPLE_CARD.replace('"rgb"', '"bgr"'))
    with detect.load(settings) as detector:
        assert len(detector(blue[0])) == 1
        assert detector(frames(1, lambda _: moving(0)[:1])[0]) == []


@pytest.mark.parametrize(
    ("layout", "lacking"),
    [
        ("coco17", {"heel", "foot_index", "index", "pinky", "thumb"}),
        ("halpe26", {"index", "pinky", "thumb"}),
        ("wholebody133", set()),
    ],
)
def test_layouts_give_lifters_what_they_have_and_nothing_else(tmp_path, layout, lacking):
    with detect.load(folder_with(tmp_path, layout)) as detector:
        names = detector.names
    have = {name for name in LIFTER_KEYPOINTS if name in names}
    assert {name.split("_", 1)[1] for name in set(LIFTER_KEYPOINTS) - have} == lacking
    assert len(set(names)) == len(names)


def test_scores_are_a_share_of_the_cards_certainty(tmp_path):
    settings = folder_with(tmp_path)
    text = SIMCC_CARD.format(layout="coco17") + "score_scale = 1.6\n"
    (tmp_path / "pose.toml").write_text(text)
    with detect.load(settings) as detector:
        assert detector(frames(1)[0])[0].scores == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("coco17", "halpe26"), "26 keypoints"),
        (("[96, 128]", "[128, 96]"), "128 × 96"),
        (('"simcc_x"', '"x"'), "its card reads x"),
        (('"simcc"\nnames = ["simcc_x", "simcc_y"]', '"heatmap"'), "no heatmap"),
        (('people = "people.toml"', 'people = "pose.toml"'), "does not find people"),
    ],
)
def test_a_card_that_does_not_fit_its_network_is_told(tmp_path, change, said):
    settings = folder_with(tmp_path)
    (tmp_path / "pose.toml").write_text(SIMCC_CARD.format(layout="coco17").replace(*change))
    with pytest.raises(InputError) as caught, detect.load(settings) as detector:
        detector(frames(1)[0])
    assert caught.value.code in ("card-mismatch", "card-broken")
    assert said in caught.value.message


def test_a_card_of_people_alone_is_no_detector(simcc):
    with pytest.raises(InputError, match="no keypoints"):
        detect.load(DetectSettings(card=simcc.card.with_name("people.toml")))


def test_ones_own_file_takes_the_place_of_the_cards(simcc, tmp_path):
    (tmp_path / "pose.onnx").rename(tmp_path / "mine.onnx")
    with pytest.raises(InputError, match="pose.onnx") as caught:
        detect.load(simcc)
    assert caught.value.code == "model-missing"
    own = DetectSettings(card=simcc.card, model_path=tmp_path / "mine.onnx", device="cpu")
    with detect.load(own) as detector:
        check(detector(frames(1)[0]), moving(0), 17, 0.15)
    assert [path.name for path in detect.model_files(own)] == ["people.onnx", "mine.onnx"]


def test_a_detector_of_the_catalogue_finds_its_files_among_the_weights(tmp_path, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv(weights.OFFLINE_VARIABLE, "1")
    settings = DetectSettings(detector="rtmpose", device="cpu")
    with pytest.raises(SetupError, match="YOLOX-m"):
        detect.load(settings)
    both = card.read_card("rtmpose-m-halpe26").networks()
    networks.people(both[0].file, both[0].size)
    networks.simcc(both[1].file, both[1].size, 26)
    with detect.load(settings) as detector:
        (person,) = detector(Frame(0, 0.0, networks.picture(SIZE, [(BLUE, (60, 60, 160, 260), (112.4, 150.2))])))
    assert person.positions[0] == pytest.approx([112.4, 150.2], abs=0.15)
    assert "left_foot_index" in person.names


def test_what_is_the_users_to_give_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match="RTMO-m") as caught:
        detect.fetch_models(DetectSettings(detector="rtmo"))
    assert "--model" in caught.value.hint
    networks.rtmo(tmp_path / "mine.onnx", (640, 640), 17)
    own = DetectSettings(detector="rtmo", model_path=tmp_path / "mine.onnx", device="cpu")
    detect.fetch_models(own)
    with detect.load(own) as detector:
        people = [(BLUE, (60, 60, 160, 260), (112.4, 150.2))]
        (person,) = detector(Frame(0, 0.0, networks.picture(SIZE, people)))
    assert person.positions[0] == pytest.approx([112.4, 150.2], abs=0.2)


def test_the_command_line_takes_a_card(simcc, tmp_path, capsys):
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv444p"
        for frame in frames(9, lambda i: moving(i)[:1]):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.rgb, "rgb24")))
        container.mux(stream.encode())
    out = tmp_path / "keypoints.npz"
    arguments = ["detect", str(clip), "-o", str(out), "--detector-card", str(simcc.card), "--device", "cpu", "-q"]
    assert cli.main(arguments) == 0
    track = keypoint_files.load(out)
    assert track.frame_count == 9
    truth = np.array([moving(i)[0][2] for i in range(9)])
    assert np.abs(track.positions[:, 0] - truth).max() < 0.6
    shutil.rmtree(tmp_path, ignore_errors=True)
    assert cli.main(arguments) == 2
    assert "hint:" in capsys.readouterr().err
