# SPDX-License-Identifier: GPL-3.0-or-later
"""How a model card's file is fetched: through the proxy that the environment names, from where it stopped, checked."""

import hashlib
import http.server
import threading
import urllib.request
from typing import ClassVar

import pytest

from video_to_pose import detect, weights
from video_to_pose.errors import SetupError
from video_to_pose.settings import DetectSettings

ADDRESS = "http://models.invalid/mine.onnx"
CARD = """
label = "Mine"
licence = "MIT"
keypoints = "coco17"

[file]
name = "mine.onnx"
url = "{address}"
sha256 = "{sha256}"

[input]
size = [192, 256]
channels = "rgb"

[output]
decoding = "people-keypoints"
"""
CONTENT = bytes(range(256)) * 512


@pytest.fixture
def proxy(monkeypatch):
    """The only way out: an address that is nowhere is asked of it, and its first answer breaks off half-way."""

    class Handler(http.server.BaseHTTPRequestHandler):
        asked: ClassVar[list[tuple[str, str]]] = []

        def do_GET(self):
            wanted = self.headers.get("Range", "")
            self.asked.append((self.path, wanted))
            start = int(wanted.removeprefix("bytes=").removesuffix("-") or 0)
            end = len(CONTENT) // 2 if len(self.asked) == 1 else len(CONTENT)
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start:end])

        def log_message(self, *_):
            pass

    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{running.server_port}")
        yield Handler
        running.shutdown()


def card_with_address(folder, content):
    path = folder / "mine.toml"
    path.write_text(CARD.format(address=ADDRESS, sha256=hashlib.sha256(content).hexdigest()), encoding="utf-8")
    return DetectSettings(card=path)


def test_a_cards_file_comes_through_a_proxy_goes_on_where_it_broke_off_and_is_asked_for_once(
    tmp_path, proxy, monkeypatch
):
    settings, said = card_with_address(tmp_path, CONTENT), []
    with pytest.raises(SetupError, match="broke off"):
        detect.fetch_models(settings, said.append)
    assert not detect.model_files(settings)
    detect.fetch_models(settings)
    assert proxy.asked == [(ADDRESS, ""), (ADDRESS, f"bytes={len(CONTENT) // 2}-")]
    assert detect.model_files(settings)[0].read_bytes() == CONTENT
    assert "licence: MIT" in said[0]
    monkeypatch.setenv(weights.OFFLINE_VARIABLE, "1")
    detect.fetch_models(settings)
    assert len(proxy.asked) == 2


def test_a_cards_file_that_is_another_one_is_thrown_away(tmp_path, proxy):
    proxy.asked.append(("", ""))  # its answers are whole
    settings = card_with_address(tmp_path, b"the one that was pinned")
    with pytest.raises(SetupError, match="not the expected one"):
        detect.fetch_models(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_nothing_is_asked_for_offline(tmp_path, proxy, monkeypatch):
    monkeypatch.setenv(weights.OFFLINE_VARIABLE, "1")
    with pytest.raises(SetupError) as caught:
        detect.fetch_models(card_with_address(tmp_path, CONTENT))
    assert not proxy.asked
    assert str(tmp_path / "mine.onnx") in caught.value.hint
