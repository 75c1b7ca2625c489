# SPDX-License-Identifier: GPL-3.0-or-later
"""Keypoints lie where the camera sees them, at the frame that is shown, and go without a trace."""

from __future__ import annotations

import pytest

from tests import captured

SETUP = """
addon.register()
from video_to_pose_extension import overlay, plate, results
clear()
scene, fields = bpy.context.scene, bpy.context.scene.video_to_pose
fields.match_scene, fields.camera, fields.field_of_view, fields.start = True, True, np.radians(60.0), "world"
scene.frame_start = 11

def lay(path=sys.argv[1]):
    bpy.ops.video_to_pose.apply_take(filepath=path)
    return bpy.context.object

def camera():
    return next(ob for ob in scene.objects if ob.type == "CAMERA")
"""


@pytest.fixture
def walk(tmp_path):
    return captured.saved(tmp_path / "walk.npz")


@pytest.mark.parametrize("size", [(1280, 720), (1080, 1920), (1000, 1000), (3000, 700)])
def test_a_pixel_of_the_video_is_where_blenders_camera_sees_it(blender, walk, size):
    got = blender.run(
        SETUP
        + f"""
from bpy_extras.object_utils import world_to_camera_view
scene.render.resolution_x, scene.render.resolution_y = {size}
fields.match_scene = False
lay()
camera = camera()
bpy.context.view_layer.update()
pixels = np.array([[640.0, 360.0], [0.0, 0.0], [1280.0, 720.0], [100.0, 600.0]])
world = overlay.rays(camera.data, pixels, (1280, 720)) @ np.array(camera.matrix_world)[:3, :3].T + np.array(camera.location)
width, height = {size}
fit = min(width / 1280, height / 720)  # the video fits into the frame, as camera backgrounds do
worst = 0.0
for pixel, place in zip(pixels, world):
    seen = world_to_camera_view(scene, camera, __import__("mathutils").Vector(place))
    wanted = ((pixel - [640, 360]) * fit + [width / 2, height / 2]) / [width, height]
    worst = max(worst, abs(seen.x - wanted[0]) * width, abs(1 - seen.y - wanted[1]) * height)
answer(worst)
""",
        walk,
    )
    assert got < 0.05


def test_keypoints_and_character_agree_in_the_view(blender, walk):
    got = blender.run(
        SETUP
        + """
from bpy_extras.object_utils import world_to_camera_view
armature = lay()
(person,) = overlay.people(scene, camera())
track, worst = person.track, []
for frame in range(11, 71, 7):
    scene.frame_set(frame)
    moment = person.moment(frame)
    for bone, name in (("LeftHand", "left_wrist"), ("RightLeg", "right_knee"), ("LeftFoot", "left_ankle")):
        seen = world_to_camera_view(scene, camera(), armature.matrix_world @ armature.pose.bones[bone].head)
        pixel = track.positions[moment, track.names.index(name)]
        worst.append(float(np.linalg.norm(np.array([seen.x * 1280, (1 - seen.y) * 720]) - pixel)))
answer(float(np.mean(worst)))
""",
        walk,
    )
    assert got < 15  # of 1280 pixels: the motion is smoothed, keypoints are not


@pytest.mark.parametrize("rate", [24, 30, 60])
def test_the_frame_is_that_of_the_video(blender, walk, rate):
    got = blender.run(
        SETUP
        + f"""
scene.render.fps, fields.match_scene = {rate}, False
lay()
(person,) = overlay.people(scene, camera())
answer([person.moment(f) for f in (9, 11, 12, 11 + {rate}, 11.5 + {rate}, 11 + 2 * {rate})])
""",
        walk,
    )
    assert got == [None, 0, 1, 30, int(30.5 + 15 / rate), None]


