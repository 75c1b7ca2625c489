# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera sees the character where the video's saw the person, with the video behind."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "wave.mp4"


def test_the_camera_sees_the_joints_where_the_take_has_them(blender, save_take):
    worst, clip, size, objects = blender.run(
        """
from bpy_extras.object_utils import world_to_camera_view
take = take_file.load(sys.argv[1])
how = rigs.ApplySettings("wave", True, 11, camera=True, video=Path(sys.argv[2]))
made = rigs.apply_take(bpy.context, take, None, how)
scene, armature = bpy.context.scene, bpy.data.objects[made.armature]
from video_to_pose_extension.core.video_to_pose import bones
joints = bones.compose(take.motion.skeleton, take.motion.directions, take.motion.lengths, take.motion.root)
pixels = take.camera.project(take.camera.to_camera(joints))
width, height = take.camera.image_size
worst = 0.0
for f in (0, take.motion.frame_count - 1):
    scene.frame_set(11 + f)
    for bone, joint in (("Head", "head"), ("LeftHand", "left_wrist"), ("RightFoot", "right_ankle")):
        place = armature.matrix_world @ armature.pose.bones[bone].head
        seen = world_to_camera_view(scene, scene.camera, place)
        there = np.array([seen.x * width, (1 - seen.y) * height])
        worst = max(worst, float(np.abs(there - pixels[f, take.motion.skeleton.index(joint)]).max()))
clip = scene.camera.data.background_images[0].clip
answer([worst, [clip.frame_start, clip.frame_offset, list(clip.size), scene.camera.data.show_background_images],
        [scene.render.resolution_x, scene.render.resolution_y], len(bpy.data.cameras)])
""",
        save_take(),
        EXAMPLE,
    )
    assert worst < 2.0
    assert clip == [11, 0, [1280, 720], True] and objects >= 1
    assert min(size) > 0


def test_a_video_that_is_gone_leaves_a_camera_without_background(blender, save_take, tmp_path):
    got = blender.run(
        """
take = take_file.load(sys.argv[1])
rigs.apply_take(bpy.context, take, None, rigs.ApplySettings("a", camera=True, video=Path(sys.argv[2])))
camera = bpy.data.objects["a camera"]
answer([len(camera.data.background_images), len(bpy.data.movieclips)])
""",
        save_take(frames=3),
        tmp_path / "gone.mp4",
    )
    assert got == [0, 0]
