# SPDX-License-Identifier: GPL-3.0-or-later
"""One frozen dataclass a stage. Defaults live here and nowhere else; units are in the names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True)
class VideoSettings:
    """Which part of the clip is read."""

    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class DetectSettings:
    """Which detector finds the keypoints, and with which model."""

    detector: str = "mediapipe"
    variant: str = "full"
    model_path: Path | None = None
    min_score: float = 0.5
    max_people: int = 2
    """How many people are followed at once; 1 is faster, but may stay with a bystander."""
    card: Path | None = None
    """The user's own model card (`detect.card`), in place of `detector` and `variant`."""
    device: str = "auto"
    """Where networks in ONNX files run: auto, a device, or several with commas, the best first."""
    look_every: int = 1
    """Frames from one look for people to the next, where a card's networks find and read them one after the other; in
    between people are where they must have been. 3 to 5 is several times as fast on a processor."""


PERSON_CHOICES = ("main", "largest", "longest", "central")
"""How a person is chosen: seen large for long, seen largest, seen longest, nearest to the middle; or by number."""


@dataclass(frozen=True)
class TrackSettings:
    """How keypoints become one person's track."""

    max_gap_s: float = 0.5
    person: str = "main"
    """One of `PERSON_CHOICES`, or a number: 1 is the main person. ``1+3`` are two that are one person, and ``1:0-2.5``
    only these seconds of one: where somebody was taken for another, ``1:0-2.5+2:2.5-`` puts it right."""
    at: tuple[float, float, float] | None = None
    """Seconds, x and y in pixels: whoever is there then, before `person`."""
    mend_sides: bool = True
    """Put right frames in which the detector exchanged left and right."""

    def __post_init__(self) -> None:
        if self.at is not None:  # JSON has lists
            object.__setattr__(self, "at", tuple(self.at))


@dataclass(frozen=True)
class LiftSettings:
    """Which lifter is run, and where."""

    lifter: str = "default"
    model_path: Path | None = None
    device: str = "auto"
    flip: bool = True


@dataclass(frozen=True)
class CameraSettings:
    """What is known of the camera and the person's size."""

    fov_degrees: float | None = None
    """Field of view along the image's longer side; None assumes `assumed_fov_degrees`."""
    assumed_fov_degrees: float = 60.0
    """A usual one, or what the file told of its camera (`quicktime`)."""
    height_m: float | None = None
    """The person's standing height; None keeps the lifter's estimate."""


@dataclass(frozen=True)
class MotionSettings:
    """Smoothing and floor."""

    smoothing_cutoff_hz: float = 7.0
    root_depth_cutoff_hz: float = 1.0
    contact_speed_m_s: float = 0.4
    contact_height_m: float = 0.08
    flat_floor: bool = True
    """The floor is one plane: it levels the camera and takes away slow drift. Off for stairs and ladders."""
    mend_glitches: bool = True
    """Mend bones that leap away for a moment and limbs whose sides are exchanged."""
    even_sides: bool = True
    """Left and right limbs are equally long. Off for somebody whose are not."""
    plant_feet: bool = True
    """Hold feet still while they are in contact with the floor; hips and legs give way for it."""


