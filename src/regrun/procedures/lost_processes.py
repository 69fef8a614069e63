"""Handles the loss of a process of a distributed run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from lightning.fabric.strategies.launchers import subprocess_script

from regrun.errors import LostProcessError, one_line

GRACE = 20.0  # seconds to report and to close the record, before Lightning kills the other processes


@contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Convert the communication library's error on a vanished process to ``LostProcessError``."""
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        if isinstance(error, dist.DistError) or re.search(r"gloo|nccl", str(error), re.IGNORECASE):
            raise LostProcessError(
                "another process of this run has ended; the same command goes on from the last checkpoint "
                f"({one_line(error)[:120]})"
            ) from error
        raise


class PatientObserver(subprocess_script._ChildProcessObserver):
    """Lightning's observer, which kills the other processes of a run a little later."""

    def _terminate_all(self) -> None:
        time.sleep(GRACE)
        super()._terminate_all()


def be_patient() -> None:
    """Make Lightning's launcher use this observer."""
    subprocess_script._ChildProcessObserver = PatientObserver  # type: ignore[misc]
