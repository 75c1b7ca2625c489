# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions of Blender this add-on is for, and what is said in another one."""

OLDEST = (4, 2)
NEWEST = (5, 2)
"""Every change is tested with the long-term and current releases from `OLDEST` to `NEWEST`."""

RANGE = f"Blender {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"


def verdict(version: tuple[int, ...]) -> str:
    """What to tell a user of a Blender; empty when all is well.

    Args:
        version: as `bpy.app.version` has it.
    """
    name = ".".join(map(str, version[:2]))
    if tuple(version[:2]) < OLDEST:
        return f"Blender {name} is too old: Video to Pose needs {RANGE}."
    if tuple(version[:2]) > NEWEST:
        return (
            f"Blender {name} is newer than this version of Video to Pose, which is tested with {RANGE}. If something "
            "fails, look for an update."
        )
    return ""
