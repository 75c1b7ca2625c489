# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the capture engine with Blender's own Python: from the package index, or from a bundle without any network.

Nothing here imports bpy. A thread does the work and the main thread reads how far it is; pip runs in a process of its
own, which ends with Blender however Blender ends. What is unfinished is removed; see `installed` for why there is never
half an engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import doctor, engine, installed, runtimes
from .core.video_to_pose import __version__
from .core.video_to_pose.errors import SetupError

REQUIREMENTS = Path(__file__).resolve().parent / "engine_requirements.txt"
BUNDLE_FORMAT = 1

_LOOK_S = 0.1
_WEIGH_S = 1.0
_BLOCK = 2**20

_FIND_PIP = """
import glob, importlib.util as u, os, sys, sysconfig
places = [sysconfig.get_config_var("WHEEL_PKG_DIR")]
for name in ("pip", "ensurepip"):
    spec = u.find_spec(name)
    if spec and spec.origin:
        folder = os.path.dirname(spec.origin)
        if name == "pip":
            print("pip:" + os.path.dirname(folder)); sys.exit()
        places.insert(0, os.path.join(folder, "_bundled"))
wheels = [wheel for place in places if place for wheel in sorted(glob.glob(os.path.join(place, "pip-*.whl")))]
print("pip:" + (wheels[-1] if wheels else ""))
"""

# pip ends when Blender does, which holds the other end of its input
_RUN_PIP = """
import os, runpy, sys, threading
def watch():
    while os.read(0, 4096):
        pass
    os._exit(130)
threading.Thread(target=watch, daemon=True).start()
sys.path.append(sys.argv[1])
sys.argv = ["pip", *sys.argv[2:]]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""

_AGAIN = "press Install Engine again"
_FAULTS = (
    (
        "No space left on device|WinError 112|not enough space|Errno 28",
        "There is no room left on the disk.",
        f"Make room on the disk and {_AGAIN}.",
    ),
    (
        "DO NOT MATCH THE HASHES|hashes.*required",
        "A package does not have the checksum it must have.",
        "Download the bundle again.",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED|SSLError|certificate verify failed",
        "The connection to the package index is not trusted: something between changes it, often a company's network.",
        "Ask for the network's certificate and name its file in the variable PIP_CERT, or install from a bundle.",
    ),
    (
        "ProxyError|Tunnel connection failed|407 Proxy",
        "The network's proxy does not let the download through.",
        "Set the proxy in the variable HTTPS_PROXY, or install from a bundle.",
    ),
    (
        "WinError 206|Long Path|path too long|File name too long",
        "A file's path is longer than Windows allows.",
        "Turn on long paths in Windows, or use a Blender whose user folder has a shorter path.",
    ),
    (
        "Failed to establish a new connection|NameResolutionError|getaddrinfo failed|Name or service not known"
        "|Temporary failure in name resolution|Network is unreachable|ReadTimeoutError|ConnectTimeout|Max retries"
        "|Connection broken|IncompleteRead|RemoteDisconnected|ConnectionResetError",
        "The package index cannot be reached, or the connection broke.",
        f"Check the internet connection and {_AGAIN}, or install from a bundle.",
    ),
    (
        "not a supported wheel on this platform",
        "A package of the bundle is not for this system or this Blender's Python.",
        "Take the bundle for this system and Blender; macOS may have to be newer.",
    ),
    (
        "PermissionError|Permission denied|WinError 5|Access is denied|Read-only file system",
        "A file could not be written: permission was denied.",
        f"Look whether a virus scanner or another program holds Blender's user folder, then {_AGAIN}.",
    ),
)
"""What pip's words mean -> the sentence and the mend. The first that fits is told."""


@dataclass(frozen=True)
class Bundle:
    """What a bundle says of itself (``bundle.json`` inside).

    Attributes:
        path: the zip.
        platform, python, runtime: what it is for.
        version: of Video to Pose it was made with.
        sums: SHA-256 by member; all that is taken from it.
    """

    path: Path
    platform: str
    python: str
    runtime: str
    version: str
    sums: dict[str, str]


