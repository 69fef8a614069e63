"""Probes: measurements taken while training, which never change it."""

from regrun.probes.base import Probe
from regrun.probes.gradient_alignment import GradientAlignment
from regrun.probes.logit_scale import LogitScale
from regrun.probes.softmax_collapse import SoftmaxCollapse
from regrun.probes.weight_norms import WeightNorms

__all__ = ["GradientAlignment", "LogitScale", "Probe", "SoftmaxCollapse", "WeightNorms"]
