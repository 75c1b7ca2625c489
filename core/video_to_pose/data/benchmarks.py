# SPDX-License-Identifier: GPL-3.0-or-later
"""Human3.6M, HumanEva-I and MPI-INF-3DHP from the user's own copies, in the layout the field uses.

``data_3d_<set>.npz`` holds ``positions_3d``: subject -> action -> (F, J, 3) in the world, metres;
``data_2d_<set>_<keypoints>.npz`` holds ``positions_2d``: subject -> action -> one (F, K, 2) of pixels for each camera,
and ``metadata`` with the keypoints' count, layout name and symmetry. MPI-INF-3DHP also comes as
``data_train_3dhp.npz`` / ``data_test_3dhp.npz`` with both in one. docs/data.md says how a user makes them.

The files are pickled dictionaries: they are read by `object_arrays.load_plain`, which runs nothing.
All readers give `Sequence2D3D`, one for each subject, action and camera.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..skeleton import H36M_17, HUMANEVA_15, MPI_INF_3DHP_17, Skeleton
from .lens import LensCamera, calibrate, read_cameras
from .object_arrays import load_plain
from .sequences import Sequence2D3D, action_group

Array = NDArray[np.floating]

H36M_17_OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Which of Human3.6M's 32 recorded joints are the 17 that move on their own, in the order of `skeleton.H36M_17`."""

