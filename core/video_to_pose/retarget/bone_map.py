# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bone of a rig plays which part: found by names, checked and filled up by hierarchy and places, kept as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import written_whole
from ..rotation import normalize
from ..types import Rig
from .bone_names import (
    ANY,
    CONVENTIONS,
    LIMBS,
    MIDDLE_PARTS,
    NEEDED,
    SIDED_PARTS,
    SIDES,
    TWIST,
    Convention,
    plain_name,
    shared_prefix,
)
from .bone_tree import MANY_TOES, Tree, find_body

_LEAST_SHARE = 0.05  # of a limb: a bone in its chain that begins nearer to either end is no twist bone
_NAMED, _GUESSED, _SEEN = 1.0, 0.8, 0.5  # confidence in a convention's names, in any names, in the shape alone


@dataclass(frozen=True)
class Switch:
    """A custom property of a pose bone that chooses between turning a rig's own bones (FK) and pulling at its controls.

    Attributes:
        bone: pose bone that has the property.
        prop: the property's name; its data path is ``pose.bones["bone"]["prop"]``.
        fk: value with which the bones in `BoneMap.single` lead.
        ik: value with which the bones in `BoneMap.controls` lead.
    """

    bone: str
    prop: str
    fk: float
    ik: float


@dataclass(frozen=True, eq=False)
class BoneMap:
    """Parts and the rig's bones that play them.

    Attributes:
        single: part -> bone name: ``hips``, ``head`` and, after ``left_`` or ``right_``, ``shoulder``,
            ``upper_arm``, ``forearm``, ``hand``, ``upper_leg``, ``lower_leg``, ``foot``, ``toe``.
        spine: bones from above the hips up to the chest.
        neck: bones from above the chest up to below the head.
        root: bone above the hips that carries the whole rig, empty when there is none.
        twist: ``left_upper_arm``, ``left_forearm``, ``left_upper_leg``, ``left_lower_leg`` and the right ones -> the
            bones that share the limb's twist, near to far, whether they lie in the chain or are leaves beside it.
        fingers: ``left_thumb``, ``left_index``, ``left_middle``, ``left_ring``, ``left_little`` and the right ones ->
            the finger's first bone (the proximal phalanx; the thumb's first bone).
        controls: IK controls: ``left_hand``, ``left_foot``, ``left_toe``, the poles ``left_elbow`` and ``left_knee``,
            and the right ones.
        switches: custom properties that choose whether `single` or `controls` lead.
        confidence: part (key of `single`, or ``spine``, ``neck``, ``root``) -> 0 ... 1.
        convention: whose names the rig bears, e.g. ``mixamo``, ``rigify``; ``unknown`` when nobody's.
        toes: ``left_toe``, ``right_toe`` -> the other toes, which turn as the one in `single` does.
        beside_hips: bones without parent that carry parts but do not hang on the hips, and so must go with them.
    """

    single: Mapping[str, str]
    spine: tuple[str, ...]
    neck: tuple[str, ...]
    root: str = ""
    twist: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fingers: Mapping[str, str] = field(default_factory=dict)
    controls: Mapping[str, str] = field(default_factory=dict)
    switches: tuple[Switch, ...] = ()
    confidence: Mapping[str, float] = field(default_factory=dict)
    convention: str = "unknown"
    toes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    beside_hips: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("single", "fingers", "controls", "confidence"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for name in ("twist", "toes"):
            bones = {part: tuple(names) for part, names in getattr(self, name).items()}
            object.__setattr__(self, name, MappingProxyType(bones))
        for name in ("spine", "neck", "switches", "beside_hips"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "convention": self.convention,
            "root": self.root,
            "single": dict(self.single),
            "spine": list(self.spine),
            "neck": list(self.neck),
            "twist": {limb: list(bones) for limb, bones in self.twist.items()},
            "fingers": dict(self.fingers),
            "controls": dict(self.controls),
            "switches": [asdict(switch) for switch in self.switches],
            "confidence": dict(self.confidence),
            "toes": {part: list(bones) for part, bones in self.toes.items()},
            "beside_hips": list(self.beside_hips),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BoneMap:
        """The map that `to_dict` wrote.

        Raises:
            ValueError: a part that there is not, or one that is missing.
        """
        parts = {*MIDDLE_PARTS, *(f"{side}_{part}" for side in SIDES for part in SIDED_PARTS)}
        try:
            single, spine, neck = dict(values["single"]), tuple(values["spine"]), tuple(values["neck"])
        except KeyError as error:
            raise ValueError(f"a bone map needs {error}") from error
        if unknown := set(single) - parts:
            raise ValueError(f"unknown parts: {', '.join(sorted(unknown))}")
        if missing := [part for part in NEEDED if part not in single]:
            raise ValueError(f"a bone map needs {', '.join(missing)}")
        try:
            switches = tuple(Switch(**switch) for switch in values.get("switches", ()))
        except TypeError as error:
            raise ValueError(f"a switch needs bone, prop, fk and ik: {error}") from error
        return cls(
            single,
            spine,
            neck,
            root=str(values.get("root", "")),
            twist={limb: tuple(bones) for limb, bones in values.get("twist", {}).items()},
            fingers=dict(values.get("fingers", {})),
            controls=dict(values.get("controls", {})),
            switches=switches,
            confidence=dict(values.get("confidence", {})),
            convention=str(values.get("convention", "unknown")),
            toes={part: tuple(bones) for part, bones in values.get("toes", {}).items()},
            beside_hips=tuple(values.get("beside_hips", ())),
        )

    def save(self, path: str | Path) -> None:
        """Write the map as a JSON file to share.

        Raises:
            InputError: the file cannot be written.
        """
        with written_whole(path) as partial:
            partial.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, rig: Rig | None = None) -> BoneMap:
        """A map that `save` wrote, or that somebody wrote by hand.

        Args:
            path: JSON file.
            rig: that the map is meant for, to be checked against.

        Raises:
            InputError: the file cannot be read, is no bone map, or names bones that the rig lacks.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            found = cls.from_dict(values)
        except OSError as error:
            raise InputError(
                f"The bone map {path} cannot be read: {error.strerror or error}.",
                "Check the path.",
                "bone-map-unreadable",
            ) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} is not a bone map: {error}.",
                "Choose a .json file saved from this add-on, or save a new one from the rig.",
                "bone-map-invalid",
            ) from error
        if rig is not None:
            found.check(rig, str(path))
        return found

    def check(self, rig: Rig, source: str = "The bone map") -> None:
        """See whether a rig has all bones that the map names.

        Args:
            rig: the rig.
            source: how messages call the map.

        Raises:
            InputError: it lacks some; the message names them.
        """
        lacking = sorted(self.bones - set(rig.names))
        if lacking:
            raise InputError(
                f"{source} names bones that the armature lacks: {', '.join(lacking)}.",
                "Choose the map of this armature, correct the names in it, or let the bones be found anew.",
                "bone-map-mismatch",
            )

    @property
    def bones(self) -> frozenset[str]:
        """Every bone that the map names."""
        return frozenset(
            {
                *self.single.values(),
                *self.spine,
                *self.neck,
                *([self.root] if self.root else []),
                *(bone for bones in self.twist.values() for bone in bones),
                *self.fingers.values(),
                *self.controls.values(),
                *(switch.bone for switch in self.switches),
                *(bone for bones in self.toes.values() for bone in bones),
                *self.beside_hips,
            }
        )


def map_bones(rig: Rig) -> BoneMap:
    """Find out which bone plays which part.

    The naming convention that names most parts, in an order that a body can have, gives them; then any names, then
    hierarchy and places of the bones at rest.

    Raises:
        InputError: parts without which nothing can move are missing; the message names them.
    """
    body = Tree(rig)
    found = max((_by_names(body, convention) for convention in CONVENTIONS), key=_Found.score)
    if not found.complete:
        found = max(found, _by_names(body, ANY), key=_Found.score)
    if not found.complete:
        _by_structure(body, found)
    missing = [part for part in NEEDED if part not in found.single]
    if missing:
        raise InputError(
            f"This armature cannot be mapped: no bone was found for {', '.join(m.replace('_', ' ') for m in missing)}.",
            "Use an armature of a person with two arms and two legs, name its bones as Mixamo, Unreal or Rigify do, "
            "load a bone map for it, or make a new armature.",
            "rig-unmapped",
        )
    return _finished(body, found)


@dataclass
class _Found:
    """What is known so far, bones by index."""

    convention: Convention
    single: dict[str, int] = field(default_factory=dict)
    spine: list[int] = field(default_factory=list)
    neck: list[int] = field(default_factory=list)
    fingers: dict[str, int] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return all(part in self.single for part in NEEDED)

    def score(self) -> tuple[int, int]:
        found = sum(part in self.single for part in NEEDED)
        return found, len(self.single) + len(self.spine) + len(self.neck) + len(self.fingers)


_ORDER = (("shoulder", "upper_arm", "forearm", "hand"), ("upper_leg", "lower_leg", "foot", "toe"))


def _by_names(tree: Tree, convention: Convention) -> _Found:
    """The parts that a convention's names give, those left out that hang where they cannot."""
    found = _Found(convention)
    if convention.mark and not any(re.search(convention.mark, name) for name in tree.names):
        return found
    named = _Named(tree, convention)
    for part, names in convention.parts.items():
        for side in ("",) if part in MIDDLE_PARTS else SIDES:
            bone = named.first(names, side)
            if bone is not None:
                found.single[f"{side}_{part}" if side else part] = bone
    for side in SIDES:
        for chain in _ORDER:
            _keep_order(tree, found.single, [f"{side}_{part}" for part in chain])
    _settle_hips(tree, found.single, convention)
    _settle_trunk(tree, found, named)
    for side in SIDES:
        for finger in ANY.fingers:
            bone = named.first((*convention.fingers.get(finger, ()), *ANY.fingers[finger]), side)
            if bone is not None:
                found.fingers[f"{side}_{finger}"] = bone
    sure = _GUESSED if convention is ANY else _NAMED
    found.confidence = dict.fromkeys(found.single, sure)
    found.confidence |= {chain: sure for chain in ("spine", "neck") if getattr(found, chain)}
    return found


class _Named:
    """A rig's bones by plain name and side."""

    def __init__(self, tree: Tree, convention: Convention) -> None:
        prefix = convention.prefix or shared_prefix(tree.names)
        self.plain = [plain_name(name, prefix) for name in tree.names]
        self._first: dict[tuple[str, str], int] = {}
        for b, key in enumerate(self.plain):
            self._first.setdefault(key, b)

    def first(self, names: Sequence[str], side: str) -> int | None:
        """Topmost bone of the likeliest name."""
        return next((self._first[name, side] for name in names if (name, side) in self._first), None)

    def middle(self, bone: int, pattern: str) -> bool:
        """Whether a bone lies in the middle and bears a name of a chain."""
        plain, side = self.plain[bone]
        return not side and re.fullmatch(pattern, plain) is not None


def _keep_order(tree: Tree, single: dict[str, int], parts: list[str]) -> None:
    """Leave out limb parts that do not hang on the one before."""
    above = None
    for part in parts:
        if part not in single:
            continue
        if above is not None and not tree.carries(single[above], single[part]):
            del single[part]
            continue
        above = part


def _settle_hips(tree: Tree, single: dict[str, int], convention: Convention) -> None:
    """Hips are what carries both legs, under that name or none; a rig may also hang its legs on nothing."""
    legs = [single[part] for part in ("left_upper_leg", "right_upper_leg") if part in single]
    if len(legs) < 2:
        return
    hips = single.get("hips")
    fork = tree.fork(*legs)
    if fork is None or (hips is not None and all(tree.carries(hips, leg) for leg in legs)):
        return
    arm = single.get("left_upper_arm")
    if arm is not None and not tree.carries(fork, arm):
        trunk = tree.fork(fork, arm)
        fork = fork if trunk is None else trunk
    single["hips"] = fork


def _settle_trunk(tree: Tree, found: _Found, named: _Named) -> None:
    """Spine and neck are bones of such names between hips, chest and head; names may tell neck and head badly."""
    single, convention = found.single, found.convention
    hips = single.get("hips")
    arms = [single[part] for part in ("left_upper_arm", "right_upper_arm") if part in single]
    if hips is None or len(arms) < 2:
        return
    legs = {*(b for part in ("left_upper_leg", "right_upper_leg") if part in single for b in tree.line(single[part]))}
    head = single.get("head")
    if head is None:
        head = _head_of_spine(tree, found, named)
    trunk = tree.between(hips, arms[0])
    if head is not None:
        trunk = sorted({*trunk, *tree.between(hips, head)}, key=lambda b: len(tree.line(b)))
    trunk = [b for b in trunk if b not in legs]
    chest = tree.fork(*arms)
    above = set() if chest is None else set(tree.below(chest))
    split = not convention.neck
    taken = {*single.values()}
    for bone in trunk:
        if bone in taken:
            continue
        if convention.neck and named.middle(bone, convention.neck):
            found.neck.append(bone)
        elif named.middle(bone, convention.spine):
            (found.neck if split and bone in above else found.spine).append(bone)


def _head_of_spine(tree: Tree, found: _Found, named: _Named) -> int | None:
    """Where names count the spine up to the head: the topmost of them that lies above the arms."""
    arms = (found.single["left_upper_arm"], found.single["right_upper_arm"])
    chest = tree.fork(*arms)
    if chest is None or (
        found.convention.neck and any(named.middle(b, found.convention.neck) for b in tree.below(chest))
    ):
        return None
    above = [b for b in tree.below(chest) if named.middle(b, found.convention.spine)]
    if not above:
        return None
    found.single["head"] = max(above, key=lambda b: len(tree.line(b)))
    return found.single["head"]


def _by_structure(tree: Tree, found: _Found) -> None:
    """Fill up what names did not tell; where they told little, go by the shape alone."""
    single, spine, neck = find_body(tree)
    if not single:
        return
    if found.score()[0] < len(NEEDED) // 2 or any(
        single.get(part, bone) != bone for part, bone in found.single.items()
    ):
        found.single, found.spine, found.neck, found.fingers, found.confidence = {}, [], [], {}, {}
        found.convention = ANY
    for part, bone in single.items():
        if part not in found.single:
            found.single[part], found.confidence[part] = bone, _SEEN
    for name, chain in (("spine", spine), ("neck", neck)):
        if not getattr(found, name) and chain:
            setattr(found, name, chain)
            found.confidence[name] = _SEEN


