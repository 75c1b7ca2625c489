# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel asks for, kept with the scene, and the core's settings made of it.

Defaults are read from `settings.py`, so there is one place where they are set.
"""

from dataclasses import replace
from math import degrees, radians
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import clip, quality
from .core.video_to_pose.settings import (
    CameraSettings,
    CaptureSettings,
    DetectSettings,
    LiftSettings,
    MotionSettings,
    RetargetSettings,
    TrackSettings,
    VideoSettings,
)
from .rigs import ApplySettings

_DEFAULT = CaptureSettings()
_RETARGET = RetargetSettings()

# Blender keeps no reference to strings that a callback makes; these lists are constant, so plain items will do
_TARGETS = [
    ("NEW", "New Armature", "Make an armature with the person's own proportions"),
    (
        "EXISTING",
        "My Armature",
        "Animate an armature of this scene; its rest pose and other actions stay as they are",
    ),
]
_VARIANTS = [
    ("lite", "Lite", "Fastest, least exact"),
    ("full", "Full", "Fast and good: a fine first choice"),
    ("heavy", "Heavy", "Most exact, about half as fast"),
]
_ROOT_MOTIONS = [
    ("hips", "Hips", "The hips carry the person's path through the scene"),
    ("root", "Root Bone", "The rig's root bone carries path and heading, as engines with root motion like it"),
    ("object", "Object", "The armature object carries path and heading"),
    ("in_place", "In Place", "The character stays on its spot and only bobs up and down, as game engines like it"),
]
_SCALES = [
    ("leg_length", "Fit the Legs", "Strides grow or shrink with the character's legs, so that feet do not slide"),
    ("metres", "True Distance", "The character covers the very distances that the person covered"),
]
_STARTS = [
    ("rig", "At the Character", "The clip starts where the character stands"),
    ("world", "As Filmed", "The clip starts where the person stood before the camera"),
]
_FACINGS = [
    ("filmed", "As Filmed", "The character faces where the person faced, seen from the camera"),
    ("front", "Front", "The clip is turned so that the character starts facing -Y"),
]
_FEET = [
    ("auto", "Auto", "Feet stay put where they are in contact with the floor: see the action's markers"),
    ("always", "Always", "At least one foot is on the floor at any time: for walks, not for jumps"),
    ("grounded", "Grounded", "Feet keep to the floor's height, but may slide"),
    ("never", "Never", "Feet are left as they were captured"),
]
_SMOOTHINGS = [
    ("off", "Off", "Nothing beyond what the capture smoothed already"),
    ("light", "Light", "Trembling goes, blows keep their speed"),
    ("standard", "Standard", "Calm, for everyday motion"),
    ("strong", "Strong", "Very calm; fast gestures lose some of their reach"),
]
_LIMBS = [
    ("fk", "FK", "Keys turn the limbs' own bones, and the rig's switches are keyed to FK"),
    ("ik", "IK", "Keys move hands, feet and poles as well, and the rig's switches are keyed to IK"),
]
_PEOPLE = [
    ("main", "Main Person", "Who is seen large for long: never a passer-by, a poster or a spectator"),
    ("largest", "Largest", "Who is seen largest"),
    ("longest", "Longest", "Who is seen longest"),
    ("central", "Central", "Who is nearest to the middle of the picture"),
    ("2", "Second", "The second of the clip's people, the main one being the first"),
    ("3", "Third", "The third of the clip's people"),
    ("4", "Fourth", "The fourth of the clip's people"),
]


_OF_MOTION = (
    *("smoothing_cutoff_hz", "root_depth_cutoff_hz", "contact_speed_m_s", "contact_height_m"),
    *("flat_floor", "even_sides"),
)
"""Fields that are `MotionSettings`' own."""


def _is_armature(_owner: Any, candidate: bpy.types.Object) -> bool:
    return candidate.type == "ARMATURE"