def read_bundle(path: Path, python: str, platform: str) -> Bundle:
    """Read what a bundle is, and see that it is for this machine.

    Raises:
        SetupError: it is no bundle, damaged, or for another system or Python.
    """
    if not path.is_file():
        raise SetupError(f"There is no bundle {path}.", "Choose the file again.", "bundle-missing")
    try:
        with zipfile.ZipFile(path) as archive:
            told = json.loads(archive.read("bundle.json"))
            lines = archive.read("SHA256SUMS").decode("ascii").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        if told["format"] != BUNDLE_FORMAT:
            raise SetupError(
                f"{path.name} is a bundle of another version of Video to Pose ({told['version']}).",
                f"Take the bundle of version {__version__}.",
                "bundle-version",
            )
        bundle = Bundle(path, told["platform"], told["python"], told["runtime"], told["version"], sums)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise SetupError(
            f"{path.name or path} is not an engine bundle, or it is damaged ({error}).",
            "Choose a file named video_to_pose-engine-….zip, or download it again.",
            "bundle-broken",
        ) from error
    if bundle.runtime not in runtimes.RUNTIMES:
        raise SetupError(f"{path.name} is for the unknown device {bundle.runtime}.", "Choose another.", "bundle-broken")
    if (bundle.platform, bundle.python) != (platform, python):
        raise SetupError(
            f"{path.name} is for Python {bundle.python} on {bundle.platform}; this Blender has Python {python} on "
            f"{platform}.",
            f"Choose the bundle whose name ends in {platform}-py{python.replace('.', '')}.",
            "bundle-other",
        )
    return bundle


