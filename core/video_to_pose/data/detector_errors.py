# SPDX-License-Identifier: GPL-3.0-or-later
"""What a detector makes of exact landmarks: errors drawn from a model that was measured, not guessed.

`draw_errors` turns exact projections into keypoints as the detector would give them. Its numbers are a table,
``detector_errors.npz`` beside this file, which ``tools/measure_detector.py`` fits to rendered clips with
`detector_fit.fit`. All lengths of the model are shares of the person's size in the picture (`Circumstances.size`), so
it knows neither pixels nor metres. Right landmarks are left ones seen in a mirror, so the table holds one side.

The error of a landmark is the sum of

- a bias: by the direction the person faces, in axes along and across the trunk, and by the limbs about the landmark,
- noise: a part that stays for the whole clip, one that lasts, one of each frame, correlated between landmarks; their
  spread depends on whether the landmark is in view, hidden by the body or outside the picture, and itself wanders, from
  clip to clip and within one, which makes the tails heavy. What lasts does so while the limb keeps still: a detector
  errs alike in like poses,
- events: sides exchanged (of the arms, the legs, the whole body) or one limb taken for the other, for some time.

The score follows from the error, its cause and a chance that lasts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..files import written_whole
from ..lift.normalize import LIFTER_KEYPOINTS
from ..skeleton import mirror_indices

Floats = NDArray[np.float32]

TABLE = Path(__file__).with_name("detector_errors.npz")

MIRROR = mirror_indices(LIFTER_KEYPOINTS)
KINDS: tuple[str, ...] = tuple(name.removeprefix("left_") for name in LIFTER_KEYPOINTS if not name.startswith("right_"))
"""What a landmark is, whatever its side: rows of the table."""
KIND_OF = np.array([KINDS.index(name.removeprefix("left_").removeprefix("right_")) for name in LIFTER_KEYPOINTS])
SIDE_OF = np.array([-1.0 if name.startswith("right_") else 1.0 for name in LIFTER_KEYPOINTS], dtype=np.float32)

GROUPS: dict[str, tuple[str, ...]] = {
    "face": ("nose", "eye", "ear"),
    "trunk": ("shoulder", "hip"),
    "arm": ("elbow", "wrist", "pinky", "index", "thumb"),
    "leg": ("knee", "ankle", "heel", "foot_index"),
}
"""Kinds of landmarks whose errors last and spread alike."""
GROUP_OF = np.array([next(g for g, kinds in enumerate(GROUPS.values()) if kind in kinds) for kind in KINDS])

VIEWS = 8
"""Directions the person may face, 45° apart, the first towards the camera."""
SEEN, HIDDEN, OUTSIDE = range(3)
SCORE_ERRORS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8], dtype=np.float32)
"""Errors at which the quantiles of the score are known."""
QUANTILES = np.array([0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99], dtype=np.float32)

EVENTS: tuple[str, ...] = ("body exchanged", "arms exchanged", "legs exchanged", "one arm twice", "one leg twice")
"""What happens to whole limbs. The last two have a side: the limb of that side is taken for the other one."""
ASPECTS = 3
"""From the front, from the side, from behind: what the rate of events depends on."""

_FARTHEST = np.float32(0.8)
"""Noise stays below this share of the person's size in the picture: even a wrong guess lies on or near the body."""

_LIMBS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {  # from, to; left ones, "other_" is the right
    "nose": (("left_ear", "nose"), ("other_ear", "nose")),
    "eye": (("left_ear", "nose"), ("left_ear", "other_ear")),
    "ear": (("left_ear", "nose"), ("left_ear", "other_ear")),
    "shoulder": (("left_shoulder", "left_elbow"), ("left_shoulder", "other_shoulder")),
    "elbow": (("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist")),
    "wrist": (("left_elbow", "left_wrist"), ("left_pinky", "left_index")),
    "pinky": (("left_wrist", "left_index"), ("left_pinky", "left_index")),
    "index": (("left_wrist", "left_index"), ("left_pinky", "left_index")),
    "thumb": (("left_wrist", "left_index"), ("left_pinky", "left_index")),
    "hip": (("left_hip", "left_knee"), ("left_hip", "other_hip")),
    "knee": (("left_hip", "left_knee"), ("left_knee", "left_ankle")),
    "ankle": (("left_knee", "left_ankle"), ("left_heel", "left_foot_index")),
    "heel": (("left_knee", "left_ankle"), ("left_heel", "left_foot_index")),
    "foot_index": (("left_knee", "left_ankle"), ("left_heel", "left_foot_index")),
}


