# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line with other programs' files: a Take's keypoints go out, come back and give nearly the same Take."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.films import write_video
from video_to_pose import bones, cli, lift, pipeline
from video_to_pose.formats import coco, keypoints, recorded, table, take
from video_to_pose.formats.layouts import common_name, hand_names
from video_to_pose.settings import CaptureSettings, LiftSettings
from video_to_pose.skeleton import BODY_22, BODY_25, COCO_17
from video_to_pose.types import KeypointTrack, Take

EXAMPLE = Path(__file__).parents[2] / "examples" / "wave.npz"
FRAMES = 60
LIMBS = [
    BODY_22.index(f"{side}_{part}")
    for side in ("left", "right")
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]


@pytest.fixture(scope="module")
def made() -> Take:
    """A Take of keypoints where they truly are in the example clip."""
    with np.load(EXAMPLE) as file:
        positions = file["landmarks_2d"][:FRAMES]
        names = tuple(str(name) for name in file["landmark_names"])
        size = tuple(int(value) for value in file["image_size"])
        times = file["timestamps"][:FRAMES]
    scores = np.full(positions.shape[:2], 0.95)
    track = KeypointTrack(times - times[0], names, positions, scores, size)
    return pipeline.lift_and_solve(track, lift.load(LiftSettings()), CaptureSettings())


def points_of(track: KeypointTrack, layout, frame: int) -> list[float]:
    """x, y, score of a layout in its order; 0, 0, 0 where the track has no such keypoint."""
    out: list[float] = []
    for name in map(common_name, layout):
        if name in track.names:
            k = track.names.index(name)
            out += [*track.positions[frame, k].tolist(), float(track.scores[frame, k])]
        else:
            out += [0.0, 0.0, 0.0]
    return [round(value, 3) for value in out]


def openpose(track: KeypointTrack, folder: Path, hands: bool) -> Path:
    folder.mkdir()
    for frame in range(track.frame_count):
        person = {"person_id": [-1], "pose_keypoints_2d": points_of(track, BODY_25, frame), "face_keypoints_2d": []}
        for side in ("left", "right"):
            person[f"hand_{side}_keypoints_2d"] = points_of(track, hand_names(side), frame) if hands else []
        content = {"version": 1.3, "people": [person]}
        (folder / f"wave_{frame:012d}_keypoints.json").write_text(json.dumps(content))
    return folder


def lifted(path: Path, out: Path, *options: str) -> Take:
    assert cli.main(["lift", str(path), "-o", str(out), "-q", *options]) == 0
    return take.load(out)


def joints(found: Take) -> np.ndarray:
    motion = found.motion
    return bones.compose(motion.skeleton, motion.directions, motion.lengths, motion.root)


def apart(one: Take, other: Take) -> np.ndarray:
    """(J,) mean distance of joints in millimetres."""
    return 1000 * np.linalg.norm(joints(one) - joints(other), axis=-1).mean(axis=0)


def options_of(made: Take) -> list[str]:
    width, height = made.track.image_size
    return ["--frame-size", f"{width}x{height}", "--frame-rate", f"{made.motion.frame_rate}"]


def test_keypoints_out_as_openpose_and_lifted_give_nearly_the_same_take(made, tmp_path):
    folder = openpose(made.track, tmp_path / "json", hands=True)
    back = lifted(folder, tmp_path / "a.npz", *options_of(made))
    assert back.motion.frame_count == FRAMES and back.provenance["keypoints"]["kind"] == "OpenPose JSON"
    assert "lacking" not in back.provenance["keypoints"]
    assert apart(made, back).max() < 3


