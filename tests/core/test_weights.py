# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib
import http.server
import os
import threading
from dataclasses import replace

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
