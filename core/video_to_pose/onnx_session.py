# SPDX-License-Identifier: GPL-3.0-or-later
"""Running networks with ONNX Runtime: which devices there are, and a session on the one that was asked for.

What is asked for is had or refused: a device that does not work is never quietly replaced by the processor. Only
``auto`` and a list such as ``cuda,cpu`` allow another one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, SetupError

Array = NDArray[Any]

_log = logging.getLogger(__name__)

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Device -> ONNX Runtime's name of what runs on it."""

_AUTO = ("cuda", "directml", "coreml", "cpu")  # TensorRT builds an engine for minutes: only when it is asked for
_HOW = {
    "cuda": "Install an NVIDIA driver and the gpu extra (onnxruntime-gpu in place of onnxruntime)",
    "tensorrt": "Install NVIDIA's TensorRT and the gpu extra (onnxruntime-gpu in place of onnxruntime)",
    "directml": "On Windows, install onnxruntime-directml in place of onnxruntime",
    "coreml": "CoreML is part of onnxruntime on macOS only",
}
_BOUND = ("cuda", "tensorrt")


def available_devices() -> list[str]:
    """Devices this installation of ONNX Runtime was built for, fastest kind first."""
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    return [device for device, provider in PROVIDERS.items() if provider in providers]


def wanted_devices(device: str) -> list[str]:
    """The devices to try, in order: ``auto`` is every one that is there, a list with commas is that list.

    Raises:
        InputError: no device of that name.
        SetupError: none of them is available to ONNX Runtime.
    """
    have = available_devices()
    asked = list(_AUTO) if device == "auto" else [name.strip() for name in device.split(",") if name.strip()]
    unknown = [name for name in asked if name not in PROVIDERS]
    if unknown or not asked:
        raise InputError(
            f"There is no device {', '.join(map(repr, unknown or [device]))}.",
            f"Choose auto, one of {', '.join(PROVIDERS)}, or several in order of preference, such as cuda,cpu.",
            "device-unknown",
        )
    found = [name for name in asked if name in have]
    if not found:
        raise SetupError(
            f"The device {device!r} is not available to ONNX Runtime here, which has: {', '.join(have) or 'none'}.",
            f"{_HOW.get(asked[0], 'Install onnxruntime again')}; or choose --device auto.",
            "device-missing",
        )
    return found


