# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors a person can act on.

Raised where the fault is known, shown unchanged by the command line, the worker and the
Blender panel. A broken invariant (a bug) raises ``ValueError`` instead.
"""

from __future__ import annotations


class VideoToPoseError(Exception):
    """One clear sentence, a hint that says the mend, and a stable code a program can match.

    Args:
        message: what is wrong and where, one sentence.
        hint: what the person can do about it, one sentence.
        code: short stable identifier, e.g. ``"video-missing"``.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", code: str = "fault") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class InputError(VideoToPoseError):
    """The user's file, option or scene is wrong; the user can mend it. Exit code 2."""

    exit_code = 2


class SetupError(VideoToPoseError):
    """The installation lacks something (a package, a model file, Blender). Exit code 3."""

    exit_code = 3


class ClipsFailed(VideoToPoseError):
    """Some clips of a batch could not be done; the others are. Exit code 4."""

    exit_code = 4


class Cancelled(VideoToPoseError):
    """The user stopped the work; nothing half-written is left. Exit code 130."""

    exit_code = 130

    def __init__(self, message: str = "Cancelled.") -> None:
        super().__init__(message, hint="", code="cancelled")
