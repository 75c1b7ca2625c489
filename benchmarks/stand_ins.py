# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks with the signatures and input sizes of RTMPose, RTMO and ViTPose, and no weights: for benchmarks.

They answer the same people in every picture, in no time. What is measured with them is all that surrounds such
networks: decoding, letterboxing, crops, batches, reading the answers. Real networks' own time comes on top of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STAND_INS = ("rtmpose", "rtmo", "vitpose")
_PART = (192, 256)
_GRID = (48, 64)
_WHOLE = (640, 640)

_PEOPLE_CARD = """
label = "People (a stand-in without weights)"
licence = "CC0-1.0"
[file]
name = "people.onnx"
[input]
size = [640, 640]
channels = "bgr"
fill = 114
[output]
decoding = "boxes"
"""
_CARDS = {
    "rtmpose": ("halpe26", _PART, 'decoding = "simcc"\nsplit = 2.0'),
    "vitpose": ("coco17", _PART, 'decoding = "heatmap"\nrefine = "dark"\nalign = "udp"'),
    "rtmo": ("coco17", _WHOLE, 'decoding = "people-keypoints"'),
}


def write(folder: Path, name: str, people: int, picture: tuple[int, int]) -> Path:
    """The card of a stand-in, written with its networks into a folder.

    Args:
        folder: is made.
        name: one of `STAND_INS`.
        people: side by side in the picture, as `films.make_loop` puts them.
        picture: width and height of the video in pixels.
    """
    from video_to_pose.skeleton import KEYPOINT_LAYOUTS

    folder.mkdir(parents=True, exist_ok=True)
    layout, size, output = _CARDS[name]
    top_down = name != "rtmo"
    boxes = _boxes(people, picture)
    body = _body(KEYPOINT_LAYOUTS[layout])
    if top_down:
        _save(folder / "people.onnx", _WHOLE, {"dets": boxes})
        (folder / "people.toml").write_text(_PEOPLE_CARD)
    if name == "rtmpose":
        _save(folder / "pose.onnx", size, {axis: _bells(body[:, k] * size[k] * 2, size[k] * 2, 5.0)
                                           for k, axis in enumerate(("simcc_x", "simcc_y"))})  # fmt: skip
    elif name == "vitpose":
        x, y = (_bells(body[:, k] * _GRID[k], _GRID[k], 2.0) for k in (0, 1))
        _save(folder / "pose.onnx", size, {"heatmaps": y[..., :, None] * x[..., None, :]})
    else:
        low, high = boxes[0, :, None, :2], boxes[0, :, None, 2:4]
        points = np.concatenate([low + body * (high - low), np.full((people, len(body), 1), 0.9)], axis=-1)
        _save(folder / "pose.onnx", size, {"dets": boxes, "keypoints": points[None]})
    (folder / "pose.toml").write_text(
        f'label = "{name} (a stand-in without weights)"\nlicence = "CC0-1.0"\nkeypoints = "{layout}"\n'
        + ('people = "people.toml"\n' if top_down else "")
        + f'[file]\nname = "pose.onnx"\n[input]\nsize = [{size[0]}, {size[1]}]\nchannels = "rgb"\n[output]\n{output}\n'
    )
    return folder / "pose.toml"


def _boxes(people: int, picture: tuple[int, int]) -> np.ndarray:
    """(1, P, 5) left, top, right, bottom and score in the pixels of the letterboxed picture."""
    scale = min(_WHOLE[0] / picture[0], _WHOLE[1] / picture[1])
    each = picture[0] / people
    height = 0.85 * picture[1]
    width = min(0.8 * each, 0.5 * height)
    lefts = [(who + 0.5) * each - width / 2 for who in range(people)]
    boxes = [(left, 0.1 * picture[1], left + width, 0.1 * picture[1] + height) for left in lefts]
    return np.concatenate([scale * np.array(boxes), np.full((people, 1), 0.9)], axis=1)[None]


def _body(names: tuple[str, ...]) -> np.ndarray:
    """(K, 2) somebody standing, as shares of the box; what has no place of its own is at the nose."""
    from tests import walkers

    standing = dict(zip(walkers.NAMES, walkers.standing(), strict=True))
    places = np.array([standing.get(name, standing["nose"]) for name in names])
    return 0.5 + 0.85 * places


def _bells(middles: np.ndarray, length: int, width: float) -> np.ndarray:
    """(1, K, length) a peak at each middle."""
    away = np.arange(length) - middles[:, None]
    return 0.9 * np.exp(-(away**2) / (2 * width**2))[None]


def _save(path: Path, size: tuple[int, int], answers: dict[str, np.ndarray]) -> None:
    """A network that gives each picture of a batch the same answers."""
    nodes: list[Any] = [
        helper.make_node("ReduceMax", ["input"], ["brightest"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["brightest", "zero"], ["nothing"]),
    ]
    constants = [numpy_helper.from_array(np.zeros(1, np.float32), "zero")]
    outputs = []
    for name, answer in answers.items():
        shape = np.array([-1] + [1] * (answer.ndim - 1), np.int64)
        constants += [
            numpy_helper.from_array(answer.astype(np.float32), f"{name}_answer"),
            numpy_helper.from_array(shape, f"{name}_shape"),
        ]
        nodes += [
            helper.make_node("Reshape", ["nothing", f"{name}_shape"], [f"{name}_nothing"]),
            helper.make_node("Add", [f"{name}_answer", f"{name}_nothing"], [name]),
        ]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *answer.shape[1:]]))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, size[1], size[0]])
    graph = helper.make_graph(nodes, "stand-in", [given], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
