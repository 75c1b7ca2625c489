# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw a dressed, lit person in a place with OpenGL (moderngl, no window; Mesa's software driver will do).

Skinning and clothes happen in the shaders from buffers uploaded once; the empty place is drawn once per camera.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import moderngl
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tools.wardrobe import Look, dress, heights
from video_to_pose.data.body import Body, Posed
from video_to_pose.rotation import frame_from_axes
from video_to_pose.types import Camera

Floats = NDArray[np.floating]

_SHADERS = Path(__file__).parent / "shaders"
_SHADOW_PIXELS = 1024
_FLOOR_M = 40.0
_ATTRIBUTES = ("rest", "rest_normal", "influences", "weights", "material", "along_arm", "hairline")
_CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, -1], [1, 1], [-1, 1]], dtype="f4")


class Scene:
    """An OpenGL context with one dressed body; `draw` gives pictures. Close it when done.

    Args:
        body: who.
        look: clothes, light, place.
        size: width, height in pixels.
        area: lowest and highest (x, y) the person reaches, metres; a room's walls stand outside it.
        samples: of multisampling.
    """

    def __init__(
        self, body: Body, look: Look, size: tuple[int, int], area: ArrayLike = ((-1, -1), (1, 1)), samples: int = 4
    ) -> None:
        if len(body.bones) * 3 > 96:
            raise ValueError(f"shaders hold 32 bones, the body has {len(body.bones)}")
        self.body, self.look, self.size = body, look, size
        self.area = np.asarray(area, dtype=float)
        self.light = np.asarray(look.light) / np.linalg.norm(look.light)
        self.gl = moderngl.create_context(standalone=True, backend="egl")  # type: ignore[arg-type]
        self.person = self._program("skinned.vert", "person.frag")
        self.caster = self._program("skinned.vert", "depth.frag")
        self.floor = self._program("floor.vert", "floor.frag")
        self.copy = self._program("screen.vert", "copy.frag")
        self.place = self._program("screen.vert", "place.frag")

        mesh = dress(body, look)
        columns: tuple[NDArray[Any], ...] = (mesh.places, mesh.normals, mesh.influences, mesh.weights, mesh.material)
        columns += (mesh.along_arm, mesh.hairline)
        vertices = np.concatenate([np.asarray(c, dtype="f4").reshape(len(mesh.places), -1) for c in columns], axis=1)
        buffer, order = self.gl.buffer(vertices.tobytes()), self.gl.buffer(mesh.triangles.astype("i4").tobytes())
        layout = (buffer, "3f 3f 4f 4f 1f 1f 1f", *_ATTRIBUTES)
        self.person_array = self.gl.vertex_array(self.person, [layout], order)
        self.caster_array = self.gl.vertex_array(self.caster, [layout], order, skip_errors=True)
        corners = self.gl.buffer(_CORNERS.tobytes())
        self.copy_array = self.gl.vertex_array(self.copy, [(corners, "2f", "corner")])
        self.place_array = self.gl.vertex_array(self.place, [(corners, "2f", "corner")])
        ground = self.gl.buffer((_CORNERS * _FLOOR_M).tobytes())
        self.floor_array = self.gl.vertex_array(self.floor, [(ground, "2f", "corner")])

        self.background = self.gl.texture(size, 4)
        self.background_buffer = self.gl.framebuffer([self.background])
        self.shadow = self.gl.depth_texture((_SHADOW_PIXELS, _SHADOW_PIXELS))
        self.shadow.compare_func = "<="
        self.shadow.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self.shadow_buffer = self.gl.framebuffer(depth_attachment=self.shadow)
        self.sampled = self.gl.framebuffer(
            [self.gl.renderbuffer(size, 4, samples=samples)], self.gl.depth_renderbuffer(size, samples=samples)
        )
        self.plain = self.gl.framebuffer([self.gl.renderbuffer(size, 4)])
        self._seen_by: Camera | None = None
        self._set_look()

    def draw(self, posed: Posed, frame: int, camera: Camera) -> NDArray[np.uint8]:
        """(H, W, 3) picture of one frame. The camera may change from call to call, at the cost of a new background."""
        if camera.image_size != self.size:
            raise ValueError(f"the camera's pictures are {camera.image_size}, the scene's {self.size}")
        self._draw_place(camera)
        transforms = bone_transforms(self.body, posed, frame)
        heads = np.asarray(posed.positions[frame])
        light_projection, texel = self._light_projection(heads)
        _give(self.caster, view_projection=light_projection.T, bones=_padded(transforms))
        self.gl.enable_only(moderngl.DEPTH_TEST)
        self.shadow_buffer.use()
        self.shadow_buffer.clear(depth=1.0)
        self.caster_array.render()

        view_projection = _view_projection(camera)
        self.sampled.use()
        self.sampled.clear(depth=1.0)
        self.background.use(0)
        self.shadow.use(1)
        self.gl.enable_only(moderngl.NOTHING)
        _give(self.copy, background=0)
        self.copy_array.render()
        self.gl.enable_only(moderngl.DEPTH_TEST)
        down = max(-self.light[2], 0.0) * self.look.sun
        _give(
            self.floor,
            view_projection=view_projection.T,
            background=0,
            shadow_map=1,
            light_projection=light_projection.T,
            blur=4.0 * texel,
            sun_share=down / (down + self.look.ambient),
            near_floor=self._near_floor(heads),
        )
        self.floor_array.render()
        _give(
            self.person,
            view_projection=view_projection.T,
            bones=_padded(transforms),
            eye=camera.position,
            light_projection=light_projection.T,
            shadow_map=1,
            shadow_texel=1.0 / _SHADOW_PIXELS,
        )
        self.gl.enable_direct(0x809E)  # GL_SAMPLE_ALPHA_TO_COVERAGE: hems and hairlines are soft-edged
        self.person_array.render()
        self.gl.disable_direct(0x809E)
        self.gl.copy_framebuffer(self.plain, self.sampled)
        return self._read(self.plain)

    def draw_empty(self, camera: Camera) -> NDArray[np.uint8]:
        """(H, W, 3) the place without the person."""
        self._draw_place(camera)
        return self._read(self.background_buffer)

    def close(self) -> None:
        """Free the context."""
        self.gl.release()

    def _program(self, vertex: str, fragment: str) -> moderngl.Program:
        return self.gl.program(vertex_shader=_source(vertex), fragment_shader=_source(fragment))

    def _read(self, framebuffer: moderngl.Framebuffer) -> NDArray[np.uint8]:
        pixels = np.frombuffer(framebuffer.read(components=3, alignment=1), dtype=np.uint8)
        return pixels.reshape(self.size[1], self.size[0], 3)[::-1]

    def _set_look(self) -> None:
        look, body = self.look, self.body
        centres = body.joint_centres
        shirt_hem, trouser_hem, shoe_top = heights(body, look)
        sole = body.vertices[body.sole, 2].min()
        sun = look.sun * np.array([1 + look.warmth, 1.0, 1 - 1.5 * look.warmth])
        above = look.ambient * (0.7 + 0.3 * _linear(look.wall if look.room else look.sky) / _linear(look.haze).max())
        bounced = _linear(look.floor[0]) * (look.ambient + look.sun * max(-self.light[2], 0.0)) * 0.55
        colours = ("skin", "hair", "iris", "shirt", "shirt_2", "trousers", "shoes", "sole", "wall", "wall_2", "haze")
        values: dict[str, Any] = {name: _linear(getattr(look, name)) for name in (*colours, "sky", "trees")}
        values |= {
            "light": self.light,
            "sun": sun,
            "sky_light": above,
            "ground_light": 0.25 * above + bounced,
            "pattern": look.pattern,
            "pattern_scale": look.pattern_scale_m,
            "folds": look.folds,
            "stubble": look.stubble,
            "sleeve": look.sleeve,
            "shirt_hem": shirt_hem,
            "trouser_hem": trouser_hem,
            "neckline": look.neckline_m,
            "hair_length": centres["joint-neck"][2] - 0.03,
            "shoe_top": shoe_top,
            "sole_top": sole + 0.016,
            "eye_centre": body.vertices[body.landmarks["left_eye"]].mean(axis=0),
            "mouth": centres["joint-mouth"],
            "neck": centres["joint-neck"] + [0, -0.045, 0.0],
            "room": int(look.room),
            "floor_kind": look.floor_kind,
            "floor_a": _linear(look.floor[0]),
            "floor_b": _linear(look.floor[1]),
            "tile": look.tile_m,
            "turn": look.turn,
            "seed": look.place_seed,
            "samples": 4,
        }
        for program in (self.person, self.caster, self.place):
            _give(program, **values)

    def _draw_place(self, camera: Camera) -> None:
        if camera is self._seen_by:
            return
        c, s = np.cos(self.look.turn), np.sin(self.look.turn)
        corners = np.array([(x, y) for x in self.area[:, 0] for y in self.area[:, 1]])
        inside = np.concatenate([corners, np.asarray(camera.position, dtype=float)[None, :2]]) @ [[c, -s], [s, c]]
        margin = 0.9 + 2.0 * np.modf(self.look.place_seed * 0.618)[0]
        low, high = inside.min(axis=0) - margin, inside.max(axis=0) + margin
        height = max(2.7, float(camera.position[2]) + 0.6)
        _give(
            self.place,
            to_world=camera.R_world_camera.T,
            eye=camera.position,
            size=self.size,
            centre=camera.centre_px,
            focal=camera.focal_px,
            room_low=[*low, 0.0],
            room_high=[*high, height],
        )
        self.background_buffer.use()
        self.gl.enable_only(moderngl.NOTHING)
        self.place_array.render()
        self._seen_by = camera

    def _light_projection(self, heads: Floats) -> tuple[Floats, float]:
        """(4, 4) world to the shadow map's clip space about the person, and a texel's share of the map at 1 pixel."""
        middle = (heads.min(axis=0) + heads.max(axis=0)) / 2
        radius = float(np.linalg.norm(heads - middle, axis=1).max()) + 0.35
        axes = frame_from_axes(self.light, [1.0, 0.3, 0.0])  # columns: x near the given, y along the light, z
        rotation = np.stack([axes[:, 0], axes[:, 2], self.light])
        reach = 2 * radius + (middle[2] + radius) / max(-self.light[2], 0.2)  # as far as the shadow falls
        matrix = np.eye(4)
        matrix[:2, :3] = rotation[:2] / radius
        matrix[2, :3] = rotation[2] * 2 / (reach + radius)
        matrix[:3, 3] = -matrix[:3, :3] @ middle
        matrix[2, 3] += 2 * radius / (reach + radius) - 1
        return matrix, 1.0 / _SHADOW_PIXELS

    def _near_floor(self, heads: Floats) -> Floats:
        """(3, 4) where body parts take sky light from the floor: x, y, radius in metres, strength."""
        index = self.body.bones.index
        rows = []
        for bone, radius, strength in (("LeftToeBase", 0.13, 0.5), ("RightToeBase", 0.13, 0.5), ("Hips", 0.45, 0.35)):
            x, y, z = heads[index(bone)]
            rows.append(
                [x, y, radius + 0.3 * max(z, 0), self.look.contact * strength * np.exp(-max(z - 0.05, 0) / 0.8)]
            )
        return np.array(rows)


