# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from video_to_pose import detect, weights
from video_to_pose.detect import card
from video_to_pose.errors import InputError
from video_to_pose.skeleton import COCO_17, COMMON_NAMES, KEYPOINT_LAYOUTS, MEDIAPIPE_33, common_names

GOOD = """
label = "Mine"
licence = "MIT"
keypoints = "coco17"
people = "yolox-m-humanart"

[file]
name = "mine.onnx"

[input]
size = [192, 256]
channels = "rgb"

[output]
decoding = "simcc"
"""


def read(folder, text):
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return card.read_card(folder / "mine.toml")


@pytest.mark.parametrize("name", card.shipped())
def test_every_card_that_ships_is_whole(name):
    one = card.read_card(name)
    assert one.licence
    assert one.label
    assert one.id == name
    assert (one.people is not None) == (one.finds == "keypoints")
    assert one.file == weights.folder() / one.source.file_name
    if one.source.url:
        assert weights.catalogue()[name] == one.source
        assert one.source.url.startswith("https://")
        assert len(one.source.sha256[0]) == 64
        assert one.source.url.endswith(".zip") == (one.source.member == ".onnx")
    else:
        assert "download" in one.notice, "it says where the user finds the file"


def test_every_detector_of_the_catalogue_has_cards_with_its_keypoints():
    entries = [entry for entry in detect.DETECTORS.values() if entry.cards]
    assert {"rtmpose", "rtmpose-coco", "rtmw", "rtmo", "vitpose"} <= {entry.id for entry in entries}
    for entry in entries:
        assert "full" in entry.variants, "the default"
        for name in entry.cards.values():
            one = card.read_card(name)
            assert common_names(one.keypoints) == entry.keypoints
            assert entry.licence == one.licence


@pytest.mark.parametrize(("name", "count"), [("coco17", 17), ("halpe26", 26), ("wholebody133", 133)])
def test_layouts_have_as_many_names_as_they_say(name, count):
    names = KEYPOINT_LAYOUTS[name]
    assert len(names) == len(set(names)) == count
    assert names[:17] == COCO_17
    for side, other in (("left", "right"), ("right", "left")):
        assert {n.replace(side, other, 1) for n in names if n.startswith(side)} <= set(names)


def test_places_of_whole_body_networks():
    names = KEYPOINT_LAYOUTS["wholebody133"]
    assert names[17:23] == (
        *("left_big_toe", "left_small_toe", "left_heel"),
        *("right_big_toe", "right_small_toe", "right_heel"),
    )
    assert (names[23], names[90], names[91], names[112]) == ("face_0", "face_67", "left_hand_root", "right_hand_root")
    assert (names[92], names[96], names[108], names[132]) == (
        *("left_thumb1", "left_forefinger1", "left_pinky_finger1", "right_pinky_finger4"),
    )
    assert KEYPOINT_LAYOUTS["halpe26"][17:22] == ("head", "neck", "hip", "left_big_toe", "right_big_toe")


def test_common_names_are_names_that_lifters_know():
    assert set(COMMON_NAMES.values()) <= set(MEDIAPIPE_33)
    assert common_names(("left_big_toe", "neck")) == ("left_foot_index", "neck")


def test_a_card_lies_beside_its_file_and_may_name_a_people_card_that_ships(tmp_path):
    one = read(tmp_path, GOOD)
    assert one.file == tmp_path / "mine.onnx"
    assert [network.id for network in one.networks()] == ["yolox-m-humanart", "mine"]
    assert one.output.split == 2.0
    assert one.padding == 1.25


def test_ones_own_names_are_taken(tmp_path):
    assert read(tmp_path, GOOD.replace('"coco17"', '["nose", "tail"]')).keypoints == ("nose", "tail")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('label = "Mine"', ""), "label is missing"),
        (('licence = "MIT"', ""), "licence is missing"),
        (('"simcc"', '"simcb"'), "output.decoding is 'simcb'"),
        (("size = [192, 256]", "size = [192]"), "input.size"),
        (("size = [192, 256]", "size = [192.5, 256]"), "input.size"),
        (('channels = "rgb"', 'channels = "grb"'), "input.channels"),
        (('channels = "rgb"', 'channels = "rgb"\nstd = [1, 0, 1]'), "input.std"),
        (('channels = "rgb"', 'channels = "rgb"\nmeans = [1, 1, 1]'), "input.means"),
        (('"coco17"', '"coco19"'), "coco19"),
        (('"coco17"', '["nose", "nose"]'), "each only once"),
        (('name = "mine.onnx"', 'name = "mine.onnx"\nurl = "https://example.org/a"'), "no checksum"),
        (('name = "mine.onnx"', 'name = "mine.onnx"\nsha256 = "abc"'), "64"),
        (("yolox-m-humanart", "rtmo-m-coco"), "does not find people"),
        (('decoding = "simcc"', 'decoding = "simcc"\nsplit = 0'), "output.split"),
        (('decoding = "simcc"', 'decoding = "simcc"\nnames = ["one"]'), "2 names"),
        (('people = "yolox-m-humanart"', ""), "people is missing"),
    ],
)
def test_a_wrong_card_is_told_where_it_is_wrong(tmp_path, change, said):
    assert change[0] in GOOD
    with pytest.raises(InputError) as caught:
        read(tmp_path, GOOD.replace(*change))
    assert said in caught.value.message
    assert caught.value.code in ("card-broken", "card-missing")


@pytest.mark.parametrize("text", ["label = ", "\x00"])
def test_a_file_that_is_no_toml_is_told(tmp_path, text):
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, text)


def test_a_card_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="no model card"):
        card.read_card(tmp_path / "none.toml")
    with pytest.raises(InputError) as caught:
        card.read_card("rtmpose-xxl")
    assert "rtmpose-m-halpe26" in caught.value.hint
