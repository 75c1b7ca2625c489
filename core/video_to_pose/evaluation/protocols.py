# SPDX-License-Identifier: GPL-3.0-or-later
"""The papers' protocols: what is averaged over what, and what is done to the input before.

A network is any callable `Lift`; it answers sequences (`answer`), and answers are measured (`figures`). The studies
of single papers stand below with their equation numbers. Everything returned is plain numbers in dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.sequences import Sequence2D3D
from ..errors import InputError
from ..lift.onnx_net import Lift as Lift
from ..lift.onnx_net import flip_augmented as flip_augmented
from ..retarget.plant import runs
from ..skeleton import Skeleton
from . import metrics

Array = NDArray[np.floating]

MEAN = "mean"
"""Key of the unweighted mean over groups in what `figures` returns."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network says of a sequence.

    Attributes:
        sequence: what was asked, and the truth.
        predicted: (F, J, 3) relative to the root, metres. The predicted root counts as it is, as in VideoPose3D.
    """

    sequence: Sequence2D3D
    predicted: Array


def answer(lift: Lift, sequences: Iterable[Sequence2D3D], *, scores: bool = False) -> list[Answer]:
    """Let a network answer sequences.

    Args:
        lift: the network.
        sequences: what is asked.
        scores: whether the network takes a third channel.

    Raises:
        ValueError: an answer has the wrong shape or holds NaN.
    """
    answers = []
    for sequence in sequences:
        predicted = np.asarray(lift(sequence.inputs(scores=scores)))
        if predicted.shape != sequence.joints.shape:
            raise ValueError(f"{sequence.name}: expected {sequence.joints.shape} joints, got {predicted.shape}")
        if not np.isfinite(predicted).all():
            raise ValueError(f"{sequence.name}: the answer holds NaN or infinity")
        answers.append(Answer(sequence, predicted))
    return answers


# -- measuring -----------------------------------------------------------------------------------------------------

Measure = Callable[[Array, Array, float, Sequence[tuple[int, int]]], float]
"""(predicted, true, frame rate, bones) -> a figure."""

MEASURES: dict[str, Measure] = {
    "mpjpe_mm": lambda predicted, true, rate, bones: metrics.mpjpe(predicted, true),
    "p_mpjpe_mm": lambda predicted, true, rate, bones: metrics.p_mpjpe(predicted, true),
    "n_mpjpe_mm": lambda predicted, true, rate, bones: metrics.n_mpjpe(predicted, true),
    "mpjve_mm_per_frame": lambda predicted, true, rate, bones: metrics.mpjve(predicted, true),
    "acceleration_m_s2": lambda predicted, true, rate, bones: metrics.acceleration_error(predicted, true, rate),
    "pck150_percent": lambda predicted, true, rate, bones: metrics.pck(predicted, true),
    "auc_percent": lambda predicted, true, rate, bones: metrics.auc(predicted, true),
    "bone_deviation_mm": lambda predicted, true, rate, bones: (
        metrics.bone_length_deviation(predicted, bones) if len(bones) else float("nan")
    ),
}
"""Every measure by the name that tables and files give it."""

Grouping = Callable[[Sequence2D3D], str]


def by_action(sequence: Sequence2D3D) -> str:
    """Human3.6M's grouping: 15 actions."""
    return sequence.action_group


def by_subject(sequence: Sequence2D3D) -> str:
    return sequence.subject


def by_subject_and_action(sequence: Sequence2D3D) -> str:
    """HumanEva-I's grouping: each person's walk, jog …"""
    return f"{sequence.subject} {sequence.action_group}"