def _limb_ends() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(K, 2) landmarks where each landmark's two limb vectors start and end."""
    ends = np.empty((2, len(LIFTER_KEYPOINTS), 2), dtype=np.int64)
    for k in range(len(LIFTER_KEYPOINTS)):
        own, other = ("left_", "right_") if SIDE_OF[k] > 0 else ("right_", "left_")
        for limb, pair in enumerate(_LIMBS[KINDS[KIND_OF[k]]]):
            for end, name in enumerate(pair):
                ends[end, k, limb] = LIFTER_KEYPOINTS.index(name.replace("left_", own).replace("other_", other))
    return ends[0], ends[1]


LIMB_FROM, LIMB_TO = _limb_ends()

_HEAD, _CHEST, _LOINS = len(LIFTER_KEYPOINTS) + np.arange(3)  # middles of ears, shoulders, hips


def _capsules() -> list[tuple[int, int, float, NDArray[np.int64]]]:
    """What hides: ends, radius in metres, and the landmarks that it may hide (not those of its own limb)."""
    index = LIFTER_KEYPOINTS.index

    def parts(side: str, *names: str) -> set[int]:
        return {index(f"{side}_{name}") for name in names}

    arm, leg = ("elbow", "wrist", "pinky", "index", "thumb"), ("knee", "ankle", "heel", "foot_index")
    face = {k for k, name in enumerate(LIFTER_KEYPOINTS) if name.endswith(("nose", "eye", "ear"))}
    trunk = set().union(*(parts(side, "shoulder", "hip") for side in ("left", "right")))
    shapes: list[tuple[int, int, float, set[int]]] = [
        (int(_CHEST), int(_LOINS), 0.12, trunk),
        (int(_HEAD), int(_HEAD), 0.10, face),
    ]
    for side in ("left", "right"):
        at = {name: index(f"{side}_{name}") for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")}
        shapes += [
            (at["shoulder"], at["hip"], 0.10, trunk),
            (at["shoulder"], at["elbow"], 0.05, parts(side, "shoulder", "elbow")),
            (at["elbow"], at["wrist"], 0.04, parts(side, *arm)),
            (at["hip"], at["knee"], 0.075, parts(side, "hip", "knee")),
            (at["knee"], at["ankle"], 0.055, parts(side, *leg)),
        ]
    everything = set(range(len(LIFTER_KEYPOINTS)))
    return [(a, b, radius, np.array(sorted(everything - own))) for a, b, radius, own in shapes]


_CAPSULES = _capsules()


@dataclass(frozen=True, eq=False)
class Circumstances:
    """What the errors of (N, F) frames depend on.

    Attributes:
        size: (N, F) root mean square distance of the landmarks from their mean, pixels.
        across, along: (N, F, 2) unit vectors in the picture: to the right of the trunk's axis, and down it.
        facing: (N, F) radians the person is turned from facing the camera; positive turns their left side away.
        hidden: (N, F, K) 0 … 1, how much the body itself hides the landmark.
        overshoot: (N, F, K, 2) how far the landmark lies outside the picture, pixels; 0 inside.
        limbs: (N, F, K, 2, 2) the two limb vectors of each landmark, pixels.
        moved: (N, F, 6) how far `SIDED_GROUPS` moved since the frame before, against the rest of the person and as a
            share of their size.
    """

    size: Floats
    across: Floats
    along: Floats
    facing: Floats
    hidden: Floats
    overshoot: Floats
    limbs: Floats
    moved: Floats

    @property
    def outside(self) -> NDArray[np.bool_]:
        """(N, F, K) whether the picture does not show the landmark."""
        return (self.overshoot[..., 0] != 0) | (self.overshoot[..., 1] != 0)

    @property
    def state(self) -> NDArray[np.int64]:
        """(N, F, K) `SEEN`, `HIDDEN` or `OUTSIDE`."""
        return np.where(self.outside, OUTSIDE, np.where(self.hidden > 0.5, HIDDEN, SEEN))

    @property
    def aspect(self) -> NDArray[np.int64]:
        """(N, F) whether seen from the front, the side or behind: 0, 1, 2."""
        return np.minimum(np.abs(self.facing) / (np.pi / ASPECTS), ASPECTS - 1).astype(np.int64)


def circumstances(pixels: ArrayLike, landmarks_camera: ArrayLike, half_size: ArrayLike) -> Circumstances:
    """How the person is seen.

    Args:
        pixels: (N, F, K, 2) exact projections of `LIFTER_KEYPOINTS`, from the picture's centre.
        landmarks_camera: (N, F, K, 3) the same in camera space, metres.
        half_size: (N, 2) half the picture's size in the unit of `pixels`.
    """
    p = np.asarray(pixels, dtype=np.float32)
    points = np.asarray(landmarks_camera, dtype=np.float32)
    half = np.asarray(half_size, dtype=np.float32)[:, None, None]
    centred = _centred(p)
    size = np.maximum(np.sqrt(np.mean(_square(centred), axis=2)), 1e-6)

    left, right = ([LIFTER_KEYPOINTS.index(f"{s}_{part}") for part in ("shoulder", "hip")] for s in ("left", "right"))
    middles = (p[:, :, left] + p[:, :, right]) / 2
    down = middles[:, :, 1] - middles[:, :, 0]
    down[..., 1] += 0.15 * size  # a trunk that points at the camera says nothing
    along = down / np.maximum(np.linalg.norm(down, axis=-1, keepdims=True), 1e-9)
    across = np.stack([along[..., 1], -along[..., 0]], axis=-1)
    trunk = points[:, :, left + right].mean(axis=2)
    width = (points[:, :, left] - points[:, :, right]).mean(axis=2)
    beside = width[..., :2] - width[..., 2:] * trunk[..., :2] / np.maximum(trunk[..., 2:], 0.05)
    facing = np.arctan2(width[..., 2], np.sum(beside * across, axis=-1))
    return Circumstances(
        size=size,
        across=across,
        along=along,
        facing=facing,
        hidden=_hidden(points),
        overshoot=np.sign(p) * np.maximum(np.abs(p) - half, 0),
        limbs=p[:, :, LIMB_TO] - p[:, :, LIMB_FROM],
        moved=_moved(centred / size[..., None, None]),
    )


SIDED_GROUPS = np.array(
    [
        GROUP_OF[kind] + (2 if GROUP_OF[kind] >= 2 and side < 0 else 0)
        for kind, side in zip(KIND_OF, SIDE_OF, strict=True)
    ]
)
"""(K,) face, trunk, left arm, left leg, right arm, right leg: what errs by itself."""
_GROUP_OF_SIDED = np.array([0, 1, 2, 3, 2, 3])


def _centred(p: Floats) -> Floats:
    """(N, F, K, 2) against the landmarks' mean; numpy sums a long last axis much faster than a short one."""
    middle = np.stack([np.ascontiguousarray(p[..., axis]).mean(axis=-1) for axis in (0, 1)], axis=-1)
    centred: Floats = p - middle[:, :, None]
    return centred


def _square(vectors: Floats) -> Floats:
    """Square of the length of (..., 2); by columns, which is several times as fast as a sum over two."""
    square: Floats = vectors[..., 0] ** 2 + vectors[..., 1] ** 2
    return square


def _moved(places: Floats) -> Floats:
    square = _square(np.diff(places, axis=1))
    members = (SIDED_GROUPS[:, None] == np.arange(6)).astype(np.float32)
    moved = np.zeros((*places.shape[:2], 6), dtype=np.float32)
    moved[:, 1:] = np.sqrt(square @ (members / members.sum(axis=0)))
    return moved


def _hidden(points: Floats, every: int = 3) -> Floats:
    """(N, F, K) share of the frames about each in which the body stands before the landmark."""
    frames = points.shape[1]
    few = points[:, ::every]  # a body part stays hidden for longer than that
    middles = [few[:, :, [LIFTER_KEYPOINTS.index(f"{s}_{part}") for s in ("left", "right")]].mean(axis=2)
               for part in ("ear", "shoulder", "hip")]  # fmt: skip
    few = np.concatenate([few, np.stack(middles, axis=2)], axis=2)
    z = np.maximum(few[..., 2], 0.05)
    x, y = few[..., 0] / z, few[..., 1] / z
    hidden = np.zeros((*few.shape[:2], len(LIFTER_KEYPOINTS)), dtype=np.float32)
    for a, b, radius, others in _CAPSULES:
        ax, ay, az = x[..., a, None], y[..., a, None], z[..., a, None]
        bx, by, bz = x[..., b, None] - ax, y[..., b, None] - ay, z[..., b, None] - az
        px, py = x[..., others] - ax, y[..., others] - ay
        share = np.clip((px * bx + py * by) / np.maximum(bx * bx + by * by, 1e-9), 0, 1)
        depth = az + share * bz
        distance2 = (px - share * bx) ** 2 + (py - share * by) ** 2
        hidden[..., others] = np.maximum(
            hidden[..., others], (distance2 * depth**2 < radius**2) & (z[..., others] > depth + radius)
        )
    head = z[..., _HEAD]
    for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear"):  # the head hides its own far side
        k = LIFTER_KEYPOINTS.index(name)
        hidden[..., k] = np.maximum(hidden[..., k], z[..., k] > head + (0.03 if name.endswith("ear") else 0.0))
    smooth = hidden.copy()
    smooth[:, 1:] += hidden[:, :-1]
    smooth[:, :-1] += hidden[:, 1:]
    count = np.full(hidden.shape[1], 3.0, dtype=np.float32)
    count[[0, -1]] -= 1 if len(count) > 1 else 2
    smooth /= np.maximum(count, 1)[:, None]
    at = np.minimum(np.arange(frames, dtype=np.float32) / every, len(count) - 1)
    low = at.astype(np.int64)
    part = (at - low)[:, None]
    between = smooth[:, low] * (1 - part) + smooth[:, np.minimum(low + 1, len(count) - 1)] * part
    return between.astype(np.float32)


@dataclass(frozen=True, eq=False)
class DetectorErrors:
    """The measured table. T `KINDS`, G `GROUPS`, E `EVENTS`; lengths in shares of the person's size.

    Attributes:
        bias: (T, VIEWS, 2) mean error of a left landmark across and along the trunk, by `Circumstances.facing`.
        limb_bias: (T, 2, 2) and along and square to its two limb vectors, as shares of their lengths.
        spread: (T, 3) standard deviation of each coordinate's noise: seen, hidden, outside.
        pull: (T,) how far a landmark outside the picture is drawn back to its edge, as a share.
        growth: (T,) what its spread grows by for each person's size it lies outside.
        shares: (G, 3) variances of the parts of the noise: of the clip, lasting, of each frame; they sum to 1.
        lasting: (G, 2) how far the limb moves, as a share of the person's size, and how many seconds pass until the
            lasting part has fallen to 1/e.
        smooth_s: (G,) time constant that smooths it, seconds.
        correlation: (K, K) between the landmarks' noise.
        clip_wander: standard deviation of the logarithm of the spread between clips.
        wander: (G,) and within a clip.
        wander_lasting: (G, 2) how long that lasts, as `lasting`.
        event_rate: (E, ASPECTS) share of time, for events with a side that of each side.
        event_s: (E,) mean duration, seconds.
        score: (T, 3, errors, quantiles) quantiles of the score by state and error.
        score_s: time constant of the score's chance, seconds.
        missing: share of frames in which nobody is found; missing_s their mean duration, seconds.
    """

    bias: Floats
    limb_bias: Floats
    spread: Floats
    pull: Floats
    growth: Floats
    shares: Floats
    lasting: Floats
    smooth_s: Floats
    correlation: Floats
    clip_wander: float
    wander: Floats
    wander_lasting: Floats
    event_rate: Floats
    event_s: Floats
    score: Floats
    score_s: float
    missing: float
    missing_s: float

    def save(self, path: Path) -> None:
        """Write the table. Raises InputError when it cannot be written."""
        columns: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name), dtype=np.float32) for f in fields(self)}
        for name in ("score", "correlation"):  # three digits are plenty, and pack better
            columns[name] = columns[name].astype(np.float16).astype(np.float32)
        with written_whole(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **columns)


