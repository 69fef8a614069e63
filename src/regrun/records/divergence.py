"""Whether a run has diverged, which is an outcome and not an error."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress

from regrun.errors import UserError
from regrun.records.record import Record, Status

# These are finite after a normal run; other metrics may be nan where they do not apply.
TRAINING_LOSSES = ("loss", "train_loss", "train_nll", "train_mse")
MARK = ("∞", "magenta")
ENDED = re.compile(r"the loss became (nan|-?inf) at step \d+")  # the start of TrainingDivergedError's message


def infinite_losses(final: Mapping[str, float]) -> list[str]:
    """The training losses that are not finite at the end of a run.

    Args:
        final: its final metrics.
    """
    return [name for name in TRAINING_LOSSES if not math.isfinite(final.get(name, 0.0))]


def divergence(record: Record) -> str:
    """How a run diverged, in words; empty if it did not, or is still running.

    A run has diverged if the loss check ended it, or if it completed with a training loss
    (``TRAINING_LOSSES``) that is not finite.
    """
    with suppress(UserError):  # a damaged record is reported where its figures are needed
        status = record.status
        if status is Status.COMPLETE:
            return words_of(record.final_metrics())
        if status is Status.FAILED and (found := ENDED.match(str(record.manifest().get("message", "")))):
            return found[0]
    return ""


def words_of(final: Mapping[str, float]) -> str:
    """How a completed run diverged; empty if it did not."""
    losses = infinite_losses(final)
    return (
        f"{' and '.join(losses)} {'is' if len(losses) == 1 else 'are'} not finite at its end"
        if losses
        else ""
    )
