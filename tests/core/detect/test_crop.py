# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from PIL import Image

from video_to_pose.detect import crop

RANDOM = np.random.default_rng(3)


STEEP = 4  # brightness a pixel


def seen_places(cut):
    """Where each pixel of the cut was sampled, read off a picture whose red tells x and whose green tells y."""
    columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    ramps = STEEP * np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    return crop.cut_out(Image.fromarray(ramps), cut)[..., :2] / STEEP + 0.5


SIZE = (63, 48)
CUTS = {
    "as it is": crop.region((30, 25), (40, 30), (40, 30)),
    "enlarged": crop.region((30.3, 25.7), (20, 15), (80, 60)),
    "shrunk": crop.region((32.25, 24.5), (41, 37), (15, 20)),
    "turned": crop.region((30.1, 25.9), (30, 30), (64, 64), angle=0.7),
    "letterbox": crop.letterbox(SIZE, (96, 96)),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_pixel_of_the_cut_shows_the_place_it_is_mapped_to(cut):
    width, height = cut.size
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = cut.to_picture(np.stack([columns, rows], axis=-1))
    inner = ((places > 1) & (places < np.array(SIZE) - 1)).all(axis=-1)
    assert inner.mean() > 0.4
    away = (seen_places(cut) - places)[inner]
    assert away.max() < 1e-3
    assert away.min() > -1 / STEEP, "brightness is cut off to whole numbers, nothing else"


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_there_and_back_is_the_same_place(cut):
    points = RANDOM.uniform(-50, 250, (7, 5, 2))
    assert cut.from_picture(cut.to_picture(points)) == pytest.approx(points, abs=1e-9)


def test_a_letterbox_keeps_proportions_and_fills_the_rest():
    cut = crop.letterbox((200, 100), (64, 64))
    assert cut.to_picture([64, 32]) == pytest.approx([200, 100])
    seen = crop.cut_out(Image.fromarray(np.full((100, 200, 3), 9, np.uint8)), cut, fill=114)
    assert (seen[:32] == 9).all()
    assert (seen[33:] == 114).all()


def test_a_centred_letterbox_has_bars_on_both_sides():
    cut = crop.letterbox((200, 100), (64, 64), centred=True)
    assert cut.to_picture([32, 32]) == pytest.approx([100, 50])
    assert cut.from_picture([0, 0]) == pytest.approx([0, 16])


def test_a_box_lies_in_the_middle_with_room_about_it():
    cut = crop.box_region([10, 20, 50, 120], (192, 256), padding=1.25)
    low, high = cut.from_picture([[10, 20], [50, 120]])
    assert (low + high) / 2 == pytest.approx([96, 128])
    assert (high - low)[1] == pytest.approx(256 / 1.25), "the longer side decides"
    scales = np.linalg.norm(cut.matrix[:, :2], axis=0)
    assert scales[0] == pytest.approx(scales[1]), "nobody is stretched"


def test_a_turned_region_turns_clockwise_as_seen():
    cut = crop.region((100, 75), (50, 50), (50, 50), angle=np.pi / 2)
    assert cut.to_picture([50, 25]) == pytest.approx([100, 100]), "the right side of the cut is below in the picture"


def test_a_box_of_no_size_is_still_a_cut():
    cut = crop.box_region([10, 20, 10, 20], (192, 256))
    assert np.isfinite(cut.from_picture([0.0, 0.0])).all()


def test_numbers_are_normalised_in_the_networks_order_of_colours():
    one = RANDOM.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    two = RANDOM.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    mean, std = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)
    batch = crop.tensor([one, two], crop.Normalisation(mean, std, "bgr"))
    assert batch.shape == (2, 3, 4, 6)
    assert batch[1, 0] == pytest.approx((two[..., 2] - 10.0) / 2, abs=1e-4)
    assert batch[1, 2] == pytest.approx((two[..., 0] - 30.0) / 8, abs=1e-4)
    assert (crop.tensor([one], crop.Normalisation())[0] == one.transpose(2, 0, 1)).all()
