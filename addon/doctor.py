# SPDX-License-Identifier: GPL-3.0-or-later
"""What works here and what does not, seen from Blender: the engine's own doctor, and what Blender itself must have.

It answers also when there is no engine, or one that does not start: then that is what it says. Nothing here imports
bpy.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from . import engine
from .core.video_to_pose.errors import SetupError

COMMAND = ("-m", "video_to_pose.doctor", "--json", "--in-blender")
"""How the engine's Python is asked."""

_PATIENCE_S = 180.0


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        ok: it works.
        needed: capturing needs it.
        found: what is there.
        mend: what to do when it is not ok.
    """

    name: str
    ok: bool
    needed: bool
    found: str
    mend: str = ""


def parse(answer: bytes) -> list[Finding]:
    """What the engine's doctor says.

    Raises:
        ValueError: that is no answer of a doctor.
    """
    lines = [line for line in answer.splitlines() if line.startswith(b"{")]
    try:
        checks = json.loads(lines[-1])["checks"]
        return [Finding(**check) for check in checks]
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{answer[-200:]!r} is no answer of a doctor") from error


def can_capture(findings: list[Finding]) -> bool:
    """Whether nothing that is needed is missing."""
    return all(finding.ok for finding in findings if finding.needed)


class Examination:
    """Asking the engine's doctor, in a thread; reading how far it is never waits.

    Args:
        chosen: the engine's Python from the preferences, empty when none is chosen.
        home: where an installed engine lies; None where there cannot be one.
        first: what Blender already knows, to stand before the rest.

    Attributes:
        findings: complete once `finished`.
    """

    def __init__(self, chosen: str, home: Path | None, first: list[Finding]) -> None:
        self._chosen, self._home = chosen, home
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="video-to-pose-doctor", daemon=True)
        self.findings = list(first)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether all has been looked at."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def close(self) -> None:
        """Stop and wait for the end."""
        with self._lock:
            self._stopped = True
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def wait(self) -> list[Finding]:
        """For background mode and tests: the findings, when all has been looked at."""
        self._thread.join()
        return self.findings

    def _run(self) -> None:
        try:
            found = engine.find_python(self._chosen, self._home)
        except SetupError as error:
            self.findings.append(Finding("Engine", False, True, error.message, error.hint))
            return
        self.findings.append(Finding("Engine", True, True, str(found)))
        self.findings += self._ask(found)

    def _ask(self, found: engine.Engine) -> list[Finding]:
        with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as log:
            try:
                with self._lock:
                    if self._stopped:
                        return []
                    self._process = subprocess.Popen(
                        found.command(*COMMAND),
                        stdin=subprocess.DEVNULL,
                        stdout=answer,
                        stderr=log,
                        env=found.environment(),
                        creationflags=engine.no_window(),
                    )
                self._process.wait(timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            except OSError as error:
                return [_broken(str(error), found)]
            answer.seek(0)
            log.seek(0)
            try:
                return parse(answer.read())
            except ValueError:
                words = log.read().decode("utf-8", errors="replace").strip().splitlines()
                return [_broken(words[-1] if words else f"exit code {self._process.returncode}", found)]


def _broken(reason: str, found: engine.Engine) -> Finding:
    mend = (
        "Press Install Engine: it is made anew."
        if found.packages is not None
        else "Install video-to-pose in that Python again, or clear its path and press Install Engine."
    )
    return Finding("Engine starts", False, True, f"It does not: {reason}", mend)
