# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing the engine ends in one that is whole, or in nothing at all; from a bundle no network is asked."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import pytest

INSTALL = """
import os, time
from video_to_pose_extension import doctor, installation, installed, runtimes
home = Path(sys.argv[1]) / "the engine"
version = f"{sys.version_info[0]}.{sys.version_info[1]}"

def until_over(one, seconds=120):
    deadline = time.monotonic() + seconds
    while not one.finished:
        assert time.monotonic() < deadline
        time.sleep(0.05)

def install(requirements=(), **options):
    one = installation.Installation(home, requirements=requirements, **options)
    one.start()
    until_over(one)
    return one

def there():
    return sorted(str(path.relative_to(home)) for path in home.rglob("*")) if home.is_dir() else []

def told(error):
    return error and [error.code, error.message, error.hint, "\\n".join(getattr(error, "__notes__", []))]

def pretend(python=version, requirements=(), folder="abc123"):
    "An engine without any package."
    (home / folder / "p").mkdir(parents=True)
    made = installed.Installed(folder, python, runtimes.this_platform(), "cpu", tuple(requirements), 1, "online", "0")
    installed.finish(home, made)
"""


def make_bundle(folder: Path, **changes: object) -> Path:
    """A bundle of one small wheel, for the Python and the machine that run the tests."""
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "answer = 42\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\n")
    content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    told = {"format": 1, "version": "0.1.0", "platform": "linux-x64", "runtime": "cpu", "python": "3.11"}
    told["python"] = f"{sys.version_info[0]}.{sys.version_info[1]}"
    told["platform"] = _platform()
    told.update({name: value for name, value in changes.items() if name in told})
    path = folder / "a bundle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"wheels/{wheel.name}", content[:-9] + b"!" + content[-8:] if changes.get("damaged") else content
        )
        archive.writestr("SHA256SUMS", f"{digest}  wheels/{wheel.name}\n")
        archive.writestr("bundle.json", json.dumps(told))
    return path


def _platform() -> str:
    import build_addon

    return str(build_addon._module("runtimes", build_addon.ROOT / "addon" / "runtimes.py").this_platform())


def test_a_bundle_makes_a_whole_engine_and_replaces_the_one_before(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
pretend(folder="before")
one = install(bundle=Path(sys.argv[2]))
found = installed.read(home)
packages = installed.packages(home, found)
answer([told(one.error), found.source, found.python == version, sorted(p.name for p in packages.iterdir()), there()])
""",
        tmp_path,
        make_bundle(tmp_path),
    )
    assert got[0] is None and got[1] == "a bundle.zip" and got[2]
    assert "tiny.py" in got[3]
    assert not any("before" in name or "wheels" in name or "alive" in name for name in got[4])


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"damaged": True}, "bundle-broken", "damaged"),
        ({"platform": "amiga-m68k"}, "bundle-other", "amiga-m68k"),
        ({"python": "3.7"}, "bundle-other", "Python 3.7"),
        ({"format": 99}, "bundle-version", "another version"),
    ],
)
def test_a_wrong_bundle_is_refused_with_the_reason_and_the_engine_before_stays(blender, tmp_path, changes, code, words):
    got = blender.run(
        INSTALL
        + """
pretend()
before = there()
one = install(bundle=Path(sys.argv[2]))
answer([told(one.error), there() == before])
""",
        tmp_path,
        make_bundle(tmp_path, **changes),
    )
    assert got[0][0] == code and words in got[0][1] and got[0][2] and got[1]


def test_a_failed_or_stopped_installation_leaves_nothing_and_says_why(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
failed = install(["./no such folder/package.whl"])
after_failure = there()
one = installation.Installation(home, requirements=["no-such-package-of-ours"])
one.start()
while one._process is None and not one.finished:
    time.sleep(0.01)
process = one._process
one.cancel()
one.close()
gone = process is None or process.poll() is not None
missing = installation.Installation(home, requirements=[], python=Path("/no/such/python"))
missing.start()
until_over(missing)
installation.shutil.disk_usage = lambda path: __import__("types").SimpleNamespace(free=10**6)
full = install(None)
answer([told(failed.error), after_failure, gone, told(one.error), there(), told(missing.error), told(full.error)])
""",
        tmp_path,
    )
    assert got[0][0] == "engine-install" and got[0][2] and "no such folder" in got[0][3] and got[1] == []
    assert got[2] and got[3] is None and got[4] == []
    assert got[5][0] == "engine-python"
    assert got[6][0] == "engine-room" and "1.3 GB" in got[6][1]


