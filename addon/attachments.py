# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rig's bones really hang on when constraints, not parents, carry them (Rigify and other control rigs).

Constraints are read, never switched: of properties that choose between FK and IK the value is taken that they have
when FK leads, all others count as they stand now.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping

import bpy
import numpy as np

_SPACES = {"WORLD", "POSE"}
_WHOLE = 1 - 1e-4
_SAME = 1e-4  # of a bone's length, and in directions: two bones that rest in one place
_HARMLESS = {  # they scale, or hold back what goes too far
    *("COPY_SCALE", "LIMIT_SCALE", "LIMIT_ROTATION", "LIMIT_LOCATION", "LIMIT_DISTANCE", "MAINTAIN_VOLUME"),
}

Switches = Mapping[tuple[str, str], float]
"""(Pose bone, property) -> value."""


def carriers(armature: bpy.types.Object, switches: Switches) -> dict[str, str | None]:
    """Bone -> the bone whose pose it rigidly follows, None when it follows none.

    A bone that copies another's transforms, wholly and from the same rest, or that an Armature or Child Of
    constraint ties to one, follows that one; others follow their parents. Whatever copies another bone's *local*
    turn is taken to copy none: those are helpers of controls that no map names.

    Args:
        armature: object; it is only read.
        switches: values that count instead of the present ones.
    """
    driven = _driven(armature, switches)
    if armature.pose is None:  # made a moment ago: nothing was evaluated yet, so nothing can be tied to it
        return {bone.name: bone.parent.name if bone.parent else None for bone in armature.data.bones}
    out = {bone.name: _carrier(armature, bone, driven) for bone in armature.pose.bones}
    for bone in armature.pose.bones:
        if _circular(out, bone.name):
            out[bone.name] = bone.parent.name if bone.parent else None
    return out


def _circular(parents: Mapping[str, str | None], bone: str) -> bool:
    seen, above = {bone}, parents[bone]
    while above is not None:
        if above in seen:
            return above == bone
        seen.add(above)
        above = parents[above]
    return False


def _carrier(armature: bpy.types.Object, bone: bpy.types.PoseBone, driven: Mapping[str, float]) -> str | None:
    out = bone.parent.name if bone.parent else None
    place = turn = None
    for constraint in bone.constraints:
        path = constraint.path_from_id()
        influence = driven.get(f"{path}.influence", constraint.influence)
        if driven.get(f"{path}.mute", constraint.mute) > 0.5 or influence < 1 - _WHOLE:
            continue
        if constraint.type in _HARMLESS or influence < _WHOLE:
            continue
        target = _target(armature, constraint, driven)
        if target is None or target == bone.name:
            continue
        if constraint.type in ("ARMATURE", "CHILD_OF"):
            if bone.parent is None and (constraint.type == "ARMATURE" or _set_at_rest(armature, constraint, target)):
                out = target
        elif _rest_alike(armature, bone.name, target) and _copies_all(constraint):
            if constraint.type == "COPY_TRANSFORMS":
                out = target
            elif constraint.type == "COPY_LOCATION":
                place = target
            elif constraint.type == "COPY_ROTATION":
                turn = target
            if place is not None and place == turn:
                out = target
    return out


def _target(armature: bpy.types.Object, constraint: bpy.types.Constraint, driven: Mapping[str, float]) -> str | None:
    """Bone of the same armature that a constraint goes by; None when there is not exactly one."""
    if constraint.type == "ARMATURE":
        weights = [
            (driven.get(f"{constraint.path_from_id()}.targets[{t}].weight", target.weight), target)
            for t, target in enumerate(constraint.targets)
        ]
        led = [target for weight, target in weights if weight > 1 - _WHOLE]
        if len(led) != 1 or led[0].target != armature:
            return None
        return led[0].subtarget or None
    if getattr(constraint, "target", None) != armature:
        return None
    return constraint.subtarget or None