def figures(
    answers: Iterable[Answer],
    *,
    by: Grouping = by_action,
    measures: Mapping[str, Measure] = MEASURES,
    joints: Sequence[str] | None = None,
) -> dict[str, dict[str, float]]:
    """Every measure for every group, and the mean over groups.

    Frames count equally within a group, groups count equally in the mean. Frames that the data set calls invalid
    are left out; time differences never reach across them.

    Args:
        answers: what is measured.
        by: what makes a group; `by_action` and the mean over it are protocols 1 (MPJPE) and 2 (P-MPJPE).
        measures: name -> measure.
        joints: names of those that count; None: all. (MPI-INF-3DHP: ``MPI_INF_3DHP_14.joints``.)

    Returns:
        group -> measure -> figure, and the key `MEAN`. A measure that no clip of a group is long enough for is NaN.

    Raises:
        InputError: no answers, or a joint that a sequence does not have.
    """
    sums: dict[str, dict[str, tuple[float, float]]] = {}
    for one in answers:
        table = sums.setdefault(by(one.sequence), dict.fromkeys(measures, (0.0, 0.0)))
        skeleton = one.sequence.skeleton
        chosen = _chosen(skeleton, joints)
        bones = _bones(skeleton, chosen)
        true, predicted = one.sequence.targets()[:, chosen], one.predicted[:, chosen]
        for run in _runs(one.sequence.valid, one.sequence.frame_count):
            for name, measure in measures.items():
                value = measure(predicted[run], true[run], one.sequence.rate, bones)
                if np.isfinite(value):
                    total, weight = table[name]
                    count = run.stop - run.start
                    table[name] = (total + value * count, weight + count)
    if not sums:
        raise InputError("There are no sequences to measure.", "Choose subjects and actions that exist.", "no-answers")
    result = {
        group: {name: total / weight if weight else float("nan") for name, (total, weight) in table.items()}
        for group, table in sums.items()
    }
    result[MEAN] = {name: _mean([table[name] for table in result.values()]) for name in measures}
    return result


def protocol_1(answers: Iterable[Answer]) -> dict[str, float]:
    """Protocol #1: MPJPE of each action and their mean, mm."""
    return _column(figures(answers, measures={"mpjpe_mm": MEASURES["mpjpe_mm"]}), "mpjpe_mm")


def protocol_2(answers: Iterable[Answer]) -> dict[str, float]:
    """Protocol #2: P-MPJPE of each action and their mean, mm."""
    return _column(figures(answers, measures={"p_mpjpe_mm": MEASURES["p_mpjpe_mm"]}), "p_mpjpe_mm")


def _column(table: Mapping[str, Mapping[str, float]], name: str) -> dict[str, float]:
    return {group: row[name] for group, row in table.items()}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _chosen(skeleton: Skeleton, joints: Sequence[str] | None) -> list[int]:
    if joints is None:
        return list(range(skeleton.joint_count))
    missing = [joint for joint in joints if joint not in skeleton.joints]
    if missing:
        raise InputError(
            f"{skeleton.name} has no {', '.join(missing)} to measure.",
            f"Its joints are {', '.join(skeleton.joints)}.",
            "benchmark-joints",
        )
    return [skeleton.index(joint) for joint in joints]


def _bones(skeleton: Skeleton, chosen: Sequence[int]) -> list[tuple[int, int]]:
    """Index pairs into `chosen` of the bones whose both ends are among them."""
    place = {joint: n for n, joint in enumerate(chosen)}
    return [
        (place[int(parent)], place[int(child)])
        for parent, child in zip(skeleton.bone_parents, skeleton.bone_children, strict=True)
        if parent in place and child in place
    ]


def _runs(valid: NDArray[np.bool_] | None, count: int) -> list[slice]:
    """Stretches of valid frames."""
    if valid is None:
        return [slice(0, count)]
    return [slice(first, last) for first, last in runs(valid)]


# -- what is trained on and what is measured on ----------------------------------------------------------------------


def cross_action(
    train: Sequence[Sequence2D3D], test: Sequence[Sequence2D3D]
) -> Iterator[tuple[str, list[Sequence2D3D], list[Sequence2D3D]]]:
    """SRNet's cross-action protocol (after Ci et al. 2019): train on one action alone, test on all of them.

    Yields:
        the action, the training sequences of that action, all test sequences. The protocol's figure for an action is
        the MEAN of `figures` over the test sequences, and its last column the mean of these.
    """
    for action in dict.fromkeys(sequence.action_group for sequence in train):
        yield action, [sequence for sequence in train if sequence.action_group == action], list(test)


NEAR_NAMES = {"nose": "head", "head": "nose", "neck": "thorax"}
"""Keypoints that stand in for each other between data sets. They feed a network; they are never scored."""


