# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib
import http.server
import os
import threading
import zipfile
from dataclasses import replace
from typing import ClassVar

import pytest

from video_to_pose import weights
from video_to_pose.errors import InputError, SetupError

CONTENT = b"a small model"
FULL = weights.WEIGHTS["mediapipe-pose-full"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(path))
    return path


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A maker's address on this machine, with one file."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "small.task").write_bytes(CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(site))

        def log_message(self, *_):
            pass

    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def small(server, monkeypatch):
    """An entry of the catalogue that the server has."""
    entry = replace(
        FULL,
        name="small",
        file_name="small.task",
        url=f"{server}/small.task",
        sha256=(hashlib.sha256(CONTENT).hexdigest(),),
        size_bytes=len(CONTENT),
        wheel=None,
    )
    monkeypatch.setitem(weights.WEIGHTS, "small", entry)
    return entry


def offer(monkeypatch, entry, **changes):
    monkeypatch.setitem(weights.WEIGHTS, entry.name, replace(entry, **changes))


def test_every_entry_that_is_downloaded_has_a_pinned_checksum():
    for entry in weights.WEIGHTS.values():
        assert entry.sha256
        assert all(len(digest) == 64 and int(digest, 16) for digest in entry.sha256)
        assert entry.licence
        assert entry.wheel is None or len(entry.wheel.sha256) == 64


def test_the_catalogue_says_what_is_here(small, folder):
    assert {s.entry.name: s.path for s in weights.list_weights()}["small"] is None
    weights.fetch("small")
    assert {s.entry.name: s.path for s in weights.list_weights()}["small"] == folder / "small.task"


def test_fetch_stores_the_file_and_nothing_else(small, folder):
    said = []
    path = weights.fetch("small", said.append)
    assert path.read_bytes() == CONTENT
    assert weights.find("small") == path
    assert weights.verify("small")
    assert [path.name for path in folder.iterdir()] == ["small.task"]
    assert small.url in said[0]


def test_what_is_here_is_used_offline(small, monkeypatch):
    path = weights.fetch("small")
    offer(monkeypatch, small, url="http://127.0.0.1:9/small.task")
    assert weights.fetch("small") == path


def test_a_damaged_file_is_found_out_and_replaced(small):
    path = weights.fetch("small")
    path.write_bytes(CONTENT[:-1])
    assert not weights.verify("small")
    assert weights.fetch("small").read_bytes() == CONTENT


def test_a_wrong_file_is_refused(small, folder, monkeypatch):
    offer(monkeypatch, small, sha256=("0" * 64,))
    with pytest.raises(SetupError, match="not the expected one"):
        weights.fetch("small")
    assert not list(folder.iterdir())


def test_without_a_checksum_nothing_is_downloaded(small, monkeypatch):
    offer(monkeypatch, small, sha256=())
    with pytest.raises(SetupError):
        weights.fetch("small")
    assert weights.find("small") is None


def test_offline_the_hint_says_how_to_do_it_by_hand(small, folder, monkeypatch):
    for name, value in {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(name, value)
    offer(monkeypatch, small, url="http://127.0.0.1:9/small.task", wheel=FULL.wheel)
    said = []
    with pytest.raises(SetupError) as caught:
        weights.fetch("small", said.append)
    assert caught.value.code == "weights-unavailable"
    assert "did not answer" in caught.value.message
    assert "pip could not fetch mediapipe==0.10.21" in caught.value.message
    assert str(folder / "small.task") in caught.value.hint
    assert len(said) == 4  # each source tried, each failure


def test_where_going_online_is_not_allowed_nothing_is_fetched(small, folder, monkeypatch):
    monkeypatch.setenv(weights.OFFLINE_VARIABLE, "1")
    with pytest.raises(SetupError, match="not allowed") as caught:
        weights.fetch("small")
    assert caught.value.code == "weights-offline"
    assert not folder.exists() or not list(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_said_so(small, folder):
    folder.write_text("a file is in the way")
    with pytest.raises(SetupError) as caught:
        weights.fetch("small")
    assert caught.value.code == "weights-folder"
    assert weights.FOLDER_VARIABLE in caught.value.hint


def test_a_bundle_laid_out_by_another_library_version_is_checked_by_its_own_sum(small, folder):
    folder.mkdir()
    (folder / "small.task").write_bytes(b"the same, otherwise laid out")
    assert not weights.verify("small")
    digest = hashlib.sha256(b"the same, otherwise laid out").hexdigest()
    (folder / "small.task.sha256").write_text(f"{digest}  small.task\n")
    assert weights.verify("small")


def test_an_unknown_name_is_the_users_error():
    for ask in (weights.find, weights.verify, weights.fetch):
        with pytest.raises(InputError) as caught:
            ask("mediapipe-pose-huge")
        assert "mediapipe-pose-full" in caught.value.hint


def test_lifters_in_the_package_are_listed_and_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_LIFTERS", tmp_path)
    (tmp_path / "anatomy3d_27.onnx").write_bytes(b"onnx")
    assert weights.catalogue()["anatomy3d_27"].kind == "lifter"
    assert weights.find("anatomy3d_27") == tmp_path / "anatomy3d_27.onnx"
    assert not weights.verify("anatomy3d_27"), "nothing vouches for it yet"
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'onnx').hexdigest()}  anatomy3d_27.onnx\n")
    assert weights.fetch("anatomy3d_27") == tmp_path / "anatomy3d_27.onnx"
    (tmp_path / "anatomy3d_27.onnx").write_bytes(b"onnX")
    with pytest.raises(SetupError) as caught:
        weights.fetch("anatomy3d_27")
    assert caught.value.code == "weights-damaged"


