# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rendered person and their surroundings look, and the meshes that dress a body: shirt, trousers, shoes, hair."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import ConvexHull, cKDTree

from video_to_pose.data.body import Body

Floats = NDArray[np.floating]
Colour = tuple[float, float, float]

SKIN, SHIRT, TROUSERS, SHOE, EYE, HAIR_CAP, HAIR_LONG = range(7)
"""What a vertex is part of; the numbers are those of shaders/person.frag."""

TILES, PLANKS, PLAIN, GRASS = range(4)
"""Kinds of floor, as in shaders/place.frag."""

_SKINS = ((0.95, 0.80, 0.71), (0.90, 0.72, 0.60), (0.80, 0.60, 0.47), (0.64, 0.45, 0.34), (0.45, 0.30, 0.22))
_HAIRS = ((0.10, 0.08, 0.07), (0.22, 0.14, 0.09), (0.38, 0.26, 0.16), (0.70, 0.56, 0.36), (0.55, 0.54, 0.53))
_IRISES = ((0.25, 0.15, 0.08), (0.28, 0.40, 0.52), (0.32, 0.38, 0.22))


@dataclass(frozen=True)
class Look:
    """Appearance of person and place. Colours are sRGB, 0 … 1; lengths are metres on the resting body.

    Attributes:
        sleeve: where sleeves end: 0 shoulder, 0.5 elbow, 1 wrist.
        hem_m: the shirt's lower edge against the waist.
        trouser_leg: where trousers end: 0 hip, 0.5 knee, 1 ankle.
        shirt_ease_m, trouser_ease_m: how far clothes stand off.
        neckline_m: radius of the neck opening.
        hair_volume_m: thickness of the hair on the scalp.
        long_hair: hair falls to the shoulders.
        pattern: shirt: 0 plain, 1 stripes, 2 checks, 3 one band, 4 a round print.
        light: direction in which sunlight travels, world axes, unit length.
        sun, ambient: brightness of sun and sky.
        warmth: how yellow the sun is, against white.
        contact: how much of the sky's light feet and hips take from the floor near them, 1 as in life.
        room: inside four walls instead of outside.
        turn: angle of tiles and walls about the vertical, radians.
        place_seed: chooses houses or trees, clouds, windows, pictures.
    """

    skin: Colour = _SKINS[1]
    hair: Colour = _HAIRS[1]
    iris: Colour = _IRISES[0]
    stubble: float = 0.0
    shirt: Colour = (0.20, 0.42, 0.66)
    shirt_2: Colour = (0.92, 0.92, 0.90)
    pattern: int = 0
    pattern_scale_m: float = 0.06
    trousers: Colour = (0.23, 0.24, 0.28)
    shoes: Colour = (0.86, 0.86, 0.84)
    sole: Colour = (0.95, 0.95, 0.93)
    sleeve: float = 0.36
    hem_m: float = -0.055
    trouser_leg: float = 0.97
    shirt_ease_m: float = 0.014
    trouser_ease_m: float = 0.009
    neckline_m: float = 0.070
    hair_volume_m: float = 0.018
    long_hair: bool = False
    folds: float = 0.5
    light: tuple[float, float, float] = (0.38, 0.52, -0.76)
    sun: float = 1.15
    ambient: float = 0.48
    warmth: float = 0.06
    contact: float = 1.0
    room: bool = True
    floor_kind: int = PLANKS
    floor: tuple[Colour, Colour] = ((0.70, 0.55, 0.40), (0.62, 0.46, 0.32))
    tile_m: float = 0.6
    wall: Colour = (0.80, 0.79, 0.75)
    wall_2: Colour = (0.46, 0.52, 0.50)
    haze: Colour = (0.82, 0.87, 0.92)
    sky: Colour = (0.42, 0.60, 0.86)
    trees: Colour = (0.25, 0.34, 0.20)
    turn: float = 0.3
    place_seed: float = 4.0