def open_session(
    path: Path, device: str = "auto", threads: int = 0, what: str = "model", spin: bool = True
) -> tuple[Any, str]:
    """Open an ONNX file with ONNX Runtime.

    Args:
        path: the file.
        device: ``auto``, a name in `PROVIDERS`, or several with commas, the best first.
        threads: of the processor; 0: as many as it has cores.
        what: what the file is to the user, for messages.
        spin: threads wait for their next share of work wide awake: faster on an idle machine, and far slower where
            others want the processor.

    Returns:
        The session and the device it runs on.

    Raises:
        InputError: the file is missing or cannot be run, or there is no such device.
        SetupError: the device is not available to ONNX Runtime, or does not start.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise SetupError(
            f"The package onnxruntime cannot be loaded ({error}).", "Run: pip install onnxruntime", "no-onnxruntime"
        ) from error
    if not path.is_file():
        raise InputError(f"The {what} file {path} does not exist.", "Check the path.", f"{what}-missing")
    devices = wanted_devices(device)
    if set(devices) & set(_BOUND) and hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find
            onnxruntime.preload_dlls()  # NVIDIA's libraries, where they were installed as packages
    broken = (state.Fail, state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument, state.NotImplemented)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    reasons = []
    for name in devices:
        options.enable_mem_pattern = name != "directml"  # which cannot do that
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=_providers(name, path.parent))
        except broken as error:
            if name == "cpu":
                raise InputError(
                    f"{path} is not an ONNX file that can be run: {error}", "Choose another file.", f"{what}-broken"
                ) from error
            reasons.append(f"{name}: {str(error).splitlines()[0]}")
            continue
        except RuntimeError as error:  # a driver or a library of the device does not load
            reasons.append(f"{name}: {str(error).splitlines()[0]}")
            continue
        # ONNX Runtime falls back to the processor with no more than a remark in its log.
        if PROVIDERS[name] in session.get_providers():
            if reasons:
                _log.warning("%s runs on %s (%s)", path.name, name, "; ".join(reasons))
            return session, name
        reasons.append(f"{name}: its driver or libraries do not load")
    raise SetupError(
        f"{path.name} cannot be run on {device!r} ({'; '.join(reasons)}).",
        f"{_HOW.get(devices[0], 'Install onnxruntime again')}; or choose --device auto.",
        "device-broken",
    )


def _providers(device: str, folder: Path) -> list[Any]:
    """The device itself, then what runs the few operators that it lacks."""
    after = {"tensorrt": ["cuda", "cpu"], "cpu": []}.get(device, ["cpu"])
    kept = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(folder / "tensorrt")}
    first = (PROVIDERS[device], kept) if device == "tensorrt" and os.access(folder, os.W_OK) else PROVIDERS[device]
    return [first, *(PROVIDERS[name] for name in after)]


@dataclass(eq=False)
class Network:
    """An ONNX file that takes one batch of pictures and is run batch by batch.

    Some files say that they take any number of pictures and then fail with more than one: those are run one by one.

    On CUDA, input stays in memory of the device that is made once for each size of batch, and batches are filled up
    to powers of two, since every new size makes the device stop and plan anew.

    Attributes:
        session: ONNX Runtime's.
        device: where it runs.
        bound: whether inputs are bound to memory of the device; None: where that helps.
        name: of the file, for messages.
    """

    session: Any
    device: str = "cpu"
    bound: bool | None = None
    name: str = "the network"
    _one_by_one: bool = False
    _inputs: dict[tuple[int, ...], Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, device: str = "auto", threads: int = 0, spin: bool = True) -> Network:
        """As `open_session`."""
        return cls(*open_session(path, device, threads, spin=spin), name=path.name)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Of its first input, None where free."""
        return tuple(size if isinstance(size, int) else None for size in self.session.get_inputs()[0].shape)

    @property
    def input_type(self) -> type[np.generic]:
        """float32 or float16."""
        return np.float16 if self.session.get_inputs()[0].type == "tensor(float16)" else np.float32

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(output.name for output in self.session.get_outputs())

    def __call__(self, batch: Array, outputs: Sequence[str], most: int = 16) -> dict[str, Array]:
        """The named outputs for a batch (N, …) of any N >= 1, each (N, …); at most `most` run at once.

        Outputs whose second axis differs between runs (as many rows as were found) are filled with zeros.

        Raises:
            InputError: the network fails on a single picture.
        """
        size = self.input_shape[0] or (1 if self._one_by_one else most)
        try:
            parts = [self._run(batch[start : start + size], outputs) for start in range(0, len(batch), size)]
        except _RunFailed as error:
            if self._one_by_one or self.input_shape[0] or min(size, len(batch)) == 1:
                raise InputError(
                    f"{self.name} fails on {self.device}: {error}",
                    "Export the network again, or try --device cpu.",
                    "model-failed",
                ) from error
            _log.info("%s takes one picture at a time (%s)", self.name, error)
            self._one_by_one = True
            return self(batch, outputs, most)
        return {name: _joined([part[name] for part in parts]) for name in outputs}

    def _run(self, batch: Array, outputs: Sequence[str]) -> Mapping[str, Array]:
        count = len(batch)
        full = self.input_shape[0] or (1 << (count - 1).bit_length() if self._is_bound() else count)
        if full > count:
            batch = np.concatenate([batch, np.zeros((full - count, *batch.shape[1:]), batch.dtype)])
        batch = np.ascontiguousarray(batch, dtype=self.input_type)
        name = self.session.get_inputs()[0].name
        try:
            if self._is_bound():
                answers = self._run_bound(name, batch, outputs)
            else:
                answers = self.session.run(list(outputs), {name: batch})
        except _run_errors() as error:
            raise _RunFailed(str(error).splitlines()[0]) from error
        if any(len(answer) != len(batch) for answer in answers):
            raise _RunFailed(f"{len(batch)} pictures gave {len(answers[0])} answers")
        return {
            output: np.asarray(answer[:count], dtype=np.float32)
            for output, answer in zip(outputs, answers, strict=True)
        }

    def _is_bound(self) -> bool:
        return self.device in _BOUND if self.bound is None else self.bound

    def _run_bound(self, name: str, batch: Array, outputs: Sequence[str]) -> list[Array]:
        import onnxruntime

        place = "cuda" if self.device in _BOUND else "cpu"
        value = self._inputs.get(batch.shape)
        if value is None:
            value = self._inputs[batch.shape] = onnxruntime.OrtValue.ortvalue_from_numpy(batch, place, 0)
        else:
            value.update_inplace(batch)
        binding = self.session.io_binding()
        binding.bind_ortvalue_input(name, value)
        for output in outputs:
            binding.bind_output(output, "cpu")
        self.session.run_with_iobinding(binding)
        answers: list[Array] = binding.copy_outputs_to_cpu()
        return answers


class _RunFailed(Exception):
    """The network did not run with this batch."""


def _run_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return state.Fail, state.InvalidArgument, state.RuntimeException, state.NotImplemented, state.EPFail


def _joined(parts: list[Array]) -> Array:
    rows = max((part.shape[1] for part in parts if part.ndim > 1), default=0)
    filled = [
        np.pad(part, [(0, 0), (0, rows - part.shape[1]), *[(0, 0)] * (part.ndim - 2)])
        if part.ndim > 1 and part.shape[1] < rows
        else part
        for part in parts
    ]
    return np.concatenate(filled)
