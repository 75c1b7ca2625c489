# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle holds what its own platform needs, whatever machine it is made on."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

from tools import engine_bundle


def wheel(folder: Path, name: str, *requires: str) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    told = "".join(f"Requires-Dist: {line}\n" for line in requires)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{told}")
    return path


def closure(folder: Path, platform: str, *asked: str) -> tuple[set[str], list[str]]:
    wheels = {engine_bundle._canonical(path.name.split("-")[0]): path for path in folder.glob("*.whl")}
    environment = engine_bundle._environment(engine_bundle.PLATFORMS[platform], "3.11")
    return engine_bundle._closure(wheels, asked, environment)


def test_conditions_are_read_for_the_bundle_s_machine(tmp_path):
    wheel(tmp_path, "bar", 'colour>=0.4; platform_system == "Windows"', "plain_part", 'old; python_version < "3.8"')
    wheel(tmp_path, "plain_part")
    assert closure(tmp_path, "windows-x64", "bar>=1") == ({"bar", "plain-part"}, ["colour>=0.4"])
    assert closure(tmp_path, "linux-x64", "bar>=1") == ({"bar", "plain-part"}, [])


def test_extras_bring_what_they_ask_for_and_what_nobody_asks_for_is_left_out(tmp_path):
    wheel(tmp_path, "runtime", 'card; extra == "cuda"', "base")
    for name in ("card", "base", "stray"):
        wheel(tmp_path, name)
    assert closure(tmp_path, "linux-x64", "runtime")[0] == {"runtime", "base"}
    assert closure(tmp_path, "linux-x64", "runtime[cuda]")[0] == {"runtime", "base", "card"}


def test_what_is_written_is_listed_with_its_checksum_and_equal_files_give_equal_bytes(tmp_path):
    files = {"wheels/b.whl": wheel(tmp_path, "b"), "models/a.task": wheel(tmp_path, "a")}
    for name in ("one.zip", "two.zip"):
        engine_bundle._write(tmp_path / name, {"format": engine_bundle.FORMAT, "python": "3.11"}, files)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        listed = dict(line.split("  ")[::-1] for line in archive.read("SHA256SUMS").decode().splitlines())
        assert listed == {name: hashlib.sha256(archive.read(name)).hexdigest() for name in files}
        assert json.loads(archive.read("bundle.json"))["format"] == engine_bundle.FORMAT
