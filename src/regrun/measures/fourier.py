"""How much of a weight vector over the residues lies in one frequency."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_participation_ratio(rows: Tensor) -> Tensor:
    """``sum_j (F_j / |F|)^4`` of the Fourier amplitudes ``F`` of each row: 1 for a single frequency.

    The constant's amplitude counts, too. 0 for a row of zeros. Doshi et al., arXiv 2310.13061.

    Args:
        rows: functions of the residues, ``(..., p)``.
    """
    amplitudes = torch.fft.rfft(rows.double()).abs()
    total = amplitudes.square().sum(-1)
    return amplitudes.pow(4).sum(-1) / total.square().clamp_min(1e-300)


def dominant_frequency(rows: Tensor) -> Tensor:
    """The frequency with the largest amplitude of each row, the constant left out: ``(...,)`` of int64."""
    return torch.fft.rfft(rows.double()).abs()[..., 1:].argmax(-1) + 1
