# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw a dressed, lit person on a floor with OpenGL (moderngl, no window; Mesa's software driver will do)."""

from __future__ import annotations

from dataclasses import dataclass, field

import moderngl
import numpy as np
from numpy.typing import NDArray

from video_to_pose.data.body import Body
from video_to_pose.types import Camera

Floats = NDArray[np.floating]
Colour = tuple[float, float, float]

_SKINS = ((0.94, 0.78, 0.67), (0.86, 0.66, 0.53), (0.72, 0.51, 0.38), (0.52, 0.35, 0.25), (0.36, 0.24, 0.17))
_HAIR = ((0.10, 0.07, 0.05), (0.25, 0.15, 0.08), (0.45, 0.30, 0.16), (0.62, 0.48, 0.28), (0.30, 0.30, 0.31))

_VERTEX = """
#version 330
uniform mat4 view_projection;
uniform vec3 flatten;  // light direction when drawing the shadow, else zero
in vec3 place; in vec3 normal; in vec3 colour;
out vec3 v_place; out vec3 v_normal; out vec3 v_colour;
void main() {
    vec3 p = place;
    if (flatten.z < 0.0) p = vec3(p.xy - flatten.xy * (p.z / flatten.z), 0.002);
    v_place = p; v_normal = normal; v_colour = colour;
    gl_Position = view_projection * vec4(p, 1.0);
}
"""
_PERSON = """
#version 330
uniform vec3 eye; uniform vec3 light; uniform float ambient; uniform vec3 shadow;
in vec3 v_place; in vec3 v_normal; in vec3 v_colour;
out vec4 pixel;
void main() {
    if (shadow.x >= 0.0) { pixel = vec4(shadow, 1.0); return; }
    vec3 n = normalize(v_normal);
    vec3 e = normalize(eye - v_place);
    if (dot(n, e) < 0.0) n = -n;
    float sun = max(dot(n, -light), 0.0);
    float sky = ambient * (0.65 + 0.35 * n.z);
    vec3 h = normalize(e - light);
    float gloss = 0.10 * pow(max(dot(n, h), 0.0), 24.0);
    float rim = 0.08 * pow(1.0 - max(dot(n, e), 0.0), 3.0);
    pixel = vec4(v_colour * (sky + (1.05 - ambient) * sun) + gloss + rim, 1.0);
}
"""
_FLOOR = """
#version 330
uniform vec3 floor_a; uniform vec3 floor_b; uniform vec3 haze; uniform float tile; uniform vec3 eye;
in vec3 v_place; in vec3 v_normal; in vec3 v_colour;
out vec4 pixel;
float hash(vec2 p) { return fract(sin(dot(p, vec2(127.1, 311.7))) * 43758.5453); }
float noise(vec2 p) {
    vec2 i = floor(p), f = fract(p); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(hash(i), hash(i + vec2(1, 0)), f.x), mix(hash(i + vec2(0, 1)), hash(i + vec2(1, 1)), f.x), f.y);
}
void main() {
    vec2 p = v_place.xy / tile;
    float far = length(v_place.xy - eye.xy);
    vec2 edge = abs(fract(p) - 0.5);
    float joint = smoothstep(0.47, 0.49, max(edge.x, edge.y)) * exp(-far * 0.12);
    float grain = noise(v_place.xy * 3.0) * 0.6 + noise(v_place.xy * 17.0) * 0.4;
    vec3 c = mix(floor_a, floor_b, 0.5 * hash(floor(p)) + 0.5 * grain);
    c *= 1.0 - 0.35 * joint;
    pixel = vec4(mix(c, haze, 1.0 - exp(-far * 0.045)), 1.0);
}
"""
_SKY_VERTEX = (
    "#version 330\nin vec2 corner; out vec2 at; void main() { at = corner; gl_Position = vec4(corner, 0.999, 1); }"
)
_SKY = """
#version 330
uniform mat3 to_world; uniform vec2 spread; uniform vec3 haze; uniform vec3 top; uniform float hills;
in vec2 at; out vec4 pixel;
void main() {
    vec3 d = normalize(to_world * vec3(at.x * spread.x, -at.y * spread.y, 1.0));
    float a = atan(d.x, d.y);
    float ridge = hills * (0.035 + 0.02 * sin(a * 5.0) + 0.012 * sin(a * 13.0 + 1.0));
    vec3 c = mix(haze, top, smoothstep(0.0, 0.6, d.z));
    if (d.z < ridge) c = haze * vec3(0.62, 0.70, 0.66);
    pixel = vec4(c, 1.0);
}
"""