@pytest.mark.slow
def test_the_full_model_is_put_together_from_the_wheel(folder, monkeypatch):
    pytest.importorskip("mediapipe")
    offer(monkeypatch, FULL, url=None)
    try:
        path = weights.fetch(FULL.name)
    except SetupError as error:
        if "pip could not fetch" in error.message:
            pytest.skip(error.message)
        raise
    assert path == folder / "pose_landmarker_full.task"
    assert weights.verify(FULL.name)


BIG = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def ranged(tmp_path, monkeypatch):
    """An address that breaks off after a while, and can go on from any byte."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"
        asked: ClassVar[list[str]] = []
        content = BIG
        breaks_at = len(BIG) // 3
        ranges = True

        def do_GET(self):
            cls = type(self)
            wanted = self.headers.get("Range", "") if cls.ranges else ""
            cls.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            if start >= len(cls.content):
                self.send_error(416)
                return
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(cls.content) - 1}/{len(cls.content)}")
            self.send_header("Content-Length", str(len(cls.content) - start))
            self.end_headers()
            self.wfile.write(cls.content[start : start + cls.breaks_at])

        def log_message(self, *_):
            pass

    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        entry = replace(
            FULL,
            name="big",
            file_name="big.onnx",
            url=f"http://127.0.0.1:{running.server_port}/big",
            sha256=(hashlib.sha256(BIG).hexdigest(),),
            size_bytes=len(BIG),
            wheel=None,
        )
        monkeypatch.setitem(weights.WEIGHTS, "big", entry)
        yield Handler
        running.shutdown()


def fetch_until_done(name, attempts=6):
    for _ in range(attempts):
        try:
            return weights.fetch(name)
        except SetupError as error:
            assert "broke off" in error.message
    raise AssertionError("never done")


def test_a_download_that_broke_off_goes_on_where_it_stopped(ranged, folder):
    assert fetch_until_done("big").read_bytes() == BIG
    third = len(BIG) // 3
    assert ranged.asked == ["", f"bytes={third}-", f"bytes={2 * third}-", f"bytes={3 * third}-"]
    assert [path.name for path in folder.iterdir()] == ["big.onnx"]


def test_an_address_that_cannot_go_on_gives_the_whole_file_again(ranged, folder):
    with pytest.raises(SetupError):
        weights.fetch("big")
    ranged.ranges, ranged.breaks_at = False, len(BIG)
    assert weights.fetch("big").read_bytes() == BIG


def test_a_wrong_left_over_costs_one_more_download_and_no_more(ranged, folder):
    folder.mkdir()
    (folder / ".big.onnx.part").write_bytes(b"of another file")
    ranged.breaks_at = len(BIG)
    assert weights.fetch("big").read_bytes() == BIG
    assert ranged.asked == ["bytes=15-", ""]


def test_a_left_over_that_is_whole_is_taken(ranged, folder):
    folder.mkdir()
    (folder / ".big.onnx.part").write_bytes(BIG)
    assert weights.fetch("big").read_bytes() == BIG


def test_what_a_killed_process_left_is_taken_over_and_what_a_running_one_writes_is_not(ranged, folder):
    folder.mkdir()
    running, killed = folder / ".big.onnx.11.part", folder / ".big.onnx.22.part"
    for path in (running, killed):
        path.write_bytes(BIG[:1000])
    os.utime(killed, (1, 1))
    ranged.breaks_at = len(BIG)
    assert weights.fetch("big").read_bytes() == BIG
    assert ranged.asked == ["bytes=1000-"]
    assert running.exists()
    assert not killed.exists()


def test_a_file_inside_a_zip_is_taken_out_and_checked(server, tmp_path, folder, monkeypatch):
    with zipfile.ZipFile(tmp_path / "site" / "model.zip", "w") as archive:
        archive.writestr("20230605/deploy.json", "{}")
        archive.writestr("20230605/end2end.onnx", CONTENT)
    entry = replace(
        FULL,
        name="zipped",
        file_name="zipped.onnx",
        url=f"{server}/model.zip",
        sha256=(hashlib.sha256(CONTENT).hexdigest(),),
        size_bytes=len(CONTENT),
        wheel=None,
        member=".onnx",
        notice="Trained on pictures of paintings.",
    )
    monkeypatch.setitem(weights.WEIGHTS, "zipped", entry)
    said = []
    assert weights.fetch("zipped", said.append).read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["zipped.onnx"]
    assert "licence: Apache-2.0" in said[0]
    assert "Trained on pictures of paintings." in said[0]
    offer(monkeypatch, entry, sha256=("0" * 64,))
    (folder / "zipped.onnx").unlink()
    with pytest.raises(SetupError, match="not the expected one"):
        weights.fetch("zipped")
    assert not list(folder.iterdir())