def _finished(tree: Tree, found: _Found) -> BoneMap:
    """Names instead of indices, and what follows from the parts: root, twist bones, controls, switches."""
    names, convention, confidence = tree.names, found.convention, dict(found.confidence)
    named = _Named(tree, convention)
    hips = found.single["hips"]
    above = tree.line(hips)[1:]
    root = ""
    if above:
        known = [b for b in above if named.plain[b][0] in (*convention.root, *ANY.root)]
        root = names[(known or above)[-1]]
        confidence["root"] = _NAMED if known else _GUESSED
    if _mirrored(tree, found.single):
        confidence |= {part: value / 2 for part, value in confidence.items() if part.startswith(SIDES)}
    beside = _beside(tree, found)
    if beside:
        confidence["hips"] = _SEEN  # they cannot carry what does not hang on them
    controls = {
        f"{side}_{part}": names[bone]
        for part, options in convention.controls.items()
        for side in SIDES
        if (bone := named.first(options, side)) is not None
    }
    return BoneMap(
        single={part: names[bone] for part, bone in found.single.items()},
        spine=tuple(names[b] for b in found.spine),
        neck=tuple(names[b] for b in found.neck),
        root=root,
        twist=_twist(tree, found.single, named),
        fingers={finger: names[bone] for finger, bone in found.fingers.items()},
        controls=controls,
        switches=switches_of(names, convention),
        confidence=confidence,
        convention=convention.name,
        toes=_other_toes(tree, found.single, named),
        beside_hips=beside,
    )


