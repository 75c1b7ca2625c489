# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the error model of `detector_errors` to what a detector said of clips whose truth is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..retarget.plant import runs
from .detector_errors import (
    ASPECTS,
    EVENTS,
    GROUP_OF,
    GROUPS,
    KIND_OF,
    KINDS,
    MIRROR,
    OUTSIDE,
    QUANTILES,
    SCORE_ERRORS,
    SEEN,
    SIDE_OF,
    SIDED_GROUPS,
    VIEWS,
    Circumstances,
    DetectorErrors,
    bias,
    circumstances,
    draw_errors,
    event_parts,
    view_weights,
)

Array = NDArray[np.floating]

_FEW = 80  # fewer points than this tell nothing of their own
_GAUSSIAN_LOG_SPREAD = np.pi**2 / 24  # variance of the logarithm of a round Gaussian's length
_MEDIAN_LENGTH = 1.1774  # of a round Gaussian with unit variance of each coordinate


@dataclass(frozen=True, eq=False)
class Observed:
    """A clip's truth and what the detector said of it, K `LIFTER_KEYPOINTS`.

    Attributes:
        pixels: (F, K, 2) exact projections from the picture's centre.
        landmarks: (F, K, 3) camera space, metres.
        half_size: (2,) half the picture's size, pixels.
        found: (F, K, 2) the detector's, from the picture's centre; NaN where it found nobody.
        scores: (F, K).
        frame_rate: frames per second.
    """

    pixels: Array
    landmarks: Array
    half_size: Array
    found: Array
    scores: Array
    frame_rate: float


@dataclass(eq=False)
class _Case:
    """A clip with all that its errors depend on; arrays of (F, K, ...) in shares of the person's size."""

    clip: Observed
    seen: Circumstances
    error: Array  # (F, K, 2) pixels
    state: NDArray[np.int64]
    befallen: NDArray[np.bool_]  # an event, or nobody found
    events: dict[tuple[int, int], tuple[NDArray[np.bool_], NDArray[np.bool_]]]
    residual: Array | None = None  # (F, K, 2) across and along the trunk


def fit(clips: Sequence[Observed], rounds: int = 4, seed: int = 0) -> DetectorErrors:
    """The table whose draws are like what was observed.

    Args:
        clips: the more, and the more varied, the better; fifty clips of two seconds will do.
        rounds: how often spreads and tails are set right by drawing and comparing.
        seed: of those draws.

    Raises:
        InputError: nothing to fit to.
    """
    cases = [_case(clip) for clip in clips if np.isfinite(clip.found).any()]
    if sum(len(case.error) for case in cases) < _FEW:
        raise InputError(
            "There are too few frames with a person to measure a detector's errors on.",
            "Render more clips with tools/render_set.py.",
            "clips-too-few",
        )
    table = _empty()
    table = replace(table, **_bias(cases), **_events(cases))
    _set_residuals(cases, table)
    table = replace(table, **_spread(cases))
    table = replace(table, **_in_time(cases, table))
    table = replace(table, **_scores(cases))
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        table = _set_right(cases, table, rng)
    return table


def _case(clip: Observed) -> _Case:
    seen = circumstances(clip.pixels[None], clip.landmarks[None], clip.half_size[None])
    nobody = np.any(~np.isfinite(clip.found), axis=-1)
    error = np.where(nobody[..., None], 0.0, clip.found - clip.pixels)
    events, befallen = _find_events(clip, seen, nobody)
    return _Case(clip, seen, error, seen.state[0], befallen | nobody, events)


