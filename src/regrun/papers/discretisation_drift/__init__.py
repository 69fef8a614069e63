"""*On discretisation drift and smoothness regularisation*: modified flows, and steps that heed the drift."""

from regrun.papers.discretisation_drift.descent import FullBatchDescent
from regrun.papers.discretisation_drift.flows import DriftOrder, QuadraticFlows

__all__ = ["DriftOrder", "FullBatchDescent", "QuadraticFlows"]