def load_errors(path: Path = TABLE) -> DetectorErrors:
    """Read a table; the committed one by default."""
    with np.load(path) as table:
        columns: dict[str, Any] = {f.name: table[f.name] for f in fields(DetectorErrors)}
    scalars = {name: float(column) for name, column in columns.items() if not column.ndim}
    return DetectorErrors(**(columns | scalars))


@cache
def _committed() -> DetectorErrors:
    return load_errors()


def draw_errors(
    pixels: ArrayLike,
    landmarks_camera: ArrayLike,
    half_size: ArrayLike,
    rng: np.random.Generator,
    frame_rate: float = 30.0,
    table: DetectorErrors | None = None,
) -> tuple[Floats, Floats]:
    """Keypoints as the detector would give them.

    Args:
        pixels: (N, F, K, 2) exact projections of `LIFTER_KEYPOINTS`, from the picture's centre, in any unit.
        landmarks_camera: (N, F, K, 3) the same in camera space, metres.
        half_size: (N, 2) half the picture's width and height in the unit of `pixels`.
        rng: source of chance; the same gives the same.
        frame_rate: frames per second.
        table: the model; None takes the committed one.

    Returns:
        (N, F, K, 2) noisy positions in the unit of `pixels` and (N, F, K) scores, 0 where nobody was found.
    """
    table = _committed() if table is None else table
    exact = np.asarray(pixels, dtype=np.float32)
    seen = circumstances(exact, landmarks_camera, half_size)
    count, frames = exact.shape[:2]
    state, size = seen.state, seen.size[..., None]
    overshoot = np.sqrt(_square(seen.overshoot)) / size

    between = np.exp(
        (1 - seen.hidden) * np.log(table.spread[KIND_OF, SEEN]) + seen.hidden * np.log(table.spread[KIND_OF, HIDDEN])
    )
    beyond = table.spread[KIND_OF, OUTSIDE] + table.growth[KIND_OF] * overshoot
    spread = np.where(state == OUTSIDE, beyond, between)
    noise = _noise(table, seen, frame_rate, rng) * _wander(table, seen, frame_rate, rng)[..., None]
    noise *= spread[..., None]
    length = np.sqrt(_square(noise))[..., None] / _FARTHEST
    noise *= np.where(seen.outside[..., None], 1, np.tanh(length) / np.maximum(length, 1e-6))
    error = noise * size[..., None] + bias(table, seen)
    noisy = exact + error
    noisy, magnitude = _events(table, exact, noisy, seen, frame_rate, rng)
    scores = _scores(table, magnitude / size, seen, frame_rate, rng)
    gone = _spells(np.full((count, frames, 1), table.missing, np.float32), np.atleast_1d(table.missing_s),
                   frame_rate, rng)  # fmt: skip
    return noisy, np.where(gone, np.float32(0), scores)