def bone_transforms(body: Body, posed: Posed, frame: int) -> Floats:
    """(N, 3, 4) affine transforms of rest points, as `data.body.skin` moves them."""
    linear = posed.rotations[frame] * posed.scales[:, None, None]
    shift = posed.positions[frame] - np.einsum("nij,nj->ni", linear, body.heads)
    return np.concatenate([linear, shift[..., None]], axis=2)


def _padded(transforms: Floats) -> Floats:
    rows = np.zeros((96, 4))
    rows[: 3 * len(transforms)] = transforms.reshape(-1, 4)
    return rows


def _linear(colour: ArrayLike) -> Floats:
    return np.asarray(colour, dtype=float) ** 2.2


@cache
def _source(name: str) -> str:
    common = (_SHADERS / "common.glsl").read_text()
    return f"#version 330\n{common}\n#line 1\n{(_SHADERS / name).read_text()}"


def _give(program: moderngl.Program, **values: Any) -> None:
    """Set uniforms; those the compiler dropped are passed over."""
    for name, value in values.items():
        if name not in program:
            continue
        uniform = program[name]
        kind = "i4" if isinstance(value, int) else "f4"
        uniform.write(np.ascontiguousarray(value, dtype=kind).tobytes())  # type: ignore[union-attr]


def _view_projection(camera: Camera, near: float = 0.05, far: float = 120.0) -> Floats:
    """(4, 4) world to clip coordinates of OpenGL (looks along -z, y up)."""
    width, height = camera.image_size
    view = np.eye(4)
    view[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ camera.R_world_camera.T
    view[:3, 3] = -view[:3, :3] @ camera.position
    f, (cx, cy) = camera.focal_px, camera.centre_px
    projection = np.array(
        [
            [2 * f / width, 0, 1 - 2 * cx / width, 0],
            [0, 2 * f / height, 2 * cy / height - 1, 0],
            [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, -1, 0],
        ]
    )
    return projection @ view