@dataclass(frozen=True)
class Look:
    """Colours, light and surroundings."""

    skin: Colour = _SKINS[1]
    hair: Colour = _HAIR[1]
    shirt: Colour = (0.72, 0.20, 0.16)
    trousers: Colour = (0.15, 0.20, 0.34)
    shoes: Colour = (0.92, 0.92, 0.90)
    long_sleeves: bool = False
    shorts: bool = False
    floor: tuple[Colour, Colour] = ((0.62, 0.60, 0.56), (0.54, 0.52, 0.49))
    tile_m: float = 0.8
    haze: Colour = (0.80, 0.84, 0.88)
    sky: Colour = (0.45, 0.62, 0.85)
    hills: float = 1.0
    light: tuple[float, float, float] = field(default=(-0.45, 0.55, -0.70))
    ambient: float = 0.55


def random_look(rng: np.random.Generator) -> Look:
    """Another person in another place."""

    def colour(low: float, high: float) -> Colour:
        return tuple(float(c) for c in rng.uniform(low, high, 3))  # type: ignore[return-value]

    ground = np.array(colour(0.25, 0.7))
    angle, steep = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.6)
    light = np.array([np.cos(angle), np.sin(angle), -steep])
    return Look(
        skin=_SKINS[rng.integers(len(_SKINS))],
        hair=_HAIR[rng.integers(len(_HAIR))],
        shirt=colour(0.05, 0.95),
        trousers=colour(0.05, 0.7),
        shoes=colour(0.05, 0.95),
        long_sleeves=bool(rng.random() < 0.4),
        shorts=bool(rng.random() < 0.25),
        floor=(tuple(ground), tuple(ground * rng.uniform(0.75, 0.95))),
        tile_m=float(rng.uniform(0.3, 1.5)),
        haze=colour(0.45, 0.95),
        sky=colour(0.3, 0.95),
        hills=float(rng.uniform(0, 3)),
        light=tuple(light / np.linalg.norm(light)),
        ambient=float(rng.uniform(0.45, 0.7)),
    )


@dataclass(frozen=True, eq=False)
class Dress:
    """What of the body is drawn: triangles, the vertex each corner follows, its colour and how far it stands off."""

    triangles: NDArray[np.int64]
    colours: Floats
    inflate: Floats