def bias(table: DetectorErrors, seen: Circumstances) -> Floats:
    """(N, F, K, 2) the part of the error that is the same every time, pixels."""
    weights = view_weights(seen.facing)
    right = SIDE_OF < 0
    rows = table.bias[KIND_OF].copy()  # (K, VIEWS, 2)
    rows[right] = rows[right][:, (-np.arange(VIEWS)) % VIEWS] * np.array([-1, 1], dtype=np.float32)
    local = weights @ rows.transpose(1, 0, 2).reshape(VIEWS, -1)
    local = local.reshape(*weights.shape[:2], -1, 2) * seen.size[..., None, None]
    out = local[..., :1] * seen.across[:, :, None] + local[..., 1:] * seen.along[:, :, None]
    along, square = table.limb_bias[KIND_OF, :, 0], table.limb_bias[KIND_OF, :, 1] * SIDE_OF[:, None]
    x, y = seen.limbs[..., 0], seen.limbs[..., 1]
    out[..., 0] += np.sum(along * x - square * y, axis=-1)
    out[..., 1] += np.sum(along * y + square * x, axis=-1)
    return out - seen.overshoot * table.pull[KIND_OF][:, None]


def view_weights(facing: Floats) -> Floats:
    """(..., VIEWS) how much each view's bias counts: linear between the two nearest."""
    at = facing / np.float32(2 * np.pi / VIEWS)
    away = np.abs((at[..., None] - np.arange(VIEWS, dtype=np.float32) + VIEWS / 2) % VIEWS - VIEWS / 2)
    return np.maximum(1 - away, 0).astype(np.float32)


