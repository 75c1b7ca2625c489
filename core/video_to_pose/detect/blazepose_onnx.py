# SPDX-License-Identifier: GPL-3.0-or-later
"""BlazePose's TFLite networks as ONNX, so that ONNX Runtime runs them: on any Python, on GPUs, several people at once.

Only what these networks are made of is known: convolutions, additions, resizing, pooling and reshaping of pictures,
with weights in half precision, some of them sparse. Field numbers are those of the published TFLite schema.

TFLite keeps pictures as (N, H, W, C); the ONNX graph keeps them as (N, C, H, W) inside and at its outputs. The batch
N is free. The arithmetic is float32 throughout, as it is on a CPU in TFLite.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_OPERATORS = {
    0: "add",
    2: "concatenate",
    3: "conv",
    4: "depthwise_conv",
    5: "depth_to_space",
    6: "dequantize",
    14: "logistic",
    17: "max_pool",
    22: "reshape",
    23: "resize_bilinear",
    34: "pad",
    124: "densify",
}
_NUMBER_TYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.float16, 2: np.int32}
_ACTIVATIONS = {0: "none", 1: "relu", 3: "relu6"}
_SAME = 0  # the padding that keeps the size, divided by the stride and rounded up
_INDEX_TYPES: dict[int, type[np.generic]] = {1: np.int32, 2: np.uint16, 3: np.uint8}
_SPARSE = 1
_OPSET = 17
_IR_VERSION = 8


class UnknownNetwork(ValueError):
    """The file is no TFLite model, or has parts that BlazePose's networks do not have."""


class _Table:
    """A table of a FlatBuffers file whose fields are read by their number in the schema."""

    def __init__(self, buffer: bytes, position: int) -> None:
        import flatbuffers.table

        self._buffer = buffer
        self._table = flatbuffers.table.Table(buffer, position)

    @classmethod
    def root(cls, buffer: bytes) -> _Table:
        return cls(buffer, int.from_bytes(buffer[:4], "little"))

    def _place(self, number: int) -> int:
        """Where the field is kept; 0 when it is left at its default."""
        offset: int = self._table.Offset(4 + 2 * number)
        return offset + self._table.Pos if offset else 0

    def number(self, number: int, kind: type[np.generic] = np.int32, default: int = 0) -> int:
        place = self._place(number)
        return int(np.frombuffer(self._buffer, kind, 1, place)[0]) if place else default

    def child(self, number: int) -> _Table | None:
        place = self._place(number)
        return _Table(self._buffer, self._table.Indirect(place)) if place else None

    def children(self, number: int) -> list[_Table]:
        start, count = self._vector(number)
        return [_Table(self._buffer, self._table.Indirect(start + 4 * i)) for i in range(count)]

    def values(self, number: int, kind: type[np.generic] = np.int32) -> Array:
        start, count = self._vector(number)
        return np.frombuffer(self._buffer, kind, count, start) if count else np.zeros(0, kind)

    def _vector(self, number: int) -> tuple[int, int]:
        offset = self._table.Offset(4 + 2 * number)
        return (self._table.Vector(offset), self._table.VectorLen(offset)) if offset else (0, 0)


@dataclass
class _Tensor:
    shape: tuple[int, ...]
    constant: Array | None
    sparsity: _Table | None
    kind: type[np.generic]


@dataclass
class _Operator:
    name: str
    inputs: list[int]
    outputs: list[int]
    options: _Table | None

    def option(self, number: int, kind: type[np.generic] = np.int8, default: int = 0) -> int:
        return self.options.number(number, kind, default) if self.options else default


@dataclass
class _Network:
    tensors: list[_Tensor]
    operators: list[_Operator]
    inputs: list[int]
    outputs: list[int]


