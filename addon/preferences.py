# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: which engine runs the captures, and what it runs on."""

import bpy
from bpy.props import EnumProperty, StringProperty

from . import runtimes, setup_view

_AUTOMATIC = "auto"


def _runtime_items(_self: object, _context: bpy.types.Context | None) -> list[tuple[str, str, str]]:
    return _ITEMS


_FITTING, _WHY = runtimes.detect()
_ITEMS = [
    (_AUTOMATIC, f"Automatic: {runtimes.RUNTIMES[_FITTING].label}", f"Chosen because {_WHY}"),
    *(
        (
            name,
            runtimes.RUNTIMES[name].label,
            f"{runtimes.RUNTIMES[name].about} ({runtimes.RUNTIMES[name].requirement})",
        )
        for name in runtimes.usable()
    ),
]


class VideoToPosePreferences(bpy.types.AddonPreferences):
    """Shown under Add-ons."""

    bl_idname = __package__

    engine_python: StringProperty(
        name="Existing Python",
        description="A Python in which video-to-pose is installed. Empty: the engine installed here, or Blender's own "
        "Python when it has all that is needed",
        subtype="FILE_PATH",
    )
    runtime: EnumProperty(
        name="Device",
        description="What networks run on, and so which package of ONNX Runtime is installed. The MediaPipe detector "
        "always runs on the processor",
        items=_runtime_items,
    )

    def draw(self, context: bpy.types.Context) -> None:
        setup_view.draw(self.layout, context, self)


def _own(context: bpy.types.Context) -> VideoToPosePreferences | None:
    addon = context.preferences.addons.get(__package__)
    return addon.preferences if addon is not None else None


def engine_python(context: bpy.types.Context) -> str:
    """The path the user chose; empty when there is none."""
    own = _own(context)
    return bpy.path.abspath(own.engine_python) if own is not None and own.engine_python else ""


def runtime(context: bpy.types.Context) -> str:
    """The name in `runtimes.RUNTIMES` to install: the chosen one, or what fits this machine."""
    own = _own(context)
    return _FITTING if own is None or own.runtime in ("", _AUTOMATIC) else own.runtime


def register() -> None:
    bpy.utils.register_class(VideoToPosePreferences)


def unregister() -> None:
    bpy.utils.unregister_class(VideoToPosePreferences)