def _noise(table: DetectorErrors, seen: Circumstances, rate: float, rng: np.random.Generator) -> Floats:
    """(N, F, K, 2) correlated, of about unit variance."""
    count, frames, k = seen.hidden.shape
    group = GROUP_OF[KIND_OF]
    shares = np.sqrt(table.shares[group])[:, :, None]  # (K, 3, 1)
    keep = _kept(table.lasting, seen.moved, rate)[:, :, SIDED_GROUPS, None]
    lasting = lasting_noise(rng.standard_normal((count, frames, k, 2), dtype=np.float32), keep)
    _smooth(lasting, np.exp(-1 / (rate * table.smooth_s[group]))[:, None])
    lasting *= shares[:, 1]
    lasting += shares[:, 0] * rng.standard_normal((count, 1, k, 2), dtype=np.float32)
    lasting += shares[:, 2] * rng.standard_normal((count, frames, k, 2), dtype=np.float32)
    root = np.linalg.cholesky(table.correlation.astype(np.float64)).astype(np.float32)
    return np.ascontiguousarray((np.swapaxes(lasting, 2, 3) @ root.T).swapaxes(2, 3))


def _kept(lasting: Floats, moved: Floats, rate: float) -> Floats:
    """(N, F, 6) share of the frame before that each frame keeps."""
    distance, seconds = lasting[_GROUP_OF_SIDED].T
    return np.exp(-moved / distance - 1 / (rate * seconds)).astype(np.float32)


