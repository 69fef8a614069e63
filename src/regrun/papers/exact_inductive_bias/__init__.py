"""*Towards Exact Computation of Inductive Bias*: how improbable generalization is in a model class."""

from regrun.papers.exact_inductive_bias.study import KernelBias, NetworkBias

__all__ = ["KernelBias", "NetworkBias"]