def dress(body: Body, look: Look) -> list[Dress]:
    """Skin, clothes, shoes, hair and eyes as layers over the body's vertices."""
    bone_of = np.array(body.bones)[body.influences[:, 0]]
    rest = body.vertices

    def part(faces: NDArray[np.int64], *names: str) -> NDArray[np.bool_]:
        return np.array([any(name in bone for name in names) for bone in bone_of[faces[:, 0]]])

    skin_faces, tights = body.groups["body"], body.groups["helper-tights"]
    colours = np.tile(np.array(look.skin), (len(rest), 1))
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    eye = body.vertices[body.landmarks["left_eye"]].mean(axis=0)
    front = y < eye[1] + 0.03
    brow = front & (np.abs(z - eye[2] - 0.022) < 0.005) & (x > 0.012) & (x < 0.05)
    mouth = body.joint_centres["joint-mouth"]
    lips = (y < eye[1] + 0.005) & (np.abs(z - mouth[2] + 0.026) < 0.007) & (x < 0.024)
    scalp = (z > eye[2] + 0.055) | ((z > eye[2] - 0.03) & (y > eye[1] + 0.105))
    colours[brow] = np.array(look.hair)
    colours[lips] = np.array(look.skin) * (0.85, 0.55, 0.55)
    colours[scalp & (z > mouth[2])] = np.array(look.hair)

    height = rest[tights].mean(axis=1)[:, 2]
    arms = part(tights, "Arm", "Hand", "Finger", "Thumb")
    bare = part(tights, "ForeArm", "Hand", "Finger", "Thumb") & (not look.long_sleeves)
    waist, knee = body.joint_centres["joint-spine-4"][2] - 0.01, body.joint_centres["joint-l-knee"][2] + 0.04
    ankle = body.joint_centres["joint-l-ankle"][2]
    top = (arms & ~bare) | (~arms & (height > waist))
    low = ~arms & (height <= waist) & (height > (knee if look.shorts else ankle + 0.01))
    feet = rest[skin_faces].mean(axis=1)[:, 2] < ankle + 0.012

    def layer(faces: NDArray[np.int64], colour: Floats | Colour, inflate: float) -> Dress:
        painted = np.broadcast_to(np.asarray(colour, dtype=float), rest.shape)
        return Dress(_triangles(faces), painted, np.full(len(rest), inflate))

    eyes = np.tile([0.95, 0.95, 0.93], (len(rest), 1))
    eyes[np.linalg.norm((rest - eye)[:, [0, 2]] * [1, 1], axis=1) < 0.0065] = (0.08, 0.06, 0.05)
    eyes[np.linalg.norm((rest - eye * [-1, 1, 1])[:, [0, 2]], axis=1) < 0.0065] = (0.08, 0.06, 0.05)
    return [
        layer(skin_faces, colours, 0.0),
        layer(tights[top], look.shirt, 0.007),
        layer(tights[low], look.trousers, 0.004),
        layer(skin_faces[feet], look.shoes, 0.010),
        layer(body.groups["helper-l-eye"], eyes, 0.0),
        layer(body.groups["helper-r-eye"], eyes, 0.0),
    ]


def _triangles(quads: NDArray[np.int64]) -> NDArray[np.int64]:
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return triangles[(triangles[:, 1] != triangles[:, 2]) & (triangles[:, 0] != triangles[:, 2])]


