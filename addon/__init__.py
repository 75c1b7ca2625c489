# SPDX-License-Identifier: GPL-3.0-or-later
"""Video to Pose, the Blender extension: a sidebar panel over one function, `rigs.apply_take`."""

import bpy

from . import (
    bone_maps,
    check_frames,
    clip,
    errands,
    job_list,
    live,
    live_panel,
    nla_tracks,
    operators,
    overlay,
    panel,
    people,
    pictures,
    preferences,
    properties,
    result_panel,
    session,
    setup,
    solve_operators,
    versions,
)

_MODULES = (
    *(bone_maps, properties, session, preferences, setup, operators, job_list, panel),
    *(pictures, errands, clip, people),
    *(check_frames, overlay, solve_operators, nla_tracks, result_panel),
    *(live, live_panel),
)


_COMMAND = "video_to_pose"
_registered: list[object] = []


def run_command(arguments: list[str]) -> int:
    """``blender --command video_to_pose …``: the script for work without a window, with its options and exit codes."""
    from . import command_line

    return command_line.main(arguments)


def register() -> None:
    if bpy.app.version[:2] < versions.OLDEST:
        raise RuntimeError(versions.verdict(bpy.app.version))
    for module in _MODULES:
        module.register()
    _registered.append(bpy.utils.register_cli_command(_COMMAND, run_command))


def unregister() -> None:
    while _registered:
        bpy.utils.unregister_cli_command(_registered.pop())
    for module in reversed(_MODULES):
        module.unregister()