def test_pip_s_words_become_a_sentence_and_a_mend(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
answer([told(installation._explained("pip ended with code 1", words))[:3] for words in (
    "Failed to establish a new connection: [Errno -3] Temporary failure in name resolution",
    "SSLError(SSLCertVerificationError(1, 'certificate verify failed'))\\nMax retries exceeded",
    "OSError: [Errno 28] No space left on device",
    "ERROR: No matching distribution found for mediapipe>=1.2",
    "PermissionError: [WinError 5] Access is denied",
    "something new",
)])
""",
        tmp_path,
    )
    words = ("cannot be reached", "not trusted", "no room", "no package mediapipe", "permission was denied", "code 1")
    for (code, message, hint), part in zip(got, words, strict=True):
        assert code == "engine-install" and part in message and len(hint) > 20


def test_pip_ends_when_blender_does(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
import subprocess
stand_in = Path(sys.argv[1]) / "stand in"
(stand_in / "pip").mkdir(parents=True)
(stand_in / "pip" / "__main__.py").write_text("import time; print('at work', flush=True); time.sleep(600)")
process = subprocess.Popen([sys.executable, "-I", "-S", "-c", installation._RUN_PIP, str(stand_in)],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
first = process.stdout.readline().decode().strip()
process.stdin.close()
answer([first, process.wait(60)])
""",
        tmp_path,
    )
    assert got == ["at work", 130]


def test_what_a_killed_blender_left_goes_and_what_another_one_makes_stays(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
pretend()
left, lively = home / "dead00", installed.begin(home)
left.mkdir()
(left / "alive").touch()
os.utime(left / "alive", (1, 1))
found = [path.name for path in installed.leftovers(home)]
answer([found, lively.name in [p.name for p in home.iterdir()]])
""",
        tmp_path,
    )
    assert got == [["dead00"], True]


def test_an_engine_for_another_blender_or_an_older_add_on_is_told(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
def asked():
    try:
        return str(engine.find_python("", home))
    except errors.SetupError as error:
        return told(error)[:3]
requirements = runtimes.requirements(engine.REQUIREMENTS.read_text(), "cpu")
pretend(requirements=requirements)
fits = engine.find_python("", home)
environment, command = fits.environment(), fits.command("-m", "x")
pretend("3.7", requirements, "other1")
other = asked()
pretend(version, requirements[1:], "other2")
outdated = asked()
answer([str(fits), environment["PYTHONPATH"].split(os.pathsep)[1] == str(fits), environment["VIDEO_TO_POSE_WEIGHTS"],
        list(map(str, command))[1:], other, outdated, requirements[0]])
""",
        tmp_path,
    )
    assert got[0].endswith("p") and got[1] and got[2] == str(tmp_path / "models")  # beside it: both go together
    assert got[3] == ["-S", "-m", "x"]  # nothing of what is in Blender's own Python
    assert got[4][0] == "engine-other" and "Python 3.7" in got[4][1]
    assert got[5][0] == "engine-outdated" and got[6] in got[5][1]


def test_the_doctor_answers_without_an_engine_and_with_a_broken_one(blender, tmp_path):
    got = blender.run(
        INSTALL
        + """
def visit(chosen=""):
    one = doctor.Examination(chosen, home, [doctor.Finding("Blender", True, True, "5")])
    one.start()
    return [[f.name, f.ok, f.mend] for f in one.wait()], doctor.can_capture(one.findings)
engine.PACKAGES = ("no_such_package_here",)
without = visit()
chosen = visit(str(home / "no python"))
pretend(requirements=runtimes.requirements(engine.REQUIREMENTS.read_text(), "cpu"))
empty = visit()
packages = installed.packages(home, installed.read(home))
(packages / "json.py").write_text("raise ImportError('this json is broken')")
broken = visit()
answer([without, chosen, empty, broken])
""",
        tmp_path,
    )
    (without, chosen, empty, broken) = got
    assert [name for name, ok, _ in without[0] if not ok] == ["Engine"] and not without[1]
    assert "Install Engine" in without[0][-1][2]
    assert "python program itself" in chosen[0][-1][2]
    faults = {name: mend for name, ok, mend in empty[0] if not ok}
    assert {"numpy", "mediapipe"} <= set(faults) and "Install Engine" in faults["numpy"] and not empty[1]
    assert broken[0][-1][:2] == ["Engine starts", False] and "Install Engine" in broken[0][-1][2]


def test_the_device_is_chosen_by_what_the_machine_has(blender, tmp_path):
    (tmp_path / "proc" / "driver" / "nvidia" / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "win" / "System32").mkdir(parents=True)
    (tmp_path / "win" / "System32" / "d3d12.dll").touch()
    got = blender.run(
        INSTALL
        + """
root = Path(sys.argv[1])
found = [runtimes.detect(*given)[0] for given in (
    ("linux-x64", root), ("linux-x64", root / "none"), ("windows-x64", root / "win"), ("windows-x64", root),
    ("macos-arm64", root), ("linux-arm64", root))]
(root / "win" / "System32" / "nvcuda.dll").touch()
found.append(runtimes.detect("windows-x64", root / "win")[0])
asked = [runtimes.requirements("av>=15\\nonnxruntime>=1.20\\n", name) for name in ("cpu", "cuda", "directml")]
answer([found, asked, [runtimes.this_platform(*pair) for pair in
        (("linux", "x86_64"), ("win32", "AMD64"), ("darwin", "arm64"))]])
""",
        tmp_path,
    )
    assert got[0] == ["cuda", "cpu", "directml", "cpu", "coreml", "cpu", "cuda"]
    assert [lines[1] for lines in got[1]] == [
        "onnxruntime>=1.20",
        "onnxruntime-gpu[cuda,cudnn]>=1.20",
        "onnxruntime-directml>=1.20",
    ]
    assert got[2] == ["linux-x64", "windows-x64", "macos-arm64"]