def _read(model: bytes) -> _Network:
    root = _Table.root(model)
    codes = [max(code.number(0, np.int8), code.number(3)) for code in root.children(1)]
    buffers = root.children(4)
    graph = root.children(2)[0]
    tensors = []
    for tensor in graph.children(0):
        code = tensor.number(1, np.int8)
        if code not in _NUMBER_TYPES:
            raise UnknownNetwork(f"a tensor holds numbers of type {code}")
        raw = buffers[tensor.number(2, np.uint32)].values(0, np.uint8)
        constant = raw.view(_NUMBER_TYPES[code]) if raw.size else None
        tensors.append(_Tensor(tuple(tensor.values(0).tolist()), constant, tensor.child(6), _NUMBER_TYPES[code]))
    operators = []
    for operator in graph.children(3):
        code = codes[operator.number(0, np.uint32)]
        if code not in _OPERATORS:
            raise UnknownNetwork(f"the operator with number {code} is not known")
        operators.append(
            _Operator(_OPERATORS[code], operator.values(1).tolist(), operator.values(2).tolist(), operator.child(4))
        )
    return _Network(tensors, operators, graph.values(1).tolist(), graph.values(2).tolist())


def densify(tensor_shape: Sequence[int], values: Array, segments: Array, indices: Array) -> Array:
    """A sparse array whole again; its last axis is the compressed one.

    Args:
        tensor_shape: of the whole array.
        values: what is not zero, row after row.
        segments: (R + 1,) where each of the R rows of the last axis starts in `values`.
        indices: place of each value in its row.
    """
    dense = np.zeros((len(segments) - 1, tensor_shape[-1]), values.dtype)
    rows = np.repeat(np.arange(len(dense)), np.diff(segments.astype(int)).tolist())
    dense[rows, indices] = values[: len(rows)]
    return dense.reshape(tensor_shape)


def _dense(tensor: _Tensor) -> Array:
    """The constant of a tensor in its own shape."""
    assert tensor.constant is not None
    if tensor.sparsity is None:
        return tensor.constant.reshape(tensor.shape)
    dimensions = tensor.sparsity.children(2)
    formats = [dimension.number(0, np.int8) for dimension in dimensions]
    in_order = tensor.sparsity.values(0).tolist() == list(range(len(tensor.shape)))
    if not in_order or formats != [0] * (len(tensor.shape) - 1) + [_SPARSE]:
        raise UnknownNetwork("a tensor is sparse in more than its last axis")
    compressed: list[Array] = []
    for number in (2, 4):  # the type of a vector, then the vector
        vector = dimensions[-1].child(number + 1)
        assert vector is not None
        compressed.append(vector.values(0, _INDEX_TYPES[dimensions[-1].number(number, np.uint8)]))
    return densify(tensor.shape, tensor.constant, *compressed)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels put before and after an axis so that `ceil(size / stride)` come out; an odd one goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@dataclass
