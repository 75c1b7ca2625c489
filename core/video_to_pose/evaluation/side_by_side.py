# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of `rendered.compare` side by side: means over clips, Markdown tables, JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .rendered import DETECTOR

MEASURES: dict[str, tuple[str, int]] = {
    "mpjpe_mm": ("MPJPE mm", 1),
    "inside_mpjpe_mm": ("in picture mm", 1),
    "n_mpjpe_mm": ("N-MPJPE mm", 1),
    "p_mpjpe_mm": ("P-MPJPE mm", 1),
    "acceleration_m_s2": ("accel. m/s²", 2),
    "mpjve_mm_per_frame": ("MPJVE mm/frame", 1),
    "bone_deviation_mm": ("bone dev. mm", 1),
    "feet_degrees": ("feet °", 1),
    "hands_degrees": ("hands °", 1),
    "slide_cm_s": ("slide cm/s", 1),
    "sink_cm": ("sink cm", 2),
    "deepest_cm": ("deepest cm", 1),
    "path_error_percent": ("root % of path", 1),
    "path_error_cm": ("root cm", 1),
    "up_degrees": ("up °", 1),
    "height_error_cm": ("height cm", 1),
    "size_percent": ("size %", 1),
}
"""Measure -> its heading and decimals. ``height cm`` and ``size %`` (of the limbs) are signed; in `mean` they say how
far off that is on average."""

_SIGNED = ("height_error_cm", "size_percent")


def mean(results: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Every contender's figures over clips, each clip weighted by its frames; clips that say nothing do not count."""
    rows = list(results)
    names = list(dict.fromkeys(name for row in rows for name in row["contenders"]))
    table: dict[str, dict[str, float]] = {}
    for name in names:
        table[name] = {}
        for measure in MEASURES:
            told = [(row["contenders"][name][measure], row["frames"]) for row in rows if name in row["contenders"]]
            values = [(abs(value) if measure in _SIGNED else value, weight) for value, weight in told]
            table[name][measure] = _weighted([pair for pair in values if math.isfinite(pair[0])])
    return table


def _weighted(pairs: Sequence[tuple[float, int]]) -> float:
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total else math.nan


def tables(results: Iterable[dict[str, Any]]) -> str:
    """What the clips are like, every contender on every clip, and the means, as Markdown."""
    rows = list(results)
    parts = [_facts_table(rows), *(_clip_table(row) for row in rows)]
    return "\n\n".join([*parts, f"{len(rows)} clips, weighted by frames:\n\n{table(rows)}"])


def table(results: Iterable[dict[str, Any]]) -> str:
    """The means over clips, as Markdown."""
    rows = list(results)
    means = mean(rows)
    reached = {name: sum(all(row["aim"].get(name, {"": False}).values()) for row in rows) for name in means}
    last = {name: f"{reached[name]} of {len(rows)}" for name in means if name != DETECTOR}
    return _figures_table(means, last)


def _clip_table(row: Mapping[str, Any]) -> str:
    missed = {
        name: ", ".join(what for what, ok in aim.items() if not ok) or "reached" for name, aim in row["aim"].items()
    }
    return f"{row['clip']}, {row['frames']} frames:\n\n{_figures_table(row['contenders'], missed)}"


def _figures_table(figures: Mapping[str, Mapping[str, float]], last: Mapping[str, str]) -> str:
    """One row a contender; where the detector is one, by how much the others are below it, and `last`, of the aim."""
    own = figures.get(DETECTOR)
    below = ("mpjpe_mm", "p_mpjpe_mm", "acceleration_m_s2") if own else ()
    heads = [heading for heading, _ in MEASURES.values()]
    heads += [f"{MEASURES[name][0].rsplit(' ', 1)[0]} below by %" for name in below]
    lines = [f"| | {' | '.join(heads)} |{' aim |' if own else ''}", "| --- |" + " ---: |" * len(heads)]
    lines[1] += " --- |" if own else ""
    for name, row in figures.items():
        cells = [_number(row[measure], digits) for measure, (_, digits) in MEASURES.items()]
        if own:
            shares = (100 * (1 - row[measure] / own[measure]) for measure in below)
            cells += [_number(share, 0) if name != DETECTOR else "" for share in shares] + [last.get(name, "")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _facts_table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| clip | motion | frames | view ° | pitch ° | roll ° | distance m | format | outside % | way m | height m |",
        "| --- | --- |" + " ---: |" * 5 + " --- |" + " ---: |" * 3,
    ]
    for row in rows:
        told = row["facts"]
        cells = [
            row["clip"],
            told["source"],
            str(row["frames"]),
            *(_number(told[name], 0) for name in ("fov", "pitch", "roll")),
            _number(told["distance_m"], 1),
            "portrait" if told["portrait"] else "landscape",
            *(_number(told[name], digits) for name, digits in (("cut_percent", 0), ("path_m", 1), ("height_m", 2))),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else ""


def plain(value: Any) -> Any:
    """Results as JSON has them: NaN becomes null."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
