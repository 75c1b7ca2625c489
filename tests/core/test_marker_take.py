# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in space become a Take without lifting: ours exactly, others' by name, what they lack by proportion."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import walker
from video_to_pose import bones, motion, retarget
from video_to_pose.errors import InputError
from video_to_pose.formats import recorded, table, trc
from video_to_pose.formats import take as take_format
from video_to_pose.formats.markers import Markers
from video_to_pose.marker_take import NEEDED, take_from_markers
from video_to_pose.rotation import axis_angle_to_matrix
from video_to_pose.settings import CameraSettings, CaptureSettings, MotionSettings, RetargetSettings
from video_to_pose.skeleton import BODY_22, BODY_32
from video_to_pose.types import Take

EXAMPLE = Path(__file__).parents[2] / "examples" / "wave.npz"
JOINTS, PLANTED = walker.walk(3.0)
TURNS = {  # the file's axes in terms of ours, for each axis that may point up
    "z": lambda p: p,
    "y": lambda p: np.stack([p[..., 0], p[..., 2], -p[..., 1]], axis=-1),
    "x": lambda p: np.stack([p[..., 2], p[..., 0], p[..., 1]], axis=-1),
    "-y": lambda p: np.stack([p[..., 0], -p[..., 2], p[..., 1]], axis=-1),
    "-z": lambda p: p * [1, -1, -1],
}


@pytest.fixture(scope="module")
def take() -> Take:
    view = walker.seen(JOINTS)
    solved, camera = motion.solve(view.track, view.pose, walker.KNOWN_CAMERA, MotionSettings())
    return Take(view.track, solved, camera, {})


def world(take: Take) -> np.ndarray:
    solved = take.motion
    return bones.compose(solved.skeleton, solved.directions, solved.lengths, solved.root)


def points(names) -> dict[str, np.ndarray]:
    return {name: JOINTS[:, BODY_22.index(name)] for name in names}


def wide(path, columns: dict[str, np.ndarray], times=None):
    """A table as FreeMoCap writes it: a row a frame, no other columns."""
    names = [f"{name}_{axis}" for name in columns for axis in "xyz"]
    rows = np.concatenate(list(columns.values()), axis=1)
    lines = [
        ",".join(
            [*([f"{times[i]:.6f}"] if times is not None else []), *("" if np.isnan(v) else f"{v:.5f}" for v in row)]
        )
        for i, row in enumerate(rows)
    ]
    path.write_text("\n".join([",".join([*(["timestamp"] if times is not None else []), *names]), *lines]) + "\n")
    return path


def taken(path, rate=None, up=None, **settings) -> Take:
    found = recorded.read(path)
    assert isinstance(found, Markers)
    return take_from_markers(found.completed(rate, up), CaptureSettings(**settings))