def cross_dataset(
    lift: Lift,
    skeleton: Skeleton,
    keypoint_names: tuple[str, ...],
    sequences: Iterable[Sequence2D3D],
    *,
    scores: bool = False,
    aliases: Mapping[str, str] = NEAR_NAMES,
) -> list[Answer]:
    """Let a network trained on one data set answer another one.

    Keypoints are given by the names that the network was trained with; its answer is compared on the joints that
    both skeletons have, relative to the other data set's root where the network has it.

    Args:
        lift: the network.
        skeleton: the joints it answers.
        keypoint_names: the keypoints it takes.
        sequences: of the other data set.
        scores: whether it takes scores.
        aliases: keypoint wanted -> keypoint that stands in.

    Returns:
        Answers to sequences cut down to the common joints; measure them with `figures`.

    Raises:
        InputError: a keypoint is missing and nothing stands in, or less than three joints are common.
    """
    answers = []
    for sequence in sequences:
        asked = sequence.select(keypoint_names=keypoint_names, aliases=aliases)
        common = _common(sequence.skeleton, skeleton)
        if common.joint_count < 3:
            raise InputError(
                f"{sequence.name} and the network's {skeleton.name} share {common.joint_count} joints.",
                "Use data and a network whose joints have the same names.",
                "benchmark-joints",
            )
        predicted = np.asarray(lift(asked.inputs(scores=scores)))
        predicted = predicted[:, [skeleton.index(joint) for joint in common.joints]]
        answers.append(Answer(asked.select(common), predicted - predicted[:, :1]))
    return answers


def _common(of: Skeleton, other: Skeleton) -> Skeleton:
    """The joints of `of` that `other` has; a lost joint's children hang from its nearest kept ancestor."""
    kept = [joint for joint in range(of.joint_count) if of.joints[joint] in other.joints]

    def ancestor(joint: int) -> int:
        parent = of.parents[joint]
        while parent >= 0 and parent not in kept:
            parent = of.parents[parent]
        return kept.index(parent) if parent >= 0 else 0

    parents = tuple(-1 if n == 0 else ancestor(joint) for n, joint in enumerate(kept))
    return Skeleton(f"{of.name}&{other.name}", tuple(of.joints[joint] for joint in kept), parents)


# -- SRNet: rare poses ----------------------------------------------------------------------------------------------

Kernel = Literal["gaussian", "exponential"]

RARE_SIGMA_M = 0.2
"""SRNet prints no σ; its program has 0.5 m in one script and 0.2 m in another."""


def pose_similarity(a: ArrayLike, b: ArrayLike, sigma: ArrayLike = RARE_SIGMA_M, kernel: Kernel = "gaussian") -> Array:
    """PS of SRNet's equation 9: mean over joints of exp(-‖a_i - b_i‖² / 2 σ_i²), 0 … 1.

    Args:
        a: (..., N, 3) metres.
        b: (..., N, 3), broadcast against `a`.
        sigma: σ, or (N,) one for each joint, metres.
        kernel: ``gaussian`` is the paper's; ``exponential`` its program's, exp(-‖a_i - b_i‖ / σ).
    """
    distance = np.linalg.norm(np.asarray(a) - np.asarray(b), axis=-1)
    return _falloff(distance**2, np.asarray(sigma), kernel).mean(axis=-1)


def _falloff(squared: Array, sigma: Array, kernel: Kernel) -> Array:
    return np.exp(-squared / (2 * sigma**2)) if kernel == "gaussian" else np.exp(-np.sqrt(squared) / sigma)


