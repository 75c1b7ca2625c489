# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints of catalogue networks: everything that training needs to go on, and evaluation to begin.

Written whole or not at all, and read without running what a file may hold.
"""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..files import written_whole
from ..nets.catalogue import Entry, Recipe, Stage, find
from ..skeleton import Skeleton

FORMAT = "video-to-pose network 1"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds.

    Attributes:
        entry: which network.
        skeleton: of keypoints and joints.
        settings: of the network.
        recipe: how it is trained.
        stage: the stage it is in, from 1.
        state: its weights.
        progress: where training stands; empty when it is over.
        notes: what was told about data and machine, for people and for the exported file's metadata.
    """

    entry: Entry
    skeleton: Skeleton
    settings: Any
    recipe: Recipe
    stage: int
    state: Mapping[str, Any]
    progress: Mapping[str, Any]
    notes: Mapping[str, Any]

    def network(self) -> nn.Module:
        """The network with its weights, at rest.

        Raises:
            InputError: the weights are of another network or skeleton.
        """
        net = self.entry.build(self.skeleton, self.settings, self.stage)
        try:
            net.load_state_dict(dict(self.state))
        except RuntimeError as error:
            raise InputError(
                f"The checkpoint's weights do not fit {self.entry.id} for {self.skeleton.name} "
                f"({self.skeleton.joint_count} joints): {str(error).splitlines()[-1].strip().rstrip('.')}.",
                "Use the checkpoint with the version of the program that wrote it.",
                "checkpoint-misfit",
            ) from error
        return net.eval()


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside its place and move it there."""
    skeleton = checkpoint.skeleton
    content = {
        "format": FORMAT,
        "net": checkpoint.entry.id,
        "skeleton": {"name": skeleton.name, "joints": list(skeleton.joints), "parents": list(skeleton.parents)},
        "settings": asdict(checkpoint.settings),
        "recipe": asdict(checkpoint.recipe),
        "stage": checkpoint.stage,
        "state": dict(checkpoint.state),
        "progress": dict(checkpoint.progress),
        "notes": dict(checkpoint.notes),
    }
    with written_whole(path) as partial:
        torch.save(content, partial)


def is_network(path: Path) -> bool:
    """Whether a file is a checkpoint of a catalogue network (and not, say, of the product's lifter).

    Raises:
        InputError: it cannot be read.
    """
    return _read(path).get("format") == FORMAT


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: the file is missing, cut off, of another kind or of a network that is unknown here.
    """
    content = _read(path)
    if content.get("format") != FORMAT:
        raise InputError(
            f"{path} is not a checkpoint of a network of the catalogue.",
            "Give a .pt file that `video-to-pose train NETWORK` wrote.",
            "checkpoint-kind",
        )
    entry, skeleton = find(content["net"]), content["skeleton"]
    try:
        return Checkpoint(
            entry=entry,
            skeleton=Skeleton(skeleton["name"], tuple(skeleton["joints"]), tuple(skeleton["parents"])),
            settings=entry.settings(**{name: tuples(value) for name, value in content["settings"].items()}),
            recipe=recipe_from(content["recipe"]),
            stage=content["stage"],
            state=content["state"],
            progress=content["progress"],
            notes=content["notes"],
        )
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} was written by another version of the program: {error}.",
            "Use the version that wrote it, or train again.",
            "checkpoint-version",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}.", "Check the path.", "file-missing")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a checkpoint: it is cut off, damaged, or something else.",
            "Copy or download it again, or use another one.",
            "checkpoint-broken",
        ) from error
    return content if isinstance(content, dict) else {}


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """A recipe from what `asdict` made of it, also by way of JSON."""
    values = {name: tuples(value) for name, value in values.items()}
    return Recipe(**{**values, "stages": tuple(Stage(**stage) for stage in values["stages"])})


def tuples(value: Any) -> Any:
    """Lists, as JSON has them, as the tuples that settings have."""
    return tuple(tuples(item) for item in value) if isinstance(value, list | tuple) else value


def commit() -> str:
    """The commit of the program's source, empty when it is not a checkout."""
    told = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return told.stdout.strip()