def _find_events(
    clip: Observed, seen: Circumstances, nobody: NDArray[np.bool_]
) -> tuple[dict[tuple[int, int], tuple[NDArray[np.bool_], NDArray[np.bool_]]], NDArray[np.bool_]]:
    """For each event and side the frames in which it is and could be seen, and the landmarks befallen."""
    found, true, size = clip.found, clip.pixels, seen.size[0]
    with np.errstate(invalid="ignore"):
        straight = np.linalg.norm(found - true, axis=-1)
        crossed = np.linalg.norm(found - true[:, MIRROR], axis=-1)
    apart = np.linalg.norm(true - true[:, MIRROR], axis=-1)
    out: dict[tuple[int, int], tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
    befallen = np.zeros(straight.shape, dtype=bool)
    whole = np.zeros(len(true), dtype=bool)
    trunk = np.array([k for k, kind in enumerate(KIND_OF) if KINDS[kind] in GROUPS["trunk"]])
    for event, landmarks in event_parts():
        side = int(SIDE_OF[landmarks[0]]) if event >= 3 else 0
        told = trunk if event == 0 else landmarks
        could = (apart[:, told].mean(axis=1) > (0.2 if event == 0 else 0.35) * size) & ~nobody.any(axis=1)
        mine, theirs = straight[:, told].mean(axis=1), crossed[:, told].mean(axis=1)
        if event < 3:
            on = _held(could & (theirs < 0.5 * mine), theirs < mine)
        else:  # this side lies on the other, which is found where it is
            rest = straight[:, MIRROR[told]].mean(axis=1) < 0.4 * apart[:, told].mean(axis=1)
            on = could & (theirs < 0.4 * mine) & rest
        on &= ~whole
        if event == 0:
            whole = on
        out[event, side] = on, could & (~whole if event else True)
        befallen[:, landmarks] |= on[:, None]
    return out, befallen


def _held(sure: NDArray[np.bool_], likely: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Frames of every likely run that has a sure frame."""
    likely = likely | sure
    run = np.cumsum(np.diff(likely, prepend=False)) * likely  # a number for each run, 0 between them
    return likely & np.isin(run, run[sure])


def _empty() -> DetectorErrors:
    kinds, groups, k = len(KINDS), len(GROUPS), len(KIND_OF)
    zeros = np.zeros
    return DetectorErrors(
        bias=zeros((kinds, VIEWS, 2), np.float32),
        limb_bias=zeros((kinds, 2, 2), np.float32),
        spread=np.full((kinds, 3), 0.05, np.float32),
        pull=zeros(kinds, np.float32),
        growth=zeros(kinds, np.float32),
        shares=np.tile(np.array([0.3, 0.5, 0.2], np.float32), (groups, 1)),
        lasting=np.tile(np.array([0.3, 1.0], np.float32), (groups, 1)),
        smooth_s=np.full(groups, 0.03, np.float32),
        correlation=np.eye(k, dtype=np.float32),
        clip_wander=0.2,
        wander=np.full(groups, 0.3, np.float32),
        wander_lasting=np.tile(np.array([0.3, 1.0], np.float32), (groups, 1)),
        event_rate=zeros((len(EVENTS), ASPECTS), np.float32),
        event_s=np.full(len(EVENTS), 0.2, np.float32),
        score=np.ones((kinds, 3, len(SCORE_ERRORS), len(QUANTILES)), np.float32),
        score_s=0.3,
        missing=0.0,
        missing_s=0.1,
    )


def _members(kind: int) -> list[tuple[int, float]]:
    """Landmarks of a kind with the sides they are read from; the nose counts for both."""
    own = [(int(k), float(SIDE_OF[k])) for k in np.flatnonzero(kind == KIND_OF)]
    return own if len(own) == 2 else [(own[0][0], 1.0), (own[0][0], -1.0)]


def _local(vectors: Array, seen: Circumstances, side: float) -> Array:
    """(F, ..., 2) picture vectors as shares of the size across and along the trunk, mirrored for right landmarks."""
    shape = (-1, *([1] * (vectors.ndim - 2)), 2)
    across, along = seen.across[0].reshape(shape), seen.along[0].reshape(shape)
    size = seen.size[0].reshape(shape[:-1])
    return np.stack([side * np.sum(vectors * across, axis=-1) / size, np.sum(vectors * along, axis=-1) / size], axis=-1)


def _bias(cases: list[_Case]) -> dict[str, Any]:
    """Bias by view and limbs: least squares that heed far points little."""
    by_view, by_limb = np.zeros((len(KINDS), VIEWS, 2)), np.zeros((len(KINDS), 2, 2))
    pull = np.zeros(len(KINDS))
    for kind in range(len(KINDS)):
        rows, told, pulls = [], [], []
        for case in cases:
            for k, side in _members(kind):
                good = ~case.befallen[:, k] & (case.state[:, k] != OUTSIDE)
                weights = view_weights(side * case.seen.facing[0])[good]
                limbs = _local(case.seen.limbs[0, :, k], case.seen, side)[good]
                nothing = np.zeros_like(weights)
                x, y = limbs[..., 0], limbs[..., 1]
                columns = [[weights, nothing, x, -y], [nothing, weights, y, x]]
                rows.append(np.stack([np.concatenate(each, axis=1) for each in columns], axis=1))
                told.append(_local(case.error[:, k], case.seen, side)[good])
                out = ~case.befallen[:, k] & (case.state[:, k] == OUTSIDE)
                over, error = case.seen.overshoot[0, out, k], case.error[out, k]
                far = np.linalg.norm(over, axis=-1) > 0.1 * case.seen.size[0, out]
                pulls.append(-np.sum(error[far] * over[far], axis=-1) / np.sum(over[far] ** 2, axis=-1))
        design, values = np.concatenate(rows), np.concatenate(told)
        if len(design) >= _FEW:
            answer = _robust(design, values)
            by_view[kind] = answer[: 2 * VIEWS].reshape(2, VIEWS).T
            by_limb[kind] = answer[2 * VIEWS :].reshape(2, 2).T
        if len(every := np.concatenate(pulls)) >= _FEW:
            pull[kind] = np.clip(np.median(every), 0, 1)
    return {
        "bias": by_view.astype(np.float32),
        "limb_bias": by_limb.astype(np.float32),
        "pull": pull.astype(np.float32),
    }


def _robust(design: Array, values: Array, rounds: int = 6) -> Array:
    weight = np.ones(len(values))
    ridge = 0.002 * len(values) * np.eye(design.shape[-1])
    answer = np.zeros(design.shape[-1])
    for _ in range(rounds):
        weighted = design * weight[:, None, None]
        normal = np.einsum("nci,ncj->ij", weighted, design) + ridge
        answer = np.linalg.solve(normal, np.einsum("nci,nc->i", weighted, values))
        length = np.linalg.norm(values - design @ answer, axis=-1)
        weight = 1 / (1 + (length / (2 * np.median(length) + 1e-6)) ** 2)
    return answer


def _set_residuals(cases: list[_Case], table: DetectorErrors) -> None:
    for case in cases:
        rest = case.error - bias(table, case.seen)[0]
        case.residual = _local(rest, case.seen, 1.0)


def _lengths(cases: list[_Case], kind: int) -> tuple[Array, NDArray[np.int64], Array]:
    """Lengths of a kind's residuals, their states and overshoots, over all good points."""
    parts = []
    for case in cases:
        assert case.residual is not None
        for k in np.flatnonzero(kind == KIND_OF):
            good = ~case.befallen[:, k]
            over = np.linalg.norm(case.seen.overshoot[0, :, k], axis=-1) / case.seen.size[0]
            parts.append((np.linalg.norm(case.residual[good, k], axis=-1), case.state[good, k], over[good]))
    lengths, states, overs = zip(*parts, strict=True)
    return np.concatenate(lengths), np.concatenate(states), np.concatenate(overs)


def _spread(cases: list[_Case]) -> dict[str, Any]:
    """Spread by state, first guess: medians, of the group where a kind has too few points."""
    kinds = len(KINDS)
    spread, known, growth = np.zeros((kinds, 3)), np.zeros((kinds, 3), dtype=bool), np.zeros(kinds)
    for kind in range(kinds):
        lengths, states, overs = _lengths(cases, kind)
        for state in range(3):
            mine = states == state
            known[kind, state] = mine.sum() >= _FEW
            near = mine & (overs < 0.15) if state == OUTSIDE and (mine & (overs < 0.15)).sum() >= _FEW else mine
            spread[kind, state] = np.median(lengths[near]) / _MEDIAN_LENGTH if known[kind, state] else 0.0
        far = (states == OUTSIDE) & (overs > 0.4)
        if far.sum() >= _FEW:
            base = spread[kind, OUTSIDE]
            growth[kind] = np.clip(np.median((lengths[far] / _MEDIAN_LENGTH - base) / overs[far]), 0, 1)
    ratio = np.ones(3)
    for state in range(1, 3):
        both = known[:, state] & known[:, SEEN]
        ratio[state] = np.exp(np.mean(np.log(spread[both, state] / spread[both, SEEN]))) if both.any() else 2.0
    fallback = np.where(known[:, :1], spread[:, :1], 0.05) * np.maximum(ratio, 1.0)
    spread = np.where(known, spread, fallback)
    return {"spread": np.maximum(spread, 1e-3).astype(np.float32), "growth": growth.astype(np.float32)}


def _standard(case: _Case, table: DetectorErrors) -> Array:
    """(F, K, 2) residuals over their spread; NaN where an event was or nobody was found."""
    assert case.residual is not None
    over = np.linalg.norm(case.seen.overshoot[0], axis=-1) / case.seen.size[0][:, None]
    spread = table.spread[KIND_OF, case.state] + np.where(case.state == OUTSIDE, table.growth[KIND_OF] * over, 0)
    return np.where(case.befallen[..., None], np.nan, case.residual / spread[..., None])


def _in_time(cases: list[_Case], table: DetectorErrors) -> dict[str, Any]:
    """How noise lasts, wanders and goes together.

    Directions of the residuals tell how the noise itself lasts, whatever its spread does; their lengths tell how the
    spread wanders, once what the noise's own lengths share is taken away.
    """
    standard = [_standard(case, table) for case in cases]
    lengths = [np.maximum(np.linalg.norm(each, axis=-1), 1e-3) for each in standard]
    logs = [np.log(each) for each in lengths]
    means = np.array([np.nanmean(each) if np.isfinite(each).any() else 0.0 for each in logs])
    found: dict[str, list[Array]] = {name: [] for name in ("shares", "lasting", "smooth_s", "wander", "wander_lasting")}
    rate = float(np.median([case.clip.frame_rate for case in cases]))
    for group in range(len(GROUPS)):
        pairs, turns = _Pairs(), [0.0, 0.0]
        extra = []
        for case, each, length, log, mean in zip(cases, standard, lengths, logs, means, strict=True):
            passed = np.cumsum(case.seen.moved[0], axis=0)
            for k in np.flatnonzero(GROUP_OF[KIND_OF] == group):
                way = each[:, k] / length[:, k, None]
                pairs.add(way, log[:, k] - mean, passed[:, SIDED_GROUPS[k]], case.clip.frame_rate)
                step = np.diff(each[:, k], axis=0)
                step /= np.maximum(np.linalg.norm(step, axis=-1, keepdims=True), 1e-9)
                turn = np.sum(step[1:] * step[:-1], axis=-1)
                turns[0] += np.nansum(turn)
                turns[1] += np.isfinite(turn).sum()
                extra.append(log[:, k] - mean)
        distance, seconds, alike, wandering, weight = pairs.found()
        shares, lasting = _decay(distance, seconds, alike, weight)
        excess = float(np.clip(np.nanvar(np.concatenate(extra)) - _GAUSSIAN_LOG_SPREAD, 0.01, 1.0))
        _, wander_lasting = _decay(distance, seconds, wandering / excess, weight, whole=True)
        onward = float(np.clip(_unalike(np.array(turns[0] / max(turns[1], 1))), 0.02, 0.7))
        found["shares"].append(shares)
        found["lasting"].append(lasting)
        found["smooth_s"].append(np.array(-1 / (rate * np.log(onward))))
        found["wander"].append(np.array(np.sqrt(excess)))
        found["wander_lasting"].append(wander_lasting)
    return {
        "correlation": _correlation([np.clip(each, -3, 3) for each in standard]),
        "clip_wander": float(np.clip(np.std(means), 0.05, 1.0)),
        **{name: np.array(rows, dtype=np.float32) for name, rows in found.items()},
    }


class _Pairs:
    """Sums over pairs of frames, by the frames between them and the way the limb went meanwhile."""

    LAGS = (1, 2, 3, 5, 8, 12, 18, 26, 36)
    EDGES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)

    def __init__(self) -> None:
        self.sums = np.zeros((len(self.LAGS), len(self.EDGES) + 1, 5))  # cosines, logs, ways, seconds, count

    def add(self, way: Array, log: Array, passed: Array, rate: float) -> None:
        """Directions (F, 2), logarithms of lengths (F,), path length so far (F,) of one landmark."""
        for row, lag in enumerate(self.LAGS):
            if lag >= len(way):
                break
            cosine, product = np.sum(way[lag:] * way[:-lag], axis=-1), log[lag:] * log[:-lag]
            distance = passed[lag:] - passed[:-lag]
            good = np.isfinite(cosine)
            columns = np.searchsorted(self.EDGES, distance[good])
            values = (cosine[good], product[good], distance[good], np.full(good.sum(), lag / rate), np.ones(good.sum()))
            for column, value in enumerate(values):
                self.sums[row, :, column] += np.bincount(columns, value, len(self.EDGES) + 1)

    def found(self) -> tuple[Array, Array, Array, Array, Array]:
        """Ways, seconds, correlation of the noise, covariance of the spread's logarithm and weights."""
        filled = self.sums[self.sums[..., 4] >= 30]
        count = filled[:, 4]
        cosines, products, distance, seconds = (filled[:, :4] / count[:, None]).T
        alike = _unalike(cosines)
        own = np.sum(alike[:, None] ** (2 * np.arange(1, 60)) / np.arange(1, 60) ** 2, axis=1) / 4
        return distance, seconds, alike, products - own, np.sqrt(count)


def _unalike(cosine: Array) -> Array:
    """Correlation of two round Gaussians whose directions have this mean cosine."""
    correlation = np.linspace(0, 1, 201)
    term, total = np.ones_like(correlation), np.ones_like(correlation)
    for n in range(400):
        term = term * (0.5 + n) ** 2 / ((2 + n) * (1 + n)) * correlation**2
        total = total + term
    return np.interp(cosine, np.pi / 4 * correlation * total, correlation)


def _decay(distance: Array, seconds: Array, alike: Array, weight: Array, whole: bool = False) -> tuple[Array, Array]:
    """Shares of the clip's, the lasting and each frame's part, and the way and seconds that the lasting one lasts.

    `whole`: all of it is the lasting part.
    """
    best = (np.inf, np.array([0.0, 1.0, 0.0]), np.array([0.3, 1.0]))
    weight = weight / (0.05 + seconds)  # near pairs tell most about jitter
    for way in np.geomspace(0.03, 4, 22):
        for time in (0.1, 0.2, 0.4, 0.8, 1.6, 5.0, 20.0):
            decay = np.exp(-distance / way - seconds / time)
            for constant in (0.0,) if whole else np.linspace(0, 0.5, 11):
                top = weight * decay
                share = 1.0 if whole else float(np.clip(top @ (alike - constant) / (top @ decay), 0, 1 - constant))
                misfit = float(np.sum(weight * (constant + share * decay - alike) ** 2))
                if misfit < best[0]:
                    best = (misfit, np.array([constant, share, 1 - constant - share]), np.array([way, time]))
    return best[1], best[2]


def _correlation(bounded: list[Array]) -> Array:
    """(K, K) of the residuals, alike for both sides, made positive definite."""
    k = len(KIND_OF)
    total, count = np.zeros((k, k)), np.zeros((k, k))
    for each in bounded:
        known = np.isfinite(each)
        values = np.where(known, each, 0.0)
        total += np.einsum("fic,fjc->ij", values, values)
        count += np.einsum("fic,fjc->ij", known.astype(float), known.astype(float))
    product = total / np.maximum(count, 1)
    product = (product + product[MIRROR][:, MIRROR]) / 2
    scale = np.sqrt(np.maximum(np.diag(product), 1e-9))
    values, vectors = np.linalg.eigh(product / np.outer(scale, scale))
    made = (vectors * np.maximum(values, 0.02)) @ vectors.T
    scale = np.sqrt(np.diag(made))
    return (made / np.outer(scale, scale)).astype(np.float32)


def _events(cases: list[_Case]) -> dict[str, Any]:
    on_frames, could_frames = np.zeros((len(EVENTS), ASPECTS)), np.zeros((len(EVENTS), ASPECTS))
    seconds: list[list[float]] = [[] for _ in EVENTS]
    gone, frames, gaps = 0, 0, []
    for case in cases:
        aspect = case.seen.aspect[0]
        for (event, _), (on, could) in case.events.items():
            for a in range(ASPECTS):
                on_frames[event, a] += np.sum(on & could & (aspect == a))
                could_frames[event, a] += np.sum(could & (aspect == a))
            seconds[event] += [(last - first) / case.clip.frame_rate for first, last in runs(on)]
        nobody = np.any(~np.isfinite(case.clip.found), axis=(1, 2))
        gone, frames = gone + int(nobody.sum()), frames + len(nobody)
        gaps += [(last - first) / case.clip.frame_rate for first, last in runs(nobody)]
    every = on_frames.sum(axis=1, keepdims=True) / np.maximum(could_frames.sum(axis=1, keepdims=True), 1)
    # a view with few frames leans on the others
    rate = (on_frames + 200 * every) / (could_frames + 200)
    return {
        "event_rate": rate.astype(np.float32),
        "event_s": np.array([np.mean(each) if each else 0.1 for each in seconds], dtype=np.float32),
        "missing": gone / max(frames, 1),
        "missing_s": float(np.mean(gaps)) if gaps else 0.1,
    }


def _scores(cases: list[_Case]) -> dict[str, Any]:
    """Quantiles of the score by kind, state and error; of the group, then of all, where points are few."""
    points: list[list[tuple[Array, Array, Array]]] = [[] for _ in KINDS]
    for case in cases:
        length = np.linalg.norm(case.error, axis=-1) / case.seen.size[0][:, None]
        good = np.all(np.isfinite(case.clip.found), axis=-1)
        for k, kind in enumerate(KIND_OF):
            mine = good[:, k]
            points[kind].append((length[mine, k], case.clip.scores[mine, k], case.state[mine, k]))
    joined = [tuple(np.concatenate(each) for each in zip(*rows, strict=True)) for rows in points]
    out = np.zeros((len(KINDS), 3, len(SCORE_ERRORS), len(QUANTILES)), dtype=np.float32)
    for kind in range(len(KINDS)):
        alike = [other for other in range(len(KINDS)) if GROUP_OF[other] == GROUP_OF[kind]]
        for state in range(3):
            for row, about in enumerate(SCORE_ERRORS):
                for kinds, widths in (([kind], (1.5, 2.0)), (alike, (1.5, 2.0, 4.0)), (range(len(KINDS)), (2.0, 1e9))):
                    scores = _near(kinds, joined, state, float(about), widths)
                    if scores is not None:
                        break
                out[kind, state, row] = 1.0 if scores is None else np.quantile(scores, QUANTILES)
    return {"score": out, "score_s": _score_seconds(cases)}


def _score_seconds(cases: list[_Case], lag: int = 6) -> float:
    """Time constant with which scores of the limbs change, from how alike they are some frames later."""
    products, squares, rates = 0.0, 0.0, []
    every = np.concatenate([case.clip.scores for case in cases]).mean(axis=0)
    limbs = GROUP_OF[KIND_OF] >= 2
    for case in cases:
        scores = (case.clip.scores - every)[:, limbs]
        products += float(np.sum(scores[lag:] * scores[:-lag]))
        squares += float(np.sum(scores[lag:] ** 2 + scores[:-lag] ** 2) / 2)
        rates.append(case.clip.frame_rate)
    alike = np.clip(products / max(squares, 1e-9), 0.05, 0.99)
    return float(np.clip(-lag / float(np.median(rates)) / np.log(alike), 0.05, 5.0))


def _near(
    kinds: Iterable[int], joined: list[tuple[Array, ...]], state: int, about: float, widths: Iterable[float]
) -> Array | None:
    """Scores at about that error, from as narrow a stretch of errors as holds enough of them."""
    for width in widths:
        low = 0.0 if about == SCORE_ERRORS[0] else about / width
        high = np.inf if about == SCORE_ERRORS[-1] else about * width
        scores = np.concatenate(
            [joined[k][1][(joined[k][2] == state) & (joined[k][0] >= low) & (joined[k][0] <= high)] for k in kinds]
        )
        if len(scores) >= _FEW:
            return scores
    return None


def _set_right(cases: list[_Case], table: DetectorErrors, rng: np.random.Generator, copies: int = 2) -> DetectorErrors:
    """Spreads and tails nearer to those observed, by drawing on the same frames and comparing."""
    calm = replace(table, event_rate=np.zeros_like(table.event_rate), missing=0.0)
    drawn: list[list[tuple[Array, Array, Array]]] = [[] for _ in KINDS]
    for case in cases:
        clip = case.clip
        pixels, points, half = (
            np.repeat(each[None], copies, axis=0) for each in (clip.pixels, clip.landmarks, clip.half_size)
        )
        noisy, _ = draw_errors(pixels, points, half, rng, clip.frame_rate, calm)
        rest = noisy - pixels - bias(table, case.seen)
        length = np.linalg.norm(rest, axis=-1) / case.seen.size[..., None]
        for k, kind in enumerate(KIND_OF):
            good = ~case.befallen[:, k]
            drawn[kind].append((length[:, good, k].ravel(), np.tile(case.state[good, k], copies), np.zeros(0)))
    spread, wander = table.spread.copy(), table.wander.copy()
    tails: list[list[float]] = [[] for _ in GROUPS]
    for kind in range(len(KINDS)):
        lengths, states, _ = _lengths(cases, kind)
        mine, drawn_states = (np.concatenate([row[i] for row in drawn[kind]]) for i in (0, 1))
        relative: tuple[list[Array], list[Array]] = ([], [])
        for state in range(3):
            true, made = lengths[states == state], mine[drawn_states == state]
            if len(true) < _FEW:
                continue
            medians = [max(float(np.median(each)), 1e-9) for each in (true, made)]
            spread[kind, state] *= np.clip(medians[0] / medians[1], 0.6, 1.6)
            if state != OUTSIDE:
                relative[0].append(true / medians[0])
                relative[1].append(made / medians[1])
        if relative[0]:
            heavy = [float(np.log(np.quantile(np.concatenate(each), 0.95))) for each in relative]
            tails[GROUP_OF[kind]].append(heavy[0] - heavy[1])
    for group, gaps in enumerate(tails):
        if gaps:
            wander[group] = np.clip(wander[group] + 0.5 * np.mean(gaps), 0.02, 1.2)
    return replace(table, spread=spread, wander=wander)