class _Builder:
    """Gathers the ONNX graph of one network. Tensor ``i`` is called ``t<i>``."""

    network: _Network
    constants: dict[int, Array] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)
    initializers: dict[str, Array] = field(default_factory=dict)

    def constant(self, index: int) -> Array:
        if index not in self.constants:
            if self.network.tensors[index].constant is None:
                raise UnknownNetwork("what should be a weight is calculated")
            self.constants[index] = _dense(self.network.tensors[index])
        return self.constants[index]

    def is_constant(self, index: int) -> bool:
        return index in self.constants or self.network.tensors[index].constant is not None

    def shape(self, index: int) -> tuple[int, ...]:
        return self.network.tensors[index].shape

    def keep(self, name: str, value: Array) -> str:
        self.initializers[name] = np.ascontiguousarray(value)
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def activated(self, kind: str, inputs: Sequence[str], output: int, activation: int, **attributes: Any) -> None:
        """A node followed by the activation that TFLite keeps inside its operators."""
        if activation not in _ACTIVATIONS:
            raise UnknownNetwork(f"the activation with number {activation} is not known")
        name = _ACTIVATIONS[activation]
        before = f"t{output}" if name == "none" else f"t{output}_linear"
        self.node(kind, inputs, before, **attributes)
        if name == "relu":
            self.node("Relu", [before], f"t{output}")
        elif name == "relu6":
            limits = [self.keep("zero", np.zeros((), np.float32)), self.keep("six", np.full((), 6, np.float32))]
            self.node("Clip", [before, *limits], f"t{output}")

    def add(self, operator: _Operator) -> None:
        self.activated("Add", [f"t{i}" for i in operator.inputs], operator.outputs[0], operator.option(0))

    def concatenate(self, operator: _Operator) -> None:
        if len(self.shape(operator.outputs[0])) == 4:
            raise UnknownNetwork("pictures are put beside each other")
        inputs = [f"t{i}" for i in operator.inputs]
        self.activated("Concat", inputs, operator.outputs[0], operator.option(1), axis=operator.option(0, np.int32))

    def conv(self, operator: _Operator) -> None:
        """Weights (out, H, W, in) become (out, in, H, W)."""
        weights = self.constant(operator.inputs[1]).transpose(0, 3, 1, 2)
        self._convolve(operator, weights, groups=1, activation=operator.option(3), dilations=(4, 5))

    def depthwise_conv(self, operator: _Operator) -> None:
        """Weights (1, H, W, C) become (C, 1, H, W)."""
        if operator.option(3, np.int32) != 1:
            raise UnknownNetwork("a depthwise convolution gives several channels for one")
        weights = self.constant(operator.inputs[1]).transpose(3, 0, 1, 2)
        self._convolve(operator, weights, groups=len(weights), activation=operator.option(4), dilations=(5, 6))

    def _convolve(
        self, operator: _Operator, weights: Array, groups: int, activation: int, dilations: tuple[int, int]
    ) -> None:
        if any(operator.option(number, np.int32, 1) != 1 for number in dilations):
            raise UnknownNetwork("a convolution is dilated")
        output = operator.outputs[0]
        inputs = [f"t{operator.inputs[0]}", self.keep(f"w{output}", weights)]
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            inputs.append(self.keep(f"b{output}", self.constant(operator.inputs[2])))
        kernel = list(weights.shape[2:])
        strides = [operator.option(2, np.int32), operator.option(1, np.int32)]
        pads = self._pads(operator, kernel, strides)
        self.activated(
            "Conv", inputs, output, activation, kernel_shape=kernel, strides=strides, pads=pads, group=groups
        )

    def _pads(self, operator: _Operator, kernel: Sequence[int], strides: Sequence[int]) -> list[int]:
        """Top, left, bottom, right."""
        if operator.option(0) != _SAME:
            return [0, 0, 0, 0]
        size = self.shape(operator.inputs[0])[1:3]
        (top, bottom), (left, right) = (same_padding(*axis) for axis in zip(size, kernel, strides, strict=True))
        return [top, left, bottom, right]

    def max_pool(self, operator: _Operator) -> None:
        kernel = [operator.option(4, np.int32), operator.option(3, np.int32)]
        strides = [operator.option(2, np.int32), operator.option(1, np.int32)]
        pads = self._pads(operator, kernel, strides)
        inputs, output = [f"t{operator.inputs[0]}"], operator.outputs[0]
        self.activated("MaxPool", inputs, output, operator.option(5), kernel_shape=kernel, strides=strides, pads=pads)

    def depth_to_space(self, operator: _Operator) -> None:
        block = operator.option(0, np.int32)
        source, output = operator.inputs[0], operator.outputs[0]
        self.node("DepthToSpace", [f"t{source}"], f"t{output}", blocksize=block, mode="DCR")

    def dequantize(self, operator: _Operator) -> None:
        self.constants[operator.outputs[0]] = self.constant(operator.inputs[0]).astype(np.float32)

    def densify(self, operator: _Operator) -> None:
        self.constants[operator.outputs[0]] = self.constant(operator.inputs[0])

    def logistic(self, operator: _Operator) -> None:
        self.node("Sigmoid", [f"t{operator.inputs[0]}"], f"t{operator.outputs[0]}")

    def reshape(self, operator: _Operator) -> None:
        """Pictures are turned back to (N, H, W, C) first: the order in which TFLite lists their numbers."""
        source, output = operator.inputs[0], operator.outputs[0]
        name = f"t{source}"
        if len(self.shape(source)) == 4:
            name = self.node("Transpose", [name], f"t{output}_last", perm=[0, 2, 3, 1])
        target = np.array([0, *self.shape(output)[1:]], np.int64)  # 0 keeps the batch as it is
        if len(target) == 4:
            raise UnknownNetwork("numbers are put into a picture")
        self.node("Reshape", [name, self.keep(f"s{output}", target)], f"t{output}")

    def resize_bilinear(self, operator: _Operator) -> None:
        if operator.option(2, np.bool_) or not operator.option(3, np.bool_):
            raise UnknownNetwork("a picture is resized about other than its pixels' middles")
        source, output = operator.inputs[0], operator.outputs[0]
        before, after = self.shape(source), self.shape(output)
        scales = np.array([1, 1, after[1] / before[1], after[2] / before[2]], np.float32)
        inputs = [f"t{source}", "", self.keep(f"s{output}", scales)]
        self.node("Resize", inputs, f"t{output}", mode="linear", coordinate_transformation_mode="half_pixel")

    def pad(self, operator: _Operator) -> None:
        source, output = operator.inputs[0], operator.outputs[0]
        pads = self.constant(operator.inputs[1])
        if len(pads) != 4:
            raise UnknownNetwork("what is padded is no picture")
        reordered = pads[[0, 3, 1, 2]].T.reshape(-1).astype(np.int64)
        self.node("Pad", [f"t{source}", self.keep(f"p{output}", reordered)], f"t{output}")