class Installation:
    """One installation, from `start` to `finished`. Reading how far it is never waits.

    Args:
        home: the engine's home; see `installed`.
        runtime: a name in `runtimes.RUNTIMES`; a bundle brings its own.
        bundle: wheels to install from; None takes them from the package index.
        python: interpreter that the engine is for; default: Blender's own.
        requirements: what is installed, one requirement each; default: what the worker needs.
        models: folder for the detector's model; None leaves it to the first capture.

    Attributes:
        label: what is done now.
        fraction: share of the whole that is done; None while that is unknown.
        error: why it failed.
        findings: what the doctor said of the new engine.
    """

    def __init__(
        self,
        home: Path,
        runtime: str = "cpu",
        bundle: Path | None = None,
        python: Path | None = None,
        requirements: Sequence[str] | None = None,
        models: Path | None = None,
    ) -> None:
        self._home, self._runtime, self._bundle, self._models = home, runtime, bundle, models
        self._python = python or engine.blender_python()
        self._requirements = list(requirements) if requirements is not None else None
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="video-to-pose-install", daemon=True)
        self.label = "Starting"
        self.fraction: float | None = None
        self.error: SetupError | None = None
        self.findings: list[doctor.Finding] = []
        self.done = False

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether it is over, well or not, and nothing unfinished is left on the disk."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def cancel(self) -> None:
        """Stop; returns at once while what was made is still being removed."""
        self._stopped.set()
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def close(self, timeout_s: float = 20.0) -> None:
        """Stop and wait until nothing is left."""
        self.cancel()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._install()
            self.done = True
        except _Stopped:
            pass
        except SetupError as error:
            self.error = error
        except OSError as error:
            self.error = _explained(f"{error.strerror or error} ({error.filename or self._home})", str(error))
        finally:
            if not self.done and self._folder is not None:
                installed.discard(self._folder)

    def _install(self) -> None:
        for path in installed.leftovers(self._home):
            installed.discard(path)
        self._say("Looking at this Blender's Python", None)
        version, pip = self._look()
        where = runtimes.this_platform()
        bundle = read_bundle(self._bundle, version, where) if self._bundle is not None else None
        runtime = bundle.runtime if bundle is not None else self._runtime
        self._check_room(runtimes.RUNTIMES[runtime])
        self._folder = installed.begin(self._home)
        scratch = self._folder / "t"
        scratch.mkdir()
        if bundle is not None:
            self._unpack(bundle, scratch)
            pip = next((str(path) for path in (scratch / "wheels").glob("pip-*.whl")), pip)
        if not pip:
            raise SetupError(
                f"The Python of this Blender ({self._python}) brings no pip, which installs packages.",
                "Install from a bundle, which brings it; or install your system's packages python3-pip and "
                "python3-venv. Blender from blender.org has it.",
                "engine-no-pip",
            )
        target = self._folder / "p"
        asked = self._requirements
        if bundle is not None:
            asked = _pinned(bundle)
        elif asked is None:
            asked = [*runtimes.requirements(REQUIREMENTS.read_text("utf-8"), runtime), "pip"]  # models come by it too
        self._pip_install(pip, target, scratch, asked, bundle is not None, runtimes.RUNTIMES[runtime])
        shutil.rmtree(scratch / "wheels", ignore_errors=True)
        models = self._models if self._requirements is None else None
        if models is not None:
            self._bring_model(bundle is not None, target, scratch, models)
        if self._requirements is None:
            self._try(target)
        installed.discard(scratch)
        self._say("Finishing", 0.99)
        listed = runtimes.requirements(REQUIREMENTS.read_text("utf-8"), runtime) if bundle is not None else asked
        installed.finish(
            self._home,
            installed.Installed(
                folder=self._folder.name,
                python=version,
                platform=where,
                runtime=runtime,
                requirements=tuple(listed),
                size_bytes=installed.size_bytes(target),
                source=bundle.path.name if bundle is not None else "online",
                version=__version__,
            ),
        )

    def _say(self, label: str, fraction: float | None) -> None:
        if self._stopped.is_set():
            raise _Stopped
        self.label, self.fraction = label, fraction
        if self._folder is not None:
            installed.keep_alive(self._folder)

    def _look(self) -> tuple[str, str]:
        """The Python's version, and where its pip lies (empty: nowhere)."""
        code = "import sys; print('version:%d.%d' % sys.version_info[:2])" + _FIND_PIP
        try:
            done = subprocess.run(
                [self._python, "-I", "-c", code],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                env=engine.clean_environment(),
                creationflags=engine.no_window(),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise engine.not_python(self._python) from error
        found = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
        if "version" not in found:
            raise engine.not_python(self._python)
        return found["version"], found.get("pip", "")

    def _check_room(self, runtime: runtimes.Runtime) -> None:
        place = next(path for path in (self._home, *self._home.parents) if path.is_dir())
        free = shutil.disk_usage(place).free
        if self._requirements is None and free < runtime.disk_mb * 10**6:
            raise SetupError(
                f"Making the engine takes about {runtime.disk_mb / 1000:.1f} GB in {place}, and {free / 1e9:.1f} GB "
                "are free.",
                f"Make room and {_AGAIN}.",
                "engine-room",
            )

    def _unpack(self, bundle: Bundle, scratch: Path) -> None:
        """Take the bundle's files out, each against its checksum."""
        with zipfile.ZipFile(bundle.path) as archive:
            try:
                total = sum(archive.getinfo(name).file_size for name in bundle.sums)
            except KeyError as error:
                raise _damaged(bundle.path, str(error)) from error
            done = 0
            for name, digest in bundle.sums.items():
                if not re.fullmatch(r"(wheels|models)/[\w.+-]+", name):
                    raise _damaged(bundle.path, name)
                path = scratch / name
                path.parent.mkdir(exist_ok=True)
                sha = hashlib.sha256()
                try:
                    with archive.open(name) as source, path.open("wb") as target:
                        while block := source.read(_BLOCK):
                            target.write(block)
                            sha.update(block)
                            done += len(block)
                            self._say(f"Checking the bundle, {_mb(done)} of {_mb(total)} MB", 0.3 * done / total)
                except zipfile.BadZipFile as error:
                    raise _damaged(bundle.path, str(error)) from error
                if sha.hexdigest() != digest:
                    raise _damaged(bundle.path, name)

    def _pip_install(
        self,
        pip: str,
        target: Path,
        scratch: Path,
        asked: Sequence[str],
        offline: bool,
        runtime: runtimes.Runtime,
    ) -> None:
        wanted = scratch / "requirements.txt"
        wanted.write_text("\n".join(asked) + "\n", "utf-8")
        options = ["install", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--no-compile"]
        options += ["--progress-bar=off", "--only-binary=:all:", "--ignore-installed", "--no-warn-conflicts"]
        options += [f"--target={target}", f"--requirement={wanted}"]
        if offline:
            options += ["--isolated", "--no-index", f"--find-links={scratch / 'wheels'}", "--no-deps"]
            options += ["--require-hashes"]
        began, share = (0.3, 0.6) if offline else (0.0, 0.9)
        temporary = scratch / "x"
        temporary.mkdir()
        # where pip puts what is under way: all of it goes when the folder goes
        places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
        told = {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_USER": "0", "PYTHONUTF8": "1"}
        with tempfile.TemporaryFile() as log:
            self._begin(
                [self._python, "-I", "-c", _RUN_PIP, pip, *options],
                engine.clean_environment() | places | told,
                log,
            )
            weighed = 0.0
            unpacked_bytes = 0
            while (code := self._ended()) is None:
                now = time.monotonic()
                if now - weighed > _WEIGH_S:
                    weighed = now
                    wheels = [] if offline else list(temporary.glob("pip-unpack-*/*.whl"))
                    under_way = [path for path in temporary.glob("pip-target-*") if any(path.iterdir())]
                    if target.is_dir():  # pip moves what it unpacked there at the end
                        self._say("Unpacking packages", began + share)
                    elif under_way:
                        unpacked_bytes = unpacked_bytes or _unpacked(
                            [*wheels, *(scratch / "wheels").glob("*.whl")] if offline else wheels
                        )
                        made = min(installed.size_bytes(under_way[0]) / max(unpacked_bytes, 1), 1.0)
                        first = 0.0 if offline else 0.7
                        self._say("Unpacking packages", began + share * (first + (1 - first) * made))
                    elif wheels:
                        got = sum(_size(path) for path in wheels)
                        whole = max(got, runtime.download_mb * 10**6)
                        newest = max(wheels, key=_changed).name.split("-")[0]
                        label = f"Downloading {newest}, {_mb(got)} of about {_mb(whole)} MB"
                        self._say(label, began + share * 0.7 * got / whole)
                    else:
                        self._say("Reading packages" if offline else "Looking up packages", began or None)
                elif self._stopped.is_set():
                    raise _Stopped
                time.sleep(_LOOK_S)
            if code != 0:
                raise _explained(f"pip ended with code {code}", _last_words(log), offline=offline)

    def _bring_model(self, offline: bool, target: Path, scratch: Path, models: Path) -> None:
        """The detector's model: out of the bundle, or fetched; the first capture fetches it if that fails here."""
        if offline:
            models.mkdir(parents=True, exist_ok=True)
            for path in (scratch / "models").glob("*"):
                if not (models / path.name).exists():
                    shutil.move(path, models / path.name)
            return
        self._say("Fetching the detector's model", 0.92)
        made = engine.Engine(self._python, target, models)
        with tempfile.TemporaryFile() as log:
            self._begin(made.command("-m", "video_to_pose", "weights", "fetch", MODEL), made.environment(), log)
            while self._ended() is None:
                self._say("Fetching the detector's model", 0.92)
                time.sleep(_LOOK_S)

    def _try(self, target: Path) -> None:
        """Start the new engine once: it must answer, and Python keeps compiled what it loaded."""
        self._say("Trying the engine", 0.95)
        made = engine.Engine(self._python, target, self._models)
        environment = made.environment()
        environment.pop("PYTHONDONTWRITEBYTECODE")
        with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as log:
            self._begin(made.command(*doctor.COMMAND), environment, answer, log)
            while self._ended() is None:
                self._say("Trying the engine", 0.95)
                time.sleep(_LOOK_S)
            answer.seek(0)
            try:
                self.findings = doctor.parse(answer.read())
            except ValueError as error:
                words = _last_words(log)
                reason = words.strip().splitlines()[-1] if words.strip() else "no answer"
                raise _noted(
                    SetupError(
                        f"The engine was installed and does not start ({reason}).",
                        f"Look at the details, then {_AGAIN}.",
                        "engine-trial",
                    ),
                    words,
                ) from error

    def _begin(
        self,
        command: Sequence[str | Path],
        environment: dict[str, str],
        output: IO[bytes],
        errors: IO[bytes] | None = None,
    ) -> None:
        with self._lock:
            if self._stopped.is_set():
                raise _Stopped
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=errors if errors is not None else subprocess.STDOUT,
                    env=environment,
                    creationflags=engine.no_window(),
                )
            except OSError as error:
                raise engine.not_python(self._python) from error

    def _ended(self) -> int | None:
        """The exit code of what was begun; None while it runs."""
        if self._process is None:
            return 0
        code = self._process.poll()
        if code is not None:
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
            if self._stopped.is_set():
                raise _Stopped
        return code


MODEL = "mediapipe-pose-full"
"""What the first capture needs, as ``video-to-pose weights`` names it."""


class _Stopped(Exception):
    """The user stopped it."""


def _pinned(bundle: Bundle) -> list[str]:
    """Every wheel of a bundle by name, version and checksum."""
    wheels = {name.removeprefix("wheels/"): sums for name, sums in bundle.sums.items() if name.startswith("wheels/")}
    return [f"{'=='.join(name.split('-')[:2])} --hash=sha256:{digest}" for name, digest in sorted(wheels.items())]


def _unpacked(wheels: Sequence[Path]) -> int:
    """What wheels hold once unpacked, bytes; a wheel still being written counts nothing."""
    total = 0
    for path in wheels:
        with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as wheel:
            total += sum(member.file_size for member in wheel.infolist())
    return total


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _mb(count: float) -> int:
    return round(count / 1e6)


def _last_words(log: IO[bytes]) -> str:
    size = log.seek(0, 2)
    log.seek(max(0, size - 6000))
    return log.read().decode("utf-8", errors="replace")


def _damaged(path: Path, where: str) -> SetupError:
    return SetupError(f"{path.name} is damaged: {where}.", "Download the bundle again.", "bundle-broken")


def _explained(reason: str, words: str, offline: bool = False) -> SetupError:
    """A fault in a sentence and its mend, with what was said as the details."""
    for pattern, message, hint in _FAULTS:
        if re.search(pattern, words, re.IGNORECASE):
            return _noted(SetupError(f"The engine was not installed. {message}", hint, "engine-install"), words)
    missing = re.search(r"No matching distribution found for ([\w.-]+)", words)
    if missing and not offline:
        return _noted(
            SetupError(
                f"The engine was not installed: there is no package {missing[1]} for this system "
                f"({runtimes.this_platform()}) and Blender's Python.",
                "Choose another device in the preferences, or another Blender; the details say more.",
                "engine-install",
            ),
            words,
        )
    return _noted(
        SetupError(
            f"The engine was not installed: {reason}.",
            f"Look at the details, mend what they name and {_AGAIN}.",
            "engine-install",
        ),
        words,
    )


def _noted(error: SetupError, words: str) -> SetupError:
    error.add_note(words)
    return error
