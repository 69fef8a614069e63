"""Class-per-folder trees of images, as folders or as tar archives."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from regrun.data.image_cache import Arrays
from regrun.errors import one_line
from regrun.memory import check_memory

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"}
NAMED_AT_MOST = 5
BLOCK = 512  # bytes, of a tar archive


def decode_tree(source: Path, size: int, channels: int) -> Arrays:
    """Every image below ``source``; its class is the folder it lies in.

    Classes are numbered in the order of their names, images in the order of their paths.

    Args:
        source: a folder, or a tar archive of one.
        size: height and width; other images are resized.
        channels: 3 for colour, 1 for grey.

    Raises:
        ValueError: if there are no images, or some cannot be decoded: all are counted and the first named; or
            if there is too little memory.
    """
    files = sorted(images_of(source), key=lambda item: item[0])
    if not files:
        raise ValueError(f"{source} has no images in folders of classes")
    names = sorted({PurePosixPath(name).parent.name for name, _ in files})
    number = {name: k for k, name in enumerate(names)}
    check_memory(f"{len(files):,} images of {size:,} x {size:,} pixels", len(files) * size * size * channels)
    x = np.empty((len(files), size, size, channels), np.uint8)
    y = np.empty(len(files), np.int64)
    broken = []
    for k, (name, content) in enumerate(files):
        y[k] = number[PurePosixPath(name).parent.name]
        try:
            with Image.open(io.BytesIO(content)) as image:
                converted = image.convert("RGB" if channels == 3 else "L")
        except Exception as error:
            broken.append(f"{name} ({one_line(error).split(' <')[0]})")
            continue
        if converted.size != (size, size):
            converted = converted.resize((size, size), Image.Resampling.BILINEAR)
        x[k] = np.asarray(converted).reshape(size, size, channels)
    if broken:
        more = f", and {len(broken) - NAMED_AT_MOST} more" if len(broken) > NAMED_AT_MOST else ""
        raise ValueError(
            f"{len(broken)} of {len(files)} images of {source} cannot be decoded: "
            f"{', '.join(broken[:NAMED_AT_MOST])}{more}"
        )
    return x, y, names


def images_of(source: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the image files of a folder or an archive.

    Raises:
        ValueError: if it is neither, or a truncated archive.
    """
    if source.is_dir():
        for file in source.rglob("*"):
            if file.suffix.lower() in SUFFIXES and file.is_file():
                yield file.relative_to(source).as_posix(), file.read_bytes()
        return
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in SUFFIXES:
                    content = archive.extractfile(member)
                    assert content is not None
                    yield member.name, content.read()
            # An archive cut within a header looks to tarfile like one that ends there.
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(BLOCK) != bytes(BLOCK):
                raise ValueError(f"{source} is a truncated archive: it has no end")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{source} is no tar archive, or is truncated: {one_line(error)}") from error
