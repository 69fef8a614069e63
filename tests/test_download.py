"""Downloads from a real server: checked, and gone on with."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from regrun.data.download import fetch

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves ``CONTENT``, in ranges if asked; ``/broken`` breaks off, once; ``/wrong`` is something else."""

    asked: list[tuple[str, str | None]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        content = b"x" * 5000 if self.path == "/wrong" else CONTENT
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content) // 2 if self.path == "/broken" and not start else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_file_is_fetched_once(server: str, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file.bin"
    fetch([f"{server}/good"], file, MD5)
    assert file.read_bytes() == CONTENT
    fetch([f"{server}/good"], file, MD5)
    assert len(Handler.asked) == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_a_download_that_broke_off_goes_on(server: str, tmp_path: Path) -> None:
    file = tmp_path / "file.bin"
    with pytest.raises(ValueError, match="broke off"):
        fetch([f"{server}/broken"], file, MD5)
    assert not file.exists()
    fetch([f"{server}/broken"], file, MD5)
    assert file.read_bytes() == CONTENT
    assert Handler.asked[-1] == ("/broken", f"bytes={len(CONTENT) // 2}-")


def test_what_is_not_the_file_is_not_kept_and_the_next_mirror_is_tried(server: str, tmp_path: Path) -> None:
    file = tmp_path / "file.bin"
    with pytest.raises(ValueError, match=f"another checksum.*put that file into {tmp_path}"):
        fetch([f"{server}/wrong"], file, MD5)
    assert [f.name for f in tmp_path.iterdir() if f.suffix != ".lock"] == []
    fetch([f"{server}/wrong", f"{server}/good"], file, MD5)
    assert file.read_bytes() == CONTENT


def test_without_a_network_it_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"file.bin cannot be downloaded .* put that file into"):
        fetch(["http://127.0.0.1:1/file.bin"], tmp_path / "file.bin", MD5)