def test_without_hands_the_body_stays_and_the_hands_are_known_to_be_guessed(made, tmp_path, capsys):
    folder = openpose(made.track, tmp_path / "json", hands=False)
    assert cli.main(["lift", str(folder), "-o", str(tmp_path / "a.npz"), *options_of(made)]) == 0
    said = capsys.readouterr().err
    assert "left_pinky" in said and "default" in said and "left_heel" not in said
    back = take.load(tmp_path / "a.npz")
    assert apart(made, back)[LIMBS].mean() < 45
    assert not back.motion.confidence[:, BODY_22.index("left_hand")].any()


def test_cocos_seventeen_are_lifted(made, tmp_path):
    entries = [
        {"image_id": f"{f}.jpg", "category_id": 1, "keypoints": points_of(made.track, COCO_17, f), "score": 3.0}
        for f in range(FRAMES)
    ]
    (tmp_path / "alphapose-results.json").write_text(json.dumps(entries))
    back = lifted(tmp_path / "alphapose-results.json", tmp_path / "a.npz", *options_of(made))
    assert apart(made, back)[LIMBS].mean() < 80
    assert set(back.provenance["keypoints"]["lacking"].split()) >= {"left_heel", "right_foot_index", "left_index"}


@pytest.mark.parametrize(("write", "name"), [(coco.write, "a.coco.json"), (table.write_keypoints, "a.csv")])
def test_our_own_exchange_files_need_no_options(made, tmp_path, write, name):
    write(made.track, tmp_path / name)
    assert apart(made, lifted(tmp_path / name, tmp_path / "a.npz")).max() < 3


def test_the_clip_tells_size_and_rate(made, tmp_path):
    folder = openpose(made.track, tmp_path / "json", hands=True)
    clip = write_video(tmp_path / "clip.mp4", size=made.track.image_size)
    back = lifted(folder, tmp_path / "a.npz", "--video", str(clip), "--frame-rate", str(made.motion.frame_rate))
    assert back.track.image_size == made.track.image_size and apart(made, back).max() < 3


@pytest.mark.parametrize("ending", ["csv", "trc"])
def test_a_take_goes_out_and_is_taken_over_again(made, tmp_path, ending):
    take.save(made, tmp_path / "a.npz")
    out = tmp_path / f"a.{ending}"
    assert cli.main(["retarget", str(tmp_path / "a.npz"), "-o", str(out), "-q"]) == 0
    back = lifted(out, tmp_path / "b.npz")
    assert apart(made, back).max() < 0.1
    assert cli.main(["lift", str(out), "-o", str(tmp_path / "b.bvh"), "-q"]) == 0


def test_detected_keypoints_are_written_as_the_ending_says(detector_model, short_example, tmp_path):
    found = {}
    for name in ("a.npz", "a.coco.json", "a.csv"):
        assert cli.main(["detect", str(short_example), "-o", str(tmp_path / name), "-q", "--max-people", "1"]) == 0
        found[name] = recorded.read(tmp_path / name)
    track = keypoints.load(tmp_path / "a.npz")
    for name in ("a.coco.json", "a.csv"):
        people = found[name].completed()
        positions = np.array([one[0].positions for one in people.found])
        seen = track.scores > 0
        np.testing.assert_allclose(positions[seen], track.positions[seen], atol=2e-3)
        np.testing.assert_allclose(people.times, track.timestamps, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--frame-size"),
        (["--frame-size", "1280x720"], "--frame-rate"),
        (["--frame-size", "1280"], "lift --help"),
        (["--frame-size", "1280x720", "--frame-rate", "0"], "10000"),
        (["--video", "nosuch.mp4"], ""),
        (["--frame-size", "1280x720", "--frame-rate", "30", "--person", "7"], ""),
    ],
)
def test_what_a_file_does_not_say_is_asked_for(made, tmp_path, capsys, options, said):
    folder = openpose(made.track, tmp_path / "json", hands=False)
    assert cli.main(["lift", str(folder), "-o", str(tmp_path / "a.npz"), *options]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error:", "hint:"))]
    assert len(lines) == 2 and said in lines[1]
    assert not (tmp_path / "a.npz").exists()
