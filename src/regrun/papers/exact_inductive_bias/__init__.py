"""*Towards Exact Computation of Inductive Bias*: how unlikely a model class makes what generalizes."""

from regrun.papers.exact_inductive_bias.study import KernelBias, NetworkBias

__all__ = ["KernelBias", "NetworkBias"]
