# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person wants to know of a Take at a glance, for the command line's answer and Blender's panel (numpy only)."""

from __future__ import annotations

from typing import Any

from . import motion
from .resolve import solved_with
from .review import confidence_spans, never_seen, sureness
from .types import Take


def describe(take: Take) -> dict[str, Any]:
    """What a Take is; plain JSON values.

    ``height_spread_m`` is by how much the heights that single frames tell differ; None where the height was told, or
    nothing is known. ``camera_moves`` is None where nobody looked. ``held_at_rest`` are limbs that no frame shows.
    """
    solved = take.motion
    return {
        "frames": solved.frame_count,
        "frame_rate": round(solved.frame_rate, 3),
        "seconds": round(float(solved.timestamps[-1] - solved.timestamps[0]), 3),
        "height_m": round(motion.standing_height(solved.skeleton, solved.lengths), 3),
        "height_spread_m": _height_spread(take),
        "camera_moves": take.provenance.get("camera", {}).get("moves"),
        "held_at_rest": list(never_seen(solved)),
        "mean_confidence": round(float(sureness(solved).mean()), 3),
        "check_these_s": [[round(a, 2), round(b, 2)] for a, b in confidence_spans(take)],
    }


def _height_spread(take: Take) -> float | None:
    camera, _ = solved_with(take)
    spread = take.provenance.get("height", {}).get("spread_m")
    return None if spread is None or camera.height_m is not None else round(float(spread), 3)
