# SPDX-License-Identifier: GPL-3.0-or-later
"""A Take's motion solved again from what the lifter said: nothing is detected or lifted anew (numpy only).

Smoothing, glitches, height, field of view, floor, contacts and path can be had otherwise in well under a second for a
minute of video, inside Blender too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import motion
from .errors import InputError
from .settings import CameraSettings, CaptureSettings, MotionSettings
from .types import Take


def solved_with(take: Take) -> tuple[CameraSettings, MotionSettings]:
    """The settings that a Take's motion was solved with, as far as it says; else the defaults."""
    options = take.provenance.get("options")
    stages = options if isinstance(options, Mapping) else {}
    return _as_far_as_known(CameraSettings, stages.get("camera")), _as_far_as_known(
        MotionSettings, stages.get("motion")
    )


def solve_again(take: Take, camera: CameraSettings, settings: MotionSettings) -> Take:
    """The Take with another motion and camera, found in the same keypoints and lifted pose.

    Args:
        take: captured by this version.
        camera: field of view and the person's height, where known.
        settings: smoothing, floor, contacts.

    Raises:
        InputError: the Take does not hold what the lifter said, or a field of view or height cannot be.
    """
    if take.lifted is None:
        raise InputError(
            "This Take does not hold what was lifted, so its smoothing, height and floor cannot be solved again.",
            "Capture the clip again with this version; how it is laid on the rig can be solved as it is.",
            "take-unlifted",
        )
    moved, placed = motion.solve(take.track, take.lifted, camera, settings)
    options = take.provenance.get("options")
    known = CaptureSettings(camera=camera, motion=settings).to_dict()
    told = {**(options if isinstance(options, Mapping) else {}), "camera": known["camera"], "motion": known["motion"]}
    return replace(take, motion=moved, camera=placed, provenance={**take.provenance, "options": told})


def _as_far_as_known(stage: type[Any], told: Any) -> Any:
    """A stage's settings with what is told of them; fields of other versions are passed over."""
    values = told if isinstance(told, Mapping) else {}
    return stage(**{name: values[name] for name in stage.__dataclass_fields__ if name in values})