@pytest.mark.parametrize(("write", "name"), [(table.write_take, "a.csv"), (trc.write, "a.trc")])
def test_a_takes_joints_come_back_as_they_were(tmp_path, take, write, name):
    write(take, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    back = taken(tmp_path / name)
    np.testing.assert_allclose(back.motion.timestamps, take.motion.timestamps, atol=1e-5)
    np.testing.assert_allclose(world(back), world(take), atol=5e-5)
    same = back.motion.contacts == take.motion.contacts
    assert same.mean() > 0.95 and back.provenance["markers"]["joints_by_proportion"] == []


def test_knuckles_heels_and_ears_come_back_too(tmp_path, take):
    with np.load(EXAMPLE) as file:
        assert [str(name) for name in file["joint_names"]] == list(BODY_32.joints)
        joints = file["joints_world"][: len(JOINTS)].astype(np.float64)
    directions, lengths = bones.decompose(BODY_32, joints)
    motion32 = replace(
        take.motion,
        skeleton=BODY_32,
        directions=directions,
        lengths=lengths.mean(axis=0),
        root=joints[:, 0],
        confidence=np.ones(joints.shape[:2]),
        contact_names=(),
        contacts=np.zeros((len(joints), 0), bool),
    )
    trc.write(replace(take, motion=motion32), tmp_path / "a.trc")
    back = taken(tmp_path / "a.trc")
    assert back.motion.skeleton.joints == BODY_32.joints
    np.testing.assert_allclose(back.motion.directions, motion32.directions, atol=2e-3)


def test_a_trc_file_is_what_opensim_reads(tmp_path, take):
    trc.write(take, tmp_path / "walk.trc")
    lines = (tmp_path / "walk.trc").read_text().split("\n")
    assert lines[0].split("\t")[:3] == ["PathFileType", "4", "(X/Y/Z)"]
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    assert header["NumMarkers"] == "22" and header["Units"] == "m" and float(header["DataRate"]) == 30
    assert int(header["NumFrames"]) == len(JOINTS) == len([line for line in lines[5:] if line])
    assert lines[3].split("\t")[2::3][:22] == list(BODY_22.joints) and lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"]
    first = [float(cell) for cell in lines[6].split("\t")]
    head_top = first[2 + 3 * BODY_22.index("head_top") :][:3]
    assert first[0] == 1 and 1.2 < head_top[1] < 2  # y is up


@pytest.mark.parametrize("up", TURNS)
@pytest.mark.parametrize("unit", [1.0, 100.0, 1000.0], ids=["m", "cm", "mm"])
def test_limbs_of_markers_are_kept_in_any_axes_and_unit(tmp_path, up, unit):
    away = np.array([0.4, -2.0, 0.7])  # the origin lies anywhere
    columns = {name: TURNS[up](place + away) * unit for name, place in points([*NEEDED, "nose"]).items()}
    found = taken(wide(tmp_path / "mediapipe_body_3d_xyz.csv", columns), rate=30)
    index = [BODY_22.index(name) for name in NEEDED]
    got, wanted = world(found)[:, index], JOINTS[:, index]
    turned = {"x": [1, 2, 0]}.get(up)  # the same way up; which way is north is the file's affair
    got, wanted = (part - part.mean(axis=(0, 1)) for part in (got, wanted))
    if turned is None:
        assert np.linalg.norm(got - wanted, axis=-1).mean() < 0.002
    assert np.abs(got[..., 2] - wanted[..., 2]).mean() < 0.002
    assert found.motion.root[:, 2].mean() == pytest.approx(JOINTS[:, 0, 2].mean(), abs=0.02)  # stands on the floor


def test_what_markers_lack_is_put_by_proportion_and_has_no_confidence(tmp_path):
    found = taken(wide(tmp_path / "a.csv", points(NEEDED)), rate=30)
    guessed = {"spine", "head", "nose", "head_top", "left_toe", "right_toe", "left_hand", "right_hand"}
    assert set(found.provenance["markers"]["joints_by_proportion"]) == guessed
    sure = dict(zip(BODY_22.joints, found.motion.confidence.T, strict=True))
    assert all(not sure[joint].any() for joint in guessed) and all(sure[joint].all() for joint in NEEDED)
    near = np.linalg.norm(world(found) - world(found)[:1, :1] - (JOINTS - JOINTS[:1, :1]), axis=-1).mean(axis=0)
    assert near.max() < 0.12


def test_joints_come_out_of_landmarks_within_millimetres(tmp_path):
    with np.load(EXAMPLE) as file:
        names = [str(name) for name in file["landmark_names"]]
        order = [list(file["joint_names"]).index(joint) for joint in BODY_22.joints]
        columns = {name: 1000.0 * file["landmarks_camera"][:, k] for k, name in enumerate(names)}
        truth = file["joints_world"][:, order]
    found = taken(wide(tmp_path / "mediapipe_body_3d_xyz.csv", columns), rate=30)
    error = np.linalg.norm(fitted(world(found), truth) - truth, axis=-1)
    assert error.mean() < 0.005 and error.mean(axis=0).max() < 0.012


def fitted(points, truth):
    """Points turned and moved as a whole onto the truth."""
    a, b = points.reshape(-1, 3), truth.reshape(-1, 3)
    U, _, V = np.linalg.svd((a - a.mean(axis=0)).T @ (b - b.mean(axis=0)))
    turn = U @ np.diag([1, 1, np.sign(np.linalg.det(U @ V))]) @ V
    return ((a - a.mean(axis=0)) @ turn + b.mean(axis=0)).reshape(points.shape)


def test_who_walks_about_levels_the_floor_unless_it_is_not_flat(tmp_path):
    tilt = axis_angle_to_matrix([1.0, 0.0, 0.0], np.radians(6.0))
    path = wide(tmp_path / "a.csv", {name: place @ tilt.T for name, place in points(NEEDED).items()})
    index = [BODY_22.index(name) for name in NEEDED]
    rise = {}
    for flat in (True, False):
        path_of_root = world(taken(path, rate=30, motion=MotionSettings(flat_floor=flat)))[:, index].mean(axis=1)
        rise[flat] = abs(np.polyfit(path_of_root[:, 1], path_of_root[:, 2], 1)[0])
    assert rise[True] < np.tan(np.radians(2.5)) < np.tan(np.radians(5.0)) < rise[False]


def test_feet_that_stand_are_found(tmp_path):
    feet = {f"{side}_foot_index": JOINTS[:, BODY_22.index(f"{side}_toe")] for side in ("left", "right")}
    found = taken(wide(tmp_path / "a.csv", points(NEEDED) | feet), rate=30)
    heels = [found.motion.contact_names.index(f"{side}_heel") for side in ("left", "right")]
    assert (found.motion.contacts[:, heels] == PLANTED).mean() > 0.85


def test_freemocaps_long_table_is_read(tmp_path):
    lines = ["frame,timestamp,timestamp_by_camera,model,keypoint,x,y,z,reprojection_error"]
    for frame in range(len(JOINTS)):
        for name, place in points(NEEDED).items():
            x, y, z = place[frame] * 1000
            lines.append(f"{frame},,{{}},mediapipe.body,{name},{x:.4f},{y:.4f},{z:.4f},")
        lines.append(f"{frame},,{{}},mediapipe.right_hand,right_wrist,0,0,0,")
    (tmp_path / "recording_by_frame.csv").write_text("\n".join(lines))
    found = taken(tmp_path / "recording_by_frame.csv", rate=30)
    index = [BODY_22.index(name) for name in NEEDED]
    got, wanted = (part[:, index] - part[:, index].mean(axis=(0, 1)) for part in (world(found), JOINTS))
    assert np.linalg.norm(got - wanted, axis=-1).mean() < 0.002


def test_pose2sims_names_are_known(tmp_path, take):
    trc.write(take, tmp_path / "a.trc")
    text = (tmp_path / "a.trc").read_text()
    for side, letter in (("left", "L"), ("right", "R")):
        for part in ("Hip", "Knee", "Ankle", "Shoulder", "Elbow", "Wrist"):
            text = text.replace(f"{side}_{part.lower()}", f"{letter}{part}")
        text = text.replace(f"{side}_toe", f"{letter}BigToe").replace(f"{side}_hand", f"{letter}Nothing")
    (tmp_path / "a.trc").write_text(text.replace("thorax", "Neck").replace("pelvis", "CHip"))
    found = taken(tmp_path / "a.trc")
    assert set(found.provenance["markers"]["joints_by_proportion"]) >= {"left_hand", "right_hand"}
    assert "left_toe" not in found.provenance["markers"]["joints_by_proportion"]


def test_gaps_are_bridged_and_known_as_such(tmp_path):
    columns = points(NEEDED)
    columns["left_wrist"] = columns["left_wrist"].copy()
    columns["left_wrist"][30:36] = np.nan
    found = taken(wide(tmp_path / "a.csv", columns, np.arange(len(JOINTS)) / 30))
    wrist = BODY_22.index("left_wrist")
    assert not found.motion.confidence[30:36, wrist].any() and found.motion.confidence[29, wrist] == 1
    relative = world(found)[:, wrist] - world(found)[:, 0] - (JOINTS[:, wrist] - JOINTS[:, 0])
    assert np.linalg.norm(relative, axis=-1).max() < 0.06


def test_uneven_times_become_even(tmp_path):
    times = np.arange(len(JOINTS)) / 30
    times[1::2] += 0.008
    found = taken(wide(tmp_path / "a.csv", points(NEEDED), times))
    assert np.allclose(np.diff(found.motion.timestamps), found.motion.timestamps[1])


def test_such_a_take_is_saved_fitted_and_measured(tmp_path):
    found = taken(wide(tmp_path / "a.csv", points(NEEDED)), rate=30, camera=CameraSettings(height_m=1.9))
    take_format.save(found, tmp_path / "a.npz")
    back = take_format.load(tmp_path / "a.npz")
    assert motion.standing_height(BODY_22, back.motion.lengths) == pytest.approx(1.9, abs=1e-3)
    rig = retarget.rig_from_motion(back.motion)
    animation = retarget.solve(back.motion, rig, retarget.map_bones(rig), RetargetSettings())
    assert len(animation.timestamps) == len(JOINTS) and np.isfinite(animation.rotations).all()


def test_the_camera_stands_in_front_and_sees_the_person(tmp_path):
    found = taken(wide(tmp_path / "a.csv", points(NEEDED)), rate=30)
    seen = found.camera.to_camera(world(found))
    assert seen[..., 2].min() > 1 and seen[:, BODY_22.index("head_top"), 1].max() < seen[:, 1, 1].min()
    assert "stand-in" in found.provenance["camera"] and found.track.names == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda c: c.pop("left_knee"), "markers-lacking"),
        (lambda c: c.update(left_knee=np.full_like(c["left_knee"], np.nan)), "markers-lacking"),
        (lambda c: c.update(left_knee=c["left_hip"]), "markers-same"),
        (lambda c: c.update({name: place[:1] for name, place in c.items()}), "too-short"),
    ],
)
def test_markers_that_are_no_person_are_told(tmp_path, change, code):
    columns = points(NEEDED)
    change(columns)
    with pytest.raises(InputError) as caught:
        taken(wide(tmp_path / "a.csv", columns), rate=30)
    assert caught.value.code == code and caught.value.hint


def test_a_rate_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="frames a second") as caught:
        taken(wide(tmp_path / "a.csv", points(NEEDED)))
    assert "--frame-rate" in caught.value.hint


@pytest.mark.parametrize("kept", [0.002, 0.01, 0.5, 0.9])
def test_a_trc_file_that_is_cut_off_is_told(tmp_path, take, kept):
    trc.write(take, tmp_path / "a.trc")
    text = (tmp_path / "a.trc").read_text()
    (tmp_path / "a.trc").write_text(text[: int(kept * len(text))])
    with pytest.raises(InputError) as caught:
        recorded.read(tmp_path / "a.trc")
    assert caught.value.code == "trc-invalid"