def random_look(rng: np.random.Generator) -> Look:
    """Another person in another place; colours as people and places have them, mostly muted."""

    def colour(value: tuple[float, float], saturation: float = 0.75) -> Colour:
        return colorsys.hsv_to_rgb(rng.random(), saturation * rng.random() ** 1.5, rng.uniform(*value))

    def near(base: Colour, spread: float = 0.06) -> Colour:
        one = np.clip(np.array(base) * rng.uniform(0.8, 1.2) + rng.normal(0, spread / 2, 3), 0.02, 0.97)
        return tuple(float(c) for c in one)  # type: ignore[return-value]

    room = bool(rng.random() < 0.5)
    kind = int(rng.choice([TILES, PLANKS, PLAIN], p=[0.35, 0.4, 0.25]) if room else rng.choice([TILES, PLAIN, GRASS]))
    ground = {
        TILES: colour((0.4, 0.85), 0.25),
        PLANKS: near((0.62, 0.46, 0.32)),
        PLAIN: colour((0.3, 0.7), 0.35),
        GRASS: near((0.38, 0.46, 0.22)),
    }[kind]
    second = tuple(float(c * rng.uniform(0.75, 0.95)) for c in ground)
    share, exposure = rng.uniform(0.15, 0.55) if room else rng.uniform(0.2, 0.75), rng.uniform(0.85, 1.3)
    angle, steep = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 2.5)
    light = np.array([np.cos(angle), np.sin(angle), -steep])
    light /= np.linalg.norm(light)
    shoes = colour((0.05, 0.95), 0.6)
    return Look(
        skin=near(_SKINS[rng.integers(len(_SKINS))], 0.02),
        hair=near(_HAIRS[rng.integers(len(_HAIRS))], 0.02),
        iris=_IRISES[rng.integers(len(_IRISES))],
        stubble=float(max(rng.uniform(-0.8, 0.6), 0)),
        shirt=colour((0.12, 0.95), 0.95),
        shirt_2=colour((0.12, 0.95), 0.95),
        pattern=int(rng.choice(5, p=[0.5, 0.14, 0.12, 0.12, 0.12])),
        pattern_scale_m=float(rng.uniform(0.02, 0.10)),
        trousers=colour((0.08, 0.75), 0.6),
        shoes=shoes,
        sole=(0.93, 0.93, 0.9) if rng.random() < 0.6 else near(shoes, 0.1),
        sleeve=float(rng.uniform(0.22, 0.42) if rng.random() < 0.6 else rng.uniform(0.85, 0.97)),
        hem_m=float(rng.uniform(-0.12, 0.0)),
        trouser_leg=float(rng.uniform(0.92, 1.0) if rng.random() < 0.75 else rng.uniform(0.3, 0.52)),
        shirt_ease_m=float(rng.uniform(0.008, 0.024)),
        trouser_ease_m=float(rng.uniform(0.005, 0.014)),
        neckline_m=float(rng.uniform(0.05, 0.085)),
        hair_volume_m=float(rng.uniform(0.006, 0.03)),
        long_hair=bool(rng.random() < 0.3),
        folds=float(rng.uniform(0.2, 0.8)),
        light=tuple(float(c) for c in light),  # type: ignore[arg-type]
        sun=float(1.6 * exposure * share),
        ambient=float(exposure * (1 - share)),
        warmth=float(rng.normal(0.04, 0.06)),
        room=room,
        floor_kind=kind,
        floor=(ground, second),  # type: ignore[arg-type]
        tile_m=float(rng.uniform(0.3, 1.1)),
        wall=colour((0.5, 0.95), 0.35),
        wall_2=colour((0.25, 0.8), 0.6),
        haze=near((0.84, 0.87, 0.90), 0.04),
        sky=near((0.45, 0.62, 0.85), 0.08),
        trees=near((0.24, 0.33, 0.18), 0.06),
        turn=float(rng.uniform(0, np.pi)),
        place_seed=float(rng.uniform(0, 100)),
    )


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles to be skinned like the body.

    Attributes:
        places, normals: (V, 3) on the resting body, metres.
        influences, weights: (V, 4) bones and skin weights.
        material: (V,) one of the numbers above.
        along_arm: (V,) 0 at the shoulder, 0.5 at the elbow, 1 at the wrist; 0 on everything that is no arm.
        hairline: (V,) metres above the lower edge of the hair.
        triangles: (T, 3) vertex indices.
    """

    places: Floats
    normals: Floats
    influences: NDArray[np.int64]
    weights: Floats
    material: NDArray[np.int64]
    along_arm: Floats
    hairline: Floats
    triangles: NDArray[np.int64]


def dress(body: Body, look: Look) -> Mesh:
    """All that is drawn of a person: skin, eyes and hair, clothes and shoes."""
    arm = _along_arm(body)
    hair = hairline(body, body.vertices)
    tights = body.groups["helper-tights"]
    skin = body.groups["body"]
    parts = [
        _layer(body, arm, skin[~_hidden(body, arm, look)[skin].all(axis=1)], SKIN, 0.0),
        _layer(body, arm, body.groups["helper-l-eye"], EYE, 0.0),
        _layer(body, arm, body.groups["helper-r-eye"], EYE, 0.0),
        _layer(body, arm, tights, TROUSERS, look.trouser_ease_m),
        _layer(body, arm, tights, SHIRT, look.shirt_ease_m),
        _layer(body, arm, skin[(hair[skin] > -0.03).any(axis=1)], HAIR_CAP, look.hair_volume_m),
        *(_shoe(body, side) for side in (1.0, -1.0)),
    ]
    if look.long_hair:
        parts.append(_layer(body, arm, body.groups["helper-hair"], HAIR_LONG, 0.004))
    offsets = np.cumsum([0] + [len(part.places) for part in parts])
    joined = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Mesh)
        if field.name != "triangles"
    }
    triangles = [part.triangles + offset for part, offset in zip(parts, offsets, strict=False)]
    return Mesh(**joined, triangles=np.concatenate(triangles))


def heights(body: Body, look: Look) -> tuple[float, float, float]:
    """Heights of shirt hem, trouser hem and shoe top on the resting body, metres."""
    centres = body.joint_centres
    hip, ankle = centres["joint-l-upper-leg"][2], centres["joint-l-ankle"][2]
    shirt = centres["joint-spine-4"][2] + look.hem_m
    return float(shirt), float(hip + look.trouser_leg * (ankle + 0.02 - hip)), float(ankle + 0.005)


def _hidden(body: Body, arm: Floats, look: Look) -> NDArray[np.bool_]:
    """(V,) vertices of the skin well under clothes or shoes, which are not drawn to save time."""
    shirt, trousers, shoe = heights(body, look)
    height = body.vertices[:, 2]
    chest = body.joint_centres["joint-neck"][2] - 0.13
    torso = (arm <= 0.05) & (
        ((height > shirt + 0.05) & (height < chest)) | ((height < shirt) & (height > trousers + 0.04))
    )
    return torso | ((arm > 0.05) & (arm < look.sleeve - 0.06)) | (height < shoe - 0.03)


def _layer(body: Body, arm: Floats, quads: NDArray[np.int64], material: int, ease: float | Floats) -> Mesh:
    used, quads = np.unique(quads, return_inverse=True)
    triangles = triangulate(quads.reshape(-1, 4))
    normals = smooth_normals(body.vertices[used], triangles)
    hair = hairline(body, body.vertices[used])
    if material == HAIR_CAP:  # thin at its edge
        ease = ease * np.clip((hair + 0.004) / 0.035, 0, 1)[:, None] ** 0.7
    return Mesh(
        places=body.vertices[used] + ease * normals,
        normals=normals,
        influences=body.influences[used],
        weights=body.weights[used],
        material=np.full(len(used), material),
        along_arm=arm[used],
        hairline=hair,
        triangles=triangles,
    )


def hairline(body: Body, points: Floats) -> Floats:
    """(n,) how far points (n, 3) on the resting head lie above the lower edge of the hair, metres."""
    eye = body.vertices[body.landmarks["left_eye"]].mean(axis=0)
    side, back, up = np.abs(points[:, 0]), points[:, 1] - eye[1], points[:, 2] - eye[2]
    edge = np.interp(back, [0.0, 0.045, 0.075, 0.14], [0.067, 0.048, 0.012, -0.07])  # brow, temple, ear, nape
    edge -= 0.010 * np.clip((side - 0.03) / 0.03, 0, 1) * np.clip(1 - back / 0.05, 0, 1)
    above = up - edge
    ear = np.hypot((back - 0.085) / 0.032, (up + 0.01) / 0.044) - 1
    return np.where(side > 0.060, np.minimum(above, 0.03 * ear), above)


def _along_arm(body: Body) -> Floats:
    out = np.zeros(len(body.vertices))
    owner = np.array(body.bones)[body.influences[:, 0]]
    for side in ("Left", "Right"):
        shoulder, elbow, wrist = (body.heads[body.bones.index(side + part)] for part in ("Arm", "ForeArm", "Hand"))
        for bones, start, end, base in (
            ((side + "Arm",), shoulder, elbow, 0.0),
            ((side + "ForeArm",), elbow, wrist, 0.5),
        ):
            mine = np.isin(owner, bones)
            share = (body.vertices[mine] - start) @ (end - start) / np.sum((end - start) ** 2)
            out[mine] = base + 0.5 * np.clip(share, 0, 1.2)
        hand = np.array([o.startswith((side + "Hand", side + "Finger", side[0] + "Thumb")) for o in owner])
        out[hand] = 1.2
    return out


def _shoe(body: Body, side: float, stations: int = 22, around: int = 28) -> Mesh:
    """A shoe lofted about the foot: at each station along it the convex outline, a little larger, flat below."""
    ankle = body.joint_centres["joint-l-ankle"][2]
    skin = np.unique(body.groups["body"])
    skin = skin[(body.vertices[skin, 2] < ankle + 0.015) & (body.vertices[skin, 0] * side > 0)]
    foot = body.vertices[skin]
    sole = foot[:, 2].min()
    back, front = foot[:, 1].max(), foot[:, 1].min()
    at = np.linspace(back + 0.006, front - 0.008, stations)
    angles = np.linspace(0, 2 * np.pi, around, endpoint=False)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    radii, centres = np.empty((stations, around)), np.empty((stations, 2))
    for i, y in enumerate(np.clip(at, front + 0.016, back - 0.012)):
        slab = foot[np.abs(foot[:, 1] - y) < 0.018][:, [0, 2]]
        planes = ConvexHull(slab).equations
        centres[i] = (slab[:, 0].min() + slab[:, 0].max()) / 2, sole + 0.03
        reach = planes[:, :2] @ rays.T
        gap = -(planes[:, :2] @ centres[i] + planes[:, 2])[:, None]
        radii[i] = np.where(reach > 1e-6, gap / np.maximum(reach, 1e-6), np.inf).min(axis=0)
    radii = gaussian_filter(radii, (1.0, 0.7), mode=("nearest", "wrap")) + 0.006
    centres = gaussian_filter(centres, (1.5, 0), mode="nearest")
    ends = np.minimum(np.arange(stations), np.arange(stations)[::-1])
    radii *= np.interp(ends, [0, 1, 2], [0.72, 0.92, 1.0])[:, None]  # round heel and toe cap
    rings = centres[:, None] + radii[..., None] * rays
    places = np.concatenate(
        [rings[..., :1], np.broadcast_to(at[:, None, None], (stations, around, 1)), rings[..., 1:]], 2
    )
    places[..., 2] = np.maximum(places[..., 2], sole)
    caps = np.stack([places[0].mean(axis=0) + [0, 0.004, 0], places[-1].mean(axis=0) - [0, 0.004, 0]])
    points = np.concatenate([places.reshape(-1, 3), caps])
    index = np.arange(stations * around).reshape(stations, around)
    following = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], following[:-1], following[1:], index[1:]], axis=-1).reshape(-1, 4)
    last = stations * around
    heel = np.stack([following[0], index[0], np.full(around, last)], axis=1)
    toe = np.stack([index[-1], following[-1], np.full(around, last + 1)], axis=1)
    triangles = np.concatenate([triangulate(quads), heel, toe])
    normals = smooth_normals(points, triangles)
    if np.mean(np.sum(normals * (points - points.mean(axis=0)), axis=1)) < 0:
        triangles, normals = triangles[:, ::-1], -normals
    nearest = cKDTree(foot).query(points)[1]
    return Mesh(
        places=points,
        normals=normals,
        influences=body.influences[skin[nearest]],
        weights=body.weights[skin[nearest]],
        material=np.full(len(points), SHOE),
        along_arm=np.zeros(len(points)),
        hairline=np.full(len(points), -1.0),
        triangles=triangles,
    )


def triangulate(quads: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 4) quads, of which a triangle repeats its last index, to (m, 3) triangles."""
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return triangles[(triangles[:, 1] != triangles[:, 2]) & (triangles[:, 0] != triangles[:, 2])]


def smooth_normals(vertices: Floats, triangles: NDArray[np.int64]) -> Floats:
    """(V, 3) unit normals, each the mean of its triangles' weighed by area."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    out = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(out, triangles[:, corner], flat)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
