# SPDX-License-Identifier: GPL-3.0-or-later
"""Outputs are written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write to; moved over `path` when the block ends well, removed when it does not.

    Raises:
        InputError: the target cannot be written.
    """
    path = Path(path)
    partial = partial_name(path)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Choose a folder you may write to.",
            "output-unwritable",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def partial_name(path: Path) -> Path:
    """The name that a file has while it is being written."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")
