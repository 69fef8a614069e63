"""A process of a distributed run that ends before the others."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from lightning.fabric.strategies.launchers import subprocess_script

from regrun.errors import LostProcessError, one_line

GRACE = 20.0  # seconds to say so and to close the record, before Lightning kills what hangs


@contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Turn what the communication library says of a vanished process into a ``LostProcessError``."""
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
    """Lightning's, which kills the processes of a run of which one has died, a little later."""

    def _terminate_all(self) -> None:
        time.sleep(GRACE)
        super()._terminate_all()


def be_patient() -> None:
    """Let Lightning's launcher use it."""
    subprocess_script._ChildProcessObserver = PatientObserver  # type: ignore[misc]
