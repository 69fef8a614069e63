"""Available memory, and errors for needs that exceed it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from regrun.errors import UserError, one_line

CGROUP = Path("/sys/fs/cgroup")
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
REFUSED = re.compile(r"tried to allocate (\d+) bytes")
TOO_LARGE = re.compile(
    "can't allocate memory|not enough memory|unable to allocate|size calculation overflowed|array is too big|"
    "overflow when unpacking|too large to convert|cannot fit 'int'|invalid buffer size|"
    "maximum allowed dimension",
    re.IGNORECASE,
)


def check_memory(what: str, size: float) -> None:
    """Check that something fits into the memory that is free, before it is made.

    Args:
        what: in words; many of them, such as ``"1,000 samples of 10 values"``.
        size: in bytes, of the largest that is held at once.

    Raises:
        ValueError: says how much it would need, and how much there is.
    """
    free = available_memory()
    if size > free:
        raise ValueError(f"{what} need {in_words(size)} of memory, and {in_words(free)} are free")


def available_memory() -> int:
    """Bytes available to this process: of the machine, within its control group's limit."""
    return min([machine_memory(), *group_memory()])


def machine_memory() -> int:
    """Bytes of the machine that are free, or can be freed without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def group_memory() -> list[int]:
    """Bytes left in this process's control group, if it has a limit."""
    try:
        first = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()[0]
        place = first.split(":", 2)[2].lstrip("/")
    except (OSError, IndexError):
        return []
    for folder in (CGROUP / place, CGROUP):
        try:
            most = int((folder / "memory.max").read_text())
            used = int((folder / "memory.current").read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return [max(0, most - used + int(stat["inactive_file"]))]
        except (OSError, KeyError, ValueError):  # no such file, or "max"
            continue
    return []


def in_words(size: float) -> str:
    """A number of bytes in the largest fitting unit."""
    power = 0
    while size >= 1024 and power < len(UNITS) - 1:
        size, power = size / 1024, power + 1
    return f"{size:,.0f} {UNITS[power]}" if size >= 10 or power == 0 else f"{size:.1f} {UNITS[power]}"


def too_large(error: BaseException) -> UserError | None:
    """The message for an out-of-memory error; ``None`` for another error."""
    text = one_line(error)
    if "CUDA out of memory" in text or "HIP out of memory" in text:
        return UserError(". ".join(text.split(". ")[:3]) + " (try a smaller batch_size or model)")
    if not isinstance(error, MemoryError) and not TOO_LARGE.search(text):
        return None
    asked = REFUSED.search(text)
    size = in_words(int(asked[1])) if asked else "more"
    return UserError(
        f"the run needs {size} of memory at once, and {in_words(available_memory())} are free; "
        "choose smaller data, batches or models"
    )
