# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations keep their meaning in every rotation mode, as Blender itself reads it, and never jump."""

from __future__ import annotations

import pytest

ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")

TURNS = """
from mathutils import Euler, Quaternion
from video_to_pose_extension import channels
rng = np.random.default_rng(1)
walk = np.cumsum(rng.normal(size=(300, 3, 4)) * 0.04, axis=0) + np.array([1.0, 0, 0, 0])
turns = walk / np.linalg.norm(walk, axis=-1, keepdims=True)
turns[::7] *= -1
"""


@pytest.mark.parametrize("order", ORDERS)
def test_eulers_are_the_rotation_and_have_no_jumps(blender, order):
    got = blender.run(
        TURNS
        + """
order = sys.argv[1]
values = channels.rotation_values(turns, order)
worst = max(Euler(values[f, m], order).to_quaternion().rotation_difference(Quaternion(turns[f, m])).angle % (2 * np.pi)
            for f in range(300) for m in range(3))
quarter = np.array([[[Euler((0.3, 1.0, 2.0), order).to_matrix()[r][c] for c in range(3)] for r in range(3)]])
lock = [0.0, 0.0, 0.0]
lock["XYZ".index(order[1])] = np.pi / 2
locked = np.array([[Euler(lock, order).to_matrix()]], dtype=float)
back = channels.eulers(locked, order)[0, 0]
answer({"worst": min(worst, 2 * np.pi - worst), "plain": channels.eulers(quarter[None], order)[0, 0].tolist(),
        "step": float(np.abs(np.diff(values, axis=0)).max()),
        "locked": float(np.abs(np.array(Euler(back, order).to_matrix()) - locked[0, 0]).max())})
""",
        order,
    )
    assert got["worst"] < 2e-3  # Blender's own angle of a difference is single precision
    assert got["plain"] == pytest.approx([0.3, 1.0, 2.0], abs=1e-5)
    assert got["step"] < 1.6 and got["locked"] < 1e-5


def test_axis_and_angle_are_the_rotation_and_a_resting_bone_keeps_its_axis(blender):
    got = blender.run(
        TURNS
        + """
turns[100:120, 1] = (1, 0, 0, 0)
turns[:, 2] = (1, 0, 0, 0)
values = channels.rotation_values(turns, "AXIS_ANGLE")
def apart(a, b):
    return 1 - abs(float(np.dot(a, b)))
worst = max(apart(Quaternion(values[f, m, 1:], values[f, m, 0]), turns[f, m]) for f in range(300) for m in range(3))
steps = np.diff(values[..., 0], axis=0)
answer({"worst": worst, "finite": bool(np.isfinite(values).all()), "angle": float(np.abs(steps).max()),
        "still": values[:, 2].tolist()[0]})
"""
    )
    assert got["worst"] < 1e-6 and got["finite"] and got["angle"] < 1.5
    assert got["still"] == [0.0, 0.0, 1.0, 0.0]


def test_quaternions_do_not_change_sign(blender):
    got = blender.run(
        TURNS
        + """
values = channels.rotation_values(turns, "QUATERNION")
answer([float((values[1:] * values[:-1]).sum(-1).min()), float(np.abs(np.abs((values * turns).sum(-1)) - 1).max())])
"""
    )
    assert got[0] > 0 and got[1] < 1e-9
