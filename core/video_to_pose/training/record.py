# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training tells: a progress bar and lines on the terminal, a JSON-lines file, and TensorBoard's."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


class Record:
    """Open while a training runs; silent for processes that do not lead.

    Args:
        checkpoint: beside it lie ``NAME.jsonl`` and the folder ``NAME.tensorboard``.
        say: takes lines for the terminal.
        bar: draw a progress bar (on a terminal).
        speaks: whether this process is the one that tells.
    """

    def __init__(
        self, checkpoint: Path, *, say: Callable[[str], None] = print, bar: bool = True, speaks: bool = True
    ) -> None:
        self.say, self.speaks, self.wants_bar = say, speaks, bar and speaks and sys.stderr.isatty()
        self.lines = checkpoint.with_suffix(".jsonl")
        self.bar: Any = None
        self.board: Any = None
        if not speaks:
            return
        self.stream = self.lines.open("a", encoding="utf-8")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            _log.warning("TensorBoard is not installed; metrics go to %s alone.", self.lines.name)
        else:
            self.board = SummaryWriter(str(checkpoint.with_suffix(".tensorboard")))

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.board is not None:
            self.board.close()
        if self.speaks:
            self.stream.close()

    def step(self, done: float, told: str) -> None:
        """Move the bar to a share of the whole training, 0 … 1."""
        if not self.wants_bar:
            return
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}", leave=False)
        self.bar.set_postfix_str(told, refresh=False)
        self.bar.update(min(done, 1.0) - self.bar.n)

    def write(self, kind: str, values: Mapping[str, Any], step: int | None = None, line: str = "") -> None:
        """Append a line to the file; draw the numbers over `step` on TensorBoard; say `line` on the terminal."""
        if not self.speaks:
            return
        self.stream.write(json.dumps({"kind": kind, **values}, ensure_ascii=False) + "\n")
        self.stream.flush()
        if self.board is not None and step is not None:
            for name, value in values.items():
                if isinstance(value, float):
                    self.board.add_scalar(f"{kind}/{name}", value, step)
        if line:
            if self.bar is not None:
                self.bar.clear()
            self.say(line)