_COCO_17 = (
    "nose",
    *(
        f"{side}_{part}"
        for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
)
_MPII_16 = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("pelvis", "thorax", "neck", "head_top"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
)
KEYPOINT_LAYOUTS: dict[str, tuple[str, ...]] = {
    "h36m": H36M_17.joints,
    "humaneva15": HUMANEVA_15.joints,
    "3dhp": MPI_INF_3DHP_17.joints,
    "coco": _COCO_17,
    "mpii": _MPII_16,
}
"""Keypoint names by the ``layout_name`` that 2D files carry."""

_3DHP_ORDER = (  # as the data set's test annotations and the one-file layout have them; the pelvis is number 14
    *("head_top", "thorax", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "pelvis", "spine", "head"),
)


@dataclass(frozen=True)
class Benchmark:
    """The facts of a data set that its files do not tell.

    Attributes:
        name: as in file names.
        skeleton: the joints that come out.
        rate: frames per second.
        train: subjects that networks are trained on by convention.
        test: subjects that they are measured on.
        others: subjects that exist beyond those.
        cameras: names of the cameras, in file order.
        image_sizes: width and height of each camera's pictures.
    """

    name: str
    skeleton: Skeleton
    rate: float
    train: tuple[str, ...]
    test: tuple[str, ...]
    others: tuple[str, ...]
    cameras: tuple[str, ...]
    image_sizes: tuple[tuple[int, int], ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        return self.train + self.test + self.others


HUMAN36M = Benchmark(
    name="h36m",
    skeleton=H36M_17,
    rate=50.0,
    train=("S1", "S5", "S6", "S7", "S8"),
    test=("S9", "S11"),
    others=("S2", "S3", "S4", "S10"),
    cameras=("54138969", "55011271", "58860488", "60457274"),
    image_sizes=((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002)),
)
HUMANEVA = Benchmark(
    name="humaneva15",
    skeleton=HUMANEVA_15,
    rate=60.0,
    train=("Train/S1", "Train/S2", "Train/S3"),
    test=("Validate/S1", "Validate/S2", "Validate/S3"),
    others=tuple(
        f"{part}{person}"
        for part in ("Unlabeled/", "Unlabeled/Train/", "Unlabeled/Validate/", "Train/", "Validate/")
        for person in ("S1", "S2", "S3", "S4")
        if part.startswith("Unlabeled") or person == "S4"
    ),
    cameras=("C1", "C2", "C3"),
    image_sizes=((640, 480),) * 3,
)
MPI_INF_3DHP = Benchmark(
    name="3dhp",
    skeleton=MPI_INF_3DHP_17,
    rate=25.0,
    train=tuple(f"S{number}" for number in range(1, 9)),
    test=tuple(f"TS{number}" for number in range(1, 7)),
    others=(),
    cameras=tuple(str(number) for number in range(14)),
    image_sizes=((2048, 2048),) * 14,
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in (HUMAN36M, HUMANEVA, MPI_INF_3DHP)}

_3DHP_OUTDOORS = ("TS5", "TS6")  # these two were filmed in 1920 x 1080


def load_human36m(
    data_3d: str | Path,
    data_2d: str | Path,
    *,
    cameras: str | Path | Mapping[str, Sequence[LensCamera]] | None = None,
    subjects: Collection[str] | None = None,
    actions: Collection[str] | None = None,
) -> list[Sequence2D3D]:
    """Human3.6M from ``data_3d_h36m.npz`` and a ``data_2d_h36m_*.npz``; 32 joints are reduced to 17.

    Args:
        data_3d: world positions; (F, 32, 3) or (F, 17, 3).
        data_2d: keypoints: the exact ones (``_gt``) or detections (``_cpn_ft_h36m_dbb`` and others).
        cameras: where the cameras stand: a ``cameras.json`` (see `lens.read_cameras`), cameras in memory, or a 2D
            file of exact keypoints, out of which they are solved; None: `data_2d` itself is exact.
        subjects: e.g. ``HUMAN36M.test``; None: all in the 3D file.
        actions: action groups, e.g. ``{"Walking"}``; None: all.

    Raises:
        InputError: a file that is unreadable or unsafe, unknown subjects or actions, a wrong number of joints,
            keypoints or cameras, NaN, or fewer frames of 2D than of 3D.
    """
    return _load_world(HUMAN36M, data_3d, data_2d, cameras, subjects, actions)


def load_humaneva(
    data_3d: str | Path,
    data_2d: str | Path,
    *,
    cameras: str | Path | Mapping[str, Sequence[LensCamera]] | None = None,
    subjects: Collection[str] | None = None,
    actions: Collection[str] | None = None,
) -> list[Sequence2D3D]:
    """HumanEva-I from ``data_3d_humaneva15.npz`` and a ``data_2d_humaneva15_*.npz``. Arguments: `load_human36m`.

    Subjects are called ``Train/S1`` … ``Validate/S3``; cameras may be given under ``S1`` for both.
    """
    return _load_world(HUMANEVA, data_3d, data_2d, cameras, subjects, actions)


def load_3dhp(
    data_3d: str | Path,
    data_2d: str | Path | None = None,
    *,
    subjects: Collection[str] | None = None,
    actions: Collection[str] | None = None,
) -> list[Sequence2D3D]:
    """MPI-INF-3DHP, whose 3D is in camera space already. Millimetres and metres are told apart by the body's size.

    Args:
        data_3d: ``data_3d_3dhp.npz`` (``positions_3d``: subject -> action -> (F, 17, 3) for each camera), or one
            file with both, ``data_train_3dhp.npz`` or ``data_test_3dhp.npz`` (``data``: ``S1 Seq1`` -> [camera ->
            ``data_2d``, ``data_3d``; frame rate], ``TS1`` -> ``data_2d``, ``data_3d``, ``valid``).
        data_2d: ``data_2d_3dhp_*.npz`` beside the former; not with the latter.
        subjects: e.g. ``MPI_INF_3DHP.test``; None: all.
        actions: action groups; None: all.

    Raises:
        InputError: as `load_human36m`.
    """
    content = load_plain(data_3d)
    if "data" in content:
        return _load_3dhp_in_one(Path(data_3d), content["data"], subjects, actions)
    if data_2d is None:
        raise InputError(
            f"{data_3d} holds no keypoints.",
            "Give the data_2d_3dhp_….npz too, or a data_train_3dhp.npz or data_test_3dhp.npz that holds both.",
            "benchmark-file-invalid",
        )
    return _load_camera_space(MPI_INF_3DHP, data_3d, content, data_2d, subjects, actions)


def solve_cameras(benchmark: Benchmark, data_3d: str | Path, data_2d_exact: str | Path) -> dict[str, list[LensCamera]]:
    """Every subject's cameras, found from exact pairs; keep them with `lens.write_cameras`.

    Raises:
        InputError: the keypoints are no exact projections of the joints, or as `load_human36m`.
    """
    positions, path = _positions(benchmark, data_3d, load_plain(data_3d)), Path(data_3d)
    keypoints = _Keypoints(benchmark, data_2d_exact)
    return {
        subject: keypoints.solve(subject, _mapping(actions, path, subject)) for subject, actions in positions.items()
    }


def _load_world(
    benchmark: Benchmark,
    data_3d: str | Path,
    data_2d: str | Path,
    cameras: str | Path | Mapping[str, Sequence[LensCamera]] | None,
    subjects: Collection[str] | None,
    actions: Collection[str] | None,
) -> list[Sequence2D3D]:
    path = Path(data_3d)
    positions = _positions(benchmark, path, load_plain(path))
    keypoints = _Keypoints(benchmark, data_2d)
    exact = keypoints
    if isinstance(cameras, (str, Path)):
        if Path(cameras).suffix.lower() == ".json":
            cameras = read_cameras(cameras)
        else:
            exact, cameras = _Keypoints(benchmark, cameras), None
    sequences = []
    for subject in _subjects(benchmark, positions, subjects, path):
        takes = _mapping(positions[subject], path, subject)
        lenses = exact.solve(subject, takes) if cameras is None else _given_cameras(benchmark, cameras, subject)
        for action in _actions(takes, actions):
            world = _joints(benchmark, takes[action], path, f"{subject} {action}")
            views = keypoints.views(subject, action)
            if len(views) != len(lenses):
                raise InputError(
                    f"{subject} {action} has keypoints of {len(views)} cameras in {keypoints.path}, "
                    f"but there are {len(lenses)} cameras.",
                    "The 2D file must list every camera in order; prepare it again.",
                    "benchmark-cameras",
                )
            for camera, (view, lens) in enumerate(zip(views, lenses, strict=True)):
                sequences.append(
                    keypoints.sequence(subject, action, camera, view, lens.to_camera(world), benchmark.rate, lens)
                )
    return _some(sequences, path, actions)


def _load_camera_space(
    benchmark: Benchmark,
    data_3d: str | Path,
    content: dict[str, Any],
    data_2d: str | Path,
    subjects: Collection[str] | None,
    actions: Collection[str] | None,
) -> list[Sequence2D3D]:
    path = Path(data_3d)
    positions = _positions(benchmark, path, content)
    keypoints = _Keypoints(benchmark, data_2d)
    sequences = []
    for subject in _subjects(benchmark, positions, subjects, path):
        takes = _mapping(positions[subject], path, subject)
        for action in _actions(takes, actions):
            views = keypoints.views(subject, action)
            truths = takes[action]
            if isinstance(truths, np.ndarray) and truths.ndim == 3:
                truths = [truths]  # a test subject has one camera
            if len(truths) != len(views):
                raise InputError(
                    f"{subject} {action} has {len(truths)} cameras in {path}, but {len(views)} in {keypoints.path}.",
                    "2D and 3D files must come from the same preparation of the data set.",
                    "benchmark-cameras",
                )
            for camera, (view, truth) in enumerate(zip(views, truths, strict=True)):
                joints = _metres(_joints(benchmark, truth, path, f"{subject} {action}"))
                sequences.append(keypoints.sequence(subject, action, camera, view, joints, benchmark.rate, None))
    return _some(sequences, path, actions)


def _load_3dhp_in_one(
    path: Path, data: Any, subjects: Collection[str] | None, actions: Collection[str] | None
) -> list[Sequence2D3D]:
    table = _mapping(data, path, "data")
    takes: dict[str, dict[str, list[tuple[str, Any, float]]]] = {}
    for key, entry in table.items():
        subject, _, action = str(key).partition(" ")
        if isinstance(entry, Mapping):
            views, rate = {"0": entry}, MPI_INF_3DHP.rate
        elif isinstance(entry, (list, tuple)) and entry and isinstance(entry[0], Mapping):
            views = dict(entry[0])
            rate = float(np.asarray(entry[1]).item()) if len(entry) > 1 else MPI_INF_3DHP.rate
        else:
            raise _not_the_layout(path, f"{key} is neither a dictionary nor a list that begins with one")
        rows = [(str(camera), view, rate) for camera, view in views.items()]
        takes.setdefault(subject, {})[action or subject] = rows
    # names in the file's order first, then sorted into the skeleton's
    order = [_3DHP_ORDER.index(joint) for joint in MPI_INF_3DHP_17.joints]
    sequences = []
    for subject in _subjects(MPI_INF_3DHP, takes, subjects, path):
        for action in _actions(takes[subject], actions):
            for camera, view, rate in takes[subject][action]:
                try:
                    joints, pixels = np.asarray(view["data_3d"]), np.asarray(view["data_2d"])
                except (KeyError, TypeError, IndexError) as error:
                    raise _not_the_layout(path, f"{subject} {action} lacks {error}") from error
                where = f"{subject} {action}"
                _check_counts(joints, (17,), 3, path, where, "joints")
                _check_counts(pixels, (17,), 2, path, where, "keypoints")
                size = (1920, 1080) if subject in _3DHP_OUTDOORS else (2048, 2048)
                scores = np.broadcast_to(np.float32(1.0), pixels.shape[:2])
                sequences.append(
                    Sequence2D3D(
                        subject=subject,
                        action=action,
                        camera=camera,
                        rate=rate,
                        skeleton=MPI_INF_3DHP_17,
                        keypoint_names=MPI_INF_3DHP_17.joints,
                        keypoints=pixels[:, order, :2],
                        scores=pixels[:, order, 2] if pixels.shape[2] > 2 else scores,
                        joints=_metres(joints[:, order]),
                        image_size=size,
                        valid=view.get("valid"),
                    )
                )
    return _some(sequences, path, actions)


class _Keypoints:
    """A 2D file, opened."""

    def __init__(self, benchmark: Benchmark, path: str | Path) -> None:
        self.benchmark, self.path = benchmark, Path(path)
        content = load_plain(path)
        if "positions_2d" not in content:
            raise _not_the_layout(self.path, f"it holds {', '.join(content) or 'nothing'}, not positions_2d")
        self.positions = _mapping(content["positions_2d"], self.path, "positions_2d")
        self.names = _keypoint_names(benchmark, content.get("metadata"), self.path)

    def views(self, subject: str, action: str) -> Sequence[Any]:
        """One (F, K, 2 or 3) for each camera."""
        for where, table, key in (
            ("", self.positions, subject),
            (f"{subject} ", self.positions.get(subject, {}), action),
        ):
            if key not in table:
                raise InputError(
                    f"{where}{key} has 3D joints but no keypoints in {self.path}.",
                    "Use a 2D file of the same data set, or choose subjects and actions that both files hold.",
                    "benchmark-subject-unknown",
                )
        views = self.positions[subject][action]
        if isinstance(views, Mapping):
            views = list(views.values())
        if isinstance(views, np.ndarray) and views.ndim == 3:
            views = [views]
        missing = [camera for camera, view in enumerate(views) if view is None]
        if missing:
            raise InputError(
                f"{subject} {action} has no keypoints of camera {', '.join(map(str, missing))} in {self.path}.",
                "Detect keypoints in that camera's video too, or leave the action out.",
                "benchmark-cameras",
            )
        return list(views)

    def sequence(
        self, subject: str, action: str, camera: int, view: Any, joints: Array, rate: float, lens: LensCamera | None
    ) -> Sequence2D3D:
        where = f"{subject} {action} (camera {camera})"
        pixels = np.asarray(view)
        _check_counts(pixels, (len(self.names),), 2, self.path, where, "keypoints")
        if len(pixels) < len(joints):
            raise InputError(
                f"{where} has {len(pixels)} frames of keypoints in {self.path}, but {len(joints)} of joints.",
                "2D and 3D files must come from the same preparation of the data set.",
                "benchmark-frames",
            )
        pixels = pixels[: len(joints)]  # some Human3.6M videos run on after the captured motion
        scores = np.broadcast_to(np.float32(1.0), pixels.shape[:2])
        names, sizes = self.benchmark.cameras, self.benchmark.image_sizes
        size = sizes[camera] if camera < len(sizes) else sizes[-1]
        if self.benchmark is MPI_INF_3DHP and subject in _3DHP_OUTDOORS:
            size = (1920, 1080)
        return Sequence2D3D(
            subject=subject,
            action=action,
            camera=names[camera] if camera < len(names) else str(camera),
            rate=rate,
            skeleton=self.benchmark.skeleton,
            keypoint_names=self.names,
            keypoints=pixels[..., :2],
            scores=pixels[..., 2] if pixels.shape[2] > 2 else scores,
            joints=joints,
            image_size=size if lens is None else lens.image_size,
            lens=lens,
        )

    def solve(self, subject: str, takes: Mapping[str, Any]) -> list[LensCamera]:
        """The subject's cameras out of exact keypoints."""
        shared = [name for name in self.names if name in self.benchmark.skeleton.joints]
        pick_2d = [self.names.index(name) for name in shared]
        pick_3d = [self.benchmark.skeleton.index(name) for name in shared]
        points: list[list[Array]] = [[] for _ in self.benchmark.cameras]
        pixels: list[list[Array]] = [[] for _ in self.benchmark.cameras]
        for action, positions in takes.items():
            world = _joints(self.benchmark, positions, self.path, f"{subject} {action}")
            views = self.views(subject, action)
            if len(views) != len(self.benchmark.cameras):
                raise InputError(
                    f"{subject} {action} has keypoints of {len(views)} cameras in {self.path}, "
                    f"but {self.benchmark.name} has {len(self.benchmark.cameras)}.",
                    "The 2D file must list every camera in order; prepare it again.",
                    "benchmark-cameras",
                )
            for camera, view in enumerate(views):
                seen = np.asarray(view)
                _check_counts(seen, (len(self.names),), 2, self.path, f"{subject} {action}", "keypoints")
                count = min(len(seen), len(world))
                pair = np.concatenate([world[:count, pick_3d], seen[:count, pick_2d, :2]], axis=-1).reshape(-1, 5)
                pair = pair[np.isfinite(pair).all(axis=1)]
                points[camera].append(pair[:, :3])
                pixels[camera].append(pair[:, 3:])
        lenses = []
        for name, size, world_points, seen_points in zip(
            self.benchmark.cameras, self.benchmark.image_sizes, points, pixels, strict=True
        ):
            try:
                lenses.append(calibrate(np.concatenate(world_points), np.concatenate(seen_points), size))
            except InputError as error:
                message = f"Camera {name} of {subject} cannot be found from {self.path}: {error.message}"
                raise InputError(message, error.hint, error.code) from error
        return lenses


def _positions(benchmark: Benchmark, path: str | Path, content: dict[str, Any]) -> Mapping[str, Any]:
    if "positions_3d" not in content:
        raise _not_the_layout(Path(path), f"it holds {', '.join(content) or 'nothing'}, not positions_3d")
    return _mapping(content["positions_3d"], Path(path), "positions_3d")


def _mapping(value: Any, path: Path, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _not_the_layout(path, f"{what} is no dictionary")
    return value


def _not_the_layout(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} does not have the layout of the field's files: {why}.",
        "docs/data.md shows the layout; check that 2D and 3D files are not exchanged.",
        "benchmark-file-invalid",
    )


def _subjects(
    benchmark: Benchmark, table: Mapping[str, Any], wanted: Collection[str] | None, path: Path
) -> Sequence[str]:
    chosen = list(table if wanted is None else wanted)
    unknown = [subject for subject in chosen if subject not in benchmark.subjects]
    if unknown:
        raise InputError(
            f"{', '.join(map(str, unknown))} {'is' if len(unknown) == 1 else 'are'} no subject of {benchmark.name}"
            f"{f' ({path})' if wanted is None else ''}.",
            f"Its subjects are {', '.join(benchmark.subjects)}; choose among them or use the right file.",
            "benchmark-subject-unknown",
        )
    absent = [subject for subject in chosen if subject not in table]
    if absent:
        raise InputError(
            f"{path} does not hold {', '.join(absent)}.",
            f"It holds {', '.join(map(str, table))}.",
            "benchmark-subject-unknown",
        )
    return chosen


def _actions(takes: Mapping[str, Any], wanted: Collection[str] | None) -> Sequence[str]:
    return [action for action in takes if wanted is None or action_group(action) in wanted or action in wanted]


def _some(sequences: list[Sequence2D3D], path: Path, actions: Collection[str] | None) -> list[Sequence2D3D]:
    if not sequences:
        what = f"no action {', '.join(sorted(actions))}" if actions is not None else "no takes"
        raise InputError(f"{path} holds {what}.", "Check the actions' names.", "benchmark-subject-unknown")
    return sequences


def _joints(benchmark: Benchmark, positions: Any, path: Path, where: str) -> Array:
    """(F, J, 3) float64 of the benchmark's skeleton."""
    array = np.asarray(positions)
    counts = (17, 32) if benchmark is HUMAN36M else (benchmark.skeleton.joint_count,)
    _check_counts(array, counts, 3, path, where, "joints")
    array = array[..., :3].astype(np.float64)
    return array[:, list(H36M_17_OF_32)] if array.shape[1] == 32 else array


def _check_counts(array: Array, counts: tuple[int, ...], width: int, path: Path, where: str, what: str) -> None:
    if array.dtype == object or array.ndim != 3 or array.shape[1] not in counts or array.shape[2] < width:
        raise InputError(
            f"{where} in {path} has {what} of shape {array.shape}; "
            f"expected (frames, {' or '.join(map(str, counts))}, {width}).",
            "Use the file of this data set, with the joint or keypoint layout that its metadata tells.",
            "benchmark-joints",
        )


def _metres(joints: Array) -> Array:
    """Joints in metres, whichever of metres and millimetres they came in: no body is ten metres tall."""
    extent = np.median(np.ptp(joints, axis=1).max(axis=-1)) if len(joints) else 0.0
    return joints / 1000.0 if extent > 10.0 else joints


def _given_cameras(
    benchmark: Benchmark, cameras: Mapping[str, Sequence[LensCamera]], subject: str
) -> Sequence[LensCamera]:
    person = subject.rpartition("/")[2]
    lenses = cameras.get(subject, cameras.get(person))
    if not lenses:
        raise InputError(
            f"There are no cameras for {subject}.",
            f"The cameras given are those of {', '.join(cameras) or 'nobody'}; add this subject's.",
            "benchmark-cameras",
        )
    return lenses


def _keypoint_names(benchmark: Benchmark, metadata: Any, path: Path) -> tuple[str, ...]:
    """Names by the layout that the metadata tells; of a layout unknown here, only the sides."""
    if metadata is None:
        return benchmark.skeleton.joints
    if not isinstance(metadata, Mapping):
        raise _not_the_layout(path, "its metadata is no dictionary")
    layout, count, symmetry = (metadata.get(key) for key in ("layout_name", "num_joints", "keypoints_symmetry"))
    if layout in KEYPOINT_LAYOUTS:
        names = KEYPOINT_LAYOUTS[layout]
    elif layout is None and count in (None, benchmark.skeleton.joint_count):
        names = benchmark.skeleton.joints
    elif count is not None and symmetry is not None:
        names = tuple(f"keypoint_{k}" for k in range(int(count)))
        left, right = _sides(symmetry, int(count), path)
        sides = {k: f"left_keypoint_{n}" for n, k in enumerate(left)}
        sides |= {k: f"right_keypoint_{n}" for n, k in enumerate(right)}
        return tuple(sides.get(k, name) for k, name in enumerate(names))
    else:
        raise _not_the_layout(path, f"its keypoint layout {layout!r} is unknown and it tells no symmetry")
    if count is not None and int(count) != len(names):
        raise InputError(
            f"{path} says that its {layout or benchmark.name} keypoints are {count}, but there are {len(names)}.",
            f"Layouts known are {', '.join(KEYPOINT_LAYOUTS)}.",
            "benchmark-joints",
        )
    if symmetry is not None:
        left, right = _sides(symmetry, len(names), path)
        mirrored = {(names[a], names[b]) for a, b in zip(left, right, strict=True)}
        if any(not a.startswith("left_") or b != "right_" + a[5:] for a, b in mirrored):
            wrong = ", ".join(f"{a} / {b}" for a, b in sorted(mirrored) if b != "right_" + a[5:])
            raise InputError(
                f"{path} pairs left and right otherwise than its layout {layout or benchmark.name} ({wrong}).",
                "The file names another layout than it has, or its sides are exchanged; mend its metadata.",
                "benchmark-joints",
            )
    return names


def _sides(symmetry: Any, count: int, path: Path) -> tuple[list[int], list[int]]:
    try:
        left, right = ([int(index) for index in side] for side in symmetry)
    except (TypeError, ValueError) as error:
        raise _not_the_layout(path, "its keypoints_symmetry is not a pair of lists") from error
    if len(left) != len(right) or any(not 0 <= index < count for index in left + right):
        raise _not_the_layout(path, "its keypoints_symmetry does not pair its keypoints")
    return left, right
