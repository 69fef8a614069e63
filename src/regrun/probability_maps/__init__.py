"""Maps from scores onto the probability simplex: functions of logits alone, usable at any softmax's place."""

from regrun.probability_maps.stablemax import log_stablemax, stablemax

__all__ = ["log_stablemax", "stablemax"]