def switches_of(names: Sequence[str], convention: Convention | None = None) -> tuple[Switch, ...]:
    """Switches of those bones of a rig that are known to have them.

    Args:
        names: the rig's bones.
        convention: whose switches; None for all conventions.
    """
    have = set(names)
    out: dict[tuple[str, str], Switch] = {}
    for one in CONVENTIONS if convention is None else (convention,):
        for bone, prop, fk, ik in one.switches:
            for side in "LR" if "{side}" in bone else "-":
                name = bone.format(side=side)
                if name in have:
                    out.setdefault((name, prop), Switch(name, prop, fk, ik))
    return tuple(out.values())


def _twist(tree: Tree, single: Mapping[str, int], named: _Named) -> dict[str, tuple[str, ...]]:
    """Twist bones of each limb, near to far: bones in the chain, and leaves that are named so."""
    out = {}
    parts = set(single.values())
    for side in SIDES:
        for part, following in LIMBS.items():
            start, end = single.get(f"{side}_{part}"), single.get(f"{side}_{following}")
            if start is None:
                continue
            span = np.zeros(3) if end is None else tree.heads[end] - tree.heads[start]
            length = float(span @ span)

            def share(bone: int, start: int = start, span=span, length: float = length) -> float:  # type: ignore[no-untyped-def]
                return float((tree.heads[bone] - tree.heads[start]) @ span) / length if length > 0 else 0.5

            chain = [] if end is None else tree.between(start, end)
            found = [b for b in chain if _LEAST_SHARE < share(b) < 1 - _LEAST_SHARE]
            for bone in tree.below(start):
                if bone in chain or bone in parts or not TWIST.search(named.plain[bone][0]):
                    continue
                nearest = next(b for b in tree.line(bone)[1:] if b in parts)
                if nearest == start:
                    found.append(bone)
            if found:
                out[f"{side}_{part}"] = tuple(tree.names[b] for b in sorted(found, key=lambda b: (share(b), b)))
    return out


