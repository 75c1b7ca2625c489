# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of people whose keypoints are known, and tiny networks with real signatures that find them.

A person is a rectangle in one colour channel with a round light on it; keypoint k is the light's middle, moved by
k · `STEP` pixels of the network's picture to the right and down. Networks undo the normalisation themselves, so a
wrong one is found out.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RECTANGLE, LIGHT, DARK = 90.0, 250.0, 100.0
STEP = 0.75
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def picture(size, people, sigma=9.0):
    """(h, w, 3) uint8 with people: (channel, (left, top, right, bottom), (x, y) of the light)."""
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    seen = np.zeros((size[1], size[0], 3))
    for channel, (left, top, right, bottom), (x, y) in people:
        inside = (columns > left) & (columns < right) & (rows > top) & (rows < bottom)
        light = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
        seen[..., channel] += np.where(inside, RECTANGLE, 0) + (LIGHT - RECTANGLE) * light
    return np.rint(np.clip(seen, 0, 255)).astype(np.uint8)


class _Graph:
    def __init__(self):
        self.nodes, self.constants, self.count = [], [], 0

    def __call__(self, operator, *inputs, **attributes):
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        self.count += 1
        name = f"t{self.count}"
        self.nodes.append(helper.make_node(operator, names, [name], **attributes))
        return name

    def constant(self, value):
        self.count += 1
        value = np.asarray(value)
        value = value.astype(np.float32) if value.dtype.kind == "f" else value.astype(np.int64)
        self.constants.append(numpy_helper.from_array(value, f"c{self.count}"))
        return f"c{self.count}"

    def save(self, path, size, outputs, batch="batch"):
        """Outputs: public name -> (inner name, rank)."""
        kinds = {"labels": TensorProto.INT64}
        for name, (inner, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [inner], [name]))
        free = [f"d{i}" for i in range(4)]
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, size[1], size[0]])],
            [
                helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), [batch, *free[: rank - 1]])
                for name, (_, rank) in outputs.items()
            ],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def _boxes(graph, image):
    """(N, 3, 5): the rectangle of each channel; its score is how bright it is, 0 where none is. Grey is nobody."""
    image = graph("Sub", image, graph("ReduceMin", image, axes=[1], keepdims=1))
    sides = []
    for axis in (2, 3):  # over rows: left and right; over columns: top and bottom
        line = graph("ReduceMax", image, axes=[axis], keepdims=0)  # (N, 3, w)
        there = graph("Cast", graph("Greater", line, np.float32(60)), to=TensorProto.FLOAT)
        first = graph("Cast", graph("ArgMax", there, axis=2, keepdims=1), to=TensorProto.FLOAT)
        last = graph("ArgMax", there, axis=2, keepdims=1, select_last_index=1)
        sides += [(first, graph("Add", graph("Cast", last, to=TensorProto.FLOAT), np.float32(1)))]
    brightest = graph("ReduceMax", image, axes=[2, 3], keepdims=0)
    score = graph("Unsqueeze", graph("Div", brightest, np.float32(LIGHT)), np.array([2]))
    (left, right), (top, bottom) = sides
    return graph("Concat", left, top, right, bottom, score, axis=2)


def _middles(graph, image, size, keep_channels):
    """(N, 1, 1) or (N, 3, 1) x and y of the lights, counted from the middle of the first pixel."""
    light = graph("Relu", graph("Sub", image, np.float32(DARK + 20)))
    if not keep_channels:
        light = graph("ReduceSum", light, np.array([1]), keepdims=1)
    total = graph("Add", graph("ReduceSum", light, np.array([2, 3]), keepdims=0), np.float32(1e-9))
    middles = []
    for axis, length in ((3, size[0]), (2, size[1])):
        line = graph("ReduceSum", light, np.array([5 - axis]), keepdims=0)  # (N, C, w)
        moment = graph("ReduceSum", graph("Mul", line, np.arange(length, dtype=np.float32)), np.array([2]), keepdims=0)
        middles.append(graph("Unsqueeze", graph("Div", moment, total), np.array([2])))
    return middles


def _denormalised(graph):
    return graph(
        "Add",
        graph("Mul", "input", np.array(STD, np.float32).reshape(1, 3, 1, 1)),
        np.array(MEAN, np.float32).reshape(1, 3, 1, 1),
    )


