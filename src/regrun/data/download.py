"""Files fetched once, checked, and gone on with where a download broke off."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from regrun.errors import one_line

CHUNK = 1 << 18
TIMEOUT = 30  # seconds without a byte


def fetch(urls: Sequence[str], file: Path, md5: str) -> None:
    """Have a file, from the first of some mirrors that gives it.

    Args:
        urls: the file's URLs.
        file: path of the file; a partial download stays in ``<file>.partial`` and is resumed.
        md5: its checksum.

    Raises:
        ValueError: if no mirror gives it, saying which file to put where; or if another one lies there.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f"{file.name}.lock")):
        if file.exists():
            if (found := checksum(file)) == md5:
                return
            raise ValueError(
                f"{file} is not what was published: its MD5 is {found}, and should be {md5}; remove it, to "
                "have it downloaded"
            )
        reasons = []
        for url in urls:
            partial = file.with_name(f"{file.name}.partial")
            try:
                download(url, partial)
            except OSError as error:
                reasons.append(f"{url}: {one_line(error)}")
                continue
            if checksum(partial) == md5:
                partial.replace(file)
                return
            partial.unlink()
            reasons.append(f"{url}: what came has another checksum than {md5}")
    raise ValueError(
        f"{file.name} cannot be downloaded ({'; '.join(reasons)}); without a network, put that file into "
        f"{file.parent}"
    )


def download(url: str, partial: Path) -> None:
    """Fetch what is missing of a file, with a progress bar on the terminal.

    Raises:
        OSError: if the server cannot be reached or breaks off.
    """
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "regrun"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is here; the checksum decides
        raise
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with response, Progress(*columns, transient=True) as progress:
        resumed = response.status == HTTPStatus.PARTIAL_CONTENT
        length = response.headers.get("Content-Length")
        done = have if resumed else 0
        total = done + int(length) if length else None
        bar = progress.add_task(partial.stem, total=total, completed=done)
        with partial.open("ab" if resumed else "wb") as out:
            while chunk := response.read(CHUNK):
                out.write(chunk)
                progress.advance(bar, len(chunk))
        if total is not None and partial.stat().st_size < total:
            raise OSError("the connection broke off; the same command again goes on from there")


def checksum(file: Path) -> str:
    """The MD5 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
