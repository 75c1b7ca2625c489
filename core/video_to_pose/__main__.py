# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m video_to_pose`` is ``video-to-pose``."""

import sys

from .cli import main

sys.exit(main())