def occurrence(
    poses: ArrayLike,
    reference: ArrayLike | None = None,
    *,
    sigma: ArrayLike = RARE_SIGMA_M,
    kernel: Kernel = "gaussian",
) -> Array:
    """OCC of SRNet's equation 10: each pose's mean similarity to all poses of a set.

    Args:
        poses: (M, N, 3) root-relative, metres.
        reference: (R, N, 3) the set 𝕆; None: `poses` themselves, as in the paper (its program takes the training set).
        sigma: as in `pose_similarity`.
        kernel: as in `pose_similarity`.

    Returns:
        (M,) 0 … 1, low for rare poses. The work grows with M · R · N: thin the reference for large sets.
    """
    poses = np.asarray(poses, dtype=np.float32)
    others = poses if reference is None else np.asarray(reference, dtype=np.float32)
    count, joints, _ = poses.shape
    sigmas = np.broadcast_to(np.asarray(sigma, dtype=np.float32), (joints,))
    others_squared = (others**2).sum(axis=-1)  # (R, N)
    result = np.empty(count)
    chunk = max(1, 4_000_000 // max(len(others), 1))
    for start in range(0, count, chunk):
        part = poses[start : start + chunk]
        total = np.zeros((len(part), len(others)), dtype=np.float32)
        for joint in range(joints):
            squared = (part[:, joint] ** 2).sum(axis=-1)[:, None] + others_squared[:, joint]
            squared -= 2 * (part[:, joint] @ others[:, joint].T)
            total += _falloff(np.maximum(squared, 0), sigmas[joint], kernel)
        result[start : start + chunk] = total.mean(axis=1, dtype=np.float64) / joints
    return result


def rarest(occurrences: ArrayLike, percent: float) -> NDArray[np.int64]:
    """Indices of the R % of poses with the lowest occurrence, rarest first; at least one."""
    order = np.argsort(np.asarray(occurrences), kind="stable")
    return order[: max(1, round(len(order) * percent / 100))]


def rare_poses(
    answers: Sequence[Answer],
    *,
    percents: Sequence[float] = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100),
    reference: ArrayLike | None = None,
    sigma: ArrayLike = RARE_SIGMA_M,
    kernel: Kernel = "gaussian",
    test_every: int = 1,
    reference_every: int = 1,
) -> dict[str, dict[str, float]]:
    """SRNet's rare-pose protocol: MPJPE on the top R % of rare test poses.

    Args:
        answers: to the test sequences.
        percents: values of R, ascending.
        reference: (R, J, 3) the set 𝕆; None: the test poses, as in the paper. The program's variant: the training
            poses (`targets` of the training sequences), ``kernel="exponential"``, sigma 0.5 or 0.2, ``test_every=5``.
        sigma: metres.
        kernel: see `pose_similarity`.
        test_every: measure every n-th test pose.
        reference_every: compare with every n-th reference pose.

    Returns:
        ``cumulative``: "10" -> mean over the rarest 10 % (figure 5a); ``interval``: "10-20" -> mean of the poses
        between the rarest 10 and 20 % (figure 5b), mm.
    """
    true = _frames([one.sequence.targets() for one in answers], answers)[::test_every]
    predicted = _frames([one.predicted for one in answers], answers)[::test_every]
    others = true if reference is None else np.asarray(reference)
    rarity = occurrence(true, others[::reference_every], sigma=sigma, kernel=kernel)
    errors = 1000 * metrics.joint_errors(predicted, true).mean(axis=1)
    ordered = errors[np.argsort(rarity, kind="stable")]
    ends = [len(rarest(rarity, percent)) for percent in percents]
    names = [f"{percent:g}" for percent in percents]
    between = zip(["0", *names], names, [0, *ends], ends, strict=False)
    return {
        "cumulative": {name: float(ordered[:end].mean()) for name, end in zip(names, ends, strict=True)},
        "interval": {
            f"{low}-{high}": float(ordered[start:end].mean()) if end > start else float("nan")
            for low, high, start, end in between
        },
    }


def _frames(arrays: Iterable[Array], answers: Sequence[Answer]) -> Array:
    """The valid frames of every answer, one after another."""
    kept = [
        array if one.sequence.valid is None else array[one.sequence.valid]
        for array, one in zip(arrays, answers, strict=True)
    ]
    if not sum(map(len, kept)):
        raise InputError("There are no sequences to measure.", "Choose subjects and actions that exist.", "no-answers")
    return np.concatenate(kept)


# -- RIE: global offset, movement range ------------------------------------------------------------------------------


def random_offsets(count: int = 6, limit: float = 0.2, seed: int = 0) -> Array:
    """(count, 2) offsets (Δx, Δy), each between -limit and limit in screen coordinates, smallest first.

    RIE has six and a limit of 0.2; the magnitude 0.375 of its figure 6 lies beyond what that limit allows (0.283).
    """
    offsets = np.random.default_rng(seed).uniform(-limit, limit, (count, 2))
    return offsets[np.argsort(np.linalg.norm(offsets, axis=1))]


def offset_study(
    lift: Lift, sequences: Sequence[Sequence2D3D], offsets: ArrayLike | None = None, *, scores: bool = False
) -> list[dict[str, float]]:
    """RIE's first robustness study: the whole input is shifted, as if the camera had moved, and must stay on screen.

    Args:
        lift: the network.
        sequences: what is asked. For each offset those count whose keypoints all stay within (-1, 1).
        offsets: (O, 2) screen coordinates; None: `random_offsets`.
        scores: whether the network takes scores.

    Returns:
        For each offset ``dx``, ``dy``, ``magnitude``, ``frames`` (how many count) and, over the same frames, MPJPE in
        mm: ``original`` (P_o to P_g), ``shifted`` (P_s to P_g), ``consistency`` (P_o to P_s); NaN without frames.
    """
    chosen = random_offsets() if offsets is None else np.asarray(offsets, dtype=np.float64)
    originals = answer(lift, sequences, scores=scores)
    rows = []
    for offset in chosen:
        totals, frames = np.zeros(3), 0
        for one in originals:
            keypoints = one.sequence.inputs(scores=scores)
            keypoints[..., :2] += offset.astype(np.float32)
            if np.abs(keypoints[..., :2]).max() >= 1:
                continue
            shifted, true = np.asarray(lift(keypoints)), one.sequence.targets()
            valid = slice(None) if one.sequence.valid is None else one.sequence.valid
            for n, (a, b) in enumerate(((one.predicted, true), (shifted, true), (one.predicted, shifted))):
                totals[n] += 1000 * float(metrics.joint_errors(a, b)[valid].mean(axis=1).sum())
            frames += len(true[valid])
        original, after, consistency = totals / frames if frames else np.full(3, np.nan)
        rows.append(
            {
                "dx": float(offset[0]),
                "dy": float(offset[1]),
                "magnitude": float(np.hypot(*offset)),
                "frames": float(frames),
                "original": float(original),
                "shifted": float(after),
                "consistency": float(consistency),
            }
        )
    return rows