def test_a_strip_that_is_moved_takes_its_keypoints_along(blender, walk):
    got = blender.run(
        SETUP
        + """
lay()
bpy.ops.video_to_pose.push_down()
strip = results.shown(bpy.context).strip
strip.frame_start += 100; strip.frame_end += 100
(person,) = overlay.people(scene, camera())
answer([person.moment(11), person.moment(111), person.moment(121)])
""",
        walk,
    )
    assert got == [None, 0, 10]


def test_people_of_one_video_are_shown_together_and_other_cameras_show_nobody(blender, walk, tmp_path):
    other = captured.saved(tmp_path / "second.npz", frames=30)
    got = blender.run(
        SETUP
        + """
fields.video = "/some/clip.mp4"
lay()
first = camera()
fields.camera = False
lay(sys.argv[2])
together = len(overlay.people(scene, first))
fields.video = "/another/clip.mp4"
lay(sys.argv[2])
own = bpy.data.objects.new("own", bpy.data.cameras.new("own"))
scene.collection.objects.link(own)
answer([together, len(overlay.people(scene, first)), len(overlay.people(scene, own))])
""",
        walk,
        other,
    )
    assert got == [2, 2, 0]


def test_a_take_that_is_gone_or_damaged_shows_nothing(blender, walk):
    got = blender.run(
        SETUP
        + """
lay()
shown = [len(overlay.people(scene, camera()))]
Path(sys.argv[1]).write_bytes(b"no take")
shown.append(len(overlay.people(scene, camera())))
Path(sys.argv[1]).unlink()
shown.append(len(overlay.people(scene, camera())))
answer(shown)
""",
        walk,
    )
    assert got == [1, 0, 0]


def test_lines_dots_and_colours(blender):
    got = blender.run(
        """
from video_to_pose_extension import overlay
lines = overlay.lines_between(("left_hip", "left_knee", "left_ankle", "left_big_toe", "nose")).tolist()
corners, triangles = overlay.dots(np.array([[10.0, 20.0], [0.0, 0.0]]), np.array([2.0, 5.0]))
reach = np.linalg.norm(corners.reshape(2, -1, 2)[:, 1:] - [[[10, 20]], [[0, 0]]], axis=-1)
hues = overlay.colours(np.array([0.0, 0.5, 1.0]), 0.5).round(2).tolist()
matrix = np.diag([1.0, 1.0, 1.0, 1.0]); matrix[3] = [0, 0, -1, 0]
places = overlay.in_region(np.array([[0.0, 0, -1], [0.5, -0.5, -1]]), matrix, (200, 100)).tolist()
answer([lines, reach.min(axis=1).tolist(), triangles.max().item(), len(triangles), hues, places])
"""
    )
    lines, reach, last, count, hues, places = got
    assert sorted(map(tuple, lines)) == [(0, 1), (1, 2), (2, 3)]
    assert reach == pytest.approx([2.0, 5.0]) and last == 21 and count == 20
    red, yellow, blue = hues
    assert red[0] > 0.9 > red[2] and min(yellow[:2]) > 0.7 and blue[2] > 0.9 > blue[0]
    assert all(hue[3] == 0.5 for hue in hues)
    assert places == [[100.0, 50.0], [150.0, 25.0]]


def test_the_handler_is_added_once_and_goes_with_the_extension(blender):
    got = blender.run(
        """
from unittest import mock
from video_to_pose_extension import overlay
added, removed = [], []
space = mock.Mock(draw_handler_add=lambda *a: added.append(a) or len(added), draw_handler_remove=lambda *a: removed.append(a))
with mock.patch.object(overlay.bpy, "app", mock.Mock(background=False, handlers=bpy.app.handlers)), \\
     mock.patch.object(overlay.bpy.types, "SpaceView3D", space):
    overlay.register()
    overlay._start()
    overlay.unregister()
answer([len(added), added[0][2:], [r[0] for r in removed], overlay._forget in bpy.app.handlers.load_pre,
        hasattr(bpy.types.Scene, "video_to_pose_overlay")])
"""
    )
    assert got == [1, ["WINDOW", "POST_PIXEL"], [1], False, False]
