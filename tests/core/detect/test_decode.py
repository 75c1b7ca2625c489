# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from video_to_pose.detect import decode

RANDOM = np.random.default_rng(5)
SIZE = (192, 256)


def bells(places, length, sigma):
    """(…, length) a bell about each place, counted from the middle of the first bin."""
    return np.exp(-((np.arange(length) - np.asarray(places)[..., None]) ** 2) / (2 * sigma**2)).astype(np.float32)


def test_a_simcc_peak_between_bins_is_found():
    places = RANDOM.uniform(8, 180, (3, 17, 2))
    x, y = bells(places[..., 0] * 2, 384, 4.9), 0.6 * bells(places[..., 1] * 2, 512, 5.66)
    found, scores = decode.simcc(x, y, 2.0)
    assert found == pytest.approx(places + 0.5, abs=0.01)
    assert scores == pytest.approx(0.6, abs=0.01), "the lower peak of the two"


def test_refining_simcc_stays_within_half_a_bin_of_the_highest():
    bins = RANDOM.uniform(0, 1, (5, 9, 100)).astype(np.float32)
    found, _ = decode.simcc(bins, bins, 2.0)
    away = (found[..., 0] - 0.5) * 2 - bins.argmax(axis=-1)
    assert np.abs(away).max() <= 0.5


def test_at_its_ends_simcc_takes_the_bin_itself():
    x = np.zeros((1, 2, 100), np.float32)
    x[0, 0, 0], x[0, 1, 99] = 1, 1
    found, _ = decode.simcc(x, x, 2.0)
    assert found[0, :, 0].tolist() == [0.5, 50.0]


def test_simcc_without_a_peak_has_no_score():
    x = np.full((1, 1, 50), -1.0, np.float32)
    assert decode.simcc(x, x)[1].tolist() == [[0.0]]


def heatmaps(places, grid, sigma=2.0):
    x, y = bells(places[..., 0], grid[0], sigma), bells(places[..., 1], grid[1], sigma)
    return y[..., :, None] * x[..., None, :]


@pytest.mark.parametrize("align", ["udp", "stride"])
def test_a_heatmap_peak_between_pixels_is_found(align):
    grid = (48, 64)
    places = RANDOM.uniform(8, 39, (2, 17, 2))
    scale = np.array([191 / 47, 255 / 63]) if align == "udp" else np.array([4.0, 4.0])
    found, scores = decode.heatmaps(0.9 * heatmaps(places, grid), SIZE, "dark", align)
    assert found == pytest.approx(places * scale + 0.5, abs=0.02)
    assert scores.min() > 0.8
    assert scores.max() <= 0.9


def test_each_refinement_is_nearer_than_the_one_before():
    grid = (48, 64)
    places = RANDOM.uniform(8, 39, (4, 17, 2))
    errors = [
        np.linalg.norm(decode.heatmaps(heatmaps(places, grid), SIZE, refine, "stride")[0] - 0.5 - places * 4, axis=-1)
        for refine in ("none", "quarter", "dark")
    ]
    assert errors[0].mean() > 1.3 * errors[1].mean() > 1.3 * errors[2].mean()
    assert errors[2].max() < 0.1


def test_noise_does_not_throw_a_heatmaps_peak_away():
    grid = (48, 64)
    places = RANDOM.uniform(8, 39, (2, 17, 2))
    noisy = heatmaps(places, grid) + RANDOM.normal(0, 0.02, (2, 17, 64, 48))
    found, _ = decode.heatmaps(noisy, SIZE, "dark", "stride")
    assert np.linalg.norm(found - 0.5 - places * 4, axis=-1).max() < 1.5


def test_a_peak_on_the_border_or_an_empty_map_stays_where_it_is():
    maps = np.zeros((1, 3, 64, 48), np.float32)
    maps[0, 0, 0, 0] = maps[0, 1, 63, 47] = 1
    for refine in decode.REFINEMENTS:
        found, scores = decode.heatmaps(maps, SIZE, refine, "stride")
        assert found[0].tolist() == [[0.5, 0.5], [188.5, 252.5], [0.5, 0.5]]
        assert scores.tolist() == [[1, 1, 0]]


def test_boxes_of_cells():
    output = np.zeros((1, 8 * 8 + 4 * 4 + 2 * 2, 6), np.float32)
    output[0, 64 + 4 + 2] = [0.5, 0.25, np.log(2.0), np.log(1.5), 0.9, 0.8]  # level of stride 16: row 1, column 2
    boxes, scores = decode.yolox_boxes(output, (64, 64))
    assert boxes[0, 70] == pytest.approx([40 - 16, 20 - 12, 40 + 16, 20 + 12])
    assert scores[0, 70] == pytest.approx(0.72)
    assert (np.delete(scores[0], 70) == 0).all()


def test_only_people_count():
    listed = np.array([[[0, 0, 9, 9, 0.9], [5, 5, 9, 9, 0.8]]])
    assert decode.listed_boxes(listed, np.array([[2, 0]]))[1].tolist() == [[0, pytest.approx(0.8)]]
    assert decode.listed_boxes(listed)[1].tolist() == [[pytest.approx(0.9), pytest.approx(0.8)]]


def test_of_boxes_that_share_much_the_surest_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 4], [30, 30, 40, 40], [5, 5, 5, 9]], np.float32)
    scores = np.array([0.8, 0.9, 0.7, 0.3, 0.9], np.float32)
    assert decode.keep_boxes(boxes, scores, 0.5, 0.45).tolist() == [1, 2]
    assert decode.keep_boxes(boxes, scores, 0.2, 0.45).tolist() == [1, 2, 3]
    assert decode.keep_boxes(boxes, scores, 0.2, 0.45, most=1).tolist() == [1]
    assert decode.keep_boxes(boxes, scores, 0.2, 0.3).tolist() == [1, 3]
    assert not len(decode.keep_boxes(boxes[:0], scores[:0], 0.5, 0.5))


def test_the_share_of_a_union():
    assert decode.shared([0, 0, 4, 4], [[2, 0, 6, 4], [0, 0, 4, 4], [9, 9, 10, 10]]).tolist() == [
        pytest.approx(1 / 3),
        pytest.approx(1.0),
        0.0,
    ]
