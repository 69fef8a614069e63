"""MNIST's file format, checked before reading."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

from regrun.data.files import check_md5

# MD5 of MNIST's unpacked files; the published sums are of the packed ones.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
COUNTS = {"train": 60_000, "t10k": 10_000}
SIDE, CLASSES = 28, 10


def check_idx(file: Path, md5: str | None, packed_md5: str) -> None:
    """Check an unpacked file of 28 × 28 images or of labels.

    Where the sum of the unpacked file is not known, it is held against the packed one, if that lies beside it
    and is what was published; else against what is known of every such dataset: its sizes, and that it has as
    many samples of each class.

    Args:
        file: a file with its name in MNIST.
        md5: its sum, if it is known.
        packed_md5: MD5 of ``<file>.gz``.

    Raises:
        ValueError: if the file is wrong, with its name and the reason.
    """
    split, what = file.name.split("-")[:2]
    sizes = (COUNTS[split], SIDE, SIDE) if what == "images" else (COUNTS[split],)
    header = b"".join(number.to_bytes(4, "big") for number in (0x0800 + len(sizes), *sizes))
    content = file.read_bytes()
    expected = len(header) + int(np.prod(sizes))
    if len(content) != expected:
        raise ValueError(
            f"{file} has {len(content):,} bytes, and should have {expected:,}: it is another file"
        )
    if not content.startswith(header):
        raise ValueError(f"{file} does not begin as a file of {COUNTS[split]:,} {what} should")
    packed = file.with_name(f"{file.name}.gz")
    if md5 is None and packed.is_file():
        check_md5(packed, packed_md5)
        md5 = unpacked_md5(packed)
    if md5 is not None:
        check_md5(file, md5)
    elif what == "labels":
        found = np.bincount(np.frombuffer(content, np.uint8, offset=len(header)), minlength=CLASSES)
        if len(found) > CLASSES or (found != COUNTS[split] // CLASSES).any():
            raise ValueError(
                f"{file} should have {COUNTS[split] // CLASSES:,} labels of each of {CLASSES} classes, and "
                f"has {', '.join(map(str, found[: CLASSES + 2]))}"
            )


def unpacked_md5(packed: Path) -> str:
    """The MD5 of a file's content.

    Raises:
        ValueError: if it cannot be unpacked.
    """
    try:
        with gzip.open(packed) as stream:
            return hashlib.file_digest(stream, "md5").hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{packed} cannot be unpacked: {error}") from error
