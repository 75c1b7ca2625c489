# SPDX-License-Identifier: GPL-3.0-or-later
"""The lifters that ship, as data: what the command line and Blender's panel offer. `lift` runs them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WEIGHTS = Path(__file__).parent / "lift" / "weights"


@dataclass(frozen=True)
class LifterEntry:
    """A lifter that ships with the package.

    Attributes:
        id: what ``--lifter`` takes, and the name of its file.
        title: for people, in a menu.
        label: for people, what it is.
        causal: it looks at nothing that comes after a frame, so that poses of what happens now need not wait.
        licence: of the weights.
    """

    id: str
    title: str
    label: str
    causal: bool = False
    licence: str = "GPL-3.0-or-later"

    @property
    def path(self) -> Path:
        return WEIGHTS / f"{self.id}.onnx"


LIFTERS = {
    entry.id: entry
    for entry in (
        LifterEntry("default", "Default", "The best there is here: also learnt from what detectors really see"),
        LifterEntry("light", "Light", "A small one of the same make: for slow machines and first looks"),
        LifterEntry("causal", "Causal", "Of the same make, from the past alone: for what happens now", True),
        LifterEntry("anatomy3d", "Anatomy3D", "Chen et al. 2021: bone directions and one set of lengths, a small one"),
        LifterEntry("rie", "RIE", "Shan et al. 2021: five groups of joints, relative encodings, a small one"),
        LifterEntry("srnet", "SRNet", "Zeng et al. 2020: split and recombine, a small one"),
        LifterEntry("seq2seq", "Seq2Seq", "Hossain and Little 2018: from five frames of the past, a small one", True),
        LifterEntry("gla_gcn", "GLA-GCN", "Yu et al. 2023: graph convolutions, slow, a small one"),
        LifterEntry("tcn", "VideoPose3D", "Pavllo et al. 2019: temporal convolutions, small and quick"),
        LifterEntry("fc", "Frame by Frame", "Martinez et al. 2017: every frame alone, a small one", True),
    )
}
"""How good each is stands in docs/results.md; how it was made in weights/README.md."""
