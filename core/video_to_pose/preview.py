# SPDX-License-Identifier: GPL-3.0-or-later
"""A video to judge a Take by: the clip with its keypoints, beside the motion from the camera and from the side.

Left is orange, right is blue, what is on neither side is light grey; what was seen badly is pale; feet on the floor
are green. Both 3D views follow the person over a floor with lines every half metre.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import bones, video
from .errors import InputError
from .files import written_whole
from .pipeline import Progress
from .review import sureness
from .rotation import axis_angle_to_matrix, normalize
from .settings import VideoSettings
from .skeleton import BODY_22, KEYPOINT_LINES
from .types import KeypointTrack, Motion, Take

Picture = NDArray[np.uint8]
Array = NDArray[np.floating]
Colour = tuple[int, int, int]

LEFT: Colour = (255, 150, 50)
RIGHT: Colour = (64, 170, 255)
MIDDLE: Colour = (225, 228, 232)
CONTACT: Colour = (90, 225, 110)

_BACKGROUND: Colour = (26, 28, 33)
_FLOOR: Colour = (42, 45, 52)
_LINES: Colour = (84, 89, 100)
_SHADOW: Colour = (14, 15, 18)
_TEXT: Colour = (196, 200, 208)
_WIDTH = 1280
_STRIP = 30  # pixels of title above the pictures and of legend below
_TILE_M = 0.5
_FOLLOW_S = 0.8  # the 3D views follow the person with this much calm
_LEAST_PITCH = 7.0  # degrees that the 3D views look down at least
_SEEN = 0.1  # score from which a keypoint is drawn


def write_preview(
    take: Take, video_path: str | Path, out_path: str | Path, progress: Callable[[Progress], None] | None = None
) -> None:
    """Write an H.264 mp4, 1280 pixels wide, with one picture for each frame of the Take.

    Args:
        take: what was found.
        video_path: the video it was found in; its frames are matched by time.
        out_path: the mp4, written whole or not at all.
        progress: told the frames done; an exception it raises stops the work.

    Raises:
        InputError: the video cannot be read or is not the Take's, or the target cannot be written.
    """
    video_path, out_path = Path(video_path), Path(out_path)
    info = video.probe(video_path)
    if not _same_shape((info.width, info.height), take.track.image_size):
        size = take.track.image_size
        raise InputError(
            f"{video_path.name} is {info.width}x{info.height} pixels, but the Take was made from {size[0]}x{size[1]}.",
            "Choose the video that the Take was made from.",
            "preview-other-video",
        )
    report = progress or (lambda _: None)
    count = take.motion.frame_count
    with (
        closing(pictures(take, video_path)) as drawn,
        written_whole(out_path) as partial,
        _encoder(partial, take.motion.frame_rate) as write,
    ):
        report(Progress("preview", 0, count))
        for done, picture in enumerate(drawn, start=1):
            write(picture)
            report(Progress("preview", done, count))


def pictures(take: Take, video_path: str | Path) -> Generator[Picture, None, None]:
    """The preview's pictures (H, W, 3), one a frame of the Take. H and W are even."""
    layout = _layout(take.track.image_size)
    camera_view, side_view = _views(take, layout)
    sheet = _sheet(layout)
    legend = _Legend(layout, take)
    figure = _Figure(take.motion)
    with closing(matched_frames(video_path, take.motion.timestamps)) as frames:
        for f, rgb in enumerate(frames):
            out = sheet.copy()
            shot = out[layout.rows, layout.video]
            shot[:] = _resized(rgb, shot.shape[1], shot.shape[0])
            _draw_keypoints(shot, take.track, f)
            for view, columns in ((camera_view, layout.camera), (side_view, layout.side)):
                view.draw(out[layout.rows, columns], figure, f)
            legend.draw(out, f)
            yield out


def matched_frames(video_path: str | Path, timestamps: ArrayLike) -> Generator[Picture, None, None]:
    """For each timestamp (increasing, seconds) the video's frame nearest in time (H, W, 3).

    Raises:
        InputError: the video cannot be read, or ends before the first timestamp.
    """
    times = np.asarray(timestamps)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.1
    part = VideoSettings(start_s=max(0.0, float(times[0]) - step), end_s=float(times[-1]) + 2 * step)
    with closing(video.read_frames(video_path, part)) as frames:  # type: ignore[type-var]
        shown = next(frames)
        coming = next(frames, None)
        for time in times:
            while coming is not None and abs(coming.time_s - time) <= abs(shown.time_s - time):
                shown, coming = coming, next(frames, None)
            yield shown.rgb


# --- where things are --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """Slices of the picture: one row of three panels between two strips of text."""

    width: int
    height: int
    rows: slice
    video: slice
    camera: slice
    side: slice


