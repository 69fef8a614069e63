"""The Jacobian of a network's outputs with respect to its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from regrun.contracts.output import as_output


def input_jacobian(model: nn.Module, x: Tensor, chunk: int = 64) -> Tensor:
    """``d f_c / d x`` of every sample, ``(n, outputs, inputs)``. To be used within ``measuring(model)``.

    Args:
        model: gives logits ``(n, outputs)``.
        x: inputs as the model reads them, ``(n, ...)``.
        chunk: samples at a time.
    """

    def output(one: Tensor) -> Tensor:
        return as_output(model(one[None])).logits[0]

    found = [vmap(jacrev(output))(part) for part in x.split(chunk)]
    return torch.cat(found).flatten(2).detach()


def centroid_alignment(jacobian: Tensor, x: Tensor) -> Tensor:
    """Cosine between ``J^T 1``, the centroid of the sample's linear region, and the sample, ``(n,)``.

    Walker et al., *GrokAlign*, arXiv 2506.12284.
    """
    return torch.cosine_similarity(jacobian.sum(1), x.flatten(1), dim=1)