class VideoToPoseProperties(bpy.types.PropertyGroup):
    """The panel's fields."""

    video: StringProperty(
        name="Video",
        description="The video to capture from: one person, the whole body in view, a camera that stands still",
        subtype="FILE_PATH",
        update=clip.look_at_changed,
    )
    quality: EnumProperty(
        name="Quality",
        description="Detector, lifter and device at once; each can be chosen under Options",
        items=quality.ITEMS,
        get=quality.get,
        set=quality.put,
    )
    target: EnumProperty(name="Target", description="What the captured motion is put on", items=_TARGETS)
    armature: PointerProperty(
        name="Armature",
        description="The armature to animate: any rig of a person, in any rest pose. Its bones are found by name and "
        "shape; see Bones",
        type=bpy.types.Object,
        poll=_is_armature,
    )
    match_scene: BoolProperty(
        name="Match Scene to Clip",
        description="Give the scene the video's frame rate and length. Off: the scene stays as it is and the motion "
        "still plays at its true speed",
        default=ApplySettings.match_scene,
    )
    camera: BoolProperty(
        name="Camera and Video",
        description="Add the camera that filmed the person, with the video behind what it sees. It fits characters of "
        "the person's own size",
        default=ApplySettings.camera,
    )
    root_motion: EnumProperty(
        name="Path",
        description="What becomes of the person's way through the scene",
        items=_ROOT_MOTIONS,
        default=_RETARGET.root_motion,
    )
    scale: EnumProperty(
        name="Stride", description="How far the character travels", items=_SCALES, default=_RETARGET.scale
    )
    start: EnumProperty(name="Start", description="Where the clip starts", items=_STARTS, default=_RETARGET.start)
    facing: EnumProperty(
        name="Facing", description="Which way the character faces", items=_FACINGS, default=_RETARGET.facing
    )
    feet: EnumProperty(name="Feet", description="How feet are held on the floor", items=_FEET, default=_RETARGET.feet)
    smoothing: EnumProperty(
        name="Smoothing",
        description="Further smoothing of the character's motion, without lag",
        items=_SMOOTHINGS,
        default=_RETARGET.smoothing,
    )
    repair: BoolProperty(
        name="Mend Glitches",
        description="Mend moments in which limbs leap or left and right change places",
        default=_RETARGET.repair,
    )
    joint_limits: BoolProperty(
        name="Joint Limits",
        description="Bring joints back, softly, that are bent further than people's are",
        default=_RETARGET.joint_limits,
    )
    limbs: EnumProperty(
        name="Limbs",
        description="What leads on a control rig, such as Rigify's; other rigs have FK alone",
        items=_LIMBS,
        default=_RETARGET.limbs,
    )
    key_error: FloatProperty(
        name="Fewer Keys",
        description="Drop keys as long as no bone turns away further than this. 0 keeps one on every frame",
        default=radians(_RETARGET.key_error_degrees),
        min=0.0,
        max=radians(20.0),
        subtype="ANGLE",
    )
    key_distance: FloatProperty(
        name="And Stay Within",
        description="No bone's end is this far, in centimetres, from where the full motion has it",
        default=_RETARGET.key_error_centimetres,
        min=0.01,
        max=50.0,
        precision=2,
    )
    variant: EnumProperty(
        name="Detector",
        description="How carefully the person is looked for in each frame",
        items=_VARIANTS,
        default=_DEFAULT.detect.variant,
    )
    lifter: EnumProperty(
        name="Lifter",
        description="The network that finds the third dimension",
        items=quality.LIFTER_ITEMS,
        default=_DEFAULT.lift.lifter,
    )
    flip: BoolProperty(
        name="Mirror and Average",
        description="Lift each pose as filmed and mirrored, and take the mean: truer, at half the speed",
        default=_DEFAULT.lift.flip,
    )
    device: EnumProperty(
        name="Device",
        description="What the networks run on. One that is not there is refused and never quietly replaced",
        items=quality.DEVICES,
        default=_DEFAULT.detect.device,
    )
    person: EnumProperty(
        name="Person",
        description="Who is captured, where there are several people",
        items=_PEOPLE,
        default=_DEFAULT.track.person,
    )
    max_people: IntProperty(
        name="People Followed",
        description="How many people are looked for at once. 1 is faster, but may stay with a bystander",
        default=_DEFAULT.detect.max_people,
        min=1,
        max=8,
    )
    height_m: FloatProperty(
        name="Height (m)",  # of people, whatever the unit of the scene
        description="How tall the person is, without shoes. 0 lets the capture estimate it",
        default=_DEFAULT.camera.height_m or 0.0,
        min=0.0,
        soft_max=2.2,
        max=3.0,
        precision=2,
        step=1,
    )
    field_of_view: FloatProperty(
        name="Field of View",
        description="The camera's field of view along the longer side of the picture. 0 takes what "
        f"the file tells, or else a usual {_DEFAULT.camera.assumed_fov_degrees:.0f}°",
        default=radians(_DEFAULT.camera.fov_degrees or 0.0),
        min=0.0,
        max=radians(170.0),
        subtype="ANGLE",
    )
    smoothing_cutoff_hz: FloatProperty(
        name="Smoothing (Hz)",
        description="Movements faster than this many times a second are taken for jitter. Lower is calmer, higher "
        "keeps quick gestures. 0 is off",
        default=_DEFAULT.motion.smoothing_cutoff_hz,
        min=0.0,
        max=30.0,
        precision=1,
    )
    root_depth_cutoff_hz: FloatProperty(
        name="Depth Smoothing (Hz)",
        description="The same for how far away the person is, which one camera sees worst. 0 is off",
        default=_DEFAULT.motion.root_depth_cutoff_hz,
        min=0.0,
        max=30.0,
        precision=1,
    )
    flat_floor: BoolProperty(
        name="Flat Floor",
        description="The floor is one plane, which levels the camera and takes away slow drift. Off for stairs and "
        "ladders",
        default=_DEFAULT.motion.flat_floor,
    )
    even_sides: BoolProperty(
        name="Even Sides",
        description="Left and right limbs are equally long. Off for somebody whose are not",
        default=_DEFAULT.motion.even_sides,
    )
    contact_speed_m_s: FloatProperty(
        name="Contact Below (m/s)",
        description="A foot that is slower than this, and low, is in contact with the floor",
        default=_DEFAULT.motion.contact_speed_m_s,
        min=0.0,
        soft_max=2.0,
        max=20.0,
        precision=2,
        step=1,
    )
    contact_height_m: FloatProperty(
        name="And Lower Than (m)",
        description="A foot that is lower than this, and slow, is in contact with the floor",
        default=_DEFAULT.motion.contact_height_m,
        min=0.0,
        soft_max=0.3,
        max=2.0,
        precision=3,
        step=1,
    )
    start_s: FloatProperty(
        name="From",
        description="Second of the video at which the capture starts",
        default=_DEFAULT.video.start_s,
        min=0.0,
        precision=2,
        subtype="TIME_ABSOLUTE",
    )
    end_s: FloatProperty(
        name="To",
        description="Second of the video at which the capture ends. 0 goes to the end",
        default=_DEFAULT.video.end_s or 0.0,
        min=0.0,
        precision=2,
        subtype="TIME_ABSOLUTE",
    )


