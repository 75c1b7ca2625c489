# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading other people's ``.npz`` archives that hold pickled dictionaries of arrays.

The field ships its data sets as object arrays, which numpy reads with pickle, and a pickle may run any program.
Here only numpy arrays, numpy scalars and plain containers come in; a file that asks for anything else is refused
before a line of it has run.
"""

from __future__ import annotations

import io
import pickle
import zipfile
import zlib
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import InputError


class _Latin1:
    """What old pickles of bytes call: text back to bytes. No other codec, and nothing about it can be changed."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"codec {encoding}")
        return text.encode("latin1")

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("state for a codec")


# taken from numpy's own reductions, so that they are right whatever its private modules are called
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("_codecs", "encode"): _Latin1(),
    **{
        (f"numpy.{core}.multiarray", name): value
        for core in ("core", "_core")
        for name, value in (("_reconstruct", _RECONSTRUCT), ("scalar", _SCALAR))
    },
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (dict, list, tuple, set, frozenset)
    },
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None


def load_plain(path: str | Path) -> dict[str, Any]:
    """Every entry of an ``.npz``: arrays as they are, a pickled object (a 0-d object array) as the object itself.

    Raises:
        InputError: the file is missing, torn or no such archive (code ``benchmark-file-invalid``), or a pickle in it
            asks for more than arrays and plain containers (code ``benchmark-file-unsafe``).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"There is no file {path}.",
            "Give the path of your own copy; docs/data.md says how it is made.",
            "benchmark-file-missing",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {}
            for name in archive.namelist():
                with archive.open(name) as file:
                    entries[name.removesuffix(".npy")] = _read_array(file)
            return entries
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} asks to run {error}, which numbers never need.",
            "Do not use this copy: get the file from its source again, or save it as arrays and dictionaries only.",
            "benchmark-file-unsafe",
        ) from error
    except (
        *(OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, MemoryError),
        *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
    ) as error:
        raise InputError(
            f"{path} is not a whole .npz archive: {error}.", "Copy or download it again.", "benchmark-file-invalid"
        ) from error


def _read_array(file: Any) -> Any:
    raw: BinaryIO = io.BytesIO(file.read())
    version = np.lib.format.read_magic(raw)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"array format {version} is not known")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(raw)
    if not dtype.hasobject:
        raw.seek(0)
        return np.lib.format.read_array(raw, allow_pickle=False)
    if dtype != np.dtype(object):
        raise ValueError("objects inside records are not read")
    value = _PlainUnpickler(raw, encoding="latin1").load()
    if not isinstance(value, np.ndarray) or value.shape != shape:
        raise ValueError("an object array does not hold what its header says")
    return value.item() if value.ndim == 0 else value