def people(path, size, batch="batch", labels=True, copies=True):
    """A detector that lists boxes: dets (N, 6, 5), labels (N, 6). Every box comes twice, the second a bit aside."""
    graph = _Graph()
    boxes = _boxes(graph, graph("Identity", "input"))
    if copies:
        aside = graph("Mul", boxes, np.array([1, 1, 1, 1, 0.9], np.float32))
        boxes = graph("Concat", boxes, graph("Add", aside, np.array([2, 1, 2, 1, 0], np.float32)), axis=1)
    outputs = {"dets": (boxes, 3)}
    if labels:  # the third channel is no person
        kinds = graph("Mul", graph("ReduceSum", boxes, np.array([2]), keepdims=0), np.float32(0))
        kinds = graph("Add", kinds, np.array([0, 0, 1] * (2 if copies else 1), np.float32))
        outputs["labels"] = (graph("Cast", kinds, to=TensorProto.INT64), 2)
    return graph.save(path, size, outputs, batch)


def yolox(path, size, boxes, batch="batch"):
    """A YOLOX without its last step: (N, cells, 6). Boxes: (left, top, right, bottom, score), each in one cell."""
    rows, score = [], []
    for stride in (8, 16, 32):
        rows.append(np.zeros(((size[0] // stride) * (size[1] // stride), 6), np.float32))
        if stride == 16:
            for left, top, right, bottom, certain in boxes:
                x, y = (left + right) / 2 / stride, (top + bottom) / 2 / stride
                cell = int(y) * (size[0] // stride) + int(x)
                rows[-1][cell] = [
                    *(x - int(x), y - int(y)),
                    *(np.log((right - left) / stride), np.log((bottom - top) / stride)),
                    *(1, certain),
                ]
                score.append(certain)
    graph = _Graph()
    nothing = graph("Mul", graph("ReduceMax", "input", axes=[1, 2, 3], keepdims=1), np.float32(0))  # (N, 1, 1, 1)
    nothing = graph("Squeeze", nothing, np.array([3]))
    return graph.save(path, size, {"output": (graph("Add", nothing, np.concatenate(rows)[None]), 3)}, batch)


def simcc(path, size, keypoints, split=2.0, peak=0.8, batch="batch"):
    """RTMPose's signature: simcc_x (N, K, w · split) and simcc_y (N, K, h · split)."""
    graph = _Graph()
    middles = _middles(graph, _denormalised(graph), size, keep_channels=False)
    moved = (np.arange(keypoints) * STEP).astype(np.float32).reshape(1, -1, 1)
    outputs = {}
    for name, middle, length in zip(("simcc_x", "simcc_y"), middles, size, strict=True):
        place = graph("Mul", graph("Add", middle, moved), np.float32(split))
        away = graph("Sub", np.arange(length * split, dtype=np.float32), place)
        bell = graph("Exp", graph("Mul", graph("Mul", away, away), np.float32(-1 / (2 * 5.0**2))))
        outputs[name] = (graph("Mul", bell, np.float32(peak)), 3)
    return graph.save(path, size, outputs, batch)


def heatmap(path, size, keypoints, grid, align="udp", batch="batch"):
    """ViTPose's signature: heatmaps (N, K, H, W)."""
    graph = _Graph()
    middles = _middles(graph, _denormalised(graph), size, keep_channels=False)
    moved = (np.arange(keypoints) * STEP).astype(np.float32).reshape(1, -1, 1)
    bells = []
    for middle, length, cells in zip(middles, size, grid, strict=True):
        scale = (cells - 1) / (length - 1) if align == "udp" else cells / length
        place = graph("Mul", graph("Add", middle, moved), np.float32(scale))
        away = graph("Sub", np.arange(cells, dtype=np.float32), place)
        bells.append(graph("Exp", graph("Mul", graph("Mul", away, away), np.float32(-1 / (2 * 2.0**2)))))
    x, y = graph("Unsqueeze", bells[0], np.array([2])), graph("Unsqueeze", bells[1], np.array([3]))
    return graph.save(path, size, {"heatmaps": (graph("Mul", x, y), 4)}, batch)


def rtmo(path, size, keypoints, batch="batch"):
    """RTMO's signature: dets (N, 6, 5), keypoints (N, 6, K, 3). Everybody comes twice."""
    graph = _Graph()
    image = graph("Sub", "input", graph("ReduceMin", "input", axes=[1], keepdims=1))
    boxes = _boxes(graph, image)
    boxes = graph("Concat", graph("Mul", boxes, np.array([1, 1, 1, 1, 0.9], np.float32)), boxes, axis=1)
    moved = (np.arange(keypoints) * STEP).astype(np.float32).reshape(1, 1, -1)
    x, y = (
        graph("Unsqueeze", graph("Add", middle, moved), np.array([3])) for middle in _middles(graph, image, size, True)
    )
    sure = graph("Add", graph("Mul", x, np.float32(0)), np.float32(0.7))
    points = graph("Concat", x, y, sure, axis=3)
    wrong = graph("Add", points, np.array([50, 50, 0], np.float32))  # of the copies, which must not be taken
    return graph.save(path, size, {"dets": (boxes, 3), "keypoints": (graph("Concat", wrong, points, axis=1), 4)}, batch)
