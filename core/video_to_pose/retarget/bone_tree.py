# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig's bones as a tree in space, and the body found in it by shape alone: two pairs of limbs on a trunk."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..rotation import normalize
from ..types import Rig
from .bone_names import NO_TURN, plain_name

Array = NDArray[np.floating]

_ALIKE = 0.02  # of the rig's size: how far a mirrored bone may lie from its twin
_LIMB = 0.2  # of the rig's size: shortest arm or leg
_ANKLE_BEND = np.cos(np.radians(35.0))
_CROWN = 1.18  # of the way from ankles to shoulders: no head begins as high as this
_WHOLE_ARM = 0.7  # of the way to the finger tips: the least to the wrist
MANY_TOES = 4
"""So many bones on a foot are its toes, whatever their names."""
_COVER = 0.6  # of the chain up to wrist or ankle: the least that upper and lower part make


class Tree:
    """Parents, children and places (world axes) of a rig's bones, by index."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.names = rig.names
        self.index = {name: b for b, name in enumerate(rig.names)}
        self.parents = rig.parents
        self.children: list[list[int]] = [[] for _ in rig.names]
        for child, parent in enumerate(rig.parents):
            if parent >= 0:
                self.children[parent].append(child)
        turn, place = rig.world[:3, :3], rig.world[:3, 3]
        self.heads = rig.rest[:, :3, 3] @ turn.T + place
        self.tails = (rig.rest[:, :3, 3] + rig.rest[:, :3, 1] * rig.lengths[:, None]) @ turn.T + place
        self.ends = np.array([self.heads[c].mean(axis=0) if c else self.tails[b] for b, c in enumerate(self.children)])
        """Where bones lead: to their children, whatever an importer made of their tails; leaves to their tails."""
        self.size = float(np.ptp(self.heads, axis=0).max()) if rig.names else 0.0
        """Longest side of the box round all heads; 0 for a rig without places."""

    def line(self, bone: int) -> list[int]:
        """The bone and what it hangs on, the bone first."""
        out = [bone]
        while self.parents[out[-1]] >= 0:
            out.append(self.parents[out[-1]])
        return out

    def carries(self, above: int, below: int) -> bool:
        """Whether `below` hangs on `above`, directly or not."""
        return above != below and above in self.line(below)

    def between(self, above: int, below: int) -> list[int]:
        """Bones between the two, from above, without them; empty when one does not hang on the other."""
        line = self.line(below)
        return line[1 : line.index(above)][::-1] if above in line[1:] else []

    def fork(self, first: int, second: int) -> int | None:
        """Lowest bone that carries both."""
        line = set(self.line(first)[1:])
        return next((b for b in self.line(second)[1:] if b in line), None)

    def below(self, bone: int) -> Iterator[int]:
        """Everything that hangs on the bone, parents first."""
        for child in self.children[bone]:
            yield child
            yield from self.below(child)

    def chain(self, bone: int) -> list[int]:
        """From the bone down to the end that lies farthest away."""
        ends = [b for b in (bone, *self.below(bone)) if not self.children[b]]
        far = max(ends, key=lambda b: float(np.linalg.norm(self.tails[b] - self.heads[bone])))
        line = self.line(far)
        return line[: line.index(bone) + 1][::-1]


def find_body(tree: Tree) -> tuple[dict[str, int], list[int], list[int]]:
    """Parts -> bones, spine and neck, told by mirrored limbs and where they branch off; all empty when there is none.

    Which side is left is told by where the feet point, or, without feet, by the rig facing its object's -Y.
    """
    nothing: tuple[dict[str, int], list[int], list[int]] = ({}, [], [])
    limbs = _mirrored_limbs(tree) if tree.size > 0 else []
    if len(limbs) < 2:
        return nothing
    legs, arms = sorted(limbs[:2], key=lambda limb: len(tree.line(limb[0])))
    hips, chest = legs[0], arms[0]
    if not tree.carries(hips, chest):
        if hips == chest:  # lower ends are feet
            legs, arms = sorted((legs, arms), key=lambda limb: float(tree.ends[tree.chain(limb[1])[-1]][2]))
        else:  # a head goes on above arms, nothing above legs
            legs, arms = sorted((legs, arms), key=lambda limb: _beyond(tree, limb))
        hips, chest = legs[0], arms[0]
        trunk = hips if hips == chest else tree.fork(hips, chest)
        if trunk is None:
            return nothing
        hips = trunk
    feet, hands = [_leg(tree, tree.chain(b)) for b in legs[1:]], [_arm(tree, tree.chain(b)) for b in arms[1:]]
    if not all(len(limb) >= 2 for limb in (*feet, *hands)):
        return nothing
    spine = [] if hips == chest else [*tree.between(hips, chest), chest]
    limb_bones = {b for limb in (*legs[1:], *arms[1:]) for b in tree.line(limb)}
    crown = _crown(tree, chest, [b for b in tree.children[chest] if b not in limb_bones])
    soles, shoulders = (
        np.mean([tree.heads[limb[part]] for limb in pair], axis=0)
        for pair, part in (
            (feet, "foot" if all("foot" in foot for foot in feet) else "lower_leg"),
            (hands, "upper_arm"),
        )
    )
    if len(crown) > 1 and np.linalg.norm(tree.heads[crown[-1]] - soles) > _CROWN * np.linalg.norm(shoulders - soles):
        crown.pop()  # it begins where heads end
    out = {"hips": hips}
    if crown:
        out["head"] = crown[-1]
    up = normalize(tree.heads[chest] - tree.heads[hips]) if chest != hips else np.array([0.0, 0.0, 1.0])
    sides = _sides(tree, feet, up)
    for limb in (feet, hands):
        spread = float((tree.heads[_far(limb[0])] - tree.heads[_far(limb[1])]) @ sides)
        for side, parts in zip(("left", "right") if spread > 0 else ("right", "left"), limb, strict=True):
            out |= {f"{side}_{part}": bone for part, bone in parts.items()}
    return out, spine, crown[:-1]


def _beyond(tree: Tree, limb: tuple[int, int, int]) -> float:
    """How far anything but the limbs reaches from the fork."""
    return max((_reach(tree, b) for b in tree.children[limb[0]] if b not in limb), default=0.0)


def _far(limb: dict[str, int]) -> int:
    return limb.get("lower_leg", limb.get("forearm", -1))


def _mirrored_limbs(tree: Tree) -> list[tuple[int, int, int]]:
    """(fork, one side, other side), longest first, of the mirror plane that most bones agree on."""
    best: list[tuple[int, int, int]] = []
    most = 0
    for axis in normalize(tree.rig.world[:3, :3].T):
        pairs = _pairs(tree, axis)
        limbs = [(tree.parents[a], a, b) for a, b in pairs if tree.parents[a] == tree.parents[b] >= 0]
        long = [(_reach(tree, a), fork, a, b) for fork, a, b in limbs]
        found = [limb[1:] for limb in sorted(long, reverse=True) if limb[0] > _LIMB * tree.size]
        if len(found) >= 2 and len(pairs) > most:
            best, most = found, len(pairs)
    return best


def _pairs(tree: Tree, axis: Array) -> list[tuple[int, int]]:
    """Bones that mirror each other across the plane through their common parent, parents first."""
    out: list[tuple[int, int]] = []

    def match(parents: tuple[int, int], middle: float) -> None:
        first, second = (tree.children[b] for b in parents)
        left = list(second)
        for a in first:
            head, end = (point - 2 * (point @ axis - middle) * axis for point in (tree.heads[a], tree.ends[a]))
            near = [
                (float(np.linalg.norm(tree.heads[b] - head) + 0.5 * np.linalg.norm(tree.ends[b] - end)), b)
                for b in left
                if b != a and bool(tree.children[b]) == bool(tree.children[a])
            ]
            if not near or min(near)[0] > 2 * _ALIKE * tree.size:
                continue
            b = min(near)[1]
            if abs(float(tree.ends[tree.chain(a)[-1]] @ axis) - middle) < _ALIKE * tree.size:
                continue  # it lies in the plane
            left.remove(b)
            if a in left:
                left.remove(a)
            if parents[0] != parents[1] or (b, a) not in out:
                out.append((a, b))
                match((a, b), middle)

    for bone in range(len(tree.names)):
        if len(tree.children[bone]) >= 2 and not any(bone in pair for pair in out):
            match((bone, bone), float(tree.heads[bone] @ axis))
    return out


def _reach(tree: Tree, bone: int) -> float:
    return float(np.linalg.norm(tree.tails[tree.chain(bone)[-1]] - tree.heads[bone]))


def _two_parts(joints: Array, last: int) -> tuple[int, int]:
    """Which joints are shoulder and elbow (hip and knee) of a chain whose wrist (ankle) is joint `last`."""
    far = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(joints[: last + 1], axis=0), axis=-1))])
    best, least = (0, 0), np.inf
    for start, middle in combinations(range(last), 2):
        upper, lower = far[middle] - far[start], far[last] - far[middle]
        if min(upper, lower) > 0 and upper + lower > _COVER * far[last]:
            unlike = abs(np.log(upper / lower)) + 0.02 * start  # of two that are alike the longer
            if unlike < least:
                best, least = (start, middle), unlike
    return best


def _joints(tree: Tree, chain: list[int]) -> Array:
    return np.array([*(tree.heads[b] for b in chain), tree.tails[chain[-1]]])


def _leg(tree: Tree, chain: list[int]) -> dict[str, int]:
    joints = _joints(tree, chain)
    along = normalize(np.diff(joints, axis=0))
    bends = [j for j in range(2, len(chain)) if along[j] @ normalize(joints[j] - joints[0]) < _ANKLE_BEND]
    ankle = bends[0] if bends else len(chain)
    hip, knee = _two_parts(joints, ankle)
    if knee == 0:
        return {}
    out = {"upper_leg": chain[hip], "lower_leg": chain[knee]}
    out |= dict(zip(("foot", "toe"), chain[ankle : ankle + 2], strict=False))
    if "toe" in out and len(toes := tree.children[out["foot"]]) >= MANY_TOES:
        middle = tree.heads[toes].mean(axis=0)
        out["toe"] = min(toes, key=lambda b: float(np.linalg.norm(tree.heads[b] - middle)))
    return out


def _arm(tree: Tree, chain: list[int]) -> dict[str, int]:
    joints = _joints(tree, chain)
    fans = [j for j in range(2, len(chain)) if len(tree.children[chain[j]]) >= 2]  # fingers, or a twist bone beside
    far = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(joints, axis=0), axis=-1))])
    wrists = fans or [j for j in range(2, len(chain) + 1) if far[j] > _WHOLE_ARM * far[-1]]
    if not wrists:
        return {}

    def unlike(wrist: int) -> float:
        shoulder, elbow = _two_parts(joints, wrist)
        upper, lower = (np.linalg.norm(joints[b] - joints[a]) for a, b in ((shoulder, elbow), (elbow, wrist)))
        skipped = wrist - shoulder - 2
        return float(abs(np.log(upper / lower))) + 0.05 * skipped if min(upper, lower) > 0 else np.inf

    wrist = min(wrists, key=unlike)
    shoulder, elbow = _two_parts(joints, wrist)
    if elbow == 0:
        return {}
    out = {"upper_arm": chain[shoulder], "forearm": chain[elbow]}
    if shoulder > 0:
        out["shoulder"] = chain[0]
    if wrist < len(chain):
        out["hand"] = chain[wrist]
    return out


def _crown(tree: Tree, chest: int, starts: list[int]) -> list[int]:
    """Neck and head: the chain that goes on above the chest, up to where it branches or ends."""
    chains = [tree.chain(b) for b in starts]
    if not chains:
        return []
    out: list[int] = []
    for bone in max(chains, key=lambda c: float(np.linalg.norm(tree.tails[c[-1]] - tree.heads[chest]))):
        if NO_TURN.search(plain_name(tree.names[bone])[0]) and out:
            break
        out.append(bone)
        if len(tree.children[bone]) > 1:
            break
    return out


def _sides(tree: Tree, feet: list[dict[str, int]], up: Array) -> Array:
    """(3,) direction of the body's left."""
    forward = -tree.rig.world[:3, 1]
    if all("foot" in foot for foot in feet):
        ahead = np.sum([tree.tails[foot.get("toe", foot["foot"])] - tree.heads[foot["foot"]] for foot in feet], axis=0)
        ahead = ahead - (ahead @ up) * up
        if np.linalg.norm(ahead) > 1e-6:
            forward = ahead
    return np.cross(up, normalize(forward))