def movement_range(keypoints: ArrayLike, window: int) -> Array:
    """MR of RIE's equation 15 for every frame: mean square distance of a window's keypoints to those of its middle.

    MR = 1/T 1/J Σ_t Σ_j ‖k_t^j - k_{T/2}^j‖². Ends are held, as the networks hold them.

    Args:
        keypoints: (F, K, 2) in the network's coordinates.
        window: T, odd.

    Returns:
        (F,).
    """
    keypoints = np.asarray(keypoints, dtype=np.float64)[..., :2]
    frames, count, _ = keypoints.shape
    half = window // 2
    held = keypoints[np.clip(np.arange(-half, frames + half), 0, frames - 1)].reshape(frames + 2 * half, -1)
    flat = held[half : half + frames]

    def windowed(values: Array) -> Array:
        total = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values]), axis=0)
        return total[2 * half + 1 :] - total[: -2 * half - 1]

    # Σ_t ‖k_t - c‖² = Σ_t ‖k_t‖² - 2 c·Σ_t k_t + T ‖c‖²
    squares = windowed((held**2).sum(axis=1, keepdims=True))[:, 0]
    total = squares - 2 * (flat * windowed(held)).sum(axis=1) + (2 * half + 1) * (flat**2).sum(axis=1)
    return np.maximum(total, 0) / ((2 * half + 1) * count)


def movement_study(answers: Sequence[Answer], window: int, parts: int = 10) -> list[dict[str, float]]:
    """RIE's second robustness study: MPJPE in subsets of equal size, least movement first.

    Args:
        answers: to the test sequences.
        window: T, the network's receptive field.
        parts: number of subsets.

    Returns:
        For each subset ``least`` and ``most`` movement range, ``frames`` and ``mpjpe_mm``.
    """
    ranges = _frames([movement_range(one.sequence.inputs(), window)[:, None] for one in answers], answers)[:, 0]
    errors = [metrics.joint_errors(one.predicted, one.sequence.targets()) for one in answers]
    frame_errors = 1000 * _frames(errors, answers).mean(axis=1)
    return [
        {
            "least": float(ranges[part].min()),
            "most": float(ranges[part].max()),
            "frames": float(len(part)),
            "mpjpe_mm": float(frame_errors[part].mean()),
        }
        for part in np.array_split(np.argsort(ranges, kind="stable"), parts)
        if len(part)
    ]


# -- Seq2Seq: noise --------------------------------------------------------------------------------------------------


def with_noise(sequence: Sequence2D3D, sigma_px: float, rng: np.random.Generator) -> Sequence2D3D:
    """The sequence with Gaussian noise N(0, σ) on every keypoint coordinate of every frame, pixels."""
    noise = rng.normal(0.0, 1.0, sequence.keypoints.shape) * sigma_px
    return sequence.with_keypoints(sequence.keypoints + noise)


def noise_study(
    lift: Lift,
    sequences: Sequence[Sequence2D3D],
    sigmas_px: Sequence[float] = (0, 5, 10, 15, 20),
    *,
    seed: int = 0,
    scores: bool = False,
) -> dict[str, dict[str, float]]:
    """Seq2Seq's study of noise (table 3): a network trained on exact keypoints, tested on noisy ones.

    Every σ scales the same noise. The paper's table is protocol 2, on pictures of 1000 pixels.

    Returns:
        "5" -> ``mpjpe_mm`` and ``p_mpjpe_mm``, mean over actions.
    """
    measures = {name: MEASURES[name] for name in ("mpjpe_mm", "p_mpjpe_mm")}
    result = {}
    for sigma in sigmas_px:
        rng = np.random.default_rng(seed)
        noisy = [with_noise(sequence, sigma, rng) for sequence in sequences]
        result[f"{sigma:g}"] = figures(answer(lift, noisy, scores=scores), measures=measures)[MEAN]
    return result
