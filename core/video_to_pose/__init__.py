# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion capture from an ordinary video."""

__version__ = "0.1.0"