class Scene:
    """An OpenGL context with one dressed body; `draw` gives pictures. Close it when done."""

    def __init__(self, body: Body, look: Look, size: tuple[int, int], samples: int = 4) -> None:
        self.look, self.size = look, size
        self.gl = moderngl.create_context(standalone=True, backend="egl")
        layers = dress(body, look)
        self.corners = np.concatenate([layer.triangles.ravel() for layer in layers])
        self.inflate = np.concatenate([layer.inflate[layer.triangles.ravel()] for layer in layers])[:, None]
        colours = np.concatenate([layer.colours[layer.triangles.ravel()] for layer in layers])
        self.normal_faces = _triangles(np.concatenate([body.groups[g] for g in ("body", "helper-tights")]))
        eyes = _triangles(np.concatenate([body.groups[f"helper-{s}-eye"] for s in "lr"]))
        self.normal_faces = np.concatenate([self.normal_faces, eyes])
        self.person = self.gl.program(vertex_shader=_VERTEX, fragment_shader=_PERSON)
        self.floor = self.gl.program(vertex_shader=_VERTEX, fragment_shader=_FLOOR)
        self.sky = self.gl.program(vertex_shader=_SKY_VERTEX, fragment_shader=_SKY)
        self.moving = self.gl.buffer(reserve=len(self.corners) * 24, dynamic=True)
        self.person_array = self.gl.vertex_array(
            self.person,
            [(self.moving, "3f 3f", "place", "normal"), (self.gl.buffer(colours.astype("f4")), "3f", "colour")],
        )
        quad = np.array([[-60, -60], [60, -60], [60, 60], [-60, -60], [60, 60], [-60, 60]], dtype="f4")
        ground = np.concatenate([quad, np.zeros((6, 1))], axis=1).astype("f4")
        self.floor_array = self.gl.vertex_array(self.floor, [(self.gl.buffer(ground), "3f", "place")])
        corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, -1], [1, 1], [-1, 1]], dtype="f4")
        self.sky_array = self.gl.vertex_array(self.sky, [(self.gl.buffer(corner), "2f", "corner")])
        self.sampled = self.gl.framebuffer(
            [self.gl.renderbuffer(size, 4, samples=samples)], self.gl.depth_renderbuffer(size, samples=samples)
        )
        self.plain = self.gl.framebuffer([self.gl.renderbuffer(size, 4)])

    def draw(self, vertices: Floats, camera: Camera) -> NDArray[np.uint8]:
        """(H, W, 3) picture of the body with these posed vertices (V, 3)."""
        normals = _smooth_normals(vertices, self.normal_faces)
        corners = np.concatenate(
            [vertices[self.corners] + normals[self.corners] * self.inflate, normals[self.corners]], axis=1
        )
        self.moving.write(corners.astype("f4").tobytes())
        matrix = np.ascontiguousarray(_view_projection(camera).T.astype("f4"))
        light = np.array(self.look.light, dtype="f4") / np.linalg.norm(self.look.light)
        self.sampled.use()
        self.sampled.clear(depth=1.0)
        self.gl.disable(moderngl.DEPTH_TEST)
        _give(
            self.sky,
            to_world=np.ascontiguousarray(camera.R_world_camera.T, dtype="f4"),
            spread=np.array(self.size, dtype="f4") / 2 / np.float32(camera.focal_px),
            haze=np.array(self.look.haze, dtype="f4"),
            top=np.array(self.look.sky, dtype="f4"),
            hills=np.float32(self.look.hills),
        )
        self.sky_array.render()
        self.gl.enable(moderngl.DEPTH_TEST)
        eye = camera.position.astype("f4")
        _give(
            self.floor,
            view_projection=matrix,
            eye=eye,
            floor_a=np.array(self.look.floor[0], dtype="f4"),
            floor_b=np.array(self.look.floor[1], dtype="f4"),
            haze=np.array(self.look.haze, dtype="f4"),
            tile=np.float32(self.look.tile_m),
        )
        self.floor_array.render()
        _give(self.person, view_projection=matrix, eye=eye, light=light, ambient=np.float32(self.look.ambient))
        dark = 0.5 * (np.array(self.look.floor[0]) + self.look.floor[1]) * 0.55
        _give(self.person, flatten=light, shadow=dark.astype("f4"))
        self.person_array.render()
        _give(self.person, flatten=np.zeros(3, dtype="f4"), shadow=-np.ones(3, dtype="f4"))
        self.person_array.render()
        self.gl.copy_framebuffer(self.plain, self.sampled)
        pixels = np.frombuffer(self.plain.read(components=3), dtype=np.uint8)
        return pixels.reshape(self.size[1], self.size[0], 3)[::-1]

    def close(self) -> None:
        """Free the context."""
        self.gl.release()


def _give(program: moderngl.Program, **values: NDArray[np.float32] | np.float32) -> None:
    for name, value in values.items():
        if name in program:
            program[name].write(np.asarray(value, dtype="f4").tobytes())


def _smooth_normals(vertices: Floats, faces: NDArray[np.int64]) -> Floats:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    out = np.empty_like(vertices)
    for axis in range(3):
        out[:, axis] = sum(np.bincount(faces[:, corner], flat[:, axis], minlength=len(vertices)) for corner in range(3))
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


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