def lasting_noise(white: Floats, keep: Floats) -> Floats:
    """White noise (N, F, ...) of unit variance made to last, in place: each frame keeps a share of the one before.

    `keep` (N, F, ...) broadcasts against it.
    """
    fresh = np.sqrt(1 - keep**2)
    for f in range(1, white.shape[1]):
        white[:, f] = keep[:, f] * white[:, f - 1] + fresh[:, f] * white[:, f]
    return white


def _smooth(noise: Floats, keep: Floats) -> Floats:
    for f in range(1, noise.shape[1]):
        noise[:, f] += keep * (noise[:, f - 1] - noise[:, f])
    return noise


def _wander(table: DetectorErrors, seen: Circumstances, rate: float, rng: np.random.Generator) -> Floats:
    """(N, F, K) factors of the spread, whose mean square is about 1."""
    count, frames, _ = seen.hidden.shape
    keep = _kept(table.wander_lasting, seen.moved, rate)
    within = lasting_noise(rng.standard_normal((count, frames, 6), dtype=np.float32), keep)
    wander = table.wander[_GROUP_OF_SIDED]
    _smooth(within, np.exp(-1 / (rate * table.smooth_s[_GROUP_OF_SIDED])))
    of_clip = rng.standard_normal((count, 1, 1), dtype=np.float32) * table.clip_wander
    factor = np.exp(of_clip + within * wander - table.clip_wander**2 - wander**2)
    return factor.astype(np.float32)[:, :, SIDED_GROUPS]


