"""Procedures: what a run does. Almost always training; for a numerical study, a plain function."""

from regrun.procedures.base import Context, Procedure, StopRequest

__all__ = ["Context", "Procedure", "StopRequest"]
