"""Models: plain modules that size themselves from a dataset's inputs and classes."""

from regrun.models.mlp import MLP
from regrun.models.one_hot import OneHotLinear
from regrun.models.output import Output
from regrun.models.transformer import Transformer

__all__ = ["MLP", "OneHotLinear", "Output", "Transformer"]
