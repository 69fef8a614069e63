"""Procedures: what a run does. Almost always training; for a numerical study, a plain function."""

from regrun.procedures.base import Context, Description, Procedure, Stage, StoppedError, StopRequest

__all__ = ["Context", "Description", "Procedure", "Stage", "StopRequest", "StoppedError"]
