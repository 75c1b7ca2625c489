# SPDX-License-Identifier: GPL-3.0-or-later
"""Video to Pose, the Blender extension: a sidebar panel over one function, `rigs.apply_take`."""

import bpy

from . import bone_maps, operators, panel, preferences, properties, session

_MODULES = (bone_maps, properties, session, preferences, operators, panel)


_COMMAND = "video_to_pose"
_registered: list[object] = []


def run_command(arguments: list[str]) -> int:
    """``blender --command video_to_pose …``: the script for work without a window, with its options and exit codes."""
    from . import headless

    return headless.main(arguments)


def register() -> None:
    for module in _MODULES:
        module.register()
    _registered.append(bpy.utils.register_cli_command(_COMMAND, run_command))


def unregister() -> None:
    while _registered:
        bpy.utils.unregister_cli_command(_registered.pop())
    for module in reversed(_MODULES):
        module.unregister()