def _copies_all(constraint: bpy.types.Constraint) -> bool:
    """Whether a copying constraint takes over the other's whole place or turn."""
    if {constraint.owner_space, constraint.target_space} - _SPACES:
        return False
    if getattr(constraint, "head_tail", 0.0) and constraint.type in ("COPY_TRANSFORMS", "COPY_LOCATION"):
        return False
    if constraint.type == "COPY_TRANSFORMS":
        return constraint.mix_mode == "REPLACE"
    if constraint.type in ("COPY_LOCATION", "COPY_ROTATION"):
        axes = (constraint.use_x, constraint.use_y, constraint.use_z)
        flips = (constraint.invert_x, constraint.invert_y, constraint.invert_z)
        added = constraint.use_offset if constraint.type == "COPY_LOCATION" else constraint.mix_mode != "REPLACE"
        return all(axes) and not any(flips) and not added
    return False


def _set_at_rest(armature: bpy.types.Object, constraint: bpy.types.ChildOfConstraint, target: str) -> bool:
    """Whether a Child Of constraint does nothing while the rig is at rest."""
    parts = ("location", "rotation")
    if not all(getattr(constraint, f"use_{part}_{axis}") for part in parts for axis in "xyz"):
        return False
    rest = np.array(armature.matrix_world @ armature.data.bones[target].matrix_local)
    return np.allclose(rest @ np.array(constraint.inverse_matrix), np.eye(4), atol=1e-3)


def _rest_alike(armature: bpy.types.Object, first: str, second: str) -> bool:
    bones = armature.data.bones
    if second not in bones:
        return False
    a, b = (np.array(bones[name].matrix_local) for name in (first, second))
    return bool(
        np.abs(a[:3, :3] - b[:3, :3]).max() < _SAME and np.abs(a[:3, 3] - b[:3, 3]).max() < _SAME * bones[first].length
    )


def _driven(armature: bpy.types.Object, switches: Switches) -> dict[str, float]:
    """Data path -> value of what is driven by a switch, with the switches as given."""
    if armature.animation_data is None:
        return {}
    paths = {
        f'pose.bones["{bpy.utils.escape_identifier(bone)}"]["{bpy.utils.escape_identifier(prop)}"]': value
        for (bone, prop), value in switches.items()
    }
    out = {}
    for curve in armature.animation_data.drivers:
        reads = {v.targets[0].data_path for v in curve.driver.variables if v.type == "SINGLE_PROP"}
        if reads & paths.keys():
            value = _driver_value(armature, curve, paths)
            if value is not None:
                out[curve.data_path] = value
    return out


def _driver_value(armature: bpy.types.Object, curve: bpy.types.FCurve, paths: Mapping[str, float]) -> float | None:
    """What a driver gives for the switches' values; None when that takes more than reading numbers."""
    values = {}
    for variable in curve.driver.variables:
        if variable.type != "SINGLE_PROP":
            return None
        path, owner = variable.targets[0].data_path, variable.targets[0].id
        try:
            values[variable.name] = float(paths[path] if path in paths else owner.path_resolve(path))
        except (ValueError, TypeError, AttributeError):
            return None
    kind = curve.driver.type
    if kind == "SCRIPTED":
        raw = arithmetic(curve.driver.expression, values)
        if raw is None:
            return None
    else:
        numbers = list(values.values())
        raw = {"SUM": sum, "MIN": min, "MAX": max, "AVERAGE": lambda n: sum(n) / len(n)}[kind](numbers)
    return float(curve.evaluate(raw))


_OPERATORS = {
    **{ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv},
    **{ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_},
    **{ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le},
    **{ast.Gt: operator.gt, ast.GtE: operator.ge},
}


def arithmetic(expression: str, values: Mapping[str, float]) -> float | None:
    """Value of a driver's expression of names, numbers, + - * / and comparisons; None for any other. Runs no code."""

    def value(node: ast.expr) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        if isinstance(node, ast.Name):
            return values[node.id]
        if isinstance(node, ast.UnaryOp):
            return _OPERATORS[type(node.op)](value(node.operand))
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return float(_OPERATORS[type(node.ops[0])](value(node.left), value(node.comparators[0])))
        if isinstance(node, ast.IfExp):
            return value(node.body if value(node.test) else node.orelse)
        raise KeyError(type(node))

    try:
        return float(value(ast.parse(expression.strip(), mode="eval").body))
    except (KeyError, SyntaxError, ZeroDivisionError):
        return None