def event_parts() -> list[tuple[int, NDArray[np.int64]]]:
    """Event and landmarks it befalls: three exchanges, then one limb twice of either side."""
    named = list(zip(KIND_OF, SIDE_OF, strict=True))
    arm = np.array([k for k, (kind, _) in enumerate(named) if KINDS[kind] in GROUPS["arm"]])
    leg = np.array([k for k, (kind, _) in enumerate(named) if KINDS[kind] in GROUPS["leg"]])
    out = [(0, np.arange(len(named))), (1, arm), (2, leg)]
    for event, limb in ((3, arm), (4, leg)):
        out += [(event, limb[SIDE_OF[limb] > 0]), (event, limb[SIDE_OF[limb] < 0])]
    return out


def _events(
    table: DetectorErrors,
    exact: Floats,
    noisy: Floats,
    seen: Circumstances,
    frame_rate: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Positions after exchanges, and the (N, F, K) length of their errors."""
    parts = event_parts()
    kinds = np.array([event for event, _ in parts])
    on = _spells(table.event_rate[kinds][:, seen.aspect].transpose(1, 2, 0), table.event_s[kinds], frame_rate, rng)
    out = noisy.copy()
    for index, (event, landmarks) in enumerate(parts):
        n, f = np.nonzero(on[..., index])
        if not len(n):
            continue
        rows = (n[:, None], f[:, None], landmarks[None])
        other = (n[:, None], f[:, None], MIRROR[landmarks][None])
        out[rows] = noisy[other] if event < 3 else exact[other] + noisy[rows] - exact[rows]
    return out, np.sqrt(_square(out - exact))


def _spells(share: Floats, seconds: Floats, frame_rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(N, F, E) states that are on for the given share of time (N, F, E) and last (E,) seconds on average."""
    share = np.clip(share, 0, 0.9)
    stop = np.minimum(1 / np.maximum(np.asarray(seconds) * frame_rate, 1.0), 1.0).astype(np.float32)
    start = stop * share / (1 - share)
    chance = rng.random(share.shape, dtype=np.float32)
    on = np.empty(share.shape, dtype=bool)
    on[:, 0] = chance[:, 0] < share[:, 0]
    for f in range(1, share.shape[1]):
        on[:, f] = np.where(on[:, f - 1], chance[:, f] >= stop, chance[:, f] < start[:, f])
    return on


def _scores(
    table: DetectorErrors, error: Floats, seen: Circumstances, frame_rate: float, rng: np.random.Generator
) -> Floats:
    """(N, F, K) from the quantiles at each error, by a chance that lasts and that the landmarks of a limb share."""
    count, frames, k = error.shape
    keep = np.full((1, frames, 1), np.exp(-1 / (frame_rate * table.score_s)), dtype=np.float32)
    luck = lasting_noise(rng.standard_normal((count, frames, 6), dtype=np.float32), keep)
    _smooth(luck, np.exp(-1 / (frame_rate * np.float32(0.1))))
    luck = 0.95 * luck[:, :, SIDED_GROUPS] + 0.31 * rng.standard_normal((count, 1, k), dtype=np.float32)
    share = 1 / (1 + np.exp(-1.702 * luck))  # nearly the normal distribution's
    at = np.interp(share, QUANTILES, np.arange(len(QUANTILES))).astype(np.float32)
    low = np.minimum(at.astype(np.int64), len(QUANTILES) - 2)
    part = (at - low).astype(np.float32)
    logarithm = np.log(np.maximum(error, 1e-4))
    row_at = np.interp(logarithm, np.log(SCORE_ERRORS), np.arange(len(SCORE_ERRORS))).astype(np.float32)
    row = np.minimum(row_at.astype(np.int64), len(SCORE_ERRORS) - 2)
    row_part = (row_at - row).astype(np.float32)
    flat = table.score.reshape(-1)

    def told(state: int | NDArray[np.int64]) -> Floats:
        base = ((KIND_OF * 3 + state) * len(SCORE_ERRORS) + row) * len(QUANTILES) + low
        near = flat[base] + part * (flat[base + 1] - flat[base])
        base += len(QUANTILES)
        far = flat[base] + part * (flat[base + 1] - flat[base])
        return near + row_part * (far - near)

    in_view = told(np.where(seen.outside, OUTSIDE, SEEN))
    hidden = np.where(seen.outside, 0, seen.hidden).astype(np.float32)
    return in_view + hidden * (told(HIDDEN) - in_view) if hidden.any() else in_view
