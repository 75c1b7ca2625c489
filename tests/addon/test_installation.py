# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the engine's environment ends in a Python that runs, or in nothing at all."""

from __future__ import annotations

import pytest

INSTALL = """
import time
home = Path(sys.argv[1])
requirements = home / "requirements.txt"
requirements.write_text(sys.argv[2])
environment = home / "the engine"
installation = engine.Installation(environment, requirements)
def until_over(seconds=120):
    deadline = time.monotonic() + seconds
    while not installation.poll():
        assert time.monotonic() < deadline
        time.sleep(0.05)
"""


@pytest.mark.slow
def test_an_environment_is_made_and_found(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
until_over()
engine.PACKAGES = ("json", "pip")
python = engine.find_python("", environment)
answer([installation.error and str(installation.error), str(python), engine.missing_packages(python)])
""",
        tmp_path,
        "",
    )
    assert got[0] is None and str(tmp_path / "the engine") in got[1] and got[2] == []


@pytest.mark.slow
def test_a_failed_installation_leaves_nothing_and_says_why(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
until_over()
error = installation.error
answer([error.code, error.message, error.hint, error.__notes__[0], environment.exists()])
""",
        tmp_path,
        "./no such folder/package.whl",
    )
    assert got[0] == "engine-install" and "Installing packages" in got[1] and got[2]
    assert "no such folder" in got[3] and got[4] is False


def test_a_stopped_installation_leaves_nothing(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
installation.poll()
time.sleep(0.3)
process = installation._process
installation.close()
answer([process.poll() is not None, environment.exists(), installation.finished])
""",
        tmp_path,
        "",
    )
    assert got == [True, False, True]