def _other_toes(tree: Tree, single: Mapping[str, int], named: _Named) -> dict[str, tuple[str, ...]]:
    out = {}
    for side in SIDES:
        toe = single.get(f"{side}_toe")
        if toe is None or tree.parents[toe] < 0:
            continue
        beside = [b for b in tree.children[tree.parents[toe]] if b != toe]
        others = [b for b in beside if "toe" in named.plain[b][0] or len(beside) + 1 >= MANY_TOES]
        if others:
            out[f"{side}_toe"] = tuple(tree.names[b] for b in others)
    return out


def _beside(tree: Tree, found: _Found) -> tuple[str, ...]:
    """Bones without parent that carry parts but not the hips."""
    hips = tree.line(found.single["hips"])[-1]
    tops = {tree.line(b)[-1] for b in (*found.single.values(), *found.spine, *found.neck)} - {hips}
    return tuple(tree.names[b] for b in sorted(tops))


def _mirrored(tree: Tree, single: Mapping[str, int]) -> bool:
    """Whether the left leg is on the right of a body whose feet point ahead: then names or places are wrong."""
    feet = [(single.get(f"{side}_foot"), single.get(f"{side}_toe")) for side in SIDES]
    ahead = np.zeros(3)
    for foot, toe in feet:
        if foot is not None:
            ahead = ahead + (tree.tails[foot] if toe is None else tree.heads[toe]) - tree.heads[foot]
    legs = [tree.heads[single[f"{side}_upper_leg"]] for side in SIDES]
    arms = [tree.heads[single[f"{side}_upper_arm"]] for side in SIDES]
    up = np.mean(arms, axis=0) - np.mean(legs, axis=0)
    left = np.cross(normalize(up), normalize(ahead))
    across = float((legs[0] - legs[1] + arms[0] - arms[1]) @ left)
    return across < -0.1 * float(np.linalg.norm(legs[0] - legs[1]))