def capture_settings(properties: VideoToPoseProperties) -> CaptureSettings:
    """The core's settings for the panel's fields."""
    camera, motion = solving(properties)
    return CaptureSettings(
        video=VideoSettings(start_s=_exact(properties.start_s), end_s=_exact(properties.end_s) or None),
        detect=DetectSettings(variant=properties.variant, max_people=properties.max_people, device=properties.device),
        track=TrackSettings(person=properties.person),
        lift=LiftSettings(lifter=properties.lifter, flip=properties.flip, device=properties.device),
        camera=camera,
        motion=motion,
    )


def solving(
    properties: VideoToPoseProperties, before: tuple[CameraSettings, MotionSettings] | None = None
) -> tuple[CameraSettings, MotionSettings]:
    """How the panel wants a motion found; what it has no field for stays as it was before."""
    camera, motion = before or (CameraSettings(), MotionSettings())
    camera = replace(
        camera,
        fov_degrees=_exact(degrees(properties.field_of_view)) or None,
        height_m=_exact(properties.height_m) or None,
    )
    motion = replace(
        motion,
        smoothing_cutoff_hz=_exact(properties.smoothing_cutoff_hz),
        root_depth_cutoff_hz=_exact(properties.root_depth_cutoff_hz),
        contact_speed_m_s=_exact(properties.contact_speed_m_s),
        contact_height_m=_exact(properties.contact_height_m),
        flat_floor=properties.flat_floor,
        even_sides=properties.even_sides,
        mend_glitches=properties.repair,
    )
    return camera, motion


def recall(
    properties: VideoToPoseProperties, how: RetargetSettings, found: tuple[CameraSettings, MotionSettings] | None
) -> None:
    """Fill the fields with what a motion was solved with."""
    for name in ("root_motion", "scale", "start", "facing", "feet", "smoothing", "repair", "joint_limits", "limbs"):
        setattr(properties, name, getattr(how, name))
    properties.key_error = radians(how.key_error_degrees)
    properties.key_distance = how.key_error_centimetres
    if found is None:
        return
    camera, motion = found
    properties.field_of_view = radians(camera.fov_degrees or 0.0)
    properties.height_m = camera.height_m or 0.0
    for name in _OF_MOTION:
        setattr(properties, name, getattr(motion, name))


def retarget_settings(properties: VideoToPoseProperties) -> RetargetSettings:
    """How the panel wants the motion laid on the rig."""
    return RetargetSettings(
        root_motion=properties.root_motion,
        scale=properties.scale,
        start=properties.start,
        facing=properties.facing,
        feet=properties.feet,
        smoothing=properties.smoothing,
        repair=properties.repair,
        joint_limits=properties.joint_limits,
        limbs=properties.limbs,
        key_error_degrees=_exact(degrees(properties.key_error)),
        key_error_centimetres=_exact(properties.key_distance),
    )


def _exact(value: float) -> float:
    """The decimal number that was typed, out of Blender's single precision."""
    return round(value, 5)


def register() -> None:
    bpy.utils.register_class(VideoToPoseProperties)
    bpy.types.Scene.video_to_pose = PointerProperty(type=VideoToPoseProperties)


def unregister() -> None:
    del bpy.types.Scene.video_to_pose
    bpy.utils.unregister_class(VideoToPoseProperties)