def output_name(place: int) -> str:
    """What the ONNX model calls the output at this place of the TFLite file."""
    return f"output_{place}"


def to_onnx(model: bytes, outputs: Sequence[int] | None = None) -> bytes:
    """A TFLite network as an ONNX model with opset 17.

    Its input is called ``picture``, (N, C, H, W) float32; its outputs as `output_name`
    says. Pictures among the outputs are (N, C, H, W).

    Args:
        model: the TFLite file.
        outputs: which of its outputs are wanted; what only the others need is left out. None keeps all.

    Raises:
        UnknownNetwork: it is not such a network.
        ImportError: `onnx` or `flatbuffers` is not installed.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    if model[4:8] != b"TFL3":
        raise UnknownNetwork("it is no TFLite model")
    try:
        network = _read(model)
    except (IndexError, ValueError, struct.error) as error:
        raise UnknownNetwork(f"it cannot be read: {error}") from error
    places = range(len(network.outputs)) if outputs is None else outputs
    builder = _Builder(network)
    for operator in _needed(network, [network.outputs[place] for place in places]):
        build: Callable[[_Operator], None] = getattr(builder, operator.name)
        build(operator)
    results = []
    for place in places:
        index = network.outputs[place]
        builder.node("Identity", [f"t{index}"], output_name(place))
        results.append(
            helper.make_tensor_value_info(output_name(place), TensorProto.FLOAT, _free(builder.shape(index)))
        )
    source = network.inputs[0]
    builder.nodes.insert(0, helper.make_node("Identity", ["picture"], [f"t{source}"]))
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, _free(builder.shape(source)))
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in builder.initializers.items()]
    graph = helper.make_graph(builder.nodes, "blazepose", [picture], results, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="video-to-pose")
    made.ir_version = _IR_VERSION
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _needed(network: _Network, wanted: Sequence[int]) -> list[_Operator]:
    """The operators these tensors are calculated with, in the file's order."""
    needed, kept = set(wanted), []
    for operator in reversed(network.operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
            kept.append(operator)
    return kept[::-1]


def _free(shape: Sequence[int]) -> list[int | str]:
    """(N, H, W, C) as (N, C, H, W), and anything else as it is, with a free batch."""
    axes = (0, 3, 1, 2) if len(shape) == 4 else range(len(shape))
    return ["batch", *(int(shape[axis]) for axis in list(axes)[1:])]
