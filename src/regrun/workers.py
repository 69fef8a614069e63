"""The worker processes of packed sweeps, which end with the process that started them."""

from __future__ import annotations

import os
from typing import Any

from joblib.parallel import LokyBackend, register_parallel_backend

from regrun.job import follow


class FollowingBackend(LokyBackend):
    """joblib's workers, which follow their launcher from their first moment, before they wait for a job."""

    def configure(self, *args: Any, **kwargs: Any) -> Any:
        """See joblib; returns the number of workers."""
        return super().configure(*args, initializer=follow, initargs=(os.getpid(),), **kwargs)


def use_following_workers() -> None:
    """Give all that asks joblib for processes, as Hydra's launcher does by name, such workers."""
    register_parallel_backend("loky", FollowingBackend)
