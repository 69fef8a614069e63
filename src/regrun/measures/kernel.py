"""The empirical neural tangent kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from regrun.contracts.output import as_output


def empirical_ntk(
    model: nn.Module, x: Tensor, sketch: int | None = None, seed: int = 0, chunk: int = 64
) -> Tensor:
    """``K_ij = 1/C sum_c grad f_c(x_i) . grad f_c(x_j)``, ``(n, n)``, summed in float64.

    The gradients of one output of all samples are held at a time: ``n * parameters`` numbers, or
    ``n * sketch`` with a sketch, which adds the parameters with random signs into so many buckets (a count
    sketch: inner products keep their mean, with a relative error of about ``sqrt(2 / sketch)``). Jacot et
    al., arXiv 1806.07572. To be used within ``measuring(model)``.

    Args:
        model: gives logits ``(n, C)``.
        x: inputs as the model reads them.
        sketch: buckets, ``None`` for the exact kernel.
        seed: seed of the sketch.
        chunk: samples at a time.
    """
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    outputs = as_output(model(x[:1])).logits.shape[1]
    generator = torch.Generator().manual_seed(seed)
    size = sum(w.numel() for w in weights.values())
    if sketch is not None:
        bucket = torch.randint(sketch, (size,), generator=generator).to(x.device)
        sign = (2 * torch.randint(2, (size,), generator=generator) - 1).to(x.device)
    kernel = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    for c in range(outputs):

        def output(w: dict[str, Tensor], one: Tensor, c: int = c) -> Tensor:
            return as_output(functional_call(model, w, (one[None],))).logits[0, c]

        rows = []
        for part in x.split(chunk):
            found = vmap(grad(output), in_dims=(None, 0))(weights, part)
            row = torch.cat([g.flatten(1) for g in found.values()], 1)
            if sketch is not None:
                row = row.new_zeros(len(row), sketch).index_add_(1, bucket, row * sign)
            rows.append(row)
        jacobian = torch.cat(rows)
        kernel += (jacobian @ jacobian.T).double()
    return kernel / outputs


def kernel_cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine between two symmetric matrices as vectors: 1 where one is a multiple of the other.

    0 if one of them is, which has no direction. In float64.
    """
    a, b = a.double(), b.double()
    return (a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-300)


def target_alignment(kernel: Tensor, targets: Tensor) -> Tensor:
    """Cosine between a kernel and ``Y Y^T``, both centred (Cortes et al., arXiv 1203.0550).

    0 of a single class, whose targets do not differ.

    Args:
        kernel: ``(n, n)``.
        targets: ``(n, C)``, one-hot or real.
    """
    y = targets.to(kernel) - targets.to(kernel).mean(0)
    centred = kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
    return kernel_cosine(centred, y @ y.T)
