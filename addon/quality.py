# SPDX-License-Identifier: GPL-3.0-or-later
"""Quality presets: one choice in place of detector, lifter, mirroring and device."""

from __future__ import annotations

from typing import Any

from .core.video_to_pose.lifters import LIFTERS

PRESETS: dict[str, dict[str, str | bool]] = {
    "FAST": {"variant": "lite", "lifter": "light", "flip": False, "device": "auto"},
    "BALANCED": {"variant": "full", "lifter": "default", "flip": True, "device": "auto"},
    "BEST": {"variant": "heavy", "lifter": "default", "flip": True, "device": "auto"},
}
"""Preset -> the panel's fields that it sets."""

CUSTOM = "CUSTOM"

# Blender keeps no reference to strings that a callback makes; this list is constant, so plain items will do
ITEMS = [
    ("FAST", "Fast", "The light detector and lifter, each pose lifted once: for a first look and for slow machines", 0),
    ("BALANCED", "Balanced", "The full detector, and each pose lifted as filmed and mirrored: a fine first choice", 1),
    ("BEST", "Best", "The heavy detector, about half as fast as the full one, and poses lifted twice", 2),
    (CUSTOM, "Custom", "Detector, lifter and device as set under Options", 3),
]
LIFTER_ITEMS = [(entry.id, entry.title, entry.label) for entry in LIFTERS.values()]
DEVICES = [
    ("auto", "Auto", "The fastest that this machine has"),
    ("cuda", "CUDA", "An NVIDIA graphics card"),
    ("tensorrt", "TensorRT", "An NVIDIA graphics card, after minutes of preparation for each network"),
    ("directml", "DirectML", "Any graphics card under Windows"),
    ("coreml", "CoreML", "Apple's processors"),
    ("cpu", "CPU", "The processor: works everywhere"),
]

_ORDER = [item[0] for item in ITEMS]


def preset_of(fields: Any) -> str:
    """The preset whose values the fields have; `CUSTOM` when they have none's."""
    for name, values in PRESETS.items():
        if all(getattr(fields, field) == value for field, value in values.items()):
            return name
    return CUSTOM


def apply(fields: Any, name: str) -> None:
    """Set the fields to a preset's values; `CUSTOM` leaves them as they are."""
    for field, value in PRESETS.get(name, {}).items():
        setattr(fields, field, value)


def get(fields: Any) -> int:
    """What Blender shows for the preset: its number."""
    return _ORDER.index(preset_of(fields))


def put(fields: Any, number: int) -> None:
    """What Blender does when another preset is chosen."""
    apply(fields, _ORDER[number])