@dataclass(frozen=True)
class CaptureSettings:
    """All stages' settings; stored in the Take's provenance."""

    video: VideoSettings = field(default_factory=VideoSettings)
    detect: DetectSettings = field(default_factory=DetectSettings)
    track: TrackSettings = field(default_factory=TrackSettings)
    lift: LiftSettings = field(default_factory=LiftSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for provenance and the worker's job."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            return str(value) if isinstance(value, Path) else value

        return plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CaptureSettings:
        """The settings that `to_dict` wrote; what is left out takes its default.

        Raises:
            ValueError: a stage or a field that there is not.
        """
        stages = {stage.name: type(getattr(cls(), stage.name)) for stage in fields(cls)}
        if unknown := set(values) - set(stages):
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        made = {}
        for stage, given in values.items():
            hints = get_type_hints(stages[stage])
            if unknown := set(given) - set(hints):
                raise ValueError(f"unknown {stage} settings: {', '.join(sorted(unknown))}")
            made[stage] = stages[stage](
                **{
                    name: Path(value) if value is not None and Path in (hints[name], *get_args(hints[name])) else value
                    for name, value in given.items()
                }
            )
        return cls(**made)


SMOOTHINGS = ("off", "light", "standard", "strong")
"""Presets of smoothing in rotation space; `retarget.smoothing.PRESETS` has their figures."""
SMOOTHED_PARTS = ("trunk", "head", "arms", "hands", "legs", "feet")
"""Parts of the body that may have a smoothing of their own."""


@dataclass(frozen=True)
class RetargetSettings:
    """How a motion is laid on a rig. Not part of a capture: another rig never repeats the analysis."""

    root_motion: str = "hips"
    """What carries the path: ``hips``; ``root``: the rig's root bone, with the heading; ``object``: the armature
    object, with the heading; ``in_place``: nothing, the hips keep to their spot and only bob up and down."""
    scale: str = "leg_length"
    """``leg_length``: the path fits the rig's legs; ``metres``: the rig covers the person's true distances."""
    start: str = "rig"
    """``rig``: the clip starts where the rig stands; ``world``: where the person was filmed, from the Take's origin."""
    facing: str = "filmed"
    """``filmed``: as seen from the camera; ``front``: turned so that the person starts facing -Y."""
    feet: str = "auto"
    """``auto``: feet stay put where the Take says they are in contact; ``always``: one is at any time; ``grounded``:
    feet keep to the floor but may slide; ``never``: feet are left alone."""
    smoothing: str = "off"
    """On top of the capture's own: one of `SMOOTHINGS`."""
    smoothing_of_parts: tuple[tuple[str, str], ...] = ()
    """Pairs of one of `SMOOTHED_PARTS` and its own smoothing."""
    repair: bool = True
    """Mend short outliers and exchanged left and right limbs first."""
    joint_limits: bool = False
    """Bring joints that are bent further than people's back, softly."""
    limbs: str = "fk"
    """Which of a control rig's bones are keyed to lead: ``fk`` or ``ik``; other rigs have but one kind."""
    key_error_degrees: float = 0.0
    """Drop keys as long as no bone turns this much away; 0 keeps a key on every frame."""
    key_error_centimetres: float = 0.5
    """And no bone's end moves this much away."""


LIVE_SOURCES = ("camera", "file", "growing")
"""What a person can be followed on while it happens: a camera, a file played at its own speed, a file being written."""


@dataclass(frozen=True)
class LiveSettings:
    """How a person is followed while it happens. What a recording becomes afterwards are the `CaptureSettings`."""

    lifter: str = "default"
    """The lifter that poses come from while it happens; a recording's Take is lifted as `LiftSettings` say."""
    delay_frames: int = 2
    """Frames of the lifter's rate (thirtieths of a second) that the pose is behind: so much of what comes next a
    lifter that looks both ways may see. Causal lifters need none."""
    settle_s: float = 2.0
    """Seconds of the person in view in which bone lengths and the camera's tilt are measured, then kept."""
    lost_s: float = 1.0
    """Out of view for longer than this, anybody who comes is the person."""
    floor_s: float = 1.5
    """The floor is where the lowest soles of so many seconds were."""
    min_cutoff_hz: float = 1.0
    """1 € filter of the bones' directions: the cut-off of what stands still."""
    beta: float = 4.0
    """Hertz by which that cut-off rises for each radian a second."""
    root_min_cutoff_hz: float = 1.0
    root_beta: float = 2.0
    """The same for the line of sight to the person, in tangents a second."""
    depth_cutoff_hz: float = 0.5
    """Low-pass of the distance from the camera, which one camera sees badly."""


FBX_PROFILES = ("plain", "unreal", "unreal-mesh", "unity")
"""For whom an FBX is written; the extension's `exports` says what that means."""
BVH_PROFILES = ("plain", "motionbuilder", "cmu")
"""Whose names and joints a BVH has; `formats.bvh_profiles` says what that means."""
BVH_CHANNELS = ("ZXY", "ZYX", "XYZ", "XZY", "YXZ", "YZX")
"""Orders a BVH joint's rotation channels may stand in; the first one turns last."""
REFERENCE_FRAMES = ("none", "rest")
"""What may stand before the first captured frame: nothing, or the rest pose."""


@dataclass(frozen=True)
class ExportSettings:
    """How files are written for other programs."""

    fbx_profile: str = "plain"
    bvh_profile: str = "plain"
    bvh_channels: str | None = None
    """One of `BVH_CHANNELS`; None is the profile's own order."""
    reference_frame: str | None = None
    """One of `REFERENCE_FRAMES`; None is the profile's own choice."""
