# SPDX-License-Identifier: GPL-3.0-or-later
"""Video to Pose, the Blender extension: a sidebar panel over one function, `rigs.apply_take`."""

from . import bone_maps, operators, panel, preferences, properties, session

_MODULES = (bone_maps, properties, session, preferences, operators, panel)


def register() -> None:
    for module in _MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(_MODULES):
        module.unregister()