def _layout(image_size: tuple[int, int]) -> _Layout:
    aspect = image_size[0] / image_size[1]
    height = int(np.clip(_WIDTH / (aspect + 1.3), 240, 560)) // 2 * 2  # 3D panels about 0.65 as wide as high
    shot = min(round(height * aspect), _WIDTH - height) // 2 * 2
    panel = (_WIDTH - shot) // 2
    return _Layout(
        width=_WIDTH,
        height=height + 2 * _STRIP,
        rows=slice(_STRIP, _STRIP + height),
        video=slice(0, shot),
        camera=slice(shot, shot + panel),
        side=slice(shot + panel, _WIDTH),
    )


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] * other[1] - one[1] * other[0]) <= 0.01 * one[0] * other[1]


def _sheet(layout: _Layout) -> Picture:
    """What is the same in every picture."""
    from PIL import Image, ImageDraw

    page = Image.new("RGB", (layout.width, layout.height), _BACKGROUND)
    pen = ImageDraw.Draw(page)
    for columns, title in (
        (layout.video, "Video and keypoints"),
        (layout.camera, "3D, from the camera"),
        (layout.side, "3D, from the side"),
    ):
        pen.text((columns.start + 10, _STRIP // 2), title, fill=_TEXT, font=_font(15), anchor="lm")
    left = layout.camera.start + 10
    middle = layout.height - _STRIP // 2
    for colour, label in ((LEFT, "left"), (RIGHT, "right"), (CONTACT, "on the floor")):
        pen.ellipse((left, middle - 5, left + 10, middle + 5), fill=colour)
        pen.text((left + 16, middle), label, fill=_TEXT, font=_font(14), anchor="lm")
        left += 30 + round(pen.textlength(label, font=_font(14)))
    pen.text((left, middle), "pale: seen badly", fill=_TEXT, font=_font(14), anchor="lm")
    return np.array(page)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


class _Legend:
    """The line below the video: time, frame and how well the person is seen."""

    def __init__(self, layout: _Layout, take: Take) -> None:
        self.rows = slice(layout.height - _STRIP, layout.height)
        self.columns = layout.video
        times = take.motion.timestamps
        self.times, self.last = times, float(times[-1])
        self.confidence = sureness(take.motion)

    def draw(self, out: Picture, frame: int) -> None:
        from PIL import Image, ImageDraw

        strip = Image.fromarray(np.ascontiguousarray(out[self.rows, self.columns]))
        text = (
            f"{self.times[frame]:6.2f} s of {self.last:.2f} s      frame {frame + 1} of {len(self.times)}      "
            f"confidence {100 * self.confidence[frame]:.0f} %"
        )
        ImageDraw.Draw(strip).text((10, _STRIP // 2), text, fill=_TEXT, font=_font(14), anchor="lm")
        out[self.rows, self.columns] = np.asarray(strip)


# --- what is drawn -----------------------------------------------------------------------------------------------


def _draw_keypoints(shot: Picture, track: KeypointTrack, frame: int) -> None:
    """Keypoints and lines between them, over the (shrunk) video frame."""
    scale = shot.shape[1] / track.image_size[0]
    places = track.positions[frame].astype(float) * scale
    scores = np.where(np.isfinite(places).all(axis=-1), track.scores[frame], 0.0)
    seen = scores >= _SEEN
    thick = max(1.2, shot.shape[0] / 300)
    for one, other in KEYPOINT_LINES:
        if one in track.names and other in track.names:
            a, b = track.names.index(one), track.names.index(other)
            if seen[a] and seen[b]:
                colour = _side_colour(one) if one.split("_")[0] == other.split("_")[0] else MIDDLE
                draw_line(shot, places[a], places[b], thick, colour, _opacity(min(scores[a], scores[b])), outline=1.0)
    for k in np.flatnonzero(seen):
        draw_line(shot, places[k], places[k], thick * 1.5, _side_colour(track.names[k]), _opacity(scores[k]), 1.0)


class _Figure:
    """A motion as lines: bones in the world with their colours and widths."""

    def __init__(self, motion: Motion) -> None:
        self.skeleton = motion.skeleton
        self.joints = bones.compose(motion.skeleton, motion.directions, motion.lengths, motion.root).astype(float)
        self.confidence = motion.confidence
        self.colours = [_side_colour(joint) for joint in motion.skeleton.joints]
        self.feet = []  # (joint, column of contacts)
        for column, name in enumerate(motion.contact_names):
            joint = name if name in motion.skeleton.joints else name.replace("_heel", "_ankle")
            if joint in motion.skeleton.joints:
                self.feet.append((motion.skeleton.index(joint), column))
        self.contacts = motion.contacts


@dataclass(eq=False)
class _View:
    """A camera that follows the person at a fixed distance, and the floor it sees.

    Attributes:
        R_world_view: (3, 3) view axes (x right, y down, z forward) to world.
        centres: (F, 3) what it looks at, world.
        distance: metres from there.
        focal: pixels.
        size: width, height in pixels.
    """

    R_world_view: Array
    centres: Array
    distance: float
    focal: float
    size: tuple[int, int]
    _floor: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        width, height = self.size
        x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
        rays = np.stack([x, y, np.full_like(x, self.focal)], axis=-1) @ self.R_world_view.T
        eye = self.centres[0] - self.distance * self.R_world_view[:, 2]  # its height is the same in every frame
        down = rays[..., 2] < -1e-3 * self.focal
        reach = np.where(down, -eye[2] / np.where(down, rays[..., 2], -1.0), 0.0)
        place = (reach[..., None] * rays)[..., :2] + eye[:2] - self.centres[0, :2]
        away = np.linalg.norm(place, axis=-1)
        fade = np.where(down & (reach > 0), np.clip(1.6 - away / 2.5, 0, 1), 0.0)
        rows = np.flatnonzero(fade.any(axis=1))
        rows_seen = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
        # tiles that a pixel covers along the world's x and y: lines keep their width far away, and fade there
        footprint = [sum(np.abs(g) for g in np.gradient(place[..., axis])) / _TILE_M + 1e-4 for axis in (0, 1)]
        strength = fade * np.minimum(1.0, 0.16 / np.maximum(*footprint))
        ground = np.array(_BACKGROUND) + fade[..., None] * (np.array(_FLOOR) - np.array(_BACKGROUND))
        self._floor = (
            np.moveaxis(place[rows_seen], -1, 0).astype(np.float32),
            np.array([part[rows_seen] for part in footprint], dtype=np.float32),
            strength[rows_seen].astype(np.float32),
            rows_seen,
            ground.astype(np.uint8),
        )

    def project(self, points: ArrayLike, frame: int) -> tuple[Array, Array]:
        """World points (N, 3) to pixels (N, 2) and depths (N,)."""
        seen = (np.asarray(points) - self.centres[frame]) @ self.R_world_view
        depth = np.maximum(seen[:, 2] + self.distance, 0.2)
        return self.focal * seen[:, :2] / depth[:, None] + np.array(self.size) / 2, depth

    def draw(self, panel: Picture, figure: _Figure, frame: int) -> None:
        """Floor, shadow, skeleton and feet of one frame into (H, W, 3)."""
        self._draw_floor(panel, frame)
        joints = figure.joints[frame]
        places, depth = self.project(joints, frame)
        shadows, _ = self.project(joints * [1.0, 1.0, 0.0], frame)
        metre = self.focal / self.distance
        ends = [(parent, child) for child, parent in enumerate(figure.skeleton.parents) if parent >= 0]
        for a, b in ends:
            draw_line(panel, shadows[a], shadows[b], 0.012 * metre, _SHADOW, 0.6)
        for a, b in sorted(ends, key=lambda end: -(depth[end[0]] + depth[end[1]])):  # far bones first
            opacity = _opacity(min(figure.confidence[frame, a], figure.confidence[frame, b]))
            width = 0.016 if figure.skeleton.joints[b] in BODY_22.joints else 0.009  # a hand is no mitten
            draw_line(panel, places[a], places[b], width * metre, figure.colours[b], opacity, outline=1.2)
        for joint, column in figure.feet:
            on = figure.contacts[frame, column]
            colour = CONTACT if on else figure.colours[joint]
            draw_line(panel, places[joint], places[joint], (0.034 if on else 0.02) * metre, colour, 1.0, outline=1.2)

    def _draw_floor(self, panel: Picture, frame: int) -> None:
        place, footprint, fade, rows, ground = self._floor
        panel[:] = ground
        cover = np.zeros(fade.shape, dtype=np.float32)
        for axis in (0, 1):
            tiles = (place[axis] + np.float32(self.centres[frame, axis])) / np.float32(_TILE_M)
            np.maximum(cover, 1.1 - np.abs(tiles - np.rint(tiles)) / footprint[axis], out=cover)
        cover = (np.minimum(cover, 1.0) * fade)[..., None]
        strip = panel[rows]
        strip[:] = strip + cover * (np.array(_LINES, dtype=np.float32) - strip)


def _views(take: Take, layout: _Layout) -> tuple[_View, _View]:
    """The view along the clip's camera, and one from that camera's left, both as near as the motion allows."""
    from .motion.smooth import smooth

    joints = _Figure(take.motion).joints
    calm = smooth(take.motion.root, take.motion.frame_rate, 0.13 / _FOLLOW_S)
    around = np.percentile(np.linalg.norm(joints[..., :2] - calm[:, None, :2], axis=-1).max(axis=1), 98)
    low, high = min(0.0, float(joints[..., 2].min())), float(joints[..., 2].max())
    centres = np.concatenate([calm[:, :2], np.full((len(calm), 1), (low + high) / 2)], axis=1)
    width, height = layout.camera.stop - layout.camera.start, layout.rows.stop - layout.rows.start
    distance = 5.0
    focal = distance * min(height / (1.3 * (high - low) + 0.2), width / (2 * around + 0.3))
    R = np.asarray(take.camera.R_world_camera, dtype=float)
    lift = np.clip(np.arcsin(np.clip(R[2, 2], -1, 1)) + np.radians(_LEAST_PITCH), 0, None)
    R = R @ axis_angle_to_matrix([1.0, 0.0, 0.0], -lift)  # a floor seen on edge shows nothing
    right = normalize(np.cross(R[:, 2], [0.0, 0.0, 1.0]))
    if not right.any():  # the camera looks straight down
        right = R[:, 0]
    tilt = np.radians(_LEAST_PITCH)
    forward = np.cos(tilt) * right - np.sin(tilt) * np.array([0.0, 0.0, 1.0])
    across = normalize(np.cross(forward, [0.0, 0.0, 1.0]))
    side = np.stack([across, np.cross(forward, across), forward], axis=1)
    size = (layout.side.stop - layout.side.start, height)
    return _View(R, centres, distance, focal, (width, height)), _View(side, centres, distance, focal, size)


def draw_line(
    picture: Picture,
    start: ArrayLike,
    end: ArrayLike,
    radius: float,
    colour: Colour,
    opacity: float = 1.0,
    outline: float = 0.0,
) -> None:
    """Paint a round-ended line (or, from a point to itself, a disc) with soft edges into `picture` (H, W, 3).

    Args:
        picture: changed in place.
        start, end: x, y in pixels; what lies outside the picture is left out.
        radius: half the line's width, pixels.
        colour: red, green, blue.
        opacity: 0 … 1.
        outline: width of a dark rim, pixels.
    """
    a, b = np.asarray(start, dtype=float).tolist(), np.asarray(end, dtype=float).tolist()
    reach = radius + outline + 1.0
    left, top = (max(0, int(min(p, q) - reach)) for p, q in zip(a, b, strict=True))
    right, bottom = (min(n, int(max(p, q) + reach) + 1) for p, q, n in zip(a, b, picture.shape[1::-1], strict=True))
    if right <= left or bottom <= top:
        return
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - a[0])
    y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - a[1]))[:, None]
    dx, dy = np.float32(b[0] - a[0]), np.float32(b[1] - a[1])
    along = np.minimum(np.maximum((x * dx + y * dy) / np.maximum(dx * dx + dy * dy, np.float32(1e-6)), 0), 1)
    distance = np.sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2)
    crop = picture[top:bottom, left:right]
    painted = crop.astype(np.float32)
    if outline:
        rim = np.minimum(np.maximum(radius + outline + 0.5 - distance, 0), 1) * (0.7 * opacity)
        painted *= (1 - rim)[..., None]
    core = np.minimum(np.maximum(radius + 0.5 - distance, 0), 1) * opacity
    painted += core[..., None] * (np.array(colour, dtype=np.float32) - painted)
    crop[:] = painted


def _opacity(confidence: float) -> float:
    return 0.25 + 0.75 * float(np.clip(confidence, 0, 1))


def _side_colour(name: str) -> Colour:
    if name.startswith("left") or name.endswith("left"):
        return LEFT
    return RIGHT if name.startswith("right") or name.endswith("right") else MIDDLE


def _resized(rgb: Picture, width: int, height: int) -> Picture:
    import av
    from av.video.reformatter import Interpolation

    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    small = frame.reformat(width, height, format="rgb24", interpolation=Interpolation.BILINEAR)
    return np.asarray(small.to_ndarray(), dtype=np.uint8)


# --- writing -----------------------------------------------------------------------------------------------------


@contextmanager
def _encoder(path: Path, frame_rate: float) -> Iterator[Callable[[Picture], None]]:
    """Takes pictures one by one; the H.264 file at `path` is complete when the block ends."""
    import av

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(frame_rate).limit_denominator(1001))
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "superfast", "crf": "22"} if codec == "libx264" else {"qscale": "4"}

        def write(picture: Picture) -> None:
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))

        yield write
        container.mux(stream.encode(None))
