# SPDX-License-Identifier: GPL-3.0-or-later
"""The renderer's pictures and its truth agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
moderngl = pytest.importorskip("moderngl", reason="rendering needs pip install .[render]")

from tests.tools.pairs import check_pair  # noqa: E402
from tools import render_clip, render_set  # noqa: E402
from tools.rasterizer import Scene, bone_transforms  # noqa: E402
from tools.wardrobe import SHOE, SKIN, Look, dress, random_look  # noqa: E402
from video_to_pose.data import body as bodies  # noqa: E402
from video_to_pose.data import mocap  # noqa: E402
from video_to_pose.skeleton import BODY_32  # noqa: E402

SHARED = ROOT.parent / "shared"
SIZE = (96, 96)

needs_shared = pytest.mark.skipif(
    not (SHARED / "human" / "base.obj").exists(), reason="the body and the motion are not beside the repository"
)


@pytest.fixture(scope="module", autouse=True)
def gl() -> None:
    try:
        moderngl.create_context(standalone=True, backend="egl").release()
    except Exception as error:
        pytest.skip(f"no OpenGL without a window here (libegl1 and Mesa missing?): {error}")


@pytest.fixture(scope="module")
def body() -> bodies.Body:
    return bodies.load_body(SHARED / "human")


@pytest.fixture(scope="module")
def shot(body) -> render_clip.Shot:
    motion = mocap.load(SHARED / "data" / "mocap" / "test" / "14_37.bvh")
    camera = render_clip.look_at([0, -3, 1], [0, 0, 1], SIZE, 50)
    shadowless = replace(Look(), sun=0.0, ambient=0.9, contact=0.0)
    shot = render_clip.Shot(motion, 0.5, 2 / 30, 30, camera, shadowless)
    return replace(shot, camera=render_clip.front_camera(body, shot, 3.5, 30, 1.4, 50, 5))


@needs_shared
class TestPicturesAgreeWithTruth:
    def test_every_joint_and_landmark_lies_on_the_person(self, body, shot):
        posed = render_clip.pose(body, shot)
        truth = render_clip.truth(body, shot, posed, 0)
        pictures = list(render_clip.pictures(body, shot, posed))
        assert len(pictures) == 2
        empty = _empty(body, shot)
        for picture, joints, landmarks in zip(
            pictures, shot.camera.project(truth["joints_camera"]), truth["landmarks_2d"], strict=True
        ):
            person = np.abs(picture.astype(int) - empty).max(axis=-1) > 6
            assert 0.02 < person.mean() < 0.5
            for x, y in np.concatenate([joints, landmarks]):
                # heels, toes, fingers and ears lie at the outline, where a pixel may miss
                around = person[max(int(y) - 1, 0) : int(y) + 2, max(int(x) - 1, 0) : int(x) + 2]
                assert around.any()

    def test_the_drawn_outline_is_the_skinned_bodys(self, body, shot):
        posed = render_clip.pose(body, shot)
        bare = replace(shot.look, shirt_ease_m=0.0, trouser_ease_m=0.0, hair_volume_m=0.0)
        person = np.abs(
            next(iter(render_clip.pictures(body, replace(shot, look=bare), posed))).astype(int) - _empty(body, shot)
        )
        rows, columns = np.nonzero(person.max(axis=-1) > 12)
        visible = np.unique(body.groups["body"])
        points = shot.camera.project(shot.camera.to_camera(bodies.skin(body, posed, visible)[0]))
        assert columns.min() == pytest.approx(points[:, 0].min(), abs=2)
        assert columns.max() == pytest.approx(points[:, 0].max(), abs=2)
        assert rows.min() == pytest.approx(points[:, 1].min(), abs=2)

    def test_shader_transforms_move_points_as_skinning_does(self, body, shot):
        posed = render_clip.pose(body, shot)
        transforms = bone_transforms(body, posed, 1)
        some = np.arange(0, 13000, 97)
        place = np.concatenate([body.vertices[some], np.ones((len(some), 1))], axis=1)
        moved = np.einsum("vk,vkij,vj->vi", body.weights[some], transforms[body.influences[some]], place)
        np.testing.assert_allclose(moved, bodies.skin(body, posed, some)[1], atol=1e-5)

    def test_the_sun_throws_a_shadow_on_the_floor(self, body, shot):
        sunny = replace(shot, look=replace(Look(), sun=1.2, light=(0.6, 0.2, -0.77)))
        posed = render_clip.pose(body, shot)
        lit = next(iter(render_clip.pictures(body, sunny, posed))).astype(int)
        darker = _empty(body, sunny) - lit
        skin = bodies.skin(body, posed, np.unique(body.groups["body"]))[0]
        axis_hit = skin - np.array(sunny.look.light) * (skin[:, 2:] / sunny.look.light[2])
        x, y = shot.camera.project(shot.camera.to_camera(axis_hit)).round().astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < SIZE[0]) & (y < SIZE[1])
        assert np.median(darker[y[inside], x[inside]].max(axis=-1)) > 10


@needs_shared
class TestWriting:
    def test_writes_a_clip_and_its_truth_and_nothing_else(self, body, shot, tmp_path):
        render_clip.write(body, shot, tmp_path / "a.mp4", seed=3)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.npz"]
        check_pair(tmp_path / "a.mp4", frames=2, size=SIZE)

    def test_leaves_nothing_when_stopped_halfway(self, body, shot, tmp_path, monkeypatch):
        def stopped(*_):
            yield np.zeros((*SIZE[::-1], 3), dtype=np.uint8)
            raise KeyboardInterrupt

        monkeypatch.setattr(render_clip, "pictures", stopped)
        with pytest.raises(KeyboardInterrupt):
            render_clip.write(body, shot, tmp_path / "a.mp4", seed=3)
        assert list(tmp_path.iterdir()) == []

    def test_seeds_choose_shots_that_show_the_person(self, body):
        paths = sorted((SHARED / "data" / "mocap" / "test").glob("14_3*.bvh"))
        shots = [
            render_set.random_shot(body, paths, 0.2, SIZE, None, np.random.default_rng([5, number]))
            for number in range(4)
        ]
        again = render_set.random_shot(body, paths, 0.2, SIZE, None, np.random.default_rng([5, 0]))
        assert again.look == shots[0].look
        np.testing.assert_array_equal(again.camera.position, shots[0].camera.position)
        assert len({shot.look.shirt for shot in shots}) == 4
        for shot in shots:
            joints = bodies.joints(body, render_clip.pose(body, shot), BODY_32)
            assert shot.camera.to_camera(joints)[..., 2].min() > 0.2
            assert render_set.share_outside(shot.camera, joints) < 0.6
            assert shot.frame_rate in render_set.FRAME_RATES

    def test_shots_are_rolled_or_cut_on_demand(self, body):
        paths = sorted((SHARED / "data" / "mocap" / "test").glob("14_3*.bvh"))

        def demanded(number: int, **kind: bool) -> tuple[render_clip.Shot, float]:
            shot = render_set.random_shot(body, paths, 0.2, SIZE, 30, np.random.default_rng([6, number]), **kind)
            joints = bodies.joints(body, render_clip.pose(body, shot), BODY_32)
            return shot, render_set.share_outside(shot.camera, joints)

        for number in range(4):
            R = demanded(number, rolled=True)[0].camera.R_world_camera
            assert 9.9 < abs(np.degrees(np.arctan2(-R[2, 0], -R[2, 1]))) < 30.1
            assert demanded(number, cut=True)[1] > 0.15

    def test_dressing_draws_no_more_skin_than_shows(self, body):
        covered = dress(body, replace(Look(), sleeve=0.95, trouser_leg=1.0))
        summery = dress(body, replace(Look(), sleeve=0.2, trouser_leg=0.35))
        assert np.sum(covered.material == SKIN) < np.sum(summery.material == SKIN)
        soles = covered.places[covered.material == SHOE, 2].min()
        assert soles == pytest.approx(body.vertices[body.sole, 2].min(), abs=1e-6)

    def test_looks_follow_their_seed(self):
        assert random_look(np.random.default_rng(1)) == random_look(np.random.default_rng(1))
        assert random_look(np.random.default_rng(1)) != random_look(np.random.default_rng(2))


def _empty(body: bodies.Body, shot: render_clip.Shot) -> np.ndarray:
    reach = render_clip.pose(body, shot).positions[..., :2]
    scene = Scene(body, shot.look, shot.camera.image_size, [reach.min(axis=(0, 1)), reach.max(axis=(0, 1))])
    try:
        return scene.draw_empty(shot.camera).astype(int)
    finally:
        scene.close()
